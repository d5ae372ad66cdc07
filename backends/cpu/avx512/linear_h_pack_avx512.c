/* linear_h_pack_avx512.c - packing of 16-bit weights: AVX-512. A whole block is read twice: for the largest
 * magnitude of each row, of which all scales follow together, then for its codes, which turn from rows to
 * columns in registers. */
#include <immintrin.h>

#include "backends/cpu/linear_h_pack.h"
#include "backends/cpu/unroll.h"

#define LANES 16 /* rows, and pairs of codes, that are turned together */

/* 16 weights as fp32; what is not finite stays so. */
INLINE __m512 widen_16(const wh_dtype dtype, const uint8_t *src) {
  const __m256i half = _mm256_loadu_si256((const void *)src);
  if (dtype == WH_DTYPE_F16) return _mm512_cvtph_ps(half);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* The largest magnitude's bits, whose order is that of the values in both types. */
INLINE uint16_t top_of(const uint8_t *src) {
  const __m512i magnitude = _mm512_set1_epi16(0x7fff);
  __m512i top = _mm512_setzero_si512();
  for (int i = 0; i < WH_Q13A_BLOCK * 2; i += 64)
    top = _mm512_max_epu16(top, _mm512_and_si512(magnitude, _mm512_loadu_si512(src + i)));
  const __m256i half = _mm256_max_epu16(_mm512_castsi512_si256(top), _mm512_extracti64x4_epi64(top, 1));
  const __m128i few = _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  const __m128i least = _mm_minpos_epu16(_mm_xor_si128(few, _mm_set1_epi16(-1)));
  return (uint16_t)~_mm_cvtsi128_si32(least);
}

/* 32 codes, two of k next to each other in each lane: as fp32 they are integers above 1.5 * 2^23, whose lower
 * halves they are. */
INLINE __m512i codes_of(const wh_dtype dtype, const uint8_t *src, const float factor) {
  const __m512i lower = _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30,
                                         28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512 f = _mm512_set1_ps(factor), magic = _mm512_set1_ps(0x1.8p23f);
  const __m512 a = _mm512_add_ps(_mm512_mul_ps(widen_16(dtype, src), f), magic),
               b = _mm512_add_ps(_mm512_mul_ps(widen_16(dtype, src + 32), f), magic);
  return _mm512_permutex2var_epi16(_mm512_castps_si512(a), lower, _mm512_castps_si512(b));
}

/* a[i] lane j becomes a[j] lane i. */
INLINE void turn(__m512i a[LANES]) {
  __m512i b[LANES];
  UNROLL for (int i = 0; i < LANES; i += 4) { /* 4 x 4 within each quarter of a register */
    const __m512i p = _mm512_unpacklo_epi32(a[i], a[i + 1]), q = _mm512_unpackhi_epi32(a[i], a[i + 1]),
                  r = _mm512_unpacklo_epi32(a[i + 2], a[i + 3]),
                  s = _mm512_unpackhi_epi32(a[i + 2], a[i + 3]);
    b[i] = _mm512_unpacklo_epi64(p, r);
    b[i + 1] = _mm512_unpackhi_epi64(p, r);
    b[i + 2] = _mm512_unpacklo_epi64(q, s);
    b[i + 3] = _mm512_unpackhi_epi64(q, s);
  }
  UNROLL for (int i = 0; i < 4; i++) { /* 4 x 4 quarters */
    const __m512i p = _mm512_shuffle_i32x4(b[i], b[i + 4], 0x88),
                  q = _mm512_shuffle_i32x4(b[i], b[i + 4], 0xdd),
                  r = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0x88),
                  s = _mm512_shuffle_i32x4(b[i + 8], b[i + 12], 0xdd);
    a[i] = _mm512_shuffle_i32x4(p, r, 0x88);
    a[i + 4] = _mm512_shuffle_i32x4(q, s, 0x88);
    a[i + 8] = _mm512_shuffle_i32x4(p, r, 0xdd);
    a[i + 12] = _mm512_shuffle_i32x4(q, s, 0xdd);
  }
}

INLINE bool pack_whole(const linear_h_block *b, const wh_dtype dtype, uint8_t *dst) {
  _Alignas(64) uint16_t tops[WH_LINEAR_H_COLS];
  _Alignas(64) float factors[WH_LINEAR_H_COLS];
  const __m512 most = _mm512_set1_ps((float)WH_Q13A_MAX), least = _mm512_set1_ps(0x1p-100f),
               infinite = _mm512_castsi512_ps(_mm512_set1_epi32(0x7f800000));
  for (int c = 0; c < WH_LINEAR_H_COLS; c++) {
    const uint8_t *from = b->src + (size_t)c * b->row_bytes;
    prefetch_block(from + b->ahead);
    tops[c] = top_of(from);
  }
  for (int c = 0; c < WH_LINEAR_H_COLS; c += LANES) {
    const __m512 top = widen_16(dtype, (const uint8_t *)&tops[c]);
    const __mmask16 some = _mm512_cmp_ps_mask(top, least, _CMP_GE_OQ);
    if (_mm512_cmp_ps_mask(top, infinite, _CMP_NLT_UQ)) return false;
    _mm512_store_ps(&factors[c], _mm512_maskz_div_ps(some, most, top));
    _mm512_storeu_ps(dst + c * sizeof(float), _mm512_maskz_div_ps(some, top, most));
  }
  dst += WH_LINEAR_H_SCALE_BYTES;
  for (int c = 0; c < WH_LINEAR_H_COLS; c += LANES)
    for (int part = 0; part < WH_Q13A_BLOCK / 32; part++) {
      __m512i a[LANES];
      UNROLL for (int i = 0; i < LANES; i++) a[i] =
          codes_of(dtype, b->src + (size_t)(c + i) * b->row_bytes + part * 64, factors[c + i]);
      turn(a);
      UNROLL for (int i = 0; i < LANES; i++)
          _mm512_storeu_si512(dst + (part * LANES + i) * WH_LINEAR_H_PAIR_BYTES + c * 4, a[i]);
    }
  return true;
}

static bool whole_block(const linear_h_block *b, uint8_t *dst) {
  return b->dtype == WH_DTYPE_F16 ? pack_whole(b, WH_DTYPE_F16, dst) : pack_whole(b, WH_DTYPE_BF16, dst);
}

WH_LINEAR_H_PACK(avx512, whole_block)
