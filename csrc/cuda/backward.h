// The backward: one block of threads per tile of the canvas grown by the radius, where every sample
// of the mask lies. A tile computes its alpha as in the forward; then dL/dalpha on the tile grown
// by the radius, if the mask changes anywhere in the tile, and its colours' pull on theta; then
// dL/ds and the mask's pull. Sums over tiles and over the foreground are left to gather.h.

// A tile of an image with a finite map.
template <typename S, typename I, int kRadius, typename Block, typename Shared>
COMPOSITOR_DEVICE_INLINE void pull_tile(const BlendParams& p, Block& block, Shared& shared) {
  using T = typename Compute<S>::type;
  using Geometry = Tile<T, kRadius>;
  const auto phase = [&] { return BackwardPixels<S, I, kRadius>(p, shared); };
  typename Block::template Own<Seen<T>> moved;
  typename Block::template Own<Moments<T>> moments;
  const Taps<T> taps(p);
  block.each([&](int t) { phase().look(t); });

  const Fill alphas = blur_tile<Geometry, kRadius>(
      block, shared.scratch, taps, shared.alpha, phase().alpha_rows(),
      [&](int t) {
        return [pixels = phase(), &own = moved[t]](auto inside, int y, int x) {
          return pixels.template cover<inside.value>(y, x, own);
        };
      },
      [&](const Rectangle& of) { return phase().samples_in(of); });
  const bool moves =
      (p.theta_partials || p.cover_plane) && block.any([&](int t) { return moved[t].votes().any; });
  if (p.grad_background.data || p.alpha_plane) {
    block.each([&](int t) { phase().write_alpha(t, alphas); });
  }
  if (!moves && alphas == Fill::kZero) {
    block.each([&](int t) {
      if (p.theta_partials && t < 6) p.theta_partials[6 * shared.place.number + t] = 0;
    });
    return;
  }
  if (moves) {
    Fill grads = blur_tile<Geometry, kRadius>(
        block, shared.scratch, taps, shared.grad_s(), phase().pull_rows(),
        [&](int t) {
          return [pixels = phase(), alphas, &own = moments[t]](auto inside, int y, int x) {
            return pixels.template visit<inside.value, true>(own, alphas, y, x);
          };
        },
        [&](const Rectangle& of) { return phase().colours_in(of); });
    if (grads == Fill::kMixed && block.any([&](int t) { return phase().is_strange(t); })) {
      grads = blur_tile<Geometry, kRadius>(
          block, shared.scratch, taps, shared.grad_s(), phase().pull_rows(),
          [&](int) {
            return [&](auto, int y, int x) { return phase().visit_strange(alphas, y, x); };
          },
          [&](const Rectangle&) { return Where::kAcross; });
    }
    block.each([&](int t) {
      const auto last = phase();
      choose(shared.pulls == Where::kInside, [&](auto inside) {
        for_pixels(t, last.pull_rows(), Geometry::kWidth, [&](int y, int x) {
          last.template pull_mask<inside.value>(moments[t], grads, y, x);
        });
      });
    });
  } else if (p.theta_partials) {
    block.each([&](int t) {
      const auto last = phase();
      choose(shared.colours == Where::kInside, [&](auto inside) {
        for_pixels(t, last.alpha_rows(), Geometry::kWidth, [&](int y, int x) {
          last.template visit<inside.value, false>(moments[t], alphas, y, x);
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
