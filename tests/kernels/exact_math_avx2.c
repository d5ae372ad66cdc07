/* exact_math_avx2.c - the array functions of exact_math_simd.h, compiled for avx2. */
#include "backends/cpu/avx2/math_avx2.h"
#include "tests/kernels/exact_math_simd.h"

#define ARRAY_FUNCTION(f)                                                                                \
  static void f##_array(const float *x, float *y, size_t n) {                                            \
    for (size_t i = 0; i < n; i += 8) _mm256_storeu_ps(y + i, wh_##f##_ps_avx2(_mm256_loadu_ps(x + i))); \
  }
ARRAY_FUNCTION(exp)
ARRAY_FUNCTION(tanh)
ARRAY_FUNCTION(erf)
ARRAY_FUNCTION(sigmoid)
ARRAY_FUNCTION(silu)
ARRAY_FUNCTION(gelu_tanh)
ARRAY_FUNCTION(gelu_erf)

static void sincos_array(const float *x, float *y, size_t n) {
  for (size_t i = 0; i < n; i += 8) {
    __m256 s, c;
    wh_sincos_ps_avx2(_mm256_loadu_ps(x + i), &s, &c);
    _mm256_storeu_ps(y + i, s);
    _mm256_storeu_ps(y + n + i, c);
  }
}

static float sum64_tree(const float *lanes) {
  __m256 v[64 / 8];
  for (int i = 0; i < 64 / 8; i++) v[i] = _mm256_loadu_ps(lanes + i * 8);
  return wh_sum64_tree_avx2(v);
}

const exact_math_simd exact_math_simd_avx2 = {exp_array,      tanh_array,   erf_array,
                                              sigmoid_array,  silu_array,   gelu_tanh_array,
                                              gelu_erf_array, sincos_array, sum64_tree};
