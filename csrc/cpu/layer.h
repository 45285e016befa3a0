// One layer of a canvas, row by row: its alpha, and its colours blended into a row. Included once
// per instruction set.

// Where a layer is looked for: what all kinds of sweep share.
template <typename T>
struct Reach {
  Box box;           // of the mask's nonzero pixels
  Box canvas;        // pixels where its alpha may not be 0, of the task's rows
  AffineMap<T> map;  // of canvas columns counted from canvas.x0

  // Pixels that samples may read, up to one before and two behind the frame.
  Box source(const Layer& layer) const {
    if (canvas.empty()) return {};
    double u[2], v[2];
    for (int corner = 0; corner < 4; ++corner) {
      const double x =
          (corner & 1 ? canvas.x1 - canvas.x0 + layer.radius : -layer.radius) - map.centre_x;
      const double y =
          (corner >> 1 ? canvas.y1 + layer.radius : canvas.y0 - layer.radius) - map.centre_y;
      const double at[2] = {map.au * x + (map.bu * y + map.cu), map.av * x + (map.bv * y + map.cv)};
      for (int k = 0; k < 2; ++k) {
        double* range = k == 0 ? u : v;
        range[0] = corner == 0 || at[k] < range[0] ? at[k] : range[0];
        range[1] = corner == 0 || at[k] > range[1] ? at[k] : range[1];
      }
    }
    // Two pixels more than rounding can be, and what is read beside a sample.
    const auto clipped = [](double at, int64_t most) {
      return at > -1 ? (at < most ? static_cast<int>(at) : static_cast<int>(most)) : -1;
    };
    Box part{clipped(v[0] - 2, layer.size.h), clipped(u[0] - 2, layer.size.w),
             clipped(v[1] + 4, layer.size.h + 2), clipped(u[1] + 4, layer.size.w + 2)};
    part.y1 = max_of(part.y1, part.y0 + 2), part.x1 = max_of(part.x1, part.x0 + 2);
    return part;
  }
};

// Of canvas rows [first, last). `whole`: of the whole frame, where zeros of the mask can move too.
template <typename S, bool kUnit>
Reach<typename Compute<S>::type> find_reach(const Layer& layer, int first, int last, bool whole) {
  using T = typename Compute<S>::type;
  const Sizes& size = layer.size;
  const Box box = nonzero_box<S, kUnit>(whole ? View{} : layer.mask, 0, size.h, size.w);
  AffineMap<T> map = make_map<T>(layer.theta, size);
  Box canvas{};
  if (!box.empty()) {
    canvas = reach_on_canvas(map, box, size.height, size.width, layer.radius);
    canvas.y0 = max_of(canvas.y0, first), canvas.y1 = min_of(canvas.y1, last);
  }
  if (canvas.empty()) canvas = {};
  map.centre_x -= T(canvas.x0);  // exactly: both are whole or half numbers
  return {box, canvas, map};
}

// One canvas row of all channels: the first's column 0, and the strides to the next channel and
// column.
template <typename B>
struct RowView {
  B* data;
  int64_t c, x;
};

template <typename S, typename T>
COMPOSITOR_ROW_PASS void load_row(const S* from, int64_t step, T* __restrict to, Span span) {
  COMPOSITOR_SIMD
  for (int j = span.begin; j < span.end; ++j) to[j] = load(from[j * step]);
}

template <typename S, typename T>
COMPOSITOR_ROW_PASS void store_row(const T* __restrict from, S* to, int64_t step, Span span) {
  COMPOSITOR_SIMD
  for (int j = span.begin; j < span.end; ++j) store(to[j * step], from[j]);
}

template <typename S>
inline void copy_row(RowView<const S> from, RowView<S> to, int64_t channels, Span span) {
  if (span.empty()) return;
  for (int64_t c = 0; c < channels; ++c) {
    const S* behind = from.data + c * from.c;
    S* out = to.data + c * to.c;
    if (from.x == 1 && to.x == 1) {
      __builtin_memcpy(out + span.begin, behind + span.begin, sizeof(S) * span.size());
    } else {
      for (int j = span.begin; j < span.end; ++j) out[j * to.x] = behind[j * from.x];
    }
  }
}

template <bool kFirst, typename A, typename B>
struct Either {
  using type = A;
};
template <typename A, typename B>
struct Either<false, A, B> {
  using type = B;
};

// A canvas row while layers are blended into it: in the composite itself where nothing is lost
// between two layers, else in the computation type.
template <typename S, bool kUnit>
constexpr bool kLossless = kUnit && sizeof(S) == sizeof(typename Compute<S>::type);

template <typename S, bool kInPlace>
class PlanarRow {
 public:
  using T = typename Compute<S>::type;
  using B = typename Either<kInPlace, S, T>::type;

  PlanarRow(int width, int64_t channels)
      : channels_(channels), width_(width), room_(kInPlace ? 0 : sizeof(T) * width * channels) {}

  RowView<B> view() const { return view_; }

  // Takes a part of the background's row.
  void open(RowView<const S> from, RowView<S> to, Span span) {
    if constexpr (kInPlace) {
      copy_row(from, to, channels_, span);
      view_ = to;
    } else {
      view_ = {reinterpret_cast<T*>(room_.data), width_, 1};
      for (int64_t c = 0; c < channels_; ++c) {
        load_row(from.data + c * from.c, from.x, view_.data + c * view_.c, span);
      }
    }
  }

  // Gives it to the composite's row.
  void close(RowView<S> to, Span span) const {
    if constexpr (!kInPlace) {
      for (int64_t c = 0; c < channels_; ++c) {
        store_row(view_.data + c * view_.c, to.data + c * to.c, to.x, span);
      }
    }
  }

 private:
  const int64_t channels_, width_;
  Buffer room_;
  RowView<B> view_{};
};

template <typename S, bool kUnit>
class LayerSweep {
 public:
  using T = typename Compute<S>::type;
  using I = typename Index<kUnit>::type;

  // Of canvas rows [first, last).
  LayerSweep(const RenderParams& p, const Layer& layer, int first, int last, Scratch&)
      : layer_(layer),
        reach_(find_reach<S, kUnit>(layer, first, last, p.grad_mask)),
        params_(local_params(p, layer, reach_.canvas)),
        taps_(layer.taps, layer.radius),
        rows_(params_.size.width, layer.radius, 2, sizeof(T)),
        sample_rows_(params_.size.width, layer.radius),
        sweep_(params_, 0, reach_.map, reach_.box, taps_.values(), taps_.window(),
               sample_rows_.samples(), rows_),
        colours_(params_, 0, sample_rows_.samples()),
        alpha_(rows_.template take<T>()),
        blended_(kBlocks<S, kUnit> ? sizeof(T) * params_.size.width * p.channels : 0),
        next_(reach_.canvas.y0 - layer.radius) {}

  bool empty() const { return reach_.canvas.empty(); }
  bool meets(int row) const { return row >= reach_.canvas.y0 && row < reach_.canvas.y1; }

  // Computes alpha of canvas row `row`; returns the canvas columns where it is not all zero. Rows
  // come in order.
  Span advance(int row) {
    while (next_ <= row + layer_.radius) sweep_.template push<false>(next_++, nullptr, nullptr);
    shown_ = sweep_.alpha(row, alpha_);
    return span();
  }

  Span span() const {
    const int x0 = reach_.canvas.x0;
    return shown_.empty() ? Span{} : Span{shown_.begin + x0, shown_.end + x0};
  }
  const T* alpha() const { return alpha_ - reach_.canvas.x0; }  // by canvas column
  int32_t number() const { return layer_.number; }
  const Layer& layer() const { return layer_; }
  const Reach<T>& reach() const { return reach_; }
  const BlendParams& params() const { return params_; }

  // Blends the row that advance() was last called for.
  template <bool kInPlace>
  void blend_into(int row, const PlanarRow<S, kInPlace>& to) {
    if (layer_.gain) {
      blend_toned(row, to.view(), Tones<T>{layer_.gain, layer_.bias});
    } else {
      blend_toned(row, to.view(), AllAsTheyAre{});
    }
  }

 private:
  template <typename B, typename Toner>
  void blend_toned(int row, RowView<B> to, Toner tone) {
    const RowMap<T> map = row_map(reach_.map, row);
    B* const out = to.data + reach_.canvas.x0 * to.x;
    in_parts(map, layer_.size.h, layer_.size.w, shown_, [&](Span part, bool inside) {
      if constexpr (kBlocks<S, kUnit>) {
        if (inside && blend_part(map, out, to.c, part, tone)) return;
      }
      colours_.locate(map, part, inside);
      const auto pass = colours_.exact() ? blend_row<kUnit, true, S, T, I, B, decltype(tone(0))>
                                         : blend_row<kUnit, false, S, T, I, B, decltype(tone(0))>;
      const Stride<kUnit> at{to.x};
      for (int64_t c = 0; c < params_.channels; ++c) {
        B* const channel = out + c * to.c;
        pass(colours_.gather(c), alpha_, channel, at, channel, at, part, tone(c));
      }
    });
  }

  // As blend_blocks, but in place, and only if all samples are finite.
  template <typename Toner>
  bool blend_part(const RowMap<T>& map, T* out, int64_t next, Span part, Toner tone) {
    const View& from = params_.foreground;
    const int64_t width = params_.size.width;
    T* const room = reinterpret_cast<T*>(blended_.data);
    if (!blend_blocks(plane<S>(from, 0), from.c, from.y, map, alpha_, out, next, room, width,
                      params_.channels, part, 0, tone)) {
      return false;
    }
    for (int64_t c = 0; c < params_.channels; ++c) {
      __builtin_memcpy(out + c * next + part.begin, room + c * width + part.begin,
                       sizeof(T) * part.size());
    }
    return true;
  }

  static BlendParams local_params(const RenderParams& p, const Layer& layer, const Box& reach) {
    BlendParams local{};
    local.size = layer.size;
    local.size.width = reach.x1 - reach.x0;
    local.channels = p.channels;
    local.foreground = layer.foreground;
    local.mask = layer.mask;
    local.radius = layer.radius;
    local.threshold = p.threshold;
    local.straight_through = p.straight_through;
    return local;
  }

  const Layer& layer_;
  const Reach<T> reach_;
  const BlendParams params_;
  Taps<T> taps_;
  Rows rows_;
  const SampleRows<S, T, I> sample_rows_;
  AlphaSweep<kUnit, S, T, I> sweep_;
  ColourSampler<kUnit, S, T, I> colours_;
  T* alpha_;
  Buffer blended_;  // a row of all channels
  int next_;        // the row to push
  Span shown_;
};
