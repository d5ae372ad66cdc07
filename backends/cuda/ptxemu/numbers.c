/* numbers.c - compiled with -frounding-math: directed roundings are the processor's own, switched around one
 * operation. */
#include "backends/cuda/ptxemu/numbers.h"

#include <fenv.h>
#include <math.h>

static int host_rounding(ptx_round r) {
  switch (r) {
    case ROUND_RZ:
      return FE_TOWARDZERO;
    case ROUND_RM:
      return FE_DOWNWARD;
    case ROUND_RP:
      return FE_UPWARD;
    default:
      return FE_TONEAREST;
  }
}

/* ---- formats ---- */

float num_from_f16(uint16_t h) {
  const uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 1023;
  if (e == 31) return num_f32(m ? 0x7fffffff : sign | 0x7f800000);
  if (!e) return (sign ? -1.0f : 1.0f) * (float)m * 0x1p-24f;
  return num_f32(sign | (e + 112) << 23 | m << 13);
}

static bool rounds_to_infinity(double v, ptx_round r) {
  return r != ROUND_RZ && !(r == ROUND_RM && v > 0) && !(r == ROUND_RP && v < 0);
}

/* v in a sign, an exponent of that bias and `fraction` bits behind the point. */
static uint16_t to_half(double v, unsigned fraction, int bias, ptx_round r) {
  const uint64_t u = num_bits_f64(v), one = 1;
  const uint16_t sign = (uint16_t)(u >> 63 << 15), infinite = (uint16_t)((2 * bias + 1) << fraction);
  const int e = (int)(u >> 52 & 2047) - 1023, least = 1 - bias;
  if (v != v) return 0x7fff;
  if (e == 1024) return sign | infinite;
  const uint64_t m = (u & ((one << 52) - 1)) | (e > -1023 ? one << 52 : 0);
  const unsigned lost = 52 - fraction + (unsigned)(e < least ? least - e : 0);
  const unsigned drop = lost < 54 ? lost : 54; /* by 54 bits nothing is left, not half of the last place */
  const uint64_t kept = m >> drop, rest = m & ((one << drop) - 1), half = one << (drop - 1);
  const bool up = r == ROUND_RZ   ? false
                  : r == ROUND_RM ? sign && rest
                  : r == ROUND_RP ? !sign && rest
                                  : rest > half || (rest == half && kept & 1);
  /* the leading one of `kept` counts as one more in the exponent, and so does a carry */
  const uint64_t bits = kept + up + ((uint64_t)(e > least ? e - least : 0) << fraction);
  if (bits >= infinite) return (uint16_t)(sign | (infinite - !rounds_to_infinity(v, r)));
  return (uint16_t)(sign | bits);
}

uint16_t num_to_f16(double v, ptx_round r) { return to_half(v, 10, 15, r); }
uint16_t num_to_bf16(double v, ptx_round r) { return to_half(v, 7, 127, r); }

float num_to_f32(double v, ptx_round r) {
  if (r <= ROUND_RN) return (float)v;
  (void)fesetround(host_rounding(r));
  volatile double from = v;
  volatile float f = (float)from;
  (void)fesetround(FE_TONEAREST);
  return f;
}

double num_load(uint64_t bits, ptx_type t) {
  switch (t) {
    case PTX_F16:
      return num_from_f16((uint16_t)bits);
    case PTX_BF16:
      return num_f32(bits << 16);
    case PTX_F64:
      return num_f64(bits);
    default:
      return num_f32(bits);
  }
}

uint64_t num_store(double v, ptx_type t, ptx_round r) {
  switch (t) {
    case PTX_F16:
      return num_to_f16(v, r);
    case PTX_BF16:
      return num_to_bf16(v, r);
    case PTX_F64:
      return num_bits_f64(v);
    default:
      return num_bits_f32(num_to_f32(v, r));
  }
}

/* ---- arithmetic ---- */

static float arithmetic_f32(ptx_op op, float a, float b, float c) {
  volatile float x = a, y = b, z = c; /* neither folded nor moved over the change of rounding */
  switch (op) {
    case OP_ADD:
      return x + y;
    case OP_SUB:
      return x - y;
    case OP_MUL:
      return x * y;
    case OP_DIV:
      return x / y;
    case OP_SQRT:
      return sqrtf(x);
    default:
      return fmaf(x, y, z);
  }
}

static double arithmetic_f64(ptx_op op, double a, double b, double c) {
  volatile double x = a, y = b, z = c;
  switch (op) {
    case OP_ADD:
      return x + y;
    case OP_SUB:
      return x - y;
    case OP_MUL:
      return x * y;
    case OP_DIV:
      return x / y;
    case OP_SQRT:
      return sqrt(x);
    default:
      return fma(x, y, z);
  }
}

uint64_t num_arithmetic(ptx_op op, ptx_type t, ptx_round r, uint64_t a, uint64_t b, uint64_t c) {
  if (r > ROUND_RN) (void)fesetround(host_rounding(r));
  uint64_t result;
  if (t == PTX_F64) {
    volatile double d = arithmetic_f64(op, num_f64(a), num_f64(b), num_f64(c));
    result = num_bits_f64(d);
  } else {
    volatile float f = arithmetic_f32(op, num_f32(a), num_f32(b), num_f32(c));
    result = num_bits_f32(f);
  }
  if (r > ROUND_RN) (void)fesetround(FE_TONEAREST);
  return result;
}

/* p + c with what is lost left in the last bit (round to odd), so that a second rounding to half as many bits
 * is right. */
static double add_odd(double p, double c) {
  const double s = p + c;
  if (!isfinite(s)) return s;
  const double back = s - p, lost = (p - (s - back)) + (c - back);
  uint64_t u = num_bits_f64(s);
  if (lost != 0 && !(u & 1)) u += (lost > 0) == (s > 0) ? 1 : (uint64_t)0 - 1;
  return num_f64(u);
}

uint16_t num_half(ptx_op op, ptx_type t, ptx_round r, uint16_t a, uint16_t b, uint16_t c) {
  const double x = num_load(a, t), y = num_load(b, t), z = num_load(c, t);
  const double v = op == OP_ADD   ? add_odd(x, y)
                   : op == OP_SUB ? add_odd(x, -y)
                   : op == OP_MUL ? x * y
                                  : add_odd(x * y, z);
  return (uint16_t)num_store(v, t, r);
}

uint64_t num_min_max(bool max, bool nan, ptx_type t, uint64_t a, uint64_t b) {
  if (!ptx_is_float(t)) {
    const bool less =
        ptx_is_signed(t) ? num_signed(a, t) < num_signed(b, t) : num_truncate(a, t) < num_truncate(b, t);
    return less != max ? a : b;
  }
  const double x = num_load(a, t), y = num_load(b, t);
  if (x != x || y != y) {
    if (nan || (x != x && y != y)) return num_store(NAN, t, ROUND_RN);
    return x != x ? b : a;
  }
  const bool less = x < y || (x == y && signbit(x) && !signbit(y)); /* -0 is below +0 */
  return less != max ? a : b;
}

bool num_compare(ptx_compare c, ptx_type t, uint64_t a, uint64_t b) {
  if (ptx_is_float(t)) {
    const double x = num_load(a, t), y = num_load(b, t);
    const bool unordered = x != x || y != y;
    if (c == CMP_NUM || c == CMP_NAN) return unordered == (c == CMP_NAN);
    if (unordered) return c >= CMP_EQU;
    const ptx_compare plain = c >= CMP_EQU ? (ptx_compare)(c - CMP_EQU + CMP_EQ) : c;
    return plain == CMP_EQ   ? x == y
           : plain == CMP_NE ? x != y
           : plain == CMP_LT ? x < y
           : plain == CMP_LE ? x <= y
           : plain == CMP_GT ? x > y
                             : x >= y;
  }
  if (t == PTX_PRED) a &= 1, b &= 1;
  if (ptx_is_signed(t)) {
    const int64_t x = num_signed(a, t), y = num_signed(b, t);
    return c == CMP_EQ   ? x == y
           : c == CMP_NE ? x != y
           : c == CMP_LT ? x < y
           : c == CMP_LE ? x <= y
           : c == CMP_GT ? x > y
                         : x >= y;
  }
  const uint64_t x = num_truncate(a, t), y = num_truncate(b, t);
  return c == CMP_EQ   ? x == y
         : c == CMP_NE ? x != y
         : c == CMP_LT ? x < y
         : c == CMP_LE ? x <= y
         : c == CMP_GT ? x > y
                       : x >= y;
}

/* ---- conversions ---- */

static double whole_number(double v, ptx_round r) {
  switch (r) {
    case ROUND_RZ:
      return trunc(v);
    case ROUND_RM:
      return floor(v);
    case ROUND_RP:
      return ceil(v);
    default:
      return rint(v);
  }
}

static uint64_t to_integer(double v, ptx_type to, bool from_f64, ptx_round r) {
  const unsigned bits = 8 * ptx_type_bytes(to);
  if (v != v) return from_f64 || bits == 64 ? (uint64_t)1 << (bits - 1) : 0;
  const double w = whole_number(v, r);
  if (ptx_is_signed(to)) {
    const double edge = ldexp(1.0, (int)bits - 1);
    const int64_t most = (int64_t)(((uint64_t)1 << (bits - 1)) - 1);
    return num_truncate((uint64_t)(w >= edge ? most : w < -edge ? -most - 1 : (int64_t)w), to);
  }
  const double edge = ldexp(1.0, (int)bits);
  return w >= edge ? num_truncate(~(uint64_t)0, to) : w <= 0 ? 0 : (uint64_t)w;
}

static uint64_t saturate_integer(uint64_t v, ptx_type from, ptx_type to) {
  const unsigned bits = 8 * ptx_type_bytes(to);
  const uint64_t most = ptx_is_signed(to) ? ((uint64_t)1 << (bits - 1)) - 1 : num_truncate(~(uint64_t)0, to);
  if (ptx_is_signed(from)) {
    const int64_t x = num_signed(v, from);
    const int64_t least = ptx_is_signed(to) ? -(int64_t)most - 1 : 0;
    if (x < least) return num_truncate((uint64_t)least, to);
    return x > 0 && (uint64_t)x > most ? most : num_truncate((uint64_t)x, to);
  }
  const uint64_t x = num_truncate(v, from);
  return x > most ? most : x;
}

static uint64_t from_integer(uint64_t v, ptx_type from, ptx_type to, ptx_round r) {
  if (to == PTX_F16 || to == PTX_BF16) { /* 64 bits to 53 to 11: odd rounding would be needed beyond 2^53 */
    const double d = ptx_is_signed(from) ? (double)num_signed(v, from) : (double)num_truncate(v, from);
    return num_store(d, to, r);
  }
  if (r > ROUND_RN) (void)fesetround(host_rounding(r));
  volatile int64_t s = num_signed(v, from);
  volatile uint64_t u = num_truncate(v, from);
  uint64_t result;
  if (to == PTX_F64) {
    volatile double d = ptx_is_signed(from) ? (double)s : (double)u;
    result = num_bits_f64(d);
  } else {
    volatile float f = ptx_is_signed(from) ? (float)s : (float)u;
    result = num_bits_f32(f);
  }
  if (r > ROUND_RN) (void)fesetround(FE_TONEAREST);
  return result;
}

uint64_t num_convert(const ptx_instruction *i, uint64_t v) {
  const ptx_type to = (ptx_type)i->type, from = (ptx_type)i->type2;
  const ptx_round r = (ptx_round)i->rounding;
  if (!ptx_is_float(from)) {
    if (ptx_is_float(to)) return from_integer(v, from, to, r);
    return i->saturate ? saturate_integer(v, from, to) : num_truncate(num_extend(v, from), to);
  }
  double x = num_load(v, from);
  if (i->flush && from == PTX_F32) x = num_flush((float)x);
  if (!ptx_is_float(to)) return to_integer(x, to, from == PTX_F64, r);
  if (from == to && from == PTX_F64 && !i->integer_rounding && !i->saturate) return v;
  if (i->integer_rounding) x = whole_number(x, r);
  if (i->saturate) x = x > 0 ? (x < 1 ? x : 1) : 0;
  uint64_t result = num_store(x, to, i->integer_rounding ? ROUND_RN : r);
  if (i->flush && to == PTX_F32) result = num_bits_f32(num_flush(num_f32(result)));
  return result;
}
