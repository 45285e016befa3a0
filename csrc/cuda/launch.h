// Turns a program of programs.h into a kernel.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels.h"
#include "programs.h"

namespace compositor::cuda {

// Blocks of threads for `count` pieces of work. A kernel strides over anything beyond a grid.
inline unsigned grid_of(int64_t count) {
  return static_cast<unsigned>(std::min<int64_t>(count, INT32_MAX));
}

// Calls launch(S(), I(), std::integral_constant<int, kRadius>()) for the right kernel.
template <typename F>
void with_types(Scalar scalar, bool narrow, int radius, F&& launch) {
  const auto with_storage = [&](auto storage) {
    if (has_fixed_kernel(scalar, narrow, radius)) {
      launch(storage, int32_t{}, std::integral_constant<int, kFixedRadius>());
    } else if (narrow) {
      launch(storage, int32_t{}, std::integral_constant<int, -1>());
    } else {
      launch(storage, int64_t{}, std::integral_constant<int, -1>());
    }
  };
  switch (scalar) {
    case Scalar::kFloat64:
      return launch(double{}, int64_t{}, std::integral_constant<int, -1>());
    case Scalar::kFloat32:
      return with_storage(float{});
    case Scalar::kBFloat16:
      return with_storage(BFloat16{});
    case Scalar::kFloat16:
      return with_storage(Float16{});
    case Scalar::kByte:  // refused before, by Shapes
      return;
  }
}

}  // namespace compositor::cuda
