/* exact_math_avx2.c - the array functions of exact_math_simd.h, AVX2. */
#include "backends/cpu/avx2/vec_avx2.h"

#define TABLE exact_math_simd_avx2
#include "tests/kernels/exact_math_vec.h"
