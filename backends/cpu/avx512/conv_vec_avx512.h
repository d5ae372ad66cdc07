/* conv_vec_avx512.h - what convolutions want of 512-bit vectors beyond vec_avx512.h. */
#ifndef WH_CPU_CONV_VEC_AVX512_H
#define WH_CPU_CONV_VEC_AVX512_H

#include "backends/cpu/avx512/linear_f_vec_avx512.h"

/* Lanes of a (0 to 15) and of b (16 to 31). */
typedef __m512i vf_index;
#define vf_index_of(lanes) _mm512_loadu_si512((const void *)(lanes))
#define vf_pick(a, at, b) _mm512_permutex2var_ps(a, at, b)

/* 16 x 16 floats: to[i][j] = from[j][i], rows so far apart. */
static inline void vf_transpose(const float *from, int64_t from_ld, float *to, int64_t to_ld) {
  for (int q = 0; q < 4; q++, from += 4) { /* columns 4q .. 4q + 3 */
    __m512 r[4];
    for (int i = 0; i < 4; i++) {
      const float *p = from + i * from_ld;
      r[i] = _mm512_castps128_ps512(_mm_loadu_ps(p));
      r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(p + 4 * from_ld), 1);
      r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(p + 8 * from_ld), 2);
      r[i] = _mm512_insertf32x4(r[i], _mm_loadu_ps(p + 12 * from_ld), 3);
    }
    const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(r[0], r[1])),
                  b = _mm512_castps_pd(_mm512_unpackhi_ps(r[0], r[1])),
                  c = _mm512_castps_pd(_mm512_unpacklo_ps(r[2], r[3])),
                  d = _mm512_castps_pd(_mm512_unpackhi_ps(r[2], r[3]));
    float *y = to + 4 * q * to_ld;
    _mm512_storeu_pd(y, _mm512_unpacklo_pd(a, c));
    _mm512_storeu_pd(y + to_ld, _mm512_unpackhi_pd(a, c));
    _mm512_storeu_pd(y + 2 * to_ld, _mm512_unpacklo_pd(b, d));
    _mm512_storeu_pd(y + 3 * to_ld, _mm512_unpackhi_pd(b, d));
  }
}

#endif
