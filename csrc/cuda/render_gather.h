// The last part of render's backward: what tiles have left is summed for each layer, and for each
// pixel of a cut-out over the canvas pixels of all layers that show it, in their order.

// Writes the gradients of one layer's map, gain and bias.
template <typename Block>
COMPOSITOR_DEVICE_INLINE void gather_layer(const RenderParams& p, int64_t l, Block& block,
                                           ThetaShared& shared) {
  const RenderLayer& layer = p.layers[l];
  const RenderGrads& grads = p.grads;
  const bool lost = grads.layers[l].lost;
  const Sizes size{layer.h, layer.w, p.height, p.width};
#pragma unroll 1
  for (int six = 0; six < grads.sums_a_tile; six += 6) {
    block.each([&](int t) {
      if (t >= 192) return;
      double total = 0;
      for (int64_t tile = grads.first_tile[l] + t % 32; tile < grads.first_tile[l + 1];
           tile += 32) {
        total += grads.sums[tile * grads.sums_a_tile + six + t / 32];
      }
      shared.sums[t] = total;
    });
    block.each([&](int t) {
      if (t >= 6) return;
      double total = 0;
      for (int k = 0; k < 32; ++k) total += shared.sums[t * 32 + k];
      const double value = lost ? __builtin_nan("") : total;
      if (six == 0) {
        if (grads.grad_theta.data) {
          const Factor factor = factor_of(t, size);
          const Theta& out = grads.grad_theta;
          write_number(out.data, out.wide, theta_at(out, layer.number, t),
                       value * (factor.length / factor.step));
        }
        return;
      }
      const int channel = (six / 6 - 1) * 3 + t % 3;
      const Tones& out = t < 3 ? grads.grad_gain : grads.grad_bias;
      if (channel < p.channels && out.data) {
        write_number(out.data, out.wide, layer.number * out.layer + channel * out.channel, value);
      }
    });
  }
}

struct CutOutShared {
  int64_t index;
};

// A block takes a run of a cut-out's pixels, one per thread.
template <typename S, typename Block>
COMPOSITOR_DEVICE_INLINE void gather_cut_out(const RenderParams& p, int64_t number, Block& block,
                                             CutOutShared& shared) {
  find_run(block, p.grads.first_run, p.grads.cut_out_count, number, shared.index);
  block.each([&](int t) {
    const CutOutGrad cut_out = p.grads.cut_outs[shared.index];
    const int64_t pixel = (number - p.grads.first_run[shared.index]) * kThreads + t;
    if (pixel >= int64_t{cut_out.h} * cut_out.w) return;
    const int y = static_cast<int>(pixel / cut_out.w), x = static_cast<int>(pixel % cut_out.w);
    const CutOutPixel<S> at{p,
                            cut_out,
                            p.grads.users + p.grads.first_user[shared.index],
                            p.grads.users + p.grads.first_user[shared.index + 1],
                            y,
                            x};
    if (cut_out.foreground.data) {
      for (int channel = 0; channel < p.channels; channel += at.kGroup) at.gather_colours(channel);
    }
    if (cut_out.mask.data) at.gather_mask();
  });
}
