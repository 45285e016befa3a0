// compositor::blend and its backward on CPU tensors: checks, outputs, tasks. LibTorch stable ABI.
#include <torch/csrc/stable/library.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <vector>

#include "../common/tensors.h"
#include "kernels.h"
#include "tasks.h"

namespace compositor::cpu {

const char* capability() {
#ifdef COMPOSITOR_BUILD_AVX2
  static const bool avx2 = [] {
    const char* wanted = std::getenv("COMPOSITOR_CPU_CAPABILITY");
    if (wanted && std::strcmp(wanted, "baseline") == 0) return false;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("f16c");
  }();
  if (avx2) return "avx2";
#endif
  return "baseline";
}

namespace {

// A larger composite is written past the caches. This is a fifth faster if the object is small, and
// summing the composite afterwards loses less than that; for smaller ones it loses more (measured).
constexpr int64_t kCachedBytes = int64_t{8} << 20;

// The arguments that both directions share; keeps what they point to alive.
struct Arguments {
  Shapes shapes;
  BlendParams params;
  std::vector<double> taps, theta;

  Arguments(const Tensor& foreground, const std::optional<Tensor>& mask, const Tensor& background,
            const Tensor& theta_given, double threshold, double sigma, int64_t radius,
            bool straight_through)
      : shapes(foreground, mask, background, theta_given, radius) {
    const bool wide = scalar_of(foreground) == Scalar::kFloat64;
    taps = gaussian_taps(sigma, radius, wide ? 53 : 24);
    theta = doubles(theta_given);
    params.size = shapes.size;
    params.channels = shapes.channels;
    params.foreground = view_of(foreground);
    params.mask = view_of(mask);
    params.background = view_of(background);
    params.theta = theta.data();
    params.taps = taps.data();
    params.radius = static_cast<int>(radius);
    params.threshold = threshold;
    params.straight_through = straight_through;
  }
};

// Whether neighbouring columns are neighbours in memory, and 32 bits can index a whole plane.
bool unit_stride(const BlendParams& p) {
  for (const View* view : {&p.foreground, &p.mask, &p.background, &p.composite, &p.grad_composite,
                           &p.grad_background}) {
    if (view->data && view->x != 1) return false;
  }
  const int64_t reach = std::max(p.foreground.y, p.mask.y) * p.size.h + p.size.w;
  return reach < std::numeric_limits<int32_t>::max();
}

// Of one image: its blur reaches only as far as there is something.
BlendParams of_image(BlendParams params, int64_t image) {
  params.radius = static_cast<int>(reach_of(params.theta + 6 * image, params.size, params.radius));
  return params;
}

std::tuple<Tensor, Tensor> blend(const Tensor& foreground, const std::optional<Tensor>& mask,
                                 const Tensor& background, const Tensor& theta, double threshold,
                                 double sigma, int64_t radius, bool straight_through,
                                 bool return_alpha) {
  Arguments arguments(foreground, mask, background, theta, threshold, sigma, radius,
                      straight_through);
  BlendParams& params = arguments.params;
  Tensor composite = in_huge_pages(torch::stable::empty_like(background));
  Tensor alpha = return_alpha
                     ? torch::stable::new_empty(background, {arguments.shapes.batch, 1,
                                                             params.size.height, params.size.width})
                     : torch::stable::new_empty(background, {0});
  params.composite = view_of(composite);
  params.past_caches =
      composite.numel() * static_cast<int64_t>(composite.element_size()) > kCachedBytes;
  if (return_alpha) params.alpha = view_of(alpha);
  const auto kernel = choose(scalar_of(foreground), unit_stride(params)).forward;
  run([&](const Task& task) { kernel(of_image(params, task.image), task); }, arguments.shapes.batch,
      params.size.height, false);
  return {composite, alpha};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> blend_backward(
    const Tensor& grad_composite, const std::optional<Tensor>& grad_alpha, const Tensor& foreground,
    const std::optional<Tensor>& mask, const Tensor& background, const Tensor& theta,
    double threshold, double sigma, int64_t radius, bool straight_through, bool foreground_grad,
    bool mask_grad, bool background_grad, bool theta_grad) {
  Arguments arguments(foreground, mask, background, theta, threshold, sigma, radius,
                      straight_through);
  BlendParams& params = arguments.params;
  const Sizes size = params.size;
  const int64_t batch = arguments.shapes.batch;
  arguments.shapes.check_canvas(grad_composite, params.channels, "grad_composite");
  if (grad_alpha) arguments.shapes.check_canvas(*grad_alpha, 1, "grad_alpha");
  const auto output = [](const Tensor& like, bool wanted) {
    return wanted ? in_huge_pages(torch::stable::empty_like(like))
                  : torch::stable::new_empty(like, {0});
  };
  Tensor to_foreground = output(foreground, foreground_grad);
  Tensor to_mask = output(mask ? *mask : background, mask_grad && mask);
  Tensor to_background = output(background, background_grad);
  Tensor to_theta = output(theta, theta_grad);
  params.grad_composite = view_of(grad_composite);
  params.grad_alpha = view_of(grad_alpha);
  if (foreground_grad) params.grad_foreground = view_of(to_foreground);
  if (mask_grad && mask) params.grad_mask = view_of(to_mask);
  if (background_grad) params.grad_background = view_of(to_background);
  const int64_t blocks = count_blocks(size.height);
  std::vector<double> partials(theta_grad ? batch * blocks * 6 : 0);
  if (theta_grad) params.theta_partials = partials.data();

  // A scattered gradient is summed in row order by one thread per image: the same bits in every
  // run.
  const bool whole_images = foreground_grad || (mask_grad && mask);
  const auto kernel = choose(scalar_of(foreground), unit_stride(params)).backward;
  run([&](const Task& task) { kernel(of_image(params, task.image), task); }, batch, size.height,
      whole_images);

  if (theta_grad) {
    const double w = size.w, h = size.h, width = size.width, height = size.height;
    const double scale[6] = {w / width, w / height, w / 2, h / width, h / height, h / 2};
    std::vector<double> sums(batch * 6);
    for (int64_t n = 0; n < batch; ++n) {
      for (int64_t block = 0; block < blocks; ++block) {
        for (int k = 0; k < 6; ++k) {
          sums[n * 6 + k] += partials[(n * blocks + block) * 6 + k] * scale[k];
        }
      }
    }
    Tensor in_float64 = torch::stable::from_blob(sums.data(), {batch, 2, 3}, {6, 3, 1},
                                                 theta.device(), ScalarType::Double);
    torch::stable::copy_(to_theta, in_float64);
  }
  return {to_foreground, to_mask, to_background, to_theta};
}

}  // namespace
}  // namespace compositor::cpu

STABLE_TORCH_LIBRARY_IMPL(compositor, CPU, m) {
  m.impl("blend", TORCH_BOX(&compositor::cpu::blend));
  m.impl("blend_backward", TORCH_BOX(&compositor::cpu::blend_backward));
}
