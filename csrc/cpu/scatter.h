// Adjoints of the two bilinear samples: one image's gradients, summed in row order by one thread.
// Included once per instruction set.

// Dense planes in the computation type to add to; null: the gradient is not wanted.
template <typename T>
struct Sums {
  T* data;
  int64_t h, w;
  T* plane(int64_t channel) const { return data + channel * h * w; }
};

// Room for the sums of one image: those for half-precision images stay precise enough, and strides
// matter only once, at the end.
template <typename S>
class Accumulator {
 public:
  using T = typename Compute<S>::type;

  Accumulator(const View& grad, int64_t channels, int64_t h, int64_t w)
      : grad_(grad),
        channels_(grad.data ? channels : 0),
        h_(h),
        w_(w),
        sums_(channels_ * h * w * sizeof(T)) {
    __builtin_memset(sums_.data, 0, channels_ * h * w * sizeof(T));
  }

  Sums<T> sums() const { return {grad_.data ? reinterpret_cast<T*>(sums_.data) : nullptr, h_, w_}; }

  void write(int64_t image) const {
    for (int64_t c = 0; c < channels_; ++c) {
      const T* from = sums().plane(c);
      S* to = mutable_plane<S>(grad_, image, c);
      for (int64_t y = 0; y < h_; ++y) {
        for (int64_t x = 0; x < w_; ++x) store(to[y * grad_.y + x * grad_.x], from[y * w_ + x]);
      }
    }
  }

 private:
  const View& grad_;
  int64_t channels_, h_, w_;
  Buffer sums_;
};

// dL/dforeground of one row: G alpha, distributed to the four source pixels.
template <typename B, typename T, typename Toner>
void scatter_colour_row(const Sums<T>& to, int64_t channels, RowMap<T> row, const T* alpha,
                        const View& grad, int64_t image, int i, Span span, Toner tone) {
  const int h = to.h, w = to.w;
  for (int j = span.begin; j < span.end; ++j) {
    if (alpha[j] == T(0)) continue;
    const T x = T(j) - row.centre_x;
    const auto [x0, fx] = safe_coordinate(row.au * x + row.u0, w);
    const auto [y0, fy] = safe_coordinate(row.av * x + row.v0, h);
    const bool across = x0 >= 0 && x0 < w - 1, down = y0 >= 0 && y0 < h - 1;
    const int64_t cx = across ? x0 : (x0 < 0 ? 0 : w - 1), cy = down ? y0 : (y0 < 0 ? 0 : h - 1);
    const int64_t at = cy * to.w + cx, right = across ? 1 : 0, below = down ? to.w : 0;
    for (int64_t c = 0; c < channels; ++c) {
      const T from = load(plane<B>(grad, image, c)[i * grad.y + j * grad.x]);
      const T g = tone(c).slope(alpha[j] * from);
      T* plane = to.plane(c) + at;
      plane[0] += g * (1 - fx) * (1 - fy);
      plane[right] += g * fx * (1 - fy);
      plane[below] += g * (1 - fx) * fy;
      plane[below + right] += g * fx * fy;
    }
  }
}

// dL/dmask of one row, which may lie beyond the canvas: dL/ds ds/dm, distributed likewise.
template <typename S, typename T>
void scatter_mask_row(const Sums<T>& to, const BlendParams& p, const S* mask, RowMap<T> row,
                      const T* grad_s, Span span) {
  const int h = p.size.h, w = p.size.w;
  const T threshold = p.threshold;
  for (int j = span.begin; j < span.end; ++j) {
    const T x = T(j) - row.centre_x;
    const auto [x0, fx] = safe_coordinate(row.au * x + row.u0, w);
    const auto [y0, fy] = safe_coordinate(row.av * x + row.v0, h);
    const bool valid_x[2] = {x0 >= 0 && x0 < w, x0 >= -1 && x0 < w - 1};
    const bool valid_y[2] = {y0 >= 0 && y0 < h, y0 >= -1 && y0 < h - 1};
    T value[2][2];
    for (int dy = 0; dy < 2; ++dy) {
      for (int dx = 0; dx < 2; ++dx) {
        const bool ok = valid_y[dy] && valid_x[dx];
        value[dy][dx] = ok ? T(load(mask[(y0 + dy) * p.mask.y + (x0 + dx) * p.mask.x])) : T(0);
      }
    }
    T gain = T(1);
    if (!p.straight_through) {
      const T m = bilinear<true>(value[0][0], value[0][1], value[1][0], value[1][1], fx, fy).value;
      gain = ramp_slope(m, threshold, T(1) - threshold);
    }
    const T weight_x[2] = {1 - fx, fx}, weight_y[2] = {1 - fy, fy};
    for (int dy = 0; dy < 2; ++dy) {
      for (int dx = 0; dx < 2; ++dx) {
        if (!valid_y[dy] || !valid_x[dx]) continue;
        to.plane(0)[static_cast<int64_t>(y0 + dy) * w + x0 + dx] +=
            grad_s[j] * gain * weight_x[dx] * weight_y[dy];
      }
    }
  }
}
