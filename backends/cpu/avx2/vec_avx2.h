/* vec_avx2.h - 256-bit vectors of floats: the words of vec.h. */
#ifndef WH_CPU_VEC_AVX2_H
#define WH_CPU_VEC_AVX2_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

typedef __m256 vf;
typedef __m256 vf_bool;
typedef __m256i vf_mask;
#define VF_LANES 8
#define vf_zero() _mm256_setzero_ps()
#define vf_set1(x) _mm256_set1_ps(x)
#define vf_load(p) _mm256_loadu_ps(p)
#define vf_store(p, x) _mm256_storeu_ps(p, x)
#define vf_first(n) _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define vf_between(begin, end) _mm256_andnot_si256(vf_first(begin), vf_first(end))
#define vf_load_some(mask, p) _mm256_maskload_ps(p, mask)
#define vf_store_some(mask, p, x) _mm256_maskstore_ps(p, mask, x)
/* Masked stores are microcode on Zen; parts of 4, 2 and 1 lanes are not. */
static inline void vf_store_first(int64_t n, float *p, __m256 x) {
  __m128 part = _mm256_castps256_ps128(x);
  if (n & 4) {
    _mm_storeu_ps(p, part);
    part = _mm256_extractf128_ps(x, 1);
    p += 4;
  }
  if (n & 2) {
    _mm_storel_pi((__m64 *)(void *)p, part);
    part = _mm_movehl_ps(part, part);
    p += 2;
  }
  if (n & 1) _mm_store_ss(p, part);
}
#define vf_keep_first(n, x) _mm256_and_ps(x, _mm256_castsi256_ps(vf_first(n)))

#define vf_add(a, b) _mm256_add_ps(a, b)
#define vf_sub(a, b) _mm256_sub_ps(a, b)
#define vf_mul(a, b) _mm256_mul_ps(a, b)
#define vf_div(a, b) _mm256_div_ps(a, b)
#define vf_max(a, b) _mm256_max_ps(a, b)
/* The instructions give their second operand for two zeros and for NaN; both ways round, the bits of two
 * zeros join to the right one. */
#define VF_NAN_OR(x, a, b) _mm256_blendv_ps(x, _mm256_add_ps(a, b), _mm256_cmp_ps(a, b, _CMP_UNORD_Q))
#define vf_minimum(a, b) VF_NAN_OR(_mm256_or_ps(_mm256_min_ps(a, b), _mm256_min_ps(b, a)), a, b)
#define vf_maximum(a, b) VF_NAN_OR(_mm256_and_ps(_mm256_max_ps(a, b), _mm256_max_ps(b, a)), a, b)
#define vf_at_most(x, c) _mm256_min_ps(c, x)
#define vf_at_least(x, c) _mm256_max_ps(c, x)
#define vf_relu(x) _mm256_andnot_ps(_mm256_cmp_ps(x, vf_zero(), _CMP_LE_OQ), x)
#define vf_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#if defined(__clang__) /* which would put an operand that may be there into memory */
#define vf_accumulate(sum, a, b) __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b))
#else
#define vf_accumulate(sum, a, b) __asm__("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "xm"(b))
#endif
#define vf_fms(a, b, c) _mm256_fmsub_ps(a, b, c)
#define vf_neg(x) _mm256_xor_ps(x, _mm256_set1_ps(-0.0f))
#define vf_abs(x) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x)
#define vf_rint(x) _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
static inline vf vf_copysign(vf magnitude, vf sign) {
  const vf bit = _mm256_set1_ps(-0.0f);
  return _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign));
}
static inline vf vf_ldexp(vf x, vf n) {
  const __m256i i = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(i, 1), rest = _mm256_sub_epi32(i, half);
  const __m256i bias = _mm256_set1_epi32(127);
  x = _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23)));
  return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23)));
}
#define VF_LDEXP_IN_STEPS 1
#define vf_ldexp_normal(x, n) \
  _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23)))

#define vf_less(a, b) _mm256_cmp_ps(a, b, _CMP_LT_OQ)
#define vf_not_less(a, b) _mm256_cmp_ps(a, b, _CMP_NLT_UQ)
#define vf_is_number(x) _mm256_cmp_ps(x, x, _CMP_ORD_Q)
#define vf_choose(is, yes, no) _mm256_blendv_ps(no, yes, is)
#define vf_keep(is, x) _mm256_and_ps(is, x)
#define vf_all(is) (_mm256_movemask_ps(is) == 255)

static inline float vf_sum_halves(vf x) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline float vf_max_halves(vf x) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

#define VF_JOIN_HALVES(x) _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), 0xd8))
#define vf_even(a, b) VF_JOIN_HALVES(_mm256_shuffle_ps(a, b, 0x88))
#define vf_odd(a, b) VF_JOIN_HALVES(_mm256_shuffle_ps(a, b, 0xdd))

/* v[i]: element i of eight rows */
static inline void vf_columns(const float *const *rows, vf *v) {
  for (int half = 0; half < 2; half++) { /* rows i and i + 4 share a register */
    vf a[4], b[4];
    for (int i = 0; i < 4; i++)
      a[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[i] + 4 * half)),
                                  _mm_loadu_ps(rows[i + 4] + 4 * half), 1);
    for (int i = 0; i < 2; i++) {
      b[2 * i] = _mm256_unpacklo_ps(a[2 * i], a[2 * i + 1]);
      b[2 * i + 1] = _mm256_unpackhi_ps(a[2 * i], a[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
      v[4 * half + 2 * i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
      v[4 * half + 2 * i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
    }
  }
}

/* Pairs are split and joined inside 128-bit halves: as 0 1 4 5 2 3 6 7. */
#define vf_in_order_of_pairs(x) VF_JOIN_HALVES(x)
static inline void vf_split_pairs(vf p, vf q, vf *even, vf *odd) {
  *even = _mm256_shuffle_ps(p, q, 0x88);
  *odd = _mm256_shuffle_ps(p, q, 0xdd);
}
static inline void vf_join_pairs(vf even, vf odd, vf *p, vf *q) {
  *p = _mm256_unpacklo_ps(even, odd);
  *q = _mm256_unpackhi_ps(even, odd);
}

static inline void vf_turn(vf k, vf s, vf c, vf *sin_out, vf *cos_out) {
  const __m256i q = _mm256_cvtps_epi32(k), one = _mm256_set1_epi32(1), two = _mm256_set1_epi32(2);
  const vf swap = _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_and_si256(q, one), one));
  const __m256i neg_sin = _mm256_slli_epi32(_mm256_and_si256(q, two), 30);
  const __m256i neg_cos = _mm256_slli_epi32(_mm256_and_si256(_mm256_add_epi32(q, one), two), 30);
  *sin_out = _mm256_xor_ps(vf_choose(swap, c, s), _mm256_castsi256_ps(neg_sin));
  *cos_out = _mm256_xor_ps(vf_choose(swap, s, c), _mm256_castsi256_ps(neg_cos));
}

#define vf_from_f16(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p)))
#define vf_from_s8(p) \
  _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p))))
#define vf_from_u8(p) \
  _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p))))
#define vf_from_i32(p) _mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
/* Kept below the largest code; what is below the least one, or a NaN, saturates to it. */
static inline void vf_store_codes(uint8_t *p, __m256 x, bool is_signed) {
  const __m256i i = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_set1_ps(is_signed ? 127.0f : 255.0f), x));
  const __m128i h = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
  _mm_storel_epi64((__m128i *)(void *)p, is_signed ? _mm_packs_epi16(h, h) : _mm_packus_epi16(h, h));
}
/* Of two vectors that follow each other. */
#define vf_store_two_codes vf_store_two_codes
static inline void vf_store_two_codes(uint8_t *p, __m256 x, __m256 y, bool is_signed) {
  const __m256 most = _mm256_set1_ps(is_signed ? 127.0f : 255.0f);
  const __m256i h = _mm256_permute4x64_epi64(_mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_min_ps(most, x)),
                                                                _mm256_cvtps_epi32(_mm256_min_ps(most, y))),
                                             0xd8);
  const __m128i low = _mm256_castsi256_si128(h), high = _mm256_extracti128_si256(h, 1);
  _mm_storeu_si128((__m128i *)(void *)p,
                   is_signed ? _mm_packs_epi16(low, high) : _mm_packus_epi16(low, high));
}
static inline void vf_from_nibbles(const void *p, vf *low, vf *high) {
  const __m256i bytes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(p));
  *low = _mm256_cvtepi32_ps(_mm256_and_si256(bytes, _mm256_set1_epi32(15)));
  *high = _mm256_cvtepi32_ps(_mm256_srli_epi32(bytes, 4));
}

#include "backends/cpu/vec.h"

#endif
