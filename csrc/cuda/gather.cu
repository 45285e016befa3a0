// Kernels that gather what the backward stored, and the one that writes the taps.
#include <torch/csrc/stable/macros.h>

#include "launch.h"

namespace compositor::cuda {
namespace {

template <typename S>
__global__ void __launch_bounds__(kThreads)
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

struct TapsPiece {
  static constexpr int kCount = 256;
  double values[kCount];
};

template <typename T>
__global__ void taps_kernel(const __grid_constant__ TapsPiece piece, int count, T* to) {
  const int k = static_cast<int>(threadIdx.x);
  if (k < count) to[k] = static_cast<T>(piece.values[k]);
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

void write_taps(const double* taps, int64_t count, bool wide, void* to, cudaStream_t stream) {
  for (int64_t first = 0; first < count; first += TapsPiece::kCount) {
    TapsPiece piece{};
    const int room = static_cast<int>(std::min<int64_t>(TapsPiece::kCount, count - first));
    std::copy_n(taps + first, room, piece.values);
    if (wide) {
      double* out = static_cast<double*>(to) + first;
      taps_kernel<<<1, TapsPiece::kCount, 0, stream>>>(piece, room, out);
    } else {
      float* out = static_cast<float*>(to) + first;
      taps_kernel<<<1, TapsPiece::kCount, 0, stream>>>(piece, room, out);
    }
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }
}

}  // namespace compositor::cuda
