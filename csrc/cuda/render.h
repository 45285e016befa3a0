// The forward of `render`: one block of threads per tile of a canvas. The tile walks the layers
// that meet it, the lowest first: each layer's alpha is found as a blend finds it, and its colours
// are blended into the tile, which lies in shared memory and is written once. Channels are taken in
// groups; all groups but the first find the alphas again.

// Calls f with the radius as a constant, -1 for most, and the scratch of its blur. float64 has one
// form of blur, as a blend's.
template <typename T, typename Shared, typename F>
COMPOSITOR_DEVICE_INLINE void with_radius(int radius, Shared& shared, F&& f) {
  if constexpr (sizeof(T) < 8) {
    if (radius == kFixedRadius) return f(std::integral_constant<int, kFixedRadius>(), shared.near);
  }
  f(std::integral_constant<int, -1>(), shared.far);
}

// The alpha of the layer under way, in shared.alpha where it is mixed.
template <typename S, typename I, typename Block, typename Shared>
COMPOSITOR_DEVICE_INLINE Fill cover_tile(const RenderParams& p, Block& block, Shared& shared) {
  using T = typename Compute<S>::type;
  Fill fill = Fill::kZero;
  const auto blur = [&](auto radius, auto& scratch) {
    using Geometry = Tile<T, radius.value, Shared::kRows>;
    const T* taps = static_cast<const T*>(p.taps) + shared.layer.first_tap;
    fill = blur_tile<Geometry, radius.value>(
        block, scratch, Taps<T>(taps, radius, shared.placed.radius), shared.alpha, shared.tile.rows,
        [&](int, auto inside, auto&& each) {
          RenderPixels<S, I>(p, shared).template cover<inside.value>(each);
        },
        [&](const Rectangle& of) {
          if constexpr (Geometry::kFixed) return shared.samples;
          return RenderPixels<S, I>(p, shared).samples_in(of);
        });
  };
  with_radius<T>(shared.placed.radius, shared, blur);
  return fill;
}

template <typename S, typename I, typename Block, typename Shared>
COMPOSITOR_DEVICE_INLINE void render_tile(const RenderParams& p, const Split& split, int64_t number,
                                          Block& block, Shared& shared) {
  using T = typename Compute<S>::type;
  const auto pixels = [&] { return RenderPixels<S, I>(p, shared); };
  block.each([&](int t) {
    if (t == 0) shared.tile = tile_of(p, split, number);
  });
  const auto slot = [&](int64_t l) -> Shown& {
    return p.shown[l * split.blocks() + shared.tile.index];
  };

#pragma unroll 1
  for (int channel = 0; channel < p.channels; channel += Shared::kGroup) {
    const int channels = least(Shared::kGroup, p.channels - channel);
    const bool labels = p.owner && channel == 0;
    bool opened = false;
    if (labels) block.each([&](int t) { pixels().disown(t); });
    const bool lost = for_layers_met<T, false>(p, block, shared, [&](int64_t l) {
      block.each([&](int t) { pixels().take(t, l, channel, channels); });
      const Fill fill = cover_tile<S, I>(p, block, shared);
      if (fill != Fill::kZero && !opened) {
        block.each([&](int t) { pixels().open(t, channel, channels); });
        opened = true;
      }
      block.each([&](int t) {
        const int covered =
            fill == Fill::kZero ? 0 : pixels().blend(t, fill, channel, channels, labels);
        if (labels) {
          shared.shown[t] = nothing_shown();
          shared.shown[t].covered = covered;
        }
      });
      if (!labels) return;
      sum_shown(block, shared.shown);
      block.each([&](int t) {
        if (t == 0) slot(l) = shared.shown[0];
      });
    });
    block.each([&](int t) {
      if (opened || (lost && kOne<S> == 1)) {
        pixels().close(t, channel, channels, lost && kOne<S> == 1);
        return;
      }
      const auto part = [&](auto image) {
        image.data = image.at(channel, 0, 0);
        return image;
      };
      copy_tile(t, part(image_of<const S, I>(p.background, shared.tile.image)),
                part(image_of<S, I>(p.composite, shared.tile.image)), channels, shared.tile.row,
                shared.tile.column, shared.tile.rows, shared.tile.columns);
    });
  }

  if (!p.owner) return;
  // What of each layer the later ones have left.
  for_layers_met<T, false>(p, block, shared, [&](int64_t l) {
    block.each([&](int t) { shared.shown[t] = pixels().count(t, p.layers[l].number); });
    sum_shown(block, shared.shown);
    block.each([&](int t) {
      if (t > 0) return;
      const int covered = slot(l).covered;
      slot(l) = shared.shown[0];
      slot(l).covered = covered;
    });
  });
}
