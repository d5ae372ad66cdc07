/* map_loops.h - the elementwise loops in plain C, for the compiler to make vectors of: each element is one
 * expression, so no level can give other bits. The includer defines LEVEL and what types it wants: FAST types
 * only, or all of them too (MAP_ALL). */
#ifndef WH_CPU_MAP_LOOPS_H
#define WH_CPU_MAP_LOOPS_H

#include <string.h>

#include "backends/cpu/map_kernels.h"
#include "core/base/exact_math.h"
#include "core/base/exact_math_wide.h"

#define JOIN_(name, t, level) wh_k_##name##_##t##__##level
#define JOIN(name, t, level) JOIN_(name, t, level)

/* y = expression of x */
#define MAP1(name, t, type, result, expression)    \
  void JOIN(name, t, LEVEL)(const wh_map_run *r) { \
    typedef type T;                                \
    const T *restrict a = r->in[0];                \
    result *restrict y = r->out;                   \
    for (int64_t i = 0; i < r->n; i++) {           \
      const T x = a[i];                            \
      y[i] = (expression);                         \
    }                                              \
  }

/* y = expression of x and z. An operand that stays is read once. */
#define MAP2(name, t, type, result, expression)    \
  void JOIN(name, t, LEVEL)(const wh_map_run *r) { \
    typedef type T;                                \
    const T *restrict a = r->in[0];                \
    const T *restrict b = r->in[1];                \
    result *restrict y = r->out;                   \
    if (r->step[0] && r->step[1]) {                \
      for (int64_t i = 0; i < r->n; i++) {         \
        const T x = a[i], z = b[i];                \
        y[i] = (expression);                       \
      }                                            \
    } else if (r->step[0]) {                       \
      const T z = b[0];                            \
      for (int64_t i = 0; i < r->n; i++) {         \
        const T x = a[i];                          \
        y[i] = (expression);                       \
      }                                            \
    } else {                                       \
      const T x = a[0];                            \
      for (int64_t i = 0; i < r->n; i++) {         \
        const T z = b[i * r->step[1]];             \
        y[i] = (expression);                       \
      }                                            \
    }                                              \
  }

#define MAP_F32(MAP, name, result, expression) MAP(name, f32, float, result, expression)
#define MAP_F64(MAP, name, result, expression) MAP(name, f64, double, result, expression)
#define MAP_SIGNED(MAP, name, result, expression) \
  MAP(name, i8, int8_t, result, expression)       \
  MAP(name, i16, int16_t, result, expression)     \
  MAP(name, i32, int32_t, result, expression)     \
  MAP(name, i64, int64_t, result, expression)
#define MAP_UNSIGNED(MAP, name, result, expression) \
  MAP(name, u8, uint8_t, result, expression)        \
  MAP(name, u16, uint16_t, result, expression)      \
  MAP(name, u32, uint32_t, result, expression)      \
  MAP(name, u64, uint64_t, result, expression)
#define MAP_INTEGERS(MAP, name, result, expression) \
  MAP_SIGNED(MAP, name, result, expression) MAP_UNSIGNED(MAP, name, result, expression)

/* IEEE 754-2019's minimum and maximum: -0 is below +0 */
static inline float min_f32(float x, float z) {
  return x < z ? x : z < x ? z : x == z ? (signbit(x) ? x : z) : x + z;
}
static inline float max_f32(float x, float z) {
  return x > z ? x : z > x ? z : x == z ? (signbit(x) ? z : x) : x + z;
}
static inline double min_f64(double x, double z) {
  return x < z ? x : z < x ? z : x == z ? (signbit(x) ? x : z) : x + z;
}
static inline double max_f64(double x, double z) {
  return x > z ? x : z > x ? z : x == z ? (signbit(x) ? z : x) : x + z;
}

/* ---- f32 at every level ---- */

MAP_F32(MAP2, add, float, x + z)
MAP_F32(MAP2, sub, float, x - z)
MAP_F32(MAP2, mul, float, x *z)
MAP_F32(MAP2, div, float, x / z)
MAP_F32(MAP2, min, float, min_f32(x, z))
MAP_F32(MAP2, max, float, max_f32(x, z))
MAP_F32(MAP2, equal, uint8_t, x == z)
MAP_F32(MAP2, less, uint8_t, x < z)
MAP_F32(MAP2, less_or_equal, uint8_t, x <= z)
MAP_F32(MAP1, floor, float, floorf(x))
MAP_F32(MAP1, ceil, float, ceilf(x))
MAP_F32(MAP1, round, float, rintf(x))
MAP_F32(MAP1, abs, float, fabsf(x))
MAP_F32(MAP1, sign, float, x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x)
MAP_F32(MAP1, neg, float, -x)
MAP_F32(MAP1, erf, float, wh_erf_f32(x))
static inline float relu_f32(float x) { return x > 0.0f ? x : x != x ? x : 0.0f; }
MAP_F32(MAP1, relu, float, relu_f32(x))
MAP_F32(MAP2, add_relu, float, relu_f32(x + z))

/* x * s + t for one s and t, each operation rounded; mode 1: put through relu. y may be x. */
#if defined(__clang__)
#define MAP_IN_PLACE _Pragma("clang loop vectorize(assume_safety)")
#else
#define MAP_IN_PLACE _Pragma("GCC ivdep")
#endif
void JOIN(affine, f32, LEVEL)(const wh_map_run *r) {
  const float *x = r->in[0];
  float *y = r->out;
  const float s = *(const float *)r->in[1], t = *(const float *)r->in[2];
  const int64_t n = r->n;
  if (r->mode) MAP_IN_PLACE
  for (int64_t i = 0; i < n; i++) y[i] = relu_f32(x[i] * s + t);
  else MAP_IN_PLACE for (int64_t i = 0; i < n; i++) y[i] = x[i] * s + t;
}

/* f32 in f64, then rounded */
#define MAP_WIDE(name)                                         \
  MAP_F32(MAP1, name, float, (float)wh_wide_##name((double)x)) \
  MAP_F64(MAP1, name, double, wh_wide_##name(x))
MAP_WIDE(log)
MAP_WIDE(sin)
MAP_WIDE(cos)
MAP_WIDE(tan)
MAP_WIDE(asin)
MAP_WIDE(acos)
MAP_WIDE(atan)
MAP_WIDE(sinh)
MAP_WIDE(cosh)
MAP_WIDE(asinh)
MAP_WIDE(acosh)
MAP_WIDE(atanh)
MAP_WIDE(softplus)
MAP_F64(MAP1, exp, double, wh_wide_exp(x))
MAP_F64(MAP1, tanh, double, wh_wide_tanh(x))
MAP_F64(MAP1, sigmoid, double, wh_wide_sigmoid(x))
MAP_F64(MAP1, erf, double, wh_wide_erf(x))

/* ---- powers ---- */

/* An exponent of any type: as a float, and when it is whole and no larger than an int64 holds, as an integer.
 */
typedef struct exponent {
  double value;
  int64_t whole;
  bool is_whole;
} exponent;

static exponent exponent_at(const wh_map_run *r, int64_t i) {
  const int64_t at = i * r->step[1];
  exponent e = {.is_whole = true};
  switch (r->exponent) {
#define WHOLE(dtype, type)                  \
  case WH_DTYPE_##dtype:                    \
    e.whole = ((const type *)r->in[1])[at]; \
    e.value = (double)e.whole;              \
    return e;
    WHOLE(I8, int8_t)
    WHOLE(I16, int16_t)
    WHOLE(I32, int32_t)
    WHOLE(I64, int64_t)
    WHOLE(U8, uint8_t)
    WHOLE(U16, uint16_t)
    WHOLE(U32, uint32_t)
#undef WHOLE
    case WH_DTYPE_U64: {
      const uint64_t u = ((const uint64_t *)r->in[1])[at];
      e.value = (double)u;
      e.is_whole = u <= INT64_MAX;
      e.whole = e.is_whole ? (int64_t)u : 0;
      return e;
    }
    case WH_DTYPE_F32:
      e.value = (double)((const float *)r->in[1])[at];
      break;
    default:
      e.value = ((const double *)r->in[1])[at];
  }
  e.is_whole = fabs(e.value) < 0x1p62 && rint(e.value) == e.value;
  e.whole = e.is_whole ? (int64_t)e.value : 0;
  return e;
}

#define POW(t, type, expression)                  \
  void JOIN(pow, t, LEVEL)(const wh_map_run *r) { \
    typedef type T;                               \
    const T *a = r->in[0];                        \
    T *y = r->out;                                \
    for (int64_t i = 0; i < r->n; i++) {          \
      const T x = a[i * r->step[0]];              \
      const exponent e = exponent_at(r, i);       \
      y[i] = (expression);                        \
    }                                             \
  }
/* Squares and roots, which models are full of, are one operation. */
static inline double float_power(double x, double e) {
  if (e == 2.0) return x * x;
  if (e == 0.5 && x > 0.0) return sqrt(x);
  return wh_wide_pow(x, e);
}
POW(f32, float, (float)float_power((double)x, e.value))
POW(f64, double, float_power(x, e.value))

/* Elements of so many bytes. */
#define WHERE(t, type)                                                       \
  void JOIN(where, t, LEVEL)(const wh_map_run *r) {                          \
    typedef type T;                                                          \
    const uint8_t *restrict cond = r->in[0];                                 \
    const T *restrict a = r->in[1];                                          \
    const T *restrict b = r->in[2];                                          \
    T *restrict y = r->out;                                                  \
    if (r->step[0] && r->step[1] && r->step[2]) {                            \
      for (int64_t i = 0; i < r->n; i++) y[i] = cond[i] ? a[i] : b[i];       \
    } else {                                                                 \
      for (int64_t i = 0; i < r->n; i++)                                     \
        y[i] = cond[i * r->step[0]] ? a[i * r->step[1]] : b[i * r->step[2]]; \
    }                                                                        \
  }
WHERE(b4, uint32_t)
WHERE(b8, uint64_t)

#ifdef MAP_ALL

/* ---- the other types ---- */

typedef struct bytes16 {
  uint64_t low, high;
} bytes16;
WHERE(b1, uint8_t)
WHERE(b2, uint16_t)
WHERE(b16, bytes16)

/* Integers wrap around; division truncates; by 0 everything gives 0. */
#define SIGNED_DIV (z == 0 ? 0 : z == (T)-1 ? (T)(0 - (uint64_t)x) : x / z)
#define SIGNED_REM (z == 0 || z == (T)-1 ? 0 : x % z)
#define UNSIGNED_DIV (z == 0 ? 0 : x / z)
#define UNSIGNED_REM (z == 0 ? 0 : x % z)
#define BITS ((int)(8 * sizeof(T)))

MAP_F64(MAP2, add, double, x + z)
MAP_F64(MAP2, sub, double, x - z)
MAP_F64(MAP2, mul, double, x *z)
MAP_F64(MAP2, div, double, x / z)
MAP_F64(MAP2, min, double, min_f64(x, z))
MAP_F64(MAP2, max, double, max_f64(x, z))
MAP_INTEGERS(MAP2, add, T, (T)((uint64_t)x + (uint64_t)z))
MAP_INTEGERS(MAP2, sub, T, (T)((uint64_t)x - (uint64_t)z))
MAP_INTEGERS(MAP2, mul, T, (T)((uint64_t)x *(uint64_t)z))
MAP_SIGNED(MAP2, div, T, SIGNED_DIV)
MAP_UNSIGNED(MAP2, div, T, UNSIGNED_DIV)
MAP_INTEGERS(MAP2, min, T, x < z ? x : z)
MAP_INTEGERS(MAP2, max, T, x > z ? x : z)

/* fmod is exact, so every libm has the same. */
static inline float mod_f32(float x, float z) {
  const float r = fmodf(x, z);
  return r != 0.0f && (r < 0.0f) != (z < 0.0f) ? r + z : r;
}
static inline double mod_f64(double x, double z) {
  const double r = fmod(x, z);
  return r != 0.0 && (r < 0.0) != (z < 0.0) ? r + z : r;
}
static inline int64_t mod_i64(int64_t r, int64_t z) { return r != 0 && (r < 0) != (z < 0) ? r + z : r; }
MAP_F32(MAP2, rem, float, fmodf(x, z))
MAP_F64(MAP2, rem, double, fmod(x, z))
MAP_SIGNED(MAP2, rem, T, SIGNED_REM)
MAP_UNSIGNED(MAP2, rem, T, UNSIGNED_REM)
MAP_F32(MAP2, mod, float, mod_f32(x, z))
MAP_F64(MAP2, mod, double, mod_f64(x, z))
MAP_SIGNED(MAP2, mod, T, (T)mod_i64(SIGNED_REM, z))
MAP_UNSIGNED(MAP2, mod, T, UNSIGNED_REM)

MAP_INTEGERS(MAP2, bit_and, T, x &z)
MAP_INTEGERS(MAP2, bit_or, T, x | z)
MAP_INTEGERS(MAP2, bit_xor, T, x ^ z)
MAP_SIGNED(MAP2, shift_left, T, z < 0 || z >= BITS ? 0 : (T)((uint64_t)x << z))
MAP_UNSIGNED(MAP2, shift_left, T, z >= BITS ? 0 : (T)((uint64_t)x << z))
MAP_SIGNED(MAP2, shift_right, T, z < 0 || z >= BITS ? (x < 0 ? -1 : 0) : x >> z)
MAP_UNSIGNED(MAP2, shift_right, T, z >= BITS ? 0 : x >> z)

MAP2(and, flag, uint8_t, uint8_t, x &z)
MAP2(or, flag, uint8_t, uint8_t, x | z)
MAP2(xor, flag, uint8_t, uint8_t, x ^ z)
MAP2(equal, flag, uint8_t, uint8_t, x == z)
MAP1(not, flag, uint8_t, uint8_t, !x)

MAP_F64(MAP2, equal, uint8_t, x == z)
MAP_F64(MAP2, less, uint8_t, x < z)
MAP_F64(MAP2, less_or_equal, uint8_t, x <= z)
MAP_INTEGERS(MAP2, equal, uint8_t, x == z)
MAP_INTEGERS(MAP2, less, uint8_t, x < z)
MAP_INTEGERS(MAP2, less_or_equal, uint8_t, x <= z)

MAP_F64(MAP1, sqrt, double, sqrt(x))
MAP_F64(MAP1, floor, double, floor(x))
MAP_F64(MAP1, ceil, double, ceil(x))
MAP_F64(MAP1, round, double, rint(x))
MAP_F64(MAP1, abs, double, fabs(x))
MAP_F64(MAP1, sign, double, x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x)
MAP_F64(MAP1, neg, double, -x)
MAP_SIGNED(MAP1, abs, T, x < 0 ? (T)(0 - (uint64_t)x) : x)
MAP_UNSIGNED(MAP1, abs, T, x)
MAP_SIGNED(MAP1, sign, T, (T)((x > 0) - (x < 0)))
MAP_UNSIGNED(MAP1, sign, T, x > 0)
MAP_INTEGERS(MAP1, neg, T, (T)(0 - (uint64_t)x))
MAP_INTEGERS(MAP1, bit_not, T, (T)~x)
MAP_F32(MAP1, truncate_bf16, uint16_t, x == x ? (uint16_t)(wh_f32_bits(x) >> 16) : 0x7fff)
MAP_F32(MAP1, is_nan, uint8_t, x != x)
MAP_F64(MAP1, is_nan, uint8_t, x != x)
MAP_F32(MAP1, is_inf, uint8_t, (x == INFINITY && r->mode != 3) || (x == -INFINITY && r->mode != 2))
MAP_F64(MAP1, is_inf, uint8_t, (x == INFINITY && r->mode != 3) || (x == -INFINITY && r->mode != 2))

/* ---- whole powers ---- */

/* x^e mod 2^64; of a negative exponent what truncation leaves of 1 / x^|e|, and 0 of 0 */
static inline uint64_t whole_power(uint64_t x, bool is_one, bool is_minus_one, int64_t e) {
  uint64_t y = 1;
  if (e < 0) return is_one ? 1 : is_minus_one ? (e & 1 ? ~(uint64_t)0 : 1) : 0;
  for (; e; e >>= 1, x *= x)
    if (e & 1) y *= x;
  return y;
}

/* Towards 0, no further than the type goes; 0 of NaN. */
static inline int64_t to_i64(double x, int64_t least, int64_t most) {
  if (!(x == x)) return 0;
  return x <= (double)least ? least : x >= (double)most ? most : (int64_t)x;
}
static inline uint64_t to_u64(double x, uint64_t most) {
  if (!(x > 0.0)) return 0;
  return x >= (double)most ? most : (uint64_t)x;
}

#define WHOLE_POW(minus_one, otherwise) \
  (e.is_whole ? (T)whole_power((uint64_t)x, x == 1, minus_one, e.whole) : (T)(otherwise))
POW(i8, int8_t, WHOLE_POW(x == -1, to_i64(wh_wide_pow((double)x, e.value), INT8_MIN, INT8_MAX)))
POW(i16, int16_t, WHOLE_POW(x == -1, to_i64(wh_wide_pow((double)x, e.value), INT16_MIN, INT16_MAX)))
POW(i32, int32_t, WHOLE_POW(x == -1, to_i64(wh_wide_pow((double)x, e.value), INT32_MIN, INT32_MAX)))
POW(i64, int64_t, WHOLE_POW(x == -1, to_i64(wh_wide_pow((double)x, e.value), INT64_MIN, INT64_MAX)))
POW(u8, uint8_t, WHOLE_POW(false, to_u64(wh_wide_pow((double)x, e.value), UINT8_MAX)))
POW(u16, uint16_t, WHOLE_POW(false, to_u64(wh_wide_pow((double)x, e.value), UINT16_MAX)))
POW(u32, uint32_t, WHOLE_POW(false, to_u64(wh_wide_pow((double)x, e.value), UINT32_MAX)))
POW(u64, uint64_t, WHOLE_POW(false, to_u64(wh_wide_pow((double)x, e.value), UINT64_MAX)))

#endif
#endif
