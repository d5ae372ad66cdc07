/* exact_math_vec.h - the array functions of exact_math_simd.h over vectors; TABLE is their table's name. */
#ifndef WH_TESTS_EXACT_MATH_VEC_H
#define WH_TESTS_EXACT_MATH_VEC_H

#include "backends/cpu/vec_math.h"
#include "tests/kernels/exact_math_simd.h"

#define ARRAY_FUNCTION(f)                                                             \
  static void f##_array(const float *x, float *y, size_t n) {                         \
    for (size_t i = 0; i < n; i += VF_LANES) vf_store(y + i, vf_##f(vf_load(x + i))); \
  }
ARRAY_FUNCTION(exp)
ARRAY_FUNCTION(tanh)
ARRAY_FUNCTION(erf)
ARRAY_FUNCTION(sigmoid)
ARRAY_FUNCTION(silu)
ARRAY_FUNCTION(gelu_tanh)
ARRAY_FUNCTION(gelu_erf)

static void sincos_array(const float *x, float *y, size_t n) {
  for (size_t i = 0; i < n; i += VF_LANES) {
    vf s, c;
    vf_sincos(vf_load(x + i), &s, &c);
    vf_store(y + i, s);
    vf_store(y + n + i, c);
  }
}

static float sum64_tree(const float *lanes) {
  vf v[64 / VF_LANES];
  for (int i = 0; i < 64 / VF_LANES; i++) v[i] = vf_load(lanes + i * VF_LANES);
  return vf_sum64_tree(v);
}

const exact_math_simd TABLE = {exp_array,       tanh_array,     erf_array,    sigmoid_array, silu_array,
                               gelu_tanh_array, gelu_erf_array, sincos_array, sum64_tree};

#endif
