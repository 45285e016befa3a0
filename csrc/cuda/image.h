// One image of a batch: its planes in memory, its map, and where a block of threads works in it.

// Reads memory that nothing writes while the kernel runs.
template <typename S>
COMPOSITOR_DEVICE_INLINE S fetch_bits(const S* from) {
#ifdef __CUDA_ARCH__
  if constexpr (sizeof(S) == 1) {
    return static_cast<S>(__ldg(reinterpret_cast<const unsigned char*>(from)));
  } else if constexpr (sizeof(S) == 2) {
    return static_cast<S>(__ldg(reinterpret_cast<const unsigned short*>(from)));
  } else {
    return __ldg(from);
  }
#else
  return *from;
#endif
}

template <typename S>
COMPOSITOR_DEVICE_INLINE typename Compute<S>::type fetch(const S* from) {
  return load(fetch_bits(from));
}

// A pointer to device memory, as one number for the compiler, which else adds up in 64 bits, at
// each pixel, what it was made of: an address is then one instruction from an index of 32 bits.
template <typename V>
COMPOSITOR_DEVICE_INLINE V* as_base(V* pointer) {
#ifdef __CUDA_ARCH__
  asm("" : "+l"(pointer));
  __builtin_assume(__isGlobal(pointer));
#endif
  return pointer;
}

// One image of a view. I is 32 bits if they can index all of it, otherwise 64.
template <typename S, typename I>
struct Image {
  S* data;
  I c, y, x;
  COMPOSITOR_DEVICE_INLINE S* at(int channel, int row, int column) const {
    return data + (I(channel) * c + I(row) * y + I(column) * x);
  }
};

template <typename S, typename I>
COMPOSITOR_DEVICE_INLINE Image<S, I> image_of(const View& view, int64_t n) {
  return {view.data ? static_cast<S*>(view.data) + n * view.n : nullptr, static_cast<I>(view.c),
          static_cast<I>(view.y), static_cast<I>(view.x)};
}

// A number of float64, or of float32.
COMPOSITOR_DEVICE_INLINE double read_number(const void* from, bool wide, int64_t at) {
  return wide ? static_cast<const double*>(from)[at] : static_cast<const float*>(from)[at];
}
COMPOSITOR_DEVICE_INLINE void write_number(void* to, bool wide, int64_t at, double value) {
  if (wide) {
    static_cast<double*>(to)[at] = value;
  } else {
    static_cast<float*>(to)[at] = static_cast<float>(value);
  }
}

COMPOSITOR_DEVICE_INLINE int64_t theta_at(const Theta& theta, int64_t image, int k) {
  return image * theta.n + k / 3 * theta.row + k % 3 * theta.column;
}
COMPOSITOR_DEVICE_INLINE double theta_element(const Theta& theta, int64_t image, int k) {
  return read_number(theta.data, theta.wide, theta_at(theta, image, k));
}

// Work of `blocks_down` x `blocks_across` rectangles an image, the first at (-margin, -margin).
struct Split {
  int height, width;  // of a rectangle
  int margin;
  int blocks_down, blocks_across;

  static COMPOSITOR_HOST_DEVICE Split over(int64_t rows, int64_t columns, int margin, int height,
                                           int width) {
    return {height, width, margin, static_cast<int>((rows + 2 * margin + height - 1) / height),
            static_cast<int>((columns + 2 * margin + width - 1) / width)};
  }
  COMPOSITOR_HOST_DEVICE int64_t blocks() const {
    return static_cast<int64_t>(blocks_down) * blocks_across;
  }
};

// The rectangle of pixels that a block works on, and its image's map.
template <typename T>
struct Place {
  int64_t number, image;
  int row, column;  // of the rectangle's first pixel
  AffineMap<T> map;
};

// Finds a block's place, and returns whether its map is finite: a coefficient a thread, since
// divisions in float64 are long.
template <typename T, typename Block>
COMPOSITOR_DEVICE_INLINE bool find_place(const BlendParams& p, const Split& split, int64_t number,
                                         Block& block, Place<T>& place) {
  return !block.any([&](int t) {
    if (t >= 6) return false;
    const int64_t image = number / split.blocks();
    if (t == 0) {
      const int tile = static_cast<int>(number - image * split.blocks());
      place.number = number;
      place.image = image;
      place.row = tile / split.blocks_across * split.height - split.margin;
      place.column = tile % split.blocks_across * split.width - split.margin;
      place.map.centre_x = static_cast<T>((static_cast<double>(p.size.width) - 1) / 2);
      place.map.centre_y = static_cast<T>((static_cast<double>(p.size.height) - 1) / 2);
    }
    const double theta = theta_element(p.theta, image, t);
    (&place.map.au)[t] = make_coefficient<T>(theta, t, p.size);
    return !(theta - theta == 0);
  });
}

COMPOSITOR_DEVICE_INLINE float fused(float a, float b, float c) { return fmaf(a, b, c); }
COMPOSITOR_DEVICE_INLINE double fused(double a, double b, double c) { return fma(a, b, c); }

// Canvas pixel (i, j), which may lie beyond the canvas, about the centre, and in the foreground.
// The roundings are spelled out: gather.h finds the pixels again that the backward has written.
template <typename T>
struct Point {
  T x, y, u, v;
};

template <typename T>
COMPOSITOR_DEVICE_INLINE Point<T> point_of(const AffineMap<T>& map, int i, int j) {
  const T x = T(j) - map.centre_x, y = T(i) - map.centre_y;
  return {x, y, fused(map.au, x, fused(map.bu, y, map.cu)),
          fused(map.av, x, fused(map.bv, y, map.cv))};
}

// A rectangle of canvas pixels.
struct Rectangle {
  int row, column, rows, columns;

  COMPOSITOR_DEVICE_INLINE Rectangle moved(int down, int right) const {
    return {row + down, column + right, rows, columns};
  }
  COMPOSITOR_DEVICE_INLINE Rectangle grown(int by) const {
    return {row - by, column - by, rows + 2 * by, columns + 2 * by};
  }
  COMPOSITOR_DEVICE_INLINE bool empty() const { return rows <= 0 || columns <= 0; }
  // The part of it on a canvas.
  COMPOSITOR_DEVICE_INLINE Rectangle on_canvas(int height, int width) const {
    const int top = row > 0 ? row : 0, left = column > 0 ? column : 0;
    const int bottom = row + rows < height ? row + rows : height;
    const int right = column + columns < width ? column + columns : width;
    return {top, left, bottom - top, right - left};
  }
};

// Where its samples lie: none touches the frame; some may; each has all four of its source pixels
// in it, so that nothing has to be clamped; or that, without a mask.
enum class Where { kOutside, kAcross, kInside, kCovered };

// The bounds are widened by more than rounding can move a coordinate; NaN is kAcross, which is
// safe.
template <typename T>
COMPOSITOR_DEVICE_INLINE Where where_in_frame(const AffineMap<T>& map, const Sizes& size,
                                              const Rectangle& of) {
  const T half_x = T(of.columns - 1) / 2, half_y = T(of.rows - 1) / 2;
  const T x = T(of.column) - map.centre_x + half_x, y = T(of.row) - map.centre_y + half_y;
  const T far_x = (x < 0 ? -x : x) + half_x, far_y = (y < 0 ? -y : y) + half_y;
  const T epsilon = sizeof(T) == 8 ? T(0x1p-52) : T(0x1p-23);
  const auto along = [&](T a, T b, T c, int64_t length) {
    const T slope_x = a < 0 ? -a : a, slope_y = b < 0 ? -b : b;
    const T middle = a * x + (b * y + c);
    const T reach = slope_x * half_x + slope_y * half_y +
                    16 * epsilon * (1 + slope_x * far_x + slope_y * far_y + (c < 0 ? -c : c));
    const T low = middle - reach, high = middle + reach;
    if (high < -1 || low >= T(length)) return Where::kOutside;
    return low >= 0 && high < T(length - 1) ? Where::kInside : Where::kAcross;
  };
  const Where u = along(map.au, map.bu, map.cu, size.w);
  const Where v = along(map.av, map.bv, map.cv, size.h);
  return u < v ? u : v;
}
