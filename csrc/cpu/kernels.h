// What the dispatcher hands to a CPU kernel: plain pointers, strides and options, no tensors.
#pragma once

#include <cstdint>
#include <limits>

#include "../common/affine_map.h"
#include "../common/view.h"
#include "scratch.h"

namespace compositor::cpu {

struct BlendParams {
  Sizes size;
  int64_t channels;
  View foreground, mask, background;
  const double* theta;  // (N, 2, 3), contiguous
  const double* taps;   // [g(0), ..., g(radius)]
  int radius;
  double threshold;
  bool straight_through;

  View composite, alpha;     // forward: written
  bool past_caches = false;  // the composite is too large to stay in the caches for its next reader

  View grad_composite, grad_alpha;                    // backward: read
  View grad_foreground, grad_mask, grad_background;   // backward: written
  double* theta_partials = nullptr;                   // backward: written, (N, row blocks, 6)
  double *grad_gain = nullptr, *grad_bias = nullptr;  // backward of a layer: added to, (C)
};

// theta's gradient is summed within blocks of canvas rows, then over the blocks in order, so that
// it depends neither on the number of threads nor on the batch.
inline constexpr int64_t kBlockRows = 64;

inline int64_t count_blocks(int64_t height) { return (height + kBlockRows - 1) / kBlockRows; }

// A range of row blocks, [first, last), of one image.
struct Task {
  int64_t image;
  int64_t first_block, last_block;
};

// One cut-out under its map on a canvas.
struct Layer {
  Sizes size;
  View foreground, mask;  // of one image: n is not used
  const double* theta;    // 6
  const double* taps;     // [g(0), ..., g(radius)]
  int radius;
  const double* gain;                 // a number a channel; null: 1
  const double* bias;                 // null: 0
  int32_t number;                     // among the call's layers
  void *grad_foreground, *grad_mask;  // its cut-out's sums, dense, in the computation type
};

// What a canvas shows of a layer, counted over some of its rows.
struct Shown {
  int64_t covered = 0, area = 0;  // pixels: under it before later layers; its own
  int x0 = std::numeric_limits<int>::max(), y0 = x0, x1 = 0, y1 = 0;  // around its own

  void add(const Shown& other) {
    covered += other.covered, area += other.area;
    x0 = x0 < other.x0 ? x0 : other.x0, y0 = y0 < other.y0 ? y0 : other.y0;
    x1 = x1 > other.x1 ? x1 : other.x1, y1 = y1 > other.y1 ? y1 : other.y1;
  }
};

struct RenderParams {
  int64_t channels, height, width;
  const Layer* layers;    // canvas after canvas, and of each in the order they are pasted in
  const int64_t* begins;  // (N + 1): where in `layers` those of each canvas begin
  int64_t layer_count;
  double threshold;  // in the mask's units
  bool straight_through;
  View background;

  View composite;            // written
  int32_t* owner = nullptr;  // written, (N, H, W), contiguous; null: not asked for
  Shown* shown = nullptr;    // written, (row blocks, L)

  View grad_composite;                                // backward: read
  View grad_background;                               // backward: written
  double* grad_theta = nullptr;                       // backward: written, (L, 6)
  double *grad_gain = nullptr, *grad_bias = nullptr;  // backward: written, (L, C)
  bool grad_mask = false;                             // backward: the layers' sums are wanted
};

struct Kernels {
  void (*forward)(const BlendParams&, const Task&);
  void (*backward)(const BlendParams&, const Task&);
  void (*render)(const RenderParams&, const Task&);
  void (*render_backward)(const RenderParams&, const Task&);
};

// The same source, compiled once per instruction set into its own namespace. `unit_stride`:
// neighbouring columns are neighbours in memory, and 32 bits can index a whole plane.
namespace baseline {
Kernels kernels(Scalar scalar, bool unit_stride);
}
#if defined(__x86_64__) && defined(__GNUC__)
#define COMPOSITOR_BUILD_AVX2 1
namespace avx2 {
Kernels kernels(Scalar scalar, bool unit_stride);
}
#endif

// The instruction set in use on this machine, "avx2" or "baseline".
const char* capability();

}  // namespace compositor::cpu
