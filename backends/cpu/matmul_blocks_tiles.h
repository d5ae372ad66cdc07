/* matmul_blocks_tiles.h - products with weights of few bits: the template over vectors of floats. The
 * includer has the words of vec.h and those for their bits: vu, a vector of 32-bit words, vu_load, vu_set1,
 * vu_right(x, n) by the bits that n's lanes say; vf_from_code(x, mask): 2^23 and the masked bits;
 * vf_from_zeros(p): 2^23 and VF_LANES bytes. And LEVEL. Lanes are outputs.
 *
 * 2^23 + a code as f32 has the code's bits last, and the difference of two such is that of the codes,
 * exactly. */
#ifndef WH_CPU_MATMUL_BLOCKS_TILES_H
#define WH_CPU_MATMUL_BLOCKS_TILES_H

#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/matmul_blocks.h"
#include "backends/cpu/unroll.h"
#include "backends/cpu/whole.h"

#define CHUNK 512
#define VECS 2
#define HALF WH_LINEAR_F_HALF
#define JOIN_(name, level) wh_k_matmul_blocks_##name##__##level
#define JOIN(name, level) JOIN_(name, level)

/* The sums of a tile, or where decoded weights go. */
typedef struct tile_state {
  vf chain[WH_BLOCKS_ROWS][VECS], scale[VECS], zero[VECS];
  vu word[VECS];
} tile_state;

/* What the next code of each word's lower half stands for, or the one of the upper half after it: multiplied,
 * or without rows stored. */
INLINE void one_code(const int rows, const int bits, const bool upper, const wh_blocks_tile *t, tile_state *s,
                     int64_t k, float *to) {
  vf w[VECS];
  UNROLL
  for (int i = 0; i < VECS; i++) {
    const vu code = upper ? vu_right(s->word[i], vu_set1(16)) : s->word[i];
    w[i] = vf_mul(vf_sub(vf_from_code(code, (1u << bits) - 1), s->zero[i]), s->scale[i]);
    if (upper) s->word[i] = vu_right(s->word[i], vu_set1((uint32_t)bits));
  }
  if (rows == 0) UNROLL
  for (int i = 0; i < VECS; i++)
    vf_store(to + i * VF_LANES / HALF * t->k * HALF + k * HALF + i * VF_LANES % HALF, w[i]);
  UNROLL
  for (int r = 0; r < rows; r++) {
    const vf x = vf_set1(t->x[r * t->ldx + k]);
    UNROLL
    for (int i = 0; i < VECS; i++) s->chain[r][i] = vf_fma(x, w[i], s->chain[r][i]);
  }
}

/* Codes [k, end) of a block. */
INLINE void one_block(const int rows, const int bits, const wh_blocks_tile *t, tile_state *s, int64_t col,
                      int64_t k, int64_t end, float *to) {
  const int per = 32 / bits;
  const int64_t cell = k / t->block * WH_BLOCKS_COLS + col;
  UNROLL
  for (int i = 0; i < VECS; i++) {
    s->scale[i] = vf_load(t->scales + cell + i * VF_LANES);
    s->zero[i] = vf_from_zeros(t->zeros + cell + i * VF_LANES);
  }
  for (; k < end; k += per) {
    UNROLL
    for (int i = 0; i < VECS; i++)
      s->word[i] = vu_load(t->codes + k / per * WH_BLOCKS_COLS + col + i * VF_LANES);
    if (end - k >= per) {
      UNROLL
      for (int j = 0; j < per; j++) one_code(rows, bits, j % 2, t, s, k + j, to);
    } else {
      for (int64_t j = k; j < end; j += 2) {
        one_code(rows, bits, false, t, s, j, to);
        if (j + 1 < end) one_code(rows, bits, true, t, s, j + 1, to);
      }
    }
  }
}

INLINE void tile_body(const int rows, const int bits, const wh_blocks_tile *t, int64_t col) {
  tile_state s;
  vf sum[WH_BLOCKS_ROWS][VECS];
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int i = 0; i < VECS; i++) sum[r][i] = vf_zero();
  for (int64_t k0 = 0; k0 < t->k; k0 += CHUNK) {
    const int64_t chunk_end = min_i64(t->k, k0 + CHUNK);
    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int i = 0; i < VECS; i++) s.chain[r][i] = vf_zero();
    for (int64_t k = k0; k < chunk_end; k += t->block)
      one_block(rows, bits, t, &s, col, k, min_i64(chunk_end, k + t->block),
                t->y + col / HALF * t->k * HALF + col % HALF);
    UNROLL
    for (int r = 0; r < rows; r++) UNROLL
    for (int i = 0; i < VECS; i++) sum[r][i] = vf_add(sum[r][i], s.chain[r][i]);
  }
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int i = 0; i < VECS; i++) {
    const int64_t at = col + i * VF_LANES;
    vf_store_left(t->y + r * t->ldy + at, t->cols - at, sum[r][i]);
  }
}

INLINE void tile_of(const int bits, const wh_blocks_tile *t, int64_t col) {
  switch (t->rows) {
#define CASE(n)                 \
  case n:                       \
    tile_body(n, bits, t, col); \
    break;
    CASE(1)
    CASE(2)
    CASE(3)
    CASE(4)
#undef CASE
  }
}

void JOIN(rows, LEVEL)(const wh_blocks_tile *t) {
  for (int64_t col = 0; col < t->cols; col += VECS * VF_LANES) {
    if (t->bits == 4) tile_of(4, t, col);
    if (t->bits == 8) tile_of(8, t, col);
    if (t->bits == 2) tile_of(2, t, col);
  }
}

void JOIN(decode, LEVEL)(const wh_blocks_tile *t) {
  const int64_t width = ceil_div(t->cols, HALF) * HALF;
  for (int64_t col = 0; col < width; col += VECS * VF_LANES) {
    if (t->bits == 4) tile_body(0, 4, t, col);
    if (t->bits == 8) tile_body(0, 8, t, col);
    if (t->bits == 2) tile_body(0, 2, t, col);
  }
}

#endif
