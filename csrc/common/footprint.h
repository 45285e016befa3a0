// Which pixels of a canvas a layer can reach. Each kind of kernel includes this in its own unnamed
// namespace: the CPU compiles it once per instruction set.

// Rows and columns [y0, y1) x [x0, x1) of a plane.
struct Box {
  int y0, x0, y1, x1;
  COMPOSITOR_HOST_DEVICE bool empty() const { return y0 >= y1 || x0 >= x1; }
  COMPOSITOR_HOST_DEVICE int64_t area() const { return empty() ? 0 : int64_t{x1 - x0} * (y1 - y0); }
};

COMPOSITOR_HOST_DEVICE inline double magnitude(double value) { return value < 0 ? -value : value; }

// Canvas rows and columns outside which a layer's alpha is 0, of a mask that is 0 outside `box`.
// The box is widened by more than rounding can move a coordinate and carried through the inverse
// map.
template <typename T>
COMPOSITOR_HOST_DEVICE inline Box reach_on_canvas(const AffineMap<T>& map, const Box& box,
                                                  int height, int width, int radius) {
  const double au = map.au, bu = map.bu, cu = map.cu, av = map.av, bv = map.bv, cv = map.cv;
  const double across = width / 2.0 + radius, down = height / 2.0 + radius;
  const double epsilon = sizeof(T) == 8 ? 0x1p-52 : 0x1p-23;
  const auto slack = [&](double a, double b, double c, int side) {
    return 16 * epsilon * (1 + magnitude(a) * across + magnitude(b) * down + magnitude(c) + side);
  };
  const double slack_u = slack(au, bu, cu, box.x1), slack_v = slack(av, bv, cv, box.y1);
  const double u[2] = {box.x0 - 1 - slack_u, box.x1 + slack_u};
  const double v[2] = {box.y0 - 1 - slack_v, box.y1 + slack_v};
  const double determinant = au * bv - bu * av;
  const double huge = __builtin_huge_val();
  double x[2] = {huge, -huge}, y[2] = {huge, -huge};
  for (int corner = 0; corner < 4; ++corner) {
    const double du = u[corner & 1] - cu, dv = v[corner >> 1] - cv;
    const double at_x = (bv * du - bu * dv) / determinant;
    const double at_y = (au * dv - av * du) / determinant;
    // A map without an inverse: anywhere.
    if (!(at_x - at_x == 0 && at_y - at_y == 0)) return {0, 0, height, width};
    x[0] = at_x < x[0] ? at_x : x[0], x[1] = at_x > x[1] ? at_x : x[1];
    y[0] = at_y < y[0] ? at_y : y[0], y[1] = at_y > y[1] ? at_y : y[1];
  }
  const double grown = radius + 1;
  const auto clipped = [](double at, int side) {
    return at > 0 ? (at < side ? static_cast<int>(at) : side) : 0;
  };
  return {clipped(y[0] + map.centre_y - grown, height), clipped(x[0] + map.centre_x - grown, width),
          clipped(y[1] + map.centre_y + grown + 1, height),
          clipped(x[1] + map.centre_x + grown + 1, width)};
}
