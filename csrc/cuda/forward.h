// The forward: one block of threads per tile of the canvas.

template <typename T, int kRadius>
struct ForwardShared {
  using Geometry = Tile<T, kRadius>;
  Place<T> place;
  Where samples, colours;  // of a fixed tile's grown rectangle, of the tile
  typename Geometry::Scratch scratch;
  SharedArray<T, Geometry::kFixed ? 1 : Geometry::kPixels> sums;

  // alpha takes the place of the samples it was blurred from, where they are all there at once.
  COMPOSITOR_DEVICE_INLINE auto& alpha() {
    if constexpr (Geometry::kFixed) {
      return scratch.chunk;
    } else {
      return sums;
    }
  }
};

// Whether both images have 16-byte pieces at the same columns of every row of the tile.
template <typename S, typename I>
COMPOSITOR_DEVICE_INLINE bool in_pieces(const Image<const S, I>& from, const Image<S, I>& to,
                                        int channels, int column) {
  constexpr int kPiece = 16 / sizeof(S);
  const auto aligned = [&](const void* data, I c, I y, I x) {
    return x == 1 && y % kPiece == 0 && (channels == 1 || c % kPiece == 0) &&
           reinterpret_cast<uintptr_t>(data) % 16 == 0;
  };
  return aligned(from.data, from.c, from.y, from.x) && aligned(to.data, to.c, to.y, to.x) &&
         column % kPiece == 0;
}

struct alignas(16) Piece {
  unsigned words[4];
};

// Copies a tile that the object does not reach, bit for bit.
template <typename S, typename I>
COMPOSITOR_DEVICE_INLINE void copy_tile(int t, const Image<const S, I>& from, const Image<S, I>& to,
                                        int channels, int row, int column, int rows, int columns) {
  constexpr int kPiece = 16 / sizeof(S);
  const int whole = in_pieces(from, to, channels, column) ? columns / kPiece : 0;
  for (int c = 0; c < channels; ++c) {
    if (whole) {
      for_pixels(t, rows, whole, [&](int i, int piece) {
        const int j = column + piece * kPiece;
        *reinterpret_cast<Piece*>(to.at(c, row + i, j)) =
            *reinterpret_cast<const Piece*>(from.at(c, row + i, j));
      });
    }
    const int done = whole * kPiece;
    if (done == columns) continue;
    for_pixels(t, rows, columns - done, [&](int i, int j) {
      *to.at(c, row + i, column + done + j) = fetch_bits(from.at(c, row + i, column + done + j));
    });
  }
}

// Blends kGroup channels of one pixel at once, so that their loads overlap. Alpha 0 needs no
// foreground, and alpha 1 no background.
template <bool kInside, int kGroup, typename S, typename I, typename T>
COMPOSITOR_DEVICE_INLINE void blend_channels(const Image<const S, I>& foreground,
                                             const Image<const S, I>& background,
                                             const Image<S, I>& composite, const AffineMap<T>& map,
                                             int h, int w, T alpha, int i, int j, int channel) {
  S behind[kGroup] = {};
  if (!(alpha == T(1))) {
#pragma unroll
    for (int k = 0; k < kGroup; ++k) behind[k] = fetch_bits(background.at(channel + k, i, j));
  }
  if (!(alpha == T(0))) {
    const auto corners = locate_colour<kInside>(foreground, point_of(map, i, j), h, w);
    T colour[kGroup];
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      colour[k] = sample_colour(foreground, corners, channel + k).value;
    }
#pragma unroll
    for (int k = 0; k < kGroup; ++k) store(behind[k], blended(alpha, colour[k], load(behind[k])));
  }
#pragma unroll
  for (int k = 0; k < kGroup; ++k) *composite.at(channel + k, i, j) = behind[k];
}

template <typename S, typename I, int kRadius, typename Block, typename Shared>
COMPOSITOR_DEVICE_INLINE void forward_tile(const BlendParams& p, const Split& split, int64_t number,
                                           Block& block, Shared& shared) {
  using T = typename Compute<S>::type;
  using Geometry = Tile<T, kRadius>;
  const bool finite = find_place(p, split, number, block, shared.place);
  const int64_t n = shared.place.image;
  const int row = shared.place.row, column = shared.place.column;
  const AffineMap<T> map = shared.place.map;
  const int h = p.size.h, w = p.size.w;
  const int rows = least(Geometry::kHeight, static_cast<int>(p.size.height) - row);
  const int columns = least(Geometry::kWidth, static_cast<int>(p.size.width) - column);
  const auto foreground = image_of<const S, I>(p.foreground, n);
  const auto mask = image_of<const S, I>(p.mask, n);
  const auto background = image_of<const S, I>(p.background, n);
  const auto composite = image_of<S, I>(p.composite, n);
  const auto alpha_out = image_of<S, I>(p.alpha, n);

  if (!finite) {  // a map that is not finite: NaN, and nothing is sampled
    block.each([&](int t) {
      for_pixels(t, rows, columns, [&](int y, int x) {
        const T nan = static_cast<T>(__builtin_nan(""));
        for (int c = 0; c < p.channels; ++c) store(*composite.at(c, row + y, column + x), nan);
        if (alpha_out.data) store(*alpha_out.at(0, row + y, column + x), nan);
      });
    });
    return;
  }

  // Rows beyond the canvas are not sampled, columns are.
  const Rectangle sampled = Rectangle{row, column, rows, Geometry::kWidth}.grown(p.radius);
  block.each([&](int t) {
    if (t == 0) shared.samples = where_masked(mask, where_in_frame(map, p.size, sampled));
    if (t == 32) shared.colours = where_in_frame(map, p.size, {row, column, rows, columns});
  });
  const Taps<T> taps(p);
  const Ramp<S> ramp(p.ramp);
  const Fill fill = blur_tile<Geometry, kRadius>(
      block, shared.scratch, taps, shared.alpha(), rows,
      [&](int, auto inside, auto&& each) {
        each([&](auto, int y, int x, T& value) {
          const Point<T> at = point_of(map, row + y, column + x);
          value = ramp(sample_mask<inside.value>(mask, at, h, w).value().value);
        });
      },
      [&](const Rectangle& of) {
        if constexpr (Geometry::kFixed) return shared.samples;
        return where_masked(mask, where_in_frame(map, p.size, of.moved(row, column)));
      });
  const bool inside = foreground.x == 1 && shared.colours == Where::kInside;

  block.each([&](int t) {
    if (alpha_out.data) {
      for_pixels(t, rows, columns, [&](int y, int x) {
        const T alpha =
            fill == Fill::kMixed ? shared.alpha()[y * Geometry::kWidth + x] : T(fill == Fill::kOne);
        store(*alpha_out.at(0, row + y, column + x), alpha);
      });
    }
    if (fill == Fill::kZero) {
      copy_tile(t, background, composite, p.channels, row, column, rows, columns);
      return;
    }
    const auto paste = [&](auto inside, auto group, int c) {
      for_pixels<Geometry::kWidth>(t, 0, rows, [&](int y, int x) {
        if (x >= columns) return;
        const T alpha = fill == Fill::kMixed ? shared.alpha()[y * Geometry::kWidth + x] : T(1);
        blend_channels<inside.value, group.value>(foreground, background, composite, map, h, w,
                                                  alpha, row + y, column + x, c);
      });
    };
    const auto paste_all = [&](auto inside) {
      int c = 0;
#pragma unroll 1
      for (; c + 3 <= p.channels; c += 3) paste(inside, std::integral_constant<int, 3>(), c);
#pragma unroll 1
      for (; c < p.channels; ++c) paste(inside, std::integral_constant<int, 1>(), c);
    };
    choose(inside, paste_all);
  });
}
