// The backward: one sweep again, three stages behind each other. Canvas row r enters alpha's
// window; row r - radius then has its alpha and yields dL/dalpha and the colours' pull on theta;
// row r - 2 radius then has its dL/ds and yields the mask's pull. Included once per instruction
// set.

// B: the type of the canvas and of G, which a layer has in the computation type.
template <typename S, bool kUnit, typename B, typename Toner>
class Backward {
  using T = typename Compute<S>::type;
  using I = typename Index<kUnit>::type;
  using Sweep = AlphaSweep<kUnit, S, T, I>;

 public:
  Backward(const BlendParams& p, const Task& task, const AffineMap<T>& map, Toner tone,
           Sums<T> grad_foreground, Sums<T> grad_mask)
      : p_(p),
        task_(task),
        n_(task.image),
        h_(p.size.h),
        w_(p.size.w),
        height_(p.size.height),
        width_(p.size.width),
        radius_(p.radius),
        first_(task.first_block * kBlockRows),
        last_(min_of(height_, static_cast<int>(task.last_block * kBlockRows))),
        moves_mask_(p.theta_partials || grad_mask.data),
        map_(map),
        tone_(tone),
        box_(grad_mask.data ? Box{0, 0, h_, w_} : nonzero_box<S, kUnit>(p.mask, n_, h_, w_)),
        taps_(p.taps, radius_),
        rows_(width_, radius_, 6, sizeof(T)),
        sample_rows_(width_, radius_),
        sweep_(p, n_, map_, box_, taps_.values(), taps_.window(), sample_rows_.samples(), rows_),
        colours_(p, n_, sample_rows_.samples()),
        slope_u_(width_, radius_),
        slope_v_(width_, radius_),
        blurred_(width_, radius_),
        alpha_(rows_.take<T>()),
        grad_alpha_(rows_.take<T>()),
        grad_s_(rows_.take<T>()),
        grad_u_(rows_.take<T>()),
        grad_v_(rows_.take<T>()),
        grad_foreground_(grad_foreground),
        grad_mask_(grad_mask) {}

  void run() {
    // Rows of s beyond the canvas belong to the first and the last block.
    const int first_s = first_ == 0 ? -radius_ : first_;
    const int last_s = last_ == height_ ? height_ + radius_ : last_;
    const int first_alpha = max_of(0, first_s - radius_);
    const int last_alpha = min_of(height_, last_s + radius_);
    for (int r = first_alpha - radius_; r < last_s + 2 * radius_; ++r) {
      if (r < height_ + radius_) push(r);
      const int i = r - radius_;
      if (i >= first_alpha && i < last_alpha) colour_row(i);
      if (i >= last_alpha && moves_mask_) blurred_.replace(i, {});
      const int q = r - 2 * radius_;
      if (q >= first_s && q < last_s && moves_mask_) mask_row(q);
    }
  }

 private:
  static constexpr int kPart = 64;  // columns of a row whose slopes are checked together

  void push(int r) {
    if (!moves_mask_) {
      sweep_.template push<false>(r, nullptr, nullptr);
      return;
    }
    T* slope_u = slope_u_.replace(r, {});
    T* slope_v = slope_v_.replace(r, {});
    Span span = sweep_.template push<true>(r, slope_u, slope_v);
    if (!grad_mask_.data) span = hull(trim(slope_u, span), trim(slope_v, span));
    slope_u_.hold(r, span);
    slope_v_.hold(r, span);
  }

  void colour_row(int i) {
    const Span shown = sweep_.alpha(i, alpha_);
    const bool mine = i >= first_ && i < last_;
    const RowMap<T> row = row_map(map_, i);
    if (mine && grad_foreground_.data) {
      scatter_colour_row<B>(grad_foreground_, p_.channels, row, alpha_, p_.grad_composite, n_, i,
                            shown, tone_);
    }
    if (p_.grad_gain) tone_row(i, row, shown);
    if (moves_mask_) alpha_row(i, row, shown, mine);
    // Last, as it may take G's place.
    if (mine && p_.grad_background.data) background_row(i, shown);
  }

  // dL/dalpha of row i, blurred along it, and what its colours add to theta's gradient.
  void alpha_row(int i, const RowMap<T>& row, Span shown, bool mine) {
    Span wanted;  // where dL/dalpha is: around every pixel of s that theta or the mask can move
    for (int q = i - radius_; q <= i + radius_; ++q) wanted = hull(wanted, slope_u_.span(q));
    wanted = intersect(grow(wanted, radius_), {0, width_});
    const Span span = hull(wanted, shown);
    if (span.empty()) {
      blurred_.replace(i, {});
      return;
    }
    zero_around(alpha_, shown, span);
    if constexpr (!kBlocks<S, kUnit>) touch_canvas(i, span);  // blocks prefetch as they go
    RowSums sums;
    in_parts(row, h_, w_, span,
             [&](Span part, bool inside) { colour_slopes(i, row, part, inside, sums); });
    if (p_.grad_alpha.data) {
      const S* grad = plane<S>(p_.grad_alpha, n_) + i * p_.grad_alpha.y;
      for (int j = span.begin; j < span.end; ++j) grad_alpha_[j] += load(grad[j * p_.grad_alpha.x]);
    }
    if (mine && p_.theta_partials) add(sums, i);
    push_blurred(blurred_, i, grad_alpha_, span, taps_.values(), radius_, taps_.window(),
                 {-radius_, width_ + radius_});
  }

  // Touches row i and the next few around `span` before they are read. This saves an eighth of the
  // backward if the object is small, as its rows are then too short to be prefetched (measured; the
  // forward gains nothing).
  void touch_canvas(int i, Span span) {
    if (i < touched_) return;
    touched_ = min_of(i + 4, height_);
    touch<B>(p_.background, n_, p_.channels, {i, touched_}, span);
    touch<B>(p_.grad_composite, n_, p_.channels, {i, touched_}, span);
  }

  void tone_row(int i, const RowMap<T>& row, Span shown) {
    in_parts(row, h_, w_, shown, [&](Span part, bool inside) {
      colours_.locate(row, part, inside);
      const auto pass = colours_.exact() ? tone_sums_row<kUnit, true, S, T, I, B>
                                         : tone_sums_row<kUnit, false, S, T, I, B>;
      for (int64_t c = 0; c < p_.channels; ++c) {
        pass(colours_.gather(c), alpha_,
             plane<B>(p_.grad_composite, n_, c) + i * p_.grad_composite.y,
             Stride<kUnit>{p_.grad_composite.x}, part, p_.grad_gain[c], p_.grad_bias[c]);
      }
    });
  }

  // dL/dalpha of a part of row i, and what its colours add to theta's gradient.
  void colour_slopes(int i, const RowMap<T>& row, Span part, bool inside, RowSums& sums) {
    if constexpr (kBlocks<S, kUnit>) {
      if (inside && slope_blocks<S, B>(p_, n_, i, row, alpha_, grad_alpha_, part, tone_, sums)) {
        return;
      }
    }
    const size_t bytes = sizeof(T) * (part.end - part.begin);
    for (T* to : {grad_alpha_, grad_u_, grad_v_}) __builtin_memset(to + part.begin, 0, bytes);
    colours_.locate(row, part, inside);
    using Toned = decltype(tone_(0));
    const auto pass = colours_.exact() ? colour_slopes_row<kUnit, true, S, T, I, B, Toned>
                                       : colour_slopes_row<kUnit, false, S, T, I, B, Toned>;
    for (int64_t c = 0; c < p_.channels; ++c) {
      pass(colours_.gather(c), alpha_, plane<B>(p_.background, n_, c) + i * p_.background.y,
           Stride<kUnit>{p_.background.x},
           plane<B>(p_.grad_composite, n_, c) + i * p_.grad_composite.y,
           Stride<kUnit>{p_.grad_composite.x}, grad_alpha_, grad_u_, grad_v_, part, tone_(c));
    }
    add_products(alpha_, grad_u_, grad_v_, map_.centre_x, part, sums);
  }

  void mask_row(int q) {
    const Span held = slope_u_.span(q);
    const T *slope_u = slope_u_.row(q), *slope_v = slope_v_.row(q);
    RowSums sums;
    for (Span rest = held; !rest.empty(); rest.begin += kPart) {
      Span part{rest.begin, min_of(rest.begin + kPart, rest.end)};
      // Inside a binary mask nothing moves, and dL/ds is not needed.
      if (!grad_mask_.data) part = hull(trim(slope_u, part), trim(slope_v, part));
      if (part.empty()) continue;
      part = blur_window(blurred_, q, taps_.values(), radius_, taps_.window(), part, grad_s_);
      if (part.empty()) continue;
      if (p_.theta_partials) add_products(grad_s_, slope_u, slope_v, map_.centre_x, part, sums);
      if (grad_mask_.data) {
        scatter_mask_row(grad_mask_, p_, plane<S>(p_.mask, n_), row_map(map_, q), grad_s_, part);
      }
    }
    if (p_.theta_partials && !held.empty()) add(sums, q);
  }

  // dL/dbackground = (1 - alpha) G.
  void background_row(int i, Span shown) {
    for (int64_t c = 0; c < p_.channels; ++c) {
      const B* grad = plane<B>(p_.grad_composite, n_, c) + i * p_.grad_composite.y;
      B* out = mutable_plane<B>(p_.grad_background, n_, c) + i * p_.grad_background.y;
      const int64_t from = p_.grad_composite.x, to = p_.grad_background.x;
      const Span before{0, shown.empty() ? width_ : shown.begin};
      for (int j = before.begin; j < before.end; ++j) out[j * to] = grad[j * from];
      for (int j = shown.begin; j < shown.end; ++j) {
        store(out[j * to], (T(1) - alpha_[j]) * load(grad[j * from]));
      }
      for (int j = shown.empty() ? width_ : shown.end; j < width_; ++j)
        out[j * to] = grad[j * from];
    }
  }

  void add(const RowSums& sums, int row) {
    const int block = min_of(max_of(row, 0), height_ - 1) / static_cast<int>(kBlockRows);
    double* moments = p_.theta_partials + (n_ * count_blocks(height_) + block) * 6;
    const double y = row - static_cast<double>(map_.centre_y);
    moments[0] += sums.ux, moments[1] += sums.u * y, moments[2] += sums.u;
    moments[3] += sums.vx, moments[4] += sums.v * y, moments[5] += sums.v;
  }

  static void zero_around(T* row, Span held, Span span) {
    for (int j = span.begin; j < (held.empty() ? span.end : held.begin); ++j) row[j] = T(0);
    for (int j = held.empty() ? span.end : held.end; j < span.end; ++j) row[j] = T(0);
  }

  const BlendParams& p_;
  const Task& task_;
  const int64_t n_;
  const int h_, w_, height_, width_, radius_;
  const int first_, last_;  // canvas rows of this task
  int touched_ = 0;         // canvas rows above this are touched
  const bool moves_mask_;   // theta's or the mask's gradient is wanted, so dL/dalpha is needed
  const AffineMap<T> map_;
  const Toner tone_;
  const Box box_;
  Taps<T> taps_;
  Rows rows_;
  const SampleRows<S, T, I> sample_rows_;
  Sweep sweep_;
  ColourSampler<kUnit, S, T, I> colours_;
  Ring<T> slope_u_, slope_v_, blurred_;
  T *alpha_, *grad_alpha_, *grad_s_, *grad_u_, *grad_v_;
  const Sums<T> grad_foreground_, grad_mask_;
};

template <typename S, bool kUnit>
void backward(const BlendParams& p, const Task& task) {
  using T = typename Compute<S>::type;
  const int64_t n = task.image;
  if (all_finite(p.theta + 6 * n)) {
    const Accumulator<S> to_foreground(p.grad_foreground, p.channels, p.size.h, p.size.w);
    const Accumulator<S> to_mask(p.grad_mask, 1, p.size.h, p.size.w);
    Backward<S, kUnit, S, AllAsTheyAre>(p, task, make_map<T>(p.theta + 6 * n, p.size), {},
                                        to_foreground.sums(), to_mask.sums())
        .run();
    to_foreground.write(n);
    to_mask.write(n);
    return;
  }

  // As its composite, every gradient of an image without a finite map is NaN.
  const double nan = __builtin_nan("");
  const int64_t first = task.first_block * kBlockRows;
  const int64_t last = min_of(p.size.height, task.last_block * kBlockRows);
  if (p.grad_background.data) {
    fill<S>(p.grad_background, n, p.channels, first, last, p.size.width, static_cast<T>(nan));
  }
  if (p.grad_foreground.data) {
    fill<S>(p.grad_foreground, n, p.channels, 0, p.size.h, p.size.w, static_cast<T>(nan));
  }
  if (p.grad_mask.data) fill<S>(p.grad_mask, n, 1, 0, p.size.h, p.size.w, static_cast<T>(nan));
  if (p.theta_partials) {
    double* moments = p.theta_partials + (n * count_blocks(p.size.height) + task.first_block) * 6;
    for (int k = 0; k < 6; ++k) moments[k] = nan;
  }
}
