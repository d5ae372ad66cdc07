/* math_neon.h - base/exact_math.h, four lanes at a time: the same operations in the same order, so the same
 * bits. AArch64 only: its vectors are IEEE 754 with subnormals, those of ARMv7 are not. Static inline only.
 */
#ifndef WH_CPU_MATH_NEON_H
#define WH_CPU_MATH_NEON_H

#include <arm_neon.h>

#include "core/base/exact_math.h"

#define WH_F32X4(x) vdupq_n_f32(x)

/* a * b + c */
static inline float32x4_t wh_fma_neon(float32x4_t a, float32x4_t b, float32x4_t c) {
  return vfmaq_f32(c, a, b);
}

/* 2^n for -126 <= n <= 127 */
static inline float32x4_t wh_exp2i_neon(int32x4_t n) {
  return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
}

/* Zeros where the mask is not. */
static inline float32x4_t wh_keep_neon(uint32x4_t mask, float32x4_t x) {
  return vreinterpretq_f32_u32(vandq_u32(mask, vreinterpretq_u32_f32(x)));
}

/* |magnitude| with the sign of `sign` */
static inline float32x4_t wh_copysign_neon(float32x4_t magnitude, float32x4_t sign) {
  return vbslq_f32(vdupq_n_u32(0x80000000u), sign, magnitude);
}

/* exp for WH_EXP_MIN <= x <= WH_EXP_MAX */
static inline float32x4_t wh_exp_in_range_neon(float32x4_t x) {
  float32x4_t n = vrndnq_f32(vmulq_f32(x, WH_F32X4(1.44269504f)));
  float32x4_t r = wh_fma_neon(n, WH_F32X4(-0.693359375f), x);
  r = wh_fma_neon(n, WH_F32X4(2.12194440e-4f), r);
  float32x4_t p = WH_F32X4(1.9875691500e-4f);
  p = wh_fma_neon(p, r, WH_F32X4(1.3981999507e-3f));
  p = wh_fma_neon(p, r, WH_F32X4(8.3334519073e-3f));
  p = wh_fma_neon(p, r, WH_F32X4(4.1665795894e-2f));
  p = wh_fma_neon(p, r, WH_F32X4(1.6666665459e-1f));
  p = wh_fma_neon(p, r, WH_F32X4(5.0000001201e-1f));
  p = wh_fma_neon(p, vmulq_f32(r, r), r);
  p = vaddq_f32(p, WH_F32X4(1.0f));
  int32x4_t i = vcvtq_s32_f32(n), half = vshrq_n_s32(i, 1);
  return vmulq_f32(vmulq_f32(p, wh_exp2i_neon(half)), wh_exp2i_neon(vsubq_s32(i, half)));
}

/* exp for x that is NaN or at most WH_EXP_MAX */
static inline float32x4_t wh_exp_nonpositive_neon(float32x4_t x) {
  return wh_keep_neon(vmvnq_u32(vcltq_f32(x, WH_F32X4(WH_EXP_MIN))), wh_exp_in_range_neon(x));
}

static inline float32x4_t wh_exp_neon(float32x4_t x) {
  float32x4_t y = wh_exp_nonpositive_neon(x);
  y = vbslq_f32(vcgtq_f32(x, WH_F32X4(WH_EXP_MAX)), WH_F32X4(INFINITY), y);
  return vbslq_f32(vceqq_f32(x, x), y, x);
}

static inline float32x4_t wh_tanh_neon(float32x4_t x) {
  const float32x4_t one = WH_F32X4(1.0f);
  float32x4_t a = vabsq_f32(x), z = vmulq_f32(x, x);
  float32x4_t p = WH_F32X4(-5.70498872745e-3f);
  p = wh_fma_neon(p, z, WH_F32X4(2.06390887954e-2f));
  p = wh_fma_neon(p, z, WH_F32X4(-5.37397155531e-2f));
  p = wh_fma_neon(p, z, WH_F32X4(1.33314422036e-1f));
  p = wh_fma_neon(p, z, WH_F32X4(-3.33332819422e-1f));
  p = wh_fma_neon(vmulq_f32(p, z), x, x);
  float32x4_t e = vaddq_f32(wh_exp_neon(vaddq_f32(a, a)), one);
  float32x4_t t = wh_copysign_neon(vsubq_f32(one, vdivq_f32(WH_F32X4(2.0f), e)), x);
  return vbslq_f32(vcltq_f32(a, WH_F32X4(0.625f)), p, t);
}

static inline float32x4_t wh_erf_neon(float32x4_t x) {
  const float32x4_t one = WH_F32X4(1.0f);
  float32x4_t a = vabsq_f32(x), z = vmulq_f32(x, x);
  float32x4_t p = WH_F32X4(-6.01339561e-4f);
  p = wh_fma_neon(p, z, WH_F32X4(4.998001270e-3f));
  p = wh_fma_neon(p, z, WH_F32X4(-2.6770232245e-2f));
  p = wh_fma_neon(p, z, WH_F32X4(1.12819269e-1f));
  p = wh_fma_neon(p, z, WH_F32X4(-3.76125067e-1f));
  p = wh_fma_neon(p, z, WH_F32X4(1.28379151e-1f));
  p = wh_fma_neon(p, x, x);
  float32x4_t q = WH_F32X4(1.94712760e-4f);
  q = wh_fma_neon(q, a, WH_F32X4(-3.03140562e-3f));
  q = wh_fma_neon(q, a, WH_F32X4(2.21806858e-2f));
  q = wh_fma_neon(q, a, WH_F32X4(-1.03837550e-1f));
  q = wh_fma_neon(q, a, WH_F32X4(-6.37287199e-1f));
  q = wh_fma_neon(q, a, WH_F32X4(-1.12761462f));
  q = wh_fma_neon(q, a, WH_F32X4(-2.10089958e-4f));
  float32x4_t t = vsubq_f32(one, wh_exp_neon(q));
  t = vbslq_f32(vcgeq_f32(a, WH_F32X4(4.0f)), one, t);
  t = wh_copysign_neon(t, x);
  t = vbslq_f32(vcltq_f32(a, WH_F32X4(0.921875f)), p, t);
  return vbslq_f32(vceqq_f32(x, x), t, x);
}

static inline float32x4_t wh_sigmoid_neon(float32x4_t x) {
  return vdivq_f32(WH_F32X4(1.0f), vaddq_f32(WH_F32X4(1.0f), wh_exp_neon(vnegq_f32(x))));
}
static inline float32x4_t wh_silu_neon(float32x4_t x) {
  return vdivq_f32(x, vaddq_f32(WH_F32X4(1.0f), wh_exp_neon(vnegq_f32(x))));
}
static inline float32x4_t wh_gelu_tanh_neon(float32x4_t x) {
  float32x4_t cube = vmulq_f32(vmulq_f32(x, x), x);
  float32x4_t u = vmulq_f32(wh_fma_neon(cube, WH_F32X4(0.044715f), x), WH_F32X4(0.79788456f));
  return vmulq_f32(vmulq_f32(WH_F32X4(0.5f), x), vaddq_f32(WH_F32X4(1.0f), wh_tanh_neon(u)));
}
static inline float32x4_t wh_gelu_erf_neon(float32x4_t x) {
  float32x4_t e = wh_erf_neon(vmulq_f32(x, WH_F32X4(0.70710678f)));
  return vmulq_f32(vmulq_f32(WH_F32X4(0.5f), x), vaddq_f32(WH_F32X4(1.0f), e));
}

/* NaN from where the scalar has it: all steps keep it, and its quadrant is 0 */
static inline void wh_sincos_neon(float32x4_t x, float32x4_t *sin_out, float32x4_t *cos_out) {
  x = vbslq_f32(vcleq_f32(vabsq_f32(x), WH_F32X4(WH_SINCOS_MAX)), x, WH_F32X4(NAN));
  float32x4_t k = vrndnq_f32(vmulq_f32(x, WH_F32X4(0.63661977f)));
  float32x4_t r = wh_fma_neon(k, WH_F32X4(-1.57079637050628662109375f), x);
  r = wh_fma_neon(k, WH_F32X4(4.37113900018624283e-8f), r);
  r = wh_fma_neon(k, WH_F32X4(1.71512451e-15f), r);
  float32x4_t z = vmulq_f32(r, r);
  float32x4_t s = WH_F32X4(-1.9515295891e-4f);
  s = wh_fma_neon(s, z, WH_F32X4(8.3321608736e-3f));
  s = wh_fma_neon(s, z, WH_F32X4(-1.6666654611e-1f));
  s = wh_fma_neon(vmulq_f32(s, z), r, r);
  float32x4_t c = WH_F32X4(2.443315711809948e-5f);
  c = wh_fma_neon(c, z, WH_F32X4(-1.388731625493765e-3f));
  c = wh_fma_neon(c, z, WH_F32X4(4.166664568298827e-2f));
  c = wh_fma_neon(c, vmulq_f32(z, z), wh_fma_neon(z, WH_F32X4(-0.5f), WH_F32X4(1.0f)));
  uint32x4_t q = vreinterpretq_u32_s32(vcvtq_s32_f32(k)), one = vdupq_n_u32(1), two = vdupq_n_u32(2);
  uint32x4_t swap = vtstq_u32(q, one), neg_sin = vshlq_n_u32(vandq_u32(q, two), 30);
  uint32x4_t neg_cos = vshlq_n_u32(vandq_u32(vaddq_u32(q, one), two), 30);
  *sin_out = vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(vbslq_f32(swap, c, s)), neg_sin));
  *cos_out = vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(vbslq_f32(swap, s, c)), neg_cos));
}

/* The end of sum64: lane j of the 64 is lane j mod 4 of lanes[j / 4]. h = 32, 16, 8 and 4 add whole vectors.
 */
static inline float wh_sum64_tree_neon(float32x4_t lanes[16]) {
  for (int h = 8; h > 0; h /= 2)
    for (int i = 0; i < h; i++) lanes[i] = vaddq_f32(lanes[i], lanes[i + h]);
  float32x2_t two = vadd_f32(vget_low_f32(lanes[0]), vget_high_f32(lanes[0]));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

/* Four elements from x, zeros from lane `left` on; nothing is read past them. */
static inline float32x4_t wh_load_neon(const float *x, int64_t left) {
  float some[4] = {0.0f};
  if (left >= 4) return vld1q_f32(x);
  for (int64_t i = 0; i < left; i++) some[i] = x[i];
  return vld1q_f32(some);
}
static inline void wh_store_neon(float *y, int64_t left, float32x4_t v) {
  float some[4];
  if (left >= 4) {
    vst1q_f32(y, v);
    return;
  }
  vst1q_f32(some, v);
  for (int64_t i = 0; i < left; i++) y[i] = some[i];
}

#endif
