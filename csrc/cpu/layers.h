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
#include "small.h"

namespace compositor::cpu {

// Cut-outs of one size, (K, C, h, w), or one, (C, h, w).
struct Stack {
  int64_t count, h, w;
  View view;
  int64_t bytes;  // from one to the next

  Stack(const Tensor& images, int64_t channels, const Tensor& background) {
    const auto sizes = images.sizes(), strides = images.strides();
    const size_t from = sizes.size() == 4 ? 1 : 0;
    const int64_t most = std::numeric_limits<int32_t>::max() / 4;
    STD_TORCH_CHECK(sizes.size() == 3 + from && sizes[from] == channels &&
                        images.scalar_type() == background.scalar_type() && images.is_cpu() &&
                        std::min(sizes[from + 1], sizes[from + 2]) > 0 &&
                        std::max(sizes[from + 1], sizes[from + 2]) <= most,
                    "compositor.render: a cut-out does not fit the background");
    count = from ? sizes[0] : 1, h = sizes[from + 1], w = sizes[from + 2];
    view = {images.data_ptr(), 0, strides[from], strides[from + 1], strides[from + 2]};
    bytes = from ? strides[0] * static_cast<int64_t>(images.element_size()) : 0;
  }

  View at(int64_t image) const {
    View one = view;
    one.data = static_cast<char*>(one.data) + image * bytes;
    return one;
  }
};

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
    theta_ = numbers(theta, {count_, 2, 3}, "theta");
    const std::vector<double> sigmas = numbers(sigma, {count_}, "sigma");
    image_ = indices(image, "image");
    source_ = indices(source, "source");
    if (gain || bias) {
      tones_.resize(2 * count_ * channels_);
      fill_tones(gain, 1.0, 1.0, 0, "gain");
      fill_tones(bias, 0.0, one, count_ * channels_, "bias");
    }
    const std::vector<Layer> cut_outs = planes(foreground, mask, background);

    begins_.assign(canvases_ + 1, 0);
    for (int64_t l = 0; l < count_; ++l) {
      STD_TORCH_CHECK(image_[l] >= 0 && image_[l] < canvases_, "compositor.render: image: got ",
                      image_[l], ", wanted 0 to ", canvases_ - 1);
      STD_TORCH_CHECK(source_[l] >= 0 && source_[l] < static_cast<int64_t>(cut_outs.size()),
                      "compositor.render: source: got ", source_[l], ", wanted 0 to ",
                      cut_outs.size() - 1);
      ++begins_[image_[l] + 1];
    }
    for (int64_t n = 0; n < canvases_; ++n) begins_[n + 1] += begins_[n];
    layers_.resize(count_);
    std::vector<int64_t> next(begins_.begin(), begins_.end() - 1);
    for (int64_t l = 0; l < count_; ++l) {
      Layer layer = cut_outs[source_[l]];
      layer.theta = theta_.data() + 6 * l;
      layer.number = static_cast<int32_t>(l);
      const int64_t reach = radius_of(sigmas[l], radius);
      layer.radius = static_cast<int>(reach_of(layer.theta, layer.size, reach));
      layer.taps = taps(sigmas[l], reach, scalar == Scalar::kFloat64 ? 53 : 24);
      layer.gain = tones_.empty() ? nullptr : tones_.data() + l * channels_;
      layer.bias = tones_.empty() ? nullptr : layer.gain + count_ * channels_;
      layers_[next[image_[l]]++] = layer;
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
        const bool many = stack.dim() == 4;
        const int64_t count = many ? stack.size(0) : 1;
        const int64_t bytes = stack.numel() / std::max<int64_t>(count, 1) * stack.element_size();
        for (int64_t i = 0; i < count; ++i) {
          planes.push_back(static_cast<char*>(stack.mutable_data_ptr()) + i * bytes);
        }
      }
      for (Layer& layer : layers_) {
        if (!planes.empty()) layer.*sums = planes[source_[layer.number]];
      }
    };
    fill(foreground, &Layer::grad_foreground);
    fill(mask, &Layer::grad_mask);
  }

  // Whether layers of different canvases have a cut-out in common.
  bool share_cut_outs() const {
    std::map<int64_t, int64_t> canvas_of;
    for (int64_t l = 0; l < count_; ++l) {
      if (canvas_of.try_emplace(source_[l], image_[l]).first->second != image_[l]) return true;
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
  static std::vector<double> numbers(const Tensor& tensor, std::vector<int64_t> sizes,
                                     const char* name) {
    const ScalarType type = tensor.scalar_type();
    bool fits = (type == ScalarType::Double || type == ScalarType::Float) && tensor.is_cpu() &&
                tensor.dim() == static_cast<int64_t>(sizes.size());
    for (size_t k = 0; fits && k < sizes.size(); ++k) fits = tensor.size(k) == sizes[k];
    STD_TORCH_CHECK(fits, "compositor.render: ", name, " does not fit the other arguments");
    return doubles(tensor);
  }

  std::vector<int64_t> indices(const Tensor& tensor, const char* name) const {
    STD_TORCH_CHECK(tensor.dim() == 1 && tensor.size(0) == count_ && tensor.is_cpu() &&
                        tensor.scalar_type() == ScalarType::Long,
                    "compositor.render: ", name, ": wanted int64, one for each layer");
    return integers(tensor);
  }

  void fill_tones(const std::optional<Tensor>& given, double otherwise, double unit, int64_t at,
                  const char* name) {
    if (!given) {
      std::fill_n(tones_.begin() + at, count_ * channels_, otherwise);
      return;
    }
    for (const double value : numbers(*given, {count_, channels_}, name)) {
      tones_[at++] = value * unit;
    }
  }

  // One for each cut-out of all stacks.
  std::vector<Layer> planes(const std::vector<Tensor>& foreground,
                            const std::optional<std::vector<Tensor>>& mask,
                            const Tensor& background) const {
    STD_TORCH_CHECK(!mask || mask->size() == foreground.size(),
                    "compositor.render: wanted a stack of masks for each of foregrounds");
    const int64_t height = background.size(2), width = background.size(3);
    std::vector<Layer> cut_outs;
    cut_outs.reserve(foreground.size());
    for (size_t k = 0; k < foreground.size(); ++k) {
      const Stack colours(foreground[k], channels_, background);
      const Stack cover = mask ? Stack((*mask)[k], 1, background) : colours;
      STD_TORCH_CHECK(cover.count == colours.count && cover.h == colours.h && cover.w == colours.w,
                      "compositor.render: a mask does not fit its foreground");
      Layer layer{};
      layer.size = {colours.h, colours.w, height, width};
      for (int64_t i = 0; i < colours.count; ++i) {
        layer.foreground = colours.at(i);
        if (mask) layer.mask = cover.at(i);
        cut_outs.push_back(layer);
      }
    }
    return cut_outs;
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
  std::vector<double> theta_;
  std::vector<int64_t> image_, source_;
  std::vector<double> tones_;  // gains, then biases
  std::map<std::pair<double, int64_t>, std::vector<double>> taps_;
  std::vector<Layer> layers_;
  std::vector<int64_t> begins_;
};

}  // namespace compositor::cpu
