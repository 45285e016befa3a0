// The layers of a call of render, sorted by canvas, and what they name, kept alive; checks that the
// arguments fit together.
#pragma once

#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include "tensors.h"

namespace compositor {

// One of the images that layers show. A single image, so n is unused.
struct CutOut {
  int64_t h, w;
  View foreground, mask;
};

class LayerList {
 public:
  LayerList(const std::vector<Tensor>& foreground, const std::optional<std::vector<Tensor>>& mask,
            const Tensor& background, const Tensor& theta, const Tensor& image,
            const Tensor& source, const Tensor& sigma, int64_t radius) {
    STD_TORCH_CHECK(background.dim() == 4 && theta.dim() == 3,
                    "compositor.render: wanted (N, C, H, W) canvases and (L, 2, 3) theta");
    STD_TORCH_CHECK(
        std::min({background.size(1), background.size(2), background.size(3)}) > 0 &&
            std::max(background.size(2), background.size(3)) <= kMostPixels,
        "compositor.render: wanted no empty dimension but N, and sides below 2^29 pixels");
    count_ = theta.size(0);
    check_numbers(theta, {count_, 2, 3}, background, "theta");
    const Scalar scalar = scalar_of(background);
    list_cut_outs(foreground, mask, background);
    image_ = indices(image, background.size(0), "image");
    source_ = indices(source, static_cast<int64_t>(cut_outs_.size()), "source");

    begins_.assign(background.size(0) + 1, 0);
    for (int64_t n : image_) ++begins_[n + 1];
    for (size_t n = 1; n < begins_.size(); ++n) begins_[n] += begins_[n - 1];
    order_.resize(count_);
    std::vector<int64_t> next = begins_;
    for (int64_t l = 0; l < count_; ++l) order_[next[image_[l]]++] = l;
    list_taps(sigma, radius, scalar == Scalar::kFloat64 ? 53 : 24);
  }

  int64_t count() const { return count_; }
  // Layers' numbers, canvas after canvas, and of each in the order they are pasted in.
  const std::vector<int64_t>& order() const { return order_; }
  // (N + 1): where in `order` those of each canvas begin.
  const std::vector<int64_t>& begins() const { return begins_; }
  // Of each layer, its canvas and its cut-out.
  const std::vector<int64_t>& image() const { return image_; }
  const std::vector<int64_t>& source() const { return source_; }
  const std::vector<CutOut>& cut_outs() const { return cut_outs_; }
  // The distinct lists of taps, [g(0), ..., g(radius)], and the index of each layer's.
  const std::vector<std::vector<double>>& taps() const { return taps_; }
  const std::vector<int64_t>& taps_of() const { return taps_of_; }

  // Numbers, one each: theta, gain or bias.
  static void check_numbers(const Tensor& tensor, std::vector<int64_t> sizes,
                            const Tensor& background, const char* name) {
    bool fits =
        tensor.dim() == static_cast<int64_t>(sizes.size()) &&
        tensor.device() == background.device() &&
        (tensor.scalar_type() == ScalarType::Double || tensor.scalar_type() == ScalarType::Float);
    for (size_t k = 0; fits && k < sizes.size(); ++k) fits = tensor.size(k) == sizes[k];
    STD_TORCH_CHECK(fits, "compositor.render: ", name, " does not fit the other arguments");
  }

  static void check_grad(const Tensor& grad_composite, const Tensor& background) {
    bool fits = grad_composite.dim() == 4 &&
                grad_composite.scalar_type() == background.scalar_type() &&
                grad_composite.device() == background.device();
    for (int k = 0; fits && k < 4; ++k) fits = grad_composite.size(k) == background.size(k);
    STD_TORCH_CHECK(fits, "compositor.render: grad_composite does not fit the background");
  }

 private:
  static constexpr int64_t kMostPixels = std::numeric_limits<int32_t>::max() / 4;

  // Waits for a device that has them: an index out of range must not go unseen.
  static Tensor on_host(const Tensor& tensor, ScalarType type) {
    if (tensor.is_cpu()) return dense(tensor, type);
    const torch::stable::Device host(torch::headeronly::DeviceType::CPU);
    return dense(torch::stable::to(tensor, host), type);
  }

  std::vector<int64_t> indices(const Tensor& tensor, int64_t end, const char* name) const {
    STD_TORCH_CHECK(
        tensor.dim() == 1 && tensor.size(0) == count_ && tensor.scalar_type() == ScalarType::Long,
        "compositor.render: ", name, ": wanted int64, one for each layer");
    const Tensor there = on_host(tensor, ScalarType::Long);
    const int64_t* from = there.const_data_ptr<int64_t>();
    std::vector<int64_t> values(from, from + count_);
    for (int64_t value : values) {
      STD_TORCH_CHECK(value >= 0 && value < end, "compositor.render: ", name, ": got ", value,
                      ", wanted 0 to ", end - 1);
    }
    return values;
  }

  void list_cut_outs(const std::vector<Tensor>& foreground,
                     const std::optional<std::vector<Tensor>>& mask, const Tensor& background) {
    STD_TORCH_CHECK(!mask || mask->size() == foreground.size(),
                    "compositor.render: wanted one stack of masks for each stack of foregrounds");
    for (size_t k = 0; k < foreground.size(); ++k) {
      const Tensor& colours = foreground[k];
      const std::optional<Tensor> cover = mask ? std::optional<Tensor>((*mask)[k]) : std::nullopt;
      check_stack(colours, background.size(1), background);
      if (cover) check_stack(*cover, 1, background);
      STD_TORCH_CHECK(
          !cover || (cover->size(0) == colours.size(0) && cover->size(2) == colours.size(2) &&
                     cover->size(3) == colours.size(3)),
          "compositor.render: a mask does not fit its foreground");
      const View view = view_of(colours), cover_view = view_of(cover);
      for (int64_t i = 0; i < colours.size(0); ++i) {
        CutOut one{colours.size(2), colours.size(3), offset(view, i, colours.element_size()), {}};
        if (cover) one.mask = offset(cover_view, i, colours.element_size());
        cut_outs_.push_back(one);
      }
    }
  }

  static void check_stack(const Tensor& stack, int64_t channels, const Tensor& background) {
    STD_TORCH_CHECK(stack.dim() == 4 && stack.size(1) == channels &&
                        stack.scalar_type() == background.scalar_type() &&
                        stack.device() == background.device() &&
                        std::min(stack.size(2), stack.size(3)) > 0 &&
                        std::max(stack.size(2), stack.size(3)) <= kMostPixels,
                    "compositor.render: a cut-out does not fit the background");
  }

  static View offset(View view, int64_t image, int64_t bytes) {
    view.data = static_cast<char*>(view.data) + image * view.n * bytes;
    return view;
  }

  void list_taps(const Tensor& given, int64_t radius, int digits) {
    STD_TORCH_CHECK(given.dim() == 1 && given.size(0) == count_,
                    "compositor.render: sigma does not fit the other arguments");
    const Tensor there = on_host(given, ScalarType::Double);
    const double* sigma = there.const_data_ptr<double>();
    std::map<std::pair<double, int64_t>, int64_t> known;
    for (int64_t l = 0; l < count_; ++l) {
      STD_TORCH_CHECK(sigma[l] >= 0 && 3 * sigma[l] <= kMostPixels / 4 && radius <= kMostPixels / 4,
                      "compositor.render: wanted blurs of at least 0 and below 2^27 pixels");
      int64_t reach = radius >= 0 ? radius : static_cast<int64_t>(std::ceil(3 * sigma[l]));
      if (sigma[l] == 0) reach = 0;
      const auto [found, made] = known.try_emplace({sigma[l], reach}, taps_.size());
      if (made) taps_.push_back(gaussian_taps(sigma[l], reach, digits));
      taps_of_.push_back(found->second);
    }
  }

  int64_t count_;
  std::vector<CutOut> cut_outs_;
  std::vector<int64_t> image_, source_, order_, begins_, taps_of_;
  std::vector<std::vector<double>> taps_;
};

}  // namespace compositor
