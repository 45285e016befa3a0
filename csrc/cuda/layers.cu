// Kernels of render's forward, and the one that places layers. Estimates for float32, 3 channels,
// radius 3, sm_90; no GPU has run them yet:
//
// Bytes. A canvas pixel 24, however many layers it has; a chain of blends 24 for each. A layer's
//   pixel 16 of its cut-out. Labels 4 a pixel, written once or twice and read by each layer there.
// Time, counted in the machine code (BUDGETS in tests/test_cuda_build.py): a canvas pixel takes 22
//   instructions to load and 23 to store, and under a layer that lies in its frame 175: 1.5 mask
//   samples of 40 to 54, 23 for the blur, 87 for its position and three colours. A layer of any
//   other radius takes a way of its own through the same kernel: what a layer blurs changes no
//   other.
// Registers 64, no spills, 28 KiB of shared memory: 4 blocks, 32 warps per SM. A tile is half as
//   high as a blend's, to have room for the canvas, three channels at a time.
#include <torch/csrc/stable/macros.h>

#include "launch.h"

namespace compositor::cuda {
namespace {

template <typename T>
__global__ void __launch_bounds__(kThreads)
    place_kernel(const __grid_constant__ RenderParams p, int64_t first) {
  DeviceBlock block;
  place_layers<T>(p, first + blockIdx.x, block);
}

template <typename S, typename I>
__global__ void __launch_bounds__(kThreads, sizeof(S) == 8 ? 1 : (sizeof(I) == 8 ? 2 : 4))
    render_kernel(const __grid_constant__ RenderParams p, const __grid_constant__ Split split,
                  int64_t first) {
  __shared__ RenderShared<typename Compute<S>::type> shared;
  DeviceBlock block;
  render_tile<S, I>(p, split, first + blockIdx.x, block, shared);
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    label_kernel(const __grid_constant__ RenderParams p, const __grid_constant__ Split split,
                 int64_t first) {
  __shared__ LabelShared shared;
  DeviceBlock block;
  label_layer<T>(p, split, first + blockIdx.x, block, shared);
}

}  // namespace

int64_t bytes_placed(Scalar scalar) {
  return scalar == Scalar::kFloat64 ? sizeof(Placed<double>) : sizeof(Placed<float>);
}

int64_t count_render_tiles(const RenderParams& params, Scalar scalar) {
  return (scalar == Scalar::kFloat64 ? render_split<double>(params) : render_split<float>(params))
      .blocks();
}

void place(const RenderParams& params, Scalar scalar, cudaStream_t stream) {
  for_grids(count_runs(params.layer_count), [&](int64_t first, unsigned blocks) {
    if (scalar == Scalar::kFloat64) {
      place_kernel<double><<<blocks, kThreads, 0, stream>>>(params, first);
    } else {
      place_kernel<float><<<blocks, kThreads, 0, stream>>>(params, first);
    }
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  });
}

void paint(const RenderParams& params, Scalar scalar, bool narrow, cudaStream_t stream) {
  with_images(scalar, narrow, [&](auto storage, auto index) {
    using S = decltype(storage);
    using T = typename Compute<S>::type;
    const Split split = render_split<T>(params);
    for_grids(params.batch * split.blocks(), [&](int64_t first, unsigned blocks) {
      render_kernel<S, decltype(index)><<<blocks, kThreads, 0, stream>>>(params, split, first);
      STD_CUDA_KERNEL_LAUNCH_CHECK();
    });
    if (!params.owner) return;
    for_grids(params.layer_count, [&](int64_t first, unsigned blocks) {
      label_kernel<T><<<blocks, kThreads, 0, stream>>>(params, split, first);
      STD_CUDA_KERNEL_LAUNCH_CHECK();
    });
  });
}

}  // namespace compositor::cuda
