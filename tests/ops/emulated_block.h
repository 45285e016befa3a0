// A block of threads on the host, to run the CUDA kernels' programs where there is no GPU: each
// phase runs for every thread before the next begins, as a barrier has it, and in an order that
// changes from phase to phase, so that a thread that relies on another within a phase shows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "../../csrc/cuda/block.h"

namespace compositor::cuda {

inline unsigned emulated_order = 0;  // the seed of the next launch's

struct EmulatedBlock {
  template <typename V>
  struct Own {
    V values[kThreads]{};
    V& operator[](int t) { return values[t]; }
  };

  EmulatedBlock() : engine(emulated_order), order(kThreads) {
    std::iota(order.begin(), order.end(), 0);
  }

  template <typename Phase>
  void each(Phase&& phase) {
    std::shuffle(order.begin(), order.end(), engine);
    for (int t : order) phase(t);
  }

  template <typename Phase>
  bool any(Phase&& phase) {
    bool result = false;
    each([&](int t) { result |= phase(t); });
    return result;
  }

  template <typename Phase>
  Votes vote(Phase&& phase) {
    Votes result{false, true};
    each([&](int t) {
      const Votes mine = phase(t);
      result.any |= mine.any;
      result.all &= mine.all;
    });
    return result;
  }

  std::minstd_rand engine;
  std::vector<int> order;
};

// Calls program(number, block, shared) for every block of a grid, with shared memory that starts as
// NaN: what is read before it is written shows.
template <typename Shared, typename Program>
void run_grid(int64_t count, Program&& program) {
  EmulatedBlock block;
  const auto shared = std::make_unique<Shared>();
  for (int64_t number = 0; number < count; ++number) {
    std::memset(static_cast<void*>(shared.get()), 0xff, sizeof(Shared));
    program(number, block, *shared);
  }
}

}  // namespace compositor::cuda
