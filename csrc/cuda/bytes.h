// Numbers of the host as bytes to send to the device.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

namespace compositor::cuda {

using Bytes = std::vector<char>;

template <typename T>
void append(Bytes& bytes, const T* values, int64_t count) {
  const size_t at = bytes.size();
  bytes.resize(at + count * sizeof(T));
  if (count) std::memcpy(bytes.data() + at, values, count * sizeof(T));
}

// The first `count` numbers in the computation type.
inline void append_as(Bytes& bytes, const std::vector<double>& values, int64_t count, bool wide) {
  if (wide) return append(bytes, values.data(), count);
  const std::vector<float> narrow(values.begin(), values.begin() + count);
  append(bytes, narrow.data(), count);
}

}  // namespace compositor::cuda
