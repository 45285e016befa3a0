// From tensors to kernels: where results lie, which kernels, and which thread takes which rows.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "../common/tensors.h"
#include "kernels.h"

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace compositor::cpu {

// Requests huge pages for a new tensor larger than the largest block that glibc keeps for reuse:
// the system allocates its pages in every call, which with small pages takes most of the time.
inline Tensor in_huge_pages(Tensor tensor) {
#ifdef __linux__
  constexpr uintptr_t kMapped = uintptr_t{32} << 20;
  const uintptr_t bytes = tensor.numel() * tensor.element_size();
  if (bytes > kMapped) {
    const uintptr_t start = reinterpret_cast<uintptr_t>(tensor.mutable_data_ptr());
    const uintptr_t page = sysconf(_SC_PAGESIZE), first = (start + page - 1) / page * page;
    // Only advice: if it is refused, the pages stay small.
    madvise(reinterpret_cast<void*>(first), start + bytes - first, MADV_HUGEPAGE);
  }
#endif
  return tensor;
}

inline Kernels choose(Scalar scalar, bool unit_stride) {
#ifdef COMPOSITOR_BUILD_AVX2
  if (std::strcmp(capability(), "avx2") == 0) return avx2::kernels(scalar, unit_stride);
#endif
  return baseline::kernels(scalar, unit_stride);
}

// Runs a kernel over images, split into blocks of rows if there are few images per thread.
template <typename Kernel>
void run(Kernel&& kernel, int64_t batch, int64_t height, bool whole_images) {
  const int64_t blocks = count_blocks(height);
  const int64_t threads = torch::stable::get_num_threads();
  int64_t parts = 1;
  if (!whole_images && batch > 0 && batch % threads != 0 && batch < 4 * threads) {
    parts = std::min(blocks, (2 * threads + batch - 1) / batch);
  }
  // Each thread takes the next task when it is free, since objects differ in size.
  const int64_t tasks = batch * parts;
  std::atomic<int64_t> next{0};
  torch::stable::parallel_for(0, std::min(threads, tasks), 1, [&](int64_t, int64_t) {
    for (int64_t k = next++; k < tasks; k = next++) {
      const int64_t part = k % parts;
      kernel(Task{k / parts, blocks * part / parts, blocks * (part + 1) / parts});
    }
  });
}

}  // namespace compositor::cpu
