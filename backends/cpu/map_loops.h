/* map_loops.h - the elementwise loops in plain C, for the compiler to make vectors of: each element is one
 * expression, so no level can give other bits. The includer defines LEVEL and what types it wants: FAST types
 * only, or all of them too (MAP_ALL). */
#ifndef WH_CPU_MAP_LOOPS_H
#define WH_CPU_MAP_LOOPS_H

#include <string.h>

#include "backends/cpu/map_kernels.h"
#include "core/base/exact_elements.h"

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
#define MAP2(name, t, type, result, expression)               \
  void JOIN(name, t, LEVEL)(const wh_map_run *r) {            \
    typedef type T;                                           \
    const T *restrict a = r->in[0];                           \
    const T *restrict b = r->in[1];                           \
    result *restrict y = r->out;                              \
    if (r->step[0] && r->step[1]) {                           \
      for (int64_t i = 0; i < r->n; i++) {                    \
        const T x = a[i], z = b[i];                           \
        y[i] = (expression);                                  \
      }                                                       \
    } else if (r->step[0]) {                                  \
      const T z = b[0];                                       \
      for (int64_t i = 0; i < r->n; i++) {                    \
        const T x = a[i];                                     \
        y[i] = (expression);                                  \
      }                                                       \
    } else if (r->step[1]) {                                  \
      const T x = a[0];                                       \
      for (int64_t i = 0; i < r->n; i++) {                    \
        const T z = b[i];                                     \
        y[i] = (expression);                                  \
      }                                                       \
    } else {                                                  \
      const T x = a[0], z = b[0];                             \
      for (int64_t i = 0; i < r->n; i++) y[i] = (expression); \
    }                                                         \
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
#define MAP_SHORT_OR_UNSIGNED(MAP, name, result, expression) \
  MAP(name, i8, int8_t, result, expression)                  \
  MAP(name, i16, int16_t, result, expression)                \
  MAP_UNSIGNED(MAP, name, result, expression)
#define MAP_INTEGERS(MAP, name, result, expression) \
  MAP_SIGNED(MAP, name, result, expression) MAP_UNSIGNED(MAP, name, result, expression)

/* ---- f32 at every level ---- */

MAP_F32(MAP2, add, float, x + z)
MAP_F32(MAP2, sub, float, x - z)
MAP_F32(MAP2, mul, float, x *z)
MAP_F32(MAP2, div, float, x / z)
MAP_F32(MAP2, min, float, wh_min_f32(x, z))
MAP_F32(MAP2, max, float, wh_max_f32(x, z))
#define MAP_COMPARED(name, expression)          \
  MAP_F32(MAP2, name, uint8_t, expression)      \
  MAP2(name, i32, int32_t, uint8_t, expression) \
  MAP2(name, i64, int64_t, uint8_t, expression)
MAP_COMPARED(equal, x == z)
MAP_COMPARED(less, x < z)
MAP_COMPARED(less_or_equal, x <= z)
MAP_F32(MAP1, floor, float, floorf(x))
MAP_F32(MAP1, ceil, float, ceilf(x))
MAP_F32(MAP1, round, float, rintf(x))
MAP_F32(MAP1, abs, float, fabsf(x))
MAP_F32(MAP1, sign, float, x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x)
MAP_F32(MAP1, neg, float, -x)
static inline float relu_f32(float x) { return x > 0.0f ? x : x != x ? x : 0.0f; }
MAP_F32(MAP1, relu, float, relu_f32(x))

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

static wh_exponent exponent_at(const wh_map_run *r, int64_t i) {
  const int64_t at = i * r->step[1];
  switch (r->exponent) {
#define WHOLE(dtype, type) \
  case WH_DTYPE_##dtype:   \
    return wh_exponent_i64(((const type *)r->in[1])[at]);
    WHOLE(I8, int8_t)
    WHOLE(I16, int16_t)
    WHOLE(I32, int32_t)
    WHOLE(I64, int64_t)
    WHOLE(U8, uint8_t)
    WHOLE(U16, uint16_t)
    WHOLE(U32, uint32_t)
#undef WHOLE
    case WH_DTYPE_U64:
      return wh_exponent_u64(((const uint64_t *)r->in[1])[at]);
    case WH_DTYPE_F32:
      return wh_exponent_f64((double)((const float *)r->in[1])[at]);
    default:
      return wh_exponent_f64(((const double *)r->in[1])[at]);
  }
}

#define POW(t, type, expression)                  \
  void JOIN(pow, t, LEVEL)(const wh_map_run *r) { \
    typedef type T;                               \
    const T *a = r->in[0];                        \
    T *y = r->out;                                \
    for (int64_t i = 0; i < r->n; i++) {          \
      const T x = a[i * r->step[0]];              \
      const wh_exponent e = exponent_at(r, i);    \
      y[i] = (expression);                        \
    }                                             \
  }
POW(f32, float, (float)wh_float_power((double)x, e.value))
POW(f64, double, wh_float_power(x, e.value))

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
MAP_F64(MAP2, min, double, wh_min_f64(x, z))
MAP_F64(MAP2, max, double, wh_max_f64(x, z))
MAP_INTEGERS(MAP2, add, T, (T)((uint64_t)x + (uint64_t)z))
MAP_INTEGERS(MAP2, sub, T, (T)((uint64_t)x - (uint64_t)z))
MAP_INTEGERS(MAP2, mul, T, (T)((uint64_t)x *(uint64_t)z))
MAP_SIGNED(MAP2, div, T, SIGNED_DIV)
MAP_UNSIGNED(MAP2, div, T, UNSIGNED_DIV)
MAP_INTEGERS(MAP2, min, T, x < z ? x : z)
MAP_INTEGERS(MAP2, max, T, x > z ? x : z)

MAP_F32(MAP2, rem, float, fmodf(x, z))
MAP_F64(MAP2, rem, double, fmod(x, z))
MAP_SIGNED(MAP2, rem, T, SIGNED_REM)
MAP_UNSIGNED(MAP2, rem, T, UNSIGNED_REM)
MAP_F32(MAP2, mod, float, wh_mod_of_f32(fmodf(x, z), z))
MAP_F64(MAP2, mod, double, wh_mod_of_f64(fmod(x, z), z))
MAP_SIGNED(MAP2, mod, T, (T)wh_mod_of_i64(SIGNED_REM, z))
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
MAP_SHORT_OR_UNSIGNED(MAP2, equal, uint8_t, x == z)
MAP_SHORT_OR_UNSIGNED(MAP2, less, uint8_t, x < z)
MAP_SHORT_OR_UNSIGNED(MAP2, less_or_equal, uint8_t, x <= z)

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
MAP_F32(MAP1, truncate_bf16, uint16_t, wh_truncated_bf16(x))
MAP_F32(MAP1, is_nan, uint8_t, x != x)
MAP_F64(MAP1, is_nan, uint8_t, x != x)
MAP_F32(MAP1, is_inf, uint8_t, (x == INFINITY && r->mode != 3) || (x == -INFINITY && r->mode != 2))
MAP_F64(MAP1, is_inf, uint8_t, (x == INFINITY && r->mode != 3) || (x == -INFINITY && r->mode != 2))

/* ---- whole powers ---- */

#define WHOLE_POW(minus_one, otherwise) \
  (e.is_whole ? (T)wh_whole_power((uint64_t)x, x == 1, minus_one, e.whole) : (T)(otherwise))
POW(i8, int8_t, WHOLE_POW(x == -1, wh_f64_to_i64(wh_wide_pow((double)x, e.value), INT8_MIN, INT8_MAX)))
POW(i16, int16_t, WHOLE_POW(x == -1, wh_f64_to_i64(wh_wide_pow((double)x, e.value), INT16_MIN, INT16_MAX)))
POW(i32, int32_t, WHOLE_POW(x == -1, wh_f64_to_i64(wh_wide_pow((double)x, e.value), INT32_MIN, INT32_MAX)))
POW(i64, int64_t, WHOLE_POW(x == -1, wh_f64_to_i64(wh_wide_pow((double)x, e.value), INT64_MIN, INT64_MAX)))
POW(u8, uint8_t, WHOLE_POW(false, wh_f64_to_u64(wh_wide_pow((double)x, e.value), UINT8_MAX)))
POW(u16, uint16_t, WHOLE_POW(false, wh_f64_to_u64(wh_wide_pow((double)x, e.value), UINT16_MAX)))
POW(u32, uint32_t, WHOLE_POW(false, wh_f64_to_u64(wh_wide_pow((double)x, e.value), UINT32_MAX)))
POW(u64, uint64_t, WHOLE_POW(false, wh_f64_to_u64(wh_wide_pow((double)x, e.value), UINT64_MAX)))

#endif
#endif
