// From canvas columns to source pixels: locates each sample and gathers its four pixels into row
// buffers, so that all further arithmetic runs over plain rows. Included once per instruction set.

#define COMPOSITOR_ROW_PASS __attribute__((noinline)) static
#define COMPOSITOR_SIMD _Pragma("omp simd")

// Offsets within a plane: 32 bits vectorise, 64 reach everything.
template <bool kUnit>
struct Index {
  using type = int64_t;
};
template <>
struct Index<true> {
  using type = int32_t;
};

template <typename S>
struct Pair {
  S left, right;
};

// The samples of one row, by canvas column.
template <typename S, typename T, typename I>
struct Samples {
  Pair<S>* top;  // the two upper source pixels
  Pair<S>* bottom;
  T* tx;
  T* ty;
  I* at;      // offset of the upper left one
  I* step_x;  // offset from it to its right neighbour, 0 where clamped
  I* step_y;
};

// Where each sample lies. `kPairs`: all four pixels are in the frame, left and right are adjacent.
// Otherwise a sample outside the frame is clamped to its edge. Returns whether any has a weight
// of 0.
template <bool kPairs, typename S, typename T, typename I>
COMPOSITOR_ROW_PASS bool locate_row(RowMap<T> row, Span span, int h, int w, I sy, I sx,
                                    Samples<S, T, I> to) {
  I* __restrict at = to.at;
  I* __restrict step_x = to.step_x;
  I* __restrict step_y = to.step_y;
  T* __restrict tx = to.tx;
  T* __restrict ty = to.ty;
  T least = 1;
#pragma omp simd reduction(min : least)
  for (int j = span.begin; j < span.end; ++j) {
    const T x = T(j) - row.centre_x;
    const T u = row.au * x + row.u0, v = row.av * x + row.v0;
    if constexpr (kPairs) {
      const int x0 = static_cast<int>(u), y0 = static_cast<int>(v);
      at[j] = I(y0) * sy + I(x0);
      tx[j] = u - T(x0);
      ty[j] = v - T(y0);
    } else {
      const Coordinate<T> cu = safe_coordinate(u, w), cv = safe_coordinate(v, h);
      const bool across = (cu.index >= 0) & (cu.index < w - 1);
      const bool down = (cv.index >= 0) & (cv.index < h - 1);
      const int cx = min_of(max_of(cu.index, 0), w - 1), cy = min_of(max_of(cv.index, 0), h - 1);
      at[j] = I(cy) * sy + I(cx) * sx;
      step_x[j] = across ? sx : I(0);
      step_y[j] = down ? sy : I(0);
      tx[j] = across ? cu.fraction : T(0);
      ty[j] = down ? cv.fraction : T(0);
    }
    const T smaller = tx[j] < ty[j] ? tx[j] : ty[j];
    least = smaller < least ? smaller : least;
  }
  return least == T(0);
}

// The four pixels of each located sample: two loads of a pair rather than four of one.
template <bool kPairs, typename S, typename T, typename I>
COMPOSITOR_ROW_PASS void gather_row(const S* __restrict plane, I sy, Samples<S, T, I> to,
                                    Span span) {
  Pair<S>* __restrict top = to.top;
  Pair<S>* __restrict bottom = to.bottom;
  for (int j = span.begin; j < span.end; ++j) {
    const S* from = plane + to.at[j];
    if constexpr (kPairs) {
      __builtin_memcpy(top + j, from, sizeof(Pair<S>));
      __builtin_memcpy(bottom + j, from + sy, sizeof(Pair<S>));
    } else {
      const I across = to.step_x[j], down = to.step_y[j];
      top[j] = {from[0], from[across]};
      bottom[j] = {from[down], from[down + across]};
    }
  }
}

// Locates and gathers at once, for a mask, which is zero outside its frame.
template <typename S, typename T, typename I>
COMPOSITOR_ROW_PASS bool gather_mask_row(const S* __restrict mask, I sy, I sx, RowMap<T> row, int h,
                                         int w, Samples<S, T, I> to, Span span) {
  bool zeros = false;
  for (int j = span.begin; j < span.end; ++j) {
    const T x = T(j) - row.centre_x;
    const Coordinate<T> cu = safe_coordinate(row.au * x + row.u0, w);
    const Coordinate<T> cv = safe_coordinate(row.av * x + row.v0, h);
    const int x0 = cu.index, y0 = cv.index;
    to.tx[j] = cu.fraction, to.ty[j] = cv.fraction;
    zeros |= (cu.fraction == T(0)) | (cv.fraction == T(0));
    const bool left = (x0 >= 0) & (x0 < w), right = (x0 >= -1) & (x0 < w - 1);
    const bool upper = (y0 >= 0) & (y0 < h), lower = (y0 >= -1) & (y0 < h - 1);
    const S* up = mask + I(upper ? y0 : 0) * sy;
    const S* down = mask + I(lower ? y0 + 1 : 0) * sy;
    const I from = I(left ? x0 : 0) * sx, past = I(right ? x0 + 1 : 0) * sx;
    to.top[j] = {left & upper ? up[from] : S(0), right & upper ? up[past] : S(0)};
    to.bottom[j] = {left & lower ? down[from] : S(0), right & lower ? down[past] : S(0)};
  }
  return zeros;
}

// Calls pass(part, inside) for the parts of `span` with and without bounds to check.
template <typename T, typename Pass>
inline void in_parts(const RowMap<T>& row, int h, int w, Span span, Pass&& pass) {
  const Span middle = inside(row, h, w, span);
  if (middle.empty()) return pass(span, false);
  if (span.begin < middle.begin) pass(Span{span.begin, middle.begin}, false);
  pass(middle, true);
  if (middle.end < span.end) pass(Span{middle.end, span.end}, false);
}
