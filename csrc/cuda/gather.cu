// Kernels that gather what the backward stored.
#include <torch/csrc/stable/macros.h>

#include "launch.h"

namespace compositor::cuda {
namespace {

// Two blocks an SM: for three, the assembler would spill.
template <typename S>
__global__ void __launch_bounds__(kThreads, 2)
    image_kernel(const __grid_constant__ BlendParams p, int64_t first) {
  __shared__ GatherShared<typename Compute<S>::type> shared;
  DeviceBlock block;
  gather_image<S>(p, first + blockIdx.x, block, shared);
}

__global__ void __launch_bounds__(kThreads)
    theta_kernel(const __grid_constant__ BlendParams p, int64_t tiles, int64_t first) {
  __shared__ ThetaShared shared;
  DeviceBlock block;
  gather_theta(p, tiles, first + blockIdx.x, block, shared);
}

}  // namespace

void gather(const BlendParams& params, Scalar scalar, cudaStream_t stream) {
  if (params.theta_partials) {
    const int64_t tiles = count_tiles(params.size, params.radius, scalar);
    for_grids(params.batch, [&](int64_t first, unsigned blocks) {
      theta_kernel<<<blocks, kThreads, 0, stream>>>(params, tiles, first);
      STD_CUDA_KERNEL_LAUNCH_CHECK();
    });
  }
  if (!params.grad_foreground.data && !params.grad_mask.data) return;
  with_storage(scalar, [&](auto storage) {
    for_grids(params.batch * runs_of_pixels(params.size), [&](int64_t first, unsigned blocks) {
      image_kernel<decltype(storage)><<<blocks, kThreads, 0, stream>>>(params, first);
      STD_CUDA_KERNEL_LAUNCH_CHECK();
    });
  });
}

}  // namespace compositor::cuda
