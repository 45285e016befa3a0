#include "scratch.h"

#include <algorithm>
#include <new>

namespace compositor::cpu {

namespace {
constexpr std::align_val_t kAlignment{64};
constexpr int64_t kKept = int64_t{16} << 20;  // bytes a thread keeps at most
}  // namespace

Scratch::Scratch() = default;

Scratch::~Scratch() {
  for (auto [data, size] : blocks_) ::operator delete(data, kAlignment);
}

Scratch& Scratch::of_this_thread() {
  thread_local Scratch scratch;
  scratch.reset();
  return scratch;
}

char* Scratch::take(int64_t bytes) {
  bytes = (bytes + 63) / 64 * 64;
  if (blocks_.empty() || used_ + bytes > blocks_.back().second) {
    const int64_t size = std::max(bytes, int64_t{1} << 20);
    blocks_.emplace_back(static_cast<char*>(::operator new(size, kAlignment)), size);
    used_ = 0;
  }
  used_ += bytes;
  return blocks_.back().first + used_ - bytes;
}

// Where one block was not enough, the next call finds one that is.
void Scratch::reset() {
  int64_t total = 0;
  for (auto [data, size] : blocks_) total += size;
  used_ = 0;
  if (blocks_.size() == 1 && total <= kKept) return;
  for (auto [data, size] : blocks_) ::operator delete(data, kAlignment);
  blocks_.clear();
  if (total > 0) {
    const int64_t size = std::min(total, kKept);
    blocks_.emplace_back(static_cast<char*>(::operator new(size, kAlignment)), size);
  }
}

}  // namespace compositor::cpu
