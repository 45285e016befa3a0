// csrc/cuda/*.cpp themselves on tensors in host memory: their launches are
// emulated, and the device they make current and the stream they ask PyTorch for are these. They
// register the ops under a dispatch key that nothing else here uses, so that CUDA's own stays the
// device's.
#include "emulated_block.h"
#include "emulated_launches.h"
// What they include, before the name below changes.
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>

#include <map>
#include <tuple>

#include "../../csrc/common/tensors.h"

#define CUDA PrivateUse1
#include "../../csrc/cuda/blend.cpp"
#include "../../csrc/cuda/render.cpp"
#include "../../csrc/cuda/render_backward.cpp"

namespace {

int the_stream;
bool guarded = false;

}  // namespace

extern "C" {

// A launch is allowed while the guard of the tensors' device stands, on that device's stream.
AOTITorchError aoti_torch_create_device_guard(int32_t, DeviceGuardHandle* guard) {
  guarded = true;
  *guard = reinterpret_cast<DeviceGuardHandle>(&guarded);
  compositor::cuda::emulated_stream = reinterpret_cast<cudaStream_t>(&the_stream);
  return AOTI_TORCH_SUCCESS;
}

AOTITorchError aoti_torch_delete_device_guard(DeviceGuardHandle) {
  guarded = false;
  compositor::cuda::emulated_stream = nullptr;
  return AOTI_TORCH_SUCCESS;
}

AOTITorchError aoti_torch_get_current_cuda_stream(int32_t, void** stream) {
  *stream = guarded ? &the_stream : nullptr;
  return AOTI_TORCH_SUCCESS;
}

__attribute__((visibility("default"))) void set_order(unsigned seed) {
  compositor::cuda::emulated_order = seed;
}
}
