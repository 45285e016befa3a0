// What the dispatcher hands to a CUDA kernel: plain pointers, strides and options, by value.
#pragma once

#include <cstdint>

#include "../common/affine_map.h"
#include "../common/view.h"

namespace compositor::cuda {

// (N, 2, 3) in device memory, float32 or float64. The map is composed on the device, so that
// nothing waits for it and a CUDA graph can replay with new maps.
struct Theta {
  void* data = nullptr;
  bool wide = false;  // float64
  int64_t n = 0, row = 0, column = 0;
};

inline constexpr int kFixedRadius = 3;  // sigma 1, the default, has kernels of its own

// The mask's ramp: where it begins, in the mask's units, and 1 over the way from there to 1. In
// each computation type, as the reference rounds them: the device does not convert.
struct RampParams {
  double threshold, slope;
  float threshold32, slope32;

  static RampParams of(double threshold, Scalar scalar) {
    const float one = scalar == Scalar::kByte ? 255 : 1;
    const float narrow = static_cast<float>(threshold * one);
    return {threshold, 1 / (1 - threshold), narrow, 1 / (one - narrow)};
  }
};

struct BlendParams {
  Sizes size;
  int64_t batch;
  int channels;
  View foreground, mask, background;
  Theta theta;
  int radius;
  float taps[kFixedRadius + 1];  // [g(0), ..., g(radius)] where the radius is kFixedRadius
  const void* far_taps;          // the same for any other, in device memory and computation type
  RampParams ramp;
  bool straight_through;

  View composite, alpha;  // forward: written

  View grad_composite, grad_alpha;                   // backward: read
  View grad_foreground, grad_mask, grad_background;  // backward: written
  Theta grad_theta;                                  // backward: written
  double* theta_partials;                            // scratch, (N, tiles, 6), or null
  void* alpha_plane;  // scratch for grad_foreground: alpha, (N, H, W), computation type, or null
  void* cover_plane;  // for grad_mask: dL/dm, (N, H + 2 radius, W + 2 radius), likewise
};

}  // namespace compositor::cuda
