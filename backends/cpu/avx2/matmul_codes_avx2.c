/* avx2/matmul_codes_avx2.c - tiles of products of codes, two of 16 bits in a word. */
#include "backends/cpu/avx2/codes_vec_avx2.h"

#define LEVEL avx2
#define TILE_ROWS 6
#define vi_dot(acc, a, b) _mm256_add_epi32(acc, _mm256_madd_epi16(a, b))

#include "backends/cpu/matmul_codes_tiles.h"

/* Eight words of eight rows: v[i] becomes word i of each. */
static inline void turn_eight(__m256i v[8]) {
  __m256i a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
    a[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
  }
  for (int i = 0; i < 8; i += 4)
    for (int k = 0; k < 2; k++) {
      b[i + 2 * k] = _mm256_unpacklo_epi64(a[i + k], a[i + k + 2]);
      b[i + 2 * k + 1] = _mm256_unpackhi_epi64(a[i + k], a[i + k + 2]);
    }
  for (int i = 0; i < 4; i++) {
    v[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
    v[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
  }
}

void wh_k_matmul_codes_turn__avx2(const wh_codes_turn *t) {
  for (int col = 0; col < WH_CODES_TURNED; col += 8) {
    const vi zeros = vi_load(t->column_zeros + col), sums = vi_load(t->column_sums + col);
    for (int row = 0; row < WH_CODES_PLACES; row += 8) {
      vi v[8];
      UNROLL for (int i = 0; i < 8; i++) v[i] = vi_load(t->sums + (col + i) * WH_CODES_PLACES + row);
      turn_eight(v);
      UNROLL for (int i = 0; i < 8; i++) {
        const vi less = _mm256_mullo_epi32(vi_set1(t->row_zeros[row + i]), sums),
                 more = _mm256_mullo_epi32(vi_set1(t->row_rests[row + i]), zeros);
        vi_store(t->y + (row + i) * WH_CODES_TURNED + col, vi_add(_mm256_sub_epi32(v[i], less), more));
      }
    }
  }
}
