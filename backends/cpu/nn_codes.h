/* nn_codes.h - tensors as codes of 8 bits and back, along stretches that have one scale: the template of the
 * kernels that compilers make vectors of. Included by each nn_rows_<isa>.c behind nn_rows.h. Other codes, and
 * scales that change with every element, are the reference's. */
#ifndef WH_CPU_NN_CODES_H
#define WH_CPU_NN_CODES_H

#include "backends/cpu/nn_rows.h"

/* Elements from i on that have i's scale, up to `end`; *cell: which that is. */
NN_INLINE int64_t nn_stretch(const wh_quantize_linear_args *a, int64_t i, int64_t end, int64_t *cell) {
  const int64_t at = i % a->inner, j = i / a->inner % a->n;
  const int64_t run = a->inner > 1 ? a->inner - at : min_i64(a->block - j % a->block, a->n - j);
  *cell = i / a->inner / a->n * a->by_outer + j / a->block * a->by_axis;
  return min_i64(run, end - i);
}

static bool nn_has_stretches(const wh_quantize_linear_args *a) {
  return a->inner > 1 ? !a->by_inner : a->block > 1;
}

static float nn_zero(const wh_quantize_linear_args *a, int64_t cell) {
  if (!a->zero) return 0;
  return a->dtype == WH_DTYPE_I8 ? ((const int8_t *)a->zero)[cell] : ((const uint8_t *)a->zero)[cell];
}

#define NN_QUANTIZE(name, type, low, high)                                                           \
  NN_INLINE void name(const float *restrict x, float scale, float zero, int64_t n, void *to) {       \
    type *restrict y = to;                                                                           \
    for (int64_t i = 0; i < n; i++) {                                                                \
      const float q = rintf(x[i] / scale) + zero, up = q > (low) ? q : (low); /* a NaN: the least */ \
      y[i] = (type)(int32_t)(up < (high) ? up : (high));                                             \
    }                                                                                                \
  }
NN_QUANTIZE(nn_quantize_i8, int8_t, -128.0f, 127.0f)
NN_QUANTIZE(nn_quantize_u8, uint8_t, 0.0f, 255.0f)

void NN_NAME(quantize_linear, NN_ISA)(const wh_quantize_linear_args *a, const wh_worker *worker) {
  if ((a->dtype != WH_DTYPE_I8 && a->dtype != WH_DTYPE_U8) || !nn_has_stretches(a)) {
    wh_k_quantize_linear__ref(a, worker);
    return;
  }
  int64_t i, end, cell;
  wh_worker_range(worker, a->outer * a->n * a->inner, &i, &end);
  for (int64_t n; i < end; i += n) {
    n = nn_stretch(a, i, end, &cell);
    const float *x = (const float *)a->x + i, scale = a->scale[cell], zero = nn_zero(a, cell);
    if (a->dtype == WH_DTYPE_I8)
      nn_quantize_i8(x, scale, zero, n, (int8_t *)a->y + i);
    else
      nn_quantize_u8(x, scale, zero, n, (uint8_t *)a->y + i);
  }
}

/* Differences are below 2^24, so exact in f32, too. */
#define NN_DEQUANTIZE(name, type)                                                                \
  NN_INLINE void name(const void *from, float scale, float zero, int64_t n, float *restrict y) { \
    const type *restrict x = from;                                                               \
    for (int64_t i = 0; i < n; i++) y[i] = ((float)x[i] - zero) * scale;                         \
  }
NN_DEQUANTIZE(nn_dequantize_i8, int8_t)
NN_DEQUANTIZE(nn_dequantize_u8, uint8_t)

void NN_NAME(dequantize_linear, NN_ISA)(const wh_dequantize_linear_args *a, const wh_worker *worker) {
  if ((a->dtype != WH_DTYPE_I8 && a->dtype != WH_DTYPE_U8) || !nn_has_stretches(a)) {
    wh_k_dequantize_linear__ref(a, worker);
    return;
  }
  int64_t i, end, cell;
  wh_worker_range(worker, a->outer * a->n * a->inner, &i, &end);
  for (int64_t n; i < end; i += n) {
    n = nn_stretch(a, i, end, &cell);
    float *y = (float *)a->y + i;
    if (a->dtype == WH_DTYPE_I8)
      nn_dequantize_i8((const int8_t *)a->x + i, a->scale[cell], nn_zero(a, cell), n, y);
    else
      nn_dequantize_u8((const uint8_t *)a->x + i, a->scale[cell], nn_zero(a, cell), n, y);
  }
}

#endif
