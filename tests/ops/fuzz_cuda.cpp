// Random shapes, strides, options and maps through the CUDA kernels' programs on the host: one
// thread after the other, built with sanitizers that see any step outside memory, every index of
// shared memory asserted; or, where COMPOSITOR_THREADS is defined, on threads and barriers, built
// with the sanitizer that sees a barrier missing.
#include <cstdio>
#include <cstdlib>
#include <vector>

#ifdef COMPOSITOR_THREADS
#include "threaded_block.h"
#else
#include "emulated_block.h"
#endif
#include "emulated_launches.h"
#include "random_images.h"

using namespace compositor;
using namespace compositor::cuda;

namespace {

template <typename S>
void run_once(Dice& dice, Scalar scalar, int most_height, int most_width) {
  using T = typename Compute<S>::type;
  const int batch = dice.roll(1, 3), channels = dice.roll(1, 4);
  const int radius = dice.coin() ? kFixedRadius : dice.roll(0, 20);
  const int h = dice.roll(1, 40), w = dice.roll(1, 40);
  const int height = dice.roll(1, most_height), width = dice.roll(1, most_width);
  const auto source = [&](int c, Layout layout) {
    return FuzzedImage(dice, {batch, c, h, w}, sizeof(S), layout);
  };
  const auto canvas = [&](int c, Layout layout) {
    return FuzzedImage(dice, {batch, c, height, width}, sizeof(S), layout);
  };
  auto foreground = source(channels, Layout::kAny), mask = source(1, Layout::kAny);
  auto background = canvas(channels, Layout::kAny), grad = canvas(channels, Layout::kAny);
  auto grad_alpha = canvas(1, Layout::kAny), alpha = canvas(1, Layout::kWritten);
  auto composite = canvas(channels, Layout::kWritten);
  auto grad_foreground = source(channels, Layout::kWritten);
  auto grad_mask = source(1, Layout::kWritten);
  auto grad_background = canvas(channels, Layout::kWritten);
  std::vector<double> theta = random_maps(dice, batch, w), grad_theta(6 * batch);
  const std::vector<double> taps = gaussian_taps(1.3, radius, 24);
  std::vector<T> far_taps(taps.size());

  BlendParams p{};
  p.size = {h, w, height, width};
  p.batch = batch;
  p.channels = channels;
  p.foreground = foreground.view;
  if (dice.roll(0, 3)) p.mask = mask.view;
  p.background = background.view;
  p.theta = {theta.data(), true, 6, 3, 1};
  p.radius = radius;
  for (int k = 0; k <= std::min(radius, kFixedRadius); ++k) p.taps[k] = static_cast<float>(taps[k]);
  write_taps(taps.data(), taps.size(), sizeof(T) == 8, far_taps.data(), nullptr);
  p.far_taps = far_taps.data();
  p.set_threshold(dice.coin() ? 0.3 : 0, sizeof(T) == 8);
  p.straight_through = dice.coin();
  p.composite = composite.view;
  if (dice.coin()) p.alpha = alpha.view;
  const bool narrow = dice.coin();
  forward(p, scalar, narrow, nullptr);

  p.grad_composite = grad.view;
  if (dice.coin()) p.grad_alpha = grad_alpha.view;
  const int64_t grown = (height + 2 * radius) * (width + 2 * radius);
  std::vector<T> alpha_plane(batch * height * width), cover_plane(batch * grown);
  std::vector<double> partials(6 * batch * count_tiles(p.size, radius, scalar));
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
  backward(p, scalar, narrow, nullptr);
  gather(p, scalar, nullptr);
}

}  // namespace

int main(int count, char** arguments) {
  Dice dice{std::mt19937(static_cast<unsigned>(std::atoi(arguments[1])))};
#ifdef COMPOSITOR_THREADS
  if (count > 3) missing_barrier = std::atoi(arguments[3]);
  const int height = 40, width = 90;  // up to three tiles of each kind: a barrier is slow here
#else
  (void)count;
  const int height = 70, width = 140;
#endif
  for (int k = std::atoi(arguments[2]); k > 0; --k) {
    run_once<float>(dice, Scalar::kFloat32, height, width);
    run_once<double>(dice, Scalar::kFloat64, height, width);
  }
  std::puts("every access inside memory");
  return 0;
}
