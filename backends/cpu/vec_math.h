/* vec_math.h - base/exact_math.h over vectors (vec.h): the same operations in the same order, so the same
 * bits. */
#ifndef WH_CPU_VEC_MATH_H
#define WH_CPU_VEC_MATH_H

#include "backends/cpu/unroll.h"
#include "backends/cpu/vec.h"
#include "core/base/exact_math.h"

#define VF_MANY 4 /* vectors at a time that suit all levels' registers */
/* Functions of n vectors, n known to the compiler: step by step, the same operations on each. One vector
 * after the other, a processor has too few registers behind those of the program to look far enough ahead,
 * and waits for each step of a polynomial. What they take and give may not be the same where it is const. */
#define EACH UNROLL for (int i = 0; i < n; i++)

/* exp(x), or exp(-x) where `negative`, is y 2^k, with y about 0.7 to 1.4 and whole k; up to exp's argument
 * just above WH_EXP_MAX and not far below WH_EXP_MIN, or NaN, which both are then. */
INLINE void vf_exp_parts(const int n, const bool negative, const vf *x, vf *y, vf *k) {
  vf r[VF_MANY];
  EACH k[i] = vf_rint(vf_mul(x[i], vf_set1(negative ? -1.44269504f : 1.44269504f)));
  EACH r[i] =
      negative ? vf_fms(k[i], vf_set1(-0.693359375f), x[i]) : vf_fma(k[i], vf_set1(-0.693359375f), x[i]);
  EACH r[i] = vf_fma(k[i], vf_set1(2.12194440e-4f), r[i]);
  EACH y[i] = vf_fma(vf_set1(1.9875691500e-4f), r[i], vf_set1(1.3981999507e-3f));
  EACH y[i] = vf_fma(y[i], r[i], vf_set1(8.3334519073e-3f));
  EACH y[i] = vf_fma(y[i], r[i], vf_set1(4.1665795894e-2f));
  EACH y[i] = vf_fma(y[i], r[i], vf_set1(1.6666665459e-1f));
  EACH y[i] = vf_fma(y[i], r[i], vf_set1(5.0000001201e-1f));
  EACH y[i] = vf_fma(y[i], vf_mul(r[i], r[i]), r[i]);
  EACH y[i] = vf_add(y[i], vf_set1(1.0f));
}

/* exp where it is a normal number: -87 <= x <= 87 or NaN; elsewhere anything */
INLINE void vf_exp_normal(const int n, const vf *x, vf *y) {
  vf k[VF_MANY];
  vf_exp_parts(n, false, x, y, k);
  EACH y[i] = vf_ldexp_normal(y[i], k[i]);
}

/* exp for x that is NaN or at most WH_EXP_MAX */
INLINE vf vf_exp_nonpositive(vf x) {
  vf y, k;
  if (VF_LDEXP_IN_STEPS && vf_all(vf_not_less(x, vf_set1(-87.0f)))) {
    vf_exp_normal(1, &x, &y);
    return y;
  }
  vf_exp_parts(1, false, &x, &y, &k);
  return vf_ldexp_keep(vf_not_less(x, vf_set1(WH_EXP_MIN)), y, k);
}

/* exp(x), or exp(-x) where `negative`. Where powers of two cost one instruction, larger x count as the next
 * float above WH_EXP_MAX, for which y 2^k rounds to infinity. */
INLINE void vf_exp_of(const int n, const bool negative, const vf *x, vf *y) {
  const float past = 88.7228394f;
  vf k[VF_MANY], s[VF_MANY];
  bool normal = VF_LDEXP_IN_STEPS;
  EACH normal &= vf_all(vf_not_less(vf_set1(87.0f), vf_abs(x[i])));
  if (!VF_LDEXP_IN_STEPS)
    EACH s[i] = negative ? vf_at_least(x[i], vf_set1(-past)) : vf_at_most(x[i], vf_set1(past));
  vf_exp_parts(n, negative, VF_LDEXP_IN_STEPS ? x : s, y, k);
  if (normal) {
    EACH y[i] = vf_ldexp_normal(y[i], k[i]);
    return;
  }
  EACH {
    const vf_bool keep =
        negative ? vf_not_less(vf_set1(-WH_EXP_MIN), x[i]) : vf_not_less(x[i], vf_set1(WH_EXP_MIN));
    y[i] = vf_ldexp_keep(keep, y[i], k[i]);
  }
  if (!VF_LDEXP_IN_STEPS) return;
  EACH {
    s[i] = negative ? vf_neg(x[i]) : x[i];
    y[i] = vf_choose(vf_less(vf_set1(WH_EXP_MAX), s[i]), vf_set1(INFINITY), y[i]);
    y[i] = vf_choose(vf_is_number(x[i]), y[i], x[i]);
  }
}

INLINE void vf_exp_n(const int n, vf *x) {
  vf y[VF_MANY];
  vf_exp_of(n, false, x, y);
  EACH x[i] = y[i];
}

/* 1 + exp(-x): what sigmoid and silu divide by */
INLINE void vf_one_and_exp(const int n, const vf *x, vf *y) {
  vf_exp_of(n, true, x, y);
  EACH y[i] = vf_add(vf_set1(1.0f), y[i]);
}

INLINE void vf_sigmoid_n(const int n, vf *x) {
  vf e[VF_MANY];
  vf_one_and_exp(n, x, e);
  EACH x[i] = vf_div(vf_set1(1.0f), e[i]);
}

INLINE void vf_silu_n(const int n, vf *x) {
  vf e[VF_MANY];
  vf_one_and_exp(n, x, e);
  EACH x[i] = vf_div(x[i], e[i]);
}

/* x sigmoid(x), the quotient rounded first */
INLINE void vf_swish_n(const int n, vf *x) {
  vf e[VF_MANY];
  vf_one_and_exp(n, x, e);
  EACH x[i] = vf_mul(x[i], vf_div(vf_set1(1.0f), e[i]));
}

INLINE void vf_tanh_n(const int n, vf *x) {
  const vf one = vf_set1(1.0f);
  vf z[VF_MANY], p[VF_MANY], e[VF_MANY];
  EACH z[i] = vf_mul(x[i], x[i]);
  EACH p[i] = vf_fma(vf_set1(-5.70498872745e-3f), z[i], vf_set1(2.06390887954e-2f));
  EACH p[i] = vf_fma(p[i], z[i], vf_set1(-5.37397155531e-2f));
  EACH p[i] = vf_fma(p[i], z[i], vf_set1(1.33314422036e-1f));
  EACH p[i] = vf_fma(p[i], z[i], vf_set1(-3.33332819422e-1f));
  EACH p[i] = vf_fma(vf_mul(p[i], z[i]), x[i], x[i]);
  EACH z[i] = vf_abs(x[i]);
  EACH z[i] = vf_at_most(vf_add(z[i], z[i]), vf_set1(40.0f)); /* from 20 on tanh is 1 */
  vf_exp_normal(n, z, e);
  EACH e[i] = vf_sub(one, vf_div(vf_set1(2.0f), vf_add(e[i], one)));
  EACH x[i] = vf_choose(vf_less(vf_abs(x[i]), vf_set1(0.625f)), p[i], vf_copysign(e[i], x[i]));
}

INLINE void vf_erf_n(const int n, vf *x) {
  const vf one = vf_set1(1.0f);
  vf a[VF_MANY], p[VF_MANY], q[VF_MANY];
  EACH a[i] = vf_mul(x[i], x[i]);
  EACH p[i] = vf_fma(vf_set1(-6.01339561e-4f), a[i], vf_set1(4.998001270e-3f));
  EACH p[i] = vf_fma(p[i], a[i], vf_set1(-2.6770232245e-2f));
  EACH p[i] = vf_fma(p[i], a[i], vf_set1(1.12819269e-1f));
  EACH p[i] = vf_fma(p[i], a[i], vf_set1(-3.76125067e-1f));
  EACH p[i] = vf_fma(p[i], a[i], vf_set1(1.28379151e-1f));
  EACH p[i] = vf_fma(p[i], x[i], x[i]);
  EACH a[i] = vf_abs(x[i]);
  EACH q[i] = vf_fma(vf_set1(1.94712760e-4f), a[i], vf_set1(-3.03140562e-3f));
  EACH q[i] = vf_fma(q[i], a[i], vf_set1(2.21806858e-2f));
  EACH q[i] = vf_fma(q[i], a[i], vf_set1(-1.03837550e-1f));
  EACH q[i] = vf_fma(q[i], a[i], vf_set1(-6.37287199e-1f));
  EACH q[i] = vf_fma(q[i], a[i], vf_set1(-1.12761462f));
  EACH q[i] = vf_fma(q[i], a[i], vf_set1(-2.10089958e-4f));
  vf_exp_normal(n, q, a); /* q is -18.1 to -1 where it is taken */
  EACH {
    const vf size = vf_abs(x[i]);
    vf t = vf_choose(vf_less(size, vf_set1(4.0f)), vf_sub(one, a[i]), one);
    t = vf_choose(vf_less(size, vf_set1(0.921875f)), p[i], vf_copysign(t, x[i]));
    x[i] = vf_choose(vf_is_number(x[i]), t, x[i]);
  }
}

INLINE void vf_gelu_tanh_n(const int n, vf *x) {
  vf u[VF_MANY];
  EACH u[i] = vf_mul(vf_mul(x[i], x[i]), x[i]);
  EACH u[i] = vf_mul(vf_fma(u[i], vf_set1(0.044715f), x[i]), vf_set1(0.79788456f));
  vf_tanh_n(n, u);
  EACH x[i] = vf_mul(vf_mul(vf_set1(0.5f), x[i]), vf_add(vf_set1(1.0f), u[i]));
}

INLINE void vf_gelu_erf_n(const int n, vf *x) {
  vf u[VF_MANY];
  EACH u[i] = vf_mul(x[i], vf_set1(0.70710678f));
  vf_erf_n(n, u);
  EACH x[i] = vf_mul(vf_mul(vf_set1(0.5f), x[i]), vf_add(vf_set1(1.0f), u[i]));
}
#undef EACH

#define FUNCTION(f)               \
  static inline vf vf_##f(vf x) { \
    vf_##f##_n(1, &x);            \
    return x;                     \
  }                               \
  static inline void vf_##f##_many(vf *x) { vf_##f##_n(VF_MANY, x); }
FUNCTION(exp)
FUNCTION(tanh)
FUNCTION(erf)
FUNCTION(sigmoid)
FUNCTION(silu)
FUNCTION(swish)
FUNCTION(gelu_tanh)
FUNCTION(gelu_erf)
#undef FUNCTION

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
