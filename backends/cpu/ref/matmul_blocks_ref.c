/* ref/matmul_blocks_ref.c - docs/NUMERICS.md, "matmul_blocks", in plain C. */
#include <math.h>

#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/matmul_blocks.h"
#include "backends/cpu/whole.h"

#define CHUNK 512
#define HALF WH_LINEAR_F_HALF

static int64_t cell_at(const wh_blocks_tile *t, int64_t k, int64_t c) {
  return k / t->block * WH_BLOCKS_COLS + c;
}

/* A code less its zero point. */
static int32_t code_at(const wh_blocks_tile *t, int64_t k, int64_t c) {
  const int64_t per = 32 / t->bits;
  const uint32_t word = t->codes[k / per * WH_BLOCKS_COLS + c], mask = (1u << t->bits) - 1;
  return (int32_t)(word >> wh_blocks_shift(k % per, t->bits) & mask) - t->zeros[cell_at(t, k, c)];
}

static float weight_at(const wh_blocks_tile *t, int64_t k, int64_t c) {
  return (float)code_at(t, k, c) * t->scales[cell_at(t, k, c)];
}

void wh_k_matmul_blocks_rows__ref(const wh_blocks_tile *t) {
  for (int64_t r = 0; r < t->rows; r++)
    for (int64_t c = 0; c < t->cols; c++) {
      float sum = 0;
      for (int64_t k0 = 0; k0 < t->k; k0 += CHUNK) {
        float chain = 0;
        for (int64_t k = k0; k < min_i64(t->k, k0 + CHUNK); k++)
          chain = fmaf(t->x[r * t->ldx + k], weight_at(t, k, c), chain);
        sum += chain;
      }
      t->y[r * t->ldy + c] = sum;
    }
}

void wh_k_matmul_blocks_decode__ref(const wh_blocks_tile *t) {
  for (int64_t k = 0; k < t->k; k++)
    for (int64_t c = 0; c < WH_BLOCKS_COLS; c++)
      t->y[c / HALF * t->k * HALF + k * HALF + c % HALF] = weight_at(t, k, c);
}

void wh_k_matmul_blocks_wide__ref(const wh_blocks_tile *t) {
  const int64_t piece = wh_blocks_piece(t->block);
  for (int64_t r = 0; r < t->rows; r++)
    for (int64_t c = 0; c < t->cols; c++) {
      float y = 0;
      for (int64_t from = 0; from < t->k; from += piece) {
        const int64_t at = from / WH_Q13A_BLOCK * t->wide->rows + r;
        const int16_t *q = t->wide->q + at * WH_Q13A_BLOCK;
        int32_t dot = 0;
        for (int64_t k = from; k < min_i64(t->k, from + piece); k++)
          dot += q[k % WH_Q13A_BLOCK] * code_at(t, k, c);
        y = fmaf(t->wide->scale[at] * t->scales[cell_at(t, from, c)], (float)dot, y);
      }
      t->y[r * t->ldy + c] = y;
    }
}
