/* attention_vec_avx512.h - the 512-bit vector operations that attention_tiles.h is written in. A kernel file
 * that may use VNNI defines WH_ATTENTION_VNNI before it. All static: nothing compiled here can be linked
 * elsewhere. */
#ifndef WH_CPU_ATTENTION_VEC_AVX512_H
#define WH_CPU_ATTENTION_VEC_AVX512_H

#include <stdbool.h>

#include "backends/cpu/avx512/vec_avx512.h"

#include "backends/cpu/vec_math.h"

#define TILE 6
#define TILE_VECS(r) 4
#define vf_store_f16(p, x)                    \
  _mm256_storeu_si256((__m256i *)(void *)(p), \
                      _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))

/* One operation over the lanes of each of 16 rows, by halves: lanes 0..7 with 8..15, then 0..3 with 4..7 ...;
 * lane i of the result is that of row i. Two rows share the vector at each step. */
#define VF_REDUCE_ROWS(op, t)                                                                              \
  __m512 a[8], b[4], c[2];                                                                                 \
  for (int i = 0; i < 8; i++) { /* rows i / 2 + 8 * (i % 2) and 4 more: each four lanes of b are a row */  \
    const int r = i / 2 + i % 2 * 8;                                                                       \
    a[i] = op(_mm512_shuffle_f32x4(t[r], t[r + 4], 0x44), _mm512_shuffle_f32x4(t[r], t[r + 4], 0xee));     \
  }                                                                                                        \
  for (int i = 0; i < 4; i++)                                                                              \
    b[i] = op(_mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0x88),                                          \
              _mm512_shuffle_f32x4(a[2 * i], a[2 * i + 1], 0xdd));                                         \
  for (int i = 0; i < 2; i++)                                                                              \
    c[i] = op(                                                                                             \
        _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(b[2 * i]), _mm512_castps_pd(b[2 * i + 1]))),  \
        _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(b[2 * i]), _mm512_castps_pd(b[2 * i + 1])))); \
  return op(_mm512_shuffle_ps(c[0], c[1], 0x88), _mm512_shuffle_ps(c[0], c[1], 0xdd))

static inline vf vf_max_of_rows(const vf t[VF_LANES]) { VF_REDUCE_ROWS(_mm512_max_ps, t); }
static inline vf vf_sum_of_rows(const vf t[VF_LANES]) { VF_REDUCE_ROWS(_mm512_add_ps, t); }

/* Lane i if j0 <= first + i < j1, else -inf. */
static inline vf vf_visible(vf x, int first, int j0, int j1) {
  const __m512i j = _mm512_add_epi32(_mm512_set1_epi32(first),
                                     _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
  const __mmask16 in =
      _mm512_cmpge_epi32_mask(j, _mm512_set1_epi32(j0)) & _mm512_cmplt_epi32_mask(j, _mm512_set1_epi32(j1));
  return _mm512_mask_blend_ps(in, _mm512_set1_ps(-INFINITY), x);
}

/* c where not `on` */
static inline vf vf_fma_if(bool on, vf a, vf b, vf c) {
  return _mm512_mask3_fmadd_ps(a, b, c, (__mmask16) - (int)on);
}

/* Integer codes of the q8 cache. */
typedef __m512i vi;
#define vi_load(p) _mm512_loadu_si512(p)
#define vi_set32(x) _mm512_set1_epi32(x)
#define vf_from_int(x) _mm512_cvtepi32_ps(x)
/* rounded to nearest even; at most 127 by saturation */
#define vf_store_s8(p, x) \
  _mm_storeu_si128((__m128i *)(void *)(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x)))
#define DOT_VECS(r) ((r) <= 3 ? 4 : 2) /* twice r * DOT_VECS sums at a time */
#ifdef WH_ATTENTION_VNNI
#define DOT_BIAS WH_KV_KEY_BIAS /* keys are multiplied as the biased bytes they are */
#define vi_key(x) (x)
/* The instruction itself: around the intrinsic, gcc copies each sum to another register and back. */
static inline vi vi_dot(vi acc, vi key, vi query) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(key), "v"(query));
  return acc;
}
#endif

#endif
