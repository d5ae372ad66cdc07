/* exact_math_neon.c - the array functions of exact_math_simd.h with NEON. */
#include "backends/cpu/neon/math_neon.h"
#include "tests/kernels/exact_math_simd.h"

#define ARRAY_FUNCTION(f)                                                                \
  static void f##_array(const float *x, float *y, size_t n) {                            \
    for (size_t i = 0; i < n; i += 4) vst1q_f32(y + i, wh_##f##_neon(vld1q_f32(x + i))); \
  }
ARRAY_FUNCTION(exp)
ARRAY_FUNCTION(tanh)
ARRAY_FUNCTION(erf)
ARRAY_FUNCTION(sigmoid)
ARRAY_FUNCTION(silu)
ARRAY_FUNCTION(gelu_tanh)
ARRAY_FUNCTION(gelu_erf)

static void sincos_array(const float *x, float *y, size_t n) {
  for (size_t i = 0; i < n; i += 4) {
    float32x4_t s, c;
    wh_sincos_neon(vld1q_f32(x + i), &s, &c);
    vst1q_f32(y + i, s);
    vst1q_f32(y + n + i, c);
  }
}

static float sum64_tree(const float *lanes) {
  float32x4_t v[64 / 4];
  for (int i = 0; i < 64 / 4; i++) v[i] = vld1q_f32(lanes + i * 4);
  return wh_sum64_tree_neon(v);
}

const exact_math_simd exact_math_simd_neon = {exp_array,      tanh_array,   erf_array,
                                              sigmoid_array,  silu_array,   gelu_tanh_array,
                                              gelu_erf_array, sincos_array, sum64_tree};
