// For any processor: SSE2 on x86-64, NEON on Arm.
#include <cstddef>
#include <cstdint>
#include <new>

#include "kernels.h"

#define COMPOSITOR_INSTRUCTION_SET baseline
#include "kernels_impl.h"
