/* vec.h - the words that kernel templates over vectors of floats are written in. An instruction set's
 * vec_<isa>.h defines them and includes this file; templates are included behind it, by files that are
 * compiled for that set. All static: nothing compiled here can be linked elsewhere.
 *
 *   vf, VF_LANES                    a vector, its lanes
 *   vf_zero, vf_set1, vf_load, vf_store
 *   vf_first(n), vf_between(b, e)   the first n lanes, or b to e - 1, as a vf_mask for
 *   vf_load_some, vf_store_some     the others are read as 0 and not written
 *   vf_store_first(n, p, x)         the first n lanes, 0 < n < VF_LANES
 *   vf_keep_first(n, x)             zeros from lane n on
 *   vf_add, vf_sub, vf_mul, vf_div, vf_neg, vf_abs, vf_rint, vf_copysign
 *   vf_fma, vf_fms (a, b, c)        a b + c, a b - c, rounded once
 *   vf_accumulate(sum, a, b)        sum = vf_fma(a, b, sum), and sum stays in its register: long
 *                                   loops of tiles that fill the registers are spilled otherwise
 *   vf_max(a, b)                    where either is NaN: anything
 *   vf_minimum, vf_maximum, vf_relu   as docs/NUMERICS.md has them: NaN stays, -0 is below +0
 *   vf_at_most, vf_at_least (x, c)  the same where no lane of c is NaN, or a zero while x has a -0
 *   vf_ldexp(x, n)                  x 2^n, rounded once; n whole, -252 to 254
 *   vf_ldexp_keep(is, x, n)         the same, zeros elsewhere
 *   vf_ldexp_normal(x, n)           the same of normal x where the result is normal, too; NaN where both are
 *   VF_LDEXP_IN_STEPS               whether it takes less than vf_ldexp
 *   vf_less, vf_not_less, vf_is_number   vf_bool, for
 *   vf_choose(is, yes, no), vf_keep(is, x)   zeros elsewhere; and vf_all(is)
 *   vf_sum_halves, vf_max_halves    lane i with i + h for h = VF_LANES / 2, ... 1
 *   vf_even, vf_odd (a, b)          elements 0, 2, 4 ... or 1, 3, 5 ... of a and b behind it
 *   vf_split_pairs, vf_join_pairs   neighbours to lanes of two vectors and back, in an order
 *                                   that vf_in_order_of_pairs gives to another vector
 *   vf_turn(k, s, c, &sin, &cos)    sine and cosine of an angle in quadrant k
 *   vf_from_f16, vf_from_s8, vf_from_u8, vf_from_i32, vf_from_nibbles   VF_LANES of them
 *   vf_store_codes(p, x, signed)    x rounded, as codes of 8 bits: the nearest in their range, of a NaN the
 *                                   least
 *   vf_store_two_codes(p, x, y, signed)   x and y behind it; by default one after the other
 *   vf_columns(rows, v)             v[i]: element i of VF_LANES rows; of AVX2 alone */
#ifndef WH_CPU_VEC_H
#define WH_CPU_VEC_H

#include "backends/cpu/unroll.h"

/* A whole vector, or its first `left` lanes; left may be negative. */
static inline vf vf_load_left(const float *p, int64_t left) {
  return left >= VF_LANES ? vf_load(p) : vf_load_some(vf_first(left), p);
}
static inline void vf_store_left(float *p, int64_t left, vf x) {
  if (left >= VF_LANES)
    vf_store(p, x);
  else if (left > 0)
    vf_store_first(left, p, x);
}

#ifndef vf_ldexp_keep
#define vf_ldexp_keep(is, x, n) vf_keep(is, vf_ldexp(x, n))
#endif

#ifndef vf_store_two_codes
static inline void vf_store_two_codes(uint8_t *p, vf x, vf y, bool is_signed) {
  vf_store_codes(p, x, is_signed);
  vf_store_codes(p + VF_LANES, y, is_signed);
}
#endif

#endif
