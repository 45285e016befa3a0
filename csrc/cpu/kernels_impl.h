// The CPU kernels, compiled once per instruction set: the including file defines
// COMPOSITOR_INSTRUCTION_SET, the namespace of everything here. No standard headers from here on:
// the linker could keep an inline function of theirs, compiled for AVX2, as the copy for all.

namespace compositor::cpu::COMPOSITOR_INSTRUCTION_SET {
namespace {

// clang-format off
#include "../common/scalar.h"
#include "../common/pixel.h"
#include "../common/footprint.h"
#include "spans.h"
#include "sample.h"
#ifdef COMPOSITOR_AVX2
#include "lanes_avx2.h"
#endif
#include "rows.h"
#include "image.h"

// Whether the inner loops run over blocks of pixels in registers.
template <typename S, bool kUnit>
constexpr bool kBlocks = false;
constexpr int kRowsAhead = 2;  // how many canvas rows ahead to prefetch
#ifdef COMPOSITOR_AVX2
#include "blocks_avx2.h"
template <>
constexpr bool kBlocks<float, true> = true;
template <>
constexpr bool kBlocks<BFloat16, true> = true;
template <>
constexpr bool kBlocks<Float16, true> = true;
#endif

#include "alpha.h"
#include "scatter.h"
#include "background.h"
#include "forward.h"
#include "backward.h"
#include "layer.h"
#ifdef COMPOSITOR_AVX2
#include "packed_avx2.h"
#include "packed_layer_avx2.h"
#endif
#include "render.h"
#include "render_backward.h"
// clang-format on

template <typename S>
Kernels kernels_of(bool unit_stride) {
  return unit_stride ? Kernels{forward<S, true>, backward<S, true>, render<S, true>,
                               render_backward<S, true>}
                     : Kernels{forward<S, false>, backward<S, false>, render<S, false>,
                               render_backward<S, false>};
}

}  // namespace

Kernels kernels(Scalar scalar, bool unit_stride) {
  switch (scalar) {
    case Scalar::kFloat64:
      return kernels_of<double>(unit_stride);
    case Scalar::kFloat32:
      return kernels_of<float>(unit_stride);
    case Scalar::kBFloat16:
      return kernels_of<BFloat16>(unit_stride);
    case Scalar::kFloat16:
      return kernels_of<Float16>(unit_stride);
    case Scalar::kByte:
      return unit_stride ? Kernels{nullptr, nullptr, render<Byte, true>, nullptr}
                         : Kernels{nullptr, nullptr, render<Byte, false>, nullptr};
  }
  return {};
}

}  // namespace compositor::cpu::COMPOSITOR_INSTRUCTION_SET
