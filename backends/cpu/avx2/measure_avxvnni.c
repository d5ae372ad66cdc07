/* measure_avxvnni.c - the 256-bit vpdpbusd roofline loop. */
#include "backends/cpu/measure_kernels.h"

#include <immintrin.h>

WH_MEASURE_PEAK(wh_k_peak_int8__avxvnni, __m256i, 10, 2 * 32, _mm256_setzero_si256(), _mm256_set1_epi8(1),
                _mm256_set1_epi8(1), a = _mm256_dpbusd_avx_epi32(a, x, y))
