// The launches of csrc/cuda/kernels.h on the host, block by block as run_grid of the file included
// before has it. They stand in for the launches in *.cu; all else is the device's code.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <type_traits>

#include "../../csrc/cuda/launch.h"

namespace compositor::cuda {

inline cudaStream_t emulated_stream = nullptr;  // the only one that a launch may go to

template <typename Shared, typename Program>
void launch(cudaStream_t stream, int64_t count, Program&& program) {
  if (stream != emulated_stream) throw std::logic_error("a launch on the wrong stream");
  run_grid<Shared>(count, program);
}

void forward(const BlendParams& p, Scalar scalar, bool narrow, cudaStream_t stream) {
  with_types(scalar, narrow, p.radius, [&](auto storage, auto index, auto radius) {
    using S = decltype(storage);
    using T = typename Compute<S>::type;
    constexpr int kRadius = decltype(radius)::value;
    const Split split = forward_split<T>(p.size);
    launch<ForwardShared<T, kRadius>>(
        stream, p.batch * split.blocks(), [&](int64_t number, auto& block, auto& shared) {
          forward_tile<S, decltype(index), kRadius>(p, split, number, block, shared);
        });
  });
}

void backward(const BlendParams& p, Scalar scalar, bool narrow, cudaStream_t stream) {
  with_types(scalar, narrow, p.radius, [&](auto storage, auto index, auto radius) {
    using S = decltype(storage);
    using T = typename Compute<S>::type;
    constexpr int kRadius = decltype(radius)::value;
    const Split split = backward_split<T>(p.size, p.radius);
    launch<BackwardShared<T, kRadius>>(
        stream, p.batch * split.blocks(), [&](int64_t number, auto& block, auto& shared) {
          backward_tile<S, decltype(index), kRadius>(p, split, number, block, shared);
        });
  });
}

int64_t count_tiles(const Sizes& size, int radius, Scalar scalar) {
  return (scalar == Scalar::kFloat64 ? backward_split<double>(size, radius)
                                     : backward_split<float>(size, radius))
      .blocks();
}

void gather(const BlendParams& p, Scalar scalar, cudaStream_t stream) {
  if (p.theta_partials) {
    const int64_t tiles = count_tiles(p.size, p.radius, scalar);
    launch<ThetaShared>(stream, p.batch, [&](int64_t number, auto& block, auto& shared) {
      gather_theta(p, tiles, number, block, shared);
    });
  }
  if (!p.grad_foreground.data && !p.grad_mask.data) return;
  with_types(scalar, false, p.radius, [&](auto storage, auto, auto) {
    using S = decltype(storage);
    launch<GatherShared<typename Compute<S>::type>>(stream, p.batch * runs_of_pixels(p.size),
                                                    [&](int64_t number, auto& block, auto& shared) {
                                                      gather_image<S>(p, number, block, shared);
                                                    });
  });
}

int64_t bytes_placed(Scalar scalar) {
  return scalar == Scalar::kFloat64 ? sizeof(Placed<double>) : sizeof(Placed<float>);
}

int64_t count_render_tiles(const RenderParams& p, Scalar scalar) {
  return (scalar == Scalar::kFloat64 ? render_split<double>(p) : render_split<float>(p)).blocks();
}

void place(const RenderParams& p, Scalar scalar, cudaStream_t stream) {
  launch<int>(stream, count_runs(p.layer_count), [&](int64_t number, auto& block, int&) {
    if (scalar == Scalar::kFloat64) {
      place_layers<double>(p, number, block);
    } else {
      place_layers<float>(p, number, block);
    }
  });
}

void paint(const RenderParams& p, Scalar scalar, bool narrow, cudaStream_t stream) {
  with_images(scalar, narrow, [&](auto storage, auto index) {
    using S = decltype(storage);
    using T = typename Compute<S>::type;
    const Split split = render_split<T>(p);
    launch<RenderShared<T>>(stream, p.batch * split.blocks(),
                            [&](int64_t number, auto& block, auto& shared) {
                              render_tile<S, decltype(index)>(p, split, number, block, shared);
                            });
    if (!p.owner) return;
    launch<LabelShared>(stream, p.layer_count, [&](int64_t number, auto& block, auto& shared) {
      label_layer<T>(p, split, number, block, shared);
    });
  });
}

int64_t count_pull_tiles(const Reach& reach, Scalar scalar) {
  return scalar == Scalar::kFloat64 ? pull_split<double>(reach).blocks()
                                    : pull_split<float>(reach).blocks();
}

void unpaint(const RenderParams& p, int64_t tiles, int64_t runs, Scalar scalar, bool narrow,
             cudaStream_t stream) {
  with_images(scalar, narrow, [&](auto storage, auto index) {
    using S = decltype(storage);
    using I = decltype(index);
    if constexpr (sizeof(S) > 1) {
      using T = typename Compute<S>::type;
      const Split split = render_split<T>(p);
      launch<RenderShared<T>>(stream, p.batch * split.blocks(),
                              [&](int64_t number, auto& block, auto& shared) {
                                walk_tile<S, I>(p, split, number, block, shared);
                              });
      if (p.grads.sums || p.grads.covers) {
        launch<PullShared<T>>(stream, tiles, [&](int64_t number, auto& block, auto& shared) {
          pull_layer<S, I>(p, number, block, shared);
        });
      }
      if (p.grads.sums) {
        launch<ThetaShared>(stream, p.layer_count, [&](int64_t number, auto& block, auto& shared) {
          gather_layer(p, number, block, shared);
        });
      }
      launch<CutOutShared>(stream, runs, [&](int64_t number, auto& block, auto& shared) {
        gather_cut_out<S>(p, number, block, shared);
      });
    }
  });
}

void send(const void* from, int64_t bytes, void* to, cudaStream_t stream) {
  if (stream != emulated_stream) throw std::logic_error("a launch on the wrong stream");
  if (bytes) std::memcpy(to, from, bytes);
}

}  // namespace compositor::cuda
