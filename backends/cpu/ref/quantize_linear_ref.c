/* ref/quantize_linear_ref.c - docs/NUMERICS.md, "quantize_linear, dequantize_linear", in plain C. */
#include <math.h>
#include <string.h>

#include "backends/cpu/nn_kernels.h"

/* ---- codes: integers of 4 to 32 bits; those of 4 lie two to a byte, the first in the low half ---- */

/* Byte of element i of an array whose rows are `row` long. */
static int64_t half_byte_at(int64_t row, int64_t i) { return i / row * ((row + 1) / 2) + i % row / 2; }
static int half_byte_shift(int64_t row, int64_t i) { return (int)(i % row % 2 * 4); }

static int64_t read_code(const wh_quantize_linear_args *a, const void *p, int64_t row, int64_t i) {
  switch (a->dtype) {
    case WH_DTYPE_I8:
      return ((const int8_t *)p)[i];
    case WH_DTYPE_U8:
      return ((const uint8_t *)p)[i];
    case WH_DTYPE_I16:
      return ((const int16_t *)p)[i];
    case WH_DTYPE_U16:
      return ((const uint16_t *)p)[i];
    case WH_DTYPE_I32:
      return ((const int32_t *)p)[i];
    default: {
      const int v = ((const uint8_t *)p)[half_byte_at(row, i)] >> half_byte_shift(row, i) & 15;
      return a->dtype == WH_DTYPE_I4 && v > 7 ? v - 16 : v;
    }
  }
}

static void write_code(const wh_quantize_linear_args *a, int64_t i, int64_t v) {
  switch (a->dtype) {
    case WH_DTYPE_I8:
      ((int8_t *)a->y)[i] = (int8_t)v;
      return;
    case WH_DTYPE_U8:
      ((uint8_t *)a->y)[i] = (uint8_t)v;
      return;
    case WH_DTYPE_I16:
      ((int16_t *)a->y)[i] = (int16_t)v;
      return;
    case WH_DTYPE_U16:
      ((uint16_t *)a->y)[i] = (uint16_t)v;
      return;
    default: {
      uint8_t *byte = (uint8_t *)a->y + half_byte_at(a->row, i);
      const int shift = half_byte_shift(a->row, i);
      *byte = (uint8_t)(shift ? (*byte & 15) | (v & 15) << 4 : v & 15); /* the first clears the byte */
    }
  }
}

static void code_range(wh_dtype dtype, int64_t *low, int64_t *high) {
  const bool is_signed = wh_dtype_is(dtype, WH_CLASS_SIGNED);
  const wh_dtype_info *t = wh_dtype_get(dtype);
  const int bits = 8 * t->block_bytes / t->block_elems;
  *low = is_signed ? -((int64_t)1 << (bits - 1)) : 0;
  *high = is_signed ? ((int64_t)1 << (bits - 1)) - 1 : ((int64_t)1 << bits) - 1;
}

/* ---- scales ---- */

static int64_t scale_at(const wh_quantize_linear_args *a, int64_t i) {
  const int64_t j = i / a->inner % a->n;
  return i / a->inner / a->n * a->by_outer + j / a->block * a->by_axis + i % a->inner * a->by_inner;
}

static int64_t zero_of(const wh_quantize_linear_args *a, int64_t cell) {
  return a->zero ? read_code(a, a->zero, a->zero_row, cell) : 0;
}

/* Whole rows, as neighbours of one may share a byte. */
static void range_of(const wh_quantize_linear_args *a, const wh_worker *w, int64_t *begin, int64_t *end) {
  const int64_t n = a->outer * a->n * a->inner;
  wh_worker_range(w, n ? n / a->row : 0, begin, end);
  *begin *= a->row;
  *end *= a->row;
}

void wh_k_quantize_linear__ref(const wh_quantize_linear_args *a, const wh_worker *w) {
  int64_t begin, end, low, high;
  code_range(a->dtype, &low, &high);
  range_of(a, w, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const int64_t cell = scale_at(a, i), zero = zero_of(a, cell);
    const float q = rintf(((const float *)a->x)[i] / a->scale[cell]) + (float)zero;
    /* a NaN is the lowest */
    write_code(a, i, !(q > (float)low) ? low : q < (float)high ? (int64_t)q : high);
  }
}

void wh_k_dequantize_linear__ref(const wh_dequantize_linear_args *a, const wh_worker *w) {
  int64_t begin, end;
  range_of(a, w, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const int64_t cell = scale_at(a, i);
    ((float *)a->y)[i] = (float)(read_code(a, a->x, a->row, i) - zero_of(a, cell)) * a->scale[cell];
  }
}
