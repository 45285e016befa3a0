// Blocks of threads as threads of the host with barriers between them, as a device runs them: under
// ThreadSanitizer, which finds two threads at one place in memory with no barrier in between.
#pragma once

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "../../csrc/cuda/block.h"

namespace compositor::cuda {

inline constexpr int kBlocks = 2;  // of a grid, at once: what they write must not overlap

// The phase whose barrier is left out, counted from 0 in each launch, to see that it is missed.
inline int missing_barrier = -1;

// What the threads of a block share.
struct Team {
  Team() { pthread_barrier_init(&barrier, nullptr, kThreads); }
  ~Team() { pthread_barrier_destroy(&barrier); }

  pthread_barrier_t barrier;
  std::atomic<int> votes[3]{};
};

class ThreadedBlock {
 public:
  // One variable a thread, kept over phases.
  template <typename V>
  struct Own {
    V value{};
    V& operator[](int) { return value; }
  };

  ThreadedBlock(Team& team, int thread) : team_(team), thread_(thread) {}

  template <typename Phase>
  void each(Phase&& phase) {
    phase(thread_);
    if (phase_++ != missing_barrier) pthread_barrier_wait(&team_.barrier);
  }

  template <typename Phase>
  bool any(Phase&& phase) {
    return count(phase(thread_)) > 0;
  }

  template <typename Phase>
  Votes vote(Phase&& phase) {
    const Votes mine = phase(thread_);
    const bool any = count(mine.any) > 0;
    return {any, count(mine.all) == kThreads};
  }

 private:
  // A barrier that counts. Three counters in turn: one counts, one is read, one becomes 0 again.
  int count(bool mine) {
    const int now = round_++ % 3;
    team_.votes[now].fetch_add(mine, std::memory_order_relaxed);
    pthread_barrier_wait(&team_.barrier);
    team_.votes[(now + 2) % 3].store(0, std::memory_order_relaxed);
    return team_.votes[now].load(std::memory_order_relaxed);
  }

  Team& team_;
  const int thread_;
  int phase_ = 0, round_ = 0;
};

// Calls program(number, block, shared) on all threads for every block of a grid, where each of
// kBlocks takes the next when it is done with one, as a kernel strides over a grid. Shared memory
// starts as NaN.
template <typename Shared, typename Program>
void run_grid(int64_t count, Program&& program) {
  const int blocks = static_cast<int>(std::min<int64_t>(kBlocks, count));
  std::vector<Team> teams(blocks);
  std::vector<std::unique_ptr<Shared>> shared(blocks);
  std::vector<std::thread> threads;
  for (int b = 0; b < blocks; ++b) {
    shared[b] = std::make_unique<Shared>();
    std::memset(static_cast<void*>(shared[b].get()), 0xff, sizeof(Shared));
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, b, t] {
        ThreadedBlock block(teams[b], t);
        for (int64_t number = b; number < count; number += blocks) {
          program(number, block, *shared[b]);
        }
      });
    }
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace compositor::cuda
