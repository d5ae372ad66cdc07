/* linear_f_tiles.h - the register tiles of products with float weights, written over one vector type.
 *
 * Included once by each linear_f_<isa>.c behind the words of vec.h and
 *   ASKS_FOR_ALL: whether a tile asks for all lines of the weights and rows that come next and of where its
 * results go; else for a line of each half's weights in a round of its loop, which are all from 4 strips on;
 *   TILE_ROWS: the tallest tile of half a panel, or where WIDE_ROWS is as large of a whole one, all in
 * registers; WIDE_ROWS: up to here a tile is as wide as a panel; TALL_ROWS: a tile for a last half, as tall
 * as the registers allow.
 *
 * A few rows go through all columns before the next ones do: they stay in a first-level cache, and a half
 * panel is read in order, which a second-level cache keeps up with. */
#ifndef WH_CPU_LINEAR_F_TILES_H
#define WH_CPU_LINEAR_F_TILES_H

#include "backends/cpu/chain_registers.h"
#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/vec.h"
#include "backends/cpu/whole.h"

#define HALF_VECS (WH_LINEAR_F_HALF / VF_LANES)
#define PANEL_VECS (WH_LINEAR_F_COLS / VF_LANES)
#define LINE 64 /* bytes */
/* of k in one round of a tile's loop, that has a tile's registers of multiply-adds for each */
#define K_AT_ONCE (VF_LANES == 8 ? 8 : 4)
_Static_assert(TALL_ROWS <= 24, "WH_END_TEMP (product_end.h) has room for so many rows");

#define EACH_SUM UNROLL for (int r = 0; r < rows; r++) UNROLL for (int i = 0; i < vecs; i++)

/* Once per tile: what is there must not take registers from the loop over k. */
#define SELDOM(condition) __builtin_expect(condition, false)

/* What a strip of rows asks for meanwhile: its part of the weights that come next, and the rows behind it. */
typedef struct asking {
  const char *w, *x;
  int64_t half, w_step, x_step; /* bytes; from half to half of w, and with each k of each half */
} asking;

/* Rows [row, row + rows) and the columns from `half` on: lanes are outputs, each one chain over k. */
INLINE void tile_body(const int rows, const int vecs, const wh_linear_f_tile *t, int64_t row, int64_t half,
                      const asking *a) {
  vf acc[TALL_ROWS][PANEL_VECS], w[PANEL_VECS];
  const char *x[TALL_ROWS / 3]; /* of each third row; the two that follow are in reach of an address */
  int64_t ldx = t->ldx * (int64_t)sizeof(float);
  const int64_t col = half * WH_LINEAR_F_HALF, to_half = t->half;
  const int64_t w_step = K_AT_ONCE * a->w_step, x_step = K_AT_ONCE * a->x_step * (vecs / HALF_VECS);
  const char *next_w = a->w + half * a->half, *next_x = a->x + half * t->k * a->x_step;
  const float *panel = t->w + half * to_half;
  float *out = t->out + row * t->ldo + col;
  UNROLL
  for (int r = 0; r < rows; r += 3) x[r / 3] = (const char *)(t->x + row * t->ldx) + r * ldx;
  EACH_SUM acc[r][i] = vf_zero();
  for (int r = 0; ASKS_FOR_ALL && t->scattered && r < rows; r++) {
    __builtin_prefetch(out + r * t->ldo, 1);
    if (vecs > HALF_VECS) __builtin_prefetch(out + r * t->ldo + WH_LINEAR_F_HALF, 1);
  }
  if (SELDOM(t->end.n_ops && t->end.reads)) {
    const float *reads = t->end.reads + (t->end.row + row) * t->end.ld_reads + t->end.col + col;
    for (int r = 0; r < rows; r++) {
      __builtin_prefetch(reads + r * t->end.ld_reads);
      if (vecs > HALF_VECS) __builtin_prefetch(reads + r * t->end.ld_reads + WH_LINEAR_F_HALF);
    }
  }
#define STEP(j) /* the k that is j behind */                                                             \
  {                                                                                                      \
    UNROLL                                                                                               \
    for (int i = 0; i < vecs; i++)                                                                       \
      w[i] = vf_load(panel + i / HALF_VECS * to_half + (j)*WH_LINEAR_F_HALF + i % HALF_VECS * VF_LANES); \
    UNROLL                                                                                               \
    for (int r = 0; r < rows; r++) {                                                                     \
      const vf b = vf_set1(((const float *)(const void *)(x[r / 3] + r % 3 * ldx))[j]);                  \
      if (vecs == 1) { /* b is an operand in memory */                                                   \
        acc[r][0] = vf_fma(b, w[0], acc[r][0]);                                                          \
      } else {                                                                                           \
        UNROLL                                                                                           \
        for (int i = 0; i < vecs; i++) vf_accumulate(acc[r][i], b, w[i]);                                \
      }                                                                                                  \
    }                                                                                                    \
    KEEP_APART(ldx);                                                                                     \
  }
#define ADVANCE(n)                    \
  panel += (n)*WH_LINEAR_F_HALF;      \
  UNROLL                              \
  for (int r = 0; r < rows; r += 3) { \
    x[r / 3] += (n) * sizeof(float);  \
    KEEP_APART(x[r / 3]);             \
  }
  for (int64_t n = t->k / K_AT_ONCE; n > 0; n--) {
    __builtin_prefetch(next_w);
    if (vecs > HALF_VECS) __builtin_prefetch(next_w + to_half * (int64_t)sizeof *panel);
    for (int64_t i = LINE; ASKS_FOR_ALL && SELDOM(i < w_step); i += LINE) { /* less than K_AT_ONCE strips */
      __builtin_prefetch(next_w + i);
      if (vecs > HALF_VECS) __builtin_prefetch(next_w + to_half * (int64_t)sizeof *panel + i);
    }
    next_w += w_step;
    if (ASKS_FOR_ALL) {
      __builtin_prefetch(next_x);
      for (int64_t i = LINE; SELDOM(i < x_step); i += LINE) __builtin_prefetch(next_x + i);
      next_x += x_step;
    }
    UNROLL
    for (int j = 0; j < K_AT_ONCE; j++) STEP(j)
    ADVANCE(K_AT_ONCE)
  }
  for (int64_t n = t->k % K_AT_ONCE; n > 0; n--) {
    STEP(0)
    ADVANCE(1)
  }
#undef STEP
#undef ADVANCE
  if (t->sums) {
    const float *sums = t->sums + row * t->ld_sums + col;
    EACH_SUM acc[r][i] = vf_add(vf_load(sums + r * t->ld_sums + i * VF_LANES), acc[r][i]);
  } else {
    EACH_SUM acc[r][i] = vf_add(vf_zero(), acc[r][i]);
  }
  if (t->bias) EACH_SUM acc[r][i] = vf_add(acc[r][i], vf_load(t->bias + col + i * VF_LANES));
  if (t->residual) {
    const float *residual = t->residual + row * t->ldr + col;
    EACH_SUM acc[r][i] = vf_add(vf_load(residual + r * t->ldr + i * VF_LANES), acc[r][i]);
  }
  if (SELDOM(t->end.n_ops > 0)) {
    const wh_chain_part part = {t->end.row + row, rows, t->end.col + col, vecs * VF_LANES};
    vf v[TALL_ROWS * PANEL_VECS];
    EACH_SUM v[r * vecs + i] = acc[r][i];
    chain_in_registers(rows, vecs, true, v, t->end.ops, t->end.ops + t->end.n_ops,
                       &(chain_piece){.of = &part});
    return;
  }
  EACH_SUM vf_store(out + r * t->ldo + i * VF_LANES, acc[r][i]);
}
#undef EACH_SUM

/* Columns of halves [begin, end). */
INLINE void tile_rows(const int rows, const wh_linear_f_tile *t, int64_t row, int64_t begin, int64_t end,
                      const asking *a) {
  int64_t half = begin;
  if (rows <= WIDE_ROWS)
    for (; half + 2 <= end; half += 2) tile_body(rows, PANEL_VECS, t, row, half, a);
  for (; half < end; half++) tile_body(rows, HALF_VECS, t, row, half, a);
}

#define TILE_OF(rows)                        \
  case rows:                                 \
    tile_rows(rows, t, row, begin, end, &a); \
    break;

static void tile_halves(const wh_linear_f_tile *t, int64_t begin, int64_t end, const int64_t most) {
  const int64_t n_strips = ceil_div(t->rows, most), e = (int64_t)sizeof(float);
  const bool dense = t->ldx - t->k < WH_LINEAR_F_HALF; /* rows follow each other */
  asking a = {.w = (const char *)t->x};
  if (t->ahead) a = (asking){.w = t->ahead, .half = t->half * e, .w_step = WH_LINEAR_F_HALF * e / n_strips};
  for (int64_t row = 0, rows; row < t->rows; row += rows, a.w += t->k * a.w_step) {
    const int64_t left = t->rows - row;
    rows = most > TILE_ROWS && left >= most ? most : ceil_div(left, ceil_div(left, TILE_ROWS));
    a.x = (const char *)(t->x + (left > rows ? row + rows : 0) * t->ldx);
    a.x_step = dense ? rows * e / t->halves : 0;
    switch (rows) {
      TILE_OF(1)
      TILE_OF(2)
      TILE_OF(3)
      TILE_OF(4)
      TILE_OF(5)
      TILE_OF(6)
#if TILE_ROWS > 6
      TILE_OF(7)
      TILE_OF(8)
      TILE_OF(9)
      TILE_OF(10)
      TILE_OF(11)
      TILE_OF(12)
      case TALL_ROWS:
        tile_body(TALL_ROWS, HALF_VECS, t, row, begin, &a);
        break;
#endif
    }
  }
}

static void tile(const wh_linear_f_tile *t) {
  const bool apart = TALL_ROWS > TILE_ROWS && t->tall && t->halves % 2; /* the last half, in tall tiles */
  if (t->halves > apart) tile_halves(t, 0, t->halves - apart, TILE_ROWS);
  if (apart) tile_halves(t, t->halves - 1, t->halves, TALL_ROWS);
}

static void finish(const wh_linear_f_finish *f) {
  for (int64_t r = 0; r < f->rows; r++) {
    const float *c = f->c + r * f->ldc, *residual = f->residual ? f->residual + r * f->ldr : NULL;
    float *y = f->y + r * f->ldy;
    int64_t i = 0;
    for (; i + VF_LANES <= f->cols; i += VF_LANES) {
      vf v = vf_load(c + i);
      if (f->bias) v = vf_add(v, vf_load(f->bias + i));
      if (residual) v = vf_add(vf_load(residual + i), v);
      vf_store(y + i, v);
    }
    if (i < f->cols) {
      const vf_mask rest = vf_first(f->cols - i);
      vf v = vf_load(c + i);
      if (f->bias) v = vf_add(v, vf_load_some(rest, f->bias + i));
      if (residual) v = vf_add(vf_load_some(rest, residual + i), v);
      vf_store_first(f->cols - i, y + i, v);
    }
  }
}

static const wh_linear_f_isa steps = {TILE_ROWS, WIDE_ROWS, tile, finish};

#endif
