/* rowops_gather_vec.h - gather_rows over vectors (vec.h): the common embedding types, the rest by
 * wh_dequantize_row. KERNEL(op) is the kernel's name. */
#ifndef WH_CPU_ROWOPS_GATHER_VEC_H
#define WH_CPU_ROWOPS_GATHER_VEC_H

#include "backends/cpu/rowops_kernels.h"
#include "backends/cpu/rowops_units.h"
#include "backends/cpu/vec_math.h"

static inline vf spread_f16(const uint8_t *p) {
  uint16_t h;
  memcpy(&h, p, sizeof h);
  return vf_set1(wh_f32_from_f16(h));
}

/* Each writes scale * w for n elements from `src`; multiplying by 1 changes nothing. */
static void gather_f32(const void *src, float *y, int64_t n, vf scale) {
  for (int64_t j = 0; j < n; j += VF_LANES)
    vf_store_left(y + j, n - j, vf_mul(scale, vf_load_left((const float *)src + j, n - j)));
}

static void gather_f16(const uint8_t *src, float *y, int64_t n, vf scale) {
  uint16_t last[VF_LANES] = {0};
  for (int64_t j = 0; j < n; j += VF_LANES) {
    const int64_t left = n - j;
    if (left < VF_LANES) memcpy(last, src + j * 2, (size_t)left * 2);
    vf_store_left(y + j, left,
                  vf_mul(scale, vf_from_f16(left < VF_LANES ? (const void *)last : src + j * 2)));
  }
}

static void gather_q8_0(const uint8_t *src, float *y, int64_t n, vf scale) {
  for (int64_t j = 0; j < n; j += 32, src += 34) {
    const vf d = spread_f16(src);
    for (int i = 0; i < 32; i += VF_LANES)
      vf_store(y + j + i, vf_mul(scale, vf_mul(d, vf_from_s8(src + 2 + i))));
  }
}

static void gather_q4_1(const uint8_t *src, float *y, int64_t n, vf scale) {
  for (int64_t j = 0; j < n; j += 32, src += 20) {
    const vf d = spread_f16(src), m = spread_f16(src + 2);
    for (int i = 0; i < 16; i += VF_LANES) { /* low nibbles are the first half */
      vf low, high;
      vf_from_nibbles(src + 4 + i, &low, &high);
      vf_store(y + j + i, vf_mul(scale, vf_fma(d, low, m)));
      vf_store(y + j + 16 + i, vf_mul(scale, vf_fma(d, high, m)));
    }
  }
}

static void gather_any(wh_dtype dtype, const uint8_t *src, float *y, int64_t n, vf scale) {
  (void)wh_dequantize_row(dtype, src, y, n);
  gather_f32(y, y, n, scale);
}

void KERNEL(gather_rows)(const wh_gather_rows_args *a, const wh_worker *w) {
  const vf scale = vf_set1(a->scale);
  size_t row_bytes = 0;
  const wh_dtype_info *info = wh_dtype_get(a->dtype);
  if (!wh_dtype_row_bytes(a->dtype, (uint64_t)a->n, &row_bytes)) return; /* the graph was verified */
  for (wh_unit u = wh_unit_first(w, a->n_ids, a->n); wh_unit_valid(&u); wh_unit_advance(&u)) {
    float *y = a->y + u.row * a->n + u.column;
    if (!wh_gather_has_row(a, u.row)) {
      memset(y, 0, (size_t)u.count * sizeof *y);
      continue;
    }
    const uint8_t *src = (const uint8_t *)a->table + (size_t)a->ids[u.row] * row_bytes +
                         (size_t)(u.column / info->block_elems) * info->block_bytes;
    switch (a->dtype) {
      case WH_DTYPE_F32:
        gather_f32(src, y, u.count, scale);
        break;
      case WH_DTYPE_F16:
        gather_f16(src, y, u.count, scale);
        break;
      case WH_DTYPE_Q8_0:
        gather_q8_0(src, y, u.count, scale);
        break;
      case WH_DTYPE_Q4_1:
        gather_q4_1(src, y, u.count, scale);
        break;
      default:
        gather_any(a->dtype, src, y, u.count, scale);
    }
  }
}

#endif
