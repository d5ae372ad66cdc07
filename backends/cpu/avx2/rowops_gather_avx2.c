/* avx2/rowops_gather_avx2.c - gather_rows: the common embedding types vectorised, the rest by
 * wh_dequantize_row. */
#include "backends/cpu/avx2/rowops_norm_avx2.h"
#include "backends/cpu/rowops_kernels.h"
#include "backends/cpu/rowops_units.h"

static inline __m256 broadcast_f16(const uint8_t *p) {
  uint16_t h;
  memcpy(&h, p, sizeof h);
  return _mm256_cvtph_ps(_mm_set1_epi16((short)h));
}

/* Each writes scale * w for n elements from `src`; multiplying by 1 changes nothing. */
static void gather_f32(const uint8_t *src, float *y, int64_t n, __m256 scale) {
  for (int64_t j = 0; j < n; j += 8) {
    __m256 v = n - j >= 8 ? _mm256_loadu_ps((const void *)(src + j * 4))
                          : _mm256_maskload_ps((const void *)(src + j * 4), wh_lanes_avx2(n - j));
    wh_store_avx2(y + j, n - j, _mm256_mul_ps(scale, v));
  }
}

static void gather_f16(const uint8_t *src, float *y, int64_t n, __m256 scale) {
  for (int64_t j = 0; j < n; j += 8) {
    __m128i h = _mm_setzero_si128();
    memcpy(&h, src + j * 2, n - j >= 8 ? 16 : (size_t)(n - j) * 2);
    wh_store_avx2(y + j, n - j, _mm256_mul_ps(scale, _mm256_cvtph_ps(h)));
  }
}

static void gather_q8_0(const uint8_t *src, float *y, int64_t n, __m256 scale) {
  for (int64_t j = 0; j < n; j += 32, src += 34) {
    __m256 d = broadcast_f16(src);
    for (int i = 0; i < 32; i += 8) {
      __m256i code = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)(src + 2 + i)));
      _mm256_storeu_ps(y + j + i, _mm256_mul_ps(scale, _mm256_mul_ps(d, _mm256_cvtepi32_ps(code))));
    }
  }
}

static void gather_q4_1(const uint8_t *src, float *y, int64_t n, __m256 scale) {
  for (int64_t j = 0; j < n; j += 32, src += 20) {
    __m256 d = broadcast_f16(src), m = broadcast_f16(src + 2);
    for (int i = 0; i < 16; i += 8) {
      __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(src + 4 + i)));
      __m256 lo = _mm256_cvtepi32_ps(_mm256_and_si256(bytes, _mm256_set1_epi32(15)));
      __m256 hi = _mm256_cvtepi32_ps(_mm256_srli_epi32(bytes, 4));
      _mm256_storeu_ps(y + j + i, _mm256_mul_ps(scale, _mm256_fmadd_ps(d, lo, m)));
      _mm256_storeu_ps(y + j + 16 + i, _mm256_mul_ps(scale, _mm256_fmadd_ps(d, hi, m)));
    }
  }
}

static void gather_any(wh_dtype dtype, const uint8_t *src, float *y, int64_t n, __m256 scale) {
  (void)wh_dequantize_row(dtype, src, y, n);
  gather_f32((const uint8_t *)y, y, n, scale);
}

void wh_k_gather_rows__avx2(const wh_gather_rows_args *a, const wh_worker *w) {
  const __m256 scale = _mm256_set1_ps(a->scale);
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
