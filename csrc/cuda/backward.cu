// Kernels of the backward, one tile of the grown canvas a block.
#include "launch.h"

namespace compositor::cuda {
namespace {

template <typename S, typename I, int kRadius>
__global__ void __launch_bounds__(kThreads, sizeof(I) == 8 ? 2 : 3)
    backward_kernel(const __grid_constant__ BlendParams p, const __grid_constant__ Split split) {
  __shared__ BackwardShared<typename Compute<S>::type, kRadius> shared;
  DeviceBlock block;
  const int64_t count = p.batch * split.blocks();
  for (int64_t k = blockIdx.x; k < count; k += gridDim.x) {
    backward_tile<S, I, kRadius>(p, split, k, block, shared);
  }
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
    const int64_t count = params.batch * split.blocks();
    if (count == 0) return;
    backward_kernel<S, decltype(index), decltype(radius)::value>
        <<<grid_of(count), kThreads, 0, stream>>>(params, split);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  });
}

}  // namespace compositor::cuda
