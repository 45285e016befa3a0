// compositor::render_backward on CUDA tensors: outputs, scratch, launches. It waits for the device
// once, to learn where the layers lie: what is kept of them has the size of their boxes.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "scene.h"

namespace compositor::cuda {
namespace {

// Where the layers lie, in the scene's order.
std::vector<Reach> reaches_of(Scene& scene) {
  const int64_t count = scene.params.layer_count;
  const Tensor there = scene.scratch_tensor(count * sizeof(Reach));
  scene.params.reaches = static_cast<Reach*>(there.data_ptr());
  place(scene.params, scene.scalar, scene.stream);
  const torch::stable::Device host(torch::headeronly::DeviceType::CPU);
  const Tensor here = torch::stable::to(there, host);
  const Reach* from = static_cast<const Reach*>(here.data_ptr());
  return {from, from + count};
}

// Adds what the host knows of each layer by then; returns how many tiles the layers' boxes have.
int64_t lay_out(Scene& scene, const std::vector<Reach>& reaches, bool mask_grad) {
  RenderParams& params = scene.params;
  const std::vector<int64_t>& begins = scene.list.begins();
  std::vector<LayerGrad> layers;
  std::vector<int64_t> first_tile = {0};
  int64_t pixels = 0, covers = 0;
  for (size_t n = 0; n + 1 < begins.size(); ++n) {
    bool lost = false;
    for (int64_t l = begins[n]; l < begins[n + 1]; ++l) lost = lost || reaches[l].lost;
    for (int64_t l = begins[n]; l < begins[n + 1]; ++l) {
      const Reach& reach = reaches[l];
      const int64_t height = std::max(reach.y1 - reach.y0, 0);
      const int64_t width = std::max(reach.x1 - reach.x0, 0), both = 2 * int64_t{reach.radius};
      layers.push_back({pixels, covers, lost});
      if (height * width == 0) {
        first_tile.push_back(first_tile.back());
        continue;
      }
      pixels += height * width;
      if (mask_grad) covers += (height + both) * (width + both);
      first_tile.push_back(first_tile.back() + count_pull_tiles(reach, scene.scalar));
    }
  }
  const int64_t size = scene.scalar == Scalar::kFloat64 ? sizeof(double) : sizeof(float);
  params.grads.weights = scene.scratch(pixels * size);
  params.grads.pulls = scene.scratch(pixels * size);
  if (params.grads.grad_theta.data) params.grads.slopes = scene.scratch(2 * pixels * size);
  params.grads.covers = mask_grad ? scene.scratch(covers * size) : nullptr;
  params.grads.layers = scene.to_device(layers);
  params.grads.first_tile = scene.to_device(first_tile);
  return first_tile.back();
}

// The cut-outs' gradients, and the layers that show each; returns the runs of their pixels.
int64_t lay_out_cut_outs(Scene& scene, const std::vector<Tensor>& foreground,
                         const std::vector<Tensor>& mask) {
  RenderGrads& grads = scene.params.grads;
  const auto planes = [](const std::vector<Tensor>& stacks) {
    std::vector<Plane> found;
    for (const Tensor& stack : stacks) {
      const View view = view_of(stack);
      for (int64_t k = 0; k < stack.size(0); ++k) {
        char* data = static_cast<char*>(view.data);
        found.push_back({data + k * view.n * static_cast<int64_t>(stack.element_size()), view.c,
                         view.y, view.x});
      }
    }
    return found;
  };
  const std::vector<Plane> colours = planes(foreground), covers = planes(mask);
  const std::vector<CutOut>& all = scene.list.cut_outs();
  std::vector<CutOutGrad> cut_outs;
  std::vector<int64_t> first_run = {0}, first_user(all.size() + 1), users(scene.list.count());
  for (size_t k = 0; k < all.size(); ++k) {
    cut_outs.push_back({colours.empty() ? Plane{} : colours[k],
                        covers.empty() ? Plane{} : covers[k], static_cast<int>(all[k].h),
                        static_cast<int>(all[k].w)});
    first_run.push_back(first_run.back() + count_runs(all[k].h * all[k].w));
  }
  const std::vector<int64_t>& order = scene.list.order();
  for (int64_t l : order) ++first_user[scene.list.source()[l] + 1];
  for (size_t k = 0; k < all.size(); ++k) first_user[k + 1] += first_user[k];
  std::vector<int64_t> next = first_user;
  for (size_t at = 0; at < order.size(); ++at) users[next[scene.list.source()[order[at]]]++] = at;
  grads.cut_out_count = all.size();
  grads.cut_outs = scene.to_device(cut_outs);
  grads.first_run = scene.to_device(first_run);
  grads.first_user = scene.to_device(first_user);
  grads.users = scene.to_device(users);
  return first_run.back();
}

Tones tones_of(const Tensor& grad) {
  return {grad.data_ptr(), grad.scalar_type() == ScalarType::Double, grad.stride(0),
          grad.stride(1)};
}

std::tuple<std::vector<Tensor>, std::vector<Tensor>, Tensor, Tensor, Tensor, Tensor>
render_backward(const Tensor& grad_composite, const std::vector<Tensor>& foreground,
                const std::optional<std::vector<Tensor>>& mask, const Tensor& background,
                const Tensor& theta, const Tensor& image, const Tensor& source,
                const std::optional<Tensor>& gain, const std::optional<Tensor>& bias,
                const Tensor& sigma, double threshold, int64_t radius, bool straight_through,
                const std::vector<bool>& needs) {
  STD_TORCH_CHECK(needs.size() == 6, "compositor.render: wanted 6 needs");
  Scene scene(foreground, mask, background, theta, image, source, gain, bias, sigma, radius,
              threshold);
  STD_TORCH_CHECK(scene.scalar != Scalar::kByte, "compositor.render: bytes have no gradient");
  LayerList::check_grad(grad_composite, background);

  const bool needs_foreground = needs[0], needs_mask = mask && needs[1];
  const bool needs_gain = gain && needs[4], needs_bias = bias && needs[5];
  const auto output = [&](const std::optional<Tensor>& like, bool wanted) {
    return wanted ? torch::stable::empty_like(*like) : torch::stable::new_empty(background, {0});
  };
  std::vector<Tensor> to_foreground, to_mask;
  for (const Tensor& stack : foreground) to_foreground.push_back(output(stack, needs_foreground));
  if (mask) {
    for (const Tensor& stack : *mask) to_mask.push_back(output(stack, needs_mask));
  }
  Tensor to_background = output(background, needs[2]), to_theta = output(theta, needs[3]);
  Tensor to_gain = output(gain, needs_gain), to_bias = output(bias, needs_bias);

  RenderParams& params = scene.params;
  RenderGrads& grads = params.grads;
  grads.grad_composite = view_of(grad_composite);
  if (needs[2]) grads.grad_background = view_of(to_background);
  if (needs[3]) grads.grad_theta = theta_of(to_theta);
  if (needs_gain) grads.grad_gain = tones_of(to_gain);
  if (needs_bias) grads.grad_bias = tones_of(to_bias);
  grads.straight_through = straight_through;
  const int64_t tiles = lay_out(scene, reaches_of(scene), needs_mask);
  if (needs[3] || needs_gain || needs_bias) {
    const int tones = needs_gain || needs_bias ? (params.channels + 2) / 3 : 0;
    grads.sums_a_tile = 6 * (1 + tones);
    grads.sums = static_cast<double*>(scene.scratch(tiles * grads.sums_a_tile * sizeof(double)));
  }
  const std::vector<Tensor> none;
  int64_t runs = 0;
  if (needs_foreground || needs_mask) {
    runs = lay_out_cut_outs(scene, needs_foreground ? to_foreground : none,
                            needs_mask ? to_mask : none);
  }
  unpaint(params, tiles, runs, scene.scalar, scene.narrow(), scene.stream);
  return {to_foreground, to_mask, to_background, to_theta, to_gain, to_bias};
}

}  // namespace
}  // namespace compositor::cuda

STABLE_TORCH_LIBRARY_IMPL(compositor, CUDA, m) {
  m.impl("render_backward", TORCH_BOX(&compositor::cuda::render_backward));
}
