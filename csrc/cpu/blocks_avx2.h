// The inner loops computed in float32, eight pixels at a time. They keep the gathered pixels in
// registers, where the row passes write them to row buffers and read them again. All source pixels
// of a span are in the frame.

struct BlockSamples {
  alignas(32) int32_t at[kLanes];  // offsets of the upper left source pixels
  Lanes tx, ty;
};

// Where the samples of columns j .. j + 7 lie; lanes that are not wanted read the first pixel.
inline BlockSamples locate_block(const RowMap<float>& row, int sy, Lanes x, __m256i wanted) {
  const Lanes u = row.au * x + row.u0, v = row.av * x + row.v0;
  const __m256i x0 = _mm256_cvttps_epi32(u), y0 = _mm256_cvttps_epi32(v);
  const __m256i at = _mm256_add_epi32(_mm256_mullo_epi32(y0, _mm256_set1_epi32(sy)), x0);
  BlockSamples samples;
  _mm256_store_si256(reinterpret_cast<__m256i*>(samples.at), _mm256_and_si256(at, wanted));
  samples.tx = u - _mm256_cvtepi32_ps(x0);
  samples.ty = v - _mm256_cvtepi32_ps(y0);
  return samples;
}

// Two neighbouring pixels of two samples, by moves, since an insertion takes two micro-operations.
inline __m128 two_pairs(const float* a, const float* b) {
  const __m128 first = _mm_loadl_pi(_mm_setzero_ps(), reinterpret_cast<const __m64*>(a));
  return _mm_loadh_pi(first, reinterpret_cast<const __m64*>(b));
}

// The left and the right pixels of eight samples.
inline Pair<Lanes> gather_pairs(const float* plane, const int32_t* at) {
  const Lanes even = _mm256_set_m128(two_pairs(plane + at[4], plane + at[5]),
                                     two_pairs(plane + at[0], plane + at[1]));
  const Lanes odd = _mm256_set_m128(two_pairs(plane + at[6], plane + at[7]),
                                    two_pairs(plane + at[2], plane + at[3]));
  return {_mm256_shuffle_ps(even, odd, 0x88), _mm256_shuffle_ps(even, odd, 0xDD)};
}

template <typename S>
constexpr bool kIsBFloat16 = false;
template <>
constexpr bool kIsBFloat16<BFloat16> = true;

// Of halves both pixels of a sample are one word.
template <typename S>
inline Pair<Lanes> gather_pairs(const S* plane, const int32_t* at) {
  const auto word = [&](int k) {
    int32_t pair;
    __builtin_memcpy(&pair, plane + at[k], sizeof(pair));
    return pair;
  };
  const __m256i words =
      _mm256_setr_epi32(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7));
  if constexpr (kIsBFloat16<S>) {
    return {_mm256_castsi256_ps(_mm256_slli_epi32(words, 16)),
            _mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32(0xFFFF0000)))};
  }
  const __m256i left = _mm256_and_si256(words, _mm256_set1_epi32(0xFFFF));
  const __m256i right = _mm256_srli_epi32(words, 16);
  // Packed within halves: the middle two quarters change places.
  const __m256i both = _mm256_permute4x64_epi64(_mm256_packus_epi32(left, right), 0xD8);
  return {widen(_mm256_castsi256_si128(both), S{}), widen(_mm256_extracti128_si256(both, 1), S{})};
}
// A pixel of weight 0 shows here if it is not finite, but then neither is the sample: the row
// passes do such a part of a row over.
template <typename S>
inline Bilinear<Lanes> gather_block(const S* plane, int64_t sy, const BlockSamples& samples) {
  const Pair<Lanes> top = gather_pairs(plane, samples.at);
  const Pair<Lanes> bottom = gather_pairs(plane + sy, samples.at);
  return bilinear<false, Lanes>(top.left, top.right, bottom.left, bottom.right, samples.tx,
                                samples.ty);
}

// Whether all samples are finite: 0 times each of them, the cheapest test in a loop, adds up to 0.
inline bool all_finite(Lanes nothing) {
  const __m256 nonzero = _mm256_cmp_ps(nothing, _mm256_setzero_ps(), _CMP_NEQ_UQ);
  return _mm256_testz_ps(nonzero, nonzero);
}

// Does what gather_row and cover_row do. Returns whether all samples are finite.
template <bool kSlopes, typename S>
__attribute__((noinline)) static bool cover_blocks(const S* mask, int sy, RowMap<float> row,
                                                   Span span, float threshold,
                                                   bool straight_through, float* s, float* slope_u,
                                                   float* slope_v) {
  const float range = 1 - threshold;
  const Lanes zero = _mm256_setzero_ps(), one = _mm256_set1_ps(1);
  const Lanes limit = _mm256_set1_ps(threshold);
  const Lanes above = _mm256_set1_ps(straight_through ? 1 : 1 / range);
  const Lanes below = _mm256_set1_ps(straight_through ? 1 : 0);
  Lanes nothing = zero;
  in_blocks(span, [&]<bool kWhole>(int j, __m256i wanted) {
    const BlockSamples samples = locate_block(row, sy, columns_from(j) - row.centre_x, wanted);
    const Bilinear<Lanes> m = gather_block(mask, sy, samples);
    nothing += zero * m.value;
    // Of two operands one of which is NaN, these take the second: NaN stays NaN.
    const Lanes ramp = (_mm256_min_ps(one, m.value) - limit) / range;
    store_lanes<kWhole>(s + j, _mm256_max_ps(zero, ramp), wanted);
    if constexpr (kSlopes) {
      const Lanes over = _mm256_cmp_ps(m.value, limit, _CMP_GT_OQ);
      const Lanes within = _mm256_cmp_ps(m.value, one, _CMP_LE_OQ);
      const Lanes gain = _mm256_blendv_ps(below, above, _mm256_and_ps(over, within));
      store_lanes<kWhole>(slope_u + j, gain * m.along_x, wanted);
      store_lanes<kWhole>(slope_v + j, gain * m.along_y, wanted);
    }
  });
  return all_finite(nothing);
}

// Does what gather_row and blend_row do, for all channels, whose strides are given; `tone(c)` is
// applied to the colours. Prefetches what lies `below` elements behind `behind`. Returns whether
// all samples are finite.
template <typename S, typename B, typename Toner>
__attribute__((noinline)) static bool blend_blocks(const S* foreground, int64_t next_foreground,
                                                   int sy, RowMap<float> row, const float* alpha,
                                                   const B* behind, int64_t next_behind, B* out,
                                                   int64_t next_out, int64_t channels, Span span,
                                                   int64_t below, Toner tone) {
  const Lanes zero = _mm256_setzero_ps();
  Lanes nothing = zero;
  in_blocks(span, [&]<bool kWhole>(int j, __m256i wanted) {
    const BlockSamples samples = locate_block(row, sy, columns_from(j) - row.centre_x, wanted);
    const Lanes a = _mm256_loadu_ps(alpha + j);
    const Lanes hidden = _mm256_cmp_ps(a, zero, _CMP_EQ_OQ);
    const S* colour = foreground;
    const B* from = behind + j;
    B* to = out + j;
    for (int64_t c = 0; c < channels; ++c) {
      const Lanes sample = gather_block(colour, sy, samples).value;
      nothing += zero * sample;
      const Lanes f = tone(c)(sample);
      const Lanes b = load_lanes<kWhole>(from, wanted);
      __builtin_prefetch(from + below);
      store_lanes<kWhole>(to, _mm256_blendv_ps(mix(a, f, b), b, hidden), wanted);
      colour += next_foreground, from += next_behind, to += next_out;
    }
  });
  return all_finite(nothing);
}

// The sums of weight and of weight x over the lanes of all blocks, in float64.
struct LaneSums {
  __m256d plain, by_x;

  void add(Lanes weight, Lanes x) {
    add(_mm256_cvtps_pd(_mm256_castps256_ps128(weight)), _mm256_castps256_ps128(x));
    add(_mm256_cvtps_pd(_mm256_extractf128_ps(weight, 1)), _mm256_extractf128_ps(x, 1));
  }
  void add(__m256d weight, __m128 x) {
    plain += weight;
    by_x += weight * _mm256_cvtps_pd(x);
  }
  static double total(__m256d lanes) { return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]); }
};

// Does what gather_row and colour_slopes_row do, for all channels, and then add_products. Returns
// whether all samples are finite; if not, `sums` is unchanged.
template <typename S, typename B, typename Toner>
__attribute__((noinline)) static bool slope_blocks(const BlendParams& p, int64_t image, int i,
                                                   RowMap<float> row, const float* alpha,
                                                   float* grad_alpha, Span span, Toner tone,
                                                   RowSums& sums) {
  const S* foreground = plane<S>(p.foreground, image);
  const B* background = plane<B>(p.background, image) + i * p.background.y;
  const B* grad = plane<B>(p.grad_composite, image) + i * p.grad_composite.y;
  const int sy = static_cast<int>(p.foreground.y);
  const bool more = i + kRowsAhead < p.size.height;
  const int64_t below = more ? kRowsAhead * p.background.y : 0;
  const int64_t below_grad = more ? kRowsAhead * p.grad_composite.y : 0;
  const Lanes zero = _mm256_setzero_ps();
  LaneSums u{}, v{};
  Lanes nothing = zero;
  in_blocks(span, [&]<bool kWhole>(int j, __m256i wanted) {
    const Lanes x = columns_from(j) - row.centre_x;
    const BlockSamples samples = locate_block(row, sy, x, wanted);
    const Lanes a = _mm256_loadu_ps(alpha + j);
    const Lanes shown = _mm256_cmp_ps(a, zero, _CMP_NEQ_UQ);
    Lanes pull = zero, along_u = zero, along_v = zero;
    const S* colour = foreground;
    const B *behind = background + j, *upstream = grad + j;
    for (int64_t c = 0; c < p.channels; ++c) {
      const Bilinear<Lanes> f = gather_block(colour, sy, samples);
      const Lanes b = load_lanes<kWhole>(behind, wanted);
      const Lanes g = load_lanes<kWhole>(upstream, wanted);
      __builtin_prefetch(behind + below);
      __builtin_prefetch(upstream + below_grad);
      nothing += zero * f.value;
      const auto toned = tone(c);
      pull += g * (toned(f.value) - b);
      along_u += g * toned.slope(f.along_x);
      along_v += g * toned.slope(f.along_y);
      colour += p.foreground.c, behind += p.background.c, upstream += p.grad_composite.c;
    }
    store_lanes<kWhole>(grad_alpha + j, pull, wanted);
    const Lanes counted = _mm256_and_ps(shown, _mm256_castsi256_ps(wanted));
    u.add(_mm256_and_ps(a * along_u, counted), x);
    v.add(_mm256_and_ps(a * along_v, counted), x);
  });
  if (!all_finite(nothing)) return false;
  sums.u += LaneSums::total(u.plain), sums.ux += LaneSums::total(u.by_x);
  sums.v += LaneSums::total(v.plain), sums.vx += LaneSums::total(v.by_x);
  return true;
}
