// The programs of blocks of threads, for the device and for its emulation in the tests. The
// including file includes the standard headers.
#pragma once

#include "block.h"
#include "params.h"

namespace compositor::cuda {
namespace {

// clang-format off
#include "../common/scalar.h"
#include "../common/pixel.h"
#include "image.h"
#include "sample.h"
#include "blur.h"
#include "forward.h"
#include "pull.h"
#include "backward_pixels.h"
#include "backward.h"
#include "gather.h"
// clang-format on

template <typename T>
Split forward_split(const Sizes& size) {
  using Geometry = Tile<T, -1>;
  return Split::over(size.height, size.width, 0, Geometry::kHeight, Geometry::kWidth);
}

template <typename T>
Split backward_split(const Sizes& size, int radius) {
  using Geometry = Tile<T, -1>;
  return Split::over(size.height, size.width, radius, Geometry::kHeight, Geometry::kWidth);
}

}  // namespace
}  // namespace compositor::cuda
