// The forward: one sweep over an image's rows. Included once per instruction set.

template <typename S, bool kUnit>
void forward(const BlendParams& p, const Task& task) {
  using T = typename Compute<S>::type;
  using I = typename Index<kUnit>::type;
  const int h = p.size.h, w = p.size.w, height = p.size.height, width = p.size.width;
  const int radius = p.radius;
  const int first = task.first_block * kBlockRows;
  const int last = min_of(height, static_cast<int>(task.last_block * kBlockRows));
  const int64_t n = task.image;
  const double* theta = p.theta + 6 * n;

  // If the map is not finite, the result is NaN and nothing is sampled.
  const bool finite = all_finite(theta);
  const T nan = static_cast<T>(__builtin_nan(""));
  if (p.alpha.data) fill<S>(p.alpha, n, 1, first, last, width, finite ? T(0) : nan);
  if (!finite) return fill<S>(p.composite, n, p.channels, first, last, width, nan);

  BackgroundCopy<S, kUnit> copy(p, n, first);
  const Box box = nonzero_box<S, kUnit>(p.mask, n, h, w);
  if (!box.empty()) {
    using Sweep = AlphaSweep<kUnit, S, T, I>;
    Rows rows(width, radius, 2, sizeof(T));
    const SampleRows<S, T, I> sample_rows(width, radius);
    const Taps<T> taps(p.taps, radius);
    const AffineMap<T> map = make_map<T>(theta, p.size);
    Sweep sweep(p, n, map, box, taps.values(), taps.window(), sample_rows.samples(), rows);
    ColourSampler<kUnit, S, T, I> colours(p, n, sample_rows.samples());
    T* alpha = rows.take<T>();

    for (int ahead = first - radius; ahead < last + radius; ++ahead) {
      sweep.template push<false>(ahead, nullptr, nullptr);
      const int i = ahead - radius;
      if (i < first) continue;
      const Span span = sweep.alpha(i, alpha);
      if (span.empty()) continue;
      copy.up_to(i, span.begin, span.end);
      if (p.alpha.data) {
        S* out = mutable_plane<S>(p.alpha, n) + i * p.alpha.y;
        for (int j = span.begin; j < span.end; ++j) store(out[j * p.alpha.x], alpha[j]);
      }
      const RowMap<T> row = row_map(map, i);
      in_parts(row, h, w, span, [&](Span part, bool inside) {
        if constexpr (kBlocks<S, kUnit>) {
          if (inside) {
            const int64_t below = i + kRowsAhead < height ? kRowsAhead * p.background.y : 0;
            const bool finite =
                blend_blocks(plane<S>(p.foreground, n), p.foreground.c, p.foreground.y, row, alpha,
                             plane<S>(p.background, n) + i * p.background.y, p.background.c,
                             mutable_plane<S>(p.composite, n) + i * p.composite.y, p.composite.c,
                             p.channels, part, below, AllAsTheyAre{});
            if (finite) return;
          }
        }
        colours.locate(row, part, inside);
        const auto pass = colours.exact() ? blend_row<kUnit, true, S, T, I, S, AsItIs>
                                          : blend_row<kUnit, false, S, T, I, S, AsItIs>;
        for (int64_t c = 0; c < p.channels; ++c) {
          pass(colours.gather(c), alpha, plane<S>(p.background, n, c) + i * p.background.y,
               Stride<kUnit>{p.background.x},
               mutable_plane<S>(p.composite, n, c) + i * p.composite.y,
               Stride<kUnit>{p.composite.x}, part, AsItIs{});
        }
      });
    }
  }
  copy.up_to(last, 0, 0);
}
