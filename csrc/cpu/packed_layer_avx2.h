// As PlanarRow and LayerSweep, of packed pixels.

// A canvas row in four floats a pixel, while layers are blended into it.
class PackedRow {
 public:
  PackedRow(int width, int64_t channels)
      : channels_(channels), room_(sizeof(float) * kPacked * (width + kLanes)) {}

  float* data() const { return reinterpret_cast<float*>(room_.data); }

  // Takes a part of the background's row.
  void open(RowView<const Byte> from, RowView<Byte>, Span span) const {
    int j = span.begin;
    for (; from.x == 1 && j + kLanes <= span.end; j += kLanes) {
      const __m128i none = _mm_setzero_si128();
      const auto eight = [&](int64_t c) {
        const Byte* row = from.data + c * from.c + j;
        return c < channels_ ? _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row)) : none;
      };
      const __m128i low = _mm_unpacklo_epi8(eight(0), eight(1));
      const __m128i high = _mm_unpacklo_epi8(eight(2), none);
      float* out = data() + kPacked * j;
      for (const __m128i four : {_mm_unpacklo_epi16(low, high), _mm_unpackhi_epi16(low, high)}) {
        const __m128i last = _mm_unpackhi_epi64(four, four);
        _mm256_storeu_ps(out, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(four)));
        _mm256_storeu_ps(out + 8, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(last)));
        out += 16;
      }
    }
    for (; j < span.end; ++j) {
      float* out = data() + kPacked * j;
      _mm_storeu_ps(out, _mm_setzero_ps());
      for (int64_t c = 0; c < channels_; ++c) out[c] = load(from.data[c * from.c + j * from.x]);
    }
  }

  // Gives it to the composite's row.
  void close(RowView<Byte> to, Span span) const {
    const __m256i by_channel = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const __m256i halves_joined = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    int j = span.begin;
    for (; to.x == 1 && j + kLanes <= span.end; j += kLanes) {
      const float* from = data() + kPacked * j;
      // Pixels k and k + 4: to pack is to work within halves.
      const auto words = [&](int k) {
        const __m256 both = _mm256_set_m128(_mm_loadu_ps(from + kPacked * (k + 4)),
                                            _mm_loadu_ps(from + kPacked * k));
        return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_set1_ps(255), both));
      };
      const __m256i pixels = _mm256_packus_epi16(_mm256_packs_epi32(words(0), words(1)),
                                                 _mm256_packs_epi32(words(2), words(3)));
      const __m256i fours = _mm256_shuffle_epi8(pixels, by_channel);
      alignas(32) char eights[32];
      _mm256_store_si256(reinterpret_cast<__m256i*>(eights),
                         _mm256_permutevar8x32_epi32(fours, halves_joined));
      for (int64_t c = 0; c < channels_; ++c) {
        __builtin_memcpy(to.data + c * to.c + j, eights + 8 * c, 8);
      }
    }
    for (; j < span.end; ++j) {
      for (int64_t c = 0; c < channels_; ++c) {
        store(to.data[c * to.c + j * to.x], data()[kPacked * j + c]);
      }
    }
  }

 private:
  const int64_t channels_;
  Buffer room_;
};

// The last radius + 1 rows' colours, by row number.
class ColourRing {
 public:
  ColourRing(int width, int radius)
      : margin_(radius + kLanes),
        stride_(kPacked * (width + 2 * margin_)),
        slots_(power_of_two(radius + 1)),
        room_(sizeof(float) * stride_ * slots_),
        spans_(sizeof(Span) * slots_) {}

  float* row(int number) const {
    return reinterpret_cast<float*>(room_.data) + stride_ * slot(number) + kPacked * margin_;
  }
  // The columns that it holds.
  Span& span(int number) const { return reinterpret_cast<Span*>(spans_.data)[slot(number)]; }

 private:
  int slot(int number) const { return number & (slots_ - 1); }

  const int margin_;
  const int64_t stride_;
  const int slots_;
  Buffer room_, spans_;
};

class PackedSweep {
 public:
  PackedSweep(const RenderParams& p, const Layer& layer, int first, int last, Scratch& scratch)
      : layer_(layer),
        channels_(p.channels),
        threshold_(p.threshold),
        reach_(layer.mask.x == 1 ? find_reach<Byte, true>(layer, first, last, false)
                                 : find_reach<Byte, false>(layer, first, last, false)),
        width_(reach_.canvas.x1 - reach_.canvas.x0),
        pixels_(layer, p.channels, reach_.source(layer), reach_.canvas.area(), scratch),
        taps_(layer.taps, layer.radius),
        rows_(width_, layer.radius, 2, sizeof(float)),
        s_(rows_.take<float>()),
        alpha_(rows_.take<float>()),
        blurred_(width_, layer.radius),
        colours_(width_, layer.radius),
        next_(reach_.canvas.y0 - layer.radius) {}

  bool empty() const { return reach_.canvas.empty(); }
  bool meets(int row) const { return row >= reach_.canvas.y0 && row < reach_.canvas.y1; }

  Span advance(int row) {
    for (; next_ <= row + layer_.radius; ++next_) push(next_);
    shown_ = blur_window(blurred_, row, taps_.values(), layer_.radius, taps_.window(), {0, width_},
                         alpha_);
    return span();
  }

  Span span() const {
    const int x0 = reach_.canvas.x0;
    return shown_.empty() ? Span{} : Span{shown_.begin + x0, shown_.end + x0};
  }
  const float* alpha() const { return alpha_ - reach_.canvas.x0; }
  int32_t number() const { return layer_.number; }

  void blend_into(int row, const PackedRow& to) {
    const float* colours = colours_at(row);
    float* out = to.data() + kPacked * reach_.canvas.x0;
    if (layer_.gain) {
      blend_pixels(colours, out, Tone<Lanes>{tone(layer_.gain), tone(layer_.bias)});
    } else {
      blend_pixels(colours, out, AsItIs{});
    }
  }

 private:
  // Takes row `number`, which may lie beyond the canvas: its colours, and its mask into the window.
  void push(int number) {
    const RowMap<float> row = row_map(reach_.map, number);
    const int radius = layer_.radius;
    const Span touched = touching(row, reach_.box, {-radius, width_ + radius});
    float* colours = colours_.row(number);
    colours_.span(number) = touched;
    Span covered;
    if (!touched.empty()) {
      pixels_.sample(row, touched, colours, s_);
      ramp_row(s_, threshold_, kOne<Byte>, touched);
      covered = trim(s_, touched);
    }
    push_blurred(blurred_, number, s_, covered, taps_.values(), radius, taps_.window(),
                 {0, width_});
  }

  // The colours of a row wherever its alpha is not 0; what the blur reached is sampled only now.
  const float* colours_at(int number) {
    const RowMap<float> row = row_map(reach_.map, number);
    const Span held = colours_.span(number);
    float* colours = colours_.row(number);
    if (held.empty()) {
      pixels_.sample(row, shown_, colours, nullptr);
    } else {
      pixels_.sample(row, {shown_.begin, min_of(held.begin, shown_.end)}, colours, nullptr);
      pixels_.sample(row, {max_of(held.end, shown_.begin), shown_.end}, colours, nullptr);
    }
    return colours;
  }

  // Two pixels at a time; behind the shown ones only alpha, which is 0 there, is read.
  template <typename Toned>
  void blend_pixels(const float* colours, float* out, Toned toned) const {
    const Lanes one = _mm256_set1_ps(1), zero = _mm256_setzero_ps();
    for (int j = shown_.begin; j < shown_.end; j += kLanes) {
      const int left = shown_.end - j, count = min_of(left, kLanes);
      const Lanes alpha = _mm256_maskload_ps(alpha_ + j, first_lanes(count));
      const bool opaque = _mm256_movemask_ps(_mm256_cmp_ps(alpha, one, _CMP_EQ_OQ)) == 0xff;
      for (int k = 0; k < count; k += 2) {
        const __m256i pair =
            _mm256_add_epi32(_mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1), _mm256_set1_epi32(k));
        float* to = out + kPacked * (j + k);
        const __m256 f = toned(_mm256_loadu_ps(colours + kPacked * (j + k)));
        if (opaque) {
          _mm256_storeu_ps(to, f);
          continue;
        }
        const __m256 a = _mm256_permutevar8x32_ps(alpha, pair), behind = _mm256_loadu_ps(to);
        const __m256 hidden = _mm256_cmp_ps(a, zero, _CMP_EQ_OQ);
        _mm256_storeu_ps(to, _mm256_blendv_ps(mix(a, f, behind), behind, hidden));
      }
    }
  }

  // For two pixels.
  __m256 tone(const double* values) const {
    float lanes[kPacked] = {};
    for (int64_t c = 0; c < channels_; ++c) lanes[c] = static_cast<float>(values[c]);
    return _mm256_broadcast_ps(reinterpret_cast<const __m128*>(lanes));
  }

  const Layer& layer_;
  const int64_t channels_;
  const float threshold_;
  const Reach<float> reach_;
  const int width_;
  const PackedPixels pixels_;
  Taps<float> taps_;
  Rows rows_;
  float *s_, *alpha_;
  Ring<float> blurred_;
  ColourRing colours_;
  int next_;  // the row to push
  Span shown_;
};
