/* linear_f_tiles.h - the register tiles of products with float weights, written over one vector type.
 *
 * Included once by each linear_f_<isa>.c behind the words of vec.h and
 *   TILE_ROWS, TILE_VECS   the tallest tile: rows x vectors of outputs, all in registers
 *   WIDE_ROWS, WIDE_VECS   a tile as wide as a panel, for at most WIDE_ROWS rows: reads the weights in one
 * pass TALL_ROWS              a tile for half a panel: as tall as the registers allow */
#ifndef WH_CPU_LINEAR_F_TILES_H
#define WH_CPU_LINEAR_F_TILES_H

#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/vec.h"

#define MOST_VECS (WIDE_VECS > 4 ? WIDE_VECS : 4)

/* c[rows][vecs] of the columns from `col`: lanes are outputs, each one chain over k. */
INLINE void tile_body(const int rows, const int vecs, const int64_t width, const wh_linear_f_tile *t,
                      int64_t col) {
  vf acc[TALL_ROWS][MOST_VECS], w[MOST_VECS];
  const char *x[TALL_ROWS / 3]; /* of each third row; the two that follow are in reach of an address */
  const int64_t ldx = t->ldx * (int64_t)sizeof(float);
  UNROLL
  for (int r = 0; r < rows; r += 3) x[r / 3] = (const char *)t->x + r * ldx;
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int i = 0; i < vecs; i++) acc[r][i] = vf_zero();
  for (int64_t k = 0; k < t->k; k++) {
    __builtin_prefetch(t->ahead + k * t->ahead_step);
    __builtin_prefetch(t->ahead + k * t->ahead_step + 64);
    UNROLL
    for (int i = 0; i < vecs; i++) w[i] = vf_load(t->w + k * width + col + i * VF_LANES);
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
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int i = 0; i < vecs; i++) {
    float *c = t->c + r * WH_LINEAR_F_COLS + col + i * VF_LANES;
    vf_store(c, vf_add(t->first ? vf_zero() : vf_load(c), acc[r][i]));
  }
}

/* All columns of a panel, in passes of `vecs` vectors. */
INLINE void tile_rows(const int rows, const wh_linear_f_tile *t) {
  if (t->width == WH_LINEAR_F_HALF) {
    tile_body(rows, WH_LINEAR_F_HALF / VF_LANES, WH_LINEAR_F_HALF, t, 0);
    return;
  }
  if (rows <= WIDE_ROWS) {
    tile_body(rows, WIDE_VECS, WH_LINEAR_F_COLS, t, 0);
    return;
  }
  for (int64_t col = 0; col < WH_LINEAR_F_COLS; col += TILE_VECS * VF_LANES)
    tile_body(rows, TILE_VECS, WH_LINEAR_F_COLS, t, col);
}

static void tile(const wh_linear_f_tile *t) {
  switch (t->rows) {
    case 1:
      tile_rows(1, t);
      return;
    case 2:
      tile_rows(2, t);
      return;
    case 3:
      tile_rows(3, t);
      return;
    case 4:
      tile_rows(4, t);
      return;
    case 5:
      tile_rows(5, t);
      return;
    case 6:
      tile_rows(6, t);
      return;
#if TILE_ROWS > 6
    case 7:
      tile_rows(7, t);
      return;
    case 8:
      tile_rows(8, t);
      return;
    case 9:
      tile_rows(9, t);
      return;
    case 10:
      tile_rows(10, t);
      return;
    case 11:
      tile_rows(11, t);
      return;
    case 12:
      tile_rows(12, t);
      return;
    case TALL_ROWS:
      tile_body(TALL_ROWS, 1, WH_LINEAR_F_HALF, t, 0);
      return;
#endif
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

static const wh_linear_f_isa steps = {TILE_ROWS, TALL_ROWS, tile, finish};

#endif
