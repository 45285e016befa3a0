// The launches, for tensors that are already checked. Each is asynchronous on the given stream, and
// raises if the device refuses it.
#pragma once

#include <cuda_runtime_api.h>

#include "block.h"
#include "render_params.h"

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

// Finds where the layers of a scene lie: what comes below needs it.
void place(const RenderParams& params, Scalar scalar, cudaStream_t stream);

// Paints the canvases, and counts what they show of each layer if params.owner is there.
void paint(const RenderParams& params, Scalar scalar, bool narrow, cudaStream_t stream);

// The gradients of what has been painted; `tiles` are all layers' of count_pull_tiles, `runs` all
// cut-outs' of count_runs.
void unpaint(const RenderParams& params, int64_t tiles, int64_t runs, Scalar scalar, bool narrow,
             cudaStream_t stream);
int64_t count_pull_tiles(const Reach& reach, Scalar scalar);
constexpr int64_t count_runs(int64_t pixels) { return (pixels + kThreads - 1) / kThreads; }

// Tiles of a canvas in `render`: `shown` holds one for each, of each layer.
int64_t count_render_tiles(const RenderParams& params, Scalar scalar);

// Bytes of the scratch `placed`, for each layer.
int64_t bytes_placed(Scalar scalar);

// Writes to device memory what the host has made, a multiple of 4 bytes. It travels as kernel
// arguments: nothing waits for a copy from the host, and a CUDA graph keeps it.
void send(const void* from, int64_t bytes, void* to, cudaStream_t stream);

}  // namespace compositor::cuda
