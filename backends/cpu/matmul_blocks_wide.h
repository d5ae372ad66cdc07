/* matmul_blocks_wide.h - rows of q13a with a panel of few-bit weights: the template of every SIMD kernel,
 * over the words of linear_q_vec_<isa>.h, which the includer has. Lanes are outputs.
 *
 * For more than a few rows a piece's codes, less their zero points, become 16-bit numbers in L1, in the form
 * that weights of 16 bits have (linear_h_format.h), and that family's tiles run on them. Few rows meet the
 * codes as they are read. */
#ifndef WH_CPU_MATMUL_BLOCKS_WIDE_H
#define WH_CPU_MATMUL_BLOCKS_WIDE_H

#include "backends/cpu/linear_h_block.h"
#include "backends/cpu/matmul_blocks.h"

_Static_assert(WH_BLOCKS_COLS == COLS, "both kinds of panels have the same outputs");

/* Up to here decoding for these rows alone costs no more than storing what was decoded for them. */
#define FEW_ROWS 4
#define FEW_VECS \
  2 /* of columns at a time: sums, words, zero points and codes of these rows for all registers */

/* Where a piece of k lies. */
typedef struct blocks_piece {
  const uint32_t *words;
  const float *scales;
  const uint8_t *zeros;
  const int16_t *q; /* of the first row */
  const float *x_scale;
  int64_t pairs;
} blocks_piece;

ALWAYS_INLINE blocks_piece piece_at(const int bits, const wh_blocks_tile *t, int64_t k) {
  const wh_q13a_tile *x = t->wide;
  const int64_t block = k / WH_Q13A_BLOCK, cells = k / t->block * COLS;
  return (blocks_piece){.words = t->codes + k * bits / 32 * COLS,
                        .scales = t->scales + cells,
                        .zeros = t->zeros + cells,
                        .q = x->q + block * x->rows * WH_Q13A_BLOCK + k % WH_Q13A_BLOCK,
                        .x_scale = x->scale + block * x->rows,
                        .pairs = wh_blocks_piece(t->block) / 2};
}

/* A zero point in both halves of its lane. */
ALWAYS_INLINE void load_zeros(const uint8_t *zeros, vint to[PANEL_VECS]) {
  uint32_t both[COLS];
  for (int c = 0; c < COLS; c++) both[c] = zeros[c] | (uint32_t)zeros[c] << 16;
  UNROLL for (int v = 0; v < PANEL_VECS; v++) to[v] = vint_load(both + v * LANES);
}

/* Pair i of a word, less the zero point. */
ALWAYS_INLINE vint pair_of(const int bits, vint word, const int i, vint zero) {
  return vint_sub16(vint_and(vint_shr16(word, i * bits), vint_set16((1 << bits) - 1)), zero);
}

/* ---- few rows ---- */

ALWAYS_INLINE void few_of_piece(const int rows, const int bits, const int c, const blocks_piece *p,
                                const vint *zero, float *y) {
  const int per = 16 / bits;
  const int16_t *q = p->q;
  vdot16 dot[FEW_ROWS][FEW_VECS];
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < FEW_VECS; v++) dot[r][v] = vdot16_zero();
  for (int64_t i = 0; i < p->pairs; i += per, q += 2 * per) {
    const uint32_t *words = p->words + i / per * COLS + c * LANES;
    vint word[FEW_VECS], w[FEW_VECS];
    UNROLL for (int v = 0; v < FEW_VECS; v++) word[v] = vint_load(words + v * LANES);
    UNROLL for (int j = 0; j < per; j++) {
      UNROLL for (int v = 0; v < FEW_VECS; v++) w[v] = pair_of(bits, word[v], j, zero[c + v]);
      UNROLL for (int r = 0; r < rows; r++)
          add_pair(dot[r], w, NULL, FEW_VECS, q + r * WH_Q13A_BLOCK + 2 * j);
    }
  }
  UNROLL for (int v = 0; v < FEW_VECS; v++) {
    const int at = (c + v) * LANES;
    const vflt s = vflt_load(p->scales + at);
    UNROLL for (int r = 0; r < rows; r++) {
      float *to = y + r * COLS + at;
      vflt_store(to, vflt_fma(vflt_mul(s, vflt_bcast(p->x_scale + r)),
                              vflt_from_int(vint_from_dot16(dot[r][v])), vflt_load(to)));
    }
  }
}

ALWAYS_INLINE void few_rows(const int rows, const int bits, const blocks_piece *p, float *y) {
  vint zero[PANEL_VECS];
  load_zeros(p->zeros, zero);
  UNROLL for (int c = 0; c < PANEL_VECS; c += FEW_VECS) few_of_piece(rows, bits, c, p, zero, y);
}

/* ---- many ---- */

typedef struct decoded_piece {
  _Alignas(64) float scales[COLS];
  uint32_t codes[WH_Q13A_BLOCK / 2][COLS];
} decoded_piece;

ALWAYS_INLINE void decode_piece(const int bits, const blocks_piece *p, decoded_piece *to) {
  const int per = 16 / bits;
  vint zero[PANEL_VECS];
  load_zeros(p->zeros, zero);
  memcpy(to->scales, p->scales, sizeof to->scales);
  for (int64_t i = 0; i < p->pairs; i += per) {
    const uint32_t *words = p->words + i / per * COLS;
    UNROLL for (int v = 0; v < PANEL_VECS; v++) {
      const vint word = vint_load(words + v * LANES);
      UNROLL for (int j = 0; j < per; j++)
          vint_store(&to->codes[i + j][v * LANES], pair_of(bits, word, j, zero[v]));
    }
  }
}

/* Not inlined: all numbers of bits share it. */
static __attribute__((noinline)) void many_rows(int64_t rows, const decoded_piece *d, const blocks_piece *p,
                                                float *y) {
  block(rows, WH_CPU_FETCH_NOT,
        (block_at){.w = (const uint8_t *)d, .pairs = p->pairs, .q = p->q, .x_scale = p->x_scale, .y = y});
}

ALWAYS_INLINE void wide_of(const int bits, const wh_blocks_tile *t) {
  _Alignas(64) float y[WH_Q13A_TILE * COLS];
  decoded_piece d;
  const wh_linear_h_panel out = {.n_cols = t->cols, .y = t->y, .ldy = t->ldy};
  for (int64_t i = 0; i < t->rows * COLS; i += LANES) vflt_store(y + i, vflt_zero());
  for (int64_t k = 0; k < t->k; k += wh_blocks_piece(t->block)) {
    const blocks_piece p = piece_at(bits, t, k);
    switch (t->rows) {
      case 1:
        few_rows(1, bits, &p, y);
        break;
      case 2:
        few_rows(2, bits, &p, y);
        break;
      case 3:
        few_rows(3, bits, &p, y);
        break;
      case FEW_ROWS:
        few_rows(FEW_ROWS, bits, &p, y);
        break;
      default:
        decode_piece(bits, &p, &d);
        many_rows(t->rows, &d, &p, y);
    }
  }
  for (int64_t r = 0; r < t->rows; r++)
    UNROLL for (int c = 0; c < COLS; c += LANES) store_cols(&out, r, c, vflt_load(y + r * COLS + c));
}

#define WH_MATMUL_BLOCKS_WIDE(isa)                               \
  void wh_k_matmul_blocks_wide__##isa(const wh_blocks_tile *t) { \
    if (t->bits == 4) wide_of(4, t);                             \
    if (t->bits == 8) wide_of(8, t);                             \
    if (t->bits == 2) wide_of(2, t);                             \
  }

#endif
