// The pixels of a tile under one layer of `render`: see render.h.

template <typename T>
struct RenderShared {
  // As many pixels as let what the blurs of any radius need, and three channels, lie side by side.
  static constexpr int kRows = 64 / sizeof(T);
  static constexpr int kGroup = 3;  // channels at once
  using Near = Tile<T, kFixedRadius, kRows>;
  using Far = Tile<T, -1, kRows>;
  static constexpr int kWidth = Near::kWidth, kPixels = Near::kPixels;

  CanvasTile tile;
  SharedArray<unsigned char, kThreads> met;
  // The layer under way.
  RenderLayer layer;
  Placed<T> placed;
  Where samples, colours;  // of the tile grown by the radius, and of the tile
  SharedArray<T, kGroup> gain, bias;
  union {
    typename Near::Scratch near;
    typename Far::Scratch far;
    SharedArray<Shown, kThreads> shown;
  };
  SharedArray<T, kPixels> alpha;
  SharedArray<T, kGroup * kPixels> canvas;
};

template <typename S, typename I>
COMPOSITOR_DEVICE_INLINE Image<const S, I> image_of(const Plane& plane) {
  return {static_cast<const S*>(plane.data), static_cast<I>(plane.c), static_cast<I>(plane.y),
          static_cast<I>(plane.x)};
}

COMPOSITOR_DEVICE_INLINE double tone_of(const Tones& tones, int64_t layer, int channel,
                                        double otherwise) {
  if (!tones.data) return otherwise;
  return read_number(tones.data, tones.wide, layer * tones.layer + channel * tones.channel);
}

// What a phase does with pixels of the tile. As in the backward, each phase makes its own.
template <typename S, typename I>
class RenderPixels {
  using T = typename Compute<S>::type;
  using Shared = RenderShared<T>;

 public:
  COMPOSITOR_DEVICE_INLINE RenderPixels(const RenderParams& p, Shared& shared)
      : p_(p), shared_(shared), tile_(shared.tile) {}

  // Makes a layer the one under way: copies it, looks where it lies, takes its tones of a group of
  // channels.
  COMPOSITOR_DEVICE_INLINE void take(int t, int64_t l, int channel, int channels) const {
    const RenderLayer& layer = p_.layers[l];
    const Placed<T>& placed = placed_of<T>(p_)[l];
    copy_words(t - 128, layer, shared_.layer);
    copy_words(t - 192, placed, shared_.placed);
    const Rectangle shown{tile_.row, tile_.column, tile_.rows, tile_.columns};
    const Sizes size{layer.h, layer.w, p_.height, p_.width};
    if (t == 0) {
      // Rows beyond the canvas are not sampled, columns are.
      const Rectangle whole{shown.row, shown.column, shown.rows, Shared::kWidth};
      shared_.samples = where_masked(image_of<S, I>(layer.mask),
                                     where_in_frame(placed.map, size, whole.grown(placed.radius)));
    }
    if (t == 32) {
      const Where lies = where_in_frame(placed.map, size, shown);
      const bool beside = layer.foreground.x == 1;
      shared_.colours = lies == Where::kInside && !beside ? Where::kAcross : lies;
    }
    if (t >= 64 && t < 64 + channels) {
      const int k = t - 64;
      shared_.gain[k] = static_cast<T>(tone_of(p_.gain, layer.number, channel + k, 1));
      shared_.bias[k] =
          static_cast<T>(tone_of(p_.bias, layer.number, channel + k, 0) * double{kOne<S>});
    }
  }

  // s of each pixel of the tile, and around it. The layer's numbers are in registers.
  template <bool kInside, typename Each>
  COMPOSITOR_DEVICE_INLINE void cover(Each&& each) const {
    each([map = shared_.placed.map, mask = image_of<S, I>(shared_.layer.mask), h = shared_.layer.h,
          w = shared_.layer.w, row = tile_.row, column = tile_.column,
          ramp = Ramp<S>(p_.ramp)](auto, int y, int x, T& value) {
      const Point<T> at = point_of(map, row + y, column + x);
      value = ramp(sample_mask<kInside>(mask, at, h, w).value().value);
    });
  }

  COMPOSITOR_DEVICE_INLINE Where samples_in(const Rectangle& of) const {
    const Sizes size{shared_.layer.h, shared_.layer.w, p_.height, p_.width};
    return where_masked(
        image_of<S, I>(shared_.layer.mask),
        where_in_frame(shared_.placed.map, size, of.moved(tile_.row, tile_.column)));
  }

  // The canvas as it is below all layers.
  COMPOSITOR_DEVICE_INLINE void open(int t, int channel, int channels) const {
    const auto background = image_of<const S, I>(p_.background, tile_.image);
    for (int k = 0; k < channels; ++k) {
      for_pixels(t, tile_.rows, tile_.columns, [&](int y, int x) {
        canvas(k, y, x) = fetch(background.at(channel + k, tile_.row + y, tile_.column + x));
      });
    }
  }

  COMPOSITOR_DEVICE_INLINE void close(int t, int channel, int channels, bool lost) const {
    const auto composite = image_of<S, I>(p_.composite, tile_.image);
    for (int k = 0; k < channels; ++k) {
      for_pixels(t, tile_.rows, tile_.columns, [&](int y, int x) {
        const T value = lost ? static_cast<T>(__builtin_nan("")) : canvas(k, y, x);
        store(*composite.at(channel + k, tile_.row + y, tile_.column + x), value);
      });
    }
  }

  // Blends the layer into the canvas; returns on how many pixels its alpha is above 0.5, which
  // become its own if labels are wanted.
  COMPOSITOR_DEVICE_INLINE int blend(int t, Fill fill, int channel, int channels,
                                     bool labels) const {
    int covered = 0;
    choose(shared_.colours == Where::kInside, [&](auto inside) {
      if (channels == Shared::kGroup) {
        blend_group<inside.value, Shared::kGroup>(t, fill, channel, 0, labels, covered);
        return;
      }
#pragma unroll 1
      for (int k = 0; k < channels; ++k) {
        blend_group<inside.value, 1>(t, fill, channel + k, k, labels && k == 0, covered);
      }
    });
    return covered;
  }

  COMPOSITOR_DEVICE_INLINE void disown(int t) const {
    for_pixels(t, tile_.rows, tile_.columns, [&](int y, int x) { *owner(y, x) = -1; });
  }

  // What of the tile a thread's pixels show of the layer under way.
  COMPOSITOR_DEVICE_INLINE Shown count(int t, int number) const {
    Shown shown = nothing_shown();
    for_pixels(t, tile_.rows, tile_.columns, [&](int y, int x) {
      if (*owner(y, x) != number) return;
      const int i = tile_.row + y, j = tile_.column + x;
      add_shown(shown, {0, 1, j, i, j + 1, i + 1});
    });
    return shown;
  }

 protected:
  COMPOSITOR_DEVICE_INLINE T& canvas(int k, int y, int x) const {
    return shared_.canvas[k * Shared::kPixels + y * Shared::kWidth + x];
  }

  const RenderParams& p_;
  Shared& shared_;
  const CanvasTile& tile_;

 private:
  // kGroup channels at once, so that their loads overlap. Alpha 0 needs no colour, and alpha 1
  // nothing below.
  template <bool kInside, int kGroup>
  COMPOSITOR_DEVICE_INLINE void blend_group(int t, Fill fill, int channel, int first, bool labels,
                                            int& covered) const {
    const AffineMap<T> map = shared_.placed.map;
    const auto foreground = image_of<S, I>(shared_.layer.foreground);
    const int h = shared_.layer.h, w = shared_.layer.w, number = shared_.layer.number;
    const int row = tile_.row, column = tile_.column, columns = tile_.columns;
    T gain[kGroup], bias[kGroup];
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      gain[k] = shared_.gain[first + k], bias[k] = shared_.bias[first + k];
    }
    for_pixels<Shared::kWidth>(t, 0, tile_.rows, [&](int y, int x) {
      if (x >= columns) return;
      const T alpha = fill == Fill::kMixed ? shared_.alpha[y * Shared::kWidth + x] : T(1);
      if (alpha == T(0)) return;
      const auto corners =
          locate_colour<kInside>(foreground, point_of(map, row + y, column + x), h, w);
      T colour[kGroup];
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        colour[k] = sample_colour(foreground, corners, channel + k).value;
      }
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        T& at = canvas(first + k, y, x);
        at = blended(alpha, fused(gain[k], colour[k], bias[k]), alpha == T(1) ? T(0) : at);
      }
      if (labels && alpha > T(0.5)) {
        *owner(y, x) = number;
        ++covered;
      }
    });
  }

  COMPOSITOR_DEVICE_INLINE int32_t* owner(int y, int x) const {
    const int64_t row = tile_.image * p_.height + tile_.row + y;
    return p_.owner + (row * p_.width + tile_.column + x);
  }
};
