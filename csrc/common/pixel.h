// The mathematics of one pixel, the same on every device. Included by each kind of kernel inside
// its own unnamed namespace, after scalar.h: the CPU compiles it once per instruction set.

// Where a sample lies between two source pixels.
template <typename T>
struct Coordinate {
  int index;   // the left (upper) of the two source pixels
  T fraction;  // the way from it to the other, in [0, 1)
};

// A coordinate whatever it is: NaN and far outside become -2, which touches no pixel.
template <typename T>
COMPOSITOR_HOST_DEVICE inline Coordinate<T> safe_coordinate(T u, int size) {
  const T bounded = u > T(-2) ? (u < T(size) ? u : T(size)) : T(-2);
  int index = static_cast<int>(bounded);
  index -= bounded < T(index);
  return {index, bounded - T(index)};
}

// The bilinear sample and its slopes: nested lerps reproduce a constant neighbourhood exactly.
template <typename T>
struct Bilinear {
  T value, along_x, along_y;
};

template <typename T>
COMPOSITOR_HOST_DEVICE inline Bilinear<T> bilinear(T p00, T p01, T p10, T p11, T tx, T ty) {
  const T across_top = p01 - p00, across_bottom = p11 - p10;
  const T top = p00 + tx * across_top, bottom = p10 + tx * across_bottom;
  return {top + ty * (bottom - top), across_top + ty * (across_bottom - across_top), bottom - top};
}

// Mask sample -> s; `range` is 1 - threshold. What overshoots 1, as a resized mask does by an ulp,
// counts as 1. NaN stays NaN.
template <typename T>
COMPOSITOR_HOST_DEVICE inline T ramp(T m, T threshold, T range) {
  const T bounded = m > T(1) ? T(1) : m;
  return bounded <= threshold ? T(0) : (bounded - threshold) / range;
}

// ds/dm by mask_grad "exact".
template <typename T>
COMPOSITOR_HOST_DEVICE inline T ramp_slope(T m, T threshold, T range) {
  return (m > threshold) & (m <= T(1)) ? T(1) / range : T(0);
}

// composite = alpha f + (1 - alpha) background; the caller sees to alpha 0.
template <typename T>
COMPOSITOR_HOST_DEVICE inline T mix(T alpha, T f, T background) {
  return alpha * f + (1 - alpha) * background;
}

// d composite / d alpha. Behind alpha 0 any colour may stand, infinities too; it must not reach
// theta.
template <typename T>
COMPOSITOR_HOST_DEVICE inline T contrast(bool visible, T f, T background) {
  const bool counts = visible | (f - f == T(0));
  return counts ? f - background : T(0);
}

// What a slope adds to theta's gradient. Weight 0 silences the slope, an infinite one too.
template <typename T>
COMPOSITOR_HOST_DEVICE inline T weighted(T weight, T slope) {
  return weight == T(0) ? T(0) : weight * slope;
}
