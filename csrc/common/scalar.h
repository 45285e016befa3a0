// Storage types of images and the type each is computed in. Each kind of kernel includes this in
// its own unnamed namespace: the CPU compiles it once per instruction set, and nothing here may be
// shared between builds.

// bfloat16 and float16 are plain bits, and scalars instead of structs so that conversions
// vectorise.
enum class BFloat16 : uint16_t {};
enum class Float16 : uint16_t {};
// A level of 0 to 255, which stands for 0 to 1 in a mask.
enum class Byte : uint8_t {};

template <typename S>
struct Compute {
  using type = float;
};
template <>
struct Compute<double> {
  using type = double;
};

// What a mask's 1 is stored as.
template <typename S>
constexpr float kOne = 1;
template <>
constexpr float kOne<Byte> = 255;

template <typename To, typename From>
COMPOSITOR_HOST_DEVICE inline To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof(to));
  return to;
}

COMPOSITOR_HOST_DEVICE inline double load(double value) { return value; }
COMPOSITOR_HOST_DEVICE inline float load(float value) { return value; }
COMPOSITOR_HOST_DEVICE inline float load(Byte value) { return static_cast<uint8_t>(value); }
COMPOSITOR_HOST_DEVICE inline float load(BFloat16 value) {
  return bit_cast<float>(static_cast<uint32_t>(value) << 16);
}
COMPOSITOR_HOST_DEVICE inline float load(Float16 value) {
#ifdef __CUDA_ARCH__
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(static_cast<uint16_t>(value)));
  return result;
#else
  // Shift the exponent into place and rescale; subnormals by the usual magic number.
  const uint32_t word = static_cast<uint32_t>(value) << 16;
  const uint32_t sign = word & 0x80000000u, magnitude = word + word;
  const float normal = bit_cast<float>((magnitude >> 4) + (0xE0u << 23)) * 0x1.0p-112f;
  const float subnormal = bit_cast<float>((magnitude >> 17) | (126u << 23)) - 0.5f;
  const float result = magnitude < (1u << 27) ? subnormal : normal;
  return bit_cast<float>(sign | bit_cast<uint32_t>(result));
#endif
}

COMPOSITOR_HOST_DEVICE inline void store(double& to, double value) { to = value; }
COMPOSITOR_HOST_DEVICE inline void store(float& to, float value) { to = value; }
// Saturated, to nearest, ties to even: the sum's last bit is worth 1. NaN is 0.
COMPOSITOR_HOST_DEVICE inline void store(Byte& to, float value) {
  const float level = value > 0 ? (value < 255 ? value : 255.0f) : 0.0f;
  to = static_cast<Byte>(static_cast<uint8_t>(bit_cast<uint32_t>(level + 0x1.8p23f)));
}
COMPOSITOR_HOST_DEVICE inline void store(BFloat16& to, float value) {
  const uint32_t word = bit_cast<uint32_t>(value);
  const uint32_t rounded = (word + 0x7FFFu + ((word >> 16) & 1u)) >> 16;  // to nearest, ties even
  to = static_cast<BFloat16>(value == value ? rounded : 0x7FC0u);
}
COMPOSITOR_HOST_DEVICE inline void store(Float16& to, float value) {
#ifdef __CUDA_ARCH__
  uint16_t bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  to = static_cast<Float16>(bits);
#else
  const uint32_t word = bit_cast<uint32_t>(value);
  const uint32_t sign = word & 0x80000000u, magnitude = word + word;
  float base = (bit_cast<float>(word & 0x7FFFFFFFu) * 0x1.0p+112f) * 0x1.0p-110f;
  uint32_t bias = magnitude & 0xFF000000u;
  bias = bias < 0x71000000u ? 0x71000000u : bias;
  base = bit_cast<float>((bias >> 1) + 0x07800000u) + base;
  const uint32_t bits = bit_cast<uint32_t>(base);
  const uint32_t finite = ((bits >> 13) & 0x00007C00u) + (bits & 0x00000FFFu);
  to = static_cast<Float16>((sign >> 16) | (magnitude > 0xFF000000u ? 0x7E00u : finite));
#endif
}
