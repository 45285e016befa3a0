// The first part of render's backward: a block of threads per tile of a canvas, as in the forward.
// Up through the layers it finds of each pixel under a layer's box the layer's alpha, how much the
// loss gains if its colour takes the place of what is below, and what the colour pulls at the map;
// down through them, what of each layer the later ones leave to be seen. Of each pixel of each box
// are kept for render_pull.h and render_gather.h the colour's weight in the composite, dL/dalpha,
// and for theta dL/du and dL/dv of the colour at weight 1.

template <typename T>
COMPOSITOR_DEVICE_INLINE Run<T, 2>* slopes_of(const RenderParams& p, const LayerGrad& kept) {
  auto* slopes = static_cast<Run<T, 2>*>(p.grads.slopes);
  return as_base(slopes + (slopes ? kept.plane : 0));
}

template <typename S, typename I>
class WalkPixels : public RenderPixels<S, I> {
  using Base = RenderPixels<S, I>;
  using T = typename Compute<S>::type;
  using Shared = RenderShared<T>;
  using Base::p_, Base::shared_, Base::tile_;

 public:
  using Base::Base;

  // The way up, of the layer under way: keeps its alpha, and G (f - below) summed over channels.
  COMPOSITOR_DEVICE_INLINE void weigh(int t, int64_t l, int channel, int channels) const {
    if (shared_.samples == Where::kOutside) {
      const LayerPlanes planes(p_, l);
      for_pixels_under(t, [&](int, int, I at) { planes.weight[at] = planes.pull[at] = 0; });
      return;
    }
    choose(shared_.colours == Where::kInside, [&](auto inside) {
      if (channels == Shared::kGroup) {
        weigh_group<inside.value, Shared::kGroup>(t, l, channel, 0);
        return;
      }
#pragma unroll 1
      for (int k = 0; k < channels; ++k) {
        weigh_group<inside.value, 1>(t, l, channel + k, k);
      }
    });
  }

  // The way down: what a pixel still lets through, in shared.alpha, falls with each layer.
  COMPOSITOR_DEVICE_INLINE void start_down(int t) const {
    for_pixels(t, tile_.rows, tile_.columns, [&](int y, int x) { through(y, x) = 1; });
  }
  COMPOSITOR_DEVICE_INLINE void pass_down(int t, int64_t l) const {
    const LayerPlanes planes(p_, l);
    for_pixels_under(t, [&](int y, int x, I at) {
      const T alpha = planes.weight[at], pull = planes.pull[at], left = through(y, x);
      planes.weight[at] = left * alpha;
      planes.pull[at] = left * pull;
      through(y, x) = left * (T(1) - alpha);
    });
  }
  COMPOSITOR_DEVICE_INLINE void end_down(int t, bool lost) const {
    const auto grad = image_of<const S, I>(p_.grads.grad_composite, tile_.image);
    const auto out = image_of<S, I>(p_.grads.grad_background, tile_.image);
    for (int c = 0; c < p_.channels; ++c) {
      for_pixels(t, tile_.rows, tile_.columns, [&](int y, int x) {
        const int i = tile_.row + y, j = tile_.column + x;
        const T value =
            lost ? static_cast<T>(__builtin_nan("")) : through(y, x) * fetch(grad.at(c, i, j));
        store(*out.at(c, i, j), value);
      });
    }
  }

  COMPOSITOR_DEVICE_INLINE void take_box(int t, int64_t l) const {
    copy_words(t, placed_of<T>(p_)[l], shared_.placed);
  }

 private:
  // The numbers that are kept of each pixel of a layer's box.
  struct LayerPlanes {
    T *weight, *pull;
    Run<T, 2>* slopes;  // where they are wanted

    COMPOSITOR_DEVICE_INLINE LayerPlanes(const RenderParams& p, int64_t l)
        : weight(as_base(static_cast<T*>(p.grads.weights) + p.grads.layers[l].plane)),
          pull(as_base(static_cast<T*>(p.grads.pulls) + p.grads.layers[l].plane)),
          slopes(slopes_of<T>(p, p.grads.layers[l])) {}
  };

  template <bool kInside, int kGroup>
  COMPOSITOR_DEVICE_INLINE void weigh_group(int t, int64_t l, int channel, int first) const {
    const AffineMap<T> map = shared_.placed.map;
    const auto part = [&](auto image) {
      image.data = as_base(image.at(channel, 0, 0));
      return image;
    };
    const auto foreground = part(image_of<S, I>(shared_.layer.foreground));
    const auto grad = part(image_of<const S, I>(p_.grads.grad_composite, tile_.image));
    const int h = shared_.layer.h, w = shared_.layer.w, row = tile_.row, column = tile_.column;
    T gain[kGroup], bias[kGroup];
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      gain[k] = shared_.gain[first + k], bias[k] = shared_.bias[first + k];
    }
    const LayerPlanes planes(p_, l);
    const bool slopes = p_.grads.slopes != nullptr;
    for_pixels_under(t, [&](int y, int x, I at) {
      const T alpha = shared_.alpha[y * Shared::kWidth + x];
      const int i = row + y, j = column + x;
      const auto corners = locate_colour<kInside>(foreground, point_of(map, i, j), h, w);
      T colour[kGroup], below[kGroup], pulled[kGroup], u = 0, v = 0;
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        const Bilinear<T> sample = sample_colour(foreground, corners, k);
        colour[k] = fused(gain[k], sample.value, bias[k]);
        pulled[k] = fetch(grad.at(k, i, j));
        below[k] = this->canvas(first + k, y, x);
        u += pulled[k] * gain[k] * sample.along_x;
        v += pulled[k] * gain[k] * sample.along_y;
      }
      T total = channel == 0 ? T(0) : planes.pull[at];
#pragma unroll
      for (int k = 0; k < kGroup; ++k) total += pulled[k] * (colour[k] - below[k]);
      if (!(total - total == T(0)) && alpha == T(0)) {  // what is not shown may be anything
        total = channel == 0 ? T(0) : planes.pull[at];
#pragma unroll
        for (int k = 0; k < kGroup; ++k) total += pulled[k] * contrast(false, colour[k], below[k]);
      }
      planes.pull[at] = total;
      if (channel == 0) planes.weight[at] = alpha;
      if (slopes) {
        const Run<T, 2> before = channel == 0 ? Run<T, 2>{} : planes.slopes[at];
        planes.slopes[at] = {before.values[0] + u, before.values[1] + v};
      }
      if (alpha == T(0)) return;
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        this->canvas(first + k, y, x) = blended(alpha, colour[k], alpha == T(1) ? T(0) : below[k]);
      }
    });
  }

  // Calls f(y, x, at) for a thread's pixels of the tile in the box of the layer under way, `at`
  // being their place in the box, which is as narrow as the canvas.
  template <typename F>
  COMPOSITOR_DEVICE_INLINE void for_pixels_under(int t, F&& f) const {
    const Box box = shared_.placed.box;
    const int row = tile_.row - box.y0, column = tile_.column - box.x0, width = box.x1 - box.x0;
    const int first = most(0, -row), last = least(tile_.rows, box.y1 - tile_.row);
    const I corner = I(row) * I(width) + column;  // of the tile
    for_pixels<Shared::kWidth>(t, first, last, [&](int y, int x) {
      if (within(column + x, width)) f(y, x, corner + (I(y) * I(width) + x));
    });
  }

  COMPOSITOR_DEVICE_INLINE T& through(int y, int x) const {
    return shared_.alpha[y * Shared::kWidth + x];
  }
};

template <typename S, typename I, typename Block, typename Shared>
COMPOSITOR_DEVICE_INLINE void walk_tile(const RenderParams& p, const Split& split, int64_t number,
                                        Block& block, Shared& shared) {
  using T = typename Compute<S>::type;
  const auto pixels = [&] { return WalkPixels<S, I>(p, shared); };
  block.each([&](int t) {
    if (t == 0) shared.tile = tile_of(p, split, number);
  });
#pragma unroll 1
  for (int channel = 0; channel < p.channels; channel += Shared::kGroup) {
    const int channels = least(Shared::kGroup, p.channels - channel);
    bool opened = false;
    for_layers_met<T, false>(p, block, shared, [&](int64_t l) {
      block.each([&](int t) {
        if (!opened) pixels().open(t, channel, channels);
        pixels().take(t, l, channel, channels);
      });
      opened = true;
      const Fill fill = cover_tile<S, I>(p, block, shared);
      write_level(block, fill, shared.alpha, Shared::kPixels);
      block.each([&](int t) { pixels().weigh(t, l, channel, channels); });
    });
  }
  block.each([&](int t) { pixels().start_down(t); });
  const bool lost = for_layers_met<T, true>(p, block, shared, [&](int64_t l) {
    block.each([&](int t) { pixels().take_box(t, l); });
    block.each([&](int t) { pixels().pass_down(t, l); });
  });
  block.each([&](int t) {
    if (p.grads.grad_background.data) pixels().end_down(t, lost);
  });
}
