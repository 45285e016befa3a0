// Memory that a thread keeps from call to call: the system hands out large blocks page by page and
// anew each time, which takes longer than what they are used for.
#pragma once

#include <cstdint>
#include <vector>

namespace compositor::cpu {

class Scratch {
 public:
  // The calling thread's, all of it free again.
  static Scratch& of_this_thread();

  // Room for so many bytes, aligned to 64, until of_this_thread() is called again.
  char* take(int64_t bytes);

  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

 private:
  void reset();

  std::vector<std::pair<char*, int64_t>> blocks_;  // and their sizes; the last is in use
  int64_t used_ = 0;
};

}  // namespace compositor::cpu
