/* linear_q_vec_avx2.h - the 256-bit vector operations that linear_q_dots.h and its users are written in. A
 * kernel file of the AVX-VNNI level defines WH_LINEAR_Q_VNNI before it. All static: nothing compiled here can
 * be linked elsewhere. */
#ifndef WH_CPU_LINEAR_Q_VEC_AVX2_H
#define WH_CPU_LINEAR_Q_VEC_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define LANES 8
typedef __m256i vint;
typedef __m256 vflt;

ALWAYS_INLINE vint vint_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
ALWAYS_INLINE void vint_store(void *p, vint v) { _mm256_storeu_si256((__m256i *)p, v); }
ALWAYS_INLINE vint vint_zero(void) { return _mm256_setzero_si256(); }
ALWAYS_INLINE vint vint_set8(int v) { return _mm256_set1_epi8((char)v); }
ALWAYS_INLINE vint vint_bcast32(const void *p) {
  int32_t v;
  memcpy(&v, p, 4);
  return _mm256_set1_epi32(v);
}
ALWAYS_INLINE vint vint_bcast128(const void *p) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p));
}
ALWAYS_INLINE vint vint_set16(int v) { return _mm256_set1_epi16((short)v); }
ALWAYS_INLINE vint vint_set32(int v) { return _mm256_set1_epi32(v); }
ALWAYS_INLINE vint vint_add8(vint a, vint b) { return _mm256_add_epi8(a, b); }
ALWAYS_INLINE vint vint_add16(vint a, vint b) { return _mm256_add_epi16(a, b); }
ALWAYS_INLINE vint vint_sub16(vint a, vint b) { return _mm256_sub_epi16(a, b); }
ALWAYS_INLINE vint vint_and(vint a, vint b) { return _mm256_and_si256(a, b); }
/* a | (b & mask) */
ALWAYS_INLINE vint vint_or_and(vint a, vint b, vint mask) {
  return _mm256_or_si256(a, _mm256_and_si256(b, mask));
}
ALWAYS_INLINE vint vint_shr16(vint a, int n) { return _mm256_srli_epi16(a, n); }
ALWAYS_INLINE vint vint_shl16(vint a, int n) { return _mm256_slli_epi16(a, n); }
ALWAYS_INLINE vint vint_shl32(vint a, int n) { return _mm256_slli_epi32(a, n); }
ALWAYS_INLINE vint vint_shlv32(vint a, vint n) { return _mm256_sllv_epi32(a, n); }
ALWAYS_INLINE vint vint_add32(vint a, vint b) { return _mm256_add_epi32(a, b); }
ALWAYS_INLINE vint vint_lookup(vint table, vint index) { return _mm256_shuffle_epi8(table, index); }
ALWAYS_INLINE vint vint_from_u8_16(const void *p) { /* 16 bytes to 16-bit lanes */
  return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
}
/* sum of the products of adjacent 16-bit lanes */
ALWAYS_INLINE vint vint_dot16(vint acc, vint a, vint b) {
#ifdef WH_LINEAR_Q_VNNI
  return _mm256_dpwssd_avx_epi32(acc, a, b);
#else
  return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
#endif
}
/* A running sum of such products, a lane for each column. It keeps its register through a loop: left to the
 * compiler, gcc 12 moves sums to others and out to memory. */
typedef vint vdot16;
ALWAYS_INLINE vdot16 vdot16_zero(void) { return vint_zero(); }
ALWAYS_INLINE void vdot16_add(vdot16 *sum, vint a, vint b) {
#ifdef WH_LINEAR_Q_VNNI
  __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(*sum) : "x"(a), "x"(b));
#else
  vint product;
  __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0" : "+x"(*sum), "=&x"(product) : "x"(a), "x"(b));
#endif
}
ALWAYS_INLINE vint vint_from_dot16(vdot16 sum) { return sum; }
#ifndef WH_LINEAR_Q_VNNI
#define DOT16_PAIRS 1
/* The same for two vectors and the pair of 16-bit numbers at x, in the registers that twelve sums and two
 * vectors leave; one by one, gcc 12 copies sums between registers, a quarter of a tile's instructions. */
ALWAYS_INLINE void vdot16_add_pair(vdot16 sum[2], const vint a[2], const int16_t *x) {
  vint s, t;
  __asm__(
      "vpbroadcastd %6, %2\n\tvpmaddwd %2, %4, %3\n\tvpmaddwd %2, %5, %2\n\t"
      "vpaddd %3, %0, %0\n\tvpaddd %2, %1, %1"
      : "+x"(sum[0]), "+x"(sum[1]), "=&x"(s), "=&x"(t)
      : "x"(a[0]), "x"(a[1]), "m"(*(const int32_t *)(const void *)x));
}
/* The same for four vectors, of which a[0] and a[1] are in registers and the others read from `from`: three
 * rows take fewer instructions so than six do of two vectors. */
ALWAYS_INLINE void vdot16_add_four(vdot16 sum[4], const vint a[2], const void *from, const int16_t *x) {
  const vint *w = from;
  vint s, t;
  __asm__(
      "vpbroadcastd %8, %4\n\tvpmaddwd %4, %6, %5\n\tvpaddd %5, %0, %0\n\t"
      "vpmaddwd %4, %7, %5\n\tvpaddd %5, %1, %1\n\tvpmaddwd %9, %4, %5\n\tvpaddd %5, %2, %2\n\t"
      "vpmaddwd %10, %4, %4\n\tvpaddd %4, %3, %3"
      : "+x"(sum[0]), "+x"(sum[1]), "+x"(sum[2]), "+x"(sum[3]), "=&x"(s), "=&x"(t)
      : "x"(a[0]), "x"(a[1]), "m"(*(const int32_t *)(const void *)x), "m"(w[2]), "m"(w[3]));
}
#endif
#ifdef WH_LINEAR_Q_VNNI
#define DOTS_ARE_WHOLE 1
ALWAYS_INLINE vint vint_dot8(vint acc, vint u, vint s) { return _mm256_dpbusd_avx_epi32(acc, u, s); }
#else
#define PRODUCTS_PER_SUM 2 /* of each quad, in an int16 lane */
typedef vint vsum;
ALWAYS_INLINE vsum vsum_products(vint u, vint s) { return _mm256_maddubs_epi16(u, s); }
ALWAYS_INLINE vsum vsum_add_products(vsum sum, vint u, vint s) {
  return _mm256_add_epi16(sum, vsum_products(u, s));
}
/* the sum of adjacent 16-bit lanes, each times its factor */
#define SHIFT_BY_FACTOR 1
ALWAYS_INLINE vint vint_from_sums(vsum sum, vint factor) { return _mm256_madd_epi16(sum, factor); }
#endif

ALWAYS_INLINE vflt vflt_zero(void) { return _mm256_setzero_ps(); }
ALWAYS_INLINE vflt vflt_load(const float *p) { return _mm256_loadu_ps(p); }
ALWAYS_INLINE void vflt_store(float *p, vflt v) { _mm256_storeu_ps(p, v); }
ALWAYS_INLINE vflt vflt_bcast(const float *p) { return _mm256_set1_ps(*p); }
ALWAYS_INLINE vflt vflt_from_int(vint v) { return _mm256_cvtepi32_ps(v); }
ALWAYS_INLINE vflt vflt_from_f16(const void *p) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
ALWAYS_INLINE __m128i vec_load8(const void *p) { return _mm_loadl_epi64((const __m128i *)p); }
ALWAYS_INLINE vflt vflt_from_s8(const void *p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(vec_load8(p)));
}
/* low or high nibbles of 8 bytes */
ALWAYS_INLINE vflt vflt_from_u4(const void *p, int high) {
  __m256i v = _mm256_cvtepu8_epi32(vec_load8(p));
  return _mm256_cvtepi32_ps(high ? _mm256_srli_epi32(v, 4) : _mm256_and_si256(v, _mm256_set1_epi32(15)));
}
/* 2^(e - 128): exponent 0 stands for 2^-127 before the exact halving */
ALWAYS_INLINE vflt vflt_from_e8m0(const void *p) {
  __m256i e = _mm256_slli_epi32(_mm256_cvtepu8_epi32(vec_load8(p)), 23);
  return _mm256_mul_ps(_mm256_castsi256_ps(_mm256_max_epi32(e, _mm256_set1_epi32(0x400000))),
                       _mm256_set1_ps(0.5f));
}
ALWAYS_INLINE vflt vflt_mul(vflt a, vflt b) { return _mm256_mul_ps(a, b); }
ALWAYS_INLINE vflt vflt_add(vflt a, vflt b) { return _mm256_add_ps(a, b); }
ALWAYS_INLINE vflt vflt_fma(vflt a, vflt b, vflt c) { return _mm256_fmadd_ps(a, b, c); }
ALWAYS_INLINE vflt vflt_fnma(vflt a, vflt b, vflt c) { return _mm256_fnmadd_ps(a, b, c); }

ALWAYS_INLINE __m256i vec_first_n(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
/* The first n (1..LANES) elements; the rest are zero, or left alone. */
ALWAYS_INLINE vflt vflt_load_n(const float *p, int n) { return _mm256_maskload_ps(p, vec_first_n(n)); }
ALWAYS_INLINE void vflt_store_n(float *p, vflt v, int n) { _mm256_maskstore_ps(p, vec_first_n(n), v); }

#endif
