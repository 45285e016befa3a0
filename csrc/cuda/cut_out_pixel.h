// One pixel of a cut-out, and what all layers that show it pull at it.

template <typename S>
struct CutOutPixel {
  using T = typename Compute<S>::type;
  static constexpr int kGroup = 4;  // channels at once

  const RenderParams& p;
  const CutOutGrad& cut_out;
  const int64_t *first, *last;  // the layers
  int y, x;

  COMPOSITOR_DEVICE_INLINE void gather_colours(int channel) const {
    T totals[kGroup] = {};
    for (const int64_t* user = first; user < last; ++user) {
      const RenderLayer& layer = p.layers[*user];
      const Placed<T>& placed = placed_of<T>(p)[*user];
      const LayerGrad& kept = p.grads.layers[*user];
      const Box& box = placed.box;
      const auto grad = image_of<const S, int64_t>(p.grads.grad_composite, layer.canvas);
      const T* weights = static_cast<const T*>(p.grads.weights) + kept.plane;
      T gain[kGroup];
      for (int k = 0; k < kGroup; ++k) {
        const double tone =
            channel + k < p.channels ? tone_of(p.gain, layer.number, channel + k, 1) : 0;
        gain[k] = kept.lost ? static_cast<T>(__builtin_nan("")) : static_cast<T>(tone);
        if (kept.lost) totals[k] = gain[k];
      }
      for_colours_of(
          placed.map, layer.h, layer.w, placed.radius, box, y, x, [&](int i, int j, T share) {
            const T weight = weights[int64_t{i - box.y0} * (box.x1 - box.x0) + (j - box.x0)];
            if (weight == T(0)) return;
#pragma unroll
            for (int k = 0; k < kGroup; ++k) {
              if (channel + k >= p.channels) continue;
              const T pulled = weight * fetch(grad.at(channel + k, i, j));
              totals[k] += share * (pulled * gain[k]);
            }
          });
    }
    const auto out = mutable_image(cut_out.foreground);
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      if (channel + k < p.channels) store(*out.at(channel + k, y, x), totals[k]);
    }
  }

  COMPOSITOR_DEVICE_INLINE void gather_mask() const {
    T total = 0;
    for (const int64_t* user = first; user < last; ++user) {
      const RenderLayer& layer = p.layers[*user];
      const Placed<T>& placed = placed_of<T>(p)[*user];
      const LayerGrad& kept = p.grads.layers[*user];
      if (kept.lost) total = static_cast<T>(__builtin_nan(""));
      const int r = placed.radius;
      const Box box{placed.box.y0 - r, placed.box.x0 - r, placed.box.y1 + r, placed.box.x1 + r};
      const T* covers = static_cast<const T*>(p.grads.covers) + kept.cover;
      if (placed.box.empty()) continue;
      for_masks_of(placed.map, layer.h, layer.w, box, y, x, [&](int i, int j, T share) {
        total += share * covers[int64_t{i - box.y0} * (box.x1 - box.x0) + (j - box.x0)];
      });
    }
    store(*mutable_image(cut_out.mask).at(0, y, x), total);
  }

 private:
  static COMPOSITOR_DEVICE_INLINE Image<S, int64_t> mutable_image(const Plane& plane) {
    return {static_cast<S*>(plane.data), plane.c, plane.y, plane.x};
  }
};
