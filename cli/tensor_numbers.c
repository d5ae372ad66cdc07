/* tensor_numbers.c - see tensor_numbers.h. */
#include "cli/tensor_numbers.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

bool cli_has_numbers(const wh_tensor *t) {
  switch (t->dtype) {
    case WH_DTYPE_F64:
    case WH_DTYPE_F32:
    case WH_DTYPE_F16:
    case WH_DTYPE_BF16:
    case WH_DTYPE_I64:
    case WH_DTYPE_I32:
    case WH_DTYPE_I16:
    case WH_DTYPE_I8:
    case WH_DTYPE_U64:
    case WH_DTYPE_U32:
    case WH_DTYPE_U16:
    case WH_DTYPE_U8:
    case WH_DTYPE_BOOL:
      return true;
    default:
      return false;
  }
}

uint64_t cli_n_elements(const wh_tensor *t) {
  uint64_t n = 1;
  for (int d = 0; d < t->rank; d++) n *= (uint64_t)t->dims[d];
  return n;
}

static double from_f16(uint16_t h) {
  const int exponent = h >> 10 & 31, fraction = h & 1023;
  double v = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
  if (exponent == 31) v = fraction ? (double)NAN : (double)INFINITY;
  return h & 0x8000 ? -v : v;
}

static double from_bf16(uint16_t h) {
  const uint32_t bits = (uint32_t)h << 16;
  float v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

double cli_number_at(const wh_tensor *t, uint64_t i) {
  const void *p = t->data;
  switch (t->dtype) {
    case WH_DTYPE_F64:
      return ((const double *)p)[i];
    case WH_DTYPE_F32:
      return ((const float *)p)[i];
    case WH_DTYPE_F16:
      return from_f16(((const uint16_t *)p)[i]);
    case WH_DTYPE_BF16:
      return from_bf16(((const uint16_t *)p)[i]);
    case WH_DTYPE_I64:
      return (double)((const int64_t *)p)[i];
    case WH_DTYPE_I32:
      return ((const int32_t *)p)[i];
    case WH_DTYPE_I16:
      return ((const int16_t *)p)[i];
    case WH_DTYPE_I8:
      return ((const int8_t *)p)[i];
    case WH_DTYPE_U64:
      return (double)((const uint64_t *)p)[i];
    case WH_DTYPE_U32:
      return ((const uint32_t *)p)[i];
    case WH_DTYPE_U16:
      return ((const uint16_t *)p)[i];
    case WH_DTYPE_U8:
    case WH_DTYPE_BOOL:
      return ((const uint8_t *)p)[i];
    default:
      return NAN;
  }
}

cli_range cli_range_of(const wh_tensor *t) {
  cli_range r = {.n_nan = 0};
  const uint64_t n = cli_has_numbers(t) ? cli_n_elements(t) : 0;
  double sum = 0;
  for (uint64_t i = 0; i < n; i++) {
    const double v = cli_number_at(t, i);
    if (isnan(v)) {
      r.n_nan++;
      continue;
    }
    sum += v;
    if (!r.n_numbers || v < r.least) r.least = v, r.least_at = i;
    if (!r.n_numbers || v > r.largest) r.largest = v, r.largest_at = i;
    r.n_numbers++;
  }
  r.mean = r.n_numbers ? sum / (double)r.n_numbers : 0;
  return r;
}

void cli_tensor_text(const wh_tensor *t, char *out, size_t n_bytes) {
  size_t at = (size_t)snprintf(out, n_bytes, "%s[", wh_dtype_name(t->dtype));
  for (int d = 0; d < t->rank && at < n_bytes; d++)
    at += (size_t)snprintf(out + at, n_bytes - at, "%s%" PRId64, d ? ", " : "", t->dims[d]);
  if (at < n_bytes) snprintf(out + at, n_bytes - at, "]");
}
