/* measure_avx512.c - 512-bit roofline loops. */
#define WH_READ_VECTOR 64
#include "backends/cpu/measure_reads.h"

#include <immintrin.h>

WH_MEASURE_PEAK(wh_k_peak_int8__avx512, __m512i, 12, 2 * 64, _mm512_setzero_si512(), _mm512_set1_epi8(1),
                _mm512_set1_epi8(1), WH_MEASURE_PAIRS(__m512i, _mm512_maddubs_epi16, _mm512_add_epi16))
WH_MEASURE_PEAK(wh_k_peak_int8__avx512vnni, __m512i, 12, 2 * 64, _mm512_setzero_si512(), _mm512_set1_epi8(1),
                _mm512_set1_epi8(1), a = _mm512_dpbusd_epi32(a, x, y))
WH_MEASURE_PEAK(wh_k_peak_f32__avx512, __m512, 12, 2 * 16, _mm512_setzero_ps(), _mm512_set1_ps(1.0f),
                _mm512_set1_ps(0.5f), a = _mm512_fmadd_ps(x, y, a))

WH_READ_LOOP_DEFINE(avx512)
