/* exact_math_avx512.c - the array functions of exact_math_simd.h, compiled for avx512. */
#include "backends/cpu/avx512/math_avx512.h"
#include "tests/kernels/exact_math_simd.h"

#define ARRAY_FUNCTION(f)                                                                                   \
  static void f##_array(const float *x, float *y, size_t n) {                                               \
    for (size_t i = 0; i < n; i += 16) _mm512_storeu_ps(y + i, wh_##f##_ps_avx512(_mm512_loadu_ps(x + i))); \
  }
ARRAY_FUNCTION(exp)
ARRAY_FUNCTION(tanh)
ARRAY_FUNCTION(erf)
ARRAY_FUNCTION(sigmoid)
ARRAY_FUNCTION(silu)
ARRAY_FUNCTION(gelu_tanh)
ARRAY_FUNCTION(gelu_erf)

static void sincos_array(const float *x, float *y, size_t n) {
  for (size_t i = 0; i < n; i += 16) {
    __m512 s, c;
    wh_sincos_ps_avx512(_mm512_loadu_ps(x + i), &s, &c);
    _mm512_storeu_ps(y + i, s);
    _mm512_storeu_ps(y + n + i, c);
  }
}

static float sum64_tree(const float *lanes) {
  __m512 v[64 / 16];
  for (int i = 0; i < 64 / 16; i++) v[i] = _mm512_loadu_ps(lanes + i * 16);
  return wh_sum64_tree_avx512(v);
}

const exact_math_simd exact_math_simd_avx512 = {exp_array,      tanh_array,   erf_array,
                                                sigmoid_array,  silu_array,   gelu_tanh_array,
                                                gelu_erf_array, sincos_array, sum64_tree};
