// Kernels of the backward: a block of 256 threads per tile of 64 x 32 pixels of the grown canvas.
// Estimates for theta alone, float32, 3 channels, radius 3, sm_90; no GPU has run them yet:
//
// Bytes. Where the mask changes, 40 per pixel, plus a halo of 30 % that neighbouring tiles read
//   too: foreground 12, mask 4, background 12, gradient 12. Inside an object, where the mask is
//   flat, 28: nothing changes its alpha, so neither dL/dalpha nor the background is needed. Outside
//   4, or none if the tile misses the frame. Written: 48 bytes per tile.
// Time. At 65 % of 3 TB/s an SM has 5 cycles per pixel, or 640 instructions of one lane. Counted in
//   the machine code (BUDGETS in tests/test_cuda_build.py), where a tile lies in the frame, a pixel
//   takes about 155 if the mask is flat: 1.3 mask samples of 48 to 54, 90 for the colours. Where
//   the mask changes it takes about 310: the samples, 1.3 of 116 for the colours and dL/dalpha, 50
//   for the mask's pull, two blurs of 22. Where samples may lie outside, one takes about 120.
// Registers 80, no spills, 30 KiB of shared memory: 3 blocks, 24 warps per SM; 2 blocks of any
//   other radius. Alpha is stored beside what is blurred; dL/ds replaces dL/dalpha.
#include <torch/csrc/stable/macros.h>

#include "launch.h"

namespace compositor::cuda {
namespace {

template <typename S, typename I, int kRadius>
__global__ void __launch_bounds__(kThreads,
                                  sizeof(S) == 8 ? 1 : (sizeof(I) == 8 || kRadius < 0 ? 2 : 3))
    backward_kernel(const __grid_constant__ BlendParams p, const __grid_constant__ Split split,
                    int64_t first) {
  __shared__ BackwardShared<typename Compute<S>::type, kRadius> shared;
  DeviceBlock block;
  backward_tile<S, I, kRadius>(p, split, first + blockIdx.x, block, shared);
}

}  // namespace

int64_t count_tiles(const Sizes& size, int radius, Scalar scalar) {
  return (scalar == Scalar::kFloat64 ? backward_split<double>(size, radius)
                                     : backward_split<float>(size, radius))
      .blocks();
}

void backward(const BlendParams& params, Scalar scalar, bool narrow, cudaStream_t stream) {
  with_types(scalar, narrow, params.radius, [&](auto storage, auto index, auto radius) {
    using S = decltype(storage);
    const Split split = backward_split<typename Compute<S>::type>(params.size, params.radius);
    for_grids(params.batch * split.blocks(), [&](int64_t first, unsigned blocks) {
      backward_kernel<S, decltype(index), decltype(radius)::value>
          <<<blocks, kThreads, 0, stream>>>(params, split, first);
      STD_CUDA_KERNEL_LAUNCH_CHECK();
    });
  });
}

}  // namespace compositor::cuda
