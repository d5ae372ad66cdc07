/* exact_math_neon.c - the array functions of exact_math_simd.h, NEON. */
#include "backends/cpu/neon/vec_neon.h"

#define TABLE exact_math_simd_neon
#include "tests/kernels/exact_math_vec.h"
