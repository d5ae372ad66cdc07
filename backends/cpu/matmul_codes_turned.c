/* matmul_codes_turned.c - products of codes with constant weights as convolutions: rows of a are places,
 * columns of b are outputs. So weights, which have few rests (conv_codes.h), are what stays for a vector. */
#include <string.h>

#include "backends/cpu/matmul_codes.h"
#include "backends/cpu/whole.h"

#define ROWS 48 /* of a that are copied at a time, whole tiles */
#define PLACES WH_CODES_PLACES
#define COLS WH_CODES_TURNED
#define OUTPUTS WH_CONV_CODES_ROWS

typedef struct job {
  const wh_codes_isa *isa;
  const wh_matmul_part *p;
  const uint32_t *panels;
  int64_t panel_size;
  int32_t a_shift, b_shift; /* what makes codes unsigned, and signed */
  bool a_signed, b_signed;
  uint32_t *words;
  wh_codes_end *chain; /* or NULL */
} job;

static int32_t zero_of(const void *zeros, int64_t i, bool is_signed) {
  return zeros ? wh_code_at(zeros, i, is_signed) : 0;
}

static const uint32_t *panel_of(const job *j, int64_t col) {
  return j->panels + col / OUTPUTS * j->panel_size;
}

/* Sums of columns [col, col + cols) and of a tile of places, [48][16]. */
static void sum_tile(const job *j, const uint32_t *x, int64_t places, int64_t col, int64_t cols,
                     uint32_t *sums) {
  static const uint32_t start[OUTPUTS] = {0};
  const int64_t words = ceil_div(j->p->k, 4);
  for (int64_t k = 0; k < words; k += WH_CONV_CODES_BLOCK)
    for (int64_t i = 0; i < cols; i += OUTPUTS) {
      const int64_t n = min_i64(WH_CONV_CODES_BLOCK, words - k);
      const uint32_t *w = panel_of(j, col + i) + wh_conv_codes_block_at(WH_CONV_CODES_COLUMNS, k);
      const wh_conv_codes_tile t = {.rows = OUTPUTS,
                                    .words = n,
                                    .half = 2 * places <= PLACES,
                                    .start = k ? NULL : start,
                                    .w = w,
                                    .x = x + k * PLACES,
                                    .rests = w + n * OUTPUTS,
                                    .c = sums + i * PLACES,
                                    .ldc = PLACES};
      j->isa->turned(&t);
    }
}

/* Rows [row, row + rows), at most ROWS, of columns [begin, end). */
static void run_rows(const job *j, int64_t row, int64_t rows, int64_t begin, int64_t end) {
  const wh_matmul_part *p = j->p;
  const int64_t words = ceil_div(p->k, 4);
  _Alignas(64) uint32_t sums[COLS * PLACES];
  _Alignas(64) int32_t y[PLACES * COLS];
  uint32_t row_zeros[ROWS] = {0}, rests[ROWS] = {0}, column_zeros[COLS], column_sums[COLS];
  wh_matmul_codes_copy(4, PLACES, j->a_signed, p, row, rows, j->words, rests);
  for (int64_t r = 0; r < rows; r++) {
    row_zeros[r] = (uint32_t)(zero_of(p->a_zero, (row + r) * p->a_zero_step, j->a_signed) + j->a_shift);
    rests[r] = (uint32_t)p->k * row_zeros[r] - rests[r];
  }
  for (int64_t col = begin; col < end; col += COLS) {
    const int64_t cols = min_i64(COLS, end - col);
    memset(column_sums, 0, sizeof column_sums);
    memset(column_zeros, 0, sizeof column_zeros);
    for (int64_t i = 0; i < cols; i += OUTPUTS)
      memcpy(column_sums + i, panel_of(j, col + i), OUTPUTS * sizeof *column_sums);
    for (int64_t i = 0; i < cols; i++)
      column_zeros[i] = (uint32_t)(zero_of(p->b_zero, (col + i) * p->b_zero_step, j->b_signed) + j->b_shift);
    for (int64_t r = 0; r < rows; r += PLACES) {
      const int64_t places = min_i64(PLACES, rows - r);
      sum_tile(j, j->words + r * words, places, col, cols, sums);
      j->isa->turn(&(wh_codes_turn){sums, row_zeros + r, rests + r, column_zeros, column_sums, y});
      if (j->chain)
        wh_codes_end_run(j->chain, y, row + r, places, col, cols);
      else
        for (int64_t i = 0; i < places; i++)
          memcpy((int32_t *)p->y + (row + r + i) * p->ldy + col, y + i * COLS, (size_t)cols * sizeof *y);
    }
  }
}

/* Tasks are some columns of ROWS rows. */
void wh_matmul_codes_run_turned(const wh_codes_isa *isa, const wh_matmul_part *p, bool a_signed,
                                bool b_signed, const void *panels, uint32_t *words, wh_codes_end *chain,
                                const wh_worker *worker) {
  const job j = {.isa = isa,
                 .p = p,
                 .panels = panels,
                 .panel_size = wh_conv_codes_panel_size(WH_CONV_CODES_COLUMNS, ceil_div(p->k, 4)),
                 .a_shift = a_signed ? 128 : 0,
                 .b_shift = b_signed ? 0 : -128,
                 .a_signed = a_signed,
                 .b_signed = b_signed,
                 .words = words,
                 .chain = chain};
  const int64_t parts = ceil_div(p->n, COLS), down = ceil_div(p->m, ROWS);
  int64_t across = 1, begin, end;
  if (down < 4 * worker->count) across = min_i64(worker->count, parts);
  wh_worker_range(worker, down * across, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const int64_t row = i % down * ROWS, piece = i / down; /* with the same panels one after the other */
    run_rows(&j, row, min_i64(ROWS, p->m - row), parts * piece / across * COLS,
             min_i64(parts * (piece + 1) / across * COLS, p->n));
  }
}
