// The backward of layers on one canvas: a sweep over its rows as the forward's, which keeps what
// lies under each layer within its own box, and then each layer's backward, the topmost first.
// Included once per instruction set.

template <typename S, bool kUnit>
class CanvasBackward {
  using T = typename Compute<S>::type;
  using Sweep = LayerSweep<S, kUnit>;

  // A layer, and the canvas under it.
  struct Kept {
    Kept(const RenderParams& p, const Layer& layer, Scratch& scratch)
        : sweep(p, layer, 0, p.height, scratch),
          room(sizeof(T) * p.channels * box().area()),
          under{room.data, 0, box().area(), box().x1 - box().x0, 1} {}

    const Box& box() const { return sweep.reach().canvas; }

    Sweep sweep;
    Buffer room;
    View under;
  };

 public:
  CanvasBackward(const RenderParams& p, int64_t image)
      : p_(p),
        n_(image),
        width_(p.width),
        height_(p.height),
        first_(p.begins[image]),
        kept_(sizeof(Kept*) * (p.begins[image + 1] - first_)),
        grad_(sizeof(T) * p.channels * width_ * height_),
        grad_view_{grad_.data, 0, int64_t{width_} * height_, width_, 1} {
    Scratch& scratch = Scratch::of_this_thread();
    for (int64_t l = first_; l < p.begins[image + 1]; ++l) {
      Kept* layer = new Kept(p, p.layers[l], scratch);
      if (layer->sweep.empty()) {
        delete layer;
      } else {
        kept()[count_++] = layer;
      }
    }
  }
  ~CanvasBackward() {
    for (int k = 0; k < count_; ++k) delete kept()[k];
  }
  CanvasBackward(const CanvasBackward&) = delete;
  CanvasBackward& operator=(const CanvasBackward&) = delete;

  void run() {
    keep();
    copy_canvas<S, T>(p_.grad_composite, n_, grad_view_, 0);
    while (count_ > 0) {
      Kept* top = kept()[--count_];
      if (top->sweep.layer().gain) {
        differentiate(*top, Tones<T>{top->sweep.layer().gain, top->sweep.layer().bias});
      } else {
        differentiate(*top, AllAsTheyAre{});
      }
      delete top;
    }
    if (p_.grad_background.data) copy_canvas<T, S>(grad_view_, 0, p_.grad_background, n_);
  }

 private:
  Kept** kept() const { return reinterpret_cast<Kept**>(kept_.data); }

  void keep() {
    PlanarRow<S, false> row(width_, p_.channels);
    for (int i = 0; i < height_; ++i) {
      Span met;
      for (int k = 0; k < count_; ++k) {
        if (kept()[k]->sweep.meets(i)) met = hull(met, columns(*kept()[k]));
      }
      if (met.empty()) continue;
      row.open(
          {plane<S>(p_.background, n_) + i * p_.background.y, p_.background.c, p_.background.x}, {},
          met);
      for (int k = 0; k < count_; ++k) {
        Kept& layer = *kept()[k];
        if (!layer.sweep.meets(i)) continue;
        const Span span = columns(layer);
        for (int64_t c = 0; c < p_.channels; ++c) {
          const T* from = row.view().data + c * row.view().c + span.begin;
          T* to = mutable_plane<T>(layer.under, 0, c) + (i - layer.box().y0) * layer.under.y;
          __builtin_memcpy(to, from, sizeof(T) * span.size());
        }
        // Nothing lies on the topmost layer.
        if (k + 1 < count_ && !layer.sweep.advance(i).empty()) layer.sweep.blend_into(i, row);
      }
    }
  }

  static Span columns(const Kept& layer) { return {layer.box().x0, layer.box().x1}; }

  // Adds to the gradients of one layer, with G and the canvas of its own box; G becomes that of
  // what lies under it.
  template <typename Toner>
  void differentiate(const Kept& kept, Toner tone) {
    const Layer& layer = kept.sweep.layer();
    const Box& box = kept.box();
    BlendParams local = kept.sweep.params();
    local.size.height = box.y1 - box.y0;
    local.taps = layer.taps;
    local.background = kept.under;
    local.grad_composite = grad_view_;
    local.grad_composite.data = plane_at(box);
    local.grad_background = local.grad_composite;
    const int64_t blocks = count_blocks(local.size.height);
    const Buffer partials(sizeof(double) * 6 * blocks);
    double* moments = reinterpret_cast<double*>(partials.data);
    if (p_.grad_theta) {
      __builtin_memset(moments, 0, sizeof(double) * 6 * blocks);
      local.theta_partials = moments;
    }
    if (p_.grad_gain) {
      local.grad_gain = p_.grad_gain + layer.number * p_.channels;
      local.grad_bias = p_.grad_bias + layer.number * p_.channels;
    }
    AffineMap<T> map = kept.sweep.reach().map;
    map.centre_y -= T(box.y0);  // exactly, as centre_x
    const Sums<T> to_foreground{static_cast<T*>(layer.grad_foreground), layer.size.h, layer.size.w};
    const Sums<T> to_mask{static_cast<T*>(layer.grad_mask), layer.size.h, layer.size.w};
    Backward<S, kUnit, T, Toner>(local, {0, 0, blocks}, map, tone, to_foreground, to_mask).run();
    if (!p_.grad_theta) return;
    for (int64_t block = 0; block < blocks; ++block) {
      for (int k = 0; k < 6; ++k) p_.grad_theta[6 * layer.number + k] += moments[6 * block + k];
    }
  }

  T* plane_at(const Box& box) const {
    return reinterpret_cast<T*>(grad_.data) + int64_t{box.y0} * width_ + box.x0;
  }

  template <typename From, typename To>
  void copy_canvas(const View& from, int64_t from_image, const View& to, int64_t to_image) const {
    for (int64_t c = 0; c < p_.channels; ++c) {
      for (int i = 0; i < height_; ++i) {
        const From* row = plane<From>(from, from_image, c) + i * from.y;
        To* out = mutable_plane<To>(to, to_image, c) + i * to.y;
        for (int j = 0; j < width_; ++j) store(out[j * to.x], T(load(row[j * from.x])));
      }
    }
  }

  const RenderParams& p_;
  const int64_t n_;
  const int width_, height_;
  const int64_t first_;
  Buffer kept_;
  Buffer grad_;  // G of what is under the layers still to come, (C, H, W)
  const View grad_view_;
  int count_ = 0;
};

// As its composite, every gradient of a canvas with a map that is not finite is NaN.
template <typename S>
void lose_gradients(const RenderParams& p, int64_t n) {
  using T = typename Compute<S>::type;
  const T nan = static_cast<T>(__builtin_nan(""));
  const auto lose = [](auto* values, int64_t count, auto value) {
    for (int64_t k = 0; values && k < count; ++k) values[k] = value;
  };
  if (p.grad_background.data) {
    fill<S>(p.grad_background, n, p.channels, 0, p.height, p.width, nan);
  }
  for (int64_t l = p.begins[n]; l < p.begins[n + 1]; ++l) {
    const Layer& layer = p.layers[l];
    const int64_t pixels = layer.size.h * layer.size.w;
    lose(static_cast<T*>(layer.grad_foreground), p.channels * pixels, nan);
    lose(static_cast<T*>(layer.grad_mask), pixels, nan);
    if (p.grad_theta) lose(p.grad_theta + 6 * layer.number, 6, double{nan});
    if (p.grad_gain) lose(p.grad_gain + p.channels * layer.number, p.channels, double{nan});
    if (p.grad_bias) lose(p.grad_bias + p.channels * layer.number, p.channels, double{nan});
  }
}

template <typename S, bool kUnit>
void render_backward(const RenderParams& p, const Task& task) {
  const int64_t n = task.image;
  for (int64_t l = p.begins[n]; l < p.begins[n + 1]; ++l) {
    if (!all_finite(p.layers[l].theta)) return lose_gradients<S>(p, n);
  }
  CanvasBackward<S, kUnit>(p, n).run();
}
