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

#include "../../csrc/cuda/programs.h"

namespace compositor::cuda {

struct EmulatedBlock {
  template <typename V>
  struct Own {
    V values[kThreads]{};
    V& operator[](int t) { return values[t]; }
  };

  explicit EmulatedBlock(unsigned seed) : engine(seed), order(kThreads) {
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
void emulate_grid(int64_t count, unsigned seed, Program&& program) {
  EmulatedBlock block(seed);
  const auto shared = std::make_unique<Shared>();
  for (int64_t number = 0; number < count; ++number) {
    std::memset(static_cast<void*>(shared.get()), 0xff, sizeof(Shared));
    program(number, block, *shared);
  }
}

// The kernel that serves scalar type S, radius and index type, as launch.h chooses it.
template <typename S, typename I, int kRadius>
void emulate_forward_as(const BlendParams& p, unsigned seed) {
  using T = typename Compute<S>::type;
  const Split split = forward_split<T>(p.size);
  emulate_grid<ForwardShared<T, kRadius>>(
      p.batch * split.blocks(), seed, [&](int64_t number, EmulatedBlock& block, auto& shared) {
        forward_tile<S, I, kRadius>(p, split, number, block, shared);
      });
}

template <typename S, typename I, int kRadius>
void emulate_backward_as(const BlendParams& p, unsigned seed) {
  using T = typename Compute<S>::type;
  const Split split = backward_split<T>(p.size, p.radius);
  emulate_grid<BackwardShared<T, kRadius>>(
      p.batch * split.blocks(), seed, [&](int64_t number, EmulatedBlock& block, auto& shared) {
        backward_tile<S, I, kRadius>(p, split, number, block, shared);
      });
  if (p.theta_partials) {
    emulate_grid<ThetaShared>(p.batch, seed,
                              [&](int64_t number, EmulatedBlock& block, ThetaShared& shared) {
                                gather_theta(p, split.blocks(), number, block, shared);
                              });
  }
  if (!p.grad_foreground.data && !p.grad_mask.data) return;
  emulate_grid<GatherShared<T>>(p.batch * runs_of_pixels(p.size), seed,
                                [&](int64_t number, EmulatedBlock& block, auto& shared) {
                                  gather_image<S>(p, number, block, shared);
                                });
}

template <typename S>
void emulate(const BlendParams& p, bool narrow, bool back, unsigned seed) {
  if (narrow && p.radius == kFixedRadius && sizeof(S) < 8) {
    return back ? emulate_backward_as<S, int32_t, kFixedRadius>(p, seed)
                : emulate_forward_as<S, int32_t, kFixedRadius>(p, seed);
  }
  if (narrow && sizeof(S) < 8) {
    return back ? emulate_backward_as<S, int32_t, -1>(p, seed)
                : emulate_forward_as<S, int32_t, -1>(p, seed);
  }
  return back ? emulate_backward_as<S, int64_t, -1>(p, seed)
              : emulate_forward_as<S, int64_t, -1>(p, seed);
}

}  // namespace compositor::cuda
