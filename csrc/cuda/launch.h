// Turns a program of programs.h into a kernel.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels.h"
#include "programs.h"

namespace compositor::cuda {

// Calls launch(first, blocks) for grids of one block for each of `count` pieces of work. More than
// one grid takes more than 2^31 pieces; a loop in the kernel would keep registers for it.
template <typename F>
void for_grids(int64_t count, F&& launch) {
  for (int64_t first = 0; first < count; first += INT32_MAX) {
    launch(first, static_cast<unsigned>(std::min<int64_t>(count - first, INT32_MAX)));
  }
}

// Calls f with a value of the images' type.
template <typename F>
void with_storage(Scalar scalar, F&& f) {
  switch (scalar) {
    case Scalar::kFloat64:
      return f(double{});
    case Scalar::kFloat32:
      return f(float{});
    case Scalar::kBFloat16:
      return f(BFloat16{});
    case Scalar::kFloat16:
      return f(Float16{});
    case Scalar::kByte:  // of render alone; others are refused before
      return;
  }
}

// Calls launch(S(), I()) for the right kernel: of images of any type, bytes too.
template <typename F>
void with_images(Scalar scalar, bool narrow, F&& launch) {
  const auto indexed = [&](auto storage) {
    if constexpr (sizeof(storage) < 8) {
      if (narrow) return launch(storage, int32_t{});
    }
    launch(storage, int64_t{});
  };
  if (scalar == Scalar::kByte) return indexed(Byte{});
  with_storage(scalar, indexed);
}

// Calls launch(S(), I(), std::integral_constant<int, kRadius>()) for the right kernel.
template <typename F>
void with_types(Scalar scalar, bool narrow, int radius, F&& launch) {
  with_storage(scalar, [&](auto storage) {
    if constexpr (sizeof(storage) == 8) {
      launch(storage, int64_t{}, std::integral_constant<int, -1>());
    } else if (has_fixed_kernel(scalar, narrow, radius)) {
      launch(storage, int32_t{}, std::integral_constant<int, kFixedRadius>());
    } else if (narrow) {
      launch(storage, int32_t{}, std::integral_constant<int, -1>());
    } else {
      launch(storage, int64_t{}, std::integral_constant<int, -1>());
    }
  });
}

}  // namespace compositor::cuda
