/* measure_avx2.c - 256-bit roofline loops. */
#define WH_READ_VECTOR 32
#include "backends/cpu/measure_reads.h"

#include <immintrin.h>

WH_MEASURE_PEAK(wh_k_peak_int8__avx2, __m256i, 10, 2 * 32, _mm256_setzero_si256(), _mm256_set1_epi8(1),
                _mm256_set1_epi8(1), WH_MEASURE_PAIRS(__m256i, _mm256_maddubs_epi16, _mm256_add_epi16))
WH_MEASURE_PEAK(wh_k_peak_f32__avx2, __m256, 10, 2 * 8, _mm256_setzero_ps(), _mm256_set1_ps(1.0f),
                _mm256_set1_ps(0.5f), a = _mm256_fmadd_ps(x, y, a))

WH_READ_LOOP_DEFINE(avx2)
