// What canvases show of their layers, counted: over threads, then over tiles, in one order.

COMPOSITOR_DEVICE_INLINE Shown nothing_shown() {
  return {0, 0, INT32_MAX, INT32_MAX, INT32_MIN, INT32_MIN};
}

COMPOSITOR_DEVICE_INLINE void add_shown(Shown& sum, const Shown& other) {
  sum.covered += other.covered, sum.area += other.area;
  sum.x0 = least(sum.x0, other.x0), sum.y0 = least(sum.y0, other.y0);
  sum.x1 = most(sum.x1, other.x1), sum.y1 = most(sum.y1, other.y1);
}

// Adds up what the block's threads have put in `room`: 256, 32, 4, 1. The sum is room[0], and
// thread 0's to read.
template <typename Block>
COMPOSITOR_DEVICE_INLINE void sum_shown(Block& block, SharedArray<Shown, kThreads>& room) {
#pragma unroll 1
  for (int count = 32; count > 0; count /= 8) {
    block.each([&](int t) {
      if (t >= count) return;
      Shown sum = room[t];
      const int all = count == 32 ? kThreads : 8 * count;
      for (int k = t + count; k < all; k += count) add_shown(sum, room[k]);
      room[t] = sum;
    });
  }
  block.each([&](int t) {
    if (t > 0) return;
    Shown sum = room[0];
    for (int k = 1; k < 4; ++k) add_shown(sum, room[k]);
    room[0] = sum;
  });
}

struct LabelShared {
  SharedArray<Shown, kThreads> room;
};

// The labels of one layer, from all tiles that it meets.
template <typename T, typename Block>
COMPOSITOR_DEVICE_INLINE void label_layer(const RenderParams& p, const Split& split, int64_t l,
                                          Block& block, LabelShared& shared) {
  block.each([&](int t) {
    const Box box = placed_of<T>(p)[l].box;
    Shown sum = nothing_shown();
    if (!box.empty()) {
      const int top = box.y0 / split.height, left = box.x0 / split.width;
      const int down = (box.y1 - 1) / split.height - top + 1;
      const int across = (box.x1 - 1) / split.width - left + 1;
      for (int64_t k = t; k < int64_t{down} * across; k += kThreads) {
        const int64_t tile = (top + k / across) * split.blocks_across + left + k % across;
        add_shown(sum, p.shown[l * split.blocks() + tile]);
      }
    }
    shared.room[t] = sum;
  });
  sum_shown(block, shared.room);
  block.each([&](int t) {
    if (t > 0) return;
    const Shown sum = shared.room[0];
    const int number = p.layers[l].number;
    const int edges[4] = {sum.x0, sum.y0, sum.x1, sum.y1};
    for (int k = 0; k < 4; ++k) p.boxes[4 * int64_t{number} + k] = sum.area ? edges[k] : 0;
    p.area[number] = sum.area;
    p.covered[number] = sum.covered;
  });
}
