// compositor::blend and its backward on CUDA tensors: checks, outputs, launches. LibTorch stable
// ABI. Nothing here waits for the device unless the blur is wider than the canvas (batch_reach), so
// a CUDA graph can hold all of it.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "bytes.h"
#include "device.h"
#include "kernels.h"

namespace compositor::cuda {
namespace {

// reach_of for the whole batch. This waits for theta, which fails while a CUDA graph is captured.
int64_t batch_reach(const Tensor& theta, const Sizes& size, int64_t radius) {
  if (radius <= std::max({size.height, size.width, int64_t{kFixedRadius} + 1})) return radius;
  const torch::stable::Device host(torch::headeronly::DeviceType::CPU);
  const Tensor copy = torch::stable::contiguous(
      torch::stable::to(torch::stable::to(theta, ScalarType::Double), host));
  const double* values = copy.const_data_ptr<double>();
  // Always more than the fixed kernel's radius, so that an image's bits do not depend on its batch.
  int64_t reach = kFixedRadius + 1;
  for (int64_t n = 0; n < theta.size(0); ++n) {
    reach = std::max(reach, reach_of(values + 6 * n, size, radius));
  }
  return reach;
}

// The arguments that both directions share. Makes their device current and holds its stream.
struct Arguments {
  Shapes shapes;
  torch::stable::accelerator::DeviceGuard guard;
  cudaStream_t stream;
  Scalar scalar;
  BlendParams params{};
  Tensor far_taps;

  Arguments(const Tensor& foreground, const std::optional<Tensor>& mask, const Tensor& background,
            const Tensor& theta, double threshold, int64_t radius, bool straight_through)
      : shapes(foreground, mask, background, theta, radius),
        guard(foreground.get_device_index()),
        stream(current_stream(foreground)),
        scalar(scalar_of(foreground)),
        far_taps(torch::stable::new_empty(background, {0})) {
    STD_TORCH_CHECK(shapes.channels <= std::numeric_limits<int32_t>::max(),
                    "compositor.blend: wanted fewer than 2^31 channels");
    params.size = shapes.size;
    params.batch = shapes.batch;
    params.channels = static_cast<int>(shapes.channels);
    params.foreground = view_of(foreground);
    params.mask = view_of(mask);
    params.background = view_of(background);
    params.theta = theta_of(theta);
    radius_ = radius;
    params.radius = static_cast<int>(batch_reach(theta, shapes.size, radius));
    params.ramp = RampParams::of(threshold, scalar);
    params.straight_through = straight_through;
  }

  // Uninitialised memory in the computation type.
  Tensor scratch(std::vector<int64_t> shape) const {
    const bool wide = scalar == Scalar::kFloat64;
    return torch::stable::new_empty(far_taps, shape, wide ? ScalarType::Double : ScalarType::Float);
  }

  // Whether 32 bits can index every image. Outputs are laid out like the inputs, or are dense.
  bool narrow() const {
    const Sizes& size = params.size;
    const int64_t c = shapes.channels;
    const auto fits = [](const View& view, int64_t channels, int64_t y, int64_t x) {
      return is_narrow(view.c, view.y, view.x, channels, y, x);
    };
    return is_narrow((size.height + 1) * (size.width + 1), size.width + 1, 1, c, size.height,
                     size.width) &&
           fits(params.foreground, c, size.h, size.w) && fits(params.mask, 1, size.h, size.w) &&
           fits(params.background, c, size.height, size.width) &&
           fits(params.grad_composite, c, size.height, size.width) &&
           fits(params.grad_alpha, 1, size.height, size.width);
  }

  // The last step before a launch, when all views are there.
  void set_taps(double sigma) {
    const bool wide = scalar == Scalar::kFloat64;
    const std::vector<double> taps = gaussian_taps(sigma, radius_, wide ? 53 : 24);
    for (int k = 0; k <= std::min(kFixedRadius, params.radius); ++k)
      params.taps[k] = static_cast<float>(taps[k]);
    if (has_fixed_kernel(scalar, narrow(), params.radius)) return;
    Bytes bytes;
    append_as(bytes, taps, params.radius + 1, wide);
    far_taps = scratch({params.radius + 1});
    params.far_taps = far_taps.data_ptr();
    send(bytes.data(), bytes.size(), far_taps.data_ptr(), stream);
  }

 private:
  int64_t radius_;  // of the taps; params.radius is what they have to reach
};

std::tuple<Tensor, Tensor> blend(const Tensor& foreground, const std::optional<Tensor>& mask,
                                 const Tensor& background, const Tensor& theta, double threshold,
                                 double sigma, int64_t radius, bool straight_through,
                                 bool return_alpha) {
  Arguments arguments(foreground, mask, background, theta, threshold, radius, straight_through);
  BlendParams& params = arguments.params;
  const Sizes& size = params.size;
  Tensor composite = torch::stable::empty_like(background);
  Tensor alpha = return_alpha ? torch::stable::new_empty(background,
                                                         {params.batch, 1, size.height, size.width})
                              : torch::stable::new_empty(background, {0});
  params.composite = view_of(composite);
  if (return_alpha) params.alpha = view_of(alpha);
  arguments.set_taps(sigma);
  forward(params, arguments.scalar, arguments.narrow(), arguments.stream);
  return {composite, alpha};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> blend_backward(
    const Tensor& grad_composite, const std::optional<Tensor>& grad_alpha, const Tensor& foreground,
    const std::optional<Tensor>& mask, const Tensor& background, const Tensor& theta,
    double threshold, double sigma, int64_t radius, bool straight_through, bool foreground_grad,
    bool mask_grad, bool background_grad, bool theta_grad) {
  Arguments arguments(foreground, mask, background, theta, threshold, radius, straight_through);
  BlendParams& params = arguments.params;
  const Sizes& size = params.size;
  arguments.shapes.check_canvas(grad_composite, arguments.shapes.channels, "grad_composite");
  if (grad_alpha) arguments.shapes.check_canvas(*grad_alpha, 1, "grad_alpha");
  mask_grad = mask_grad && mask;
  const auto output = [](const Tensor& like, bool wanted) {
    return wanted ? torch::stable::empty_like(like) : torch::stable::new_empty(like, {0});
  };
  Tensor to_foreground = output(foreground, foreground_grad);
  Tensor to_mask = output(mask ? *mask : background, mask_grad);
  Tensor to_background = output(background, background_grad);
  Tensor to_theta = output(theta, theta_grad);
  params.grad_composite = view_of(grad_composite);
  params.grad_alpha = view_of(grad_alpha);

  // What the kernels store for those that gather. For theta alone, six numbers per tile.
  std::vector<Tensor> kept;
  const auto keep = [&](Tensor tensor) { return kept.emplace_back(std::move(tensor)).data_ptr(); };
  if (foreground_grad) {
    params.grad_foreground = view_of(to_foreground);
    params.alpha_plane = keep(arguments.scratch({params.batch, size.height, size.width}));
  }
  if (mask_grad) {
    params.grad_mask = view_of(to_mask);
    params.cover_plane = keep(arguments.scratch(
        {params.batch, size.height + 2 * params.radius, size.width + 2 * params.radius}));
  }
  if (background_grad) params.grad_background = view_of(to_background);
  if (theta_grad) {
    const int64_t tiles = count_tiles(size, params.radius, arguments.scalar);
    params.grad_theta = theta_of(to_theta);
    params.theta_partials = static_cast<double*>(
        keep(torch::stable::new_empty(background, {params.batch, tiles, 6}, ScalarType::Double)));
  }
  arguments.set_taps(sigma);
  backward(params, arguments.scalar, arguments.narrow(), arguments.stream);
  gather(params, arguments.scalar, arguments.stream);
  return {to_foreground, to_mask, to_background, to_theta};
}

}  // namespace
}  // namespace compositor::cuda

STABLE_TORCH_LIBRARY_IMPL(compositor, CUDA, m) {
  m.impl("blend", TORCH_BOX(&compositor::cuda::blend));
  m.impl("blend_backward", TORCH_BOX(&compositor::cuda::blend_backward));
}
