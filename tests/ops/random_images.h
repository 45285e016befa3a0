// Random images and maps, sane and not, for the programs that look for steps outside memory.
#pragma once

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

// An image's own allocation, exactly as large as the image, of bytes that are sometimes NaN.
struct FuzzedImage {
  std::vector<unsigned char> bytes;
  View view;

  FuzzedImage(Dice& dice, int channels, int rows, int columns, size_t element, bool unit_stride)
      : bytes(channels * rows * columns * element) {
    for (auto& byte : bytes)
      byte = dice.roll(0, 3) ? 0x3e : static_cast<unsigned char>(dice.engine());
    if (unit_stride || dice.coin()) {
      view = {bytes.data(), 0, int64_t{rows} * columns, columns, 1};
    } else {  // channels last
      view = {bytes.data(), 0, 1, int64_t{columns} * channels, channels};
    }
  }
};

inline std::vector<double> random_map(Dice& dice, int w) {
  std::normal_distribution<double> normal;
  const double scale = std::pow(10.0, dice.roll(-2, 2));
  std::vector<double> theta(6);
  for (double& t : theta) t = normal(dice.engine) * scale;
  if (dice.coin()) theta = {1, 0, dice.roll(-3, 3) * 2.0 / w, 0, 1, 0};  // on whole pixels
  const double strange[] = {NAN, INFINITY, 1e38, -1e300, 0};
  const int kind = dice.roll(0, 15);
  if (kind < 5) theta[dice.roll(0, 5)] = strange[kind];
  if (kind == 5) theta[0] = theta[1] = 0;
  if (kind == 6) theta.assign(6, 0);
  return theta;
}

}  // namespace compositor
