// For x86-64 processors with AVX2, FMA and F16C, chosen at run time.
#include <cstddef>
#include <cstdint>
#include <new>

#include "kernels.h"

#ifdef COMPOSITOR_BUILD_AVX2
#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

#define COMPOSITOR_INSTRUCTION_SET avx2
#define COMPOSITOR_AVX2
#include "kernels_impl.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif
