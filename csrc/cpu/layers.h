// The layers of a call as the kernels see them, sorted by canvas, with what they point to kept
// alive; checks that the arguments fit together.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "../common/tensors.h"
#include "kernels.h"

namespace compositor::cpu {

class Layers {
 public:
  Layers(const std::vector<Tensor>& foreground, const std::optional<std::vector<Tensor>>& mask,
         const Tensor& background, const Tensor& theta, const Tensor& image, const Tensor& source,
         const std::optional<Tensor>& gain, const std::optional<Tensor>& bias, const Tensor& sigma,
         int64_t radius, double threshold, bool straight_through)
      : count_(theta.size(0)) {
    STD_TORCH_CHECK(background.dim() == 4 && theta.dim() == 3,
                    "compositor.render: wanted (N, C, H, W) canvases and (L, 2, 3) theta");
    canvases_ = background.size(0);
    channels_ = background.size(1);
    STD_TORCH_CHECK(std::min({channels_, background.size(2), background.size(3)}) > 0,
                    "compositor.render: wanted no empty dimension but N");
    const Scalar scalar = scalar_of(background);
    const double one = scalar == Scalar::kByte ? 255 : 1;
    theta_ = doubles(theta, {count_, 2, 3}, "theta");
    sigma_ = doubles(sigma, {count_}, "sigma");
    image_ = integers(image, "image");
    source_ = integers(source, "source");
    if (gain || bias) {
      tones_.resize(2 * count_ * channels_);
      fill_tones(gain, 1.0, 1.0, 0, "gain");
      fill_tones(bias, 0.0, one, count_ * channels_, "bias");
    }
    const std::vector<Layer> cut_outs = planes(foreground, mask, background);
    const int64_t* images = image_.const_data_ptr<int64_t>();
    const int64_t* sources = source_.const_data_ptr<int64_t>();
    const double* sigmas = sigma_.const_data_ptr<double>();

    begins_.assign(canvases_ + 1, 0);
    for (int64_t l = 0; l < count_; ++l) {
      STD_TORCH_CHECK(images[l] >= 0 && images[l] < canvases_, "compositor.render: image: got ",
                      images[l], ", wanted 0 to ", canvases_ - 1);
      STD_TORCH_CHECK(sources[l] >= 0 && sources[l] < static_cast<int64_t>(cut_outs.size()),
                      "compositor.render: source: got ", sources[l], ", wanted 0 to ",
                      cut_outs.size() - 1);
      ++begins_[images[l] + 1];
    }
    for (int64_t n = 0; n < canvases_; ++n) begins_[n + 1] += begins_[n];
    layers_.resize(count_);
    std::vector<int64_t> next(begins_.begin(), begins_.end() - 1);
    for (int64_t l = 0; l < count_; ++l) {
      Layer layer = cut_outs[sources[l]];
      layer.theta = theta_.const_data_ptr<double>() + 6 * l;
      layer.number = static_cast<int32_t>(l);
      const int64_t reach = radius_of(sigmas[l], radius);
      layer.radius = static_cast<int>(reach_of(layer.theta, layer.size, reach));
      layer.taps = taps(sigmas[l], reach, scalar == Scalar::kFloat64 ? 53 : 24);
      layer.gain = tones_.empty() ? nullptr : tones_.data() + l * channels_;
      layer.bias = tones_.empty() ? nullptr : layer.gain + count_ * channels_;
      layers_[next[images[l]]++] = layer;
    }

    params_.channels = channels_;
    params_.height = background.size(2);
    params_.width = background.size(3);
    params_.layers = layers_.data();
    params_.begins = begins_.data();
    params_.layer_count = count_;
    params_.threshold = threshold * one;
    params_.straight_through = straight_through;
    params_.background = view_of(background);
  }
  Layers(const Layers&) = delete;
  Layers& operator=(const Layers&) = delete;

  int64_t count() const { return count_; }
  // What the kernels are given, without results.
  const RenderParams& params() const { return params_; }

  // Where the gradients of the cut-outs are summed: dense tensors like all stacks, or none.
  void sum_into(const std::vector<Tensor>& foreground, const std::vector<Tensor>& mask) {
    const auto fill = [&](const std::vector<Tensor>& stacks, void* Layer::* sums) {
      std::vector<void*> planes;
      for (const Tensor& stack : stacks) {
        const int64_t bytes = stack.stride(0) * static_cast<int64_t>(stack.element_size());
        for (int64_t i = 0; i < stack.size(0); ++i) {
          planes.push_back(static_cast<char*>(stack.mutable_data_ptr()) + i * bytes);
        }
      }
      const int64_t* sources = source_.const_data_ptr<int64_t>();
      for (Layer& layer : layers_) {
        if (!planes.empty()) layer.*sums = planes[sources[layer.number]];
      }
    };
    fill(foreground, &Layer::grad_foreground);
    fill(mask, &Layer::grad_mask);
  }

  // Whether layers of different canvases have a cut-out in common.
  bool share_cut_outs() const {
    const int64_t* sources = source_.const_data_ptr<int64_t>();
    const int64_t* images = image_.const_data_ptr<int64_t>();
    std::map<int64_t, int64_t> canvas_of;
    for (int64_t l = 0; l < count_; ++l) {
      if (canvas_of.try_emplace(sources[l], images[l]).first->second != images[l]) return true;
    }
    return false;
  }

  // All columns are neighbours in memory, and 32 bits index each plane.
  bool unit_stride() const {
    for (const Layer& layer : layers_) {
      for (const View* view : {&layer.foreground, &layer.mask}) {
        if (view->data && view->x != 1) return false;
        if (view->y * layer.size.h + layer.size.w >= std::numeric_limits<int32_t>::max()) {
          return false;
        }
      }
    }
    return true;
  }

 private:
  static Tensor doubles(const Tensor& tensor, std::vector<int64_t> sizes, const char* name) {
    bool fits = tensor.dim() == static_cast<int64_t>(sizes.size());
    for (size_t k = 0; fits && k < sizes.size(); ++k) fits = tensor.size(k) == sizes[k];
    STD_TORCH_CHECK(fits, "compositor.render: ", name, " does not fit the other arguments");
    return torch::stable::contiguous(torch::stable::to(tensor, ScalarType::Double));
  }

  Tensor integers(const Tensor& tensor, const char* name) const {
    STD_TORCH_CHECK(
        tensor.dim() == 1 && tensor.size(0) == count_ && tensor.scalar_type() == ScalarType::Long,
        "compositor.render: ", name, ": wanted int64, one for each layer");
    return torch::stable::contiguous(tensor);
  }

  void fill_tones(const std::optional<Tensor>& given, double otherwise, double unit, int64_t at,
                  const char* name) {
    const int64_t numbers = count_ * channels_;
    if (!given) {
      std::fill_n(tones_.begin() + at, numbers, otherwise);
      return;
    }
    const Tensor values = doubles(*given, {count_, channels_}, name);
    const double* from = values.const_data_ptr<double>();
    for (int64_t k = 0; k < numbers; ++k) tones_[at + k] = from[k] * unit;
  }

  // One for each cut-out of all stacks.
  std::vector<Layer> planes(const std::vector<Tensor>& foreground,
                            const std::optional<std::vector<Tensor>>& mask,
                            const Tensor& background) const {
    STD_TORCH_CHECK(!mask || mask->size() == foreground.size(),
                    "compositor.render: wanted a stack of masks for each of foregrounds");
    std::vector<Layer> cut_outs;
    for (size_t k = 0; k < foreground.size(); ++k) {
      const Tensor& colours = foreground[k];
      const std::optional<Tensor> cover = mask ? std::optional<Tensor>((*mask)[k]) : std::nullopt;
      check_stack(colours, channels_, background);
      if (cover) check_stack(*cover, 1, background);
      STD_TORCH_CHECK(
          !cover || (cover->size(0) == colours.size(0) && cover->size(2) == colours.size(2) &&
                     cover->size(3) == colours.size(3)),
          "compositor.render: a mask does not fit its foreground");
      Layer layer{};
      layer.size = {colours.size(2), colours.size(3), background.size(2), background.size(3)};
      const View view = view_of(colours), cover_view = view_of(cover);
      for (int64_t i = 0; i < colours.size(0); ++i) {
        layer.foreground = offset(view, i, colours.element_size());
        if (cover) layer.mask = offset(cover_view, i, colours.element_size());
        cut_outs.push_back(layer);
      }
    }
    return cut_outs;
  }

  static void check_stack(const Tensor& stack, int64_t channels, const Tensor& background) {
    const int64_t most = std::numeric_limits<int32_t>::max() / 4;
    STD_TORCH_CHECK(stack.dim() == 4 && stack.size(1) == channels &&
                        stack.scalar_type() == background.scalar_type() &&
                        stack.device() == background.device() &&
                        std::min(stack.size(2), stack.size(3)) > 0 &&
                        std::max(stack.size(2), stack.size(3)) <= most,
                    "compositor.render: a cut-out does not fit the background");
  }

  static View offset(View view, int64_t image, int64_t bytes) {
    view.data = static_cast<char*>(view.data) + image * view.n * bytes;
    return view;
  }

  const double* taps(double sigma, int64_t radius, int digits) {
    auto [found, made] = taps_.try_emplace({sigma, radius});
    if (made) found->second = gaussian_taps(sigma, radius, digits);
    return found->second.data();
  }

  static int64_t radius_of(double sigma, int64_t radius) {
    if (sigma == 0) return 0;
    return radius >= 0 ? radius : static_cast<int64_t>(std::ceil(3 * sigma));
  }

  int64_t count_, canvases_ = 0, channels_ = 0;
  RenderParams params_{};
  Tensor theta_, sigma_, image_, source_;
  std::vector<double> tones_;  // gains, then biases
  std::map<std::pair<double, int64_t>, std::vector<double>> taps_;
  std::vector<Layer> layers_;
  std::vector<int64_t> begins_;
};

}  // namespace compositor::cpu
