/* avx512/rowops_gather_avx512.c - gather_rows: the common embedding types vectorised, the rest by
 * wh_dequantize_row. */
#include "backends/cpu/avx512/rowops_norm_avx512.h"
#include "backends/cpu/rowops_kernels.h"
#include "backends/cpu/rowops_units.h"

static inline __m512 broadcast_f16(const uint8_t *p) {
  uint16_t h;
  memcpy(&h, p, sizeof h);
  return _mm512_cvtph_ps(_mm256_set1_epi16((short)h));
}

/* Each writes scale * w for n elements from `src`; multiplying by 1 changes nothing. */
static void gather_f32(const uint8_t *src, float *y, int64_t n, __m512 scale) {
  for (int64_t j = 0; j < n; j += 16) {
    __mmask16 m = wh_lanes_avx512(n - j);
    _mm512_mask_storeu_ps(y + j, m, _mm512_mul_ps(scale, _mm512_maskz_loadu_ps(m, src + j * 4)));
  }
}

static void gather_f16(const uint8_t *src, float *y, int64_t n, __m512 scale) {
  for (int64_t j = 0; j < n; j += 16) {
    __mmask16 m = wh_lanes_avx512(n - j);
    __m512 v = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(m, src + j * 2));
    _mm512_mask_storeu_ps(y + j, m, _mm512_mul_ps(scale, v));
  }
}

static void gather_q8_0(const uint8_t *src, float *y, int64_t n, __m512 scale) {
  for (int64_t j = 0; j < n; j += 32, src += 34) {
    __m512 d = broadcast_f16(src);
    __m512i lo = _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(src + 2)));
    __m512i hi = _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)(src + 18)));
    _mm512_storeu_ps(y + j, _mm512_mul_ps(scale, _mm512_mul_ps(d, _mm512_cvtepi32_ps(lo))));
    _mm512_storeu_ps(y + j + 16, _mm512_mul_ps(scale, _mm512_mul_ps(d, _mm512_cvtepi32_ps(hi))));
  }
}

static void gather_q4_1(const uint8_t *src, float *y, int64_t n, __m512 scale) {
  for (int64_t j = 0; j < n; j += 32, src += 20) {
    __m512 d = broadcast_f16(src), m = broadcast_f16(src + 2);
    __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)(src + 4)));
    __m512 lo = _mm512_cvtepi32_ps(_mm512_and_si512(bytes, _mm512_set1_epi32(15)));
    __m512 hi = _mm512_cvtepi32_ps(_mm512_srli_epi32(bytes, 4));
    _mm512_storeu_ps(y + j, _mm512_mul_ps(scale, _mm512_fmadd_ps(d, lo, m)));
    _mm512_storeu_ps(y + j + 16, _mm512_mul_ps(scale, _mm512_fmadd_ps(d, hi, m)));
  }
}

static void gather_any(wh_dtype dtype, const uint8_t *src, float *y, int64_t n, __m512 scale) {
  (void)wh_dequantize_row(dtype, src, y, n);
  gather_f32((const uint8_t *)y, y, n, scale);
}

void wh_k_gather_rows__avx512(const wh_gather_rows_args *a, const wh_worker *w) {
  const __m512 scale = _mm512_set1_ps(a->scale);
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
