/* vec_avx512.h - 512-bit vectors of floats: the words of vec.h. */
#ifndef WH_CPU_VEC_AVX512_H
#define WH_CPU_VEC_AVX512_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

typedef __m512 vf;
typedef __mmask16 vf_bool;
typedef __mmask16 vf_mask;
#define VF_LANES 16
#define vf_zero() _mm512_setzero_ps()
#define vf_set1(x) _mm512_set1_ps(x)
#define vf_load(p) _mm512_loadu_ps(p)
#define vf_store(p, x) _mm512_storeu_ps(p, x)
static inline vf_mask vf_first(int64_t n) {
  return n >= 16 ? (vf_mask)0xffff : n <= 0 ? (vf_mask)0 : (vf_mask)((1u << n) - 1u);
}
#define vf_between(begin, end) ((vf_mask)(vf_first(end) & ~vf_first(begin)))
#define vf_load_some(mask, p) _mm512_maskz_loadu_ps(mask, p)
#define vf_store_some(mask, p, x) _mm512_mask_storeu_ps(p, mask, x)
#define vf_store_first(n, p, x) vf_store_some(vf_first(n), p, x)
#define vf_keep_first(n, x) _mm512_maskz_mov_ps(vf_first(n), x)

#define vf_add(a, b) _mm512_add_ps(a, b)
#define vf_sub(a, b) _mm512_sub_ps(a, b)
#define vf_mul(a, b) _mm512_mul_ps(a, b)
#define vf_div(a, b) _mm512_div_ps(a, b)
#define vf_max(a, b) _mm512_max_ps(a, b)
/* range_ps knows the zeros, but not NaN. */
#define VF_RANGE(a, b, which) \
  _mm512_mask_add_ps(_mm512_range_ps(a, b, which), _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q), a, b)
#define vf_minimum(a, b) VF_RANGE(a, b, 4)
#define vf_maximum(a, b) VF_RANGE(a, b, 5)
#define vf_at_most(x, c) _mm512_min_ps(c, x)
#define vf_at_least(x, c) _mm512_max_ps(c, x)
#define vf_relu(x) _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask(x, vf_zero(), _CMP_LE_OQ), vf_zero())
#define vf_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#if defined(__clang__) /* which would put an operand that may be there into memory */
#define vf_accumulate(sum, a, b) __asm__("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b))
#else
#define vf_accumulate(sum, a, b) __asm__("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "vm"(b))
#endif
#define vf_fms(a, b, c) _mm512_fmsub_ps(a, b, c)
#define vf_neg(x) _mm512_xor_ps(x, _mm512_set1_ps(-0.0f))
#define vf_abs(x) _mm512_abs_ps(x)
#define vf_rint(x) _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
static inline vf vf_copysign(vf magnitude, vf sign) {
  const __m512i bit = _mm512_set1_epi32((int)0x80000000u); /* sel ? sign : magnitude, bit by bit */
  return _mm512_castsi512_ps(
      _mm512_ternarylogic_epi32(bit, _mm512_castps_si512(sign), _mm512_castps_si512(magnitude), 0xca));
}
/* The scalar's two factors 2^half and 2^(n - half) round once, at the second product (the first is exact),
 * which is what vscalefps does. */
#define vf_ldexp(x, n) _mm512_scalef_ps(x, n)
#define vf_ldexp_keep(is, x, n) _mm512_maskz_scalef_ps(is, x, n)
#define VF_LDEXP_IN_STEPS 0
#define vf_ldexp_normal(x, n) vf_ldexp(x, n)

#define vf_less(a, b) _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ)
#define vf_not_less(a, b) _mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ)
#define vf_is_number(x) _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q)
#define vf_choose(is, yes, no) _mm512_mask_mov_ps(no, is, yes)
#define vf_keep(is, x) _mm512_maskz_mov_ps(is, x)
#define vf_all(is) ((is) == 0xffff)

static inline float vf_sum_halves(vf x) {
  const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
#define vf_max_halves(x) _mm512_reduce_max_ps(x)

static inline vf vf_every_second(vf a, vf b, int first) {
  const __m512i at = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  return _mm512_permutex2var_ps(a, _mm512_add_epi32(at, _mm512_set1_epi32(first)), b);
}
#define vf_even(a, b) vf_every_second(a, b, 0)
#define vf_odd(a, b) vf_every_second(a, b, 1)

#define vf_in_order_of_pairs(x) (x)
static inline void vf_split_pairs(vf p, vf q, vf *even, vf *odd) {
  *even = vf_even(p, q);
  *odd = vf_odd(p, q);
}
static inline void vf_join_pairs(vf even, vf odd, vf *p, vf *q) {
  const __m512i at = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  *p = _mm512_permutex2var_ps(even, at, odd);
  *q = _mm512_permutex2var_ps(even, _mm512_add_epi32(at, _mm512_set1_epi32(8)), odd);
}

static inline void vf_turn(vf k, vf s, vf c, vf *sin_out, vf *cos_out) {
  const __m512i q = _mm512_cvtps_epi32(k), one = _mm512_set1_epi32(1), two = _mm512_set1_epi32(2);
  const __mmask16 swap = _mm512_test_epi32_mask(q, one), neg_sin = _mm512_test_epi32_mask(q, two);
  const __mmask16 neg_cos = _mm512_test_epi32_mask(_mm512_add_epi32(q, one), two);
  const vf sign = _mm512_set1_ps(-0.0f), ss = vf_choose(swap, c, s), cc = vf_choose(swap, s, c);
  *sin_out = _mm512_mask_xor_ps(ss, neg_sin, ss, sign);
  *cos_out = _mm512_mask_xor_ps(cc, neg_cos, cc, sign);
}

#define vf_from_f16(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p)))
#define vf_from_s8(p) \
  _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p))))
#define vf_from_u8(p) \
  _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p))))
#define vf_from_i32(p) _mm512_cvtepi32_ps(_mm512_loadu_si512((const void *)(p)))
/* Kept below the largest code; what is below the least one, or a NaN, saturates to it. */
static inline void vf_store_codes(uint8_t *p, __m512 x, bool is_signed) {
  const __m512i i = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_set1_ps(is_signed ? 127.0f : 255.0f), x));
  _mm_storeu_si128((__m128i *)(void *)p,
                   is_signed ? _mm512_cvtsepi32_epi8(i)
                             : _mm512_cvtepi32_epi8(_mm512_max_epi32(i, _mm512_setzero_si512())));
}
/* Of two vectors that follow each other. */
#define vf_store_two_codes vf_store_two_codes
static inline void vf_store_two_codes(uint8_t *p, __m512 x, __m512 y, bool is_signed) {
  const __m512 most = _mm512_set1_ps(is_signed ? 127.0f : 255.0f);
  const __m512i in_order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i h = _mm512_packs_epi32(_mm512_cvtps_epi32(_mm512_min_ps(most, x)),
                                       _mm512_cvtps_epi32(_mm512_min_ps(most, y)));
  const __m512i b = is_signed ? _mm512_packs_epi16(h, h) : _mm512_packus_epi16(h, h);
  _mm256_storeu_si256((__m256i *)(void *)p, _mm512_castsi512_si256(_mm512_permutexvar_epi32(in_order, b)));
}
static inline void vf_from_nibbles(const void *p, vf *low, vf *high) {
  const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(p));
  *low = _mm512_cvtepi32_ps(_mm512_and_si512(bytes, _mm512_set1_epi32(15)));
  *high = _mm512_cvtepi32_ps(_mm512_srli_epi32(bytes, 4));
}

#include "backends/cpu/vec.h"

#endif
