/* base/exact_math_wide.h - elementary functions in binary64, for all arguments; one scalar definition each,
 * as in exact_math.h: sequences of IEEE-754 binary64 operations rounded to nearest even, where fma() is the
 * only fused one, and integer ones. What NUMERICS.md calls f(x) for an f32 x is the wide f of x, rounded to
 * f32: right to 0.51 units of the last place.
 *
 * Series are Taylor's or their like with exactly rounded coefficients; reduced arguments are small enough
 * that what is left out stays below the last place. NaN passes through all of them. */
#ifndef WH_BASE_EXACT_MATH_WIDE_H
#define WH_BASE_EXACT_MATH_WIDE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline double wh_f64_from_bits(uint64_t u) {
  double d;
  memcpy(&d, &u, sizeof d);
  return d;
}
static inline uint64_t wh_f64_bits(double d) {
  uint64_t u;
  memcpy(&u, &d, sizeof u);
  return u;
}

#define WH_LN2_HIGH 0x1.62e42fefa39efp-1
#define WH_LN2_LOW 0x1.abc9e3b39803fp-56
#define WH_PI_HALF_HIGH 0x1.921fb54442d18p+0
#define WH_PI_HALF_LOW 0x1.1a62633145c07p-54

/* 2^n for -1022 <= n <= 1023 */
static inline double wh_exp2i_f64(int64_t n) { return wh_f64_from_bits((uint64_t)(n + 1023) << 52); }

/* x * 2^n for |n| <= 2000, with one rounding where the result is subnormal */
static inline double wh_scale_f64(double x, int64_t n) {
  const int64_t half = n / 2;
  return (x * wh_exp2i_f64(half)) * wh_exp2i_f64(n - half);
}

/* exp(r) - 1 for |r| <= ln(2) / 2 */
static inline double wh_expm1_small(double r) {
  double p = 0x1.ae7f3e733b81fp-41; /* 1 / 15! ... */
  p = fma(p, r, 0x1.93974a8c07c9dp-37);
  p = fma(p, r, 0x1.6124613a86d09p-33);
  p = fma(p, r, 0x1.1eed8eff8d898p-29);
  p = fma(p, r, 0x1.ae64567f544e4p-26);
  p = fma(p, r, 0x1.27e4fb7789f5cp-22);
  p = fma(p, r, 0x1.71de3a556c734p-19);
  p = fma(p, r, 0x1.a01a01a01a01ap-16);
  p = fma(p, r, 0x1.a01a01a01a01ap-13);
  p = fma(p, r, 0x1.6c16c16c16c17p-10);
  p = fma(p, r, 0x1.1111111111111p-7);
  p = fma(p, r, 0x1.5555555555555p-5);
  p = fma(p, r, 0x1.5555555555555p-3);
  p = fma(p, r, 0.5); /* ... 1 / 2! */
  return fma(p * r, r, r);
}

static inline double wh_wide_exp(double x) {
  if (!(x <= 0x1.62e42fefa39efp+9)) return x > 0 ? (double)INFINITY : x;
  if (x < -0x1.74910d52d3051p+9) return 0.0;
  const double n = rint(x * 0x1.71547652b82fep+0);
  const double r = fma(n, -WH_LN2_LOW, fma(n, -WH_LN2_HIGH, x));
  return wh_scale_f64(1.0 + wh_expm1_small(r), (int64_t)n);
}

/* exp(x) - 1 */
static inline double wh_wide_expm1(double x) {
  if (fabs(x) <= 0x1.62e42fefa39efp-2) return wh_expm1_small(x);
  return wh_wide_exp(x) - 1.0;
}

/* ln(x). x = m 2^e, m in [sqrt(1/2), sqrt(2)); s = (m - 1) / (m + 1); ln(m) = 2 s + 2 s^3 / 3 + ... */
static inline double wh_wide_log(double x) {
  if (!(x > 0.0)) return x == 0.0 ? -(double)INFINITY : x == x ? (double)NAN : x;
  if (x > 0x1.fffffffffffffp+1023) return x;
  int64_t e = 0;
  if (x < 0x1p-1022) {
    x = x * 0x1p54;
    e = -54;
  }
  const uint64_t u = wh_f64_bits(x);
  e += (int64_t)(u >> 52) - 1023;
  double m = wh_f64_from_bits((u & 0x000fffffffffffffu) | 0x3ff0000000000000u);
  if (m > 1.4142135623730951) {
    m = m * 0.5;
    e = e + 1;
  }
  const double f = m - 1.0, s = f / (m + 1.0), z = s * s;
  double p = 2.0 / 25;
  p = fma(p, z, 2.0 / 23);
  p = fma(p, z, 2.0 / 21);
  p = fma(p, z, 2.0 / 19);
  p = fma(p, z, 2.0 / 17);
  p = fma(p, z, 2.0 / 15);
  p = fma(p, z, 2.0 / 13);
  p = fma(p, z, 2.0 / 11);
  p = fma(p, z, 2.0 / 9);
  p = fma(p, z, 2.0 / 7);
  p = fma(p, z, 2.0 / 5);
  p = fma(p, z, 2.0 / 3);
  const double n = (double)e;
  return fma(n, WH_LN2_HIGH, s + s + fma(p * z, s, n * WH_LN2_LOW));
}

/* ln(1 + x) */
static inline double wh_wide_log1p(double x) {
  const double u = 1.0 + x;
  if (!(u > 0.0) || u > 0x1.fffffffffffffp+1023) return wh_wide_log(u);
  return wh_wide_log(u) + (x - (u - 1.0)) / u;
}

static inline double wh_wide_tanh(double x) {
  const double a = fabs(x);
  double t = 1.0;
  if (!(a >= 20.0)) {
    const double e = wh_wide_expm1(a + a);
    t = e / (e + 2.0);
  }
  return copysign(t, x);
}

static inline double wh_wide_sinh(double x) {
  const double a = fabs(x);
  if (!(a < 22.0)) {
    const double h = wh_wide_exp(0.5 * a);
    return copysign((0.5 * h) * h, x);
  }
  const double e = wh_wide_expm1(a);
  return copysign(0.5 * (e + e / (e + 1.0)), x);
}

static inline double wh_wide_cosh(double x) {
  const double a = fabs(x), h = wh_wide_exp(a < 22.0 ? a : 0.5 * a);
  return a < 22.0 ? 0.5 * h + 0.5 / h : (0.5 * h) * h;
}

static inline double wh_wide_asinh(double x) {
  const double a = fabs(x);
  if (!(a < 0x1p28)) return copysign(wh_wide_log(a) + WH_LN2_HIGH, x);
  return copysign(wh_wide_log1p(a + a * a / (1.0 + sqrt(fma(a, a, 1.0)))), x);
}

static inline double wh_wide_acosh(double x) {
  if (x < 1.0) return (double)NAN;
  if (!(x < 0x1p28)) return wh_wide_log(x) + WH_LN2_HIGH;
  const double t = x - 1.0;
  return wh_wide_log1p(t + sqrt(t + t + t * t));
}

static inline double wh_wide_atanh(double x) {
  const double a = fabs(x);
  if (a > 1.0) return (double)NAN;
  return copysign(0.5 * wh_wide_log1p((a + a) / (1.0 - a)), x);
}

static inline double wh_wide_sigmoid(double x) { return 1.0 / (1.0 + wh_wide_exp(-x)); }
/* ln(1 + exp(x)) */
static inline double wh_wide_softplus(double x) {
  return x > 0.0 ? x + wh_wide_log1p(wh_wide_exp(-x)) : wh_wide_log1p(wh_wide_exp(x));
}

/* atan(x): above 1 by pi/2 - atan(1/x); then atan(c) + atan((a - c) / (1 + a c)) with c = 0, tan(pi/8) or 1,
 * whose argument is at most tan(pi/16). */
static inline double wh_wide_atan(double x) {
  const double from = fabs(x);
  const bool inverse = from > 1.0;
  double a = inverse ? 1.0 / from : from, high = 0.0, low = 0.0;
  if (a > 0.668178637919299) {
    a = (a - 1.0) / (a + 1.0);
    high = 0x1.921fb54442d18p-1;
    low = 0x1.1a62633145c07p-55;
  } else if (a > 0.198912367379658) {
    const double c = 0x1.a827999fcef32p-2;
    a = (a - c) / fma(a, c, 1.0);
    high = 0x1.921fb54442d18p-2;
    low = 0x1.c398861b78b55p-59;
  }
  const double z = a * a;
  double p = 1.0 / 25;
  p = fma(p, z, -1.0 / 23);
  p = fma(p, z, 1.0 / 21);
  p = fma(p, z, -1.0 / 19);
  p = fma(p, z, 1.0 / 17);
  p = fma(p, z, -1.0 / 15);
  p = fma(p, z, 1.0 / 13);
  p = fma(p, z, -1.0 / 11);
  p = fma(p, z, 1.0 / 9);
  p = fma(p, z, -1.0 / 7);
  p = fma(p, z, 1.0 / 5);
  p = fma(p, z, -1.0 / 3);
  const double t = fma(p * z, a, low); /* what is added to high + a */
  double y = high + (a + t);
  if (inverse) y = WH_PI_HALF_HIGH - (high + (a + (t - WH_PI_HALF_LOW)));
  return copysign(y, x);
}

static inline double wh_wide_asin(double x) {
  if (fabs(x) > 1.0) return (double)NAN;
  return wh_wide_atan(x / sqrt((1.0 - x) * (1.0 + x)));
}

static inline double wh_wide_acos(double x) {
  if (fabs(x) > 1.0) return (double)NAN;
  return 2.0 * wh_wide_atan(sqrt((1.0 - x) / (1.0 + x)));
}

/* Bits [at, at + 64) of 2/pi behind the point. */
static inline uint64_t wh_two_over_pi(int64_t at) {
  static const uint64_t words[19] = {
      0xa2f9836e4e441529u, 0xfc2757d1f534ddc0u, 0xdb6295993c439041u, 0xfe5163abdebbc561u, 0xb7246e3a424dd2e0u,
      0x06492eea09d1921cu, 0xfe1deb1cb129a73eu, 0xe88235f52ebb4484u, 0xe99c7026b45f7e41u, 0x3991d639835339f4u,
      0x9c845f8bbdf9283bu, 0x1ff897ffde05980fu, 0xef2f118b5a0a6d1fu, 0x6d367ecf27cb09b7u, 0x4f463f669e5fea2du,
      0x7527bac7ebe5f17bu, 0x3d0739f78a5292eau, 0x6bfb5fb11f8d5d08u, 0x56033046fc7b6babu};
  if (at < 0) return at > -64 ? words[0] >> -at : 0;
  const int64_t i = at / 64, shift = at % 64;
  return shift ? words[i] << shift | words[i + 1] >> (64 - shift) : words[i];
}

/* The upper half of the 128 bits of a product. */
static inline uint64_t wh_high_product(uint64_t a, uint64_t b) {
  return (uint64_t)((unsigned __int128)a * b >> 64);
}

/* x = q pi/2 + r, |r| <= pi/4 and a little; q mod 4. Up to 2^20 in three fused steps; beyond, of the product
 * of x and 2/pi those 192 bits are computed that begin at the twos: exact enough for every x (Payne and Hanek
 * 1983). x is finite. */
static inline double wh_reduce_f64(double x, unsigned *q) {
  *q = 0;
  if (fabs(x) <= 0.75) return x;
  if (fabs(x) <= 0x1p20) {
    const double k = rint(x * 0x1.45f306dc9c883p-1);
    *q = (unsigned)((int64_t)k & 3);
    double r = fma(k, -WH_PI_HALF_HIGH, x);
    r = fma(k, -WH_PI_HALF_LOW, r);
    return fma(k, 0x1.f1976b7ed8fbcp-110, r);
  }
  const uint64_t u = wh_f64_bits(x), m = (u & 0x000fffffffffffffu) | 0x0010000000000000u;
  const int64_t at = (int64_t)(u >> 52 & 0x7ff) - 1075 - 2;
  /* the low 192 bits of m * window: w0 the lowest */
  const uint64_t low = wh_two_over_pi(at + 128), mid = wh_two_over_pi(at + 64);
  const uint64_t carry = wh_high_product(m, low);
  uint64_t w0 = m * low;
  uint64_t w1 = m * mid + carry, w2 = m * wh_two_over_pi(at) + wh_high_product(m, mid) + (w1 < carry);
  unsigned quadrant = (unsigned)(w2 >> 62);
  w2 = w2 << 2 | w1 >> 62; /* a fraction of 190 bits, from the left */
  w1 = w1 << 2 | w0 >> 62;
  w0 = w0 << 2;
  const bool above_half = w2 >> 63;
  if (above_half) { /* f - 1, negated */
    quadrant++;
    w0 = ~w0 + 1;
    w1 = ~w1 + (w0 == 0);
    w2 = ~w2 + (w1 == 0 && w0 == 0);
  }
  int64_t zeros = 0;
  while (!(w2 >> 63) && zeros < 128) { /* x is no multiple of pi/2, so there is a bit */
    w2 = w2 << 1 | w1 >> 63;
    w1 = w1 << 1 | w0 >> 63;
    w0 = w0 << 1;
    zeros++;
  }
  const double high = (double)(w2 >> 11), f = fma((double)(w2 & 2047), 0x1p-11, 0.0);
  const double scale = wh_exp2i_f64(-53 - zeros);
  double r = fma(high, WH_PI_HALF_HIGH, fma(high, WH_PI_HALF_LOW, f * WH_PI_HALF_HIGH)) * scale;
  if (above_half) r = -r;
  if (u >> 63) {
    r = -r;
    quadrant = 0u - quadrant;
  }
  *q = quadrant & 3;
  return r;
}

/* On |r| <= pi/4. */
static inline double wh_sin_small(double r) {
  const double z = r * r;
  double p = 0x1.952c77030ad4ap-49;
  p = fma(p, z, -0x1.ae7f3e733b81fp-41);
  p = fma(p, z, 0x1.6124613a86d09p-33);
  p = fma(p, z, -0x1.ae64567f544e4p-26);
  p = fma(p, z, 0x1.71de3a556c734p-19);
  p = fma(p, z, -0x1.a01a01a01a01ap-13);
  p = fma(p, z, 0x1.1111111111111p-7);
  p = fma(p, z, -0x1.5555555555555p-3);
  return r == 0.0 ? r : fma(p * z, r, r); /* -0 stays */
}
static inline double wh_cos_small(double r) {
  const double z = r * r;
  double p = -0x1.6827863b97d97p-53;
  p = fma(p, z, 0x1.ae7f3e733b81fp-45);
  p = fma(p, z, -0x1.93974a8c07c9dp-37);
  p = fma(p, z, 0x1.1eed8eff8d898p-29);
  p = fma(p, z, -0x1.27e4fb7789f5cp-22);
  p = fma(p, z, 0x1.a01a01a01a01ap-16);
  p = fma(p, z, -0x1.6c16c16c16c17p-10);
  p = fma(p, z, 0x1.5555555555555p-5);
  const double h = 0.5 * z, w = 1.0 - h;
  return w + (((1.0 - w) - h) + (p * z) * z);
}

static inline double wh_wide_sin(double x) {
  unsigned q;
  if (!isfinite(x)) return (double)NAN;
  const double r = wh_reduce_f64(x, &q), y = q & 1 ? wh_cos_small(r) : wh_sin_small(r);
  return q & 2 ? -y : y;
}
static inline double wh_wide_cos(double x) {
  unsigned q;
  if (!isfinite(x)) return (double)NAN;
  const double r = wh_reduce_f64(x, &q), y = q & 1 ? wh_sin_small(r) : wh_cos_small(r);
  return (q + 1) & 2 ? -y : y;
}
static inline double wh_wide_tan(double x) {
  unsigned q;
  if (!isfinite(x)) return (double)NAN;
  const double r = wh_reduce_f64(x, &q), s = wh_sin_small(r), c = wh_cos_small(r);
  return q & 1 ? -c / s : s / c;
}

/* erf(x): below 2 the series x 2/sqrt(pi) exp(-x^2) sum (2 x^2)^n / (1 3 5 ... (2n + 1)), whose terms are
 * positive; then 1 - erfc(x) by its continued fraction; 1 from 6 on. */
static inline double wh_wide_erf(double x) {
  const double a = fabs(x), z = a * a;
  if (!(a < 6.0)) return a >= 6.0 ? copysign(1.0, x) : x;
  if (a < 2.0) {
    double sum = 1.0;
    for (int n = 50; n >= 1; n--) sum = fma(sum, (z + z) / (2 * n + 1), 1.0);
    return x * (0x1.20dd750429b6dp+0 * (wh_wide_exp(-z) * sum));
  }
  double t = a; /* a + (1/2) / (a + (2/2) / (a + (3/2) / ... */
  for (int n = 60; n >= 1; n--) t = a + (0.5 * n) / t;
  return copysign(1.0 - 0x1.20dd750429b6dp-1 * wh_wide_exp(-z) / t, x);
}

/* ln(x) as a sum of two, x > 0 and finite: as wh_wide_log, with what each step rounds off carried along. */
static inline void wh_log_pair(double x, double *high, double *low) {
  int64_t e = 0;
  if (x < 0x1p-1022) {
    x = x * 0x1p54;
    e = -54;
  }
  const uint64_t u = wh_f64_bits(x);
  e += (int64_t)(u >> 52) - 1023;
  double m = wh_f64_from_bits((u & 0x000fffffffffffffu) | 0x3ff0000000000000u);
  if (m > 1.4142135623730951) {
    m = m * 0.5;
    e = e + 1;
  }
  /* s + t = (m - 1) / (m + 1) */
  const double f = m - 1.0, d = m + 1.0, s = f / d, d_low = m - (d - 1.0);
  const double t = (fma(-s, d, f) - s * d_low) / d;
  const double z = s * s;
  double p = 2.0 / 25;
  p = fma(p, z, 2.0 / 23);
  p = fma(p, z, 2.0 / 21);
  p = fma(p, z, 2.0 / 19);
  p = fma(p, z, 2.0 / 17);
  p = fma(p, z, 2.0 / 15);
  p = fma(p, z, 2.0 / 13);
  p = fma(p, z, 2.0 / 11);
  p = fma(p, z, 2.0 / 9);
  p = fma(p, z, 2.0 / 7);
  p = fma(p, z, 2.0 / 5);
  /* 2 (s + t) + s^3 (2/3 + z p): the part of 2/3 in two */
  const double z_low = fma(s, s, -z), c = 2.0 / 3, c_low = 0x1.5555555555555p-55;
  const double q = fma(p, z, c), q_low = fma(p, z, c - q) + (c_low + p * z_low);
  const double sz = s * z, sz_low = fma(s, z, -sz) + s * z_low;
  const double g = sz * q, g_low = fma(sz, q, -g) + (sz * q_low + sz_low * q);
  const double n = (double)e, a = n * WH_LN2_HIGH, a_low = fma(n, WH_LN2_HIGH, -a) + n * WH_LN2_LOW;
  const double two_s = s + s;
  double sum = a + two_s, rest = (a - sum) + two_s; /* |a| >= |two_s| or a is 0 */
  const double sum2 = sum + g;
  rest += fabs(sum) >= fabs(g) ? (sum - sum2) + g : (g - sum2) + sum;
  rest += a_low + (t + t + g_low);
  *high = sum2 + rest;
  *low = (sum2 - *high) + rest;
}

/* x^y as C's pow has it. y ln|x| is computed as a sum of two, so that a result which f32 holds exactly is
 * exact after rounding to it. */
static inline double wh_wide_pow(double x, double y) {
  if (y == 0.0 || x == 1.0) return 1.0;
  if (x != x || y != y) return x + y;
  const double ay = fabs(y), ax = fabs(x);
  const bool whole = ay >= 0x1p53 || rint(ay) == ay, odd = whole && ay < 0x1p53 && ((int64_t)ay & 1);
  const double sign = signbit(x) && odd ? -1.0 : 1.0;
  if (isinf(y)) return ax == 1.0 ? 1.0 : (ax > 1.0) == (y > 0.0) ? (double)INFINITY : 0.0;
  if (ax == 0.0) return y > 0.0 ? sign * 0.0 : sign * (double)INFINITY;
  if (isinf(x)) return y > 0.0 ? sign * (double)INFINITY : sign * 0.0;
  if (x < 0.0 && !whole) return (double)NAN;
  double h, l;
  wh_log_pair(ax, &h, &l);
  const double p = h * y, e = fma(h, y, -p) + l * y; /* p + e = y ln|x| */
  if (!(p <= 710.0)) return sign * (double)INFINITY;
  if (p < -746.0) return sign * 0.0;
  const double n = rint(p * 0x1.71547652b82fep+0);
  const double r = fma(n, -WH_LN2_HIGH, p), s = e - n * WH_LN2_LOW;
  const double m = wh_expm1_small(r);
  return sign * wh_scale_f64(1.0 + (m + s * (1.0 + m)), (int64_t)n);
}

#endif
