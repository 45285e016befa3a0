// What the dispatcher hands to render's CUDA kernels: plain pointers, strides and options, by
// value.
#pragma once

#include "params.h"

namespace compositor::cuda {

// (L, C) in device memory, float32 or float64.
struct Tones {
  void* data = nullptr;  // null: not given, or not wanted
  bool wide = false;
  int64_t layer = 0, channel = 0;
};

// A plane of one cut-out. Without a constructor: it is kept in shared memory, too.
struct Plane {
  void* data;  // null: no mask
  int64_t c, y, x;
};

// A layer as the host makes it.
struct RenderLayer {
  Plane foreground, mask;
  int64_t first_tap;  // of [g(0), ..., g(radius)], in the params' taps
  int h, w;
  int radius;
  int number;  // among the call's layers
  int canvas;
};

// What a canvas, or a tile of it, shows of a layer.
struct Shown {
  int covered, area;   // pixels: under it before later layers; its own
  int x0, y0, x1, y1;  // around its own; the largest and the least of int if there are none
};

// Where a layer lies, for the host.
struct Reach {
  int y0, x0, y1, x1;  // canvas pixels outside which its alpha is 0
  int radius;
  int lost;  // its map is not finite
};

// What the host adds to a layer for its gradients, once it knows where all lie.
struct LayerGrad {
  int64_t plane;  // where the pixels of its box begin in weights, pulls and slopes
  int64_t cover;  // where those of its box grown by the radius begin in covers
  int64_t lost;   // a map of its canvas is not finite: all its gradients are NaN
};

// A cut-out, and the planes of its gradients.
struct CutOutGrad {
  Plane foreground, mask;  // null: not wanted
  int h, w;
};

struct RenderGrads {
  View grad_composite, grad_background;  // read; written, or null
  Theta grad_theta;                      // written, or null
  Tones grad_gain, grad_bias;
  bool straight_through;
  // Scratch in the computation type, pixels of all layers' boxes: what a layer's colours weigh in
  // the composite, and dL/dalpha; dL/du and dL/dv of its colours at weight 1, or null; and dL/dm,
  // around them too, or null.
  void *weights, *pulls, *slopes, *covers;
  const LayerGrad* layers;
  // Tiles of the layers' grown boxes: (L + 1) where each layer's begin; how many numbers each
  // leaves in `sums`: six for theta, and six for each three channels' tones if these are wanted.
  const int64_t* first_tile;
  int sums_a_tile;
  double* sums;
  // Cut-outs: (K + 1) where the runs of pixels of each begin, and the layers that show it.
  int64_t cut_out_count;
  const CutOutGrad* cut_outs;
  const int64_t *first_run, *first_user, *users;
};

struct RenderParams {
  int64_t batch;
  int64_t height, width;
  int channels;
  View background, composite;  // read; written
  Theta theta;
  Tones gain, bias;
  int64_t layer_count;
  const RenderLayer* layers;  // in device memory, as all here: canvas after canvas, bottom first
  const int64_t* begins;      // (N + 1): where in `layers` those of each canvas begin
  const void* taps;           // of all layers, in the computation type
  RampParams ramp;

  void* placed;              // scratch: where each layer lies, see placed.h
  Reach* reaches = nullptr;  // written, (L), if there
  int32_t* owner = nullptr;  // written, (N, H, W); null: no labels
  Shown* shown = nullptr;    // scratch for labels, (L, tiles), in the order of `layers`
  float* boxes = nullptr;    // written, (L, 4)
  int64_t *area = nullptr, *covered = nullptr;  // written, (L)

  RenderGrads grads;  // of the backward
};

}  // namespace compositor::cuda
