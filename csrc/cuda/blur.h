// The blur of a tile. What is blurred (the thresholded mask, or dL/dalpha) is computed pixel by
// pixel into shared memory, on the tile grown by the radius, and summed along rows, then columns.
// With a radius known at compile time, the grown tile is one piece. With any other it is taken in
// chunks of one size, whose sums add up, so that no radius is too large for shared memory.

template <typename T, int kRadius, int kRows = (sizeof(T) == 8 ? 16 : 32)>
struct Tile {
  static constexpr bool kFixed = kRadius >= 0;
  static constexpr int kWidth = 64, kHeight = kRows;
  static constexpr int kPixels = kWidth * kHeight;
  static constexpr int kChunkWidth = kFixed ? kWidth + 2 * kRadius : 96;
  static constexpr int kChunkHeight = kFixed ? kHeight + 2 * kRadius : kHeight;

  // A chunk, and its sums along the rows.
  struct Scratch {
    SharedArray<T, kChunkWidth * kChunkHeight> chunk;
    SharedArray<T, kWidth * kChunkHeight> rows;
  };
};

// A blurred tile: 0 all over, 1 all over, or what shared memory holds.
enum class Fill { kZero, kOne, kMixed };

template <typename T>
struct Taps {
  T near[kFixedRadius + 1];
  const T* far;
  int radius;

  explicit COMPOSITOR_DEVICE_INLINE Taps(const BlendParams& p)
      : far(static_cast<const T*>(p.far_taps)), radius(p.radius) {
    for (int k = 0; k <= kFixedRadius; ++k) near[k] = static_cast<T>(p.taps[k]);
  }
  // Of one layer, in device memory.
  template <int kRadius>
  COMPOSITOR_DEVICE_INLINE Taps(const T* taps, std::integral_constant<int, kRadius>, int reach)
      : far(taps), radius(reach) {
    for (int k = 0; k <= kRadius; ++k) near[k] = fetch(taps + k);
  }
  COMPOSITOR_DEVICE_INLINE T operator[](int k) const { return fetch(far + (k < 0 ? -k : k)); }
};

COMPOSITOR_DEVICE_INLINE int least(int a, int b) { return a < b ? a : b; }
COMPOSITOR_DEVICE_INLINE int most(int a, int b) { return a > b ? a : b; }

template <int kRadius, typename T>
COMPOSITOR_DEVICE_INLINE T blur_at(const T* centre, const T* taps) {
  T total = taps[0] * centre[0];
#pragma unroll
  for (int k = 1; k <= kRadius; ++k) total += taps[k] * (centre[-k] + centre[k]);
  return total;
}

// The chunk's pixels (row0 .., column0 ..) of the tile, summed along rows within the tile's width.
template <typename Tile, int kRadius, typename T>
COMPOSITOR_DEVICE_INLINE void blur_rows(int t, typename Tile::Scratch& scratch, const Taps<T>& taps,
                                        int rows, int columns, int column0, bool add) {
  for_pixels(t, rows, Tile::kWidth, [&](int row, int x) {
    T& out = scratch.rows[row * Tile::kWidth + x];
    if constexpr (Tile::kFixed) {
      out = blur_at<kRadius>(&scratch.chunk[row * Tile::kChunkWidth + x + kRadius], taps.near);
    } else {
      T total = add ? out : T(0);
      const int first = most(x - taps.radius, column0);
      const int last = least(x + taps.radius, column0 + columns - 1);
      for (int k = first; k <= last; ++k) {
        total += taps[k - x] * scratch.chunk[row * columns + k - column0];
      }
      out = total;
    }
  });
}

// Adds up the columns of the row sums. Each thread owns some pixels of the tile.
template <typename Tile, int kRadius, typename T, int kCount>
COMPOSITOR_DEVICE_INLINE void blur_columns(int t, typename Tile::Scratch& scratch,
                                           const Taps<T>& taps, int rows, int row0, bool add,
                                           SharedArray<T, kCount>& out) {
  if constexpr (Tile::kFixed) {
    // Each thread takes a run of rows, with their window in registers.
    constexpr int kRun = Tile::kPixels / kThreads;
    const int x = t % Tile::kWidth, first = t / Tile::kWidth * kRun;
    T window[kRun + 2 * kRadius];
#pragma unroll
    for (int k = 0; k < kRun + 2 * kRadius; ++k) {
      window[k] = scratch.rows[(first + k) * Tile::kWidth + x];
    }
#pragma unroll
    for (int k = 0; k < kRun; ++k) {
      out[(first + k) * Tile::kWidth + x] = blur_at<kRadius>(window + kRadius + k, taps.near);
    }
  } else {
    for_pixels(t, Tile::kHeight, Tile::kWidth, [&](int y, int x) {
      T total = add ? out[y * Tile::kWidth + x] : T(0);
      const int first = most(y - taps.radius, row0);
      const int last = least(y + taps.radius, row0 + rows - 1);
      for (int k = first; k <= last; ++k) {
        total += taps[k - y] * scratch.rows[(k - row0) * Tile::kWidth + x];
      }
      out[y * Tile::kWidth + x] = total;
    });
  }
}

// What a thread has seen of the values to blur: in bits, an instruction each.
template <typename T>
struct Seen {
  using Bits = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
  Bits nonzero = 0, not_one = 0;

  COMPOSITOR_DEVICE_INLINE void add(T value) {
    const Bits bits = bit_cast<Bits>(value);
    nonzero |= bits;
    not_one |= bits ^ bit_cast<Bits>(T(1));
  }
  COMPOSITOR_DEVICE_INLINE Votes votes() const {
    return {nonzero << 1 != 0, not_one == 0};  // -0 is 0
  }
};

// Blurs what `source` makes for a thread: a function of a pixel's row and column in the tile, and
// before these of a constant: whether `where` said kInside of the rectangle of the tile that the
// pixel belongs to. It is 0 all over where that says kOutside, and 1 where it says kCovered. `out`
// is written if kMixed is returned; it may be the fixed tile's chunk, which is not read again by
// then. Its rows from `height` on may hold anything.
template <typename Tile, int kRadius, typename T, int kCount, typename Block, typename Source,
          typename Place>
COMPOSITOR_DEVICE_INLINE Fill blur_tile(Block& block, typename Tile::Scratch& scratch,
                                        const Taps<T>& taps, SharedArray<T, kCount>& out,
                                        int height, Source&& source, Place&& where) {
  const int radius = Tile::kFixed ? kRadius : taps.radius;
  const int last_row = height + radius, last_column = Tile::kWidth + radius;
  Fill fill = Fill::kZero;
  for (int row0 = -radius; row0 < last_row; row0 += Tile::kChunkHeight) {
    const int rows = least(Tile::kChunkHeight, last_row - row0);
    bool filled = false;
    for (int column0 = -radius; column0 < last_column; column0 += Tile::kChunkWidth) {
      const int columns =
          Tile::kFixed ? Tile::kChunkWidth : least(Tile::kChunkWidth, last_column - column0);
      const Where lies = where(Rectangle{row0, column0, rows, columns});
      if (lies == Where::kOutside) continue;
      if (Tile::kFixed && lies == Where::kCovered) return Fill::kOne;
      const Votes nonzero_and_one = block.vote([&](int t) {
        Seen<T> seen;
        auto value_of = source(t);
        choose(lies == Where::kInside, [&](auto inside) {
          for_pixels(t, rows, columns, [&](int row, int column) {
            const T value = value_of(inside, row0 + row, column0 + column);
            scratch.chunk[row * columns + column] = value;
            seen.add(value);
          });
        });
        return seen.votes();
      });
      if (!nonzero_and_one.any) continue;
      if (Tile::kFixed && nonzero_and_one.all) return Fill::kOne;  // the taps add up to 1 exactly
      block.each([&](int t) {
        blur_rows<Tile, kRadius>(t, scratch, taps, rows, columns, column0, filled);
      });
      filled = true;
    }
    if (!filled) continue;
    block.each([&](int t) {
      blur_columns<Tile, kRadius>(t, scratch, taps, rows, row0, fill == Fill::kMixed, out);
    });
    fill = Fill::kMixed;
  }
  return fill;
}
