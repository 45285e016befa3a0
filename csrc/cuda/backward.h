// The backward: one block of threads per tile of the canvas grown by the radius, where every sample
// of the mask lies. A tile computes its alpha as in the forward; then dL/dalpha on the tile grown
// by the radius, if the mask changes anywhere in the tile, and its colours' pull on theta; then
// dL/ds and the mask's pull. Sums over tiles and over the foreground are left to gather.h.

// Contributions of pixels to theta's gradient: the sums of dL/du and dL/dv against (x, y, 1).
template <typename T>
struct Moments {
  T ux, uy, u, vx, vy, v;

  COMPOSITOR_DEVICE_INLINE void add(const Point<T>& at, T du, T dv) {
    ux += du * at.x, uy += du * at.y, u += du;
    vx += dv * at.x, vy += dv * at.y, v += dv;
  }
};

template <typename T, int kRadius>
struct BackwardShared {
  using Geometry = Tile<T, kRadius>;
  Place<T> place;
  typename Geometry::Scratch scratch;
  SharedArray<T, Geometry::kPixels> alpha;
  SharedArray<T, Geometry::kFixed ? 1 : Geometry::kPixels> sums;
  SharedArray<double, 6 * 32> moments;

  COMPOSITOR_DEVICE_INLINE auto& grad_s() {
    if constexpr (Geometry::kFixed) {
      return scratch.chunk;
    } else {
      return sums;
    }
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

template <typename S, typename I, int kRadius, typename Block>
class BackwardTile {
  using T = typename Compute<S>::type;
  using Geometry = Tile<T, kRadius>;
  using Shared = BackwardShared<T, kRadius>;

 public:
  COMPOSITOR_DEVICE_INLINE BackwardTile(const BlendParams& p, Block& block, Shared& shared)
      : p_(p),
        block_(block),
        shared_(shared),
        n_(shared.place.image),
        row_(shared.place.row),
        column_(shared.place.column),
        map_(shared.place.map),
        h_(p.size.h),
        w_(p.size.w),
        height_(p.size.height),
        width_(p.size.width),
        taps_(p),
        ramp_(static_cast<T>(p.threshold)),
        foreground_(image_of<const S, I>(p.foreground, n_)),
        mask_(image_of<const S, I>(p.mask, n_)),
        background_(image_of<const S, I>(p.background, n_)),
        grad_(image_of<const S, I>(p.grad_composite, n_)),
        grad_alpha_(image_of<const S, I>(p.grad_alpha, n_)),
        grad_background_(image_of<S, I>(p.grad_background, n_)) {}

  COMPOSITOR_DEVICE_INLINE void run(double* partials) {
    const bool moves = blur_mask();
    if (!moves && fill_ == Fill::kZero) {
      block_.each([&](int t) {
        write_alpha(t);
        if (partials && t < 6) partials[t] = 0;
      });
      return;
    }
    if (moves) {
      blur_grad_alpha();
      block_.each([&](int t) {
        write_alpha(t);
        for_pixels(t, Geometry::kHeight, Geometry::kWidth,
                   [&](int y, int x) { pull_mask(t, y, x); });
      });
    } else {
      block_.each([&](int t) {
        write_alpha(t);
        if (!partials) return;
        for_pixels(t, Geometry::kHeight, Geometry::kWidth,
                   [&](int y, int x) { visit<false>(t, y, x); });
      });
    }
    if (partials) {
      sum_moments<T>(block_, shared_.scratch.chunk, shared_.moments, moments_, partials);
    }
  }

 private:
  COMPOSITOR_DEVICE_INLINE bool on_canvas(int i, int j) const {
    return within(i, height_) && within(j, width_);
  }

  COMPOSITOR_DEVICE_INLINE static bool in_tile(int y, int x) {
    return within(y, Geometry::kHeight) && within(x, Geometry::kWidth);
  }

  template <bool kInside>
  COMPOSITOR_DEVICE_INLINE MaskSample<T> mask_at(int y, int x) const {
    return sample_mask<kInside>(mask_, point_of(map_, row_ + y, column_ + x), h_, w_);
  }

  COMPOSITOR_DEVICE_INLINE T alpha(int y, int x) const {
    return fill_ == Fill::kMixed ? shared_.alpha[y * Geometry::kWidth + x] : T(fill_ == Fill::kOne);
  }

  // Leaves alpha in shared memory; returns whether theta or the mask moves any sample of the tile.
  COMPOSITOR_DEVICE_INLINE bool blur_mask() {
    typename Block::template Own<bool> moves;
    const bool wanted = p_.theta_partials || p_.cover_plane;
    fill_ = blur_tile<Geometry, kRadius>(
        block_, shared_.scratch, taps_, shared_.alpha,
        [&](auto inside, int t, int y, int x) {
          const MaskSample<T> sample = mask_at<inside.value>(y, x);
          const Bilinear<T> m = sample.value();
          if (in_tile(y, x)) {
            moves[t] |=
                p_.cover_plane ? sample.touches : !(m.along_x == T(0)) || !(m.along_y == T(0));
          }
          return ramp_(m.value);
        },
        [&](int y, int x, int rows, int columns) {
          return where_masked(mask_,
                              where_in_frame(map_, p_.size, row_ + y, column_ + x, rows, columns));
        });
    return wanted && block_.any([&](int t) { return moves[t]; });
  }

  COMPOSITOR_DEVICE_INLINE void blur_grad_alpha() {
    grad_s_fill_ = blur_tile<Geometry, kRadius>(
        block_, shared_.scratch, taps_, shared_.grad_s(),
        [&](auto, int t, int y, int x) { return visit<true>(t, y, x); },
        [&](int y, int x, int rows, int columns) {
          const bool beyond = row_ + y >= height_ || row_ + y + rows <= 0 ||
                              column_ + x >= width_ || column_ + x + columns <= 0;
          return beyond ? Where::kOutside : Where::kAcross;
        });
  }

  // Writes what depends on alpha alone: dL/dbackground = (1 - alpha) G, and a plane for gather.h.
  COMPOSITOR_DEVICE_INLINE void write_alpha(int t) {
    if (!grad_background_.data && !p_.alpha_plane) return;
    for_pixels(t, Geometry::kHeight, Geometry::kWidth, [&](int y, int x) {
      const int i = row_ + y, j = column_ + x;
      if (!on_canvas(i, j)) return;
      const T alpha = this->alpha(y, x);
      if (p_.alpha_plane) {
        static_cast<T*>(p_.alpha_plane)[(n_ * height_ + i) * width_ + j] = alpha;
      }
      if (!grad_background_.data) return;
      for (int c = 0; c < p_.channels; ++c) {
        store(*grad_background_.at(c, i, j), (T(1) - alpha) * fetch(grad_.at(c, i, j)));
      }
    });
  }

  // Returns dL/dalpha of a pixel if wanted, 0 beyond the canvas; adds the pull on theta of the
  // colour of a pixel in the tile.
  template <bool kGradAlpha>
  COMPOSITOR_DEVICE_INLINE T visit(int t, int y, int x) {
    const int i = row_ + y, j = column_ + x;
    if (!on_canvas(i, j)) return T(0);
    const bool inner = in_tile(y, x);
    const T alpha = inner ? this->alpha(y, x) : T(0);
    if (!kGradAlpha && alpha == T(0)) return T(0);
    const Point<T> at = point_of(map_, i, j);
    const auto corners = locate_colour<false>(foreground_, at, h_, w_);
    Pull pull{0, 0, 0, false};
    const bool visible = inner && !(alpha == T(0));
    int c = 0;
    for (; c + 3 <= p_.channels; c += 3) {
      add_channels<3, kGradAlpha>(corners, visible, i, j, c, pull);
    }
    for (; c < p_.channels; ++c) add_channels<1, kGradAlpha>(corners, visible, i, j, c, pull);
    if (inner) moments_[t].add(at, weighted(alpha, pull.u), weighted(alpha, pull.v));
    if constexpr (kGradAlpha) {
      // Rare: alpha is unknown around the tile, and a colour that is not finite counts where alpha
      // is not 0.
      if (pull.hidden && !inner && !(alpha_alone(y, x) == T(0))) {
        pull.alpha = 0;
        for (c = 0; c < p_.channels; ++c) {
          add_channels<1, kGradAlpha>(corners, true, i, j, c, pull);
        }
      }
      if (grad_alpha_.data) pull.alpha += fetch(grad_alpha_.at(0, i, j));
    }
    return pull.alpha;
  }

  // Of one pixel's colour: dL/dalpha, dL/du and dL/dv at alpha 1, and whether any is not finite.
  struct Pull {
    T alpha, u, v;
    bool hidden;
  };

  template <int kGroup, bool kGradAlpha>
  COMPOSITOR_DEVICE_INLINE void add_channels(const ColourCorners<I, T>& corners, bool visible,
                                             int i, int j, int channel, Pull& pull) const {
    T grad[kGroup], background[kGroup];
    Bilinear<T> colour[kGroup];
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      grad[k] = fetch(grad_.at(channel + k, i, j));
      background[k] = kGradAlpha ? fetch(background_.at(channel + k, i, j)) : T(0);
      colour[k] = sample_colour(foreground_, corners, channel + k);
    }
#pragma unroll
    for (int k = 0; k < kGroup; ++k) {
      pull.u += grad[k] * colour[k].along_x;
      pull.v += grad[k] * colour[k].along_y;
      pull.alpha += grad[k] * contrast(visible, colour[k].value, background[k]);
      pull.hidden |= !(colour[k].value - colour[k].value == T(0));
    }
  }

  // alpha of one pixel from the mask itself.
  COMPOSITOR_DEVICE_INLINE T alpha_alone(int y, int x) const {
    T total = 0;
#pragma unroll 1
    for (int a = -p_.radius; a <= p_.radius; ++a) {
      T sum = 0;
#pragma unroll 1
      for (int b = -p_.radius; b <= p_.radius; ++b) {
        sum += tap(b) * ramp_(mask_at<false>(y + a, x + b).value().value);
      }
      total += tap(a) * sum;
    }
    return total;
  }

  COMPOSITOR_DEVICE_INLINE T tap(int k) const {
    if constexpr (Geometry::kFixed) {
      return static_cast<T>(p_.taps[k < 0 ? -k : k]);
    } else {
      return taps_[k];
    }
  }

  // dL/dm of a pixel, and its pull on theta.
  COMPOSITOR_DEVICE_INLINE void pull_mask(int t, int y, int x) {
    const T grad_s = grad_s_fill_ == Fill::kMixed ? shared_.grad_s()[y * Geometry::kWidth + x]
                                                  : T(grad_s_fill_ == Fill::kOne);
    const int i = row_ + y, j = column_ + x;
    const MaskSample<T> sample = mask_at<false>(y, x);
    if (!sample.touches || i >= height_ + p_.radius || j >= width_ + p_.radius) return;
    const Bilinear<T> m = sample.value();
    const T gain = p_.straight_through ? T(1) : ramp_.slope_at(m.value);
    if (p_.theta_partials) {
      moments_[t].add(point_of(map_, i, j), weighted(grad_s, gain * m.along_x),
                      weighted(grad_s, gain * m.along_y));
    }
    if (p_.cover_plane) {
      const int64_t grown = width_ + 2 * int64_t{p_.radius};
      const int64_t at = (n_ * (height_ + 2 * int64_t{p_.radius}) + i + p_.radius) * grown;
      static_cast<T*>(p_.cover_plane)[at + j + p_.radius] = grad_s * gain;
    }
  }

  const BlendParams& p_;
  Block& block_;
  Shared& shared_;
  const int64_t n_;
  const int row_, column_;
  const AffineMap<T> map_;
  const int h_, w_, height_, width_;
  const Taps<T> taps_;
  const Ramp<T> ramp_;
  const Image<const S, I> foreground_, mask_, background_, grad_, grad_alpha_;
  const Image<S, I> grad_background_;
  typename Block::template Own<Moments<T>> moments_;
  Fill fill_ = Fill::kZero, grad_s_fill_ = Fill::kZero;
};

template <typename S, typename I, int kRadius, typename Block, typename Shared>
COMPOSITOR_DEVICE_INLINE void backward_tile(const BlendParams& p, const Split& split,
                                            int64_t number, Block& block, Shared& shared) {
  using T = typename Compute<S>::type;
  block.each([&](int t) {
    if (t == 0) shared.place = find_place<T>(p, split, number);
  });
  if (shared.place.finite) {
    BackwardTile<S, I, kRadius, Block> tile(p, block, shared);
    tile.run(p.theta_partials ? p.theta_partials + 6 * number : nullptr);
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
