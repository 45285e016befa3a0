// The launches, for tensors that are already checked. Each is asynchronous on the given stream, and
// raises if the device refuses it.
#pragma once

#include <cuda_runtime_api.h>

#include "params.h"

namespace compositor::cuda {

// Whether there is a kernel that takes its taps from params.taps. float64 tests the code that the
// other types run, so it has one form of kernel, the widest.
constexpr bool has_fixed_kernel(Scalar scalar, bool narrow, int64_t radius) {
  return scalar != Scalar::kFloat64 && narrow && radius == kFixedRadius;
}

// `narrow`: 32 bits can index every image.
void forward(const BlendParams& params, Scalar scalar, bool narrow, cudaStream_t stream);
void backward(const BlendParams& params, Scalar scalar, bool narrow, cudaStream_t stream);

// Runs after backward, for the gradients of theta, foreground and mask that params request.
void gather(const BlendParams& params, Scalar scalar, cudaStream_t stream);

// Tiles of an image in the backward: theta_partials holds six numbers for each.
int64_t count_tiles(const Sizes& size, int radius, Scalar scalar);

// Writes the taps of a radius that params have no room for, in the computation type. They travel as
// kernel arguments: nothing waits for a copy from the host, and a CUDA graph keeps them.
void write_taps(const double* taps, int64_t count, bool wide, void* to, cudaStream_t stream);

}  // namespace compositor::cuda
