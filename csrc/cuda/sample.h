// The four source pixels of a sample: of the mask, which is zero outside its frame, and of the
// colours, which are clamped to theirs. `kInside`: all four are known to be in the frame, and
// neighbouring columns to be neighbours in memory.

// A coordinate in [0, 2^31): rounded down in one instruction.
template <typename T>
COMPOSITOR_DEVICE_INLINE Coordinate<T> inner_coordinate(T u) {
#ifdef __CUDA_ARCH__
  int index;
  if constexpr (sizeof(T) == 8) {
    index = __double2int_rd(u);
  } else {
    index = __float2int_rd(u);
  }
#else
  const int index = static_cast<int>(u);
#endif
  return {index, u - T(index)};
}

template <typename T>
struct MaskSample {
  int x0, y0;  // the upper left of the four
  T tx, ty;
  T p00, p01, p10, p11;
  bool touches;  // any of the four is in the frame

  COMPOSITOR_DEVICE_INLINE Bilinear<T> value() const {
    return bilinear<true>(p00, p01, p10, p11, tx, ty);
  }
  // Adds numbers that are all 0 only if the sample's value and slopes stay as theta moves.
  template <typename Seen>
  COMPOSITOR_DEVICE_INLINE void add_steps(Seen& seen) const {
    seen.add(p01 - p00), seen.add(p11 - p10), seen.add(p10 - p00);
  }
};

// Whether 0 <= index < count, in one comparison.
COMPOSITOR_DEVICE_INLINE bool within(int index, int count) {
  return static_cast<unsigned>(index) < static_cast<unsigned>(count);
}

template <bool kInside, typename S, typename I, typename T>
COMPOSITOR_DEVICE_INLINE MaskSample<T> sample_mask(const Image<const S, I>& mask,
                                                   const Point<T>& at, int h, int w) {
  if constexpr (kInside) {
    const Coordinate<T> u = inner_coordinate(at.u), v = inner_coordinate(at.v);
    const I at = I(v.index) * mask.y + I(u.index);
    const S *upper = mask.data + at, *lower = mask.data + I(at + mask.y);
    return {u.index,          v.index,      u.fraction,       v.fraction, fetch(upper),
            fetch(upper + 1), fetch(lower), fetch(lower + 1), true};
  }
  const Coordinate<T> u = safe_coordinate(at.u, w), v = safe_coordinate(at.v, h);
  const int x = u.index, y = v.index;
  MaskSample<T> sample{x, y, u.fraction, v.fraction, 0, 0, 0, 0, false};
  sample.touches = within(x + 1, w + 1) && within(y + 1, h + 1);
  if (!sample.touches) return sample;
  const bool left = x >= 0, right = x < w - 1, upper = y >= 0, lower = y < h - 1;
  if (!mask.data) {  // the whole frame
    const T one = kOne<S>;
    sample.p00 = left && upper ? one : T(0), sample.p01 = right && upper ? one : T(0);
    sample.p10 = left && lower ? one : T(0), sample.p11 = right && lower ? one : T(0);
    return sample;
  }
  const S* corner = mask.at(0, y, x);  // read only where it is in the frame
  if (left && upper) sample.p00 = fetch(corner);
  if (right && upper) sample.p01 = fetch(corner + mask.x);
  if (left && lower) sample.p10 = fetch(corner + mask.y);
  if (right && lower) sample.p11 = fetch(corner + (mask.y + mask.x));
  return sample;
}

// What samples of the mask need, where their coordinates lie: kInside has neighbouring columns.
template <typename S, typename I>
COMPOSITOR_DEVICE_INLINE Where where_masked(const Image<const S, I>& mask, Where lies) {
  if (lies != Where::kInside) return lies;
  if (!mask.data) return Where::kCovered;
  return mask.x == 1 ? lies : Where::kAcross;
}

template <typename I, typename T>
struct ColourCorners {
  I at, right, below;  // offsets: of the upper left pixel, and from it to its neighbours
  T tx, ty;
};

template <bool kInside, typename S, typename I, typename T>
COMPOSITOR_DEVICE_INLINE ColourCorners<I, T> locate_colour(const Image<const S, I>& colours,
                                                           const Point<T>& at, int h, int w) {
  if constexpr (kInside) {
    const Coordinate<T> u = inner_coordinate(at.u), v = inner_coordinate(at.v);
    return {I(v.index) * colours.y + I(u.index), I(1), colours.y, u.fraction, v.fraction};
  }
  const Coordinate<T> u = safe_coordinate(at.u, w), v = safe_coordinate(at.v, h);
  const int x = u.index < 0 ? 0 : (u.index < w - 1 ? u.index : w - 1);
  const int y = v.index < 0 ? 0 : (v.index < h - 1 ? v.index : h - 1);
  const bool across = within(u.index, w - 1), down = within(v.index, h - 1);
  return {I(y) * colours.y + I(x) * colours.x, across ? colours.x : I(0), down ? colours.y : I(0),
          across ? u.fraction : T(0), down ? v.fraction : T(0)};
}

template <typename T>
struct FourPixels {
  T p00, p01, p10, p11;
};

template <typename S, typename I, typename T>
COMPOSITOR_DEVICE_INLINE FourPixels<T> fetch_colour(const Image<const S, I>& colours,
                                                    const ColourCorners<I, T>& corners,
                                                    int channel) {
  const I at = I(channel) * colours.c + corners.at;
  const S *upper = colours.data + at, *lower = colours.data + I(at + corners.below);
  return {fetch(upper), fetch(upper + corners.right), fetch(lower), fetch(lower + corners.right)};
}

template <typename S, typename I, typename T>
COMPOSITOR_DEVICE_INLINE Bilinear<T> sample_colour(const Image<const S, I>& colours,
                                                   const ColourCorners<I, T>& corners,
                                                   int channel) {
  const FourPixels<T> p = fetch_colour(colours, corners, channel);
  return bilinear<true>(p.p00, p.p01, p.p10, p.p11, corners.tx, corners.ty);
}

// The ramp of common/pixel.h for masks of S, its one division made by the host.
template <typename S>
struct Ramp {
  using T = typename Compute<S>::type;
  static constexpr T kMost = kOne<S>;
  T threshold, slope;

  explicit COMPOSITOR_DEVICE_INLINE Ramp(const RampParams& p) {
    if constexpr (sizeof(T) == 8) {
      threshold = p.threshold, slope = p.slope;
    } else {
      threshold = p.threshold32, slope = p.slope32;
    }
  }

  COMPOSITOR_DEVICE_INLINE T operator()(T m) const {
    const T above = m >= kMost ? T(1) : (m - threshold) * slope;  // 1 at 1, whatever the rounding
    return m <= threshold ? T(0) : above;
  }
  COMPOSITOR_DEVICE_INLINE T slope_at(T m) const {
    return (m > threshold) & (m <= kMost) ? slope : T(0);
  }
};

// alpha f + (1 - alpha) behind, its roundings spelled out: a layer's bits are those of a blend.
template <typename T>
COMPOSITOR_DEVICE_INLINE T blended(T alpha, T f, T behind) {
  return fused(alpha, f, (T(1) - alpha) * behind);
}
