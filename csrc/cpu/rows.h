// Passes over one canvas row, each a plain loop the compiler vectorises. Row buffers are indexed by
// canvas column, from -3 radius to W + 3 radius. Included once per instruction set.

#define COMPOSITOR_ROW_PASS __attribute__((noinline)) static
#define COMPOSITOR_SIMD _Pragma("omp simd")

// Offsets within a plane: 32 bits vectorise, 64 reach everything.
template <bool kUnit>
struct Index {
  using type = int64_t;
};
template <>
struct Index<true> {
  using type = int32_t;
};

template <typename T>
struct Coordinate {
  int index;   // the left (upper) of the two source pixels
  T fraction;  // the way from it to the other, in [0, 1)
};

// A coordinate whatever it is: NaN and far outside become -2, which touches no pixel.
template <typename T>
inline Coordinate<T> safe_coordinate(T u, int size) {
  const T bounded = u > T(-2) ? (u < T(size) ? u : T(size)) : T(-2);
  int index = static_cast<int>(bounded);
  index -= bounded < T(index);
  return {index, bounded - T(index)};
}

// Mask samples -> s, and dm/du, dm/dv times ds/dm where slopes are wanted. `kInside` needs all four
// source pixels in the frame.
template <bool kInside, bool kSlopes, typename S, typename T, typename I>
COMPOSITOR_ROW_PASS void cover_row(const S* __restrict mask, I sy, I sx, int h, int w,
                                   RowMap<T> row, Span span, T threshold, bool straight_through,
                                   T* __restrict s, T* __restrict slope_u, T* __restrict slope_v) {
  const T range = T(1) - threshold;
  COMPOSITOR_SIMD
  for (int j = span.begin; j < span.end; ++j) {
    const T x = T(j) - row.centre_x;
    const T u = row.au * x + row.u0, v = row.av * x + row.v0;
    T p00, p01, p10, p11, tx, ty;
    if constexpr (kInside) {
      const int x0 = static_cast<int>(u), y0 = static_cast<int>(v);
      tx = u - T(x0), ty = v - T(y0);
      const I at = I(y0) * sy + I(x0) * sx;
      p00 = load(mask[at]), p01 = load(mask[at + sx]);
      p10 = load(mask[at + sy]), p11 = load(mask[at + sy + sx]);
    } else {
      const Coordinate<T> cu = safe_coordinate(u, w), cv = safe_coordinate(v, h);
      const int x0 = cu.index, y0 = cv.index;
      tx = cu.fraction, ty = cv.fraction;
      const bool left = (x0 >= 0) & (x0 < w), right = (x0 >= -1) & (x0 < w - 1);
      const bool upper = (y0 >= 0) & (y0 < h), lower = (y0 >= -1) & (y0 < h - 1);
      const I at0 = I(upper ? y0 : 0) * sy, at1 = I(lower ? y0 + 1 : 0) * sy;
      const I from0 = I(left ? x0 : 0) * sx, from1 = I(right ? x0 + 1 : 0) * sx;
      p00 = load(mask[at0 + from0]), p01 = load(mask[at0 + from1]);
      p10 = load(mask[at1 + from0]), p11 = load(mask[at1 + from1]);
      p00 = left & upper ? p00 : T(0), p01 = right & upper ? p01 : T(0);
      p10 = left & lower ? p10 : T(0), p11 = right & lower ? p11 : T(0);
    }
    const T top = p00 + tx * (p01 - p00), bottom = p10 + tx * (p11 - p10);
    const T m = top + ty * (bottom - top);
    s[j] = m <= threshold ? T(0) : (m - threshold) / range;  // NaN stays NaN
    if constexpr (kSlopes) {
      const T gain = straight_through ? T(1) : (m > threshold ? T(1) / range : T(0));
      slope_u[j] = gain * ((p01 - p00) + ty * ((p11 - p10) - (p01 - p00)));
      slope_v[j] = gain * (bottom - top);
    }
  }
}

// out = g(0) rows[0] + sum_k g(k) (rows[-k] + rows[k]); the rows may be one row shifted.
template <int kRadius, typename T>
COMPOSITOR_ROW_PASS void blur_fixed(const T* const* rows, const T* taps, T* __restrict out,
                                    Span span) {
  const T* r[2 * kRadius + 1];
  T g[kRadius + 1];
  for (int k = 0; k <= 2 * kRadius; ++k) r[k] = rows[k];
  for (int k = 0; k <= kRadius; ++k) g[k] = taps[k];
  COMPOSITOR_SIMD
  for (int j = span.begin; j < span.end; ++j) {
    T total = g[0] * r[kRadius][j];
    for (int k = 1; k <= kRadius; ++k) total += g[k] * (r[kRadius - k][j] + r[kRadius + k][j]);
    out[j] = total;
  }
}

template <typename T>
COMPOSITOR_ROW_PASS void blur_centre(const T* __restrict row, T tap, T* __restrict out, Span span) {
  COMPOSITOR_SIMD
  for (int j = span.begin; j < span.end; ++j) out[j] = tap * row[j];
}

template <typename T>
COMPOSITOR_ROW_PASS void blur_pair(const T* __restrict a, const T* __restrict b, T tap,
                                   T* __restrict out, Span span) {
  COMPOSITOR_SIMD
  for (int j = span.begin; j < span.end; ++j) out[j] += tap * (a[j] + b[j]);
}

template <typename T>
inline void blur_rows(const T* const* rows, const T* taps, int radius, T* out, Span span) {
  if (radius == 3) return blur_fixed<3>(rows, taps, out, span);  // the default, sigma 1
  blur_centre(rows[radius], taps[0], out, span);
  for (int k = 1; k <= radius; ++k) {
    blur_pair(rows[radius - k], rows[radius + k], taps[k], out, span);
  }
}

// Where each canvas pixel's colour comes from, clamped to the frame's edge.
template <typename T, typename I>
struct Sources {
  I* at;      // offset of the upper left source pixel
  I* step_x;  // offset from it to its right neighbour, 0 where clamped; unused inside
  I* step_y;
  T* tx;
  T* ty;
};

template <bool kInside, typename T, typename I>
COMPOSITOR_ROW_PASS void locate_row(RowMap<T> row, Span span, int h, int w, I sy, I sx,
                                    Sources<T, I> to) {
  I* __restrict at = to.at;
  I* __restrict step_x = to.step_x;
  I* __restrict step_y = to.step_y;
  T* __restrict tx = to.tx;
  T* __restrict ty = to.ty;
  COMPOSITOR_SIMD
  for (int j = span.begin; j < span.end; ++j) {
    const T x = T(j) - row.centre_x;
    const T u = row.au * x + row.u0, v = row.av * x + row.v0;
    if constexpr (kInside) {
      const int x0 = static_cast<int>(u), y0 = static_cast<int>(v);
      at[j] = I(y0) * sy + I(x0) * sx;
      tx[j] = u - T(x0);
      ty[j] = v - T(y0);
    } else {
      const Coordinate<T> cu = safe_coordinate(u, w), cv = safe_coordinate(v, h);
      const bool across = (cu.index >= 0) & (cu.index < w - 1);
      const bool down = (cv.index >= 0) & (cv.index < h - 1);
      const int cx = min_of(max_of(cu.index, 0), w - 1), cy = min_of(max_of(cv.index, 0), h - 1);
      at[j] = I(cy) * sy + I(cx) * sx;
      step_x[j] = across ? sx : I(0);
      step_y[j] = down ? sy : I(0);
      tx[j] = cu.fraction;
      ty[j] = cv.fraction;
    }
  }
}

// Strides of one channel's row in the canvas-sized images a pass reads and writes.
template <bool kUnit>
struct Stride {
  int64_t x;
  int64_t operator()(int j) const { return kUnit ? j : j * x; }
};

// composite = alpha f + (1 - alpha) background, and the background itself where alpha is 0.
template <bool kInside, bool kUnit, typename S, typename T, typename I>
COMPOSITOR_ROW_PASS void blend_row(const S* __restrict colour, I sy, I sx, Sources<T, I> from,
                                   const T* __restrict alpha, const S* __restrict background,
                                   Stride<kUnit> background_at, S* __restrict out,
                                   Stride<kUnit> out_at, Span span) {
  const I* __restrict at = from.at;
  const I* __restrict step_x = from.step_x;
  const I* __restrict step_y = from.step_y;
  const T* __restrict tx = from.tx;
  const T* __restrict ty = from.ty;
  if (kUnit) sx = 1;
  COMPOSITOR_SIMD
  for (int j = span.begin; j < span.end; ++j) {
    const I across = kInside ? sx : step_x[j], down = kInside ? sy : step_y[j];
    const T p00 = load(colour[at[j]]), p01 = load(colour[at[j] + across]);
    const T p10 = load(colour[at[j] + down]), p11 = load(colour[at[j] + down + across]);
    const T top = p00 + tx[j] * (p01 - p00), bottom = p10 + tx[j] * (p11 - p10);
    const T f = top + ty[j] * (bottom - top);
    const T b = load(background[background_at(j)]);
    const T mixed = alpha[j] * f + (T(1) - alpha[j]) * b;
    store(out[out_at(j)], alpha[j] == T(0) ? b : mixed);
  }
}

// One channel of the backward's colour pass: adds to dL/dalpha, and to G df/du and G df/dv.
template <bool kInside, bool kUnit, typename S, typename T, typename I>
COMPOSITOR_ROW_PASS void colour_slopes_row(const S* __restrict colour, I sy, I sx,
                                           Sources<T, I> from, const T* __restrict alpha,
                                           const S* __restrict background,
                                           Stride<kUnit> background_at, const S* __restrict grad,
                                           Stride<kUnit> grad_at, T* __restrict grad_alpha,
                                           T* __restrict grad_u, T* __restrict grad_v, Span span) {
  const I* __restrict at = from.at;
  const I* __restrict step_x = from.step_x;
  const I* __restrict step_y = from.step_y;
  const T* __restrict tx = from.tx;
  const T* __restrict ty = from.ty;
  if (kUnit) sx = 1;
  COMPOSITOR_SIMD
  for (int j = span.begin; j < span.end; ++j) {
    const I across = kInside ? sx : step_x[j], down = kInside ? sy : step_y[j];
    const T p00 = load(colour[at[j]]), p01 = load(colour[at[j] + across]);
    const T p10 = load(colour[at[j] + down]), p11 = load(colour[at[j] + down + across]);
    const T top = p00 + tx[j] * (p01 - p00), bottom = p10 + tx[j] * (p11 - p10);
    const T f = top + ty[j] * (bottom - top);
    const T g = load(grad[grad_at(j)]), b = load(background[background_at(j)]);
    // Behind alpha 0 any colour may stand, infinities too; it must not reach theta.
    const bool counts = alpha[j] != T(0) || f - f == T(0);
    grad_alpha[j] += g * (counts ? f - b : T(0));
    grad_u[j] += g * ((p01 - p00) + ty[j] * ((p11 - p10) - (p01 - p00)));
    grad_v[j] += g * (bottom - top);
  }
}

// What one row adds to theta's gradient: the sums of (du, du x, dv, dv x) over its pixels.
struct RowSums {
  double u = 0, ux = 0, v = 0, vx = 0;
};

template <typename T>
COMPOSITOR_ROW_PASS void add_products(const T* __restrict weight, const T* __restrict du,
                                      const T* __restrict dv, T centre_x, Span span,
                                      RowSums& sums) {
  T u = 0, ux = 0, v = 0, vx = 0;
#pragma omp simd reduction(+ : u, ux, v, vx)
  for (int j = span.begin; j < span.end; ++j) {
    const T x = T(j) - centre_x;
    // Weight 0 silences the slope, an infinite one too.
    const T pu = weight[j] == T(0) ? T(0) : weight[j] * du[j];
    const T pv = weight[j] == T(0) ? T(0) : weight[j] * dv[j];
    u += pu;
    ux += pu * x;
    v += pv;
    vx += pv * x;
  }
  sums.u += u, sums.ux += ux, sums.v += v, sums.vx += vx;
}
