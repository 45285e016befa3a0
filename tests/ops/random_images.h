// Random images and maps, sane and not, for the programs that look for steps outside memory.
#pragma once

#include <sanitizer/asan_interface.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "../../csrc/common/view.h"

namespace compositor {

struct Dice {
  std::mt19937 engine;
  int roll(int low, int high) {
    return low + static_cast<int>(engine() % static_cast<unsigned>(high - low + 1));
  }
  bool coin() { return roll(0, 1) == 1; }
};

// What of a tensor's layout a kernel takes.
enum class Layout {
  kAny,         // any strides, 0 included
  kUnitStride,  // neighbouring columns are neighbours in memory
  kWritten,     // any strides, no element twice
  kWrittenUnitStride
};

// A (batch, channels, rows, columns) view of random layout, of bytes that are sometimes NaN: dense
// or channels last, cropped out of something larger, at an offset, or expanded. Its allocation ends
// where it does; the address sanitizer finds a step there, and one into the gaps between rows.
struct FuzzedImage {
  std::vector<unsigned char> bytes;
  View view;

  FuzzedImage(Dice& dice, const std::array<int, 4>& shape, size_t element, Layout layout) {
    const bool unit = layout == Layout::kUnitStride || layout == Layout::kWrittenUnitStride;
    const bool written = layout == Layout::kWritten || layout == Layout::kWrittenUnitStride;
    const bool gaps = dice.roll(0, 2) == 0, expands = !written && dice.roll(0, 2) == 0;
    const auto gap = [&] { return gaps ? dice.roll(0, 3) : 0; };
    // From the innermost dimension to the outermost.
    const bool channels_last = !unit && dice.coin();
    const std::array<int, 4> order =
        channels_last ? std::array{1, 3, 2, 0} : std::array{3, 2, 1, 0};
    std::array<int64_t, 4> stride{};
    int64_t next = unit ? 1 : 1 + gap();
    for (int d : order) {
      if (expands && !(unit && d == 3) && dice.coin()) continue;
      stride[d] = next;
      next = next * shape[d] + gap();
    }
    const int64_t offset = dice.coin() ? dice.roll(0, 5) : 0;
    int64_t length = offset + 1;
    for (int d = 0; d < 4; ++d) length += (shape[d] - 1) * stride[d];
    bytes.resize(length * element);
    for (auto& byte : bytes)
      byte = dice.roll(0, 3) ? 0x3e : static_cast<unsigned char>(dice.engine());
    view = {bytes.data() + offset * element, stride[0], stride[1], stride[2], stride[3]};
    forbid_gaps(shape, stride, offset, length, element);
  }

 private:
  void forbid_gaps(const std::array<int, 4>& shape, const std::array<int64_t, 4>& stride,
                   int64_t offset, int64_t length, size_t element) {
    std::vector<bool> belongs(length);
    for (int n = 0; n < shape[0]; ++n) {
      for (int c = 0; c < shape[1]; ++c) {
        for (int y = 0; y < shape[2]; ++y) {
          for (int x = 0; x < shape[3]; ++x) {
            belongs[offset + n * stride[0] + c * stride[1] + y * stride[2] + x * stride[3]] = true;
          }
        }
      }
    }
    for (int64_t k = 0; k < length; ++k) {
      if (!belongs[k]) ASAN_POISON_MEMORY_REGION(bytes.data() + k * element, element);
    }
  }
};

// (batch, 2, 3), contiguous.
inline std::vector<double> random_maps(Dice& dice, int batch, int w) {
  std::normal_distribution<double> normal;
  std::vector<double> maps;
  for (int n = 0; n < batch; ++n) {
    const double scale = std::pow(10.0, dice.roll(-2, 2));
    std::vector<double> theta(6);
    for (double& t : theta) t = normal(dice.engine) * scale;
    if (dice.coin()) theta = {1, 0, dice.roll(-3, 3) * 2.0 / w, 0, 1, 0};  // on whole pixels
    const double strange[] = {NAN, INFINITY, 1e38, -1e300, 0};
    const int kind = dice.roll(0, 15);
    if (kind < 5) theta[dice.roll(0, 5)] = strange[kind];
    if (kind == 5) theta[0] = theta[1] = 0;
    if (kind == 6) theta.assign(6, 0);
    maps.insert(maps.end(), theta.begin(), theta.end());
  }
  return maps;
}

}  // namespace compositor
