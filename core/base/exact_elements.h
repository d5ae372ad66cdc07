/* base/exact_elements.h - single elements of docs/NUMERICS.md, "Tensors of any type: elementwise", that are
 * more than one operation; one scalar definition each, for hosts and, as exact_math.h, for devices. */
#ifndef WH_BASE_EXACT_ELEMENTS_H
#define WH_BASE_EXACT_ELEMENTS_H

#include "core/base/exact_math.h"
#include "core/base/exact_math_wide.h"

/* IEEE 754-2019's minimum and maximum: -0 is below +0 */
static inline float wh_min_f32(float x, float z) {
  return x < z ? x : z < x ? z : x == z ? (signbit(x) ? x : z) : x + z;
}
static inline float wh_max_f32(float x, float z) {
  return x > z ? x : z > x ? z : x == z ? (signbit(x) ? z : x) : x + z;
}
static inline double wh_min_f64(double x, double z) {
  return x < z ? x : z < x ? z : x == z ? (signbit(x) ? x : z) : x + z;
}
static inline double wh_max_f64(double x, double z) {
  return x > z ? x : z > x ? z : x == z ? (signbit(x) ? z : x) : x + z;
}

/* From the rest r of truncating division by z, the rest that has z's sign. fmod is exact, so every libm has
 * the same. */
static inline float wh_mod_of_f32(float r, float z) {
  return r != 0.0f && (r < 0.0f) != (z < 0.0f) ? r + z : r;
}
static inline double wh_mod_of_f64(double r, double z) {
  return r != 0.0 && (r < 0.0) != (z < 0.0) ? r + z : r;
}
static inline int64_t wh_mod_of_i64(int64_t r, int64_t z) { return r != 0 && (r < 0) != (z < 0) ? r + z : r; }

static inline uint16_t wh_truncated_bf16(float x) {
  return x == x ? (uint16_t)(wh_f32_bits(x) >> 16) : (uint16_t)0x7fff;
}

/* ---- powers ---- */

/* Squares and roots, which models are full of, are one operation. */
static inline double wh_float_power(double x, double e) {
  if (e == 2.0) return x * x;
  if (e == 0.5 && x > 0.0) return sqrt(x);
  return wh_wide_pow(x, e);
}

/* x^e mod 2^64; of a negative exponent what truncation leaves of 1 / x^|e|, and 0 of 0 */
static inline uint64_t wh_whole_power(uint64_t x, bool is_one, bool is_minus_one, int64_t e) {
  uint64_t y = 1;
  if (e < 0) return is_one ? 1 : is_minus_one ? (e & 1 ? ~(uint64_t)0 : 1) : 0;
  for (; e; e >>= 1, x *= x)
    if (e & 1) y *= x;
  return y;
}

/* An exponent of any type: as a float, and when it is whole and no larger than an int64 holds, as an integer.
 */
typedef struct wh_exponent {
  double value;
  int64_t whole;
  bool is_whole;
} wh_exponent;

static inline wh_exponent wh_exponent_i64(int64_t i) {
  wh_exponent e;
  e.value = (double)i;
  e.whole = i;
  e.is_whole = true;
  return e;
}
static inline wh_exponent wh_exponent_u64(uint64_t u) {
  wh_exponent e;
  e.value = (double)u;
  e.is_whole = u <= INT64_MAX;
  e.whole = e.is_whole ? (int64_t)u : 0;
  return e;
}
static inline wh_exponent wh_exponent_f64(double x) {
  wh_exponent e;
  e.value = x;
  e.is_whole = fabs(x) < 0x1p62 && rint(x) == x;
  e.whole = e.is_whole ? (int64_t)x : 0;
  return e;
}

/* ---- floats to integers: towards 0, no further than the type goes; 0 of NaN ---- */

static inline int64_t wh_f64_to_i64(double x, int64_t least, int64_t most) {
  if (!(x == x)) return 0;
  return x <= (double)least ? least : x >= (double)most ? most : (int64_t)x;
}
static inline uint64_t wh_f64_to_u64(double x, uint64_t most) {
  if (!(x > 0.0)) return 0;
  return x >= (double)most ? most : (uint64_t)x;
}

/* ---- floats of one and two bytes ---- */

typedef struct wh_small_float {
  int32_t exponent, mantissa, bias;
  bool infinite;   /* the top exponent holds infinities and NaN */
  bool no_minus_0; /* -0 is the NaN */
  bool finite;     /* no infinities, no NaN: that becomes -0 */
} wh_small_float;

static inline double wh_small_to_f64(const wh_small_float *t, uint32_t bits) {
  const uint32_t sign = bits >> (t->exponent + t->mantissa),
                 magnitude = bits & ((1u << (t->exponent + t->mantissa)) - 1), top = (1u << t->exponent) - 1,
                 e = magnitude >> t->mantissa, m = magnitude & ((1u << t->mantissa) - 1);
  const uint32_t last = (1u << (t->exponent + t->mantissa)) - 1;
  double x;
  if (t->no_minus_0 && sign && !magnitude) return (double)NAN;
  if (t->infinite && e == top)
    x = m ? (double)NAN : (double)INFINITY;
  else if (!t->infinite && !t->no_minus_0 && !t->finite && magnitude == last)
    x = (double)NAN;
  else if (e)
    x = (double)((1u << t->mantissa) + m) * wh_exp2i_f64((int64_t)e - t->bias - t->mantissa);
  else
    x = (double)m * wh_exp2i_f64(1 - t->bias - t->mantissa);
  return sign ? -x : x;
}

static inline uint32_t wh_small_from_f64(const wh_small_float *t, double x, bool saturate) {
  const uint32_t minus = 1u << (t->exponent + t->mantissa), sign = wh_f64_bits(x) >> 63 ? minus : 0;
  const uint32_t nan = t->no_minus_0 || t->finite ? minus : minus - 1;
  const uint32_t most = t->infinite                  ? minus - 1 - (1u << t->mantissa)
                        : t->no_minus_0 || t->finite ? minus - 1
                                                     : minus - 2;
  const double a = fabs(x), largest = wh_small_to_f64(t, most);
  if (x != x) return nan;
  uint32_t code = most + 1;
  if (a <= largest * 2) {
    const int64_t e = (int64_t)(wh_f64_bits(a) >> 52) - 1023, least = 1 - t->bias;
    const double step = wh_exp2i_f64((e < least ? least : e) - t->mantissa); /* of the values around it */
    const double m = rint(a / step);
    code = (uint32_t)m + (e < least ? 0 : (uint32_t)(e - least) << t->mantissa); /* the carry goes on */
  }
  if (code > most)
    return saturate || t->finite ? sign | most
           : t->infinite         ? sign | (most + 1)
           : t->no_minus_0       ? nan
                                 : sign | nan;
  return code == 0 && t->no_minus_0 ? 0 : sign | code;
}

/* As f64; what does not fit sets the last place, so that a second rounding comes out as one (Boldo and
 * Melquiond 2008). */
static inline double wh_odd_f64(uint64_t magnitude, bool negative) {
  if (magnitude >> 53) magnitude = (magnitude & ~(uint64_t)2047) | ((magnitude & 2047) ? 2048 : 0);
  return negative ? -(double)magnitude : (double)magnitude;
}

#endif
