// Where the layers of `render` lie on their canvases, found once for all tiles: a thread a layer.

template <typename T>
struct Placed {
  AffineMap<T> map;
  Box box;     // canvas pixels outside which its alpha is 0
  int radius;  // of its blur, as far as that has to reach
  int lost;    // its map is not finite, and its box empty
};

template <typename T>
COMPOSITOR_DEVICE_INLINE Placed<T>* placed_of(const RenderParams& p) {
  return static_cast<Placed<T>*>(p.placed);
}

template <typename T, typename Block>
COMPOSITOR_DEVICE_INLINE void place_layers(const RenderParams& p, int64_t number, Block& block) {
  block.each([&](int t) {
    const int64_t l = number * kThreads + t;
    if (l >= p.layer_count) return;
    const RenderLayer& layer = p.layers[l];
    const Sizes size{layer.h, layer.w, p.height, p.width};
    double theta[6];
    bool finite = true;
    for (int k = 0; k < 6; ++k) {
      theta[k] = theta_element(p.theta, layer.number, k);
      finite &= theta[k] - theta[k] == 0;
    }
    Placed<T> placed;
    placed.map = make_map<T>(theta, size);
    // As of a blend, whose shortest blurs have one order of sums.
    placed.radius =
        layer.radius > kFixedRadius + 1
            ? most(kFixedRadius + 1, static_cast<int>(reach_of(theta, size, layer.radius)))
            : layer.radius;
    placed.lost = !finite;
    placed.box = finite ? reach_on_canvas(placed.map, Box{0, 0, layer.h, layer.w},
                                          static_cast<int>(p.height), static_cast<int>(p.width),
                                          placed.radius)
                        : Box{0, 0, 0, 0};
    placed_of<T>(p)[l] = placed;
    const Box& box = placed.box;
    if (p.reaches) {
      p.reaches[l] = {box.y0, box.x0, box.y1, box.x1, placed.radius, placed.lost};
    }
  });
}

// A tile of a canvas, and the layers there.
struct CanvasTile {
  int64_t image, index;  // index: of the canvas's tiles
  int64_t begin, end;    // layers
  int row, column, rows, columns;

  COMPOSITOR_DEVICE_INLINE bool meets(const Box& box) const {
    return box.y0 < row + rows && box.y1 > row && box.x0 < column + columns && box.x1 > column;
  }
};

COMPOSITOR_DEVICE_INLINE CanvasTile tile_of(const RenderParams& p, const Split& split,
                                            int64_t number) {
  CanvasTile tile;
  tile.image = number / split.blocks();
  tile.index = number - tile.image * split.blocks();
  tile.begin = p.begins[tile.image];
  tile.end = p.begins[tile.image + 1];
  tile.row = static_cast<int>(tile.index) / split.blocks_across * split.height;
  tile.column = static_cast<int>(tile.index) % split.blocks_across * split.width;
  tile.rows = least(split.height, static_cast<int>(p.height) - tile.row);
  tile.columns = least(split.width, static_cast<int>(p.width) - tile.column);
  return tile;
}

using Word [[gnu::may_alias]] = unsigned;

// Copies one thing of device memory to shared memory, a word a thread.
template <typename V>
COMPOSITOR_DEVICE_INLINE void copy_words(int t, const V& from, V& to) {
  static_assert(sizeof(V) % sizeof(Word) == 0 && sizeof(V) / sizeof(Word) <= kThreads);
  if (t < 0 || t >= static_cast<int>(sizeof(V) / sizeof(Word))) return;
  reinterpret_cast<Word*>(&to)[t] = reinterpret_cast<const Word*>(&from)[t];
}

// Calls f for each layer that meets the tile, the lowest first or, kDown, the topmost, with its
// place in p.layers; returns whether the canvas has a map that is not finite. Threads look at
// layers side by side.
template <typename T, bool kDown, typename Block, typename Shared, typename F>
COMPOSITOR_DEVICE_INLINE bool for_layers_met(const RenderParams& p, Block& block, Shared& shared,
                                             F&& f) {
  bool lost = false;
  for (int64_t done = 0; done < shared.tile.end - shared.tile.begin; done += kThreads) {
    const int64_t left = shared.tile.end - shared.tile.begin - done;
    const int count = static_cast<int>(left < kThreads ? left : int64_t{kThreads});
    const auto layer = [&](int k) {
      return kDown ? shared.tile.end - 1 - done - k : shared.tile.begin + done + k;
    };
    lost |= block.any([&](int t) {
      if (t >= count) return false;
      const Placed<T>& placed = placed_of<T>(p)[layer(t)];
      shared.met[t] = shared.tile.meets(placed.box);
      return placed.lost != 0;
    });
#pragma unroll 1
    for (int k = 0; k < count; ++k) {
      if (shared.met[k]) f(layer(k));
    }
    block.each([](int) {});  // all have read `met`
  }
  return lost;
}
