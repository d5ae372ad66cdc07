/* base/exact_pow.h - powers of fp32 numbers that are not negative, by way of binary64: roots and the
 * normalisation over channels. Error below 0.501 ulp where the result is normal. */
#ifndef WH_BASE_EXACT_POW_H
#define WH_BASE_EXACT_POW_H

#include "core/base/exact_math.h"

/* x^e: NaN for x < 0 and NaN; e is finite. */
static inline float wh_pow_positive_f32(float x, double e) {
  if (!(x >= 0.0f)) return NAN;
  if (e == 0.0) return 1.0f;
  if (x == 0.0f) return e > 0.0 ? 0.0f : INFINITY;
  if (x > 3.402823466e38f) return e > 0.0 ? INFINITY : 0.0f;
  return (float)wh_exp_f64(e * wh_log_f64((double)x));
}

#endif
