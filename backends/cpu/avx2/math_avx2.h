/* math_avx2.h - base/exact_math.h, eight lanes at a time: the same operations in the same order, so the same
 * bits. Static inline only: included by kernel files that are compiled for AVX2. */
#ifndef WH_CPU_MATH_AVX2_H
#define WH_CPU_MATH_AVX2_H

#include <immintrin.h>

#include "core/base/exact_math.h"

static inline __m256 wh_abs_ps_avx2(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }

/* |magnitude| with the sign of `sign` */
static inline __m256 wh_copysign_ps_avx2(__m256 magnitude, __m256 sign) {
  const __m256 bit = _mm256_set1_ps(-0.0f);
  return _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign));
}

static inline __m256 wh_neg_ps_avx2(__m256 x) { return _mm256_xor_ps(x, _mm256_set1_ps(-0.0f)); }

static inline __m256 wh_rint_ps_avx2(__m256 x) {
  return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* 2^n for -126 <= n <= 127 */
static inline __m256 wh_exp2i_ps_avx2(__m256i n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* exp for WH_EXP_MIN <= x <= WH_EXP_MAX */
static inline __m256 wh_exp_in_range_ps_avx2(__m256 x) {
  __m256 n = wh_rint_ps_avx2(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)));
  __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-0.693359375f), x);
  r = _mm256_fmadd_ps(n, _mm256_set1_ps(2.12194440e-4f), r);
  __m256 p = _mm256_set1_ps(1.9875691500e-4f);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
  p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r);
  p = _mm256_add_ps(p, _mm256_set1_ps(1.0f));
  __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1);
  return _mm256_mul_ps(_mm256_mul_ps(p, wh_exp2i_ps_avx2(half)), wh_exp2i_ps_avx2(_mm256_sub_epi32(i, half)));
}

static inline __m256 wh_exp_ps_avx2(__m256 x) {
  __m256 y = wh_exp_in_range_ps_avx2(x);
  y = _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(WH_EXP_MIN), _CMP_LT_OQ), y);
  y = _mm256_blendv_ps(y, _mm256_set1_ps(INFINITY), _mm256_cmp_ps(x, _mm256_set1_ps(WH_EXP_MAX), _CMP_GT_OQ));
  return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

static inline __m256 wh_tanh_ps_avx2(__m256 x) {
  const __m256 one = _mm256_set1_ps(1.0f);
  __m256 a = wh_abs_ps_avx2(x), z = _mm256_mul_ps(x, x);
  __m256 p = _mm256_set1_ps(-5.70498872745e-3f);
  p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(2.06390887954e-2f));
  p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(-5.37397155531e-2f));
  p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(1.33314422036e-1f));
  p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(-3.33332819422e-1f));
  p = _mm256_fmadd_ps(_mm256_mul_ps(p, z), x, x);
  __m256 e = _mm256_add_ps(wh_exp_ps_avx2(_mm256_add_ps(a, a)), one);
  __m256 t = wh_copysign_ps_avx2(_mm256_sub_ps(one, _mm256_div_ps(_mm256_set1_ps(2.0f), e)), x);
  return _mm256_blendv_ps(t, p, _mm256_cmp_ps(a, _mm256_set1_ps(0.625f), _CMP_LT_OQ));
}

static inline __m256 wh_erf_ps_avx2(__m256 x) {
  const __m256 one = _mm256_set1_ps(1.0f);
  __m256 a = wh_abs_ps_avx2(x), z = _mm256_mul_ps(x, x);
  __m256 p = _mm256_set1_ps(-6.01339561e-4f);
  p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(4.998001270e-3f));
  p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(-2.6770232245e-2f));
  p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(1.12819269e-1f));
  p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(-3.76125067e-1f));
  p = _mm256_fmadd_ps(p, z, _mm256_set1_ps(1.28379151e-1f));
  p = _mm256_fmadd_ps(p, x, x);
  __m256 q = _mm256_set1_ps(1.94712760e-4f);
  q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(-3.03140562e-3f));
  q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(2.21806858e-2f));
  q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(-1.03837550e-1f));
  q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(-6.37287199e-1f));
  q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(-1.12761462f));
  q = _mm256_fmadd_ps(q, a, _mm256_set1_ps(-2.10089958e-4f));
  __m256 t = _mm256_sub_ps(one, wh_exp_ps_avx2(q));
  t = _mm256_blendv_ps(t, one, _mm256_cmp_ps(a, _mm256_set1_ps(4.0f), _CMP_GE_OQ));
  t = wh_copysign_ps_avx2(t, x);
  t = _mm256_blendv_ps(t, p, _mm256_cmp_ps(a, _mm256_set1_ps(0.921875f), _CMP_LT_OQ));
  return _mm256_blendv_ps(t, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

static inline __m256 wh_sigmoid_ps_avx2(__m256 x) {
  const __m256 one = _mm256_set1_ps(1.0f);
  return _mm256_div_ps(one, _mm256_add_ps(one, wh_exp_ps_avx2(wh_neg_ps_avx2(x))));
}
static inline __m256 wh_silu_ps_avx2(__m256 x) {
  return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), wh_exp_ps_avx2(wh_neg_ps_avx2(x))));
}
static inline __m256 wh_gelu_tanh_ps_avx2(__m256 x) {
  __m256 cube = _mm256_mul_ps(_mm256_mul_ps(x, x), x);
  __m256 u = _mm256_mul_ps(_mm256_fmadd_ps(cube, _mm256_set1_ps(0.044715f), x), _mm256_set1_ps(0.79788456f));
  return _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(0.5f), x),
                       _mm256_add_ps(_mm256_set1_ps(1.0f), wh_tanh_ps_avx2(u)));
}
static inline __m256 wh_gelu_erf_ps_avx2(__m256 x) {
  __m256 e = wh_erf_ps_avx2(_mm256_mul_ps(x, _mm256_set1_ps(0.70710678f)));
  return _mm256_mul_ps(_mm256_mul_ps(_mm256_set1_ps(0.5f), x), _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

/* NaN from where the scalar has it: all steps keep it, and its quadrant is 0 */
static inline void wh_sincos_ps_avx2(__m256 x, __m256 *sin_out, __m256 *cos_out) {
  const __m256 magnitude = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
  x = _mm256_blendv_ps(_mm256_set1_ps(NAN), x,
                       _mm256_cmp_ps(magnitude, _mm256_set1_ps(WH_SINCOS_MAX), _CMP_LE_OQ));
  __m256 k = wh_rint_ps_avx2(_mm256_mul_ps(x, _mm256_set1_ps(0.63661977f)));
  __m256 r = _mm256_fmadd_ps(k, _mm256_set1_ps(-1.57079637050628662109375f), x);
  r = _mm256_fmadd_ps(k, _mm256_set1_ps(4.37113900018624283e-8f), r);
  r = _mm256_fmadd_ps(k, _mm256_set1_ps(1.71512451e-15f), r);
  __m256 z = _mm256_mul_ps(r, r);
  __m256 s = _mm256_set1_ps(-1.9515295891e-4f);
  s = _mm256_fmadd_ps(s, z, _mm256_set1_ps(8.3321608736e-3f));
  s = _mm256_fmadd_ps(s, z, _mm256_set1_ps(-1.6666654611e-1f));
  s = _mm256_fmadd_ps(_mm256_mul_ps(s, z), r, r);
  __m256 c = _mm256_set1_ps(2.443315711809948e-5f);
  c = _mm256_fmadd_ps(c, z, _mm256_set1_ps(-1.388731625493765e-3f));
  c = _mm256_fmadd_ps(c, z, _mm256_set1_ps(4.166664568298827e-2f));
  c = _mm256_fmadd_ps(c, _mm256_mul_ps(z, z),
                      _mm256_fmadd_ps(z, _mm256_set1_ps(-0.5f), _mm256_set1_ps(1.0f)));
  __m256i q = _mm256_cvtps_epi32(k), one = _mm256_set1_epi32(1), two = _mm256_set1_epi32(2);
  __m256 swap = _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(q, one), one));
  __m256 neg_sin = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_and_si256(q, two), 30));
  __m256 neg_cos =
      _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_and_si256(_mm256_add_epi32(q, one), two), 30));
  *sin_out = _mm256_xor_ps(_mm256_blendv_ps(s, c, swap), neg_sin);
  *cos_out = _mm256_xor_ps(_mm256_blendv_ps(c, s, swap), neg_cos);
}

/* The end of sum64: lane j of the 64 is lane j mod 8 of lanes[j / 8]. h = 32, 16 and 8 add whole vectors. */
static inline float wh_sum64_tree_avx2(const __m256 lanes[8]) {
  __m256 even = _mm256_add_ps(_mm256_add_ps(lanes[0], lanes[4]), _mm256_add_ps(lanes[2], lanes[6]));
  __m256 odd = _mm256_add_ps(_mm256_add_ps(lanes[1], lanes[5]), _mm256_add_ps(lanes[3], lanes[7]));
  __m256 a = _mm256_add_ps(even, odd);
  __m128 c = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  c = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

#endif
