// The mathematics of one pixel, the same on every device. Each kind of kernel includes this in its
// own unnamed namespace, after scalar.h: the CPU compiles it once per instruction set.

// Where a sample lies between two source pixels.
template <typename T>
struct Coordinate {
  int index;   // the left (upper) of the two source pixels
  T fraction;  // the position between them, in [0, 1)
};

// Splits any coordinate safely: NaN, and anything far outside, touches no pixel.
template <typename T>
COMPOSITOR_HOST_DEVICE inline Coordinate<T> safe_coordinate(T u, int size) {
  const T bounded = u > T(-2) ? (u < T(size) ? u : T(size)) : T(-2);
  int index = static_cast<int>(bounded);
  index -= bounded < T(index);
  return {index, bounded - T(index)};
}

// The way from p to q: a constant neighbourhood is reproduced exactly. `kExact`: what has a weight
// of 0 does not count, infinities and NaN included; else 0 times these is NaN.
template <bool kExact, typename T>
COMPOSITOR_HOST_DEVICE inline T lerp(T p, T q, T t) {
  const T value = p + t * (q - p);
  if constexpr (kExact) return t == T(0) ? p : value;
  return value;
}

// The bilinear sample and its slopes; on a pixel they are those to the right and down.
template <typename T>
struct Bilinear {
  T value, along_x, along_y;
};

template <bool kExact, typename T>
COMPOSITOR_HOST_DEVICE inline Bilinear<T> bilinear(T p00, T p01, T p10, T p11, T tx, T ty) {
  const T top = lerp<kExact>(p00, p01, tx), bottom = lerp<kExact>(p10, p11, tx);
  return {lerp<kExact>(top, bottom, ty), lerp<false>(p01 - p00, p11 - p10, ty), bottom - top};
}

// Mask sample -> s; `range` is 1 - threshold. Samples above 1, which a resized mask overshoots by
// an ulp, count as 1. NaN stays NaN.
template <typename T>
COMPOSITOR_HOST_DEVICE inline T ramp(T m, T threshold, T range, T one = T(1)) {
  const T bounded = m > one ? one : m;
  return bounded <= threshold ? T(0) : (bounded - threshold) / range;
}

// ds/dm for mask_grad "exact".
template <typename T>
COMPOSITOR_HOST_DEVICE inline T ramp_slope(T m, T threshold, T range) {
  return (m > threshold) & (m <= T(1)) ? T(1) / range : T(0);
}

// composite = alpha f + (1 - alpha) background; the caller handles alpha 0.
template <typename T>
COMPOSITOR_HOST_DEVICE inline T mix(T alpha, T f, T background) {
  return alpha * f + (1 - alpha) * background;
}

// d composite / d alpha. Where alpha is 0 the colour may be anything, infinity included; it must
// not reach theta.
template <typename T>
COMPOSITOR_HOST_DEVICE inline T contrast(bool visible, T f, T background) {
  const bool counts = visible | (f - f == T(0));
  return counts ? f - background : T(0);
}

// A slope's contribution to theta's gradient. Weight 0 drops the slope, even an infinite one.
template <typename T>
COMPOSITOR_HOST_DEVICE inline T weighted(T weight, T slope) {
  return weight == T(0) ? T(0) : weight * slope;
}
