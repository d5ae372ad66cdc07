/* base/exact_math.h - the elementary functions of the numerics contract, one scalar definition each.
 *
 * Every operation below is an IEEE-754 binary32 operation rounded to nearest even; fma() marks the only fused
 * ones. SIMD and GPU kernels perform the same operations in the same order, so they give the same bits.
 * Errors are stated in docs/NUMERICS.md and measured by tests. No libm: fmaf and rintf are single IEEE
 * operations. */
#ifndef WH_BASE_EXACT_MATH_H
#define WH_BASE_EXACT_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float wh_f32_from_bits(uint32_t u) {
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}
static inline uint32_t wh_f32_bits(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  return u;
}

#define WH_EXP_MAX 88.7228317f   /* largest x with exp(x) finite */
#define WH_EXP_MIN (-87.336540f) /* ln(2^-126): below it the result is +0 */

/* 2^n for -126 <= n <= 127 */
static inline float wh_exp2i_f32(int32_t n) { return wh_f32_from_bits((uint32_t)(n + 127) << 23); }

/* exp(x). n = rint(x log2 e); r = x - n ln2 in two steps; degree-5 polynomial on [-ln2/2, ln2/2]; 2^n applied
 * as two exact factors so that n = 128 and subnormal results are right. */
static inline float wh_exp_f32(float x) {
  if (!(x <= WH_EXP_MAX)) return x > WH_EXP_MAX ? INFINITY : x; /* NaN passes */
  if (x < WH_EXP_MIN) return 0.0f;
  float n = rintf(x * 1.44269504f);
  float r = fmaf(n, -0.693359375f, x);
  r = fmaf(n, 2.12194440e-4f, r);
  float p = 1.9875691500e-4f;
  p = fmaf(p, r, 1.3981999507e-3f);
  p = fmaf(p, r, 8.3334519073e-3f);
  p = fmaf(p, r, 4.1665795894e-2f);
  p = fmaf(p, r, 1.6666665459e-1f);
  p = fmaf(p, r, 5.0000001201e-1f);
  p = fmaf(p, r * r, r);
  p = p + 1.0f;
  int32_t i = (int32_t)n, half = i >> 1;
  return (p * wh_exp2i_f32(half)) * wh_exp2i_f32(i - half);
}

/* tanh(x): odd polynomial below 0.625, else 1 - 2 / (exp(2|x|) + 1) with the sign of x. */
static inline float wh_tanh_f32(float x) {
  float a = fabsf(x);
  if (a < 0.625f) {
    float z = x * x;
    float p = -5.70498872745e-3f;
    p = fmaf(p, z, 2.06390887954e-2f);
    p = fmaf(p, z, -5.37397155531e-2f);
    p = fmaf(p, z, 1.33314422036e-1f);
    p = fmaf(p, z, -3.33332819422e-1f);
    return fmaf(p * z, x, x);
  }
  float t = 1.0f - 2.0f / (wh_exp_f32(a + a) + 1.0f);
  return copysignf(t, x);
}

static inline float wh_sigmoid_f32(float x) { return 1.0f / (1.0f + wh_exp_f32(-x)); }
static inline float wh_silu_f32(float x) { return x / (1.0f + wh_exp_f32(-x)); }

/* GELU, tanh form (Hendrycks and Gimpel 2016). */
static inline float wh_gelu_tanh_f32(float x) {
  float u = fmaf((x * x) * x, 0.044715f, x) * 0.79788456f;
  return (0.5f * x) * (1.0f + wh_tanh_f32(u));
}

/* erf(x): x + x P(x^2) below 0.921875, else 1 - exp(Q(|x|)) with the sign of x, where exp(Q) is erfc; +-1
 * from 4 on. P and Q are our own weighted minimax fits (relative error of P 1.4e-8, absolute error of
 * exp(Q) 1.5e-9). */
static inline float wh_erf_f32(float x) {
  float a = fabsf(x);
  if (a < 0.921875f) {
    float z = x * x;
    float p = -6.01339561e-4f;
    p = fmaf(p, z, 4.998001270e-3f);
    p = fmaf(p, z, -2.6770232245e-2f);
    p = fmaf(p, z, 1.12819269e-1f);
    p = fmaf(p, z, -3.76125067e-1f);
    p = fmaf(p, z, 1.28379151e-1f);
    return fmaf(p, x, x);
  }
  if (!(a < 4.0f)) return a >= 4.0f ? copysignf(1.0f, x) : x; /* NaN passes */
  float q = 1.94712760e-4f;
  q = fmaf(q, a, -3.03140562e-3f);
  q = fmaf(q, a, 2.21806858e-2f);
  q = fmaf(q, a, -1.03837550e-1f);
  q = fmaf(q, a, -6.37287199e-1f);
  q = fmaf(q, a, -1.12761462f);
  q = fmaf(q, a, -2.10089958e-4f);
  return copysignf(1.0f - wh_exp_f32(q), x);
}

/* GELU, erf form. */
static inline float wh_gelu_erf_f32(float x) { return (0.5f * x) * (1.0f + wh_erf_f32(x * 0.70710678f)); }

/* sin and cos of |x| <= 2^24, which are all positions; NaN beyond and of NaN. k = rint(x 2/pi);
 * r = x - k pi/2 in three fused steps; Cephes polynomials. */
#define WH_SINCOS_MAX 0x1p24f
static inline void wh_sincos_f32(float x, float *sin_out, float *cos_out) {
  if (!(fabsf(x) <= WH_SINCOS_MAX)) {
    *sin_out = *cos_out = NAN;
    return;
  }
  float k = rintf(x * 0.63661977f);
  float r = fmaf(k, -1.57079637050628662109375f, x);
  r = fmaf(k, 4.37113900018624283e-8f, r);
  r = fmaf(k, 1.71512451e-15f, r);
  float z = r * r;
  float s = -1.9515295891e-4f;
  s = fmaf(s, z, 8.3321608736e-3f);
  s = fmaf(s, z, -1.6666654611e-1f);
  s = fmaf(s * z, r, r);
  float c = 2.443315711809948e-5f;
  c = fmaf(c, z, -1.388731625493765e-3f);
  c = fmaf(c, z, 4.166664568298827e-2f);
  c = fmaf(c, z * z, fmaf(z, -0.5f, 1.0f));
  int32_t q = (int32_t)k & 3;
  float ss = (q & 1) ? c : s, cc = (q & 1) ? s : c;
  *sin_out = (q & 2) ? -ss : ss;
  *cos_out = ((q + 1) & 2) ? -cc : cc;
}

/* ln(x) and exp(x) in binary64 for values computed once when a graph is built (rotary frequencies): series in
 * + - * and / only, so that every host builds the same constants. Relative error below 1e-15. ln needs a
 * normal x > 0. */
static inline double wh_log_f64(double x) {
  uint64_t u;
  memcpy(&u, &x, sizeof u);
  int e = (int)((u >> 52) & 0x7ff) - 1023;
  u = (u & 0x000fffffffffffffull) | 0x3ff0000000000000ull;
  double m;
  memcpy(&m, &u, sizeof m);
  if (m > 1.4142135623730951) {
    m = m * 0.5;
    e = e + 1;
  }
  double s = (m - 1.0) / (m + 1.0), z = s * s, sum = 0.0;
  for (int i = 41; i >= 1; i -= 2) sum = sum * z + 1.0 / i;
  return (double)e * 0.6931471805599453 + 2.0 * s * sum;
}
static inline double wh_exp_f64(double x) {
  if (x != x) return x;
  if (x > 700.0) return (double)INFINITY;
  if (x < -700.0) return 0.0;
  double n = rint(x * 1.4426950408889634),
         r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
  double sum = 1.0;
  for (int i = 18; i >= 1; i--) sum = 1.0 + sum * r / i;
  uint64_t u = (uint64_t)((int64_t)n + 1023) << 52;
  double scale;
  memcpy(&scale, &u, sizeof scale);
  return sum * scale;
}

/* IEEE binary16 <-> binary32; to f16 rounds to nearest even (as F16C and CUDA do). */
static inline float wh_f32_from_f16(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = (h >> 10) & 31u, m = h & 1023u;
  if (e == 31) return wh_f32_from_bits(sign | 0x7f800000u | (m ? (m << 13) | 0x400000u : 0));
  if (e) return wh_f32_from_bits(sign | ((e + 112u) << 23) | (m << 13));
  return wh_f32_from_bits(sign | wh_f32_bits((float)m * 0x1p-24f)); /* subnormal: exact */
}
static inline uint16_t wh_f16_from_f32(float f) {
  uint32_t u = wh_f32_bits(f), sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
  if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((a >> 13) & 0x3ffu)); /* quiet NaN, payload kept */
  if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u);                       /* >= 65520 rounds to inf */
  if (a < 0x38800000u) {                  /* below 2^-14: one rounding onto the 2^-24 grid */
    float r = wh_f32_from_bits(a) + 0.5f; /* ulp(0.5) = 2^-24: the addition rounds to nearest even */
    return (uint16_t)(sign | (wh_f32_bits(r) - 0x3f000000u));
  }
  uint32_t odd = (a >> 13) & 1u;
  return (uint16_t)(sign | ((a - 0x38000000u + 0xfffu + odd) >> 13));
}
static inline float wh_f32_from_bf16(uint16_t h) { return wh_f32_from_bits((uint32_t)h << 16); }

#endif
