/* exact_math_avx512.c - the array functions of exact_math_simd.h, AVX-512. */
#include "backends/cpu/avx512/vec_avx512.h"

#define TABLE exact_math_simd_avx512
#include "tests/kernels/exact_math_vec.h"
