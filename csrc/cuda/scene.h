// The arguments of `render` as its kernels see them, sent to the device, with what they point to
// kept alive. Makes their device current and holds its stream.
#pragma once

#include <optional>
#include <vector>

#include "../common/layers.h"
#include "bytes.h"
#include "device.h"
#include "kernels.h"

namespace compositor::cuda {

struct Scene {
  LayerList list;
  torch::stable::accelerator::DeviceGuard guard;
  cudaStream_t stream;
  Scalar scalar;
  RenderParams params{};

  Scene(const std::vector<Tensor>& foreground, const std::optional<std::vector<Tensor>>& mask,
        const Tensor& background, const Tensor& theta, const Tensor& image, const Tensor& source,
        const std::optional<Tensor>& gain, const std::optional<Tensor>& bias, const Tensor& sigma,
        int64_t radius, double threshold)
      : list(foreground, mask, background, theta, image, source, sigma, radius),
        guard(background.get_device_index()),
        stream(current_stream(background)),
        scalar(scalar_of(background)),
        like_(background) {
    const int64_t channels = background.size(1);
    STD_TORCH_CHECK(std::max(channels, list.count()) <= std::numeric_limits<int32_t>::max(),
                    "compositor.render: wanted fewer than 2^31 channels and layers");
    params.batch = background.size(0);
    params.channels = static_cast<int>(channels);
    params.height = background.size(2);
    params.width = background.size(3);
    params.background = view_of(background);
    params.theta = theta_of(theta);
    params.gain = tones_of(gain, channels, background, "gain");
    params.bias = tones_of(bias, channels, background, "bias");
    params.ramp = RampParams::of(threshold, scalar);
    params.layer_count = list.count();
    params.placed = scratch(list.count() * bytes_placed(scalar));
    send_layers();
  }

  // Uninitialised device memory, until the scene ends; never at null, which means not wanted.
  Tensor scratch_tensor(int64_t bytes) {
    const int64_t room = std::max<int64_t>(bytes, 8);
    return kept_.emplace_back(torch::stable::new_empty(like_, {room}, ScalarType::Byte));
  }
  void* scratch(int64_t bytes) { return scratch_tensor(bytes).data_ptr(); }

  template <typename T>
  const T* to_device(const std::vector<T>& values) {
    const int64_t bytes = values.size() * sizeof(T);
    void* there = scratch(bytes);
    send(values.data(), bytes, there, stream);
    return static_cast<const T*>(there);
  }

  // Whether 32 bits can index every image. Outputs are laid out like the inputs, or are dense.
  bool narrow() const {
    const int64_t height = params.height, width = params.width, channels = params.channels;
    bool fits = is_narrow((height + 1) * (width + 1), width + 1, 1, channels, height, width);
    const auto add = [&](const View& view, int64_t c, int64_t y, int64_t x) {
      fits = fits && is_narrow(view.c, view.y, view.x, c, y, x);
    };
    add(params.background, channels, height, width);
    add(params.grads.grad_composite, channels, height, width);
    for (const CutOut& one : list.cut_outs()) {
      add(one.foreground, channels, one.h, one.w);
      add(one.mask, 1, one.h, one.w);
    }
    return fits;
  }

 private:
  Tones tones_of(const std::optional<Tensor>& given, int64_t channels, const Tensor& background,
                 const char* name) const {
    if (!given) return {};
    LayerList::check_numbers(*given, {list.count(), channels}, background, name);
    return {given->data_ptr(), given->scalar_type() == ScalarType::Double, given->stride(0),
            given->stride(1)};
  }

  // All that the host knows, in one piece of memory.
  void send_layers() {
    const bool wide = scalar == Scalar::kFloat64;
    Bytes taps;
    std::vector<int64_t> first_tap;
    for (const std::vector<double>& one : list.taps()) {
      first_tap.push_back(taps.size() / (wide ? sizeof(double) : sizeof(float)));
      append_as(taps, one, one.size(), wide);
    }
    const auto plane = [](const View& view) { return Plane{view.data, view.c, view.y, view.x}; };
    Bytes bytes;
    for (int64_t l : list.order()) {
      const CutOut& cut_out = list.cut_outs()[list.source()[l]];
      const int64_t blur = list.taps_of()[l];
      const RenderLayer layer{plane(cut_out.foreground),
                              plane(cut_out.mask),
                              first_tap[blur],
                              static_cast<int>(cut_out.h),
                              static_cast<int>(cut_out.w),
                              static_cast<int>(list.taps()[blur].size()) - 1,
                              static_cast<int>(l),
                              static_cast<int>(list.image()[l])};
      append(bytes, &layer, 1);
    }
    const int64_t begins = bytes.size();
    append(bytes, list.begins().data(), list.begins().size());
    const int64_t first = bytes.size();
    append(bytes, taps.data(), taps.size());
    char* there = static_cast<char*>(scratch(bytes.size()));
    send(bytes.data(), bytes.size(), there, stream);
    params.layers = reinterpret_cast<const RenderLayer*>(there);
    params.begins = reinterpret_cast<const int64_t*>(there + begins);
    params.taps = there + first;
  }

  const Tensor like_;
  std::vector<Tensor> kept_;
};

}  // namespace compositor::cuda
