/* linear_q_vec_avx512.h - the 512-bit vector operations that linear_q_dots.h and its users are written in. A
 * kernel file of the VNNI level defines WH_LINEAR_Q_VNNI before it, and WH_LINEAR_Q_FMA for processors whose
 * shifts and conversions take the ports of products. All static: nothing compiled here can be linked
 * elsewhere.
 */
#ifndef WH_CPU_LINEAR_Q_VEC_AVX512_H
#define WH_CPU_LINEAR_Q_VEC_AVX512_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define LANES 16
typedef __m512i vint;
typedef __m512 vflt;

ALWAYS_INLINE vint vint_load(const void *p) { return _mm512_loadu_si512(p); }
ALWAYS_INLINE void vint_store(void *p, vint v) { _mm512_storeu_si512(p, v); }
ALWAYS_INLINE vint vint_zero(void) { return _mm512_setzero_si512(); }
ALWAYS_INLINE vint vint_set8(int v) { return _mm512_set1_epi8((char)v); }
ALWAYS_INLINE vint vint_bcast32(const void *p) {
  int32_t v;
  memcpy(&v, p, 4);
  return _mm512_set1_epi32(v);
}
ALWAYS_INLINE vint vint_bcast128(const void *p) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)p));
}
ALWAYS_INLINE vint vint_set16(int v) { return _mm512_set1_epi16((short)v); }
ALWAYS_INLINE vint vint_set32(int v) { return _mm512_set1_epi32(v); }
ALWAYS_INLINE vint vint_add8(vint a, vint b) { return _mm512_add_epi8(a, b); }
ALWAYS_INLINE vint vint_add16(vint a, vint b) { return _mm512_add_epi16(a, b); }
ALWAYS_INLINE vint vint_sub16(vint a, vint b) { return _mm512_sub_epi16(a, b); }
ALWAYS_INLINE vint vint_and(vint a, vint b) { return _mm512_and_si512(a, b); }
/* a | (b & mask) */
ALWAYS_INLINE vint vint_or_and(vint a, vint b, vint mask) {
  return _mm512_ternarylogic_epi32(a, b, mask, 0xf8);
}
ALWAYS_INLINE vint vint_shr16(vint a, int n) { return _mm512_srli_epi16(a, (unsigned)n); }
ALWAYS_INLINE vint vint_shl16(vint a, int n) { return _mm512_slli_epi16(a, (unsigned)n); }
ALWAYS_INLINE vint vint_shl32(vint a, int n) { return _mm512_slli_epi32(a, (unsigned)n); }
ALWAYS_INLINE vint vint_shlv32(vint a, vint n) { return _mm512_sllv_epi32(a, n); }
ALWAYS_INLINE vint vint_add32(vint a, vint b) { return _mm512_add_epi32(a, b); }
ALWAYS_INLINE vint vint_sub32(vint a, vint b) { return _mm512_sub_epi32(a, b); }
/* every second 32-bit lane of a, then of b */
ALWAYS_INLINE vint vint_even(vint a, vint b) {
  const vint at = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  return _mm512_permutex2var_epi32(a, at, b);
}
ALWAYS_INLINE vint vint_odd(vint a, vint b) {
  const vint at = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  return _mm512_permutex2var_epi32(a, at, b);
}
ALWAYS_INLINE vint vint_lookup(vint table, vint index) { return _mm512_shuffle_epi8(table, index); }
ALWAYS_INLINE vint vint_from_u8_16(const void *p) { /* 32 bytes to 16-bit lanes */
  return _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)p));
}
/* sum of the products of adjacent 16-bit lanes */
ALWAYS_INLINE vint vint_dot16(vint acc, vint a, vint b) {
#ifdef WH_LINEAR_Q_VNNI
  return _mm512_dpwssd_epi32(acc, a, b);
#else
  return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
#endif
}
/* A running sum of such products, a lane for each column. It keeps its register through a loop: left to the
 * compiler, gcc 12 moves sums to others and out to memory. */
typedef vint vdot16;
ALWAYS_INLINE vdot16 vdot16_zero(void) { return vint_zero(); }
ALWAYS_INLINE void vdot16_add(vdot16 *sum, vint a, vint b) {
#ifdef WH_LINEAR_Q_VNNI
  __asm__("vpdpwssd %2, %1, %0" : "+v"(*sum) : "v"(a), "v"(b));
#else
  __asm__("vpaddd %1, %0, %0" : "+v"(*sum) : "v"(_mm512_madd_epi16(a, b)));
#endif
}
ALWAYS_INLINE vint vint_from_dot16(vdot16 sum) { return sum; }
#ifdef WH_LINEAR_Q_VNNI
#define DOTS_ARE_WHOLE 1
#ifdef WH_LINEAR_Q_FMA
#define SHIFT_BY_FMA 1
#endif
ALWAYS_INLINE vint vint_dot8(vint acc, vint u, vint s) { return _mm512_dpbusd_epi32(acc, u, s); }
#else
#define PRODUCTS_PER_SUM 2 /* of each quad, in an int16 lane */
typedef vint vsum;
ALWAYS_INLINE vsum vsum_products(vint u, vint s) { return _mm512_maddubs_epi16(u, s); }
ALWAYS_INLINE vsum vsum_add_products(vsum sum, vint u, vint s) {
  return _mm512_add_epi16(sum, vsum_products(u, s));
}
/* the sum of adjacent 16-bit lanes, each times its factor */
#define SHIFT_BY_FACTOR 1
ALWAYS_INLINE vint vint_from_sums(vsum sum, vint factor) { return _mm512_madd_epi16(sum, factor); }
#endif

ALWAYS_INLINE vflt vflt_zero(void) { return _mm512_setzero_ps(); }
ALWAYS_INLINE vflt vflt_load(const float *p) { return _mm512_loadu_ps(p); }
ALWAYS_INLINE void vflt_store(float *p, vflt v) { _mm512_storeu_ps(p, v); }
ALWAYS_INLINE vflt vflt_bcast(const float *p) { return _mm512_set1_ps(*p); }
ALWAYS_INLINE vflt vflt_from_int(vint v) { return _mm512_cvtepi32_ps(v); }
ALWAYS_INLINE vflt vflt_from_bits(vint v) { return _mm512_castsi512_ps(v); }
ALWAYS_INLINE vint vint_from_bits(vflt v) { return _mm512_castps_si512(v); }
ALWAYS_INLINE vflt vflt_from_f16(const void *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
ALWAYS_INLINE vflt vflt_from_s8(const void *p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
/* low or high nibbles of 16 bytes */
ALWAYS_INLINE vflt vflt_from_u4(const void *p, int high) {
  __m512i v = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
  return _mm512_cvtepi32_ps(high ? _mm512_srli_epi32(v, 4) : _mm512_and_si512(v, _mm512_set1_epi32(15)));
}
/* 2^(e - 128): exponent 0 stands for 2^-127 before the exact halving */
ALWAYS_INLINE vflt vflt_from_e8m0(const void *p) {
  __m512i e = _mm512_slli_epi32(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p)), 23);
  return _mm512_mul_ps(_mm512_castsi512_ps(_mm512_max_epi32(e, _mm512_set1_epi32(0x400000))),
                       _mm512_set1_ps(0.5f));
}
ALWAYS_INLINE vflt vflt_mul(vflt a, vflt b) { return _mm512_mul_ps(a, b); }
ALWAYS_INLINE vflt vflt_add(vflt a, vflt b) { return _mm512_add_ps(a, b); }
ALWAYS_INLINE vflt vflt_fma(vflt a, vflt b, vflt c) { return _mm512_fmadd_ps(a, b, c); }
ALWAYS_INLINE vflt vflt_fnma(vflt a, vflt b, vflt c) { return _mm512_fnmadd_ps(a, b, c); }

/* The first n (1..LANES) elements; the rest are zero, or left alone. */
ALWAYS_INLINE vflt vflt_load_n(const float *p, int n) {
  return _mm512_maskz_loadu_ps((__mmask16)(0xffffu >> (LANES - n)), p);
}
ALWAYS_INLINE void vflt_store_n(float *p, vflt v, int n) {
  _mm512_mask_storeu_ps(p, (__mmask16)(0xffffu >> (LANES - n)), v);
}

#endif
