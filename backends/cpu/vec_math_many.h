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

/* vf_exp */
static inline void vf_exp_many(const vf *x, vf *y) {
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
  vf_exp_many(negative, y);
  EACH y[i] = vf_add(vf_set1(1.0f), y[i]);
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

#undef EACH

#endif
