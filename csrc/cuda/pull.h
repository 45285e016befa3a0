// What a pixel's colours pull at theta and alpha, and theta's gradient as a sum over pixels.

template <typename S, typename I>
struct ColourPull {
  using T = typename Compute<S>::type;
  Image<const S, I> foreground, background, grad;
  int channels;

  // Of one pixel: dL/dalpha, if wanted, and dL/du and dL/dv at alpha 1.
  struct Sums {
    T alpha, u, v;
  };

  // Goes on to channels further up.
  COMPOSITOR_DEVICE_INLINE void skip(int count) {
    const auto move = [&](auto& image) { image.data = as_base(image.at(count, 0, 0)); };
    move(foreground), move(background), move(grad);
    channels -= count;
  }

  // Of the first kGroup channels, whose loads overlap. They are summed before they are
  // interpolated: as steps from pixel to pixel, so that level colours still pull nothing. What has
  // a weight of 0 may make `alpha` NaN if it is not finite.
  template <int kGroup, bool kAlpha>
  COMPOSITOR_DEVICE_INLINE Sums pull(const ColourCorners<I, T>& corners, int i, int j) const {
    T alpha = 0, upper = 0, lower = 0, down = 0;
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      const T pulled = fetch(grad.at(k, i, j));
      const FourPixels<T> p = fetch_colour(foreground, corners, k);
      if (kAlpha) alpha += pulled * (p.p00 - fetch(background.at(k, i, j)));
      upper += pulled * (p.p01 - p.p00);
      lower += pulled * (p.p11 - p.p10);
      down += pulled * (p.p10 - p.p00);
    }
    const T turn = lower - upper;
    const T u = upper + corners.ty * turn;
    const T v = corners.tx == T(0) ? down : down + corners.tx * turn;
    return {alpha + corners.tx * upper + corners.ty * v, u, v};
  }

  // dL/dalpha alone, where a colour that is not finite counts only if visible.
  COMPOSITOR_DEVICE_INLINE T pull_alpha(bool visible, const ColourCorners<I, T>& corners, int i,
                                        int j) const {
    T total = 0;
#pragma unroll 1
    for (int c = 0; c < channels; ++c) {
      const T colour = sample_colour(foreground, corners, c).value;
      total += fetch(grad.at(c, i, j)) * contrast(visible, colour, fetch(background.at(c, i, j)));
    }
    return total;
  }
};

// Contributions of pixels to theta's gradient: the sums of dL/du and dL/dv against (x, y, 1).
template <typename T>
struct Moments {
  T ux, uy, u, vx, vy, v;

  COMPOSITOR_DEVICE_INLINE void add(const Point<T>& at, T du, T dv) {
    ux += du * at.x, uy += du * at.y, u += du;
    vx += dv * at.x, vy += dv * at.y, v += dv;
  }
};

// The sums of the block's moments, always in the same order: 256 threads, 32, 4, 1. `room` holds
// 6 x 256 numbers, in shared memory that is free by then.
template <typename T, typename Block, typename Room, typename Own>
COMPOSITOR_DEVICE_INLINE void sum_moments(Block& block, Room& room, SharedArray<double, 192>& sums,
                                          Own& moments, double* out) {
  block.each([&](int t) {
    const Moments<T>& own = moments[t];
    const T values[6] = {own.ux, own.uy, own.u, own.vx, own.vy, own.v};
#pragma unroll
    for (int k = 0; k < 6; ++k) room[k * kThreads + t] = values[k];
  });
  block.each([&](int t) {
    if (t >= 192) return;
    double total = 0;
    for (int k = 0; k < 8; ++k) total += room[t / 32 * kThreads + t % 32 + 32 * k];
    sums[t] = total;
  });
  block.each([&](int t) {
    if (t >= 24) return;
    double total = 0;
    for (int k = 0; k < 8; ++k) total += sums[t / 4 * 32 + t % 4 + 4 * k];
    sums[t / 4 * 32 + t % 4] = total;
  });
  block.each([&](int t) {
    if (t >= 6) return;
    out[t] = (sums[t * 32] + sums[t * 32 + 1]) + (sums[t * 32 + 2] + sums[t * 32 + 3]);
  });
}
