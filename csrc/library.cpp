// What the extension is beside its kernels: the op's schemas, and what was built. No Python in it.
#include <torch/csrc/stable/library.h>

#include <string>

#include "cpu/kernels.h"

STABLE_TORCH_LIBRARY(compositor, m) {
  m.def("blend" COMPOSITOR_BLEND);
  m.def("blend_backward" COMPOSITOR_BLEND_BACKWARD);
  m.def("render" COMPOSITOR_RENDER);
  m.def("render_backward" COMPOSITOR_RENDER_BACKWARD);
}

namespace {

std::string text(const std::string& value) { return '"' + value + '"'; }

std::string describe() {
  std::string info = text("built_with_torch") + ": " + text(COMPOSITOR_TORCH_VERSION);
  const auto add = [&](const char* name, const std::string& value) {
    info += ", " + text(name) + ": " + value;
  };
  add("oldest_torch", text(COMPOSITOR_OLDEST_TORCH));
#if defined(__clang__)
  add("compiler", text("clang " __clang_version__));
#elif defined(__GNUC__)
  add("compiler", text("gcc " __VERSION__));
#else
  add("compiler", text("unknown"));
#endif
#ifdef COMPOSITOR_BUILD_AVX2
  add("vector_instructions", R"(["baseline", "avx2"])");
#else
  add("vector_instructions", R"(["baseline"])");
#endif
  add("vector_instructions_in_use", text(compositor::cpu::capability()));
#ifdef COMPOSITOR_CUDA_VERSION
  add("cuda", text(COMPOSITOR_CUDA_VERSION));
  add("cuda_architectures", text(COMPOSITOR_CUDA_ARCHITECTURES));
#endif
  return "{" + info + "}";
}

}  // namespace

// What the dispatcher does not serve: which kernels this extension holds, for whom, as JSON.
extern "C" __attribute__((visibility("default"))) const char* compositor_build_info() {
  static const std::string info = describe();
  return info.c_str();
}
