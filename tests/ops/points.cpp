// Coordinates of many canvas pixels under random maps, in bits: the same however the compiler
// contracts multiplications and additions.
#include <cstdio>
#include <random>

#include "../../csrc/cuda/launch.h"

using namespace compositor;
using namespace compositor::cuda;

int main() {
  std::mt19937 engine(0);
  std::normal_distribution<double> normal;
  for (int k = 0; k < 1000; ++k) {
    double theta[6];
    for (double& element : theta) element = normal(engine);
    const AffineMap<float> map = make_map<float>(theta, {37, 53, 61, 47});
    const Point<float> at = point_of(map, k % 61, k % 47);
    std::printf("%08x %08x\n", bit_cast<uint32_t>(at.u), bit_cast<uint32_t>(at.v));
  }
}
