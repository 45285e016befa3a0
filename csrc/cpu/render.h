// Layers on one canvas: one sweep over its rows, in which each row meets the layers that touch it.
// Included once per instruction set.

// The pixels of a row that a layer covers become its own; returns how many.
template <typename T>
COMPOSITOR_ROW_PASS int own_row(const T* __restrict alpha, int32_t* __restrict owner,
                                int32_t number, Span span) {
  int covered = 0;
#pragma omp simd reduction(+ : covered)
  for (int j = span.begin; j < span.end; ++j) {
    const bool solid = alpha[j] > T(0.5);
    owner[j] = solid ? number : owner[j];
    covered += solid;
  }
  return covered;
}

// The pixels of a row that show a layer when all are on it.
COMPOSITOR_ROW_PASS int count_row(const int32_t* __restrict owner, int32_t number, Span span) {
  int area = 0;
#pragma omp simd reduction(+ : area)
  for (int j = span.begin; j < span.end; ++j) area += owner[j] == number;
  return area;
}

inline void show_row(const int32_t* owner, int32_t number, Span span, int row, int area,
                     Shown& shown) {
  if (!area) return;
  while (owner[span.begin] != number) ++span.begin;
  while (owner[span.end - 1] != number) --span.end;
  shown.area += area;
  shown.x0 = min_of(shown.x0, span.begin), shown.x1 = max_of(shown.x1, span.end);
  shown.y0 = min_of(shown.y0, row), shown.y1 = row + 1;
}

template <typename S, typename Sweep, typename Row>
class Canvas {
 public:
  Canvas(const RenderParams& p, const Task& task)
      : p_(p),
        n_(task.image),
        width_(p.width),
        first_(task.first_block * kBlockRows),
        last_(min_of(p.height, static_cast<int>(task.last_block * kBlockRows))),
        shown_(p.shown ? p.shown + task.first_block * p.layer_count : nullptr),
        sweeps_(sizeof(Sweep*) * (p.begins[n_ + 1] - p.begins[n_])),
        covered_(sizeof(int) * (p.begins[n_ + 1] - p.begins[n_])),
        row_(width_, p.channels) {
    Scratch& scratch = Scratch::of_this_thread();
    for (int64_t l = p.begins[n_]; l < p.begins[n_ + 1]; ++l) {
      if (!all_finite(p.layers[l].theta)) {
        lost_ = true;
        continue;
      }
      Sweep* sweep = new Sweep(p, p.layers[l], first_, last_, scratch);
      if (sweep->empty()) {
        delete sweep;
      } else {
        sweeps()[count_++] = sweep;
      }
    }
  }
  ~Canvas() {
    for (int k = 0; k < count_; ++k) delete sweeps()[k];
  }
  Canvas(const Canvas&) = delete;
  Canvas& operator=(const Canvas&) = delete;

  void run() {
    for (int row = first_; row < last_; ++row) {
      int32_t* owner = p_.owner ? p_.owner + (n_ * p_.height + row) * width_ : nullptr;
      if (owner) __builtin_memset(owner, 0xff, sizeof(int32_t) * width_);  // -1
      meet(row, owner);
    }
    // A map that is not finite: NaN, which bytes do not have; there its layer is left out.
    if (lost_ && kOne<S> == 1) {
      fill<S>(p_.composite, n_, p_.channels, first_, last_, width_, __builtin_nanf(""));
    }
  }

 private:
  int* covered() const { return reinterpret_cast<int*>(covered_.data); }
  Sweep** sweeps() const { return reinterpret_cast<Sweep**>(sweeps_.data); }

  // One row, with all layers that touch it.
  void meet(int row, int32_t* owner) {
    Span met;
    for (int k = 0; k < count_; ++k) {
      if (sweeps()[k]->meets(row)) met = hull(met, sweeps()[k]->advance(row));
    }
    const RowView<const S> from{plane<S>(p_.background, n_) + row * p_.background.y,
                                p_.background.c, p_.background.x};
    const RowView<S> to{mutable_plane<S>(p_.composite, n_) + row * p_.composite.y, p_.composite.c,
                        p_.composite.x};
    if (met.empty()) return copy_row(from, to, p_.channels, {0, width_});
    copy_row(from, to, p_.channels, {0, met.begin});
    copy_row(from, to, p_.channels, {met.end, width_});
    row_.open(from, to, met);
    for (int k = 0; k < count_; ++k) {
      Sweep& sweep = *sweeps()[k];
      if (!sweep.meets(row) || sweep.span().empty()) continue;
      sweep.blend_into(row, row_);
      if (!owner) continue;
      covered()[k] = own_row(sweep.alpha(), owner, sweep.number(), sweep.span());
      shown_[sweep.number()].covered += covered()[k];
    }
    row_.close(to, met);
    Span above;  // of the layers on top; where there are none, what was covered shows
    for (int k = count_ - 1; owner && k >= 0; --k) {
      const Sweep& sweep = *sweeps()[k];
      const Span span = sweep.span();
      const int32_t number = sweep.number();
      if (!sweep.meets(row) || span.empty()) continue;
      const bool free = intersect(span, above).empty();
      const int area = free ? covered()[k] : count_row(owner, number, span);
      show_row(owner, number, span, row, area, shown_[number]);
      above = hull(above, span);
    }
  }

  const RenderParams& p_;
  const int64_t n_;
  const int width_, first_, last_;
  Shown* const shown_;  // of the task's first block, by layer
  Buffer sweeps_;
  Buffer covered_;  // by each, in one row
  Row row_;
  int count_ = 0;
  bool lost_ = false;
};

template <typename S, bool kUnit>
void render(const RenderParams& p, const Task& task) {
#ifdef COMPOSITOR_AVX2
  if constexpr (sizeof(S) == 1) {
    if (p.channels < kPacked) return Canvas<S, PackedSweep, PackedRow>(p, task).run();
  }
#endif
  Canvas<S, LayerSweep<S, kUnit>, PlanarRow<S, kLossless<S, kUnit>>>(p, task).run();
}
