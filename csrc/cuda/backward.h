// The backward: one block of threads per tile of the canvas grown by the radius, where every sample
// of the mask lies. A tile computes its alpha as in the forward; then dL/dalpha on the tile grown
// by the radius, if the mask changes anywhere in the tile, and its colours' pull on theta; then
// dL/ds and the mask's pull. Sums over tiles and over the foreground are left to gather.h.

// dL/ds of the tile, in shared.grad_s() where it is mixed; adds the colours' pull on theta.
template <typename S, typename I, int kRadius, typename Block, typename Shared, typename Own>
COMPOSITOR_DEVICE_INLINE Fill blur_grad_alpha(const BlendParams& p, Block& block, Shared& shared,
                                              Own& moments) {
  using T = typename Compute<S>::type;
  using Geometry = Tile<T, kRadius>;
  const auto phase = [&] { return BackwardPixels<S, I, kRadius>(p, shared); };
  const auto blur = [&](auto&& source, auto&& where) {
    return blur_tile<Geometry, kRadius, false>(block, shared.scratch, Taps<T>(p), shared.grad_s(),
                                               phase().pull_rows(), source, where);
  };
  const Fill grads = blur(
      [&](int t, auto inside, auto&& each) {
        const auto pixels = phase();
        bool begun = false;
        if (p.grad_alpha.data) {
          each([&](auto, int y, int x, T& value) { value = pixels.direct(y, x); });
          begun = true;
        }
        pixels.for_channels([&](auto group, const auto& colours) {
          each([&, &sums = moments[t]](auto own, int y, int x, T& value) {
            const T pull = pixels.template visit<inside.value, group.value, own.value, true>(
                sums, colours, y, x);
            value = begun ? value + pull : pull;
          });
          begun = true;
        });
      },
      [&](const Rectangle& of) { return phase().colours_in(of); });
  if (grads != Fill::kMixed || !block.any([&](int t) { return phase().is_strange(t); })) {
    return grads;
  }
  return blur(
      [&](int, auto, auto&& each) {
        each([pixels = phase()](auto own, int y, int x, T& value) {
          value = pixels.template visit_strange<own.value>(y, x);
        });
      },
      [&](const Rectangle&) { return Where::kAcross; });
}

// A tile of an image with a finite map.
template <typename S, typename I, int kRadius, typename Block, typename Shared>
COMPOSITOR_DEVICE_INLINE void pull_tile(const BlendParams& p, Block& block, Shared& shared) {
  using T = typename Compute<S>::type;
  using Geometry = Tile<T, kRadius>;
  const auto phase = [&] { return BackwardPixels<S, I, kRadius>(p, shared); };
  typename Block::template Own<Seen<T>> moved;
  typename Block::template Own<Moments<T>> moments;
  block.each([&](int t) { phase().look(t); });

  const Fill alphas = blur_tile<Geometry, kRadius>(
      block, shared.scratch, Taps<T>(p), shared.alpha, phase().alpha_rows(),
      [&](int t, auto inside, auto&& each) {
        each([&, pixels = phase(), &moves = moved[t]](auto own, int y, int x, T& value) {
          value = pixels.template cover<inside.value, own.value>(y, x, moves);
        });
      },
      [&](const Rectangle& of) { return phase().samples_in(of); });
  const bool kept = p.grad_background.data || p.alpha_plane;
  const bool moves =
      p.cover_plane ? shared.samples != Where::kOutside
                    : p.theta_partials && block.any([&](int t) { return moved[t].votes().any; });
  if (!moves && !kept && alphas == Fill::kZero) {
    block.each([&](int t) {
      if (p.theta_partials && t < 6) p.theta_partials[6 * shared.place.number + t] = 0;
    });
    return;
  }
  write_level(block, alphas, shared.alpha, Geometry::kPixels);
  if (kept) block.each([&](int t) { phase().write_alpha(t); });
  if (moves) {
    const Fill grads = blur_grad_alpha<S, I, kRadius>(p, block, shared, moments);
    write_level(block, grads, shared.grad_s(), Geometry::kPixels);
    block.each([&](int t) {
      const auto last = phase();
      choose(shared.pulls == Where::kInside, [&](auto inside) {
        choose(p.cover_plane, [&](auto covers) {
          for_pixels<Geometry::kWidth>(t, 0, last.pull_rows(), [&](int y, int x) {
            last.template pull_mask<inside.value, covers.value>(moments[t], y, x);
          });
        });
      });
    });
  } else if (p.theta_partials) {
    block.each([&](int t) {
      const auto last = phase();
      choose(shared.colours == Where::kInside, [&](auto inside) {
        last.for_channels([&](auto group, const auto& colours) {
          for_pixels<Geometry::kWidth>(t, 0, last.alpha_rows(), [&](int y, int x) {
            last.template visit<inside.value, group.value, true, false>(moments[t], colours, y, x);
          });
        });
      });
    });
  }
  if (!p.theta_partials) return;
  double* partials = p.theta_partials + 6 * shared.place.number;
  sum_moments<T>(block, shared.scratch.chunk, shared.moments, moments, partials);
}

template <typename S, typename I, int kRadius, typename Block, typename Shared>
COMPOSITOR_DEVICE_INLINE void backward_tile(const BlendParams& p, const Split& split,
                                            int64_t number, Block& block, Shared& shared) {
  using T = typename Compute<S>::type;
  if (find_place(p, split, number, block, shared.place)) {
    pull_tile<S, I, kRadius>(p, block, shared);
    return;
  }
  // Like its composite, every gradient of an image whose map is not finite is NaN.
  const auto out = image_of<S, I>(p.grad_background, shared.place.image);
  block.each([&](int t) {
    if (!out.data) return;
    for_pixels(t, split.height, split.width, [&](int y, int x) {
      const int i = shared.place.row + y, j = shared.place.column + x;
      if (!within(i, static_cast<int>(p.size.height)) || !within(j, static_cast<int>(p.size.width)))
        return;
      for (int c = 0; c < p.channels; ++c) {
        store(*out.at(c, i, j), static_cast<T>(__builtin_nan("")));
      }
    });
  });
}
