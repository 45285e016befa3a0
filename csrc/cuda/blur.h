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
  static constexpr int kRun = 4;  // columns that a thread sums side by side
  static constexpr int kPitch = (kChunkWidth + kRun - 1) / kRun * kRun;

  // A chunk, and its sums along the rows.
  struct Scratch {
    SharedArray<T, kPitch * kChunkHeight> chunk;
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
  if constexpr (Tile::kFixed) {
    // Each thread takes a run of columns, with their window in registers.
    constexpr int kRun = Tile::kRun, kRuns = (kRun + 2 * kRadius + kRun - 1) / kRun;
    for_pixels<Tile::kWidth / kRun>(t, 0, rows, [&](int row, int run) {
      T window[kRuns * kRun];
#pragma unroll
      for (int k = 0; k < kRuns; ++k) {
        const auto values = scratch.chunk.template run<kRun>(row * Tile::kPitch + (run + k) * kRun);
#pragma unroll
        for (int n = 0; n < kRun; ++n) window[k * kRun + n] = values.values[n];
      }
      Run<T, kRun> sums;
#pragma unroll
      for (int n = 0; n < kRun; ++n) {
        sums.values[n] = blur_at<kRadius>(window + kRadius + n, taps.near);
      }
      scratch.rows.template run<kRun>(row * Tile::kWidth + run * kRun) = sums;
    });
  } else {
    for_pixels(t, rows, Tile::kWidth, [&](int row, int x) {
      T& out = scratch.rows[row * Tile::kWidth + x];
      T total = add ? out : T(0);
      const int first = most(x - taps.radius, column0);
      const int last = least(x + taps.radius, column0 + columns - 1);
      for (int k = first; k <= last; ++k) {
        total += taps[k - x] * scratch.chunk[row * Tile::kPitch + k - column0];
      }
      out = total;
    });
  }
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

// Calls f(own, row, column) for a thread's pixels of a chunk. Of a fixed tile, those in its own
// columns come first, and lie in one of them; `own` is a constant, false for those beside.
template <typename Tile, int kRadius, typename F>
COMPOSITOR_DEVICE_INLINE void for_chunk(int t, int rows, int columns, F&& f) {
  if constexpr (Tile::kFixed) {
    for_pixels<Tile::kWidth>(t, 0, rows,
                             [&](int row, int x) { f(std::true_type(), row, kRadius + x); });
    for_pixels(t, rows, 2 * kRadius, [&](int row, int k) {
      f(std::false_type(), row, k < kRadius ? k : Tile::kWidth + k);
    });
  } else {
    for_pixels(t, rows, columns, [&](int row, int column) { f(std::true_type(), row, column); });
  }
}

// Blurs what source(t, inside, each) makes for a thread: it calls each(f) at least once, and
// f(own, y, x, value) sets the value of a pixel of the tile, or adds to what an earlier f has set.
// `own` is that of for_chunk. `inside` is a constant too: whether `where` said kInside of the
// rectangle of the tile that the pixels belong to. They are 0 all over where that says kOutside,
// and 1 where it says kCovered. `out` is written if kMixed is returned; it may be the fixed tile's
// chunk, which is not read again by then. Its rows from `height` on may hold anything.
// `kOnes`: whether to look for 1 all over.
template <typename Tile, int kRadius, bool kOnes = true, typename T, int kCount, typename Block,
          typename Source, typename Place>
COMPOSITOR_DEVICE_INLINE Fill blur_tile(Block& block, typename Tile::Scratch& scratch,
                                        const Taps<T>& taps, SharedArray<T, kCount>& out,
                                        int height, Source&& source, Place&& where) {
  const int radius = Tile::kFixed ? kRadius : taps.radius;
  const int last_row = height + radius, last_column = Tile::kWidth + radius;
  const auto more = [&](int at, int last) { return Tile::kFixed ? at == -radius : at < last; };
  Fill fill = Fill::kZero;
  for (int row0 = -radius; more(row0, last_row); row0 += Tile::kChunkHeight) {
    const int rows = least(Tile::kChunkHeight, last_row - row0);
    bool filled = false;
    for (int column0 = -radius; more(column0, last_column); column0 += Tile::kChunkWidth) {
      const int columns =
          Tile::kFixed ? Tile::kChunkWidth : least(Tile::kChunkWidth, last_column - column0);
      const Where lies = where(Rectangle{row0, column0, rows, columns});
      if (lies == Where::kOutside) continue;
      if (Tile::kFixed && lies == Where::kCovered) return Fill::kOne;
      const Votes nonzero_and_one = block.vote([&](int t) {
        Seen<T> seen;  // of all that was set, also before the last: that errs to kMixed alone
        const auto each = [&](auto&& f) {
          for_chunk<Tile, kRadius>(t, rows, columns, [&](auto own, int row, int column) {
            T& value = scratch.chunk[row * Tile::kPitch + column];
            f(own, row0 + row, column0 + column, value);
            seen.add(value);
          });
        };
        choose(lies == Where::kInside, [&](auto inside) { source(t, inside, each); });
        Votes votes = seen.votes();
        if (!kOnes) votes.all = false;
        return votes;
      });
      if (!nonzero_and_one.any) continue;
      if (kOnes && Tile::kFixed && nonzero_and_one.all)
        return Fill::kOne;  // the taps add up to 1 exactly
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

// Writes what blur_tile has left unwritten: `count` pixels that are all 0, or all 1.
template <typename Block, typename T, int kCount>
COMPOSITOR_DEVICE_INLINE void write_level(Block& block, Fill fill, SharedArray<T, kCount>& out,
                                          int count) {
  if (fill == Fill::kMixed) return;
  block.each([&](int t) {
    for (int k = t; k < count; k += kThreads) out[k] = T(fill == Fill::kOne);
  });
}
