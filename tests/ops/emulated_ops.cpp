// The CUDA kernels' programs behind plain C functions on tensors in host memory, for ctypes.
#include <vector>

#include "emulated_block.h"

using namespace compositor;
using namespace compositor::cuda;

namespace {

struct Tensor {
  void* data;  // null: none
  int64_t strides[4];
};

View view_of(const Tensor& tensor) {
  return {tensor.data, tensor.strides[0], tensor.strides[1], tensor.strides[2], tensor.strides[3]};
}

Theta theta_of(const Tensor& tensor, bool wide) {
  return {tensor.data, wide, tensor.strides[0], tensor.strides[1], tensor.strides[2]};
}

}  // namespace

extern "C" {

struct Call {
  Tensor foreground, mask, background, theta, composite, alpha;
  Tensor grad_composite, grad_alpha, grad_foreground, grad_mask, grad_background, grad_theta;
  int64_t batch, channels, h, w, height, width, radius, seed;
  int64_t scalar;  // Scalar
  int64_t wide_theta, straight_through, narrow, back;
  double threshold, sigma;
};

void run(const Call* call) {
  const Scalar scalar = static_cast<Scalar>(call->scalar);
  const bool wide = scalar == Scalar::kFloat64;
  BlendParams p{};
  p.size = {call->h, call->w, call->height, call->width};
  p.batch = call->batch;
  p.channels = static_cast<int>(call->channels);
  p.foreground = view_of(call->foreground);
  p.mask = view_of(call->mask);
  p.background = view_of(call->background);
  p.theta = theta_of(call->theta, call->wide_theta);
  p.radius = static_cast<int>(call->radius);
  const std::vector<double> taps = gaussian_taps(call->sigma, p.radius, wide ? 53 : 24);
  const std::vector<float> rounded(taps.begin(), taps.end());
  for (int k = 0; k <= std::min(p.radius, kFixedRadius); ++k) p.taps[k] = taps[k];
  p.far_taps = wide ? static_cast<const void*>(taps.data()) : rounded.data();
  p.threshold = call->threshold;
  p.straight_through = call->straight_through;
  p.composite = view_of(call->composite);
  p.alpha = view_of(call->alpha);
  p.grad_composite = view_of(call->grad_composite);
  p.grad_alpha = view_of(call->grad_alpha);
  p.grad_foreground = view_of(call->grad_foreground);
  p.grad_mask = view_of(call->grad_mask);
  p.grad_background = view_of(call->grad_background);
  p.grad_theta = theta_of(call->grad_theta, call->wide_theta);

  // Scratch that starts as NaN, as large as blend.cpp makes it.
  const double nan = __builtin_nan("");
  const Split split =
      wide ? backward_split<double>(p.size, p.radius) : backward_split<float>(p.size, p.radius);
  std::vector<double> partials(p.grad_theta.data ? p.batch * split.blocks() * 6 : 0, nan);
  const int64_t element = wide ? 8 : 4;
  std::vector<unsigned char> alpha, cover;
  if (p.grad_theta.data) p.theta_partials = partials.data();
  if (p.grad_foreground.data) {
    alpha.assign(p.batch * p.size.height * p.size.width * element, 0xff);
    p.alpha_plane = alpha.data();
  }
  if (p.grad_mask.data) {
    const int64_t grown = (p.size.height + 2 * p.radius) * (p.size.width + 2 * p.radius);
    cover.assign(p.batch * grown * element, 0xff);
    p.cover_plane = cover.data();
  }
  const unsigned seed = static_cast<unsigned>(call->seed);
  switch (scalar) {
    case Scalar::kFloat64:
      return emulate<double>(p, call->narrow, call->back, seed);
    case Scalar::kFloat32:
      return emulate<float>(p, call->narrow, call->back, seed);
    case Scalar::kBFloat16:
      return emulate<BFloat16>(p, call->narrow, call->back, seed);
    case Scalar::kFloat16:
      return emulate<Float16>(p, call->narrow, call->back, seed);
  }
}
}
