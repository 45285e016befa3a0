// The first part of render's backward: a block of threads per tile of a canvas, as in the forward.
// Up through the layers it finds of each pixel under a layer's box the layer's alpha, and how much
// the loss gains if its colour takes the place of what is below; down through them, what of each
// layer the later ones leave to be seen. Two numbers a pixel of each box are kept for render_pull.h
// and render_gather.h: the colour's weight in the composite, and dL/dalpha.

template <typename S, typename I>
class WalkPixels : public RenderPixels<S, I> {
  using Base = RenderPixels<S, I>;
  using T = typename Compute<S>::type;
  using Shared = RenderShared<T>;
  using Base::p_, Base::shared_, Base::tile_;

 public:
  using Base::Base;

  // The way up, of the layer under way: keeps its alpha, and G (f - below) summed over channels.
  COMPOSITOR_DEVICE_INLINE void weigh(int t, Fill fill, int64_t l, int channel,
                                      int channels) const {
    if (shared_.samples == Where::kOutside) {
      const LayerGrad kept = p_.grads.layers[l];
      for_pixels_under(t, [&](int, int, int64_t at) {
        weights()[kept.plane + at] = pulls()[kept.plane + at] = 0;
      });
      return;
    }
    choose(shared_.colours == Where::kInside, [&](auto inside) {
      if (channels == Shared::kGroup) {
        weigh_group<inside.value, Shared::kGroup>(t, fill, l, channel, 0);
        return;
      }
#pragma unroll 1
      for (int k = 0; k < channels; ++k) {
        weigh_group<inside.value, 1>(t, fill, l, channel + k, k);
      }
    });
  }

  // The way down: what a pixel still lets through, in shared.alpha, falls with each layer.
  COMPOSITOR_DEVICE_INLINE void start_down(int t) const {
    for_pixels(t, tile_.rows, tile_.columns, [&](int y, int x) { through(y, x) = 1; });
  }
  COMPOSITOR_DEVICE_INLINE void pass_down(int t, int64_t l) const {
    const LayerGrad kept = p_.grads.layers[l];
    for_pixels_under(t, [&](int y, int x, int64_t at) {
      T& weight = weights()[kept.plane + at];
      T& pull = pulls()[kept.plane + at];
      const T alpha = weight, left = through(y, x);
      weight = left * alpha;
      pull = left * pull;
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
  template <bool kInside, int kGroup>
  COMPOSITOR_DEVICE_INLINE void weigh_group(int t, Fill fill, int64_t l, int channel,
                                            int first) const {
    const AffineMap<T> map = shared_.placed.map;
    const auto foreground = image_of<S, I>(shared_.layer.foreground);
    const auto grad = image_of<const S, I>(p_.grads.grad_composite, tile_.image);
    const int h = shared_.layer.h, w = shared_.layer.w;
    const int64_t plane = p_.grads.layers[l].plane;
    for_pixels_under(t, [&](int y, int x, int64_t at) {
      const T alpha =
          fill == Fill::kMixed ? shared_.alpha[y * Shared::kWidth + x] : T(fill == Fill::kOne);
      const int i = tile_.row + y, j = tile_.column + x;
      const auto corners = locate_colour<kInside>(foreground, point_of(map, i, j), h, w);
      T colour[kGroup], pulled[kGroup];
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        colour[k] = sample_colour(foreground, corners, channel + k).value;
        pulled[k] = fetch(grad.at(channel + k, i, j));
      }
      T total = channel == 0 ? T(0) : pulls()[plane + at];
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        T& below = this->canvas(first + k, y, x);
        const T f = fused(shared_.gain[first + k], colour[k], shared_.bias[first + k]);
        total += pulled[k] * contrast(!(alpha == T(0)), f, below);
        if (!(alpha == T(0))) below = blended(alpha, f, alpha == T(1) ? T(0) : below);
      }
      pulls()[plane + at] = total;
      if (channel == 0) weights()[plane + at] = alpha;
    });
  }

  // Calls f(y, x, at) for a thread's pixels of the tile in the box of the layer under way, `at`
  // being their place in the box.
  template <typename F>
  COMPOSITOR_DEVICE_INLINE void for_pixels_under(int t, F&& f) const {
    const Box box = shared_.placed.box;
    const int width = box.x1 - box.x0;
    for_pixels(t, tile_.rows, tile_.columns, [&](int y, int x) {
      const int i = tile_.row + y - box.y0, j = tile_.column + x - box.x0;
      if (within(i, box.y1 - box.y0) && within(j, width)) f(y, x, int64_t{i} * width + j);
    });
  }

  COMPOSITOR_DEVICE_INLINE T* weights() const { return static_cast<T*>(p_.grads.weights); }
  COMPOSITOR_DEVICE_INLINE T* pulls() const { return static_cast<T*>(p_.grads.pulls); }
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
      block.each([&](int t) { pixels().weigh(t, fill, l, channel, channels); });
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
