// The launches of csrc/cuda/kernels.h on the host, block by block as run_grid of the file included
// before has it. They stand in for the launches in *.cu; all else is the device's code.
#pragma once

#include <algorithm>
#include <cstdint>
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

void write_taps(const double* taps, int64_t count, bool wide, void* to, cudaStream_t stream) {
  if (stream != emulated_stream) throw std::logic_error("a launch on the wrong stream");
  if (wide) {
    std::copy_n(taps, count, static_cast<double*>(to));
  } else {
    std::transform(taps, taps + count, static_cast<float*>(to),
                   [](double tap) { return static_cast<float>(tap); });
  }
}

}  // namespace compositor::cuda
