/* avx2/rowops_quantize_avx2.c - how a group of 256 is quantised. The
 * rules are spelled out in ref/rowops_quantize_ref.c; here a group's eight blocks are the lanes of one
 * vector. */
#include "backends/cpu/avx2/vec_avx2.h"

#include "backends/cpu/rowops_kernels.h"
#include "backends/cpu/rowops_norm.h"
#include "backends/cpu/rowops_units.h"

static inline __m256i magnitude(const float *x) {
  return _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(x)), _mm256_set1_epi32(0x7fffffff));
}
static inline __m256i block_max(const float *x) {
  return _mm256_max_epi32(_mm256_max_epi32(magnitude(x), magnitude(x + 8)),
                          _mm256_max_epi32(magnitude(x + 16), magnitude(x + 24)));
}
static inline __m256i fold32(__m256i a, __m256i b) {
  return _mm256_max_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
}
static inline __m256i fold64(__m256i a, __m256i b) {
  return _mm256_max_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
}
/* Per 128-bit lane: the maxima of four blocks over that lane. */
static inline __m256i four_block_max(const float *x) {
  return fold64(fold32(block_max(x), block_max(x + 32)), fold32(block_max(x + 64), block_max(x + 96)));
}

/* max |x| of each of the eight blocks, as bits. */
static inline __m256i eight_block_max(const float *x) {
  __m256i a = four_block_max(x), b = four_block_max(x + 128);
  return _mm256_max_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

static inline __m256i spread_max(__m256i v) {
  v = _mm256_max_epi32(v, _mm256_permute2x128_si256(v, v, 1));
  v = _mm256_max_epi32(v, _mm256_shuffle_epi32(v, 0x4e));
  return _mm256_max_epi32(v, _mm256_shuffle_epi32(v, 0xb1));
}

static inline __m256i round_8(const float *x, __m256 factor) {
  return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), factor));
}

/* Codes of one block as bytes in order. */
static inline __m256i codes_32(const float *x, __m256 factor) {
  __m256i lo = _mm256_packs_epi32(round_8(x, factor), round_8(x + 8, factor));
  __m256i hi = _mm256_packs_epi32(round_8(x + 16, factor), round_8(x + 24, factor));
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  return _mm256_permutevar8x32_epi32(_mm256_packs_epi16(lo, hi), order);
}

/* Quantises block b of x to q and gives the sums of each two codes. `finite`: all bits, or none, which makes
 * codes 0. */
static inline __m256i quantize_block(const float *x, int b, __m256 factors, __m256i finite, int8_t *q) {
  __m256i codes = codes_32(x + b * 32, _mm256_permutevar8x32_ps(factors, _mm256_set1_epi32(b)));
  codes = _mm256_and_si256(codes, finite);
  _mm256_storeu_si256((void *)(q + b * 32), codes);
  return _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes);
}

/* Blocks b..b+3; the sums of their codes in pairs (q8a.h): of first halves in the low 128 bits, of second
 * halves in the high ones. */
static inline __m256i quantize_four(const float *x, int b, __m256 factors, __m256i finite, int8_t *q) {
  __m256i s0 = quantize_block(x, b, factors, finite, q), s1 = quantize_block(x, b + 1, factors, finite, q);
  __m256i s2 = quantize_block(x, b + 2, factors, finite, q),
          s3 = quantize_block(x, b + 3, factors, finite, q);
  __m256i s01 = _mm256_add_epi16(_mm256_unpacklo_epi32(s0, s1), _mm256_unpackhi_epi32(s0, s1));
  __m256i s23 = _mm256_add_epi16(_mm256_unpacklo_epi32(s2, s3), _mm256_unpackhi_epi32(s2, s3));
  return _mm256_add_epi16(_mm256_unpacklo_epi64(s01, s23), _mm256_unpackhi_epi64(s01, s23));
}

/* Eight int32 that fit to int16, in order. */
static inline __m128i narrow(__m256i v) {
  return _mm_packs_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
}

/* Quantises x[0..255]; a short group is padded with zeros. */
static inline void quantize_256(const float *x, wh_q8a_group *g) {
  __m256 block_top = _mm256_castsi256_ps(eight_block_max(x));
  __m256 top = _mm256_castsi256_ps(spread_max(_mm256_castps_si256(block_top)));
  const __m256 live = _mm256_cmp_ps(top, _mm256_set1_ps(0x1p-100f), _CMP_NLT_UQ); /* all lanes or none */
  /* k = how many of 2, 4, 8 times the block's top stay within the group's; a comparison that holds is -1 */
  __m256 twice = _mm256_add_ps(block_top, block_top), four = _mm256_add_ps(twice, twice);
  __m256i minus_k = _mm256_castps_si256(_mm256_cmp_ps(twice, top, _CMP_LE_OQ));
  minus_k = _mm256_add_epi32(minus_k, _mm256_castps_si256(_mm256_cmp_ps(four, top, _CMP_LE_OQ)));
  __m256 eight_fits = _mm256_cmp_ps(_mm256_add_ps(four, four), top, _CMP_LE_OQ);
  minus_k = _mm256_add_epi32(minus_k, _mm256_castps_si256(eight_fits));
  minus_k = _mm256_and_si256(minus_k, _mm256_castps_si256(live));
  __m256 power =
      _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_sub_epi32(_mm256_set1_epi32(127), minus_k), 23));
  __m256 factors = _mm256_mul_ps(_mm256_div_ps(_mm256_set1_ps(127.0f), top), power);
  factors = _mm256_and_ps(factors, live);

  const __m256i finite = _mm256_castps_si256(_mm256_cmp_ps(top, _mm256_set1_ps(INFINITY), _CMP_LT_OQ));
  __m256i a = quantize_four(x, 0, factors, finite, g->q), b = quantize_four(x, 4, factors, finite, g->q);
  __m256i pair0 = _mm256_permute2x128_si256(a, b, 0x20), pair1 = _mm256_permute2x128_si256(a, b, 0x31);
  __m256i one = _mm256_set1_epi16(1), zero = _mm256_setzero_si256();
  __m256i half0 = _mm256_madd_epi16(pair0, one), half1 = _mm256_madd_epi16(pair1, one);
  __m256i sum = _mm256_add_epi32(half0, half1);
  _mm256_storeu_si256((void *)g->npair[0], _mm256_sub_epi16(zero, pair0));
  _mm256_storeu_si256((void *)g->npair[1], _mm256_sub_epi16(zero, pair1));
  __m256i t = _mm256_add_epi32(_mm256_set1_epi32(3), minus_k), shifted = _mm256_sllv_epi32(sum, t);
  _mm256_storeu_si256((void *)g->t, t);
  _mm256_storeu_si256((void *)g->nbsum, _mm256_sub_epi32(zero, sum));
  _mm256_storeu_ps(g->fbsum, _mm256_cvtepi32_ps(shifted));
  _mm_storeu_si128((void *)g->jsum, narrow(shifted));
  __m256i n0 = _mm256_sub_epi32(zero, half0), n1 = _mm256_sub_epi32(zero, half1);
  __m256i low = _mm256_unpacklo_epi32(n0, n1), high = _mm256_unpackhi_epi32(n0, n1);
  _mm256_storeu_si256((void *)g->nbsum16, _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_storeu_si256((void *)(g->nbsum16 + 8), _mm256_permute2x128_si256(low, high, 0x31));
  __m128i j0 = narrow(_mm256_sllv_epi32(half0, t)), j1 = narrow(_mm256_sllv_epi32(half1, t));
  _mm_storeu_si128((void *)g->jsum16, _mm_unpacklo_epi16(j0, j1));
  _mm_storeu_si128((void *)(g->jsum16 + 8), _mm_unpackhi_epi16(j0, j1));
  __m128 scale = _mm_div_ss(_mm256_castps256_ps128(top), _mm_set_ss(127.0f));
  scale = _mm_mul_ss(scale, _mm_set_ss(0.125f));
  scale = _mm_fmadd_ss(_mm256_castps256_ps128(top), _mm_setzero_ps(), scale); /* NaN when top is infinite */
  scale = _mm_and_ps(scale, _mm256_castps256_ps128(live));
  g->scale = _mm_cvtss_f32(scale);
}

#define KERNEL(op) wh_k_##op##__avx2
#include "backends/cpu/rowops_quantize_vec.h"
