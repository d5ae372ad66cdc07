/* vec_math_many.h - functions of vec_math.h over several vectors, step by step: the same operations on each.
 * One vector after the other, a processor has too few registers behind those of the program to look far
 * enough ahead, and waits for each step of a polynomial. */
#ifndef WH_CPU_VEC_MATH_MANY_H
#define WH_CPU_VEC_MATH_MANY_H

#include "backends/cpu/vec_math.h"

#define VF_MANY 4 /* vectors: the loops below are unrolled */
#define EACH UNROLL for (int i = 0; i < VF_MANY; i++)

/* vf_exp_parts: y and n */
static inline void vf_exp_parts_many(const vf *x, vf *y, vf *n) {
  vf r[VF_MANY];
  EACH n[i] = vf_rint(vf_mul(x[i], vf_set1(1.44269504f)));
  EACH r[i] = vf_fma(n[i], vf_set1(-0.693359375f), x[i]);
  EACH r[i] = vf_fma(n[i], vf_set1(2.12194440e-4f), r[i]);
  EACH y[i] = vf_fma(vf_set1(1.9875691500e-4f), r[i], vf_set1(1.3981999507e-3f));
  EACH y[i] = vf_fma(y[i], r[i], vf_set1(8.3334519073e-3f));
  EACH y[i] = vf_fma(y[i], r[i], vf_set1(4.1665795894e-2f));
  EACH y[i] = vf_fma(y[i], r[i], vf_set1(1.6666665459e-1f));
  EACH y[i] = vf_fma(y[i], r[i], vf_set1(5.0000001201e-1f));
  EACH y[i] = vf_fma(y[i], vf_mul(r[i], r[i]), r[i]);
  EACH y[i] = vf_add(y[i], vf_set1(1.0f));
}

/* vf_exp: y */
static inline void vf_exp_of_many(const vf *x, vf *y) {
  vf n[VF_MANY];
  bool normal = VF_LDEXP_IN_STEPS;
  EACH normal &= vf_all(vf_not_less(vf_set1(87.0f), vf_abs(x[i])));
  vf_exp_parts_many(x, y, n);
  if (normal) {
    EACH y[i] = vf_ldexp_normal(y[i], n[i]);
    return;
  }
  EACH {
    y[i] = vf_keep(vf_not_less(x[i], vf_set1(WH_EXP_MIN)), vf_ldexp(y[i], n[i]));
    y[i] = vf_choose(vf_less(vf_set1(WH_EXP_MAX), x[i]), vf_set1(INFINITY), y[i]);
    y[i] = vf_choose(vf_is_number(x[i]), y[i], x[i]);
  }
}

/* 1 + exp(-x): what sigmoid and silu divide by */
static inline void vf_one_and_exp_many(const vf *x, vf *y) {
  vf negative[VF_MANY];
  EACH negative[i] = vf_neg(x[i]);
  vf_exp_of_many(negative, y);
  EACH y[i] = vf_add(vf_set1(1.0f), y[i]);
}

static inline void vf_exp_many(vf *x) {
  vf y[VF_MANY];
  vf_exp_of_many(x, y);
  EACH x[i] = y[i];
}

static inline void vf_sigmoid_many(vf *x) {
  vf e[VF_MANY];
  vf_one_and_exp_many(x, e);
  EACH x[i] = vf_div(vf_set1(1.0f), e[i]);
}

static inline void vf_silu_many(vf *x) {
  vf e[VF_MANY];
  vf_one_and_exp_many(x, e);
  EACH x[i] = vf_div(x[i], e[i]);
}

/* vf_exp_normal */
static inline void vf_exp_normal_many(const vf *x, vf *y) {
  vf n[VF_MANY];
  vf_exp_parts_many(x, y, n);
  EACH y[i] = vf_ldexp_normal(y[i], n[i]);
}

static inline void vf_tanh_many(vf *x) {
  const vf one = vf_set1(1.0f);
  vf z[VF_MANY], p[VF_MANY], e[VF_MANY];
  EACH z[i] = vf_mul(x[i], x[i]);
  EACH p[i] = vf_fma(vf_set1(-5.70498872745e-3f), z[i], vf_set1(2.06390887954e-2f));
  EACH p[i] = vf_fma(p[i], z[i], vf_set1(-5.37397155531e-2f));
  EACH p[i] = vf_fma(p[i], z[i], vf_set1(1.33314422036e-1f));
  EACH p[i] = vf_fma(p[i], z[i], vf_set1(-3.33332819422e-1f));
  EACH p[i] = vf_fma(vf_mul(p[i], z[i]), x[i], x[i]);
  EACH z[i] = vf_abs(x[i]);
  EACH z[i] = vf_at_most(vf_add(z[i], z[i]), vf_set1(40.0f));
  vf_exp_normal_many(z, e);
  EACH e[i] = vf_sub(one, vf_div(vf_set1(2.0f), vf_add(e[i], one)));
  EACH x[i] = vf_choose(vf_less(vf_abs(x[i]), vf_set1(0.625f)), p[i], vf_copysign(e[i], x[i]));
}

static inline void vf_erf_many(vf *x) {
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
  vf_exp_normal_many(q, a);
  EACH {
    const vf size = vf_abs(x[i]);
    vf t = vf_choose(vf_less(size, vf_set1(4.0f)), vf_sub(one, a[i]), one);
    t = vf_choose(vf_less(size, vf_set1(0.921875f)), p[i], vf_copysign(t, x[i]));
    x[i] = vf_choose(vf_is_number(x[i]), t, x[i]);
  }
}

static inline void vf_gelu_tanh_many(vf *x) {
  vf u[VF_MANY];
  EACH u[i] = vf_mul(vf_mul(x[i], x[i]), x[i]);
  EACH u[i] = vf_mul(vf_fma(u[i], vf_set1(0.044715f), x[i]), vf_set1(0.79788456f));
  vf_tanh_many(u);
  EACH x[i] = vf_mul(vf_mul(vf_set1(0.5f), x[i]), vf_add(vf_set1(1.0f), u[i]));
}

static inline void vf_gelu_erf_many(vf *x) {
  vf u[VF_MANY];
  EACH u[i] = vf_mul(x[i], vf_set1(0.70710678f));
  vf_erf_many(u);
  EACH x[i] = vf_mul(vf_mul(vf_set1(0.5f), x[i]), vf_add(vf_set1(1.0f), u[i]));
}

#undef EACH

#endif
