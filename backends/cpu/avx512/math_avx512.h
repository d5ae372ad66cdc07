/* math_avx512.h - base/exact_math.h, sixteen lanes at a time: the same operations in the same order, so the
 * same bits. Static inline only: included by kernel files that are compiled for AVX-512. */
#ifndef WH_CPU_MATH_AVX512_H
#define WH_CPU_MATH_AVX512_H

#include <immintrin.h>

#include "core/base/exact_math.h"

static inline __m512 wh_abs_ps_avx512(__m512 x) { return _mm512_abs_ps(x); }

/* |magnitude| with the sign of `sign` */
static inline __m512 wh_copysign_ps_avx512(__m512 magnitude, __m512 sign) {
  __m512i bit = _mm512_set1_epi32((int)0x80000000u); /* sel ? sign : magnitude, bit by bit */
  return _mm512_castsi512_ps(
      _mm512_ternarylogic_epi32(bit, _mm512_castps_si512(sign), _mm512_castps_si512(magnitude), 0xca));
}

static inline __m512 wh_neg_ps_avx512(__m512 x) { return _mm512_xor_ps(x, _mm512_set1_ps(-0.0f)); }

static inline __m512 wh_rint_ps_avx512(__m512 x) {
  return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* exp for WH_EXP_MIN <= x <= WH_EXP_MAX. The scalar's two factors 2^half and 2^(n-half) round once, at the
 * second product (the first is exact), which is what vscalefps does. */
static inline __m512 wh_exp_in_range_ps_avx512(__m512 x) {
  __m512 n = wh_rint_ps_avx512(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)));
  __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-0.693359375f), x);
  r = _mm512_fmadd_ps(n, _mm512_set1_ps(2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.9875691500e-4f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
  p = _mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r);
  p = _mm512_add_ps(p, _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

static inline __m512 wh_exp_ps_avx512(__m512 x) {
  __m512 y = wh_exp_in_range_ps_avx512(x);
  y = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(WH_EXP_MIN), _CMP_NLT_UQ), y);
  y = _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, _mm512_set1_ps(WH_EXP_MAX), _CMP_GT_OQ),
                         _mm512_set1_ps(INFINITY));
  return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
}

static inline __m512 wh_tanh_ps_avx512(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.0f);
  __m512 a = wh_abs_ps_avx512(x), z = _mm512_mul_ps(x, x);
  __m512 p = _mm512_set1_ps(-5.70498872745e-3f);
  p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(2.06390887954e-2f));
  p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(-5.37397155531e-2f));
  p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(1.33314422036e-1f));
  p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(-3.33332819422e-1f));
  p = _mm512_fmadd_ps(_mm512_mul_ps(p, z), x, x);
  __m512 e = _mm512_add_ps(wh_exp_ps_avx512(_mm512_add_ps(a, a)), one);
  __m512 t = wh_copysign_ps_avx512(_mm512_sub_ps(one, _mm512_div_ps(_mm512_set1_ps(2.0f), e)), x);
  return _mm512_mask_mov_ps(t, _mm512_cmp_ps_mask(a, _mm512_set1_ps(0.625f), _CMP_LT_OQ), p);
}

static inline __m512 wh_erf_ps_avx512(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.0f);
  __m512 a = wh_abs_ps_avx512(x), z = _mm512_mul_ps(x, x);
  __m512 p = _mm512_set1_ps(-6.01339561e-4f);
  p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(4.998001270e-3f));
  p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(-2.6770232245e-2f));
  p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(1.12819269e-1f));
  p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(-3.76125067e-1f));
  p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(1.28379151e-1f));
  p = _mm512_fmadd_ps(p, x, x);
  __m512 q = _mm512_set1_ps(1.94712760e-4f);
  q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(-3.03140562e-3f));
  q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(2.21806858e-2f));
  q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(-1.03837550e-1f));
  q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(-6.37287199e-1f));
  q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(-1.12761462f));
  q = _mm512_fmadd_ps(q, a, _mm512_set1_ps(-2.10089958e-4f));
  __m512 t = _mm512_sub_ps(one, wh_exp_ps_avx512(q));
  t = _mm512_mask_mov_ps(t, _mm512_cmp_ps_mask(a, _mm512_set1_ps(4.0f), _CMP_GE_OQ), one);
  t = wh_copysign_ps_avx512(t, x);
  t = _mm512_mask_mov_ps(t, _mm512_cmp_ps_mask(a, _mm512_set1_ps(0.921875f), _CMP_LT_OQ), p);
  return _mm512_mask_mov_ps(t, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
}

static inline __m512 wh_sigmoid_ps_avx512(__m512 x) {
  const __m512 one = _mm512_set1_ps(1.0f);
  return _mm512_div_ps(one, _mm512_add_ps(one, wh_exp_ps_avx512(wh_neg_ps_avx512(x))));
}
static inline __m512 wh_silu_ps_avx512(__m512 x) {
  return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), wh_exp_ps_avx512(wh_neg_ps_avx512(x))));
}
static inline __m512 wh_gelu_tanh_ps_avx512(__m512 x) {
  __m512 cube = _mm512_mul_ps(_mm512_mul_ps(x, x), x);
  __m512 u = _mm512_mul_ps(_mm512_fmadd_ps(cube, _mm512_set1_ps(0.044715f), x), _mm512_set1_ps(0.79788456f));
  return _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(0.5f), x),
                       _mm512_add_ps(_mm512_set1_ps(1.0f), wh_tanh_ps_avx512(u)));
}
static inline __m512 wh_gelu_erf_ps_avx512(__m512 x) {
  __m512 e = wh_erf_ps_avx512(_mm512_mul_ps(x, _mm512_set1_ps(0.70710678f)));
  return _mm512_mul_ps(_mm512_mul_ps(_mm512_set1_ps(0.5f), x), _mm512_add_ps(_mm512_set1_ps(1.0f), e));
}

/* NaN from where the scalar has it: all steps keep it, and its quadrant is 0 */
static inline void wh_sincos_ps_avx512(__m512 x, __m512 *sin_out, __m512 *cos_out) {
  const __mmask16 inside = _mm512_cmp_ps_mask(_mm512_abs_ps(x), _mm512_set1_ps(WH_SINCOS_MAX), _CMP_LE_OQ);
  x = _mm512_mask_mov_ps(_mm512_set1_ps(NAN), inside, x);
  __m512 k = wh_rint_ps_avx512(_mm512_mul_ps(x, _mm512_set1_ps(0.63661977f)));
  __m512 r = _mm512_fmadd_ps(k, _mm512_set1_ps(-1.57079637050628662109375f), x);
  r = _mm512_fmadd_ps(k, _mm512_set1_ps(4.37113900018624283e-8f), r);
  r = _mm512_fmadd_ps(k, _mm512_set1_ps(1.71512451e-15f), r);
  __m512 z = _mm512_mul_ps(r, r);
  __m512 s = _mm512_set1_ps(-1.9515295891e-4f);
  s = _mm512_fmadd_ps(s, z, _mm512_set1_ps(8.3321608736e-3f));
  s = _mm512_fmadd_ps(s, z, _mm512_set1_ps(-1.6666654611e-1f));
  s = _mm512_fmadd_ps(_mm512_mul_ps(s, z), r, r);
  __m512 c = _mm512_set1_ps(2.443315711809948e-5f);
  c = _mm512_fmadd_ps(c, z, _mm512_set1_ps(-1.388731625493765e-3f));
  c = _mm512_fmadd_ps(c, z, _mm512_set1_ps(4.166664568298827e-2f));
  c = _mm512_fmadd_ps(c, _mm512_mul_ps(z, z),
                      _mm512_fmadd_ps(z, _mm512_set1_ps(-0.5f), _mm512_set1_ps(1.0f)));
  __m512i q = _mm512_cvtps_epi32(k), one = _mm512_set1_epi32(1), two = _mm512_set1_epi32(2);
  __mmask16 swap = _mm512_test_epi32_mask(q, one);
  __mmask16 neg_sin = _mm512_test_epi32_mask(q, two);
  __mmask16 neg_cos = _mm512_test_epi32_mask(_mm512_add_epi32(q, one), two);
  const __m512 sign = _mm512_set1_ps(-0.0f);
  __m512 ss = _mm512_mask_mov_ps(s, swap, c), cc = _mm512_mask_mov_ps(c, swap, s);
  *sin_out = _mm512_mask_xor_ps(ss, neg_sin, ss, sign);
  *cos_out = _mm512_mask_xor_ps(cc, neg_cos, cc, sign);
}

/* The end of sum64: lane j of the 64 is lane j mod 16 of lanes[j / 16]. h = 32 and 16 add whole vectors. */
static inline float wh_sum64_tree_avx512(const __m512 lanes[4]) {
  __m512 a = _mm512_add_ps(_mm512_add_ps(lanes[0], lanes[2]), _mm512_add_ps(lanes[1], lanes[3]));
  __m256 b = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}

#endif
