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

  // dL/dalpha of each pixel of the tile, and around it. Its numbers are in registers.
  template <typename Each>
  COMPOSITOR_DEVICE_INLINE void grad_alpha(Each&& each) const {
    const Box& box = shared_.placed.box;
    each([row = shared_.row - box.y0, column = shared_.column - box.x0, rows = box.y1 - box.y0,
          columns = box.x1 - box.x0,
          pulls = plane_of(p_.grads.pulls)](auto, int y, int x, T& value) {
      const int i = row + y, j = column + x;
      value = within(i, rows) && within(j, columns) ? pulls[I(i) * I(columns) + j] : T(0);
    });
  }
  COMPOSITOR_DEVICE_INLINE bool meets_box(const Rectangle& of) const {
    return !in_box(of.moved(shared_.row, shared_.column)).empty();
  }

  // dL/dm of a thread's pixels, and its pull on theta.
  template <bool kInside, bool kCovers>
  COMPOSITOR_DEVICE_INLINE void pull_mask(int t, Moments<T>& moments) const {
    const AffineMap<T> map = shared_.placed.map;
    const auto mask = image_of<S, I>(shared_.layer.mask);
    const int h = shared_.layer.h, w = shared_.layer.w, row = shared_.row, column = shared_.column;
    const Ramp<S> ramp(p_.ramp);
    const Box box = shared_.placed.box;
    const int radius = shared_.placed.radius, grown = box.x1 - box.x0 + 2 * radius;
    T* covers = kCovers ? static_cast<T*>(p_.grads.covers) + shared_.kept.cover : nullptr;
    const int rows = least(Shared::kHeight, box.y1 + radius - row);
    for_pixels<Shared::kWidth>(t, 0, rows, [&](int y, int x) {
      const int i = row + y, j = column + x;
      if (j >= box.x1 + radius) return;
      const Point<T> point = point_of(map, i, j);
      const MaskSample<T> sample = sample_mask<kInside>(mask, point, h, w);
      if (!sample.touches) return;
      const Bilinear<T> m = sample.value();
      const T grad_s = shared_.grad_s[y * Shared::kWidth + x];
      const T grad_m = grad_s * (p_.grads.straight_through ? T(1) : ramp.slope_at(m.value));
      if (!(grad_s == T(0))) moments.add(point, grad_m * m.along_x, grad_m * m.along_y);
      if (kCovers) {
        covers[int64_t{i - box.y0 + radius} * grown + (j - box.x0 + radius)] = grad_m;
      }
    });
  }

  // What the colours of a thread's pixels pull at theta.
  COMPOSITOR_DEVICE_INLINE void pull_colours(int t, Moments<T>& moments) const {
    const AffineMap<T> map = shared_.placed.map;
    const Run<T, 2>* slopes = slopes_of<T>(p_, shared_.kept);
    for_pixels_shown(t, [&](int i, int j, I at, T weight) {
      const Run<T, 2> pulled = slopes[at];
      moments.add(point_of(map, i, j), weight * pulled.values[0], weight * pulled.values[1]);
    });
  }

  // What they pull at gain and bias, three numbers each.
  template <bool kInside, int kGroup>
  COMPOSITOR_DEVICE_INLINE void pull_tones(int t, int channel, int first, Moments<T>& tones) const {
    const AffineMap<T> map = shared_.placed.map;
    ColourPull<S, I> colours = colours_of();
    colours.skip(channel + first);
    const int h = shared_.layer.h, w = shared_.layer.w;
    T* sums = &tones.ux + first;
    for_pixels_shown(t, [&](int i, int j, I, T weight) {
      const auto corners = locate_colour<kInside>(colours.foreground, point_of(map, i, j), h, w);
#pragma unroll
      for (int k = 0; k < kGroup; ++k) {
        const T pulled = weight * fetch(colours.grad.at(k, i, j));
        sums[k] += pulled * sample_colour(colours.foreground, corners, k).value;
        sums[3 + k] += pulled;
      }
    });
  }

 private:
  COMPOSITOR_DEVICE_INLINE Rectangle in_box(const Rectangle& of) const {
    const Box& box = shared_.placed.box;
    return of.moved(-box.y0, -box.x0)
        .on_canvas(box.y1 - box.y0, box.x1 - box.x0)
        .moved(box.y0, box.x0);
  }
  // What is kept of the layer's box.
  COMPOSITOR_DEVICE_INLINE const T* plane_of(const void* kept) const {
    return as_base(static_cast<const T*>(kept) + shared_.kept.plane);
  }
  COMPOSITOR_DEVICE_INLINE ColourPull<S, I> colours_of() const {
    return {image_of<S, I>(shared_.layer.foreground),
            {},
            image_of<const S, I>(p_.grads.grad_composite, shared_.layer.canvas),
            p_.channels};
  }

  // Calls f(i, j, at, weight) for a thread's pixels whose colour has a weight in the composite,
  // `at` being their place in the box: what is not shown may be anything.
  template <typename F>
  COMPOSITOR_DEVICE_INLINE void for_pixels_shown(int t, F&& f) const {
    const Box box = shared_.placed.box;
    const Rectangle shown = in_box({shared_.row, shared_.column, Shared::kHeight, Shared::kWidth});
    const T* weights = plane_of(p_.grads.weights);
    const int width = box.x1 - box.x0;
    const I corner = I(shown.row - box.y0) * I(width) + (shown.column - box.x0);
    for_pixels<Shared::kWidth>(t, 0, shown.rows, [&](int y, int x) {
      if (x >= shown.columns) return;
      const I at = corner + (I(y) * I(width) + x);
      const T weight = weights[at];
      if (!(weight == T(0))) f(shown.row + y, shown.column + x, at, weight);
    });
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
        [&](int, auto, auto&& each) { PullPixels<S, I>(p, shared).grad_alpha(each); },
        [&](const Rectangle& of) {
          return PullPixels<S, I>(p, shared).meets_box(of) ? Where::kAcross : Where::kOutside;
        });
  };
  with_radius<T>(shared.placed.radius, shared, blur);
  write_level(block, fill, shared.grad_s, Shared::kPixels);
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
      choose(shared.samples == Where::kInside, [&](auto inside) {
        choose(p.grads.covers, [&](auto covers) {
          pixels().template pull_mask<inside.value, covers.value>(t, moments[t]);
        });
      });
    });
  }
  if (!p.grads.sums) return;  // the masks' gradients alone
  if (p.grads.slopes) block.each([&](int t) { pixels().pull_colours(t, moments[t]); });
#pragma unroll 1
  for (int channel = 0; toned && channel < p.channels; channel += Shared::kGroup) {
    const int channels = least(Shared::kGroup, p.channels - channel);
    block.each([&](int t) {
      tones[t] = Moments<T>{};
      if (shared.colours == Where::kOutside) return;
      choose(shared.colours == Where::kInside, [&](auto inside) {
        if (channels == Shared::kGroup) {
          pixels().template pull_tones<inside.value, Shared::kGroup>(t, channel, 0, tones[t]);
          return;
        }
#pragma unroll 1
        for (int k = 0; k < channels; ++k) {
          pixels().template pull_tones<inside.value, 1>(t, channel, k, tones[t]);
        }
      });
    });
    sum_moments<T>(block, shared.far.chunk, shared.moments, tones,
                   sums + 6 * (1 + channel / Shared::kGroup));
  }
  sum_moments<T>(block, shared.far.chunk, shared.moments, moments, sums);
}
