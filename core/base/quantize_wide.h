/* quantize_wide.h - one block of docs/NUMERICS.md, "quantize_wide", in plain C, for activations and weights.
 */
#ifndef WH_BASE_QUANTIZE_WIDE_H
#define WH_BASE_QUANTIZE_WIDE_H

#include <stdbool.h>

#include "core/base/exact_math.h"

#define WH_Q13A_BLOCK 128
#define WH_Q13A_MAX 4095 /* largest code: 128 products of two codes fit an int32 */

/* x[0..n), n <= 128, to codes and a scale; whether all are finite. Magnitudes are compared as integers, whose
 * order is the same and in which a NaN is the largest. Codes lie within +-4095, where adding and taking away
 * 1.5 * 2^23 rounds to nearest even. */
static inline bool wh_q13a_quantize_block(const float *x, int64_t n, int16_t *q, float *scale) {
  int32_t top_bits = 0;
  for (int64_t i = 0; i < n; i++) {
    const int32_t u = (int32_t)(wh_f32_bits(x[i]) & 0x7fffffffu);
    top_bits = u > top_bits ? u : top_bits;
  }
  const float top = wh_f32_from_bits((uint32_t)top_bits);
  const bool finite = top_bits < 0x7f800000, zero = !finite || top < 0x1p-100f;
  const float factor = zero ? 0.0f : (float)WH_Q13A_MAX / top, magic = 0x1.8p23f;
  if (finite)
    for (int64_t i = 0; i < n; i++)
      q[i] = (int16_t)((int32_t)wh_f32_bits(x[i] * factor + magic) - (int32_t)wh_f32_bits(magic));
  else
    for (int64_t i = 0; i < n; i++) q[i] = 0;
  *scale = !finite ? wh_f32_from_bits(0x7fc00000u) : zero ? 0.0f : top / (float)WH_Q13A_MAX;
  return finite;
}

#endif
