// A tensor as a kernel sees it: no library, a pointer and strides.
#pragma once

#include <cstdint>

namespace compositor {

// A (N, C, rows, columns) tensor; strides in elements. A mask or alpha has one channel.
struct View {
  void* data = nullptr;  // null: not given, or not requested
  int64_t n = 0, c = 0, y = 0, x = 0;
};

enum class Scalar { kFloat64, kFloat32, kBFloat16, kFloat16, kByte };

}  // namespace compositor
