// A block of threads, the interface that kernels are written against: phases, each a function of
// the thread's number, with a barrier after each. The tests run the same phases on the host, with a
// block of their own in place of DeviceBlock.
#pragma once

#include <type_traits>

#ifdef __CUDACC__
#define COMPOSITOR_DEVICE __device__
#define COMPOSITOR_DEVICE_INLINE __device__ __forceinline__
#define COMPOSITOR_CHECK_INDEX(index, count) ((void)0)
#else
#include <cassert>
#define COMPOSITOR_DEVICE
#define COMPOSITOR_DEVICE_INLINE inline
#define COMPOSITOR_CHECK_INDEX(index, count) assert((index) >= 0 && (index) < (count))
#endif

namespace compositor::cuda {

inline constexpr int kThreads = 256;

template <typename T, int kCount>
struct [[gnu::may_alias]] alignas(kCount * sizeof(T)) Run {
  T values[kCount];
};

// An array in shared memory; the emulation checks every index.
template <typename T, int kCount>
struct SharedArray {
  alignas(16) T values[kCount];
  COMPOSITOR_DEVICE_INLINE T& operator[](int index) {
    COMPOSITOR_CHECK_INDEX(index, kCount);
    return values[index];
  }
  // kRun values side by side, in one access; `index` is a multiple of kRun.
  template <int kRun>
  COMPOSITOR_DEVICE_INLINE Run<T, kRun>& run(int index) {
    COMPOSITOR_CHECK_INDEX(index, kCount - kRun + 1);
    return reinterpret_cast<Run<T, kRun>&>(values[index]);
  }
};

// The votes of a block's threads on the pixels they have seen.
struct Votes {
  bool any, all;
};

#ifdef __CUDACC__
struct DeviceBlock {
  // One variable per thread, kept across phases.
  template <typename V>
  struct Own {
    V value{};
    COMPOSITOR_DEVICE_INLINE V& operator[](int) { return value; }
  };

  template <typename Phase>
  COMPOSITOR_DEVICE_INLINE void each(Phase&& phase) {
    phase(static_cast<int>(threadIdx.x));
    __syncthreads();
  }

  template <typename Phase>
  COMPOSITOR_DEVICE_INLINE bool any(Phase&& phase) {
    return __syncthreads_or(phase(static_cast<int>(threadIdx.x)));
  }

  // Whether the phase's `any` holds for some thread, and its `all` for every thread.
  template <typename Phase>
  COMPOSITOR_DEVICE_INLINE Votes vote(Phase&& phase) {
    const Votes mine = phase(static_cast<int>(threadIdx.x));
    const bool any = __syncthreads_or(mine.any);
    return {any, static_cast<bool>(__syncthreads_and(mine.all))};
  }
};
#endif

// Calls f with what is known at run time as a constant.
template <typename F>
COMPOSITOR_DEVICE_INLINE void choose(bool value, F&& f) {
  if (value) {
    f(std::true_type());
  } else {
    f(std::false_type());
  }
}

// Calls f(row, column) for every pixel of `rows` x `columns` that falls to thread t: neighbouring
// threads take neighbouring columns.
template <typename F>
COMPOSITOR_DEVICE_INLINE void for_pixels(int t, int rows, int columns, F&& f) {
  const int down = kThreads / columns, right = kThreads % columns;
  int row = t / columns, column = t % columns;
  while (row < rows) {
    f(row, column);
    row += down;
    column += right;
    if (column >= columns) {
      column -= columns;
      ++row;
    }
  }
}

// The same of rows [first, last), and of as many columns as a divisor of the threads: a thread
// stays in its own, and what depends on that alone is computed once.
template <int kColumns, typename F>
COMPOSITOR_DEVICE_INLINE void for_pixels(int t, int first, int last, F&& f) {
  static_assert(kThreads % kColumns == 0);
  const int column = t % kColumns;
  for (int row = first + t / kColumns; row < last; row += kThreads / kColumns) f(row, column);
}

}  // namespace compositor::cuda
