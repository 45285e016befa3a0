// The programs of blocks of threads, for the device and for its emulation in the tests. The
// including file includes the standard headers.
#pragma once

#include "block.h"
#include "render_params.h"

namespace compositor::cuda {
namespace {

// clang-format off
#include "../common/scalar.h"
#include "../common/pixel.h"
#include "../common/footprint.h"
#include "image.h"
#include "sample.h"
#include "blur.h"
#include "forward.h"
#include "pull.h"
#include "backward_pixels.h"
#include "backward.h"
#include "gather.h"
#include "placed.h"
#include "shown.h"
#include "render_pixels.h"
#include "render.h"
#include "render_walk.h"
#include "render_pull.h"
#include "cut_out_pixel.h"
#include "render_gather.h"
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

template <typename T>
Split render_split(const RenderParams& p) {
  return Split::over(p.height, p.width, 0, RenderShared<T>::kRows, RenderShared<T>::kWidth);
}

template <typename T>
Split pull_split(const Reach& reach) {
  return split_of_box(reach.y1 - reach.y0, reach.x1 - reach.x0, reach.radius,
                      PullShared<T>::kHeight, PullShared<T>::kWidth);
}

}  // namespace
}  // namespace compositor::cuda
