// Small tensors read and made without the dispatcher: it takes more than a microsecond a call, and
// one small picture would need a dozen of them.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <vector>

#include "../common/tensors.h"

namespace compositor::cpu {

template <typename To, typename From>
inline std::vector<To> read(const Tensor& tensor) {
  const auto sizes = tensor.sizes(), strides = tensor.strides();
  const size_t dimensions = sizes.size();
  const From* from = static_cast<const From*>(tensor.const_data_ptr());
  std::vector<To> values(tensor.numel());
  std::vector<int64_t> index(dimensions, 0);
  for (To& value : values) {
    value = static_cast<To>(*from);
    for (size_t k = dimensions; k-- > 0;) {
      from += strides[k];
      if (++index[k] < sizes[k]) break;
      from -= index[k] * strides[k];
      index[k] = 0;
    }
  }
  return values;
}

// The elements in order, whatever the strides: of float32 or float64, and of int64.
inline std::vector<double> doubles(const Tensor& tensor) {
  return tensor.scalar_type() == ScalarType::Double ? read<double, double>(tensor)
                                                    : read<double, float>(tensor);
}
inline std::vector<int64_t> integers(const Tensor& tensor) {
  return read<int64_t, int64_t>(tensor);
}

// A new tensor of up to four dimensions, contiguous and without values.
inline Tensor dense(torch::headeronly::IntHeaderOnlyArrayRef sizes, ScalarType type) {
  int64_t strides[4] = {1, 1, 1, 1};
  for (size_t k = sizes.size(); k-- > 1;) {
    strides[k - 1] = strides[k] * std::max<int64_t>(sizes[k], 1);
  }
  AtenTensorHandle made;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      sizes.size(), sizes.data(), strides,
      torch::stable::detail::to<int32_t>(torch::stable::detail::from(type)),
      aoti_torch_device_type_cpu(), 0, &made));
  return Tensor(made);
}

// Likewise, in the layout of another.
inline Tensor dense_like(const Tensor& like) {
  if (!like.is_contiguous()) return torch::stable::empty_like(like);
  return dense(like.sizes(), like.scalar_type());
}

}  // namespace compositor::cpu
