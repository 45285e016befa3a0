// One image of a task: its planes, its map, and the row buffers. Included once per instruction set.

struct Buffer {
  explicit Buffer(size_t bytes) : data(static_cast<char*>(::operator new(bytes))) {}
  ~Buffer() { ::operator delete(data); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  char* data;
};

// Hands out row buffers from one allocation. A row's pointer is at canvas column 0, with room for
// 3 radius columns on either side.
class Rows {
 public:
  Rows(int width, int radius, int count, size_t element)
      : margin_(3 * radius + 16),
        stride_((static_cast<size_t>(width) + 2 * margin_) * element),
        buffer_(stride_ * count) {}

  template <typename T>
  T* take() {
    T* row = reinterpret_cast<T*>(buffer_.data + stride_ * taken_++) + margin_;
    return row;
  }

  // A row that starts as zeros, margins included.
  template <typename T>
  T* take_zeroed() {
    __builtin_memset(buffer_.data + stride_ * taken_, 0, stride_);
    return take<T>();
  }

 private:
  int margin_;
  size_t stride_;
  Buffer buffer_;
  size_t taken_ = 0;
};

inline int power_of_two(int least) {
  int size = 1;
  while (size < least) size *= 2;
  return size;
}

// The last rows of a sweep, 2 radius + 1 or a few more, by row number, which is negative before the
// canvas. They are zero outside their spans.
template <typename T>
class Ring {
 public:
  Ring(int width, int radius)
      : slots_(power_of_two(2 * radius + 1)),
        room_(width, radius, slots_, sizeof(T)),
        rows_(slots_ * sizeof(T*)),
        spans_(slots_ * sizeof(Span)) {
    for (int k = 0; k < slots_; ++k) {
      row_at(k) = room_.template take_zeroed<T>();
      span_at(k) = {};
    }
  }

  T* row(int number) const { return row_at(number); }
  Span span(int number) const { return span_at(number); }

  // The row to write for `number`, on `span`; its earlier content is cleared.
  T* replace(int number, Span span) {
    T* row = row_at(number);
    Span& held = span_at(number);
    if (!held.empty()) __builtin_memset(row + held.begin, 0, sizeof(T) * (held.end - held.begin));
    held = span;
    return row;
  }

  // Narrows the span of a row just written.
  void hold(int number, Span span) { span_at(number) = span; }

 private:
  // Not by %, which would take two divisions per look-up, and a row's blur has fourteen.
  int slot(int number) const { return number & (slots_ - 1); }
  T*& row_at(int number) const { return reinterpret_cast<T**>(rows_.data)[slot(number)]; }
  Span& span_at(int number) const { return reinterpret_cast<Span*>(spans_.data)[slot(number)]; }

  int slots_;
  Rows room_;
  Buffer rows_, spans_;
};

// The blur's taps in the computation type, and room for the rows of one blur.
template <typename T>
class Taps {
 public:
  Taps(const double* taps, int radius)
      : values_((radius + 1) * sizeof(T)), window_((2 * radius + 1) * sizeof(T*)) {
    for (int k = 0; k <= radius; ++k) values()[k] = static_cast<T>(taps[k]);
  }
  T* values() const { return reinterpret_cast<T*>(values_.data); }
  const T** window() const { return reinterpret_cast<const T**>(window_.data); }

 private:
  Buffer values_, window_;
};

// Room for the samples of one row.
template <typename S, typename T, typename I>
class SampleRows {
 public:
  SampleRows(int width, int radius)
      : pairs_(width, radius, 2, sizeof(Pair<S>)),
        fractions_(width, radius, 2, sizeof(T)),
        offsets_(width, radius, 3, sizeof(I)),
        samples_{pairs_.template take<Pair<S>>(), pairs_.template take<Pair<S>>(),
                 fractions_.template take<T>(),   fractions_.template take<T>(),
                 offsets_.template take<I>(),     offsets_.template take<I>(),
                 offsets_.template take<I>()} {}

  Samples<S, T, I> samples() const { return samples_; }

 private:
  Rows pairs_, fractions_, offsets_;
  Samples<S, T, I> samples_;
};

template <typename S>
inline const S* plane(const View& view, int64_t image, int64_t channel = 0) {
  return static_cast<const S*>(view.data) + image * view.n + channel * view.c;
}

template <typename S>
inline S* mutable_plane(const View& view, int64_t image, int64_t channel = 0) {
  return static_cast<S*>(view.data) + image * view.n + channel * view.c;
}

inline bool all_finite(const double* theta) {
  for (int k = 0; k < 6; ++k) {
    if (!(theta[k] - theta[k] == 0)) return false;
  }
  return true;
}

template <typename S>
inline void fill(const View& view, int64_t image, int64_t channels, int64_t first_row,
                 int64_t last_row, int64_t columns, typename Compute<S>::type value) {
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t i = first_row; i < last_row; ++i) {
      S* row = mutable_plane<S>(view, image, c) + i * view.y;
      for (int64_t j = 0; j < columns; ++j) store(row[j * view.x], value);
    }
  }
}

// Whether a mask's pixel is not 0; NaN is not.
template <typename S>
inline bool nonzero(S value) {
  if constexpr (sizeof(S) == 2) return static_cast<uint16_t>(value) & 0x7FFF;  // all but the sign
  return !(load(value) == 0);
}

// As wide as the pixels, so that whole registers are marked at once.
template <size_t kBytes>
struct MarkOf {
  using type = int32_t;
};
template <>
struct MarkOf<1> {
  using type = uint8_t;
};
template <>
struct MarkOf<2> {
  using type = uint16_t;
};
template <typename S>
using Mark = typename MarkOf<sizeof(S)>::type;

// Marks the columns where one row of a mask is not zero; returns whether any is.
template <bool kUnit, typename S>
COMPOSITOR_ROW_PASS bool mark_nonzero(const S* __restrict row, Stride<kUnit> at, int w,
                                      Mark<S>* __restrict columns) {
  Mark<S> any = 0;
#pragma omp simd reduction(| : any)
  for (int x = 0; x < w; ++x) {
    const Mark<S> mark = nonzero(row[at(x)]);
    columns[x] |= mark;
    any |= mark;
  }
  return any;
}

// The tight box of the mask's nonzero pixels; a null mask is 1 all over. Read in memory order,
// which brings the mask into the cache for the sweep.
template <typename S, bool kUnit>
inline Box nonzero_box(const View& mask, int64_t image, int h, int w) {
  if (!mask.data) return {0, 0, h, w};
  const Buffer buffer(sizeof(Mark<S>) * w);
  Mark<S>* columns = reinterpret_cast<Mark<S>*>(buffer.data);
  __builtin_memset(columns, 0, sizeof(Mark<S>) * w);
  Box box{h, 0, 0, w};
  for (int y = 0; y < h; ++y) {
    const S* row = plane<S>(mask, image) + y * mask.y;
    if (!mark_nonzero(row, Stride<kUnit>{mask.x}, w, columns)) continue;
    box.y0 = min_of(box.y0, y);
    box.y1 = y + 1;
  }
  while (box.x0 < box.x1 && !columns[box.x0]) ++box.x0;
  while (box.x1 > box.x0 && !columns[box.x1 - 1]) --box.x1;
  return box;
}

// Reads parts of some rows, in all channels, in memory order just before a sweep reads them in its
// own order. It uses plain loads, since prefetch instructions are slower (measured).
template <typename S>
inline void touch(const View& view, int64_t image, int64_t channels, Span rows, Span columns) {
  const int64_t bytes = view.x * static_cast<int64_t>(sizeof(S));
  const int step = bytes < 64 ? static_cast<int>(64 / (bytes > 0 ? bytes : 1)) : 1;
  for (int64_t c = 0; c < channels; ++c) {
    for (int y = rows.begin; y < rows.end; ++y) {
      const S* row = plane<S>(view, image, c) + y * view.y;
      for (int x = columns.begin; x < columns.end; x += step) {
        asm volatile("" ::"r"(*reinterpret_cast<const char*>(row + x * view.x)));
      }
    }
  }
}
