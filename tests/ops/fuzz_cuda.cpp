// Random shapes, strides, options and maps through the CUDA kernels' programs on the host. Built
// with sanitizers, which see any step outside memory; every index of shared memory is asserted.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "emulated_block.h"
#include "random_images.h"

using namespace compositor;
using namespace compositor::cuda;

namespace {

template <typename S>
void run_once(Dice& dice) {
  using T = typename Compute<S>::type;
  const int channels = dice.roll(1, 4), radius = dice.coin() ? kFixedRadius : dice.roll(0, 20);
  const int h = dice.roll(1, 40), w = dice.roll(1, 40);
  const int height = dice.roll(1, 70), width = dice.roll(1, 140);
  const auto source = [&](int c) { return FuzzedImage(dice, c, h, w, sizeof(S), false); };
  const auto canvas = [&](int c) { return FuzzedImage(dice, c, height, width, sizeof(S), false); };
  auto foreground = source(channels), mask = source(1), grad_foreground = source(channels);
  auto grad_mask = source(1), background = canvas(channels), composite = canvas(channels);
  auto alpha = canvas(1), grad = canvas(channels), grad_background = canvas(channels);
  std::vector<double> theta = random_map(dice, w), grad_theta(6);
  const std::vector<double> taps = gaussian_taps(1.3, radius, 24);
  const std::vector<T> far_taps(taps.begin(), taps.end());

  BlendParams p{};
  p.size = {h, w, height, width};
  p.batch = 1;
  p.channels = channels;
  p.foreground = foreground.view;
  if (dice.roll(0, 3)) p.mask = mask.view;
  p.background = background.view;
  p.theta = {theta.data(), true, 6, 3, 1};
  p.radius = radius;
  for (int k = 0; k <= std::min(radius, kFixedRadius); ++k) p.taps[k] = taps[k];
  p.far_taps = far_taps.data();
  p.threshold = dice.coin() ? 0.3 : 0;
  p.straight_through = dice.coin();
  p.composite = composite.view;
  if (dice.coin()) p.alpha = alpha.view;
  const bool narrow = dice.coin();
  emulate<S>(p, narrow, false, dice.engine());

  p.grad_composite = grad.view;
  p.grad_alpha = p.alpha;
  const int64_t grown = (height + 2 * radius) * (width + 2 * radius);
  std::vector<T> alpha_plane(height * width), cover_plane(grown);
  std::vector<double> partials(6 * backward_split<T>(p.size, radius).blocks());
  if (dice.coin()) p.grad_background = grad_background.view;
  if (dice.coin()) {
    p.theta_partials = partials.data();
    p.grad_theta = {grad_theta.data(), true, 6, 3, 1};
  }
  if (dice.coin()) {
    p.grad_foreground = grad_foreground.view;
    p.alpha_plane = alpha_plane.data();
  }
  if (p.mask.data && dice.coin()) {
    p.grad_mask = grad_mask.view;
    p.cover_plane = cover_plane.data();
  }
  emulate<S>(p, narrow, true, dice.engine());
}

}  // namespace

int main(int, char** arguments) {
  Dice dice{std::mt19937(static_cast<unsigned>(std::atoi(arguments[1])))};
  for (int k = std::atoi(arguments[2]); k > 0; --k) {
    run_once<float>(dice);
    run_once<double>(dice);
  }
  std::puts("every access inside memory");
  return 0;
}
