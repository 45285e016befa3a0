// Random shapes, strides, options and maps, sane and not, through the CPU kernels of every
// instruction set this machine runs. Built with sanitizers, which see any step outside memory.
#include <cstdio>
#include <cstdlib>

#include "../../csrc/cpu/kernels.h"
#include "random_images.h"

using namespace compositor;
using namespace compositor::cpu;

namespace {

void run_once(Dice& dice, Kernels kernels, size_t element, bool unit_stride) {
  const int batch = dice.roll(1, 3), channels = dice.roll(1, 3), radius = dice.roll(0, 9);
  const int h = dice.roll(1, 40), w = dice.roll(1, 40);
  const int height = dice.roll(1, 90), width = dice.roll(1, 90);
  const Layout read = unit_stride ? Layout::kUnitStride : Layout::kAny;
  const Layout written = unit_stride ? Layout::kWrittenUnitStride : Layout::kWritten;
  const auto source = [&](int c, Layout layout) {
    return FuzzedImage(dice, {batch, c, h, w}, element, layout);
  };
  const auto canvas = [&](int c, Layout layout) {
    return FuzzedImage(dice, {batch, c, height, width}, element, layout);
  };
  auto foreground = source(channels, read), mask = source(1, read);
  auto background = canvas(channels, read), composite = canvas(channels, written);
  auto grad = canvas(channels, read), grad_background = canvas(channels, written);
  // Any strides, whichever kernel it is.
  auto alpha = canvas(1, Layout::kWritten), grad_alpha = canvas(1, Layout::kAny);
  auto grad_foreground = source(channels, Layout::kWritten);
  auto grad_mask = source(1, Layout::kWritten);
  const std::vector<double> theta = random_maps(dice, batch, w);
  const std::vector<double> taps = gaussian_taps(1.3, radius, 24);
  const int64_t blocks = count_blocks(height);
  std::vector<double> partials(batch * blocks * 6);

  BlendParams p{};
  p.size = {h, w, height, width};
  p.channels = channels;
  p.foreground = foreground.view;
  if (dice.roll(0, 3)) p.mask = mask.view;
  p.background = background.view;
  p.theta = theta.data();
  p.taps = taps.data();
  p.radius = radius;
  p.threshold = dice.coin() ? 0.3 : 0;
  p.straight_through = dice.coin();
  p.composite = composite.view;
  p.past_caches = dice.coin();
  if (dice.coin()) p.alpha = alpha.view;
  const auto by_blocks = [&](auto kernel) {
    for (int64_t k = 0; k < batch * blocks; ++k) {
      kernel(p, {k / blocks, k % blocks, k % blocks + 1});
    }
  };
  by_blocks(kernels.forward);

  p.grad_composite = grad.view;
  if (dice.coin()) p.grad_alpha = grad_alpha.view;
  if (dice.coin()) p.theta_partials = partials.data();
  if (dice.coin()) p.grad_background = grad_background.view;
  if (dice.coin()) return by_blocks(kernels.backward);
  p.grad_foreground = grad_foreground.view;
  if (p.mask.data) p.grad_mask = grad_mask.view;
  for (int64_t n = 0; n < batch; ++n) kernels.backward(p, {n, 0, blocks});
}

}  // namespace

int main(int, char** arguments) {
  Dice dice{std::mt19937(static_cast<unsigned>(std::atoi(arguments[1])))};
  for (int k = std::atoi(arguments[2]); k > 0; --k) {
    for (const bool unit_stride : {true, false}) {
      run_once(dice, baseline::kernels(Scalar::kFloat32, unit_stride), 4, unit_stride);
#ifdef COMPOSITOR_BUILD_AVX2
      if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) continue;
      run_once(dice, avx2::kernels(Scalar::kFloat32, unit_stride), 4, unit_stride);
      run_once(dice, avx2::kernels(Scalar::kBFloat16, unit_stride), 2, unit_stride);
      run_once(dice, avx2::kernels(Scalar::kFloat64, unit_stride), 8, unit_stride);
#endif
    }
  }
  std::puts("every access inside memory");
  return 0;
}
