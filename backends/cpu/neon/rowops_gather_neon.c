/* neon/rowops_gather_neon.c - gather_rows: the common embedding types vectorised, the rest by
 * wh_dequantize_row. */
#include "backends/cpu/neon/math_neon.h"
#include "backends/cpu/rowops_kernels.h"
#include "backends/cpu/rowops_units.h"

static inline float f16_at(const uint8_t *p) {
  uint16_t h;
  memcpy(&h, p, sizeof h);
  return wh_f32_from_f16(h);
}

/* 8 codes as floats. */
static inline float32x4x2_t widen_s8(int8x8_t codes) {
  const int16x8_t wide = vmovl_s8(codes);
  return (float32x4x2_t){{vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide))), vcvtq_f32_s32(vmovl_high_s16(wide))}};
}

/* Each writes scale * w for n elements from `src`; multiplying by 1 changes nothing. */
static void gather_f32(const void *src, float *y, int64_t n, float scale) {
  for (int64_t j = 0; j < n; j += 4)
    wh_store_neon(y + j, n - j, vmulq_n_f32(wh_load_neon((const float *)src + j, n - j), scale));
}

static void gather_f16(const uint8_t *src, float *y, int64_t n, float scale) {
  for (int64_t j = 0; j < n; j += 4) {
    uint16x4_t h = vdup_n_u16(0);
    memcpy(&h, src + j * 2, n - j >= 4 ? 8 : (size_t)(n - j) * 2);
    wh_store_neon(y + j, n - j, vmulq_n_f32(vcvt_f32_f16(vreinterpret_f16_u16(h)), scale));
  }
}

static void gather_q8_0(const uint8_t *src, float *y, int64_t n, float scale) {
  for (int64_t j = 0; j < n; j += 32, src += 34) {
    const float d = f16_at(src);
    for (int i = 0; i < 32; i += 8) {
      const float32x4x2_t q = widen_s8(vreinterpret_s8_u8(vld1_u8(src + 2 + i)));
      vst1q_f32(y + j + i, vmulq_n_f32(vmulq_n_f32(q.val[0], d), scale));
      vst1q_f32(y + j + i + 4, vmulq_n_f32(vmulq_n_f32(q.val[1], d), scale));
    }
  }
}

static void gather_q4_1(const uint8_t *src, float *y, int64_t n, float scale) {
  for (int64_t j = 0; j < n; j += 32, src += 20) {
    const float32x4_t d = vdupq_n_f32(f16_at(src)), m = vdupq_n_f32(f16_at(src + 2));
    for (int i = 0; i < 32; i += 8) { /* low nibbles are the first half */
      const uint8x8_t bytes = vld1_u8(src + 4 + i % 16);
      const uint8x8_t codes = i < 16 ? vand_u8(bytes, vdup_n_u8(15)) : vshr_n_u8(bytes, 4);
      const float32x4x2_t q = widen_s8(vreinterpret_s8_u8(codes));
      vst1q_f32(y + j + i, vmulq_n_f32(wh_fma_neon(d, q.val[0], m), scale));
      vst1q_f32(y + j + i + 4, vmulq_n_f32(wh_fma_neon(d, q.val[1], m), scale));
    }
  }
}

static void gather_any(wh_dtype dtype, const uint8_t *src, float *y, int64_t n, float scale) {
  (void)wh_dequantize_row(dtype, src, y, n);
  gather_f32(y, y, n, scale);
}

void wh_k_gather_rows__neon(const wh_gather_rows_args *a, const wh_worker *w) {
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
        gather_f32(src, y, u.count, a->scale);
        break;
      case WH_DTYPE_F16:
        gather_f16(src, y, u.count, a->scale);
        break;
      case WH_DTYPE_Q8_0:
        gather_q8_0(src, y, u.count, a->scale);
        break;
      case WH_DTYPE_Q4_1:
        gather_q4_1(src, y, u.count, a->scale);
        break;
      default:
        gather_any(a->dtype, src, y, u.count, a->scale);
    }
  }
}
