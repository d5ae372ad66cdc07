/* avx2/conv_codes_winograd_avx2.c - minimal filtering of codes: words of two numbers of 16 bits. */
#include "backends/cpu/avx2/codes_vec_avx2.h"
#include "backends/cpu/conv_codes_winograd.h"
#include "backends/cpu/unroll.h"

#define ROWS WH_CONV_CODES_ROWS
#define TILES WH_CODES_WINOGRAD_TILES
#define VECS 2

INLINE void dots(const int vecs, int64_t words, const uint32_t *w, const uint32_t *ahead, const uint32_t *x,
                 uint32_t *c) {
  vi acc[ROWS * VECS];
  UNROLL for (int i = 0; i < ROWS * vecs; i++) acc[i] = vi_zero();
#define WORD(k) /* the k-th that follows */                                             \
  {                                                                                     \
    vi v[VECS];                                                                         \
    UNROLL for (int i = 0; i < vecs; i++) v[i] = vi_load(x + (k)*TILES + i * VI_LANES); \
    UNROLL for (int r = 0; r < ROWS; r++) {                                             \
      const vi b = vi_set1(w[(k)*ROWS + r]);                                            \
      UNROLL for (int i = 0; i < vecs; i++) {                                           \
        acc[r * vecs + i] = vi_add(acc[r * vecs + i], _mm256_madd_epi16(v[i], b));      \
        IN_REGISTER(acc[r * vecs + i]);                                                 \
      }                                                                                 \
    }                                                                                   \
  }
  const uint32_t *end = x + words * TILES;
  for (; end - x >= 8 * TILES; x += 8 * TILES, w += 8 * ROWS, ahead += 8 * ROWS) {
    WORD(0)
    __builtin_prefetch(ahead, 0, 2);
    WORD(1) WORD(2) __builtin_prefetch(ahead + 16, 0, 2);
    WORD(3) WORD(4) WORD(5) __builtin_prefetch(ahead + 32, 0, 2);
    WORD(6) WORD(7)
  }
  for (; x != end; x += TILES, w += ROWS) WORD(0)
#undef WORD
  UNROLL for (int r = 0; r < ROWS; r++) UNROLL for (int i = 0; i < vecs; i++)
      vi_store(c + r * TILES + i * VI_LANES, acc[r * vecs + i]);
}

void wh_k_codes_winograd_dots__avx2(bool half, int64_t words, const uint32_t *w, const uint32_t *ahead,
                                    const uint32_t *x, uint32_t *c) {
  if (half)
    dots(1, words, w, ahead, x, c);
  else
    dots(VECS, words, w, ahead, x, c);
}

void wh_k_codes_winograd_input__avx2(const uint32_t *const rows[4][2], int64_t apart, uint32_t *to) {
  UNROLL for (int j = 0; j < 4; j++) {
    vi h[4];
    UNROLL for (int r = 0; r < 4; r++) {
      /* of columns 0 to 3: 0 - 2, 1 + 2, 2 - 1, 1 - 3 */
      const uint32_t *even = rows[r][0], *odd = rows[r][1];
      h[r] = j == 0   ? _mm256_sub_epi16(vi_load(even), vi_load(even + 1))
             : j == 1 ? _mm256_add_epi16(vi_load(odd), vi_load(even + 1))
             : j == 2 ? _mm256_sub_epi16(vi_load(even + 1), vi_load(odd))
                      : _mm256_sub_epi16(vi_load(odd), vi_load(odd + 1));
    }
    vi_store(to + j * apart, _mm256_sub_epi16(h[0], h[2]));
    vi_store(to + (4 + j) * apart, _mm256_add_epi16(h[1], h[2]));
    vi_store(to + (8 + j) * apart, _mm256_sub_epi16(h[2], h[1]));
    vi_store(to + (12 + j) * apart, _mm256_sub_epi16(h[1], h[3]));
  }
}

/* What is four times the sum becomes it; pairs of neighbours, 16 of them. */
static inline void store_row(vi even, vi odd, vi start, int32_t *y) {
  even = vi_add(_mm256_srai_epi32(even, 2), start);
  odd = vi_add(_mm256_srai_epi32(odd, 2), start);
  const vi low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
  vi_store(y, _mm256_permute2x128_si256(low, high, 0x20));
  vi_store(y + VI_LANES, _mm256_permute2x128_si256(low, high, 0x31));
}

void wh_k_codes_winograd_output__avx2(const uint32_t *sums, const uint32_t *start, int32_t *y) {
  for (int r = 0; r < ROWS; r++)
    for (int half = 0; half < VECS; half++) {
      const uint32_t *m = sums + r * TILES + half * VI_LANES;
      const vi from = vi_set1(start[r]);
      vi upper[4], lower[4];
      UNROLL for (int j = 0; j < 4; j++) {
        const vi a = vi_load(m + (4 + j) * ROWS * TILES), b = vi_load(m + (8 + j) * ROWS * TILES);
        upper[j] = vi_add(vi_load(m + j * ROWS * TILES), vi_add(a, b));
        lower[j] = _mm256_sub_epi32(_mm256_sub_epi32(a, b), vi_load(m + (12 + j) * ROWS * TILES));
      }
      int32_t *to = y + (r * VECS + half) * 2 * VI_LANES;
      store_row(vi_add(upper[0], vi_add(upper[1], upper[2])),
                _mm256_sub_epi32(_mm256_sub_epi32(upper[1], upper[2]), upper[3]), from, to);
      store_row(vi_add(lower[0], vi_add(lower[1], lower[2])),
                _mm256_sub_epi32(_mm256_sub_epi32(lower[1], lower[2]), lower[3]), from,
                to + ROWS * 2 * TILES);
    }
}
