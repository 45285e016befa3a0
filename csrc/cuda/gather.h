// Sums over many canvas pixels for each foreground pixel, or for theta. There are no atomics, so
// the sums have a fixed order and two runs give the same bits.
//
// A source pixel finds its canvas pixels through the inverse map. Each candidate is located as in
// the forward, and counts with the weight it had there, so the search only must not miss any. It
// runs over canvas rows, and on each over the columns where u and v come near enough, in closed
// form; a slope of 0 means all columns or none. The rows follow from the map's determinant; if that
// is 0 or lost in rounding, they are all rows.

// Pixels [begin, end).
struct Range {
  int begin, end;
};

// The whole pixels of `within` between two bounds, which may be anything.
COMPOSITOR_DEVICE_INLINE Range whole_pixels(double from, double to, Range within) {
  // Compare as float64 first, since casting a value that int cannot hold is undefined. NaN keeps
  // all.
  const int begin = from > within.begin ? (from < within.end ? static_cast<int>(from) : within.end)
                                        : within.begin;
  const int end =
      to < within.end - 1 ? (to > begin - 1 ? static_cast<int>(to) + 1 : begin) : within.end;
  return {begin, end};
}

// A source coordinate as a function of the canvas pixel, and the bounds it must lie in, widened by
// more than rounding can move a coordinate.
struct Band {
  double along_x, along_y, offset;
  double low, high;

  COMPOSITOR_DEVICE_INLINE Band(double a, double b, double c, double epsilon, double far_x,
                                double far_y, double from, double to)
      : along_x(a), along_y(b), offset(c), low(from), high(to) {
    const double slack = 16 * epsilon *
                         (1 + magnitude(a) * far_x + magnitude(b) * far_y + magnitude(c) +
                          magnitude(from) + magnitude(to));
    low -= slack;
    high += slack;
  }

  // Canvas columns on the row y, about the centre, that lie in the band.
  COMPOSITOR_DEVICE_INLINE Range columns(double y, double centre, Range within) const {
    const double base = along_y * y + offset;
    if (along_x == 0) return base >= low && base <= high ? within : Range{0, 0};
    double from = (low - base) / along_x, to = (high - base) / along_x;
    if (along_x < 0) {
      const double swap = from;
      from = to;
      to = swap;
    }
    return whole_pixels(from + centre - 1, to + centre + 1, within);
  }
};

// Canvas rows that a point in both bands can lie on.
COMPOSITOR_DEVICE_INLINE Range rows_of(const Band& u, const Band& v, double centre, Range within) {
  const double left = u.along_x * v.along_y, right = u.along_y * v.along_x;
  const double determinant = left - right;
  // A determinant this small has too few correct digits.
  if (!(magnitude(determinant) > 1e-6 * (magnitude(left) + magnitude(right)))) return within;
  // y = (au (v - cv) - av (u - cu)) / determinant: its extremes over the two bands.
  double low = 0, high = 0;
  const auto add = [&](double factor, double from, double to) {
    const double one = factor * from, other = factor * to;
    low += one < other ? one : other;
    high += one < other ? other : one;
  };
  add(u.along_x / determinant, v.low - v.offset, v.high - v.offset);
  add(-v.along_x / determinant, u.low - u.offset, u.high - u.offset);
  // 1e-9 bounds the relative error that the determinant's digits leave.
  const double slack = 1 + 1e-9 * (magnitude(low) + magnitude(high));
  return whole_pixels(low + centre - slack, high + centre + slack, within);
}

// Calls f(i, j, point) for every canvas pixel of the box, which may reach beyond the canvas, whose
// coordinates may lie in [u_from, u_to] and [v_from, v_to]: for all that do, and some more.
template <typename T, typename F>
COMPOSITOR_DEVICE_INLINE void for_samples_near(const AffineMap<T>& map, const Box& box,
                                               double u_from, double u_to, double v_from,
                                               double v_to, F&& f) {
  // A coefficient too large for T: no coordinate is finite, and no sample touches anything.
  for (const T value : {map.au, map.bu, map.cu, map.av, map.bv, map.cv}) {
    if (!(value - value == T(0))) return;
  }
  const double epsilon = sizeof(T) == 8 ? 0x1p-52 : 0x1p-23;
  const auto farthest = [](double centre, int begin, int end) {
    const double before = centre - begin, behind = end - 1 - centre;
    return before > behind ? before : behind;
  };
  const double far_x = farthest(map.centre_x, box.x0, box.x1);
  const double far_y = farthest(map.centre_y, box.y0, box.y1);
  const Band u(map.au, map.bu, map.cu, epsilon, far_x, far_y, u_from, u_to);
  const Band v(map.av, map.bv, map.cv, epsilon, far_x, far_y, v_from, v_to);
  const Range all_columns{box.x0, box.x1};
  const Range rows = rows_of(u, v, map.centre_y, Range{box.y0, box.y1});
  for (int i = rows.begin; i < rows.end; ++i) {
    const double y = i - static_cast<double>(map.centre_y);
    const Range columns = v.columns(y, map.centre_x, u.columns(y, map.centre_x, all_columns));
    for (int j = columns.begin; j < columns.end; ++j) f(i, j, point_of(map, i, j));
  }
}

// The weight of source pixel x in a sample between `at.index` and the pixel after it.
template <typename T>
COMPOSITOR_DEVICE_INLINE T weight_of(int x, const Coordinate<T>& at) {
  return x == at.index ? T(1) - at.fraction : (x == at.index + 1 ? at.fraction : T(0));
}

// The same where the sample is clamped to the frame.
template <typename T>
COMPOSITOR_DEVICE_INLINE T clamped_weight(int x, const Coordinate<T>& at, int count) {
  if (within(at.index, count - 1)) return weight_of(x, at);
  return T(x == (at.index < 0 ? 0 : count - 1));
}

// Calls f(i, j, weight) for the canvas pixels of the box whose colour has source pixel (y, x) in
// it, with what it weighs there. Colour counts where alpha is not 0, so at most the radius away
// from the frame.
template <typename T, typename F>
COMPOSITOR_DEVICE_INLINE void for_colours_of(const AffineMap<T>& map, int h, int w, int radius,
                                             const Box& box, int y, int x, F&& f) {
  const auto reach = [&](T a, T b) {
    return 1 + radius * (magnitude(a) + magnitude(b));  // in source pixels
  };
  const double reach_u = reach(map.au, map.bu), reach_v = reach(map.av, map.bv);
  const double u_from = x > 0 ? x - 1 : -reach_u, u_to = x < w - 1 ? x + 1 : w - 1 + reach_u;
  const double v_from = y > 0 ? y - 1 : -reach_v, v_to = y < h - 1 ? y + 1 : h - 1 + reach_v;
  for_samples_near(map, box, u_from, u_to, v_from, v_to, [&](int i, int j, const Point<T>& at) {
    const T weight = clamped_weight(x, safe_coordinate(at.u, w), w) *
                     clamped_weight(y, safe_coordinate(at.v, h), h);
    if (!(weight == T(0))) f(i, j, weight);
  });
}

// The same of the mask, which is 0 beside its frame.
template <typename T, typename F>
COMPOSITOR_DEVICE_INLINE void for_masks_of(const AffineMap<T>& map, int h, int w, const Box& box,
                                           int y, int x, F&& f) {
  for_samples_near(map, box, x - 1, x + 1, y - 1, y + 1, [&](int i, int j, const Point<T>& at) {
    const T weight =
        weight_of(x, safe_coordinate(at.u, w)) * weight_of(y, safe_coordinate(at.v, h));
    if (!(weight == T(0))) f(i, j, weight);
  });
}

template <typename T>
struct GatherShared {
  Place<T> place;
};

// The canvas with a margin around it.
COMPOSITOR_DEVICE_INLINE Box grown_canvas(const Sizes& size, int margin) {
  return {-margin, -margin, static_cast<int>(size.height) + margin,
          static_cast<int>(size.width) + margin};
}

// dL/dforeground, from alpha and the gradient of the composite.
template <typename S, typename T>
COMPOSITOR_DEVICE_INLINE void gather_foreground(const BlendParams& p, const Place<T>& place, int y,
                                                int x) {
  constexpr int kGroup = 4;
  const auto grad = image_of<const S, int64_t>(p.grad_composite, place.image);
  const auto out = image_of<S, int64_t>(p.grad_foreground, place.image);
  const T* alpha_plane = static_cast<const T*>(p.alpha_plane);
  alpha_plane += place.image * p.size.height * p.size.width;
  for (int channel = 0; channel < p.channels; channel += kGroup) {
    T totals[kGroup] = {};
    for_colours_of(place.map, p.size.h, p.size.w, p.radius, grown_canvas(p.size, 0), y, x,
                   [&](int i, int j, T weight) {
                     const T alpha = alpha_plane[i * p.size.width + j];
                     if (alpha == T(0)) return;
#pragma unroll
                     for (int k = 0; k < kGroup; ++k) {
                       if (channel + k >= p.channels) continue;
                       totals[k] += weight * (alpha * fetch(grad.at(channel + k, i, j)));
                     }
                   });
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      if (channel + k < p.channels) store(*out.at(channel + k, y, x), totals[k]);
    }
  }
}

// dL/dmask, from dL/dm on the canvas grown by the radius.
template <typename S, typename T>
COMPOSITOR_DEVICE_INLINE void gather_mask(const BlendParams& p, const Place<T>& place, int y,
                                          int x) {
  const int64_t grown = p.size.width + 2 * int64_t{p.radius};
  const T* plane = static_cast<const T*>(p.cover_plane);
  plane += place.image * (p.size.height + 2 * int64_t{p.radius}) * grown;
  T total = 0;
  for_masks_of(place.map, p.size.h, p.size.w, grown_canvas(p.size, p.radius), y, x,
               [&](int i, int j, T weight) {
                 total += weight * plane[(i + p.radius) * grown + j + p.radius];
               });
  store(*image_of<S, int64_t>(p.grad_mask, place.image).at(0, y, x), total);
}

// A block takes a run of an image's source pixels, one per thread.
COMPOSITOR_HOST_DEVICE inline int64_t runs_of_pixels(const Sizes& size) {
  return (size.h * size.w + kThreads - 1) / kThreads;
}

template <typename S, typename Block, typename Shared>
COMPOSITOR_DEVICE_INLINE void gather_image(const BlendParams& p, int64_t number, Block& block,
                                           Shared& shared) {
  using T = typename Compute<S>::type;
  const int64_t pixels = p.size.h * p.size.w, runs = runs_of_pixels(p.size);
  const bool finite = find_place(p, Split{1, 1, 0, 1, 1}, number / runs, block, shared.place);
  block.each([&](int t) {
    const int64_t pixel = number % runs * kThreads + t;
    if (pixel >= pixels) return;
    const int y = static_cast<int>(pixel / p.size.w), x = static_cast<int>(pixel % p.size.w);
    if (finite) {
      if (p.grad_foreground.data) gather_foreground<S>(p, shared.place, y, x);
      if (p.grad_mask.data) gather_mask<S>(p, shared.place, y, x);
      return;
    }
    const T nan = static_cast<T>(__builtin_nan(""));
    if (p.grad_foreground.data) {
      const auto out = image_of<S, int64_t>(p.grad_foreground, shared.place.image);
      for (int c = 0; c < p.channels; ++c) store(*out.at(c, y, x), nan);
    }
    if (p.grad_mask.data) {
      store(*image_of<S, int64_t>(p.grad_mask, shared.place.image).at(0, y, x), nan);
    }
  });
}

struct ThetaShared {
  SharedArray<double, 192> sums;
};

// theta's gradient of one image: its tiles' moments in order, each of the six by 32 threads.
template <typename Block>
COMPOSITOR_DEVICE_INLINE void gather_theta(const BlendParams& p, int64_t tiles, int64_t image,
                                           Block& block, ThetaShared& shared) {
  typename Block::template Own<bool> finite;
  block.each([&](int t) {
    finite[t] = true;
    for (int k = 0; k < 6; ++k) {
      const double theta = theta_element(p.theta, image, k);
      if (!(theta - theta == 0)) finite[t] = false;
    }
    if (t >= 192 || !finite[t]) return;
    double total = 0;
    for (int64_t tile = t % 32; tile < tiles; tile += 32) {
      total += p.theta_partials[(image * tiles + tile) * 6 + t / 32];
    }
    shared.sums[t] = total;
  });
  block.each([&](int t) {
    if (t >= 6) return;
    const Factor factor = factor_of(t, p.size);
    double total = 0;
    if (finite[t]) {
      for (int k = 0; k < 32; ++k) total += shared.sums[t * 32 + k];
    }
    const double value = finite[t] ? total * (factor.length / factor.step) : __builtin_nan("");
    write_number(p.grad_theta.data, p.grad_theta.wide, theta_at(p.grad_theta, image, t), value);
  });
}
