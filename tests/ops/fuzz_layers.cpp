// As fuzz.cpp, layers of cut-outs on canvases, bytes too.
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "../../csrc/cpu/kernels.h"
#include "random_images.h"

using namespace compositor;
using namespace compositor::cpu;

namespace {

// A cut-out, its maps and tones, and room for its gradients.
struct CutOut {
  int h, w;
  FuzzedImage foreground, mask;
  std::vector<double> grad_foreground, grad_mask;

  CutOut(Dice& dice, int channels, size_t element, Layout read)
      : h(dice.roll(1, 40)),
        w(dice.roll(1, 40)),
        foreground(dice, {1, channels, h, w}, element, read),
        mask(dice, {1, 1, h, w}, element, read),
        grad_foreground(channels * h * w),
        grad_mask(h * w) {}
};

void run_once(Dice& dice, Kernels kernels, size_t element, bool unit_stride) {
  const int batch = dice.roll(1, 3), channels = dice.roll(1, 4), count = dice.roll(0, 7);
  const int height = dice.roll(1, 90), width = dice.roll(1, 90);
  const Layout read = unit_stride ? Layout::kUnitStride : Layout::kAny;
  const Layout written = unit_stride ? Layout::kWrittenUnitStride : Layout::kWritten;
  const std::array<int, 4> shape = {batch, channels, height, width};
  const FuzzedImage background(dice, shape, element, read),
      composite(dice, shape, element, written);
  const FuzzedImage grad(dice, shape, element, Layout::kAny);
  const FuzzedImage grad_background(dice, shape, element, Layout::kWritten);
  std::vector<std::unique_ptr<CutOut>> cut_outs;
  for (int k = 0; k < 3; ++k) {
    cut_outs.push_back(std::make_unique<CutOut>(dice, channels, element, read));
  }

  const bool masked = dice.roll(0, 3) > 0, toned = dice.coin();
  std::vector<std::vector<double>> taps, maps;
  const std::vector<double> gain(channels, 0.7), bias(channels, 0.1);
  std::vector<Layer> layers;
  std::vector<int64_t> begins = {0};
  for (int n = 0; n < batch; ++n) {
    for (int l = dice.roll(0, count); l > 0; --l) {
      CutOut& of = *cut_outs[dice.roll(0, 2)];
      const int radius = dice.roll(0, 9);
      taps.push_back(gaussian_taps(1.3, radius, 24));
      maps.push_back(random_maps(dice, 1, of.w));
      Layer layer{};
      layer.size = {of.h, of.w, height, width};
      layer.foreground = of.foreground.view;
      if (masked) layer.mask = of.mask.view;
      layer.radius = radius;
      if (toned) layer.gain = gain.data(), layer.bias = bias.data();
      layer.number = static_cast<int32_t>(layers.size());
      // Room for the widest type.
      layer.grad_foreground = of.grad_foreground.data();
      if (masked) layer.grad_mask = of.grad_mask.data();
      layers.push_back(layer);
    }
    begins.push_back(layers.size());
  }
  for (size_t l = 0; l < layers.size(); ++l) {
    layers[l].taps = taps[l].data(), layers[l].theta = maps[l].data();
  }

  const int64_t total = layers.size(), blocks = count_blocks(height);
  std::vector<int32_t> owner(batch * height * width);
  std::vector<Shown> shown(blocks * total);
  RenderParams p{};
  p.channels = channels, p.height = height, p.width = width;
  p.layers = layers.data(), p.begins = begins.data(), p.layer_count = total;
  p.threshold = dice.coin() ? 0.3 : 0;
  p.straight_through = dice.coin();
  p.background = background.view, p.composite = composite.view;
  if (dice.coin()) p.owner = owner.data(), p.shown = shown.data();
  for (int64_t k = 0; k < batch * blocks; ++k) {
    kernels.render(p, {k / blocks, k % blocks, k % blocks + 1});
  }

  if (!kernels.render_backward) return;
  std::vector<double> theta(6 * total), tones(2 * channels * total);
  p.grad_composite = grad.view;
  if (dice.coin()) p.grad_background = grad_background.view;
  if (dice.coin()) p.grad_theta = theta.data();
  if (dice.coin()) p.grad_gain = tones.data(), p.grad_bias = tones.data() + channels * total;
  p.grad_mask = masked;
  for (int64_t n = 0; n < batch; ++n) kernels.render_backward(p, {n, 0, blocks});
}

}  // namespace

int main(int, char** arguments) {
  Dice dice{std::mt19937(static_cast<unsigned>(std::atoi(arguments[1])))};
  for (int k = std::atoi(arguments[2]); k > 0; --k) {
    for (const bool unit_stride : {true, false}) {
      run_once(dice, baseline::kernels(Scalar::kByte, unit_stride), 1, unit_stride);
      run_once(dice, baseline::kernels(Scalar::kFloat32, unit_stride), 4, unit_stride);
#ifdef COMPOSITOR_BUILD_AVX2
      if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) continue;
      run_once(dice, avx2::kernels(Scalar::kByte, unit_stride), 1, unit_stride);
      run_once(dice, avx2::kernels(Scalar::kFloat32, unit_stride), 4, unit_stride);
      run_once(dice, avx2::kernels(Scalar::kBFloat16, unit_stride), 2, unit_stride);
      run_once(dice, avx2::kernels(Scalar::kFloat64, unit_stride), 8, unit_stride);
#endif
    }
  }
  std::puts("every access inside memory");
  return 0;
}
