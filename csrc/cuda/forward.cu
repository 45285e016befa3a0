// Kernels of the forward: a block of 256 threads per tile of 64 x 32 canvas pixels. Estimates for
// float32, 3 channels, radius 3, sm_90; no GPU has run them yet:
//
// Bytes. A pixel needs 40: foreground 12, mask 4, background 12, composite 12; 28 where alpha is 1,
//   24 where it is 0. The mask's halo adds 30 % of samples (70 x 38 for 64 x 32), but neighbouring
//   tiles read them too, so they are in the second-level cache. Neighbouring threads take
//   neighbouring columns, so a warp's loads and stores are whole lines, as are its gathers if the
//   object is hardly turned; with four columns per thread, stores would be 16 bytes wide but each
//   gather spread over four times the lines. Tiles that the object misses are copied in pieces of
//   16 bytes if both images are aligned.
// Time. At 80 % of 3 TB/s the 132 SMs have 4 cycles per pixel each, or 512 instructions of one
//   lane. Where a tile's samples all lie in the frame, a pixel takes about 185, counted in the
//   machine code (BUDGETS in tests/test_cuda_build.py): 1.3 mask samples of 40 to 54, 22 for the
//   blur, 107 for its position and three colours. Where they may lie outside, or where neighbouring
//   columns are none in memory, a sample takes about 120 and a pixel 153.
// Registers 64, no spills, 20 KiB of shared memory: 4 blocks, 32 warps per SM. A colour pixel has
//   15 loads in flight, so 1024 threads have 61 KB in flight, where 3 TB/s times 600 ns need 14.
// Shared memory. Holds the samples and their row sums; alpha replaces the samples. Threads of a
//   warp read consecutive words, so no two conflict in a bank. The row pass takes a run of 4
//   columns in pieces of 16 bytes, the column pass keeps a run of 8 rows in registers: 14 words
//   read for 8 written.
#include <torch/csrc/stable/macros.h>

#include "launch.h"

namespace compositor::cuda {
namespace {

template <typename S, typename I, int kRadius>
__global__ void __launch_bounds__(kThreads, sizeof(I) == 8 ? 2 : 4)
    forward_kernel(const __grid_constant__ BlendParams p, const __grid_constant__ Split split,
                   int64_t first) {
  __shared__ ForwardShared<typename Compute<S>::type, kRadius> shared;
  DeviceBlock block;
  forward_tile<S, I, kRadius>(p, split, first + blockIdx.x, block, shared);
}

}  // namespace

void forward(const BlendParams& params, Scalar scalar, bool narrow, cudaStream_t stream) {
  with_types(scalar, narrow, params.radius, [&](auto storage, auto index, auto radius) {
    using S = decltype(storage);
    const Split split = forward_split<typename Compute<S>::type>(params.size);
    for_grids(params.batch * split.blocks(), [&](int64_t first, unsigned blocks) {
      forward_kernel<S, decltype(index), decltype(radius)::value>
          <<<blocks, kThreads, 0, stream>>>(params, split, first);
      STD_CUDA_KERNEL_LAUNCH_CHECK();
    });
  });
}

}  // namespace compositor::cuda
