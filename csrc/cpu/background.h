// The background where there is no object. Included once per instruction set.

// Like memcpy, but bypasses the caches when writing.
inline void copy_past_caches(char* to, const char* from, int64_t bytes) {
#ifdef COMPOSITOR_AVX2
  constexpr int64_t kLine = 64, kWorthIt = 8 * kLine;  // a few whole lines, two partial ones
  if (bytes >= kWorthIt) {
    const int64_t head = -reinterpret_cast<uintptr_t>(to) % kLine;
    __builtin_memcpy(to, from, head);
    to += head, from += head, bytes -= head;
    for (; bytes >= kLine; bytes -= kLine, to += kLine, from += kLine) {
      const __m256i* lanes = reinterpret_cast<const __m256i*>(from);
      const __m256i low = _mm256_loadu_si256(lanes), high = _mm256_loadu_si256(lanes + 1);
      _mm256_stream_si256(reinterpret_cast<__m256i*>(to), low);
      _mm256_stream_si256(reinterpret_cast<__m256i*>(to) + 1, high);
    }
  }
#endif
  __builtin_memcpy(to, from, bytes);
}

// Copies it in runs: from one object row's end to the next one's start in one piece.
template <typename S, bool kUnit>
class BackgroundCopy {
 public:
  BackgroundCopy(const BlendParams& p, int64_t image, int64_t first_row)
      : p_(p), image_(image), copied_(first_row * p.size.width) {}

  // Makes what bypassed the caches visible to other threads.
  ~BackgroundCopy() {
#ifdef COMPOSITOR_AVX2
    if (p_.past_caches) _mm_sfence();
#endif
  }
  BackgroundCopy(const BackgroundCopy&) = delete;
  BackgroundCopy& operator=(const BackgroundCopy&) = delete;

  // Copies up to (row, column); the caller writes the pixels from there to `resume`.
  void up_to(int64_t row, int64_t column, int64_t resume) {
    const int64_t width = p_.size.width, end = row * width + column;
    const bool dense = kUnit && p_.background.y == width && p_.composite.y == width;
    for (int64_t c = 0; c < p_.channels; ++c) {
      const S* from = plane<S>(p_.background, image_, c);
      S* to = mutable_plane<S>(p_.composite, image_, c);
      if (dense) {
        copy_run(to + copied_, from + copied_, sizeof(S) * (end - copied_));
        continue;
      }
      for (int64_t at = copied_; at < end; ++at) {
        const int64_t i = at / width, j = at % width;
        to[i * p_.composite.y + j * p_.composite.x] =
            from[i * p_.background.y + j * p_.background.x];
      }
    }
    copied_ = row * width + resume;
  }

 private:
  void copy_run(S* to, const S* from, int64_t bytes) const {
    if (!p_.past_caches) {
      __builtin_memcpy(to, from, bytes);
      return;
    }
    copy_past_caches(reinterpret_cast<char*>(to), reinterpret_cast<const char*>(from), bytes);
  }

  const BlendParams& p_;
  int64_t image_, copied_;
};
