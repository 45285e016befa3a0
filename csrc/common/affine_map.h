// The affine map of one image, and the blur's taps, as the reference defines them and all kernels
// use them.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#ifdef __CUDACC__
#define COMPOSITOR_HOST_DEVICE __host__ __device__
#else
#define COMPOSITOR_HOST_DEVICE
#endif

namespace compositor {

// Canvas pixel (i, j) -> foreground pixel (v, u), about the two centres:
//   x = j - (W-1)/2, y = i - (H-1)/2;  u = au x + (bu y + cu),  v = av x + (bv y + cv).
// The identity, flips and quarter turns are exact in this form, the last row and column included.
template <typename T>
struct AffineMap {
  T au, bu, cu;
  T av, bv, cv;
  T centre_x, centre_y;  // (W-1)/2, (H-1)/2
};

struct Sizes {
  int64_t h, w;           // foreground
  int64_t height, width;  // canvas
};

// The factor from element k of theta to its coefficient: the frame's side over the canvas's.
struct Factor {
  double length, step;
};
COMPOSITOR_HOST_DEVICE static inline Factor factor_of(int k, Sizes size) {
  const int column = k % 3;
  const int64_t step = column == 0 ? size.width : (column == 1 ? size.height : 2);
  return {static_cast<double>(k < 3 ? size.w : size.h), static_cast<double>(step)};
}

// Coefficient k of au, bu, cu, av, bv, cv. Composed in float64 and rounded once, whatever type
// theta and the images have. Internal linkage: the CPU kernels compile this once per instruction
// set.
template <typename T>
COMPOSITOR_HOST_DEVICE static inline T make_coefficient(double theta, int k, Sizes size) {
  const Factor factor = factor_of(k, size);
  const double value = theta * factor.length / factor.step;
  return static_cast<T>(k % 3 == 2 ? value + (factor.length - 1) / 2 : value);
}

template <typename T>
COMPOSITOR_HOST_DEVICE static inline AffineMap<T> make_map(const double* theta, Sizes size) {
  const auto coefficient = [&](int k) { return make_coefficient<T>(theta[k], k, size); };
  return {coefficient(0),
          coefficient(1),
          coefficient(2),
          coefficient(3),
          coefficient(4),
          coefficient(5),
          static_cast<T>((static_cast<double>(size.width) - 1) / 2),
          static_cast<T>((static_cast<double>(size.height) - 1) / 2)};
}

// How far the blur has to reach, if that is less than the radius: from any canvas pixel to any
// sample that can touch the frame. Taps beyond meet zeros only. Computed only for a blur wider than
// the canvas, and unknown for a map that is nearly singular.
COMPOSITOR_HOST_DEVICE inline int64_t reach_of(const double* theta, Sizes size, int64_t radius) {
  if (radius <= size.height || radius <= size.width) return radius;
  const auto absolute = [](double x) { return x < 0 ? -x : x; };
  const AffineMap<double> map = make_map<double>(theta, size);
  const double far_x = map.centre_x + radius, far_y = map.centre_y + radius;
  // The frame with a pixel around it, seen from the canvas's centre, and room for rounding.
  const auto farthest = [&](double a, double b, double c, int64_t length) {
    const double middle = static_cast<double>(length - 1) / 2;
    return absolute(c - middle) + middle + 1 +
           1e-5 * (absolute(a) * far_x + absolute(b) * far_y + absolute(c) + middle);
  };
  const double u = farthest(map.au, map.bu, map.cu, size.w);
  const double v = farthest(map.av, map.bv, map.cv, size.h);
  const double left = map.au * map.bv, right = map.bu * map.av;
  const double determinant = absolute(left - right);
  if (!(determinant > 1e-4 * (absolute(left) + absolute(right)))) return radius;
  const double x = (absolute(map.bv) * u + absolute(map.bu) * v) / determinant + map.centre_x;
  const double y = (absolute(map.av) * u + absolute(map.au) * v) / determinant + map.centre_y;
  const double reach = 1.01 * (x < y ? y : x) + 2;
  return reach < static_cast<double>(radius) ? static_cast<int64_t>(reach) : radius;
}

// [g(0), ..., g(radius)], each a multiple of half an ulp of 1 in the computation type (`digits` is
// 24 or 53); the centre takes the rest. So partial sums are exact, and alpha is exactly 1 where the
// mask is 1 all around.
inline std::vector<double> gaussian_taps(double sigma, int64_t radius, int digits) {
  std::vector<double> taps(radius + 1);
  double total = 0;
  for (int64_t k = 0; k <= radius; ++k) {
    const double z = static_cast<double>(k) / sigma;
    taps[k] = sigma > 0 ? std::exp(-0.5 * z * z) : (k == 0 ? 1.0 : 0.0);
    total += (k == 0 ? 1 : 2) * taps[k];
  }
  const double grid = std::ldexp(1.0, digits);
  double outer = 0;
  for (int64_t k = 1; k <= radius; ++k) {
    taps[k] = std::nearbyint(taps[k] / total * grid) / grid;
    outer += taps[k];
  }
  taps[0] = 1 - 2 * outer;
  return taps;
}

}  // namespace compositor
