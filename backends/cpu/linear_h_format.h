/* linear_h_format.h - the panels of 16-bit weights, one kernel call, and the kernels' prototypes.
 *
 * Panel (layout id 2): 32 outputs (columns). K runs in blocks of 128, the last perhaps shorter, and a block's
 * bytes lie in the order in which a kernel touches them, without gaps:
 *
 *   scales   [32] fp32
 *   codes    [pairs][32][2] int16, two of k next to each other; pairs = 64, in a short block half its length
 *            rounded up to a multiple of 4, with zeros in what is over
 *
 * Columns past n hold zeros. */
#ifndef WH_CPU_LINEAR_H_FORMAT_H
#define WH_CPU_LINEAR_H_FORMAT_H

#include "backends/cpu/linear_h.h"

#define WH_LINEAR_H_FILE 0 /* layout ids; 1 was the panels of unchanged values */
#define WH_LINEAR_H_PANELS 2
#define WH_LINEAR_H_COLS 32
#define WH_LINEAR_H_SCALE_BYTES (WH_LINEAR_H_COLS * 4)
#define WH_LINEAR_H_PAIR_BYTES (WH_LINEAR_H_COLS * 4)
#define WH_LINEAR_H_STEP 4 /* pairs that a kernel takes at a time */

/* Pairs of the block at k (a multiple of 128). */
static inline int64_t wh_linear_h_pairs(int64_t n_k, int64_t k) {
  const int64_t left = n_k - k, span = 2 * WH_LINEAR_H_STEP;
  return left >= WH_Q13A_BLOCK ? WH_Q13A_BLOCK / 2 : (left + span - 1) / span * WH_LINEAR_H_STEP;
}

/* One panel of outputs times rows [row, row + n_rows) of one activation tile. Pointers to outputs are at the
 * panel's first column and the call's first row. */
typedef struct wh_linear_h_panel {
  wh_dtype dtype;
  const uint8_t *w;
  int64_t k, n_cols; /* 1..WH_LINEAR_H_COLS */
  const wh_q13a_tile *x;
  const int8_t *limbs; /* the tile's codes split into limbs, at the level of AMX */
  int64_t row, n_rows;
  float *y;
  int64_t ldy;
  const float *bias, *residual; /* or NULL */
  int64_t ldr;
  wh_cpu_fetch fetch; /* as in wh_linear_q_args */
  int together;       /* panels of the call: p[0] to p[together - 1] */
} wh_linear_h_panel;

typedef void (*wh_linear_h_panel_fn)(const wh_linear_h_panel *p);

/* This worker's share of the product. `together`: as in wh_linear_q_run, panels whose weights lie at even
 * distances. */
void wh_linear_h_run(const wh_linear_q_args *args, const wh_worker *worker, wh_linear_h_panel_fn panel,
                     int together);

#define WH_LINEAR_H_LIMB_BYTES (2 * WH_Q13A_BLOCK) /* of a row and block */

#define WH_LINEAR_H_KERNEL(isa, needs) \
  void wh_k_linear_h__##isa(const wh_linear_q_args *args, const wh_worker *worker);
#include "backends/cpu/kernels_linear_h.def"
#undef WH_LINEAR_H_KERNEL

#endif
