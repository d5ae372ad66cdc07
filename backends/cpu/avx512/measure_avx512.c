/* measure_avx512.c - 512-bit roofline loops: 12 independent chains hide the latency. */
#include "backends/cpu/measure_kernels.h"

#include <immintrin.h>

#define CHAINS 12

double wh_k_peak_int8__avx512(int64_t n) {
  __m512i a[CHAINS], x = _mm512_set1_epi8(1), y = _mm512_set1_epi8(1);
#pragma GCC unroll 12 /* else the chains stay in memory */
  for (int i = 0; i < CHAINS; i++) a[i] = _mm512_setzero_si512();
  for (int64_t k = 0; k < n; k++) {
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++) {
      __m512i p = _mm512_maddubs_epi16(x, y);
      __asm__ volatile("" : "+v"(p));
      a[i] = _mm512_add_epi16(a[i], p);
      __asm__ volatile("" : "+v"(a[i]));
    }
  }
  return 2.0 * 64 * CHAINS * (double)n;
}

double wh_k_peak_int8__avx512vnni(int64_t n) {
  __m512i a[CHAINS], x = _mm512_set1_epi8(1), y = _mm512_set1_epi8(1);
#pragma GCC unroll 12 /* else the chains stay in memory */
  for (int i = 0; i < CHAINS; i++) a[i] = _mm512_setzero_si512();
  for (int64_t k = 0; k < n; k++) {
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++) {
      a[i] = _mm512_dpbusd_epi32(a[i], x, y);
      __asm__ volatile("" : "+v"(a[i]));
    }
  }
  return 2.0 * 64 * CHAINS * (double)n;
}

double wh_k_peak_f32__avx512(int64_t n) {
  __m512 a[CHAINS], x = _mm512_set1_ps(1.0f), y = _mm512_set1_ps(0.5f);
#pragma GCC unroll 12 /* else the chains stay in memory */
  for (int i = 0; i < CHAINS; i++) a[i] = _mm512_setzero_ps();
  for (int64_t k = 0; k < n; k++) {
#pragma GCC unroll 12
    for (int i = 0; i < CHAINS; i++) {
      a[i] = _mm512_fmadd_ps(x, y, a[i]);
      __asm__ volatile("" : "+v"(a[i]));
    }
  }
  return 2.0 * 16 * CHAINS * (double)n;
}

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
