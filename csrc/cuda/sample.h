// The four source pixels of a sample: of the mask, which is zero outside its frame, and of the
// colours, which are clamped to theirs.

template <typename T>
struct MaskSample {
  int x0, y0;  // the upper left of the four
  T tx, ty;
  T p00, p01, p10, p11;
  bool touches;  // any of the four is in the frame

  COMPOSITOR_DEVICE_INLINE Bilinear<T> value() const {
    return bilinear<true>(p00, p01, p10, p11, tx, ty);
  }
};

// Whether 0 <= index < count, in one comparison.
COMPOSITOR_DEVICE_INLINE bool within(int index, int count) {
  return static_cast<unsigned>(index) < static_cast<unsigned>(count);
}

template <typename S, typename I, typename T>
COMPOSITOR_DEVICE_INLINE MaskSample<T> sample_mask(const Image<const S, I>& mask,
                                                   const Point<T>& at, int h, int w) {
  const Coordinate<T> u = safe_coordinate(at.u, w), v = safe_coordinate(at.v, h);
  const int x = u.index, y = v.index;
  MaskSample<T> sample{x, y, u.fraction, v.fraction, 0, 0, 0, 0, false};
  sample.touches = within(x + 1, w + 1) && within(y + 1, h + 1);
  if (!sample.touches) return sample;
  const bool left = x >= 0, right = x < w - 1, upper = y >= 0, lower = y < h - 1;
  if (!mask.data) {  // the whole frame
    sample.p00 = left && upper, sample.p01 = right && upper;
    sample.p10 = left && lower, sample.p11 = right && lower;
    return sample;
  }
  const S* corner = mask.at(0, y, x);  // read only where it is in the frame
  if (left && upper) sample.p00 = fetch(corner);
  if (right && upper) sample.p01 = fetch(corner + mask.x);
  if (left && lower) sample.p10 = fetch(corner + mask.y);
  if (right && lower) sample.p11 = fetch(corner + (mask.y + mask.x));
  return sample;
}

template <typename I, typename T>
struct ColourCorners {
  I at, right, below;  // offsets: of the upper left pixel, and from it to its neighbours
  T tx, ty;
};

template <typename S, typename I, typename T>
COMPOSITOR_DEVICE_INLINE ColourCorners<I, T> locate_colour(const Image<const S, I>& colours,
                                                           const Point<T>& at, int h, int w) {
  const Coordinate<T> u = safe_coordinate(at.u, w), v = safe_coordinate(at.v, h);
  const int x = u.index < 0 ? 0 : (u.index < w - 1 ? u.index : w - 1);
  const int y = v.index < 0 ? 0 : (v.index < h - 1 ? v.index : h - 1);
  const bool across = within(u.index, w - 1), down = within(v.index, h - 1);
  return {I(y) * colours.y + I(x) * colours.x, across ? colours.x : I(0), down ? colours.y : I(0),
          across ? u.fraction : T(0), down ? v.fraction : T(0)};
}

template <typename S, typename I, typename T>
COMPOSITOR_DEVICE_INLINE Bilinear<T> sample_colour(const Image<const S, I>& colours,
                                                   const ColourCorners<I, T>& corners,
                                                   int channel) {
  const S* corner = colours.data + (I(channel) * colours.c + corners.at);
  return bilinear<true>(fetch(corner), fetch(corner + corners.right), fetch(corner + corners.below),
                        fetch(corner + (corners.below + corners.right)), corners.tx, corners.ty);
}
