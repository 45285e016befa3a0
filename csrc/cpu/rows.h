// Arithmetic over one canvas row, each pass a plain loop the compiler vectorises. Row buffers are
// indexed by canvas column, from -3 radius to W + 3 radius. Included once per instruction set.

template <bool kExact, typename S, typename T>
inline Bilinear<T> bilinear(Pair<S> upper, Pair<S> lower, T tx, T ty) {
  return bilinear<kExact, T>(load(upper.left), load(upper.right), load(lower.left),
                             load(lower.right), tx, ty);
}

// Mask samples -> s, and dm/du, dm/dv times ds/dm where slopes are wanted. `kExact`, here and
// below: as in lerp, where a sample has a weight of 0.
template <bool kSlopes, bool kExact, typename S, typename T, typename I>
COMPOSITOR_ROW_PASS void cover_row(Samples<S, T, I> mask, Span span, T threshold,
                                   bool straight_through, T* __restrict s, T* __restrict slope_u,
                                   T* __restrict slope_v) {
  const Pair<S>* __restrict top = mask.top;
  const Pair<S>* __restrict bottom = mask.bottom;
  const T* __restrict tx = mask.tx;
  const T* __restrict ty = mask.ty;
  const T range = T(kOne<S>) - threshold;
  const T above = straight_through ? T(1) : T(1) / range, below = straight_through ? T(1) : T(0);
  COMPOSITOR_SIMD
  for (int j = span.begin; j < span.end; ++j) {
    const Bilinear<T> m = bilinear<kExact>(top[j], bottom[j], tx[j], ty[j]);
    s[j] = ramp(m.value, threshold, range, T(kOne<S>));
    if constexpr (kSlopes) {
      const T gain = (m.value > threshold) & (m.value <= T(1)) ? above : below;
      slope_u[j] = gain * m.along_x;
      slope_v[j] = gain * m.along_y;
    }
  }
}

// Mask samples -> s, in place.
template <typename T>
COMPOSITOR_ROW_PASS void ramp_row(T* __restrict row, T threshold, T one, Span span) {
  COMPOSITOR_SIMD
  for (int j = span.begin; j < span.end; ++j) {
    row[j] = ramp(row[j], threshold, one - threshold, one);
  }
}

// Narrows a span to where a row is not zero (NaN is not), by whole chunks first, which vectorise.
template <typename T>
inline Span trim(const T* row, Span span) {
  constexpr int kChunk = 32;
  const auto zero = [row](int from) {
    int any = 0;
#pragma omp simd reduction(| : any)
    for (int j = from; j < from + kChunk; ++j) any |= !(row[j] == T(0));
    return !any;
  };
  while (span.size() >= kChunk && zero(span.begin)) span.begin += kChunk;
  while (!span.empty() && row[span.begin] == T(0)) ++span.begin;
  while (span.size() >= kChunk && zero(span.end - kChunk)) span.end -= kChunk;
  while (!span.empty() && row[span.end - 1] == T(0)) --span.end;
  return span;
}

// out = g(0) rows[0] + sum_k g(k) (rows[-k] + rows[k]); the rows may be shifts of a single row.
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

// Columns of one channel's row in the canvas-sized images a pass reads and writes.
template <bool kUnit>
struct Stride {
  int64_t x;
  int64_t operator()(int j) const { return kUnit ? j : j * x; }
};

// What becomes of a sampled colour before it is blended.
struct AsItIs {
  template <typename V>
  V operator()(V f) const {
    return f;
  }
  template <typename V>
  V slope(V along) const {
    return along;
  }
};

template <typename T>
struct Tone {
  T gain, bias;
  template <typename V>
  V operator()(V f) const {
    return gain * f + bias;
  }
  template <typename V>
  V slope(V along) const {
    return gain * along;
  }
};

// Of each channel.
struct AllAsTheyAre {
  AsItIs operator()(int64_t) const { return {}; }
};

template <typename T>
struct Tones {
  const double *gain, *bias;
  Tone<T> operator()(int64_t c) const { return {static_cast<T>(gain[c]), static_cast<T>(bias[c])}; }
};

// composite = alpha f + (1 - alpha) background, and the background itself where alpha is 0. `out`
// may be the background.
template <bool kUnit, bool kExact, typename S, typename T, typename I, typename B, typename Toned>
COMPOSITOR_ROW_PASS void blend_row(Samples<S, T, I> colour, const T* __restrict alpha,
                                   const B* background, Stride<kUnit> background_at, B* out,
                                   Stride<kUnit> out_at, Span span, Toned tone) {
  const Pair<S>* __restrict top = colour.top;
  const Pair<S>* __restrict bottom = colour.bottom;
  const T* __restrict tx = colour.tx;
  const T* __restrict ty = colour.ty;
  COMPOSITOR_SIMD
  for (int j = span.begin; j < span.end; ++j) {
    const T f = tone(bilinear<kExact>(top[j], bottom[j], tx[j], ty[j]).value);
    const T b = load(background[background_at(j)]);
    store(out[out_at(j)], alpha[j] == T(0) ? b : mix(alpha[j], f, b));
  }
}

// One channel of the backward's colour pass: adds to dL/dalpha, and to G df/du and G df/dv.
template <bool kUnit, bool kExact, typename S, typename T, typename I, typename B, typename Toned>
COMPOSITOR_ROW_PASS void colour_slopes_row(Samples<S, T, I> colour, const T* __restrict alpha,
                                           const B* __restrict background,
                                           Stride<kUnit> background_at, const B* __restrict grad,
                                           Stride<kUnit> grad_at, T* __restrict grad_alpha,
                                           T* __restrict grad_u, T* __restrict grad_v, Span span,
                                           Toned tone) {
  const Pair<S>* __restrict top = colour.top;
  const Pair<S>* __restrict bottom = colour.bottom;
  const T* __restrict tx = colour.tx;
  const T* __restrict ty = colour.ty;
  COMPOSITOR_SIMD
  for (int j = span.begin; j < span.end; ++j) {
    const Bilinear<T> f = bilinear<kExact>(top[j], bottom[j], tx[j], ty[j]);
    const T g = load(grad[grad_at(j)]), b = load(background[background_at(j)]);
    grad_alpha[j] += g * contrast(alpha[j] != T(0), tone(f.value), b);
    grad_u[j] += g * tone.slope(f.along_x);
    grad_v[j] += g * tone.slope(f.along_y);
  }
}

// dL/dgain and dL/dbias of one channel: the sums of G alpha f and of G alpha.
template <bool kUnit, bool kExact, typename S, typename T, typename I, typename B>
COMPOSITOR_ROW_PASS void tone_sums_row(Samples<S, T, I> colour, const T* __restrict alpha,
                                       const B* __restrict grad, Stride<kUnit> grad_at, Span span,
                                       double& to_gain, double& to_bias) {
  const Pair<S>* __restrict top = colour.top;
  const Pair<S>* __restrict bottom = colour.bottom;
  double by_colour = 0, plain = 0;
#pragma omp simd reduction(+ : by_colour, plain)
  for (int j = span.begin; j < span.end; ++j) {
    const T f = bilinear<kExact>(top[j], bottom[j], colour.tx[j], colour.ty[j]).value;
    const T weight = weighted(alpha[j], T(load(grad[grad_at(j)])));
    by_colour += weighted(weight, f);
    plain += weight;
  }
  to_gain += by_colour, to_bias += plain;
}

// One row's contribution to theta's gradient: the sums of (du, du x, dv, dv x) over its pixels, in
// float64, so that their order hardly matters.
struct RowSums {
  double u = 0, ux = 0, v = 0, vx = 0;
};

template <typename T>
COMPOSITOR_ROW_PASS void add_products(const T* __restrict weight, const T* __restrict du,
                                      const T* __restrict dv, T centre_x, Span span,
                                      RowSums& sums) {
  double u = 0, ux = 0, v = 0, vx = 0;
#pragma omp simd reduction(+ : u, ux, v, vx)
  for (int j = span.begin; j < span.end; ++j) {
    const double x = T(j) - centre_x;
    const double pu = weighted(weight[j], du[j]), pv = weighted(weight[j], dv[j]);
    u += pu;
    ux += pu * x;
    v += pv;
    vx += pv * x;
  }
  sums.u += u, sums.ux += ux, sums.v += v, sums.vx += vx;
}
