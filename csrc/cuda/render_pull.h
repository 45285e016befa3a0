// The second part of render's backward: a block of threads per tile of a layer's box grown by its
// radius, where every sample of its mask lies. From what render_walk.h has kept it finds dL/ds by a
// blur, and what mask and colours pull at the layer's map, gain and bias, as sums over the tile.

template <typename T>
struct PullShared {
  using Near = Tile<T, kFixedRadius>;
  using Far = Tile<T, -1>;
  static constexpr int kWidth = Near::kWidth, kHeight = Near::kHeight, kPixels = Near::kPixels;
  static constexpr int kGroup = 3;  // channels at once

  int64_t index;  // of the layer
  RenderLayer layer;
  Placed<T> placed;
  LayerGrad kept;
  int row, column;         // of the tile's first pixel, on the canvas
  Where samples, colours;  // of the tile; of what of it is in the box
  SharedArray<T, kGroup> gain;
  union {
    typename Near::Scratch near;
    typename Far::Scratch far;
  };
  SharedArray<T, kPixels> grad_s;
  SharedArray<double, 6 * 32> moments;
};

// Finds in which of `count` runs of numbers a number lies, from where each begins: threads look
// side by side. None is empty where a number lies.
template <typename Block>
COMPOSITOR_DEVICE_INLINE void find_run(Block& block, const int64_t* begins, int64_t count,
                                       int64_t number, int64_t& found) {
  block.each([&](int t) {
    for (int64_t k = t; k < count; k += kThreads) {
      if (begins[k] <= number && number < begins[k + 1]) found = k;
    }
  });
}

// Tiles over a box grown by the radius; none for an empty one.
COMPOSITOR_HOST_DEVICE inline Split split_of_box(int rows, int columns, int radius, int height,
                                                 int width) {
  if (rows <= 0 || columns <= 0) return {height, width, radius, 0, 0};
  return Split::over(rows, columns, radius, height, width);
}

template <typename S, typename I>
class PullPixels {
  using T = typename Compute<S>::type;
  using Shared = PullShared<T>;

 public:
  COMPOSITOR_DEVICE_INLINE PullPixels(const RenderParams& p, Shared& shared)
      : p_(p), shared_(shared) {}

  COMPOSITOR_DEVICE_INLINE void take(int t) const {
    copy_words(t, p_.layers[shared_.index], shared_.layer);
    copy_words(t - 64, placed_of<T>(p_)[shared_.index], shared_.placed);
    copy_words(t - 128, p_.grads.layers[shared_.index], shared_.kept);
  }

  COMPOSITOR_DEVICE_INLINE void look(int t, int64_t number) const {
    const Box& box = shared_.placed.box;
    const int radius = shared_.placed.radius;
    const Split split =
        split_of_box(box.y1 - box.y0, box.x1 - box.x0, radius, Shared::kHeight, Shared::kWidth);
    const int tile = static_cast<int>(number - p_.grads.first_tile[shared_.index]);
    const int row = box.y0 - radius + tile / split.blocks_across * Shared::kHeight;
    const int column = box.x0 - radius + tile % split.blocks_across * Shared::kWidth;
    const Rectangle whole{row, column, Shared::kHeight, Shared::kWidth};
    const Sizes size{shared_.layer.h, shared_.layer.w, p_.height, p_.width};
    if (t == 0) {
      shared_.row = row, shared_.column = column;
      shared_.samples = where_masked(image_of<S, I>(shared_.layer.mask),
                                     where_in_frame(shared_.placed.map, size, whole));
    }
    if (t == 32) {
      const Rectangle shown = in_box(whole);
      const Where lies =
          shown.empty() ? Where::kOutside : where_in_frame(shared_.placed.map, size, shown);
      // Colours are clamped to the frame, not outside it.
      const bool inside = lies == Where::kInside && shared_.layer.foreground.x == 1;
      shared_.colours = shown.empty() ? Where::kOutside : inside ? lies : Where::kAcross;
    }
  }

  // A function of a pixel of the tile, or around it: its dL/dalpha. Its numbers are in registers.
  COMPOSITOR_DEVICE_INLINE auto grad_alpha() const {
    const Box& box = shared_.placed.box;
    return
        [row = shared_.row - box.y0, column = shared_.column - box.x0, rows = box.y1 - box.y0,
         columns = box.x1 - box.x0,
         pulls = static_cast<const T*>(p_.grads.pulls) + shared_.kept.plane](auto, int y, int x) {
          const int i = row + y, j = column + x;
          const bool there = within(i, rows) && within(j, columns);
          return there ? pulls[int64_t{i} * columns + j] : T(0);
        };
  }
  COMPOSITOR_DEVICE_INLINE bool meets_box(const Rectangle& of) const {
    return !in_box(of.moved(shared_.row, shared_.column)).empty();
  }

  // dL/dm of a thread's pixels, and its pull on theta.
  template <bool kInside>
  COMPOSITOR_DEVICE_INLINE void pull_mask(int t, Moments<T>& moments) const {
    const AffineMap<T> map = shared_.placed.map;
    const auto mask = image_of<S, I>(shared_.layer.mask);
    const int h = shared_.layer.h, w = shared_.layer.w;
    const Ramp<S> ramp(p_.ramp);
    const Box& box = shared_.placed.box;
    const int radius = shared_.placed.radius, grown = box.x1 - box.x0 + 2 * radius;
    T* covers = static_cast<T*>(p_.grads.covers);
    const int rows = least(Shared::kHeight, box.y1 + radius - shared_.row);
    const int columns = least(Shared::kWidth, box.x1 + radius - shared_.column);
    for_pixels(t, rows, columns, [&](int y, int x) {
      const int i = shared_.row + y, j = shared_.column + x;
      const Point<T> point = point_of(map, i, j);
      const MaskSample<T> sample = sample_mask<kInside>(mask, point, h, w);
      if (!sample.touches) return;
      const Bilinear<T> m = sample.value();
      const T grad_s = shared_.grad_s[y * Shared::kWidth + x];
      const T slope = p_.grads.straight_through ? T(1) : ramp.slope_at(m.value);
      moments.add(point, weighted(grad_s, slope * m.along_x), weighted(grad_s, slope * m.along_y));
      if (!covers) return;
      const int64_t at = int64_t{i - box.y0 + radius} * grown + (j - box.x0 + radius);
      covers[shared_.kept.cover + at] = grad_s * slope;
    });
  }

  COMPOSITOR_DEVICE_INLINE void take_gains(int t, int channel, int channels) const {
    if (t >= channels) return;
    shared_.gain[t] = static_cast<T>(tone_of(p_.gain, shared_.layer.number, channel + t, 1));
  }

  // What the colours of a thread's pixels pull at theta; and at gain and bias, three numbers each.
  template <bool kInside, int kGroup>
  COMPOSITOR_DEVICE_INLINE void pull_colours(int t, int channel, int first, Moments<T>& moments,
                                             Moments<T>& tones) const {
    const AffineMap<T> map = shared_.placed.map;
    const auto foreground = image_of<S, I>(shared_.layer.foreground);
    const int64_t image = shared_.layer.canvas;
    const auto grad = image_of<const S, I>(p_.grads.grad_composite, image);
    const T* weights = static_cast<const T*>(p_.grads.weights) + shared_.kept.plane;
    const int h = shared_.layer.h, w = shared_.layer.w;
    T* sums = &tones.ux;
    for_pixels(t, Shared::kHeight, Shared::kWidth, [&](int y, int x) {
      const int64_t at = place_of(y, x);
      if (at < 0) return;
      const T weight = weights[at];
      if (weight == T(0)) return;  // what is not shown may be anything
      const int i = shared_.row + y, j = shared_.column + x;
      const Point<T> point = point_of(map, i, j);
      const auto corners = locate_colour<kInside>(foreground, point, h, w);
      T pulled[kGroup];
      Bilinear<T> colour[kGroup];
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        pulled[k] = weight * fetch(grad.at(channel + first + k, i, j));
        colour[k] = sample_colour(foreground, corners, channel + first + k);
      }
      T u = 0, v = 0;
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        const T gained = pulled[k] * shared_.gain[first + k];
        u += gained * colour[k].along_x;
        v += gained * colour[k].along_y;
        sums[first + k] += pulled[k] * colour[k].value;
        sums[3 + first + k] += pulled[k];
      }
      moments.add(point, u, v);
    });
  }

 private:
  COMPOSITOR_DEVICE_INLINE Rectangle in_box(const Rectangle& of) const {
    const Box& box = shared_.placed.box;
    return of.moved(-box.y0, -box.x0)
        .on_canvas(box.y1 - box.y0, box.x1 - box.x0)
        .moved(box.y0, box.x0);
  }
  // Of a pixel of the tile, or around it, its place in the box, -1 beside it.
  COMPOSITOR_DEVICE_INLINE int64_t place_of(int y, int x) const {
    const Box& box = shared_.placed.box;
    const int i = shared_.row + y - box.y0, j = shared_.column + x - box.x0;
    const bool there = within(i, box.y1 - box.y0) && within(j, box.x1 - box.x0);
    return there ? int64_t{i} * (box.x1 - box.x0) + j : -1;
  }

  const RenderParams& p_;
  Shared& shared_;
};

// dL/ds of the tile in shared.grad_s.
template <typename S, typename I, typename Block, typename Shared>
COMPOSITOR_DEVICE_INLINE void blur_pulls(const RenderParams& p, Block& block, Shared& shared) {
  using T = typename Compute<S>::type;
  Fill fill = Fill::kZero;
  const auto blur = [&](auto radius, auto& scratch) {
    using Geometry = Tile<T, radius.value>;
    const T* taps = static_cast<const T*>(p.taps) + shared.layer.first_tap;
    fill = blur_tile<Geometry, radius.value>(
        block, scratch, Taps<T>(taps, radius, shared.placed.radius), shared.grad_s, Shared::kHeight,
        [&](int) { return PullPixels<S, I>(p, shared).grad_alpha(); },
        [&](const Rectangle& of) {
          return PullPixels<S, I>(p, shared).meets_box(of) ? Where::kAcross : Where::kOutside;
        });
  };
  with_radius<T>(shared.placed.radius, shared, blur);
  if (fill == Fill::kMixed) return;
  block.each([&](int t) {
    for (int k = t; k < Shared::kPixels; k += kThreads) shared.grad_s[k] = T(fill == Fill::kOne);
  });
}

template <typename S, typename I, typename Block, typename Shared>
COMPOSITOR_DEVICE_INLINE void pull_layer(const RenderParams& p, int64_t number, Block& block,
                                         Shared& shared) {
  using T = typename Compute<S>::type;
  const auto pixels = [&] { return PullPixels<S, I>(p, shared); };
  const bool toned = p.grads.sums_a_tile > 6;
  double* sums = p.grads.sums + number * p.grads.sums_a_tile;
  typename Block::template Own<Moments<T>> moments, tones;
  find_run(block, p.grads.first_tile, p.layer_count, number, shared.index);
  block.each([&](int t) { pixels().take(t); });
  block.each([&](int t) { pixels().look(t, number); });
  if (shared.samples != Where::kOutside && shared.samples != Where::kCovered) {
    blur_pulls<S, I>(p, block, shared);
    block.each([&](int t) {
      choose(shared.samples == Where::kInside,
             [&](auto inside) { pixels().template pull_mask<inside.value>(t, moments[t]); });
    });
  }
  if (!p.grads.sums) return;  // the masks' gradients alone
#pragma unroll 1
  for (int channel = 0; channel < p.channels; channel += Shared::kGroup) {
    const int channels = least(Shared::kGroup, p.channels - channel);
    block.each([&](int t) {
      tones[t] = Moments<T>{};
      pixels().take_gains(t, channel, channels);
    });
    block.each([&](int t) {
      if (shared.colours == Where::kOutside) return;
      choose(shared.colours == Where::kInside, [&](auto inside) {
        if (channels == Shared::kGroup) {
          pixels().template pull_colours<inside.value, Shared::kGroup>(t, channel, 0, moments[t],
                                                                       tones[t]);
          return;
        }
#pragma unroll 1
        for (int k = 0; k < channels; ++k) {
          pixels().template pull_colours<inside.value, 1>(t, channel, k, moments[t], tones[t]);
        }
      });
    });
    if (toned) {
      sum_moments<T>(block, shared.far.chunk, shared.moments, tones,
                     sums + 6 * (1 + channel / Shared::kGroup));
    }
  }
  sum_moments<T>(block, shared.far.chunk, shared.moments, moments, sums);
}
