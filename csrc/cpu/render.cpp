// compositor::render on CPU tensors: outputs, tasks.
#include <torch/csrc/stable/library.h>

#include <tuple>
#include <vector>

#include "layers.h"
#include "tasks.h"

namespace compositor::cpu {
namespace {

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> render(
    const std::vector<Tensor>& foreground, const std::optional<std::vector<Tensor>>& mask,
    const Tensor& background, const Tensor& theta, const Tensor& image, const Tensor& source,
    const std::optional<Tensor>& gain, const std::optional<Tensor>& bias, const Tensor& sigma,
    double threshold, int64_t radius, bool straight_through, bool return_labels) {
  const Layers layers(foreground, mask, background, theta, image, source, gain, bias, sigma, radius,
                      threshold, straight_through);
  RenderParams params = layers.params();
  const int64_t batch = background.size(0), height = background.size(2), width = background.size(3);
  const int64_t count = layers.count(), blocks = count_blocks(height);

  Tensor composite = in_huge_pages(torch::stable::empty_like(background));
  params.composite = view_of(composite);
  const auto label = [&](std::vector<int64_t> sizes, ScalarType type) {
    if (!return_labels) sizes = {0};
    return torch::stable::new_empty(background, sizes, type);
  };
  Tensor owner = in_huge_pages(label({batch, height, width}, ScalarType::Int));
  Tensor boxes = label({count, 4}, ScalarType::Float);
  Tensor area = label({count}, ScalarType::Long);
  Tensor covered = label({count}, ScalarType::Long);
  std::vector<Shown> shown(return_labels ? blocks * count : 0);
  if (return_labels) {
    params.owner = owner.mutable_data_ptr<int32_t>();
    params.shown = shown.data();
  }
  const bool unit = layers.unit_stride() && params.background.x == 1 && params.composite.x == 1;
  const auto kernel = choose(scalar_of(background), unit).render;
  run([&](const Task& task) { kernel(params, task); }, batch, height, false);

  if (return_labels) {
    float* corners = boxes.mutable_data_ptr<float>();
    for (int64_t l = 0; l < count; ++l) {
      Shown total;
      for (int64_t block = 0; block < blocks; ++block) total.add(shown[block * count + l]);
      const bool any = total.area > 0;
      const int box[4] = {total.x0, total.y0, total.x1, total.y1};
      for (int k = 0; k < 4; ++k) corners[4 * l + k] = any ? static_cast<float>(box[k]) : 0;
      area.mutable_data_ptr<int64_t>()[l] = total.area;
      covered.mutable_data_ptr<int64_t>()[l] = total.covered;
    }
  }
  return {composite, owner, boxes, area, covered};
}

}  // namespace
}  // namespace compositor::cpu

STABLE_TORCH_LIBRARY_IMPL(compositor, CPU, m) {
  m.impl("render", TORCH_BOX(&compositor::cpu::render));
}
