/* linear_f_vec_avx2.h - 256-bit vectors of floats for register tiles, and how tall and wide these are
 * (linear_f_tiles.h). */
#ifndef WH_CPU_LINEAR_F_VEC_AVX2_H
#define WH_CPU_LINEAR_F_VEC_AVX2_H

#include <immintrin.h>

typedef __m256 vf;
#define VF_LANES 8
#define TILE_ROWS 6
#define TALL_ROWS 6
#define TILE_VECS 2
#define WIDE_ROWS 3
#define WIDE_VECS 4
#define vf_zero() _mm256_setzero_ps()
#define vf_set1(x) _mm256_set1_ps(x)
#define vf_load(p) _mm256_loadu_ps(p)
#define vf_store(p, x) _mm256_storeu_ps(p, x)
#define vf_mask __m256i
#define vf_first(n) _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define vf_between(begin, end) _mm256_andnot_si256(vf_first(begin), vf_first(end))
#define vf_load_some(mask, p) _mm256_maskload_ps(p, mask)
#define vf_store_some(mask, p, x) _mm256_maskstore_ps(p, mask, x)
#define vf_add(a, b) _mm256_add_ps(a, b)
#define vf_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define vf_sub(a, b) _mm256_sub_ps(a, b)
#define vf_mul(a, b) _mm256_mul_ps(a, b)
#define vf_div(a, b) _mm256_div_ps(a, b)
/* As docs/NUMERICS.md has them: NaN when one is, -0 below +0. The instructions give their second operand for
 * two zeros and for NaN; both ways round, the bits of two zeros join to the right one. */
#define VF_NAN_OR(x, a, b) _mm256_blendv_ps(x, _mm256_add_ps(a, b), _mm256_cmp_ps(a, b, _CMP_UNORD_Q))
#define vf_min(a, b) VF_NAN_OR(_mm256_or_ps(_mm256_min_ps(a, b), _mm256_min_ps(b, a)), a, b)
#define vf_max(a, b) VF_NAN_OR(_mm256_and_ps(_mm256_max_ps(a, b), _mm256_max_ps(b, a)), a, b)
#define vf_relu(a) _mm256_andnot_ps(_mm256_cmp_ps(a, vf_zero(), _CMP_LE_OQ), a)
#define vf_neg(a) _mm256_xor_ps(a, _mm256_set1_ps(-0.0f))
#define vf_abs(a) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a)
/* elements 0, 2, 4 ... and 1, 3, 5 ... of a and b behind it */
#define VF_JOIN(halves) _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(halves), 0xd8))
#define vf_even(a, b) VF_JOIN(_mm256_shuffle_ps(a, b, 0x88))
#define vf_odd(a, b) VF_JOIN(_mm256_shuffle_ps(a, b, 0xdd))

#endif
