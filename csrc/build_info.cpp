// What the dispatcher does not offer: a description of the kernels in this extension.
#undef TORCH_TARGET_VERSION  // PyTorch 2.11's copy of pybind11 refuses it; no tensor is used here
#include <pybind11/pybind11.h>  // PyTorch's own copy

#include "cpu/kernels.h"

namespace py = pybind11;

PYBIND11_MODULE(_C, m) {
  m.doc() = "Compiled kernels of compositor; importing it registers them with PyTorch.";
  m.def("build_info", [] {
    py::dict info;
    info["built_with_torch"] = COMPOSITOR_TORCH_VERSION;
    info["oldest_torch"] = COMPOSITOR_OLDEST_TORCH;
#if defined(__clang__)
    info["compiler"] = "clang " __clang_version__;
#elif defined(__GNUC__)
    info["compiler"] = "gcc " __VERSION__;
#else
    info["compiler"] = "unknown";
#endif
    py::list built;
    built.append("baseline");
#ifdef COMPOSITOR_BUILD_AVX2
    built.append("avx2");
#endif
    info["vector_instructions"] = built;
    info["vector_instructions_in_use"] = compositor::cpu::capability();
#ifdef COMPOSITOR_CUDA_VERSION
    info["cuda"] = COMPOSITOR_CUDA_VERSION;
    info["cuda_architectures"] = COMPOSITOR_CUDA_ARCHITECTURES;
#endif
    return info;
  });
}
