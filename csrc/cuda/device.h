// What both ops need of PyTorch beside tensors: the current stream, maps in device memory, indices.
#pragma once

#include <cuda_runtime_api.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include <limits>

#include "../common/tensors.h"
#include "render_params.h"

namespace compositor::cuda {

inline cudaStream_t current_stream(const Tensor& tensor) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(tensor.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

inline Theta theta_of(const Tensor& theta) {
  const auto strides = theta.strides();
  return {theta.data_ptr(), theta.scalar_type() == ScalarType::Double, strides[0], strides[1],
          strides[2]};
}

// Whether 32 bits can index an image of a view, with room for a row and a column before and after:
// such addresses are formed, but not read.
inline bool is_narrow(int64_t c, int64_t y, int64_t x, int64_t channels, int64_t height,
                      int64_t width) {
  return channels * c + (height + 1) * y + (width + 1) * x <= std::numeric_limits<int32_t>::max();
}

}  // namespace compositor::cuda
