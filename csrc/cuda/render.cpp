// compositor::render on CUDA tensors: outputs, launches. LibTorch stable ABI. Nothing here waits
// for the device if image, source and sigma are on the CPU, so a CUDA graph can hold all of it.
#include <torch/csrc/stable/library.h>

#include <tuple>

#include "scene.h"

namespace compositor::cuda {
namespace {

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> render(
    const std::vector<Tensor>& foreground, const std::optional<std::vector<Tensor>>& mask,
    const Tensor& background, const Tensor& theta, const Tensor& image, const Tensor& source,
    const std::optional<Tensor>& gain, const std::optional<Tensor>& bias, const Tensor& sigma,
    double threshold, int64_t radius, bool /*straight_through*/, bool return_labels) {
  Scene scene(foreground, mask, background, theta, image, source, gain, bias, sigma, radius,
              threshold);
  RenderParams& params = scene.params;
  Tensor composite = torch::stable::empty_like(background);
  params.composite = view_of(composite);
  const auto label = [&](std::vector<int64_t> sizes, ScalarType type) {
    if (!return_labels) sizes = {0};
    return torch::stable::new_empty(background, sizes, type);
  };
  const int64_t count = params.layer_count;
  Tensor owner = label({params.batch, params.height, params.width}, ScalarType::Int);
  Tensor boxes = label({count, 4}, ScalarType::Float);
  Tensor area = label({count}, ScalarType::Long), covered = label({count}, ScalarType::Long);
  if (return_labels) {
    params.owner = owner.mutable_data_ptr<int32_t>();
    params.shown = static_cast<Shown*>(
        scene.scratch(count * count_render_tiles(params, scene.scalar) * sizeof(Shown)));
    params.boxes = boxes.mutable_data_ptr<float>();
    params.area = area.mutable_data_ptr<int64_t>();
    params.covered = covered.mutable_data_ptr<int64_t>();
  }
  place(params, scene.scalar, scene.stream);
  paint(params, scene.scalar, scene.narrow(), scene.stream);
  return {composite, owner, boxes, area, covered};
}

}  // namespace
}  // namespace compositor::cuda

STABLE_TORCH_LIBRARY_IMPL(compositor, CUDA, m) {
  m.impl("render", TORCH_BOX(&compositor::cuda::render));
}
