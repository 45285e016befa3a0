// Kernels of render's backward. Estimates as in layers.cu:
//
// Bytes. Two numbers for each pixel of each layer's box are written, changed and read, two more for
//   theta written and read; a fifth where masks have a gradient. A chain keeps the canvas under
//   each layer.
// Time. A layer's pixel takes 245 instructions in the walk (1.5 samples of 40 to 54, a blur of 23,
//   145 for its colours, dL/dalpha and what they pull at theta, 16 on the way down), and 115 in its
//   pull: 1.3 loads of 11 to 25, a blur of 22, 50 for the mask, 26 for the colours.
// Registers 80, no spills: 3 blocks per SM.
#include <torch/csrc/stable/macros.h>

#include "launch.h"

namespace compositor::cuda {
namespace {

template <typename S, typename I>
__global__ void __launch_bounds__(kThreads, sizeof(S) == 8 ? 1 : (sizeof(I) == 8 ? 2 : 3))
    walk_kernel(const __grid_constant__ RenderParams p, const __grid_constant__ Split split,
                int64_t first) {
  __shared__ RenderShared<typename Compute<S>::type> shared;
  DeviceBlock block;
  walk_tile<S, I>(p, split, first + blockIdx.x, block, shared);
}

template <typename S, typename I>
__global__ void __launch_bounds__(kThreads, sizeof(S) == 8 ? 1 : (sizeof(I) == 8 ? 2 : 3))
    pull_kernel(const __grid_constant__ RenderParams p, int64_t first) {
  __shared__ PullShared<typename Compute<S>::type> shared;
  DeviceBlock block;
  pull_layer<S, I>(p, first + blockIdx.x, block, shared);
}

__global__ void __launch_bounds__(kThreads)
    layer_sums_kernel(const __grid_constant__ RenderParams p, int64_t first) {
  __shared__ ThetaShared shared;
  DeviceBlock block;
  gather_layer(p, first + blockIdx.x, block, shared);
}

template <typename S>
__global__ void __launch_bounds__(kThreads, 2)
    cut_out_kernel(const __grid_constant__ RenderParams p, int64_t first) {
  __shared__ CutOutShared shared;
  DeviceBlock block;
  gather_cut_out<S>(p, first + blockIdx.x, block, shared);
}

}  // namespace

int64_t count_pull_tiles(const Reach& reach, Scalar scalar) {
  return scalar == Scalar::kFloat64 ? pull_split<double>(reach).blocks()
                                    : pull_split<float>(reach).blocks();
}

void unpaint(const RenderParams& params, int64_t tiles, int64_t runs, Scalar scalar, bool narrow,
             cudaStream_t stream) {
  with_images(scalar, narrow, [&](auto storage, auto index) {
    using S = decltype(storage);
    using I = decltype(index);
    if constexpr (sizeof(S) > 1) {  // bytes have no gradient
      const Split split = render_split<typename Compute<S>::type>(params);
      for_grids(params.batch * split.blocks(), [&](int64_t first, unsigned blocks) {
        walk_kernel<S, I><<<blocks, kThreads, 0, stream>>>(params, split, first);
        STD_CUDA_KERNEL_LAUNCH_CHECK();
      });
      if (params.grads.sums || params.grads.covers) {
        for_grids(tiles, [&](int64_t first, unsigned blocks) {
          pull_kernel<S, I><<<blocks, kThreads, 0, stream>>>(params, first);
          STD_CUDA_KERNEL_LAUNCH_CHECK();
        });
      }
      if (params.grads.sums) {
        for_grids(params.layer_count, [&](int64_t first, unsigned blocks) {
          layer_sums_kernel<<<blocks, kThreads, 0, stream>>>(params, first);
          STD_CUDA_KERNEL_LAUNCH_CHECK();
        });
      }
      for_grids(runs, [&](int64_t first, unsigned blocks) {
        cut_out_kernel<S><<<blocks, kThreads, 0, stream>>>(params, first);
        STD_CUDA_KERNEL_LAUNCH_CHECK();
      });
    }
  });
}

}  // namespace compositor::cuda
