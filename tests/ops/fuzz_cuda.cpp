// Random shapes, strides, options and maps through the CUDA kernels' programs on the host: one
// thread after the other, built with sanitizers that see any step outside memory, every index of
// shared memory asserted; or, where COMPOSITOR_THREADS is defined, on threads and barriers, built
// with the sanitizer that sees a barrier missing. Arguments: a seed, how often, which barrier to
// leave out, and blend or render for one of them alone.
#include <cstdio>
#include <cstdlib>
#include <list>
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
  std::copy(taps.begin(), taps.end(), far_taps.begin());
  p.far_taps = far_taps.data();
  p.ramp = RampParams::of(dice.coin() ? 0.3 : 0, scalar);
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

// Cut-outs of sizes of their own as layers of canvases.
template <typename S>
void run_layers(Dice& dice, Scalar scalar, int most_height, int most_width) {
  using T = typename Compute<S>::type;
  const int batch = dice.roll(1, 2), channels = dice.roll(1, 4);
  const int height = dice.roll(1, most_height), width = dice.roll(1, most_width);
  const std::array<int, 4> canvas = {batch, channels, height, width};
  const FuzzedImage background(dice, canvas, sizeof(S), Layout::kAny);
  const FuzzedImage composite(dice, canvas, sizeof(S), Layout::kWritten);
  std::list<FuzzedImage> images;
  const auto plane = [&](const std::array<int, 4>& shape) {
    const View& view = images.emplace_back(dice, shape, sizeof(S), Layout::kAny).view;
    return Plane{view.data, view.c, view.y, view.x};
  };
  const bool masked = dice.roll(0, 3) > 0;
  std::vector<RenderLayer> layers;
  std::vector<int64_t> begins = {0};
  std::vector<T> taps;
  for (int n = 0; n < batch; ++n) {
    for (int l = dice.roll(0, 4); l > 0; --l) {
      const int h = dice.roll(1, 40), w = dice.roll(1, 40);
      const int radius = dice.coin() ? kFixedRadius : dice.roll(0, 20);
      RenderLayer layer{};
      layer.foreground = plane({1, channels, h, w});
      if (masked) layer.mask = plane({1, 1, h, w});
      layer.first_tap = taps.size();
      layer.h = h, layer.w = w, layer.radius = radius;
      for (double tap : gaussian_taps(1.3, radius, 24)) taps.push_back(static_cast<T>(tap));
      layers.push_back(layer);
    }
    begins.push_back(layers.size());
  }
  const int count = static_cast<int>(layers.size());
  for (int l = 0; l < count; ++l) layers[l].number = count - 1 - l;
  const std::vector<double> theta = random_maps(dice, count, 20);
  std::vector<float> tones(count * channels, 0.7f);

  RenderParams p{};
  p.batch = batch, p.height = height, p.width = width, p.channels = channels;
  p.background = background.view, p.composite = composite.view;
  p.theta = {const_cast<double*>(theta.data()), true, 6, 3, 1};
  if (dice.coin()) p.gain = {tones.data(), false, channels, 1};
  if (dice.coin()) p.bias = {tones.data(), false, channels, 1};
  p.layer_count = count, p.layers = layers.data(), p.begins = begins.data(), p.taps = taps.data();
  p.ramp = RampParams::of(dice.coin() ? 0.3 : 0, scalar);
  std::vector<Placed<T>> placed(count);
  p.placed = placed.data();
  std::vector<int32_t> owner(batch * height * width);
  std::vector<Shown> shown(count * count_render_tiles(p, scalar));
  std::vector<float> boxes(4 * count);
  std::vector<int64_t> area(count), covered(count);
  if (dice.coin()) {
    p.owner = owner.data(), p.shown = shown.data(), p.boxes = boxes.data();
    p.area = area.data(), p.covered = covered.data();
  }
  std::vector<Reach> reaches(count);
  p.reaches = reaches.data();
  place(p, scalar, nullptr);
  const bool narrow = dice.coin();
  paint(p, scalar, narrow, nullptr);
  if (sizeof(S) == 1) return;

  const FuzzedImage grad(dice, canvas, sizeof(S), Layout::kAny);
  const FuzzedImage grad_background(dice, canvas, sizeof(S), Layout::kWritten);
  const bool covered_too = masked && dice.coin(), toned = dice.coin();
  std::vector<LayerGrad> kept;
  std::vector<int64_t> first_tile = {0}, first_run = {0}, users;
  std::vector<CutOutGrad> cut_outs;
  int64_t pixels = 0, covers = 0;
  for (int l = 0; l < count; ++l) {
    const Reach& at = reaches[l];
    const int64_t h = at.y1 - at.y0, w = at.x1 - at.x0, tiles = count_pull_tiles(at, scalar);
    kept.push_back({pixels, covers, at.lost});
    first_tile.push_back(first_tile.back() + tiles);
    if (tiles) pixels += h * w, covers += (h + 2 * at.radius) * (w + 2 * at.radius);
    const int height = layers[l].h, width = layers[l].w;
    const auto written = [&](int c) {
      const View& view =
          images.emplace_back(dice, std::array{1, c, height, width}, sizeof(S), Layout::kWritten)
              .view;
      return Plane{view.data, view.c, view.y, view.x};
    };
    cut_outs.push_back({written(channels), covered_too ? written(1) : Plane{}, height, width});
    first_run.push_back(first_run.back() + count_runs(height * width));
    users.push_back(l);
  }
  std::vector<T> weights(pixels), pulls(pixels), slopes(2 * pixels), around(covers);
  std::vector<int64_t> first_user(count + 1);
  for (int k = 0; k <= count; ++k) first_user[k] = k;
  RenderGrads& g = p.grads;
  g.grad_composite = grad.view;
  if (dice.coin()) g.grad_background = grad_background.view;
  std::vector<double> grad_theta(6 * count), grad_tones(count * channels);
  g.grad_theta = {grad_theta.data(), true, 6, 3, 1};
  if (toned) g.grad_gain = {grad_tones.data(), true, channels, 1};
  g.straight_through = dice.coin();
  g.weights = weights.data(), g.pulls = pulls.data(), g.slopes = slopes.data();
  if (covered_too) g.covers = around.data();
  g.layers = kept.data(), g.first_tile = first_tile.data();
  g.sums_a_tile = 6 * (1 + (toned ? (channels + 2) / 3 : 0));
  std::vector<double> sums(first_tile.back() * g.sums_a_tile);
  g.sums = sums.data();
  g.cut_out_count = count, g.cut_outs = cut_outs.data();
  g.first_run = first_run.data(), g.first_user = first_user.data(), g.users = users.data();
  unpaint(p, first_tile.back(), first_run.back(), scalar, narrow, nullptr);
}

}  // namespace

int main(int count, char** arguments) {
  Dice dice{std::mt19937(static_cast<unsigned>(std::atoi(arguments[1])))};
#ifdef COMPOSITOR_THREADS
  if (count > 3) missing_barrier = std::atoi(arguments[3]);
  const int height = 40, width = 90;  // up to three tiles of each kind: a barrier is slow here
#else
  const int height = 70, width = 140;
#endif
  const bool blend = count < 5 || *arguments[4] == 'b', render = count < 5 || !blend;
  for (int k = std::atoi(arguments[2]); k > 0; --k) {
    if (blend) {
      run_once<float>(dice, Scalar::kFloat32, height, width);
      run_once<double>(dice, Scalar::kFloat64, height, width);
    }
    if (render) {
      run_layers<float>(dice, Scalar::kFloat32, height, width);
      run_layers<double>(dice, Scalar::kFloat64, height, width);
      run_layers<Byte>(dice, Scalar::kByte, height, width);
    }
  }
  std::puts("every access inside memory");
  return 0;
}
