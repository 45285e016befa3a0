// Tensors of the stable ABI as kernels see them, and the checks that keep direct calls of the op
// within memory. Python's checks come first and explain what is wrong.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "affine_map.h"
#include "view.h"

namespace compositor {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline Scalar scalar_of(const Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case ScalarType::Double:
      return Scalar::kFloat64;
    case ScalarType::Float:
      return Scalar::kFloat32;
    case ScalarType::BFloat16:
      return Scalar::kBFloat16;
    case ScalarType::Half:
      return Scalar::kFloat16;
    case ScalarType::Byte:
      return Scalar::kByte;
    default:
      STD_TORCH_CHECK(false, "compositor: wanted floating-point images or bytes");
  }
}

inline View view_of(const Tensor& tensor) {
  const auto strides = tensor.strides();
  return {tensor.data_ptr(), strides[0], strides[1], strides[2], strides[3]};
}

inline View view_of(const std::optional<Tensor>& tensor) {
  return tensor ? view_of(*tensor) : View{};
}

// A tensor's numbers of a type, contiguous; as they are if they can be, since a conversion costs a
// microsecond even where it does nothing.
inline Tensor dense(const Tensor& tensor, ScalarType type) {
  const bool right = tensor.scalar_type() == type;
  const Tensor converted = right ? tensor : torch::stable::to(tensor, type);
  return converted.is_contiguous() ? converted : torch::stable::contiguous(converted);
}

// The numbers of a float32 or float64 tensor on the host; PyTorch takes longer to convert a few.
inline std::vector<double> doubles(const Tensor& tensor) {
  const Tensor from = dense(tensor, tensor.scalar_type());
  const auto copy = [&](const auto* numbers) {
    return std::vector<double>(numbers, numbers + from.numel());
  };
  return from.scalar_type() == ScalarType::Float ? copy(from.const_data_ptr<float>())
                                                 : copy(from.const_data_ptr<double>());
}

// The sizes of one call; checks that its arguments fit together.
struct Shapes {
  int64_t batch, channels;
  Sizes size;

  Shapes(const Tensor& foreground, const std::optional<Tensor>& mask, const Tensor& background,
         const Tensor& theta, int64_t radius)
      : foreground_(foreground) {
    STD_TORCH_CHECK(foreground.dim() == 4 && background.dim() == 4 && theta.dim() == 3,
                    "compositor.blend: wanted (N, C, height, width) images and (N, 2, 3) theta");
    STD_TORCH_CHECK(scalar_of(foreground) != Scalar::kByte,
                    "compositor.blend: wanted floating-point images");
    batch = foreground.size(0);
    channels = foreground.size(1);
    size = {foreground.size(2), foreground.size(3), background.size(2), background.size(3)};
    check_canvas(background, channels, "background");
    if (mask) check_like(*mask, 1, size.h, size.w, "mask");
    const bool real =
        theta.scalar_type() == ScalarType::Double || theta.scalar_type() == ScalarType::Float;
    STD_TORCH_CHECK(theta.size(0) == batch && theta.size(1) == 2 && theta.size(2) == 3 && real &&
                        theta.device() == foreground.device(),
                    "compositor.blend: theta does not fit the other arguments");
    // Columns and rows are counted in 32 bits, offsets in 64. The margin is for the blur's reach.
    const int64_t most = std::numeric_limits<int32_t>::max() / 4;
    STD_TORCH_CHECK(std::max({size.h, size.w, size.height, size.width}) <= most && radius >= 0 &&
                        radius <= most / 4,
                    "compositor.blend: wanted sides below 2^29 pixels and 0 <= radius < 2^27");
    STD_TORCH_CHECK(std::min({size.h, size.w, size.height, size.width, channels}) > 0,
                    "compositor.blend: wanted no empty dimension but N");
  }

  void check_canvas(const Tensor& tensor, int64_t c, const char* name) const {
    check_like(tensor, c, size.height, size.width, name);
  }

 private:
  void check_like(const Tensor& tensor, int64_t c, int64_t y, int64_t x, const char* name) const {
    const bool fits = tensor.dim() == 4 && tensor.size(0) == batch && tensor.size(1) == c &&
                      tensor.size(2) == y && tensor.size(3) == x;
    STD_TORCH_CHECK(fits && tensor.scalar_type() == foreground_.scalar_type() &&
                        tensor.device() == foreground_.device(),
                    "compositor.blend: ", name, " does not fit the other arguments");
  }

  Tensor foreground_;
};

}  // namespace compositor
