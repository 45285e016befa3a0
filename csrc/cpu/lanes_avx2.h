// Passes over rows of float32, eight columns at a time, the last few masked: GCC would take those
// one by one, and most rows of an object are short. Included before the passes that they stand in
// for.

constexpr int kLanes = 8;
typedef float Lanes __attribute__((vector_size(4 * kLanes)));

// All bits set in the first `count` lanes.
inline __m256i first_lanes(int count) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane);
}

inline Lanes columns_from(int j) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cvtepi32_ps(_mm256_add_epi32(_mm256_set1_epi32(j), lane));
}

// Eight values in the computation type, and back.
inline Lanes widen(__m128i bits, BFloat16) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}
inline Lanes widen(__m128i bits, Float16) { return _mm256_cvtph_ps(bits); }

inline __m128i narrow(Lanes value, BFloat16) {  // as store() does
  const __m256i word = _mm256_castps_si256(value);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(word, 16), _mm256_set1_epi32(1));
  const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(word, half), 16);
  const __m256i lost = _mm256_castps_si256(_mm256_cmp_ps(value, value, _CMP_UNORD_Q));
  const __m256i bits = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7FC0), lost);
  return _mm_packus_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
}
inline __m128i narrow(Lanes value, Float16) {
  return _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

// The first so many of eight halves: in pairs, as AVX2 masks no less than 32 bits, and an odd last.
inline int count_of(__m256i wanted) {
  return __builtin_popcount(_mm256_movemask_ps(_mm256_castsi256_ps(wanted)));
}
inline __m128i pairs_of(int count) {
  return _mm_cmpgt_epi32(_mm_set1_epi32(count / 2), _mm_setr_epi32(0, 1, 2, 3));
}

template <bool kWhole, typename S>
inline Lanes load_lanes(const S* from, __m256i wanted) {
  if constexpr (sizeof(S) == 4) {
    return kWhole ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, wanted);
  } else {
    if constexpr (kWhole)
      return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)), S{});
    const int count = count_of(wanted);
    __m128i bits = _mm_maskload_epi32(reinterpret_cast<const int*>(from), pairs_of(count));
    if (count & 1) {
      const __m128i last = _mm_cmpeq_epi16(_mm_set1_epi16(static_cast<int16_t>(count - 1)),
                                           _mm_setr_epi16(0, 1, 2, 3, 4, 5, 6, 7));
      const int16_t value = static_cast<int16_t>(from[count - 1]);
      bits = _mm_blendv_epi8(bits, _mm_set1_epi16(value), last);
    }
    return widen(bits, S{});
  }
}

template <bool kWhole, typename S>
inline void store_lanes(S* to, Lanes value, __m256i wanted) {
  if constexpr (sizeof(S) == 4) {
    kWhole ? _mm256_storeu_ps(to, value) : _mm256_maskstore_ps(to, wanted, value);
  } else {
    const __m128i bits = narrow(value, S{});
    if constexpr (kWhole) return _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bits);
    const int count = count_of(wanted);
    _mm_maskstore_epi32(reinterpret_cast<int*>(to), pairs_of(count), bits);
    alignas(16) S some[kLanes];
    _mm_store_si128(reinterpret_cast<__m128i*>(some), bits);
    if (count & 1) to[count - 1] = some[count - 1];
  }
}

// Calls step.template operator()<kWhole>(j, wanted lanes) along the span.
template <typename Step>
inline void in_blocks(Span span, Step&& step) {
  int j = span.begin;
  const __m256i all = _mm256_set1_epi32(-1);
  for (; j + kLanes <= span.end; j += kLanes) step.template operator()<true>(j, all);
  if (j < span.end) step.template operator()<false>(j, first_lanes(span.end - j));
}

// As the other trim, by the bits of the lanes that are not zero. In the last block these may lie
// beyond the span, whose begin is then past its end: it is empty.
inline Span trim(const float* row, Span span) {
  const auto nonzero = [row](int j) {
    const __m256 lanes = _mm256_loadu_ps(row + j);
    return _mm256_movemask_ps(_mm256_cmp_ps(lanes, _mm256_setzero_ps(), _CMP_NEQ_UQ));
  };
  for (; !span.empty(); span.begin += kLanes) {
    const int bits = nonzero(span.begin);
    if (!bits) continue;
    span.begin += __builtin_ctz(bits);
    break;
  }
  // If anything is left, it holds a nonzero lane, so the loops cannot cross.
  for (; !span.empty(); span.end -= kLanes) {
    const int bits = nonzero(span.end - kLanes);
    if (!bits) continue;
    span.end -= __builtin_clz(bits) - (32 - kLanes);
    break;
  }
  return span;
}

// As the other blur_fixed.
template <int kRadius>
__attribute__((noinline)) static void blur_fixed(const float* const* rows, const float* taps,
                                                 float* __restrict out, Span span) {
  in_blocks(span, [&]<bool kWhole>(int j, __m256i wanted) {
    Lanes total = taps[0] * _mm256_loadu_ps(rows[kRadius] + j);
    for (int k = 1; k <= kRadius; ++k) {
      total += taps[k] *
               (_mm256_loadu_ps(rows[kRadius - k] + j) + _mm256_loadu_ps(rows[kRadius + k] + j));
    }
    store_lanes<kWhole>(out + j, total, wanted);
  });
}

// As the other own_row.
__attribute__((noinline)) static int own_row(const float* __restrict alpha,
                                             int32_t* __restrict owner, int32_t number, Span span) {
  const __m256i mine = _mm256_set1_epi32(number);
  int covered = 0;
  in_blocks(span, [&]<bool kWhole>(int j, __m256i wanted) {
    const Lanes solid = _mm256_cmp_ps(_mm256_loadu_ps(alpha + j), _mm256_set1_ps(0.5f), _CMP_GT_OQ);
    const __m256i taken = _mm256_and_si256(_mm256_castps_si256(solid), wanted);
    _mm256_maskstore_epi32(owner + j, taken, mine);
    covered += __builtin_popcount(_mm256_movemask_ps(_mm256_castsi256_ps(taken)));
  });
  return covered;
}
