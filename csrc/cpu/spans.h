// Which pixels of a canvas row an object can touch. Included once per instruction set.

// Columns [begin, end).
struct Span {
  int begin = 0, end = 0;
  bool empty() const { return begin >= end; }
  int size() const { return end - begin; }
};

inline int min_of(int a, int b) { return a < b ? a : b; }
inline int max_of(int a, int b) { return a > b ? a : b; }

inline Span intersect(Span a, Span b) { return {max_of(a.begin, b.begin), min_of(a.end, b.end)}; }
inline Span grow(Span a, int by) { return a.empty() ? a : Span{a.begin - by, a.end + by}; }
inline Span hull(Span a, Span b) {
  if (a.empty()) return b;
  if (b.empty()) return a;
  return {min_of(a.begin, b.begin), max_of(a.end, b.end)};
}

// The map along one canvas row: u(j) = au (j - centre_x) + u0.
template <typename T>
struct RowMap {
  T au, u0, av, v0, centre_x;
};

template <typename T>
inline RowMap<T> row_map(const AffineMap<T>& map, int row) {
  const T y = static_cast<T>(row) - map.centre_y;
  return {map.au, map.bu * y + map.cu, map.av, map.bv * y + map.cv, map.centre_x};
}

// Columns of `within` where low <= a (j - centre) + offset <= high. The interval is widened
// (narrowed) by more than rounding can move a coordinate, so it holds all (only) such columns.
template <typename T>
inline Span solve(T a, T offset, T centre, double low, double high, bool widen, Span within) {
  const double slope = a, base = offset, middle = centre;
  const double left = __builtin_fabs(middle - within.begin),
               right = __builtin_fabs(middle - within.end);
  const double reach = __builtin_fabs(slope) * (left > right ? left : right) + __builtin_fabs(base);
  if (!(reach <= __builtin_huge_val() / 2)) return {};  // overflowed: outside, whatever the column
  const double epsilon = sizeof(T) == 8 ? 0x1p-52 : 0x1p-23;
  const double slack = 16 * epsilon * (1 + reach + __builtin_fabs(low) + __builtin_fabs(high));
  low += widen ? -slack : slack;
  high += widen ? slack : -slack;
  if (low > high || within.empty()) return {};
  // Most rows lie wholly on one side of each bound and need no division.
  const double first = slope * (within.begin - middle) + base;
  const double last = slope * (within.end - 1 - middle) + base;
  const double least = first < last ? first : last, most = first < last ? last : first;
  if (most < low || least > high) return {};
  if (least >= low && most <= high) return within;
  double from = (low - base) / slope + middle, to = (high - base) / slope + middle;
  if (slope < 0) {
    const double swap = from;
    from = to;
    to = swap;
  }
  from = widen ? __builtin_floor(from) : __builtin_ceil(from);
  to = widen ? __builtin_ceil(to) : __builtin_floor(to);
  // Compare as doubles first, since casting a value that int cannot hold is undefined.
  if (!(from < within.end && to >= within.begin)) return {};
  return {from > within.begin ? static_cast<int>(from) : within.begin,
          to < within.end - 1 ? static_cast<int>(to) + 1 : within.end};
}

// Columns whose sample can read a pixel of `box`: -1 + x0 <= u < x1, v alike.
template <typename T>
inline Span touching(const RowMap<T>& row, const Box& box, Span within) {
  within = solve(row.au, row.u0, row.centre_x, box.x0 - 1, box.x1, true, within);
  return solve(row.av, row.v0, row.centre_x, box.y0 - 1, box.y1, true, within);
}

// Columns all four of whose source pixels are in the frame: no bounds to check.
template <typename T>
inline Span inside(const RowMap<T>& row, int h, int w, Span within) {
  within = solve(row.au, row.u0, row.centre_x, 0, w - 1, false, within);
  return solve(row.av, row.v0, row.centre_x, 0, h - 1, false, within);
}
