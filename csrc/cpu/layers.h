// The layers of a call as the kernels see them, with what they point to kept alive.
#pragma once

#include <algorithm>
#include <limits>
#include <map>
#include <vector>

#include "../common/layers.h"
#include "kernels.h"

namespace compositor::cpu {

class Layers {
 public:
  Layers(const std::vector<Tensor>& foreground, const std::optional<std::vector<Tensor>>& mask,
         const Tensor& background, const Tensor& theta, const Tensor& image, const Tensor& source,
         const std::optional<Tensor>& gain, const std::optional<Tensor>& bias, const Tensor& sigma,
         int64_t radius, double threshold, bool straight_through)
      : list_(foreground, mask, background, theta, image, source, sigma, radius),
        channels_(background.size(1)),
        theta_(doubles(theta)) {
    const double one = scalar_of(background) == Scalar::kByte ? 255 : 1;
    if (gain || bias) {
      tones_.resize(2 * count() * channels_);
      fill_tones(gain, background, 1.0, 1.0, 0, "gain");
      fill_tones(bias, background, 0.0, one, count() * channels_, "bias");
    }
    layers_.reserve(count());
    for (int64_t l : list_.order()) {
      const CutOut& cut_out = list_.cut_outs()[list_.source()[l]];
      const std::vector<double>& taps = list_.taps()[list_.taps_of()[l]];
      Layer layer{};
      layer.size = {cut_out.h, cut_out.w, background.size(2), background.size(3)};
      layer.foreground = cut_out.foreground;
      layer.mask = cut_out.mask;
      layer.theta = theta_.data() + 6 * l;
      layer.number = static_cast<int32_t>(l);
      layer.radius = static_cast<int>(
          reach_of(layer.theta, layer.size, static_cast<int64_t>(taps.size()) - 1));
      layer.taps = taps.data();
      layer.gain = tones_.empty() ? nullptr : tones_.data() + l * channels_;
      layer.bias = tones_.empty() ? nullptr : layer.gain + count() * channels_;
      layers_.push_back(layer);
    }

    params_.channels = channels_;
    params_.height = background.size(2);
    params_.width = background.size(3);
    params_.layers = layers_.data();
    params_.begins = list_.begins().data();
    params_.layer_count = count();
    params_.threshold = threshold * one;
    params_.straight_through = straight_through;
    params_.background = view_of(background);
  }
  Layers(const Layers&) = delete;
  Layers& operator=(const Layers&) = delete;

  int64_t count() const { return list_.count(); }
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
      for (Layer& layer : layers_) {
        if (!planes.empty()) layer.*sums = planes[list_.source()[layer.number]];
      }
    };
    fill(foreground, &Layer::grad_foreground);
    fill(mask, &Layer::grad_mask);
  }

  // Whether layers of different canvases have a cut-out in common.
  bool share_cut_outs() const {
    std::map<int64_t, int64_t> canvas_of;
    for (int64_t l = 0; l < count(); ++l) {
      const int64_t canvas = list_.image()[l];
      if (canvas_of.try_emplace(list_.source()[l], canvas).first->second != canvas) return true;
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
  void fill_tones(const std::optional<Tensor>& given, const Tensor& background, double otherwise,
                  double unit, int64_t at, const char* name) {
    const int64_t numbers = count() * channels_;
    if (!given) {
      std::fill_n(tones_.begin() + at, numbers, otherwise);
      return;
    }
    LayerList::check_numbers(*given, {count(), channels_}, background, name);
    const std::vector<double> values = doubles(*given);
    for (int64_t k = 0; k < numbers; ++k) tones_[at + k] = values[k] * unit;
  }

  const LayerList list_;
  const int64_t channels_;
  const std::vector<double> theta_;
  RenderParams params_{};
  std::vector<double> tones_;  // gains, then biases
  std::vector<Layer> layers_;
};

}  // namespace compositor::cpu
