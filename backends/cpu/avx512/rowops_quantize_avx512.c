/* avx512/rowops_quantize_avx512.c - how a group of 256 is quantised. The
 * rules are spelled out in ref/rowops_quantize_ref.c; here a group's eight blocks are the lanes of one
 * vector. */
#include "backends/cpu/avx512/vec_avx512.h"

#include "backends/cpu/rowops_kernels.h"
#include "backends/cpu/rowops_norm.h"
#include "backends/cpu/rowops_units.h"

static inline __m512i magnitude(const float *x) {
  return _mm512_and_si512(_mm512_castps_si512(_mm512_loadu_ps(x)), _mm512_set1_epi32(0x7fffffff));
}
static inline __m512i block_max(const float *x) { return _mm512_max_epi32(magnitude(x), magnitude(x + 16)); }

/* Halves each: lanes of block b in the low 256 bits, of block b + 4 in the high ones. */
static inline __m512i two_block_max(const float *x) {
  __m512i a = block_max(x), b = block_max(x + 128);
  return _mm512_max_epi32(_mm512_shuffle_i64x2(a, b, 0x44), _mm512_shuffle_i64x2(a, b, 0xee));
}

/* max |x| of each of the eight blocks, as bits. */
static inline __m256i eight_block_max(const float *x) {
  __m512i a = two_block_max(x), b = two_block_max(x + 32), c = two_block_max(x + 64),
          d = two_block_max(x + 96);
  __m512i ab = _mm512_max_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
  __m512i cd = _mm512_max_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
  __m512i m = _mm512_max_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
  m = _mm512_max_epi32(m, _mm512_shuffle_i64x2(m, m, 0xb1));
  return _mm512_castsi512_si256(_mm512_shuffle_i64x2(m, m, 0x88));
}

static inline __m256i spread_max(__m256i v) {
  v = _mm256_max_epi32(v, _mm256_permute2x128_si256(v, v, 1));
  v = _mm256_max_epi32(v, _mm256_shuffle_epi32(v, 0x4e));
  return _mm256_max_epi32(v, _mm256_shuffle_epi32(v, 0xb1));
}

static inline __m512i round_16(const float *x, __m512 factor) {
  return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), factor));
}

/* The codes of blocks b and b + 1 at x, as bytes in order. `finite`: all bits, or none, which makes codes 0.
 */
static inline __m512i codes_64(const float *x, __m512 factors, __mmask64 finite, int b) {
  __m512 f0 = _mm512_permutexvar_ps(_mm512_set1_epi32(b), factors);
  __m512 f1 = _mm512_permutexvar_ps(_mm512_set1_epi32(b + 1), factors);
  __m512i lo = _mm512_packs_epi32(round_16(x, f0), round_16(x + 16, f0));
  __m512i hi = _mm512_packs_epi32(round_16(x + 32, f1), round_16(x + 48, f1));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return _mm512_maskz_mov_epi8(finite, _mm512_permutexvar_epi32(order, _mm512_packs_epi16(lo, hi)));
}

/* Sums of each two codes. */
static inline __m512i sums_of_2(__m512i codes) { return _mm512_maddubs_epi16(_mm512_set1_epi8(1), codes); }

/* Sums of the codes of eight blocks in pairs (q8a.h): of each 128 bits of c0..c3, adjacent. */
static inline __m512i pair_sums(__m512i c0, __m512i c1, __m512i c2, __m512i c3) {
  const __m512i s0 = sums_of_2(c0), s1 = sums_of_2(c1), s2 = sums_of_2(c2), s3 = sums_of_2(c3);
  __m512i s01 = _mm512_add_epi16(_mm512_unpacklo_epi32(s0, s1), _mm512_unpackhi_epi32(s0, s1));
  __m512i s23 = _mm512_add_epi16(_mm512_unpacklo_epi32(s2, s3), _mm512_unpackhi_epi32(s2, s3));
  return _mm512_add_epi16(_mm512_unpacklo_epi64(s01, s23), _mm512_unpackhi_epi64(s01, s23));
}

/* Quantises x[0..255]; a short group is padded with zeros. */
static inline void quantize_256(const float *x, wh_q8a_group *g) {
  __m256 block_top = _mm256_castsi256_ps(eight_block_max(x));
  __m256 top = _mm256_castsi256_ps(spread_max(_mm256_castps_si256(block_top)));
  const __mmask8 live =
      _mm256_cmp_ps_mask(top, _mm256_set1_ps(0x1p-100f), _CMP_NLT_UQ); /* all lanes or none */
  /* k = how many of 2, 4, 8 times the block's top stay within the group's; 2^k by exponent */
  const __m256i one = _mm256_set1_epi32(1);
  __m256 twice = _mm256_add_ps(block_top, block_top), four = _mm256_add_ps(twice, twice);
  __m256i k = _mm256_maskz_mov_epi32(live & _mm256_cmp_ps_mask(twice, top, _CMP_LE_OQ), one);
  k = _mm256_mask_add_epi32(k, live & _mm256_cmp_ps_mask(four, top, _CMP_LE_OQ), k, one);
  k = _mm256_mask_add_epi32(k, live & _mm256_cmp_ps_mask(_mm256_add_ps(four, four), top, _CMP_LE_OQ), k, one);
  __m256 power = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(k, _mm256_set1_epi32(127)), 23));
  __m256 factor = _mm256_maskz_mul_ps(live, _mm256_div_ps(_mm256_set1_ps(127.0f), top), power);

  __m512 factors = _mm512_castps256_ps512(factor); /* only the low eight are asked for */
  const __mmask64 finite = _mm256_cmp_ps_mask(top, _mm256_set1_ps(INFINITY), _CMP_LT_OQ) ? ~(__mmask64)0 : 0;
  __m512i c0 = codes_64(x, factors, finite, 0), c1 = codes_64(x + 64, factors, finite, 2);
  __m512i c2 = codes_64(x + 128, factors, finite, 4), c3 = codes_64(x + 192, factors, finite, 6);
  _mm512_store_si512(g->q, c0);
  _mm512_store_si512(g->q + 64, c1);
  _mm512_store_si512(g->q + 128, c2);
  _mm512_store_si512(g->q + 192, c3);

  const __m512i pairs = pair_sums(c0, c1, c2, c3);
  const __m512i by_halves = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
  const __m512i npair = _mm512_sub_epi16(_mm512_setzero_si512(), _mm512_permutexvar_epi32(by_halves, pairs));
  _mm512_storeu_si512(g->npair, npair);
  const __m512i by_blocks = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i half = _mm512_madd_epi16(_mm512_permutexvar_epi32(by_blocks, pairs), _mm512_set1_epi16(1));
  __m256i sum = _mm512_cvtepi64_epi32(_mm512_add_epi32(half, _mm512_shuffle_epi32(half, _MM_PERM_CDAB)));
  __m256i t = _mm256_sub_epi32(_mm256_set1_epi32(3), k), shifted = _mm256_sllv_epi32(sum, t);
  __m512i t_pairs = _mm512_cvtepu32_epi64(t);
  t_pairs = _mm512_or_si512(t_pairs, _mm512_slli_epi64(t_pairs, 32));
  _mm256_storeu_si256((void *)g->t, t);
  _mm256_storeu_si256((void *)g->nbsum, _mm256_sub_epi32(_mm256_setzero_si256(), sum));
  _mm512_storeu_si512(g->nbsum16, _mm512_sub_epi32(_mm512_setzero_si512(), half));
  _mm256_storeu_ps(g->fbsum, _mm256_cvtepi32_ps(shifted));
  _mm_storeu_si128((void *)g->jsum, _mm256_cvtepi32_epi16(shifted));
  _mm256_storeu_si256((void *)g->jsum16, _mm512_cvtepi32_epi16(_mm512_sllv_epi32(half, t_pairs)));
  __m128 scale = _mm_div_ss(_mm256_castps256_ps128(top), _mm_set_ss(127.0f));
  scale = _mm_mul_ss(scale, _mm_set_ss(0.125f));
  scale =
      _mm_maskz_fmadd_ss(live, _mm256_castps256_ps128(top), _mm_setzero_ps(), scale); /* NaN when infinite */
  g->scale = _mm_cvtss_f32(scale);
}

#define KERNEL(op) wh_k_##op##__avx512
#include "backends/cpu/rowops_quantize_vec.h"
