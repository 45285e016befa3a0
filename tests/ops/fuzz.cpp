// Random shapes, strides, options and maps, sane and not, through the CPU kernels of every
// instruction set this machine runs. Built with sanitizers, which see any step outside memory.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "../../csrc/cpu/kernels.h"

using namespace compositor;
using namespace compositor::cpu;

namespace {

struct Dice {
  std::mt19937 engine;
  int roll(int low, int high) {
    return low + static_cast<int>(engine() % static_cast<unsigned>(high - low + 1));
  }
  bool coin() { return roll(0, 1) == 1; }
};

// An image's own allocation, exactly as large as the image, of bytes that are sometimes NaN.
struct Image {
  std::vector<unsigned char> bytes;
  View view;

  Image(Dice& dice, int channels, int rows, int columns, size_t element, bool unit_stride)
      : bytes(channels * rows * columns * element) {
    for (auto& byte : bytes)
      byte = dice.roll(0, 3) ? 0x3e : static_cast<unsigned char>(dice.engine());
    if (unit_stride || dice.coin()) {
      view = {bytes.data(), 0, int64_t{rows} * columns, columns, 1};
    } else {  // channels last
      view = {bytes.data(), 0, 1, int64_t{columns} * channels, channels};
    }
  }
};

std::vector<double> random_map(Dice& dice, int w) {
  std::normal_distribution<double> normal;
  const double scale = std::pow(10.0, dice.roll(-2, 2));
  std::vector<double> theta(6);
  for (double& t : theta) t = normal(dice.engine) * scale;
  if (dice.coin()) theta = {1, 0, dice.roll(-3, 3) * 2.0 / w, 0, 1, 0};  // on whole pixels
  const double strange[] = {NAN, INFINITY, 1e38, -1e300, 0};
  const int kind = dice.roll(0, 15);
  if (kind < 5) theta[dice.roll(0, 5)] = strange[kind];
  if (kind == 5) theta[0] = theta[1] = 0;
  if (kind == 6) theta.assign(6, 0);
  return theta;
}

void run_once(Dice& dice, Kernels kernels, size_t element, bool unit_stride) {
  const int channels = dice.roll(1, 3), radius = dice.roll(0, 9);
  const int h = dice.roll(1, 40), w = dice.roll(1, 40);
  const int height = dice.roll(1, 90), width = dice.roll(1, 90);
  const auto source = [&](int c) { return Image(dice, c, h, w, element, unit_stride); };
  const auto canvas = [&](int c) { return Image(dice, c, height, width, element, unit_stride); };
  Image foreground = source(channels), mask = source(1), grad_foreground = source(channels);
  Image grad_mask = source(1), background = canvas(channels), composite = canvas(channels);
  Image alpha = canvas(1), grad = canvas(channels), grad_background = canvas(channels);
  const std::vector<double> theta = random_map(dice, w), taps = gaussian_taps(1.3, radius, 24);
  const int64_t blocks = count_blocks(height);
  std::vector<double> partials(blocks * 6);

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
  if (dice.coin()) p.alpha = alpha.view;
  for (int64_t block = 0; block < blocks; ++block) kernels.forward(p, {0, block, block + 1});

  p.grad_composite = grad.view;
  p.grad_alpha = p.alpha;
  if (dice.coin()) p.theta_partials = partials.data();
  if (dice.coin()) p.grad_background = grad_background.view;
  if (dice.coin()) {
    for (int64_t block = 0; block < blocks; ++block) kernels.backward(p, {0, block, block + 1});
    return;
  }
  p.grad_foreground = grad_foreground.view;
  if (p.mask.data) p.grad_mask = grad_mask.view;
  kernels.backward(p, {0, 0, blocks});
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
