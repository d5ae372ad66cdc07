/* exact_math_simd.h - the vector twins of base/exact_math.h as array functions, one table per ISA level, for
 * test_exact_math.c. Each table lives in a file compiled for its level. */
#ifndef WH_TESTS_EXACT_MATH_SIMD_H
#define WH_TESTS_EXACT_MATH_SIMD_H

#include <stddef.h>

/* n is a multiple of 16 */
typedef struct exact_math_simd {
  void (*exp)(const float *x, float *y, size_t n);
  void (*tanh)(const float *x, float *y, size_t n);
  void (*erf)(const float *x, float *y, size_t n);
  void (*sigmoid)(const float *x, float *y, size_t n);
  void (*silu)(const float *x, float *y, size_t n);
  void (*gelu_tanh)(const float *x, float *y, size_t n);
  void (*gelu_erf)(const float *x, float *y, size_t n);
  void (*sincos)(const float *x, float *y, size_t n); /* y[2 n]: sines, then cosines */
  float (*sum64_tree)(const float *lanes);
} exact_math_simd;

extern const exact_math_simd exact_math_simd_avx2, exact_math_simd_avx512, exact_math_simd_neon;

#endif
