/* attention_vec_avx2.h - the 256-bit vector operations that attention_tiles.h is written in. A kernel file
 * that may use VNNI defines WH_ATTENTION_VNNI before it. All static: nothing compiled here can be linked
 * elsewhere. */
#ifndef WH_CPU_ATTENTION_VEC_AVX2_H
#define WH_CPU_ATTENTION_VEC_AVX2_H

#include <stdbool.h>

#include "backends/cpu/avx2/vec_avx2.h"

#include "backends/cpu/vec_math.h"

#define TILE 6
#define TILE_VECS(r) ((r) <= 2 ? 4 : 2)
#define vf_store_f16(p, x) \
  _mm_storeu_si128((__m128i *)(void *)(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC))

/* One operation over the lanes of each of 8 rows, by halves: lanes 0..3 with 4..7, then 0, 1 with 2, 3 ...;
 * lane i of the result is that of row i. Two rows share the vector at each step. */
#define VF_REDUCE_ROWS(op, t)                                                                              \
  __m256 a[4], b[2];                                                                                       \
  for (int i = 0; i < 4; i++)                                                                              \
    a[i] = op(_mm256_permute2f128_ps(t[i], t[i + 4], 0x20), _mm256_permute2f128_ps(t[i], t[i + 4], 0x31)); \
  for (int i = 0; i < 2; i++)                                                                              \
    b[i] = op(                                                                                             \
        _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a[2 * i]), _mm256_castps_pd(a[2 * i + 1]))),  \
        _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a[2 * i]), _mm256_castps_pd(a[2 * i + 1])))); \
  return op(_mm256_shuffle_ps(b[0], b[1], 0x88), _mm256_shuffle_ps(b[0], b[1], 0xdd))

static inline vf vf_max_of_rows(const vf t[VF_LANES]) { VF_REDUCE_ROWS(_mm256_max_ps, t); }
static inline vf vf_sum_of_rows(const vf t[VF_LANES]) { VF_REDUCE_ROWS(_mm256_add_ps, t); }

/* Lane i if j0 <= first + i < j1, else -inf. */
static inline vf vf_visible(vf x, int first, int j0, int j1) {
  const __m256i j = _mm256_add_epi32(_mm256_set1_epi32(first), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  const __m256i out = _mm256_or_si256(_mm256_cmpgt_epi32(_mm256_set1_epi32(j0), j),
                                      _mm256_cmpgt_epi32(j, _mm256_set1_epi32(j1 - 1)));
  return _mm256_blendv_ps(x, _mm256_set1_ps(-INFINITY), _mm256_castsi256_ps(out));
}

/* c where not `on` */
static inline vf vf_fma_if(bool on, vf a, vf b, vf c) {
  return _mm256_blendv_ps(c, _mm256_fmadd_ps(a, b, c), _mm256_castsi256_ps(_mm256_set1_epi32(-(int)on)));
}

/* Integer codes of the q8 cache. */
typedef __m256i vi;
#define vi_load(p) _mm256_loadu_si256((const __m256i *)(p))
#define vi_set32(x) _mm256_set1_epi32(x)
#define vf_from_int(x) _mm256_cvtepi32_ps(x)
/* rounded to nearest even; at most 127 by saturation */
static inline void vf_store_s8(int8_t *p, vf x) {
  __m256i i = _mm256_cvtps_epi32(x);
  __m128i halves = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
  _mm_storel_epi64((__m128i *)(void *)p, _mm_packs_epi16(halves, halves));
}
#define DOT_VECS(r) ((r) == 1 ? 4 : (r) <= 3 ? 2 : 1) /* twice r * DOT_VECS sums at a time */
#ifdef WH_ATTENTION_VNNI
#define DOT_BIAS WH_KV_KEY_BIAS /* keys are multiplied as the biased bytes they are */
#define vi_key(x) (x)
/* The instruction itself: around the intrinsic, gcc copies each sum to another register and back. */
static inline vi vi_dot(vi acc, vi key, vi query) {
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(key), "x"(query));
  return acc;
}
#else
#define DOT_BIAS 0
#define vi_key(x) _mm256_xor_si256(x, _mm256_set1_epi8(-128))
/* Codes are within -127..127, so that two products fit 16 bits when the unsigned factor is a magnitude: that
 * of the key, which many queries meet. The sum keeps its register. */
static inline vi vi_dot(vi acc, vi key, vi query) {
  const vi pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(key), _mm256_sign_epi8(query, key));
  __asm__("vpaddd %1, %0, %0" : "+x"(acc) : "x"(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1))));
  return acc;
}
#endif

#endif
