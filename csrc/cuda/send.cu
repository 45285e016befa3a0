// The kernel that writes what the host has made: the taps of a blur, the layers of a scene.
#include <torch/csrc/stable/macros.h>

#include <algorithm>
#include <cstring>

#include "launch.h"

namespace compositor::cuda {
namespace {

// What one launch carries.
struct Message {
  static constexpr int kBytes = 3840;  // kernels take 4096
  unsigned words[kBytes / 4];
};

__global__ void send_kernel(const __grid_constant__ Message message, int words, unsigned* to) {
  for (int k = static_cast<int>(threadIdx.x); k < words; k += kThreads) to[k] = message.words[k];
}

}  // namespace

void send(const void* from, int64_t bytes, void* to, cudaStream_t stream) {
  for (int64_t first = 0; first < bytes; first += Message::kBytes) {
    Message message{};
    const int64_t room = std::min<int64_t>(Message::kBytes, bytes - first);
    std::memcpy(message.words, static_cast<const char*>(from) + first, room);
    unsigned* out = reinterpret_cast<unsigned*>(static_cast<char*>(to) + first);
    send_kernel<<<1, kThreads, 0, stream>>>(message, static_cast<int>(room / 4), out);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }
}

}  // namespace compositor::cuda
