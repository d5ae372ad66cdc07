/* reference_elements.c - see reference_elements.h. */
#include "tests/backend/reference_elements.h"

#include <stdlib.h>

/* Sign, exponent bits, mantissa bits, bias; whether the type has infinities, and whether its only NaN is -0.
 */
typedef struct small_float {
  int exponent, mantissa, bias;
  bool infinite, nan_is_minus_zero, finite;
} small_float;

static small_float small_of(wh_dtype d) {
  switch (d) {
    case WH_DTYPE_F16:
      return (small_float){5, 10, 15, true, false, false};
    case WH_DTYPE_BF16:
      return (small_float){8, 7, 127, true, false, false};
    case WH_DTYPE_F8E4M3FN:
      return (small_float){4, 3, 7, false, false, false};
    case WH_DTYPE_F8E4M3FNUZ:
      return (small_float){4, 3, 8, false, true, false};
    case WH_DTYPE_F8E5M2:
      return (small_float){5, 2, 15, true, false, false};
    case WH_DTYPE_F4E2M1:
      return (small_float){2, 1, 1, false, false, true};
    default:
      return (small_float){5, 2, 16, false, true, false};
  }
}

static double decode(small_float t, unsigned bits) {
  const unsigned sign = bits >> (t.exponent + t.mantissa), e = bits >> t.mantissa & ((1u << t.exponent) - 1),
                 m = bits & ((1u << t.mantissa) - 1), top = (1u << t.exponent) - 1;
  if (t.nan_is_minus_zero && sign && !e && !m) return (double)NAN;
  if (t.infinite && e == top) return m ? (double)NAN : sign ? -(double)INFINITY : (double)INFINITY;
  if (!t.infinite && !t.nan_is_minus_zero && !t.finite && e == top && m + 1 == 1u << t.mantissa)
    return (double)NAN;
  const double x =
      e ? ldexp(1.0 + ldexp(m, -t.mantissa), (int)e - t.bias) : ldexp(m, 1 - t.bias - t.mantissa);
  return sign ? -x : x;
}

/* The nearest of codes 0..most, whose values ascend; of two the even one. */
static unsigned nearest(small_float t, double x, unsigned most) {
  unsigned low = 0, high = most;
  while (high - low > 1) {
    const unsigned middle = (low + high) / 2;
    if (decode(t, middle) <= x)
      low = middle;
    else
      high = middle;
  }
  const double below = x - decode(t, low), above = decode(t, high) - x;
  return below < above || (below == above && !(low & 1)) ? low : high;
}

/* The least power of two from 2^-127 to 2^127 that is not below x. */
static unsigned encode_power(double x, bool saturate) {
  if (isnan(x) || x < 0) return 255;
  for (unsigned code = 0; code < 255; code++)
    if (ldexp(1, (int)code - 127) >= x) return code;
  return saturate ? 254 : 255;
}

unsigned ref_encode(wh_dtype dtype, double x, bool saturate) {
  if (dtype == WH_DTYPE_F8E8M0) return encode_power(x, saturate);
  const small_float t = small_of(dtype);
  const unsigned sign_bit = 1u << (t.exponent + t.mantissa), sign = signbit(x) ? sign_bit : 0;
  unsigned most = sign_bit - 1;
  while (isnan(decode(t, most)) || isinf(decode(t, most))) most--;
  const unsigned nan = t.nan_is_minus_zero || t.finite ? sign_bit : sign_bit - 1;
  const double largest = decode(t, most), beyond = largest + (largest - decode(t, most - 1)) / 2;
  if (isnan(x)) return nan;
  /* half way beyond the largest is not nearest to it when its code is odd */
  const bool over = isinf(x) || fabs(x) > beyond || (fabs(x) == beyond && (most & 1));
  if (over)
    return saturate || t.finite ? sign | most
           : t.infinite         ? sign | (most + 1)
                                : nan | (t.nan_is_minus_zero ? 0 : sign);
  const unsigned code = nearest(t, fabs(x), most);
  return code == 0 && t.nan_is_minus_zero ? 0 : sign | code;
}

/* Where the byte of an element lies that takes a part of one, and its place in it. */
static int64_t part_byte(const ref_value *v, int64_t i, int *shift, unsigned *mask) {
  const int64_t per_byte = wh_dtype_get(v->dtype)->block_elems, n = ref_length(v), row = i / n, at = i % n;
  *shift = (int)(at % per_byte * (8 / per_byte));
  *mask = (1u << (8 / per_byte)) - 1;
  return row * ((n + per_byte - 1) / per_byte) + at / per_byte;
}

static unsigned bits_of(const ref_value *v, int64_t i) {
  int shift;
  unsigned mask;
  const int64_t at = part_byte(v, i, &shift, &mask);
  return (unsigned)((const uint8_t *)v->data)[at] >> shift & mask;
}

void ref_set_bits(ref_value *v, int64_t i, unsigned code) {
  int shift;
  unsigned mask;
  uint8_t *byte = (uint8_t *)v->data + part_byte(v, i, &shift, &mask);
  *byte = (uint8_t)((*byte & ~(mask << shift)) | (code & mask) << shift);
}

bool ref_holds_floats(const ref_value *v) { return wh_dtype_is_float(v->dtype); }

double ref_float(const ref_value *v, int64_t i) {
  if (v->dtype == WH_DTYPE_F32) return (double)((const float *)v->data)[i];
  if (v->dtype == WH_DTYPE_F64) return ((const double *)v->data)[i];
  if (v->dtype == WH_DTYPE_F4E2M1) return decode(small_of(v->dtype), bits_of(v, i));
  if (v->dtype == WH_DTYPE_F8E8M0) {
    const int code = ((const uint8_t *)v->data)[i];
    return code == 255 ? (double)NAN : ldexp(1, code - 127);
  }
  if (wh_dtype_get(v->dtype)->block_bytes == 1)
    return decode(small_of(v->dtype), ((const uint8_t *)v->data)[i]);
  return decode(small_of(v->dtype), ((const uint16_t *)v->data)[i]);
}

__int128 ref_integer(const ref_value *v, int64_t i) {
  switch (v->dtype) {
#define INTEGER(dtype, type) \
  case WH_DTYPE_##dtype:     \
    return ((const type *)v->data)[i];
    INTEGER(I8, int8_t)
    INTEGER(I16, int16_t)
    INTEGER(I32, int32_t)
    INTEGER(I64, int64_t)
    INTEGER(U8, uint8_t)
    INTEGER(BOOL, uint8_t)
    INTEGER(U16, uint16_t)
    INTEGER(U32, uint32_t)
    INTEGER(U64, uint64_t)
#undef INTEGER
    case WH_DTYPE_U4:
    case WH_DTYPE_U2:
      return bits_of(v, i);
    case WH_DTYPE_I4:
    case WH_DTYPE_I2: {
      const int code = (int)bits_of(v, i), half = v->dtype == WH_DTYPE_I4 ? 8 : 2;
      return code >= half ? code - 2 * half : code;
    }
    default:
      abort();
  }
}

void ref_set_float(ref_value *v, int64_t i, double x) {
  if (v->dtype == WH_DTYPE_F32)
    ((float *)v->data)[i] = (float)x;
  else if (v->dtype == WH_DTYPE_F64)
    ((double *)v->data)[i] = x;
  else
    abort();
}

void ref_set_integer(ref_value *v, int64_t i, __int128 x) {
  switch (v->dtype) {
#define INTEGER(dtype, type)                           \
  case WH_DTYPE_##dtype:                               \
    ((type *)v->data)[i] = (type)(unsigned __int128)x; \
    return;
    INTEGER(I8, int8_t)
    INTEGER(I16, int16_t)
    INTEGER(I32, int32_t)
    INTEGER(I64, int64_t)
    INTEGER(U8, uint8_t)
    INTEGER(BOOL, uint8_t)
    INTEGER(U16, uint16_t)
    INTEGER(U32, uint32_t)
    INTEGER(U64, uint64_t)
#undef INTEGER
    case WH_DTYPE_U4:
    case WH_DTYPE_I4:
    case WH_DTYPE_U2:
    case WH_DTYPE_I2:
      ref_set_bits(v, i, (unsigned)(x & 15));
      return;
    default:
      abort();
  }
}

void ref_copy(ref_value *v, int64_t to, const ref_value *x, int64_t from) {
  const size_t n = wh_dtype_get(v->dtype)->block_bytes;
  memcpy((char *)v->data + (size_t)to * n, (const char *)x->data + (size_t)from * n, n);
}

void ref_coordinates(const ref_value *v, int64_t flat, int64_t at[WH_MAX_RANK]) {
  for (int d = v->rank - 1; d >= 0; d--) {
    at[d] = flat % v->dims[d];
    flat /= v->dims[d];
  }
}

int64_t ref_flat(const ref_value *v, const int64_t *at) {
  int64_t flat = 0;
  for (int d = 0; d < v->rank; d++) flat = flat * v->dims[d] + at[d];
  return flat;
}

int64_t ref_broadcast(const ref_value *out, int64_t flat, const ref_value *x) {
  int64_t at[WH_MAX_RANK], mine[WH_MAX_RANK];
  ref_coordinates(out, flat, at);
  for (int d = 0; d < x->rank; d++) mine[d] = x->dims[d] == 1 ? 0 : at[d + out->rank - x->rank];
  return ref_flat(x, mine);
}
