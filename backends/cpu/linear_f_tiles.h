/* linear_f_tiles.h - the register tiles of products with float weights, written over one vector type.
 *
 * Included once by each linear_f_<isa>.c behind the words of vec.h and
 *   TILE_ROWS, TILE_VECS   the tallest tile: rows x vectors of outputs, all in registers
 *   WIDE_ROWS, WIDE_VECS   a tile as wide as a panel, for at most WIDE_ROWS rows: reads the weights in one
 * pass TALL_ROWS              a tile for half a panel: as tall as the registers allow
 *   TILE_K                 steps of k after which a tile gives way to the next rows': what it reads of a
 * panel and of the rows stays in a first-level cache */
#ifndef WH_CPU_LINEAR_F_TILES_H
#define WH_CPU_LINEAR_F_TILES_H

#include "backends/cpu/chain_registers.h"
#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/vec.h"
#include "backends/cpu/whole.h"

#define MOST_VECS (WIDE_VECS > 4 ? WIDE_VECS : 4)
_Static_assert(TALL_ROWS <= 24, "WH_END_TEMP (product_end.h) has room for so many rows");

#define EACH_SUM UNROLL for (int r = 0; r < rows; r++) UNROLL for (int i = 0; i < vecs; i++)

/* Once per tile: what is there must not take registers from the loop over k. */
#define SELDOM(condition) __builtin_expect(condition, false)

/* Rows [row, row + rows) and the columns from `col`: lanes are outputs, each one chain over k. */
INLINE void tile_body(const int rows, const int vecs, const int64_t width, const wh_linear_f_tile *t,
                      int64_t row, int64_t col, const char **ahead, int64_t step) {
  vf acc[TALL_ROWS][MOST_VECS], w[MOST_VECS];
  const char *x[TALL_ROWS / 3]; /* of each third row; the two that follow are in reach of an address */
  const char *next = *ahead;
  const float *panel = t->w + col;
  const int64_t ldx = t->ldx * (int64_t)sizeof(float), at = row * WH_LINEAR_F_COLS + col;
  float *out = t->out + row * t->ldo + col;
  UNROLL
  for (int r = 0; r < rows; r += 3) x[r / 3] = (const char *)(t->x + row * t->ldx) + r * ldx;
  if (t->begun)
    EACH_SUM acc[r][i] = vf_load(t->begun + at + r * WH_LINEAR_F_COLS + i * VF_LANES);
  else
    EACH_SUM acc[r][i] = vf_zero();
  for (int r = 0; t->scattered && r < rows; r++) {
    __builtin_prefetch(out + r * t->ldo, 1);
    if (vecs * VF_LANES > WH_LINEAR_F_HALF) __builtin_prefetch(out + r * t->ldo + WH_LINEAR_F_HALF, 1);
  }
  if (SELDOM(t->end.n_ops && t->end.reads)) {
    const float *reads = t->end.reads + (t->end.row + row) * t->end.ld_reads + t->end.col + col;
    for (int r = 0; r < rows; r++) {
      __builtin_prefetch(reads + r * t->end.ld_reads);
      if (vecs * VF_LANES > WH_LINEAR_F_HALF)
        __builtin_prefetch(reads + r * t->end.ld_reads + WH_LINEAR_F_HALF);
    }
  }
  for (int64_t k = 0; k < t->k; k++) {
    __builtin_prefetch(next);
    if (vecs * VF_LANES > WH_LINEAR_F_HALF) __builtin_prefetch(next + 64);
    next += step;
    UNROLL
    for (int i = 0; i < vecs; i++) w[i] = vf_load(panel + i * VF_LANES);
    panel += width;
    UNROLL
    for (int r = 0; r < rows; r++) {
      vf b = vf_set1(*(const float *)(const void *)(x[r / 3] + r % 3 * ldx));
      UNROLL
      for (int i = 0; i < vecs; i++) acc[r][i] = vf_fma(b, w[i], acc[r][i]);
    }
    UNROLL
    for (int r = 0; r < rows; r += 3) {
      x[r / 3] += sizeof(float);
      __asm__("" : "+r"(x[r / 3])); /* not a pointer per row: too many for the registers */
    }
  }
  *ahead = next;
  if (t->ends) {
    if (t->sums)
      EACH_SUM acc[r][i] = vf_add(vf_load(t->sums + at + r * WH_LINEAR_F_COLS + i * VF_LANES), acc[r][i]);
    else
      EACH_SUM acc[r][i] = vf_add(vf_zero(), acc[r][i]);
    if (t->bias) EACH_SUM acc[r][i] = vf_add(acc[r][i], vf_load(t->bias + col + i * VF_LANES));
    if (t->residual) {
      const float *residual = t->residual + row * t->ldr + col;
      EACH_SUM acc[r][i] = vf_add(vf_load(residual + r * t->ldr + i * VF_LANES), acc[r][i]);
    }
    if (SELDOM(t->end.n_ops > 0)) {
      const wh_chain_part part = {t->end.row + row, rows, t->end.col + col, vecs * VF_LANES};
      vf v[TALL_ROWS * MOST_VECS];
      EACH_SUM v[r * vecs + i] = acc[r][i];
      chain_in_registers(rows, vecs, true, v, t->end.ops, t->end.ops + t->end.n_ops,
                         &(chain_piece){.of = &part});
      return;
    }
  }
  EACH_SUM vf_store(out + r * t->ldo + i * VF_LANES, acc[r][i]);
}
#undef EACH_SUM

/* All columns of a panel, in passes of `vecs` vectors. `step`: bytes asked for with each k of all passes. */
INLINE void tile_rows(const int rows, const wh_linear_f_tile *t, int64_t row, const char **ahead,
                      int64_t step) {
  if (t->width == WH_LINEAR_F_HALF) {
    tile_body(rows, WH_LINEAR_F_HALF / VF_LANES, WH_LINEAR_F_HALF, t, row, 0, ahead, step);
    return;
  }
  if (rows <= WIDE_ROWS) {
    tile_body(rows, WIDE_VECS, WH_LINEAR_F_COLS, t, row, 0, ahead, step);
    return;
  }
  const int64_t passes = WH_LINEAR_F_COLS / (TILE_VECS * VF_LANES);
  for (int64_t col = 0; col < WH_LINEAR_F_COLS; col += TILE_VECS * VF_LANES)
    tile_body(rows, TILE_VECS, WH_LINEAR_F_COLS, t, row, col, ahead, step / passes);
}

#define TILE_OF(rows)                      \
  case rows:                               \
    tile_rows(rows, t, row, &ahead, step); \
    break;

static void tile(const wh_linear_f_tile *t) {
  const int64_t most = t->tall && t->width == WH_LINEAR_F_HALF ? TALL_ROWS : TILE_ROWS;
  const char *ahead = t->ahead ? t->ahead : (const char *)t->x;
  const int64_t step = t->ahead && t->k ? t->ahead_bytes / (t->k * ceil_div(t->rows, most)) : 0;
  for (int64_t row = 0, rows; row < t->rows; row += rows) {
    const int64_t left = t->rows - row;
    rows = most > TILE_ROWS && left >= most ? most : ceil_div(left, ceil_div(left, TILE_ROWS));
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
        tile_body(TALL_ROWS, 1, WH_LINEAR_F_HALF, t, row, 0, &ahead, step);
        break;
#endif
    }
  }
}

static void finish(const wh_linear_f_finish *f) {
  for (int64_t r = 0; r < f->rows; r++) {
    const float *c = f->c + r * WH_LINEAR_F_COLS, *residual = f->residual ? f->residual + r * f->ldr : NULL;
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

static const wh_linear_f_isa steps = {WIDE_ROWS, TILE_K, tile, finish};

#endif
