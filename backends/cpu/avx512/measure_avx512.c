/* measure_avx512.c - 512-bit roofline loops. */
#include "backends/cpu/measure_kernels.h"

#include <immintrin.h>

WH_MEASURE_PEAK(wh_k_peak_int8__avx512, __m512i, 12, 2 * 64, _mm512_setzero_si512(), _mm512_set1_epi8(1),
                _mm512_set1_epi8(1), WH_MEASURE_PAIRS(__m512i, _mm512_maddubs_epi16, _mm512_add_epi16))
WH_MEASURE_PEAK(wh_k_peak_int8__avx512vnni, __m512i, 12, 2 * 64, _mm512_setzero_si512(), _mm512_set1_epi8(1),
                _mm512_set1_epi8(1), a = _mm512_dpbusd_epi32(a, x, y))
WH_MEASURE_PEAK(wh_k_peak_f32__avx512, __m512, 12, 2 * 16, _mm512_setzero_ps(), _mm512_set1_ps(1.0f),
                _mm512_set1_ps(0.5f), a = _mm512_fmadd_ps(x, y, a))

uint64_t wh_k_read__avx512(const void *p, size_t n_bytes) {
  const char *c = p;
  __m512i a = _mm512_setzero_si512(), b = a, d = a, e = a;
  for (size_t i = 0; i < n_bytes; i += 256) {
    for (size_t line = 0; line < 256; line += 64) _mm_prefetch(c + i + line + WH_READ_AHEAD, _MM_HINT_NTA);
    a = _mm512_or_si512(a, _mm512_load_si512(c + i));
    b = _mm512_or_si512(b, _mm512_load_si512(c + i + 64));
    d = _mm512_or_si512(d, _mm512_load_si512(c + i + 128));
    e = _mm512_or_si512(e, _mm512_load_si512(c + i + 192));
  }
  return (uint64_t)_mm512_reduce_or_epi64(_mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(d, e)));
}
