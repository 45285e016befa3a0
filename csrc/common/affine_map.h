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

// Composed in float64 and rounded once, whatever type theta and the images have. Internal linkage:
// the CPU kernels compile this once per instruction set.
template <typename T>
COMPOSITOR_HOST_DEVICE static inline AffineMap<T> make_map(const double* theta, Sizes size) {
  const double h = static_cast<double>(size.h), w = static_cast<double>(size.w);
  const double height = static_cast<double>(size.height), width = static_cast<double>(size.width);
  return {
      static_cast<T>(theta[0] * w / width),
      static_cast<T>(theta[1] * w / height),
      static_cast<T>(theta[2] * w / 2 + (w - 1) / 2),
      static_cast<T>(theta[3] * h / width),
      static_cast<T>(theta[4] * h / height),
      static_cast<T>(theta[5] * h / 2 + (h - 1) / 2),
      static_cast<T>((width - 1) / 2),
      static_cast<T>((height - 1) / 2),
  };
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
