/* measure_avx2.c - 256-bit roofline loops. */
#include "backends/cpu/measure_kernels.h"

#include <immintrin.h>

WH_MEASURE_PEAK(wh_k_peak_int8__avx2, __m256i, 10, 2 * 32, _mm256_setzero_si256(), _mm256_set1_epi8(1),
                _mm256_set1_epi8(1), WH_MEASURE_PAIRS(__m256i, _mm256_maddubs_epi16, _mm256_add_epi16))
WH_MEASURE_PEAK(wh_k_peak_f32__avx2, __m256, 10, 2 * 8, _mm256_setzero_ps(), _mm256_set1_ps(1.0f),
                _mm256_set1_ps(0.5f), a = _mm256_fmadd_ps(x, y, a))

uint64_t wh_k_read__avx2(const void *p, size_t n_bytes) {
  const char *c = p;
  __m256i a = _mm256_setzero_si256(), b = a, d = a, e = a;
  for (size_t i = 0; i < n_bytes; i += 128) {
    _mm_prefetch(c + i + WH_READ_AHEAD, _MM_HINT_NTA);
    _mm_prefetch(c + i + WH_READ_AHEAD + 64, _MM_HINT_NTA);
    a = _mm256_or_si256(a, _mm256_load_si256((const __m256i *)(const void *)(c + i)));
    b = _mm256_or_si256(b, _mm256_load_si256((const __m256i *)(const void *)(c + i + 32)));
    d = _mm256_or_si256(d, _mm256_load_si256((const __m256i *)(const void *)(c + i + 64)));
    e = _mm256_or_si256(e, _mm256_load_si256((const __m256i *)(const void *)(c + i + 96)));
  }
  a = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(d, e));
  return (uint64_t)_mm256_extract_epi64(a, 0) | (uint64_t)_mm256_extract_epi64(a, 1) |
         (uint64_t)_mm256_extract_epi64(a, 2) | (uint64_t)_mm256_extract_epi64(a, 3);
}
