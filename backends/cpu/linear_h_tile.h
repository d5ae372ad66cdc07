/* linear_h_tile.h - one panel of 32 outputs times up to 64 rows of 16-bit weights: the template of every SIMD
 * kernel. A kernel file includes a vector header (linear_q_vec_<isa>.h), then this, then instantiates
 * WH_LINEAR_H_TILE. */
#ifndef WH_CPU_LINEAR_H_TILE_H
#define WH_CPU_LINEAR_H_TILE_H

#include "backends/cpu/linear_h_block.h"

/* Up to here rows are read faster when they are left to a processor that does that well
 * (docs/benchmarks/kernels.md). */
#define UNASKED_ROWS_MAX 4

/* Panels that a call of so many rows takes, as registers allow. */
#if LANES == 16
#define PANELS_TOGETHER(rows) ((rows) == 1 ? 4 : (rows) <= 4 ? 2 : 1)
#else
#define PANELS_TOGETHER(rows) 1
#endif

/* Few rows of the panels p[0] ..., whose weights are read side by side. */
ALWAYS_INLINE void tile_together(const wh_linear_h_panel *p, const int rows) {
  const int panels = PANELS_TOGETHER(rows);
  const wh_q13a_tile *t = p->x;
  _Alignas(64) float y[WH_LINEAR_TOGETHER_MAX * 4 * COLS];
  block_at b = {.w = p->w, .apart = p[1].w - p[0].w, .q = t->q, .x_scale = t->scale, .y = y};
  for (int i = 0; i < panels * rows * COLS; i += LANES) vflt_store(y + i, vflt_zero());
  for (int64_t k = 0; k < p->k; k += WH_Q13A_BLOCK) {
    b.pairs = wh_linear_h_pairs(p->k, k);
    block_cols(rows, panels, PANEL_VECS, 0, WH_CPU_FETCH, b);
    b.w += WH_LINEAR_H_SCALE_BYTES + b.pairs * WH_LINEAR_H_PAIR_BYTES;
    b.q += t->rows * WH_Q13A_BLOCK;
    b.x_scale += t->rows;
  }
  for (int s = 0; s < panels; s++)
    for (int r = 0; r < rows; r++)
      UNROLL for (int c = 0; c < COLS; c += LANES)
          store_cols(p + s, r, c, vflt_load(y + (s * rows + r) * COLS + c));
}

ALWAYS_INLINE void tile(const wh_linear_h_panel *p, const wh_cpu_fetch how) {
  _Alignas(64) float y[WH_Q13A_TILE * COLS];
  const wh_q13a_tile *t = p->x;
  block_at b = {.w = p->w, .q = t->q + p->row * WH_Q13A_BLOCK, .x_scale = t->scale + p->row, .y = y};
  for (int64_t i = 0; i < p->n_rows * COLS; i += LANES) vflt_store(y + i, vflt_zero());
  for (int64_t k = 0; k < p->k; k += WH_Q13A_BLOCK) {
    b.pairs = wh_linear_h_pairs(p->k, k);
    block(p->n_rows, how, b);
    b.w += WH_LINEAR_H_SCALE_BYTES + b.pairs * WH_LINEAR_H_PAIR_BYTES;
    b.q += t->rows * WH_Q13A_BLOCK;
    b.x_scale += t->rows;
  }
  for (int64_t r = 0; r < p->n_rows; r++)
    UNROLL for (int c = 0; c < COLS; c += LANES) store_cols(p, r, c, vflt_load(y + r * COLS + c));
}

/* Panel calls have a name: the AMX level leaves some to another. */
#define WH_LINEAR_H_TILE(isa)                                                        \
  void wh_p_linear_h__##isa(const wh_linear_h_panel *p);                             \
  void wh_p_linear_h__##isa(const wh_linear_h_panel *p) {                            \
    if (PANELS_TOGETHER(1) > 1 && p->together > 1) {                                 \
      if (p->n_rows == 1)                                                            \
        tile_together(p, 1);                                                         \
      else if (p->n_rows == 2)                                                       \
        tile_together(p, 2);                                                         \
      else if (p->n_rows == 3)                                                       \
        tile_together(p, 3);                                                         \
      else                                                                           \
        tile_together(p, 4);                                                         \
    } else if (p->fetch == WH_CPU_FETCH_PAST_CACHES)                                 \
      tile(p, WH_CPU_FETCH_PAST_CACHES);                                             \
    else if (p->fetch == WH_CPU_FETCH_NOT && p->n_rows <= UNASKED_ROWS_MAX)          \
      tile(p, WH_CPU_FETCH_NOT);                                                     \
    else                                                                             \
      tile(p, WH_CPU_FETCH);                                                         \
  }                                                                                  \
  void wh_k_linear_h__##isa(const wh_linear_q_args *args, const wh_worker *worker) { \
    wh_linear_h_run(args, worker, wh_p_linear_h__##isa, PANELS_TOGETHER(args->m));   \
  }

#endif
