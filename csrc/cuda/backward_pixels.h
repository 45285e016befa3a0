// The backward's pixels: what is computed of each, and written. See backward.h.

template <typename T, int kRadius>
struct BackwardShared {
  using Geometry = Tile<T, kRadius>;
  Place<T> place;
  Where samples, pulls, beyond, colours;  // of the rectangles of BackwardPixels::look
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

// What a phase does with pixels of the tile. Each phase makes its own of what shared memory holds:
// kept from phase to phase, there are not enough registers.
template <typename S, typename I, int kRadius>
class BackwardPixels {
  using T = typename Compute<S>::type;
  using Geometry = Tile<T, kRadius>;
  using Shared = BackwardShared<T, kRadius>;

 public:
  COMPOSITOR_DEVICE_INLINE BackwardPixels(const BlendParams& p, Shared& shared)
      : p_(p),
        shared_(shared),
        n_(shared.place.image),
        row_(shared.place.row),
        column_(shared.place.column),
        map_(shared.place.map),
        h_(p.size.h),
        w_(p.size.w),
        height_(p.size.height),
        width_(p.size.width),
        ramp_(p.ramp),
        mask_(image_of<const S, I>(p.mask, n_)),
        colours_{image_of<const S, I>(p.foreground, n_), image_of<const S, I>(p.background, n_),
                 image_of<const S, I>(p.grad_composite, n_), p.channels} {}

  // Finds what lies in the frame: samples, of the tile grown by the radius and of the tile;
  // colours, likewise, of what is on the canvas. Rows beyond the canvas have no alpha, those
  // further than the radius no sample.
  COMPOSITOR_DEVICE_INLINE void look(int t) {
    const Rectangle alphas{0, 0, alpha_rows(), Geometry::kWidth};
    const Rectangle pulls{0, 0, pull_rows(), Geometry::kWidth};
    if (t == 0) shared_.samples = find_samples(alphas.grown(p_.radius));
    if (t == 32) shared_.pulls = find_samples(pulls);
    if (t == 64) shared_.beyond = find_colours(pulls.grown(p_.radius));
    if (t == 96) shared_.colours = find_colours(alphas);
  }

  // The same of a rectangle that the tile's blurs ask for: a fixed one has one piece.
  COMPOSITOR_DEVICE_INLINE Where samples_in(const Rectangle& of) const {
    return Geometry::kFixed ? shared_.samples : find_samples(of);
  }
  COMPOSITOR_DEVICE_INLINE Where colours_in(const Rectangle& of) const {
    return Geometry::kFixed ? shared_.beyond : find_colours(of);
  }

  // Rows of the tile that are on the canvas, and those up to the radius beyond.
  COMPOSITOR_DEVICE_INLINE int alpha_rows() const {
    return least(Geometry::kHeight, height_ - row_);
  }
  COMPOSITOR_DEVICE_INLINE int pull_rows() const {
    return least(Geometry::kHeight, height_ + p_.radius - row_);
  }

  // s of a pixel, and in `moves` whether theta moves it.
  template <bool kInside, bool kOwn>
  COMPOSITOR_DEVICE_INLINE T cover(int y, int x, Seen<T>& moves) const {
    const MaskSample<T> sample = mask_at<kInside>(y, x);
    if (in_tile<kOwn>(y, x)) sample.add_steps(moves);
    return ramp_(sample.value().value);
  }

  // Writes what depends on alpha alone: dL/dbackground = (1 - alpha) G, and a plane for gather.h.
  COMPOSITOR_DEVICE_INLINE void write_alpha(int t) const {
    const auto to = image_of<S, I>(p_.grad_background, n_);
    for_pixels(t, Geometry::kHeight, Geometry::kWidth, [&](int y, int x) {
      const int i = row_ + y, j = column_ + x;
      if (!on_canvas(i, j)) return;
      const T alpha = shared_.alpha[y * Geometry::kWidth + x];
      if (p_.alpha_plane) {
        static_cast<T*>(p_.alpha_plane)[(n_ * height_ + i) * width_ + j] = alpha;
      }
      if (!to.data) return;
      for (int c = 0; c < p_.channels; ++c) {
        store(*to.at(c, i, j), (T(1) - alpha) * fetch(colours_.grad.at(c, i, j)));
      }
    });
  }

  // Calls f(group, colours) for channels in groups, of a constant size, whose loads overlap.
  template <typename F>
  COMPOSITOR_DEVICE_INLINE void for_channels(F&& f) const {
    ColourPull<S, I> colours = colours_;
#pragma unroll 1
    for (; colours.channels >= 3; colours.skip(3)) f(std::integral_constant<int, 3>(), colours);
#pragma unroll 1
    for (; colours.channels > 0; colours.skip(1)) f(std::integral_constant<int, 1>(), colours);
  }

  // Returns a group's part of dL/dalpha of a pixel if wanted, 0 beyond the canvas; adds the pull on
  // theta of the colour of a pixel in the tile.
  template <bool kInside, int kGroup, bool kOwn, bool kGradAlpha>
  COMPOSITOR_DEVICE_INLINE T visit(Moments<T>& moments, const ColourPull<S, I>& colours, int y,
                                   int x) const {
    const int i = row_ + y, j = column_ + x;
    if (!on_canvas(i, j)) return T(0);
    const T alpha = alpha_in_tile<kOwn>(y, x);
    if (!kGradAlpha && alpha == T(0)) return T(0);
    const Point<T> point = point_of(map_, i, j);
    const auto corners = locate_colour<kInside>(colours.foreground, point, h_, w_);
    const auto sums = colours.template pull<kGroup, kGradAlpha>(corners, i, j);
    if (!(alpha == T(0))) moments.add(point, alpha * sums.u, alpha * sums.v);
    return sums.alpha;
  }

  // The gradient of a returned alpha.
  COMPOSITOR_DEVICE_INLINE T direct(int y, int x) const {
    const int i = row_ + y, j = column_ + x;
    const auto from = image_of<const S, I>(p_.grad_alpha, n_);
    return from.data && on_canvas(i, j) ? fetch(from.at(0, i, j)) : T(0);
  }

  // dL/dalpha where a colour may not be finite: it counts where alpha is not 0, which is unknown
  // around the tile.
  template <bool kOwn>
  COMPOSITOR_DEVICE_INLINE T visit_strange(int y, int x) const {
    const int i = row_ + y, j = column_ + x;
    if (!on_canvas(i, j)) return T(0);
    const T alpha = in_tile<kOwn>(y, x) ? alpha_in_tile<kOwn>(y, x) : alpha_alone(y, x);
    const auto corners = locate_colour<false>(colours_.foreground, point_of(map_, i, j), h_, w_);
    return colours_.pull_alpha(!(alpha == T(0)), corners, i, j) + direct(y, x);
  }

  // Whether a thread's dL/ds are not all finite.
  COMPOSITOR_DEVICE_INLINE bool is_strange(int t) const {
    bool strange = false;
    for_pixels(t, pull_rows(), Geometry::kWidth, [&](int y, int x) {
      const T grad = shared_.grad_s()[y * Geometry::kWidth + x];
      strange |= !(grad - grad == T(0));
    });
    return strange;
  }

  // dL/dm of a pixel, and its pull on theta.
  template <bool kInside, bool kCovers>
  COMPOSITOR_DEVICE_INLINE void pull_mask(Moments<T>& moments, int y, int x) const {
    const int i = row_ + y, j = column_ + x;
    if (j >= width_ + p_.radius) return;
    const Point<T> point = point_of(map_, i, j);
    const MaskSample<T> sample = sample_mask<kInside>(mask_, point, h_, w_);
    if (!sample.touches) return;
    const Bilinear<T> m = sample.value();
    const T grad_s = shared_.grad_s()[y * Geometry::kWidth + x];
    const T grad_m = grad_s * (p_.straight_through ? T(1) : ramp_.slope_at(m.value));
    if (!(grad_s == T(0))) moments.add(point, grad_m * m.along_x, grad_m * m.along_y);
    if (kCovers) {
      const int64_t grown = width_ + 2 * int64_t{p_.radius};
      const int64_t at = (n_ * (height_ + 2 * int64_t{p_.radius}) + i + p_.radius) * grown;
      static_cast<T*>(p_.cover_plane)[at + j + p_.radius] = grad_m;
    }
  }

 private:
  COMPOSITOR_DEVICE_INLINE Where find_samples(const Rectangle& of) const {
    return where_masked(mask_, where_in_frame(map_, p_.size, of.moved(row_, column_)));
  }
  COMPOSITOR_DEVICE_INLINE Where find_colours(const Rectangle& of) const {
    const Rectangle shown = of.moved(row_, column_).on_canvas(height_, width_);
    if (shown.empty()) return Where::kOutside;
    const Where lies = where_in_frame(map_, p_.size, shown);
    return lies == Where::kInside && colours_.foreground.x == 1 ? lies : Where::kAcross;
  }

  COMPOSITOR_DEVICE_INLINE bool on_canvas(int i, int j) const {
    return within(i, height_) && within(j, width_);
  }

  // `kOwn`: that of for_chunk.
  template <bool kOwn>
  COMPOSITOR_DEVICE_INLINE static bool in_tile(int y, int x) {
    return kOwn && within(y, Geometry::kHeight) &&
           (Geometry::kFixed || within(x, Geometry::kWidth));
  }

  template <bool kInside>
  COMPOSITOR_DEVICE_INLINE MaskSample<T> mask_at(int y, int x) const {
    return sample_mask<kInside>(mask_, point_of(map_, row_ + y, column_ + x), h_, w_);
  }

  // 0 beside the tile.
  template <bool kOwn>
  COMPOSITOR_DEVICE_INLINE T alpha_in_tile(int y, int x) const {
    return in_tile<kOwn>(y, x) ? shared_.alpha[y * Geometry::kWidth + x] : T(0);
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
      return Taps<T>(p_)[k];
    }
  }

  const BlendParams& p_;
  Shared& shared_;
  const int64_t n_;
  const int row_, column_;
  const AffineMap<T> map_;
  const int h_, w_, height_, width_;
  const Ramp<S> ramp_;
  const Image<const S, I> mask_;
  const ColourPull<S, I> colours_;
};
