/* linear_f_vec_avx512.h - 512-bit vectors of floats for register tiles, and how tall and wide these are
 * (linear_f_tiles.h). */
#ifndef WH_CPU_LINEAR_F_VEC_AVX512_H
#define WH_CPU_LINEAR_F_VEC_AVX512_H

#include <immintrin.h>

typedef __m512 vf;
#define VF_LANES 16
#define TILE_ROWS 12
#define TALL_ROWS 24
#define TILE_VECS 2
#define WIDE_ROWS 12
#define WIDE_VECS 2
#define vf_zero() _mm512_setzero_ps()
#define vf_set1(x) _mm512_set1_ps(x)
#define vf_load(p) _mm512_loadu_ps(p)
#define vf_store(p, x) _mm512_storeu_ps(p, x)
#define vf_mask __mmask16
#define vf_first(n) ((__mmask16)((1u << (n)) - 1u))
#define vf_between(begin, end) ((__mmask16)(((1u << (end)) - 1u) & ~((1u << (begin)) - 1u)))
#define vf_load_some(mask, p) _mm512_maskz_loadu_ps(mask, p)
#define vf_store_some(mask, p, x) _mm512_mask_storeu_ps(p, mask, x)
#define vf_add(a, b) _mm512_add_ps(a, b)
#define vf_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define vf_sub(a, b) _mm512_sub_ps(a, b)
#define vf_mul(a, b) _mm512_mul_ps(a, b)
#define vf_div(a, b) _mm512_div_ps(a, b)
/* As docs/NUMERICS.md has them: NaN when one is, -0 below +0. range_ps knows the zeros, but not NaN. */
#define VF_RANGE(a, b, which) \
  _mm512_mask_add_ps(_mm512_range_ps(a, b, which), _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q), a, b)
#define vf_min(a, b) VF_RANGE(a, b, 4)
#define vf_max(a, b) VF_RANGE(a, b, 5)
#define vf_relu(a) _mm512_mask_mov_ps(a, _mm512_cmp_ps_mask(a, vf_zero(), _CMP_LE_OQ), vf_zero())
#define vf_neg(a) _mm512_xor_ps(a, _mm512_set1_ps(-0.0f))
#define vf_abs(a) _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a)
/* elements 0, 2, 4 ... and 1, 3, 5 ... of a and b behind it */
#define VF_EACH_SECOND(o)                                                                                  \
  _mm512_setr_epi32(o, o + 2, o + 4, o + 6, o + 8, o + 10, o + 12, o + 14, o + 16, o + 18, o + 20, o + 22, \
                    o + 24, o + 26, o + 28, o + 30)
#define vf_even(a, b) _mm512_permutex2var_ps(a, VF_EACH_SECOND(0), b)
#define vf_odd(a, b) _mm512_permutex2var_ps(a, VF_EACH_SECOND(1), b)

#endif
