// compositor::render_backward on CPU tensors: outputs, tasks.
#include <torch/csrc/stable/library.h>

#include <tuple>
#include <vector>

#include "layers.h"
#include "tasks.h"

namespace compositor::cpu {
namespace {

ScalarType computed_in(const Tensor& images) {
  return images.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

// Zeros to sum the gradients of stacks in, dense, in the computation type; none if not wanted.
std::vector<Tensor> sums_of(const std::vector<Tensor>& stacks, bool wanted) {
  std::vector<Tensor> sums;
  for (size_t k = 0; wanted && k < stacks.size(); ++k) {
    const Tensor& stack = stacks[k];
    const std::vector<int64_t> sizes = {stack.size(0), stack.size(1), stack.size(2), stack.size(3)};
    sums.push_back(torch::stable::new_zeros(stack, sizes, computed_in(stack)));
  }
  return sums;
}

// The sums in the type and layout of their stacks; an empty tensor each if not wanted.
std::vector<Tensor> stored(const std::vector<Tensor>& sums, const std::vector<Tensor>& stacks) {
  std::vector<Tensor> grads;
  for (size_t k = 0; k < stacks.size(); ++k) {
    if (sums.empty()) {
      grads.push_back(torch::stable::new_empty(stacks[k], {0}));
      continue;
    }
    Tensor grad = torch::stable::empty_like(stacks[k]);
    torch::stable::copy_(grad, sums[k]);
    grads.push_back(grad);
  }
  return grads;
}

// Sums in float64 in the type and layout of an argument; an empty tensor if not wanted.
Tensor stored(std::vector<double>& sums, bool wanted, const std::optional<Tensor>& like,
              const Tensor& background, std::vector<int64_t> sizes) {
  if (!wanted) return torch::stable::new_empty(background, {0});
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t k = sizes.size() - 1; k > 0; --k) strides[k - 1] = strides[k] * sizes[k];
  Tensor grad = torch::stable::empty_like(*like);
  if (sums.empty()) return grad;
  torch::stable::copy_(grad, torch::stable::from_blob(sums.data(), sizes, strides, like->device(),
                                                      ScalarType::Double));
  return grad;
}

// A layer's moments about the canvas's centre -> its gradient, in place.
void scale_moments(const Layer& layer, double* moments) {
  const double w = layer.size.w, h = layer.size.h;
  const double width = layer.size.width, height = layer.size.height;
  const double scale[6] = {w / width, w / height, w / 2, h / width, h / height, h / 2};
  for (int k = 0; k < 6; ++k) moments[6 * layer.number + k] *= scale[k];
}

std::tuple<std::vector<Tensor>, std::vector<Tensor>, Tensor, Tensor, Tensor, Tensor>
render_backward(const Tensor& grad_composite, const std::vector<Tensor>& foreground,
                const std::optional<std::vector<Tensor>>& mask, const Tensor& background,
                const Tensor& theta, const Tensor& image, const Tensor& source,
                const std::optional<Tensor>& gain, const std::optional<Tensor>& bias,
                const Tensor& sigma, double threshold, int64_t radius, bool straight_through,
                const std::vector<bool>& needs) {
  const Scalar scalar = scalar_of(background);
  STD_TORCH_CHECK(scalar != Scalar::kByte, "compositor.render: bytes have no gradient");
  STD_TORCH_CHECK(needs.size() == 6, "compositor.render: wanted 6 needs");
  Layers layers(foreground, mask, background, theta, image, source, gain, bias, sigma, radius,
                threshold, straight_through);
  LayerList::check_grad(grad_composite, background);

  const std::vector<Tensor> no_stacks;
  const std::vector<Tensor>& masks = mask ? *mask : no_stacks;
  const std::vector<Tensor> foreground_sums = sums_of(foreground, needs[0]);
  const std::vector<Tensor> mask_sums = sums_of(masks, needs[1]);
  layers.sum_into(foreground_sums, mask_sums);
  const int64_t count = layers.count(), tones = count * background.size(1);
  const bool needs_background = needs[2], needs_theta = needs[3];
  const bool needs_gain = gain && needs[4], needs_bias = bias && needs[5];
  Tensor to_background = needs_background ? torch::stable::empty_like(background)
                                          : torch::stable::new_empty(background, {0});
  std::vector<double> to_theta(needs_theta ? 6 * count : 0);
  // The two come from one pass.
  std::vector<double> to_gain(needs_gain || needs_bias ? tones : 0), to_bias(to_gain);

  RenderParams params = layers.params();
  params.grad_composite = view_of(grad_composite);
  if (needs_background) params.grad_background = view_of(to_background);
  if (needs_theta) params.grad_theta = to_theta.data();
  if (!to_gain.empty()) {
    params.grad_gain = to_gain.data();
    params.grad_bias = to_bias.data();
  }
  params.grad_mask = !mask_sums.empty();
  const bool unit = layers.unit_stride() && params.background.x == 1;
  const auto kernel = choose(scalar, unit).render_backward;
  const auto one = [&](const Task& task) { kernel(params, task); };
  // The sums of a cut-out have one order, whatever the threads: its layers are one thread's.
  const bool in_turn = (needs[0] || params.grad_mask) && layers.share_cut_outs();
  if (in_turn) {
    for (int64_t n = 0; n < background.size(0); ++n) one(Task{n, 0, count_blocks(params.height)});
  } else {
    run(one, background.size(0), params.height, true);
  }

  if (needs_theta) {
    for (int64_t l = 0; l < count; ++l) scale_moments(params.layers[l], to_theta.data());
  }
  const int64_t channels = background.size(1);
  return {stored(foreground_sums, foreground),
          stored(mask_sums, masks),
          to_background,
          stored(to_theta, needs_theta, theta, background, {count, 2, 3}),
          stored(to_gain, needs_gain, gain, background, {count, channels}),
          stored(to_bias, needs_bias, bias, background, {count, channels})};
}

}  // namespace
}  // namespace compositor::cpu

STABLE_TORCH_LIBRARY_IMPL(compositor, CPU, m) {
  m.impl("render_backward", TORCH_BOX(&compositor::cpu::render_backward));
}
