// A cut-out of bytes, with AVX2: colours and mask of a pixel in one word, so that a sample of all
// four takes two loads.

constexpr int kPacked = 4;  // three colours and the mask

// Pixels [x0, x1) x [y0, y1) of a cut-out; beyond its frame they go on as at its edge, with mask 0.
class PackedPixels {
 public:
  // They are packed once for `samples` samples, unless that is more work than it saves.
  PackedPixels(const Layer& layer, int64_t channels, const Box& part, int64_t samples,
               Scratch& scratch)
      : layer_(layer),
        channels_(channels),
        part_(part),
        words_(part.area() <= kWorthIt * samples
                   ? reinterpret_cast<uint32_t*>(scratch.take(sizeof(uint32_t) * part.area()))
                   : nullptr) {
    if (!words_) return;
    uint32_t* to = words_;
    for (int y = part.y0; y < part.y1; ++y, to += width()) pack_row(y, to - part.x0);
  }

  // The colours of canvas columns `span` of a row, and the masks where wanted, in levels. Up to
  // seven columns behind the span are written too.
  void sample(const RowMap<float>& row, Span span, float* colours, float* masks) const {
    if (words_) {
      masks ? sample_row<true, true>(row, span, colours, masks)
            : sample_row<true, false>(row, span, colours, masks);
    } else {
      masks ? sample_row<false, true>(row, span, colours, masks)
            : sample_row<false, false>(row, span, colours, masks);
    }
  }

 private:
  static constexpr int64_t kWorthIt = 16;  // pixels packed for a sample, at most

  int width() const { return part_.x1 - part_.x0; }

  static __m256 two_pixels(const uint32_t* from) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
  }

  // The left and the right pixel of a sample, each between the upper and the lower row.
  template <bool kWords>
  __m256 between_rows(int32_t at, int32_t x, int32_t y, const float* t) const {
    uint32_t corners[4];
    const uint32_t* from = corners;
    if constexpr (kWords) {
      from = words_ + at;
    } else {
      for (int n = 0; n < 4; ++n) corners[n] = word(x + (n & 1), y + (n >> 1));
    }
    const __m256 top = two_pixels(from), bottom = two_pixels(from + (kWords ? width() : 2));
    return top + _mm256_broadcast_ss(t) * (bottom - top);
  }

  template <bool kWords, bool kMasks>
  __attribute__((noinline)) void sample_row(RowMap<float> row, Span span, float* colours,
                                            float* masks) const {
    const Lanes least_u = _mm256_set1_ps(part_.x0), most_u = _mm256_set1_ps(part_.x1 - 2);
    const Lanes least_v = _mm256_set1_ps(part_.y0), most_v = _mm256_set1_ps(part_.y1 - 2);
    const __m256i step = _mm256_set1_epi32(width());
    alignas(32) int32_t at[kLanes], x0[kLanes], y0[kLanes];
    alignas(32) float tx[kLanes], ty[kLanes];
    for (int j = span.begin; j < span.end; j += kLanes) {
      const Lanes x = columns_from(j) - row.centre_x;
      // NaN takes the second operand.
      const Lanes u = _mm256_min_ps(_mm256_max_ps(row.au * x + row.u0, least_u), most_u);
      const Lanes v = _mm256_min_ps(_mm256_max_ps(row.av * x + row.v0, least_v), most_v);
      const Lanes left = _mm256_floor_ps(u), upper = _mm256_floor_ps(v);
      _mm256_store_ps(tx, u - left);
      _mm256_store_ps(ty, v - upper);
      if constexpr (kWords) {
        const __m256i down = _mm256_cvttps_epi32(upper - least_v);
        const __m256i across = _mm256_cvttps_epi32(left - least_u);
        _mm256_store_si256(reinterpret_cast<__m256i*>(at),
                           _mm256_add_epi32(_mm256_mullo_epi32(down, step), across));
      } else {
        _mm256_store_si256(reinterpret_cast<__m256i*>(x0), _mm256_cvttps_epi32(left));
        _mm256_store_si256(reinterpret_cast<__m256i*>(y0), _mm256_cvttps_epi32(upper));
      }
      __m256 pairs[kLanes / 2];
#pragma GCC unroll 4
      for (int k = 0; k < kLanes; k += 2) {
        const __m256 one = between_rows<kWords>(at[k], x0[k], y0[k], ty + k);
        const __m256 other = between_rows<kWords>(at[k + 1], x0[k + 1], y0[k + 1], ty + k + 1);
        const __m256 first = _mm256_permute2f128_ps(one, other, 0x20);
        const __m256 second = _mm256_permute2f128_ps(one, other, 0x31);
        const __m256 t =
            _mm256_blend_ps(_mm256_broadcast_ss(tx + k), _mm256_broadcast_ss(tx + k + 1), 0xF0);
        pairs[k / 2] = first + t * (second - first);
        _mm256_storeu_ps(colours + kPacked * (j + k), pairs[k / 2]);
      }
      if constexpr (kMasks) {
        const __m256 low = _mm256_shuffle_ps(pairs[0], pairs[1], 0xFF);
        const __m256 high = _mm256_shuffle_ps(pairs[2], pairs[3], 0xFF);
        const __m256i in_turn = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        _mm256_storeu_ps(masks + j,
                         _mm256_permutevar8x32_ps(_mm256_shuffle_ps(low, high, 0x88), in_turn));
      }
    }
  }

  const Byte* colour(int64_t channel, int64_t y) const {
    return plane<Byte>(layer_.foreground, 0, channel) + y * layer_.foreground.y;
  }

  // One pixel, in the frame or beyond it.
  uint32_t word(int x, int y) const {
    const int h = layer_.size.h, w = layer_.size.w;
    const int cx = min_of(max_of(x, 0), w - 1), cy = min_of(max_of(y, 0), h - 1);
    uint32_t cover = 255;
    if (cx != x || cy != y) {
      cover = 0;
    } else if (layer_.mask.data) {
      const Byte* row = plane<Byte>(layer_.mask, 0) + y * layer_.mask.y;
      cover = static_cast<uint8_t>(row[x * layer_.mask.x]);
    }
    uint32_t packed = cover << 24;
    for (int64_t c = 0; c < channels_; ++c) {
      packed |= static_cast<uint32_t>(colour(c, cy)[cx * layer_.foreground.x]) << (8 * c);
    }
    return packed;
  }

  // `to` stands at source column 0.
  void pack_row(int y, uint32_t* to) const {
    const int h = layer_.size.h, w = layer_.size.w;
    int x = part_.x0;
    for (; x < min_of(part_.x1, 0); ++x) to[x] = word(x, y);
    if (layer_.foreground.x == 1 && (!layer_.mask.data || layer_.mask.x == 1)) {
      const int64_t cy = min_of(max_of(y, 0), h - 1);
      const Byte* mask =
          layer_.mask.data ? plane<Byte>(layer_.mask, 0) + cy * layer_.mask.y : nullptr;
      const __m128i none = _mm_setzero_si128(), all = _mm_set1_epi8(-1);
      const int end = min_of(part_.x1, w);
      // The last eight may overlap those before.
      for (; x < end && end - max_of(part_.x0, 0) >= kLanes; x += kLanes) {
        x = min_of(x, end - kLanes);
        const auto eight = [&](int64_t c) {
          return c < channels_
                     ? _mm_loadl_epi64(reinterpret_cast<const __m128i*>(colour(c, cy) + x))
                     : none;
        };
        __m128i cover = mask ? _mm_loadl_epi64(reinterpret_cast<const __m128i*>(mask + x)) : all;
        if (cy != y) cover = none;
        const __m128i low = _mm_unpacklo_epi8(eight(0), eight(1));
        const __m128i high = _mm_unpacklo_epi8(eight(2), cover);
        __m128i* out = reinterpret_cast<__m128i*>(to + x);
        _mm_storeu_si128(out, _mm_unpacklo_epi16(low, high));
        _mm_storeu_si128(out + 1, _mm_unpackhi_epi16(low, high));
      }
    }
    for (; x < part_.x1; ++x) to[x] = word(x, y);
  }

  const Layer& layer_;
  const int64_t channels_;
  const Box part_;
  uint32_t* const words_;  // null: not packed
};
