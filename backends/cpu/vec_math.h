/* vec_math.h - base/exact_math.h over vectors (vec.h): the same operations in the same order, so the same
 * bits. */
#ifndef WH_CPU_VEC_MATH_H
#define WH_CPU_VEC_MATH_H

#include "backends/cpu/vec.h"
#include "core/base/exact_math.h"

/* exp(x) is y 2^n, with y about 0.7 to 1.4 and whole n; for x up to WH_EXP_MAX and not far below WH_EXP_MIN,
 * or NaN, which both are then. */
static inline vf vf_exp_parts(vf x, vf *n) {
  *n = vf_rint(vf_mul(x, vf_set1(1.44269504f)));
  vf r = vf_fma(*n, vf_set1(-0.693359375f), x);
  r = vf_fma(*n, vf_set1(2.12194440e-4f), r);
  vf p = vf_set1(1.9875691500e-4f);
  p = vf_fma(p, r, vf_set1(1.3981999507e-3f));
  p = vf_fma(p, r, vf_set1(8.3334519073e-3f));
  p = vf_fma(p, r, vf_set1(4.1665795894e-2f));
  p = vf_fma(p, r, vf_set1(1.6666665459e-1f));
  p = vf_fma(p, r, vf_set1(5.0000001201e-1f));
  p = vf_fma(p, vf_mul(r, r), r);
  return vf_add(p, vf_set1(1.0f));
}

/* exp for WH_EXP_MIN <= x <= WH_EXP_MAX */
static inline vf vf_exp_in_range(vf x) {
  vf n;
  const vf y = vf_exp_parts(x, &n);
  return vf_ldexp(y, n);
}

/* exp where it is a normal number: -87 <= x <= 87 or NaN; elsewhere anything */
static inline vf vf_exp_normal(vf x) {
  vf n;
  const vf y = vf_exp_parts(x, &n);
  return vf_ldexp_normal(y, n);
}

/* exp for x that is NaN or at most WH_EXP_MAX */
static inline vf vf_exp_nonpositive(vf x) {
  if (VF_LDEXP_IN_STEPS && vf_all(vf_not_less(x, vf_set1(-87.0f)))) return vf_exp_normal(x);
  return vf_keep(vf_not_less(x, vf_set1(WH_EXP_MIN)), vf_exp_in_range(x));
}

static inline vf vf_exp(vf x) {
  if (VF_LDEXP_IN_STEPS && vf_all(vf_not_less(vf_set1(87.0f), vf_abs(x)))) return vf_exp_normal(x);
  vf y = vf_keep(vf_not_less(x, vf_set1(WH_EXP_MIN)), vf_exp_in_range(x));
  y = vf_choose(vf_less(vf_set1(WH_EXP_MAX), x), vf_set1(INFINITY), y);
  return vf_choose(vf_is_number(x), y, x);
}

static inline vf vf_tanh(vf x) {
  const vf one = vf_set1(1.0f), a = vf_abs(x), z = vf_mul(x, x);
  vf p = vf_set1(-5.70498872745e-3f);
  p = vf_fma(p, z, vf_set1(2.06390887954e-2f));
  p = vf_fma(p, z, vf_set1(-5.37397155531e-2f));
  p = vf_fma(p, z, vf_set1(1.33314422036e-1f));
  p = vf_fma(p, z, vf_set1(-3.33332819422e-1f));
  p = vf_fma(vf_mul(p, z), x, x);
  /* from 20 on t is 1 */
  const vf e = vf_add(vf_exp_normal(vf_at_most(vf_add(a, a), vf_set1(40.0f))), one);
  const vf t = vf_copysign(vf_sub(one, vf_div(vf_set1(2.0f), e)), x);
  return vf_choose(vf_less(a, vf_set1(0.625f)), p, t);
}

static inline vf vf_erf(vf x) {
  const vf one = vf_set1(1.0f), a = vf_abs(x), z = vf_mul(x, x);
  vf p = vf_set1(-6.01339561e-4f);
  p = vf_fma(p, z, vf_set1(4.998001270e-3f));
  p = vf_fma(p, z, vf_set1(-2.6770232245e-2f));
  p = vf_fma(p, z, vf_set1(1.12819269e-1f));
  p = vf_fma(p, z, vf_set1(-3.76125067e-1f));
  p = vf_fma(p, z, vf_set1(1.28379151e-1f));
  p = vf_fma(p, x, x);
  vf q = vf_set1(1.94712760e-4f);
  q = vf_fma(q, a, vf_set1(-3.03140562e-3f));
  q = vf_fma(q, a, vf_set1(2.21806858e-2f));
  q = vf_fma(q, a, vf_set1(-1.03837550e-1f));
  q = vf_fma(q, a, vf_set1(-6.37287199e-1f));
  q = vf_fma(q, a, vf_set1(-1.12761462f));
  q = vf_fma(q, a, vf_set1(-2.10089958e-4f));
  vf t = vf_sub(one, vf_exp_normal(q)); /* q is -18.1 to -1 where t is taken */
  t = vf_choose(vf_less(a, vf_set1(4.0f)), t, one);
  t = vf_copysign(t, x);
  t = vf_choose(vf_less(a, vf_set1(0.921875f)), p, t);
  return vf_choose(vf_is_number(x), t, x);
}

static inline vf vf_sigmoid(vf x) {
  const vf one = vf_set1(1.0f);
  return vf_div(one, vf_add(one, vf_exp(vf_neg(x))));
}
static inline vf vf_silu(vf x) { return vf_div(x, vf_add(vf_set1(1.0f), vf_exp(vf_neg(x)))); }
static inline vf vf_gelu_tanh(vf x) {
  const vf cube = vf_mul(vf_mul(x, x), x);
  const vf u = vf_mul(vf_fma(cube, vf_set1(0.044715f), x), vf_set1(0.79788456f));
  return vf_mul(vf_mul(vf_set1(0.5f), x), vf_add(vf_set1(1.0f), vf_tanh(u)));
}
static inline vf vf_gelu_erf(vf x) {
  const vf e = vf_erf(vf_mul(x, vf_set1(0.70710678f)));
  return vf_mul(vf_mul(vf_set1(0.5f), x), vf_add(vf_set1(1.0f), e));
}

/* NaN from where the scalar has it: all steps keep it, and its quadrant is 0 */
static inline void vf_sincos(vf x, vf *sin_out, vf *cos_out) {
  x = vf_choose(vf_not_less(vf_set1(WH_SINCOS_MAX), vf_abs(x)), x, vf_set1(NAN));
  const vf k = vf_rint(vf_mul(x, vf_set1(0.63661977f)));
  vf r = vf_fma(k, vf_set1(-1.57079637050628662109375f), x);
  r = vf_fma(k, vf_set1(4.37113900018624283e-8f), r);
  r = vf_fma(k, vf_set1(1.71512451e-15f), r);
  const vf z = vf_mul(r, r);
  vf s = vf_set1(-1.9515295891e-4f);
  s = vf_fma(s, z, vf_set1(8.3321608736e-3f));
  s = vf_fma(s, z, vf_set1(-1.6666654611e-1f));
  s = vf_fma(vf_mul(s, z), r, r);
  vf c = vf_set1(2.443315711809948e-5f);
  c = vf_fma(c, z, vf_set1(-1.388731625493765e-3f));
  c = vf_fma(c, z, vf_set1(4.166664568298827e-2f));
  c = vf_fma(c, vf_mul(z, z), vf_fma(z, vf_set1(-0.5f), vf_set1(1.0f)));
  vf_turn(k, s, c, sin_out, cos_out);
}

/* The end of sum64: lane j of the 64 is lane j mod VF_LANES of lanes[j / VF_LANES]. */
static inline float vf_sum64_tree(vf lanes[64 / VF_LANES]) {
  UNROLL
  for (int h = 32 / VF_LANES; h > 0; h /= 2) UNROLL
  for (int i = 0; i < h; i++) lanes[i] = vf_add(lanes[i], lanes[i + h]);
  return vf_sum_halves(lanes[0]);
}

#endif
