// alpha, row by row: mask samples, threshold, and both passes of the blur over a sliding window of
// cache-resident rows. Included once per instruction set.

// Blurs a ring's rows number - radius .. number + radius into out; returns the span written.
template <typename T>
inline Span blur_window(const Ring<T>& ring, int number, const T* taps, int radius,
                        const T** window, Span within, T* out) {
  Span span;
  for (int k = -radius; k <= radius; ++k) {
    window[radius + k] = ring.row(number + k);
    span = hull(span, ring.span(number + k));
  }
  span = intersect(span, within);
  if (!span.empty()) blur_rows(window, taps, radius, out, span);
  return span;
}

// Blurs `row`, nonzero on `span`, along itself into the ring; its margins are zeroed here.
template <typename T>
inline void push_blurred(Ring<T>& ring, int number, T* row, Span span, const T* taps, int radius,
                         const T** window, Span within) {
  if (span.empty()) {
    ring.replace(number, {});
    return;
  }
  __builtin_memset(row + span.begin - 2 * radius, 0, sizeof(T) * 2 * radius);
  __builtin_memset(row + span.end, 0, sizeof(T) * 2 * radius);
  const Span reached = intersect(grow(span, radius), within);
  T* out = ring.replace(number, reached);
  for (int k = -radius; k <= radius; ++k) window[radius + k] = row + k;
  if (!reached.empty()) blur_rows(window, taps, radius, out, reached);
}

// Touches the foreground's and the mask's rows, a few at a time, before the sweep samples them.
// This saves a fifth of the forward if the object is shrunk, a tenth otherwise (measured).
template <typename S>
class RowToucher {
 public:
  RowToucher(const BlendParams& p, int64_t image, const Box& box)
      : p_(p), image_(image), box_(box) {}

  // Before canvas row `row` is sampled over `span`.
  template <typename T>
  void before(const RowMap<T>& row, Span span) {
    if (span.empty()) return;
    const T from = row.av * (T(span.begin) - row.centre_x) + row.v0;
    const T to = row.av * (T(span.end - 1) - row.centre_x) + row.v0;
    const Coordinate<T> low = safe_coordinate(from < to ? from : to, box_.y1);
    const Coordinate<T> high = safe_coordinate(from < to ? to : from, box_.y1);
    const Span rows{box_.y0, box_.y1};
    Span wanted = intersect({low.index, high.index + 2}, rows);
    if (hull(wanted, touched_).size() == touched_.size()) return;
    wanted = intersect(grow(wanted, kAhead), rows);
    read({wanted.begin, touched_.empty() ? wanted.end : min_of(wanted.end, touched_.begin)});
    if (!touched_.empty()) read({max_of(wanted.begin, touched_.end), wanted.end});
    touched_ = hull(touched_, wanted);
  }

 private:
  void read(Span rows) const {
    const Span columns{box_.x0, box_.x1};
    touch<S>(p_.foreground, image_, p_.channels, rows, columns);
    if (p_.mask.data) touch<S>(p_.mask, image_, 1, rows, columns);
  }

  static constexpr int kAhead = 24;
  const BlendParams& p_;
  const int64_t image_;
  const Box& box_;
  Span touched_;  // source rows
};

// Samples one plane of colours over a part of a row, clamped to the frame's edge.
template <bool kUnit, typename S, typename T, typename I>
class ColourSampler {
 public:
  ColourSampler(const BlendParams& p, int64_t image, Samples<S, T, I> samples)
      : p_(p), image_(image), samples_(samples) {}

  // Where a part of a canvas row samples the foreground, the same in every channel. `inside`: all
  // four pixels of each sample are in the frame.
  void locate(const RowMap<T>& row, Span part, bool inside) {
    const int h = p_.size.h, w = p_.size.w;
    const I sy = p_.foreground.y, sx = p_.foreground.x;
    part_ = part;
    pairs_ = inside && kUnit;
    exact_ = pairs_ ? locate_row<true>(row, part, h, w, sy, sx, samples_)
                    : locate_row<false>(row, part, h, w, sy, sx, samples_);
  }

  // A sample has a weight of 0.
  bool exact() const { return exact_; }

  Samples<S, T, I> gather(int64_t channel) const {
    const S* colour = plane<S>(p_.foreground, image_, channel);
    const I sy = p_.foreground.y;
    pairs_ ? gather_row<true>(colour, sy, samples_, part_)
           : gather_row<false>(colour, sy, samples_, part_);
    return samples_;
  }

 private:
  const BlendParams& p_;
  const int64_t image_;
  const Samples<S, T, I> samples_;  // room for one row's
  Span part_;
  bool pairs_, exact_;
};

template <bool kUnit, typename S, typename T, typename I>
class AlphaSweep {
 public:
  AlphaSweep(const BlendParams& p, int64_t image, const AffineMap<T>& map, const Box& box,
             const T* taps, const T** window, Samples<S, T, I> samples, Rows& rows)
      : p_(p),
        mask_(p.mask.data ? plane<S>(p.mask, image) : &one_),
        map_(map),
        box_(box),
        taps_(taps),
        window_(window),
        samples_(samples),
        toucher_(p, image, box),
        s_(rows.take<T>()),
        blurred_(p.size.width, p.radius) {
    store(one_, T(kOne<S>));
  }

  // Takes canvas row `number`, which may lie beyond the canvas, into the window. With slope rows,
  // also fills those, and returns the columns that a mask pixel in the box can move.
  template <bool kSlopes>
  Span push(int number, T* slope_u, T* slope_v) {
    const int width = p_.size.width, radius = p_.radius;
    const RowMap<T> row = row_map(map_, number);
    const Span touched = touching(row, box_, {-radius, width + radius});
    Span shown;
    if (!touched.empty()) {
      toucher_.before(row, touched);
      cover<kSlopes>(row, touched, slope_u, slope_v);
      shown = trim(s_, touched);
    }
    push_blurred(blurred_, number, s_, shown, taps_, radius, window_, {0, width});
    return touched;
  }

  // alpha of canvas row `number`, the window's middle, where it is not all zero.
  Span alpha(int number, T* out) const {
    return blur_window(blurred_, number, taps_, p_.radius, window_,
                       {0, static_cast<int>(p_.size.width)}, out);
  }

 private:
  template <bool kSlopes>
  void cover(const RowMap<T>& row, Span span, T* slope_u, T* slope_v) {
    const int h = p_.size.h, w = p_.size.w;
    const I sy = p_.mask.y, sx = p_.mask.x;
    const T threshold = p_.threshold;
    in_parts(row, h, w, span, [&](Span part, bool inside) {
      const bool pairs = inside && p_.mask.data && kUnit;
      if constexpr (kBlocks<S, kUnit>) {
        if (pairs && cover_blocks<kSlopes>(mask_, sy, row, part, threshold, p_.straight_through, s_,
                                           slope_u, slope_v)) {
          return;
        }
      }
      bool exact;
      if (pairs) {
        exact = locate_row<true>(row, part, h, w, sy, sx, samples_);
        gather_row<true>(mask_, sy, samples_, part);
      } else {
        exact = gather_mask_row(mask_, sy, sx, row, h, w, samples_, part);
      }
      const auto pass =
          exact ? cover_row<kSlopes, true, S, T, I> : cover_row<kSlopes, false, S, T, I>;
      pass(samples_, part, threshold, p_.straight_through, s_, slope_u, slope_v);
    });
  }

  const BlendParams& p_;
  S one_;  // replaces the mask if there is none; its strides are 0
  const S* mask_;
  const AffineMap<T>& map_;
  const Box& box_;
  const T* taps_;
  const T** window_;
  const Samples<S, T, I> samples_;  // room for one row's
  RowToucher<S> toucher_;
  T* s_;
  Ring<T> blurred_;
};
