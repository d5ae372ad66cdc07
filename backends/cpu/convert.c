/* convert.c - casts by way of one of three types that hold all others: f64 the floats, i64 and u64 the
 * integers. What an integer of 64 bits loses in f64 stays in its last place, so that a second rounding comes
 * out as one (Boldo and Melquiond 2008). Pairs that models are full of have loops of their own. */
#include "backends/cpu/convert.h"

#include <string.h>

#include "core/base/small_float.h"

#define CHUNK 256

/* ---- elements as f64, i64 or u64 ---- */

typedef enum carrier { AS_F64, AS_I64, AS_U64 } carrier;

static carrier carrier_of(wh_dtype d) {
  return wh_dtype_is_float(d) ? AS_F64 : wh_dtype_is(d, WH_CLASS_SIGNED) ? AS_I64 : AS_U64;
}

typedef union chunk {
  double f[CHUNK];
  int64_t i[CHUNK];
  uint64_t u[CHUNK];
} chunk;

/* Element i of those that take `bits` of a byte. */
static uint32_t load_bits(const void *src, int64_t i, unsigned bits) {
  const int64_t per_byte = 8 / bits;
  return ((const uint8_t *)src)[i / per_byte] >> (unsigned)(i % per_byte) * bits & ((1u << bits) - 1);
}

static void load(wh_dtype d, const void *src, int64_t at, int64_t n, chunk *c) {
  const wh_small_float t = wh_small_float_of(d);
  switch (d) {
#define LOAD(dtype, type, field, as)                                               \
  case WH_DTYPE_##dtype:                                                           \
    for (int64_t k = 0; k < n; k++) c->field[k] = (as)((const type *)src)[at + k]; \
    return;
    LOAD(F32, float, f, double)
    LOAD(F64, double, f, double)
    LOAD(I8, int8_t, i, int64_t)
    LOAD(I16, int16_t, i, int64_t)
    LOAD(I32, int32_t, i, int64_t)
    LOAD(I64, int64_t, i, int64_t)
    LOAD(U8, uint8_t, u, uint64_t)
    LOAD(BOOL, uint8_t, u, uint64_t)
    LOAD(U16, uint16_t, u, uint64_t)
    LOAD(U32, uint32_t, u, uint64_t)
    LOAD(U64, uint64_t, u, uint64_t)
#undef LOAD
    case WH_DTYPE_I4:
      for (int64_t k = 0; k < n; k++) c->i[k] = (int64_t)(load_bits(src, at + k, 4) ^ 8u) - 8;
      return;
    case WH_DTYPE_U4:
      for (int64_t k = 0; k < n; k++) c->u[k] = load_bits(src, at + k, 4);
      return;
    case WH_DTYPE_I2:
      for (int64_t k = 0; k < n; k++) c->i[k] = (int64_t)(load_bits(src, at + k, 2) ^ 2u) - 2;
      return;
    case WH_DTYPE_U2:
      for (int64_t k = 0; k < n; k++) c->u[k] = load_bits(src, at + k, 2);
      return;
    case WH_DTYPE_F4E2M1:
      for (int64_t k = 0; k < n; k++) c->f[k] = wh_small_to_f64(&t, load_bits(src, at + k, 4));
      return;
    case WH_DTYPE_F8E8M0:
      for (int64_t k = 0; k < n; k++) c->f[k] = wh_power_to_f64(((const uint8_t *)src)[at + k]);
      return;
    case WH_DTYPE_F16:
    case WH_DTYPE_BF16:
      for (int64_t k = 0; k < n; k++) c->f[k] = wh_small_to_f64(&t, ((const uint16_t *)src)[at + k]);
      return;
    default:
      for (int64_t k = 0; k < n; k++) c->f[k] = wh_small_to_f64(&t, ((const uint8_t *)src)[at + k]);
  }
}

static double narrow_f64(carrier as, const chunk *c, int64_t k) {
  if (as == AS_F64) return c->f[k];
  if (as == AS_U64) return wh_odd_f64(c->u[k], false);
  return wh_odd_f64(c->i[k] < 0 ? 0 - (uint64_t)c->i[k] : (uint64_t)c->i[k], c->i[k] < 0);
}

/* Parts of a byte come one after the other, and the first clears it. */
static void store_bits(uint8_t *dst, int64_t i, unsigned bits, uint64_t code) {
  const int64_t per_byte = 8 / bits;
  const unsigned first = (unsigned)(i % per_byte) * bits;
  uint8_t *byte = &dst[i / per_byte];
  *byte = (uint8_t)((first ? *byte : 0u) | (code & ((1u << bits) - 1)) << first);
}

static void store_small(wh_dtype d, bool saturate, carrier as, const chunk *c, int64_t n, void *dst,
                        int64_t at) {
  const wh_small_float t = wh_small_float_of(d);
  const bool wide = d == WH_DTYPE_F16 || d == WH_DTYPE_BF16;
  for (int64_t k = 0; k < n; k++) {
    const uint32_t code = wh_small_from_f64(&t, narrow_f64(as, c, k), saturate && !wide);
    if (wide)
      ((uint16_t *)dst)[at + k] = (uint16_t)code;
    else if (d == WH_DTYPE_F4E2M1)
      store_bits(dst, at + k, 4, code);
    else
      ((uint8_t *)dst)[at + k] = (uint8_t)code;
  }
}

#define EACH(expression)            \
  for (int64_t k = 0; k < n; k++) { \
    expression;                     \
  }

static void store(wh_dtype d, bool saturate, carrier as, const chunk *c, int64_t n, void *dst, int64_t at) {
  switch (d) {
    case WH_DTYPE_F32: {
      float *y = (float *)dst + at;
      EACH(y[k] = as == AS_F64 ? (float)c->f[k] : as == AS_I64 ? (float)c->i[k] : (float)c->u[k])
      return;
    }
    case WH_DTYPE_F64: {
      double *y = (double *)dst + at;
      EACH(y[k] = as == AS_F64 ? c->f[k] : as == AS_I64 ? (double)c->i[k] : (double)c->u[k])
      return;
    }
#define SIGNED(dtype, type, least, most)                                                                     \
  case WH_DTYPE_##dtype: {                                                                                   \
    type *y = (type *)dst + at;                                                                              \
    EACH(y[k] = as == AS_F64 ? (type)wh_f64_to_i64(c->f[k], least, most) : (type)c->u[k]) /* the low bits */ \
    return;                                                                                                  \
  }
#define UNSIGNED(dtype, type, most)                                                \
  case WH_DTYPE_##dtype: {                                                         \
    type *y = (type *)dst + at;                                                    \
    EACH(y[k] = as == AS_F64 ? (type)wh_f64_to_u64(c->f[k], most) : (type)c->u[k]) \
    return;                                                                        \
  }
      SIGNED(I8, int8_t, INT8_MIN, INT8_MAX)
      SIGNED(I16, int16_t, INT16_MIN, INT16_MAX)
      SIGNED(I32, int32_t, INT32_MIN, INT32_MAX)
      SIGNED(I64, int64_t, INT64_MIN, INT64_MAX)
      UNSIGNED(U8, uint8_t, UINT8_MAX)
      UNSIGNED(U16, uint16_t, UINT16_MAX)
      UNSIGNED(U32, uint32_t, UINT32_MAX)
      UNSIGNED(U64, uint64_t, UINT64_MAX)
#undef SIGNED
#undef UNSIGNED
    case WH_DTYPE_BOOL: {
      uint8_t *y = (uint8_t *)dst + at;
      EACH(y[k] = as == AS_F64 ? c->f[k] != 0.0 : c->u[k] != 0)
      return;
    }
    case WH_DTYPE_I4:
      EACH(store_bits(dst, at + k, 4, as == AS_F64 ? (uint64_t)wh_f64_to_i64(c->f[k], -8, 7) : c->u[k]))
      return;
    case WH_DTYPE_U4:
      EACH(store_bits(dst, at + k, 4, as == AS_F64 ? wh_f64_to_u64(c->f[k], 15) : c->u[k]))
      return;
    case WH_DTYPE_I2:
      EACH(store_bits(dst, at + k, 2, as == AS_F64 ? (uint64_t)wh_f64_to_i64(c->f[k], -2, 1) : c->u[k]))
      return;
    case WH_DTYPE_U2:
      EACH(store_bits(dst, at + k, 2, as == AS_F64 ? wh_f64_to_u64(c->f[k], 3) : c->u[k]))
      return;
    case WH_DTYPE_F8E8M0: {
      uint8_t *y = (uint8_t *)dst + at;
      EACH(y[k] = (uint8_t)wh_power_from_f64(narrow_f64(as, c, k), saturate))
      return;
    }
    default:
      store_small(d, saturate, as, c, n, dst, at);
  }
}

/* ---- all ---- */

#define DIRECT(from_type, a_type, to_type, b_type, expression)    \
  if (from == WH_DTYPE_##from_type && to == WH_DTYPE_##to_type) { \
    const a_type *restrict x = src;                               \
    b_type *restrict y = dst;                                     \
    EACH(y[k] = (expression))                                     \
    return true;                                                  \
  }

static bool direct(wh_dtype from, wh_dtype to, const void *src, void *dst, int64_t n) {
  const wh_dtype_info *t = wh_dtype_get(from);
  if (from == to && t->block_elems == 1 && from != WH_DTYPE_BOOL) {
    if (n) memcpy(dst, src, (size_t)n * t->block_bytes);
    return true;
  }
  DIRECT(F32, float, F64, double, (double)x[k])
  DIRECT(F64, double, F32, float, (float)x[k])
  DIRECT(F32, float, F16, uint16_t, x[k] == x[k] ? wh_f16_from_f32(x[k]) : 0x7fff)
  DIRECT(F16, uint16_t, F32, float, wh_f32_from_f16(x[k]))
  DIRECT(BF16, uint16_t, F32, float, wh_f32_from_bf16(x[k]))
  DIRECT(I32, int32_t, F32, float, (float)x[k])
  DIRECT(I64, int64_t, F32, float, (float)x[k])
  DIRECT(U8, uint8_t, F32, float, (float)x[k])
  DIRECT(BOOL, uint8_t, F32, float, (float)x[k])
  DIRECT(I32, int32_t, I64, int64_t, x[k])
  DIRECT(I64, int64_t, I32, int32_t, (int32_t)x[k])
  DIRECT(BOOL, uint8_t, I64, int64_t, x[k])
  return false;
}

void wh_convert(wh_dtype from, wh_dtype to, bool saturate, const void *src, void *dst, int64_t n) {
  chunk c;
  if (direct(from, to, src, dst, n)) return;
  for (int64_t at = 0; at < n; at += CHUNK) {
    const int64_t count = n - at < CHUNK ? n - at : CHUNK;
    load(from, src, at, count, &c);
    store(to, saturate, carrier_of(from), &c, count, dst, at);
  }
}
