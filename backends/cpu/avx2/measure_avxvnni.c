/* measure_avxvnni.c - the 256-bit vpdpbusd roofline loop: 10 independent chains hide the latency. */
#include "backends/cpu/measure_kernels.h"

#include <immintrin.h>

#define CHAINS 10

double wh_k_peak_int8__avxvnni(int64_t n) {
  __m256i a[CHAINS], x = _mm256_set1_epi8(1), y = _mm256_set1_epi8(1);
#pragma GCC unroll 12 /* else the chains stay in memory */
  for (int i = 0; i < CHAINS; i++) a[i] = _mm256_setzero_si256();
  for (int64_t k = 0; k < n; k++) {
#pragma GCC unroll 10
    for (int i = 0; i < CHAINS; i++) {
      a[i] = _mm256_dpbusd_avx_epi32(a[i], x, y);
      __asm__ volatile("" : "+v"(a[i]));
    }
  }
  return 2.0 * 32 * CHAINS * (double)n;
}
