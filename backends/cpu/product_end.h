/* product_end.h - what follows the sums of a product of f32 (`matmul_chain`): a chain over tiles of them in
 * registers where all its steps are plain, else over a few rows at a time, in a first-level cache. */
#ifndef WH_CPU_PRODUCT_END_H
#define WH_CPU_PRODUCT_END_H

#include "backends/cpu/chain.h"
#include "backends/cpu/linear_f.h"
#include "core/base/nd.h"

#define WH_END_TILE 512 /* elements of the rows that go through the steps together */
/* Of a result that stays: the tallest tile of any level (24 rows with AVX-512), whose rows are a panel's
 * columns apart. */
#define WH_END_TEMP (24 * 32)

/* A run of plain steps, or with n_ops 0 one step that is not. */
typedef struct wh_end_part {
  size_t first_op, n_ops;
  uint32_t step;
} wh_end_part;

/* Of one worker. Input 0 of the chain is the sums. */
typedef struct wh_end_rows {
  /* set by the caller: */
  const wh_chain *chain;
  wh_team *team;
  wh_nd walk;                        /* how the other inputs move on over the rows of all batches, */
  const float *x[WH_FORMULA_INPUTS]; /* from where, */
  int64_t step[WH_FORMULA_INPUTS];   /* and by 0 or 1 along a row */
  float *y;                          /* of row `first` of all, before which none is asked for */
  int64_t ld_y, first;

  int64_t width, height;                                     /* of a tile */
  int64_t from, to;                                          /* rows that values and ops are for */
  wh_chain_input values[WH_FORMULA_INPUTS + WH_CHAIN_STEPS]; /* rows count from `from` */
  size_t n_ops, n_parts;
  wh_chain_op ops[WH_CHAIN_OPS];
  uint64_t of_sums;  /* a bit for each op that may load sums */
  bool in_registers; /* the ops behind the first, a load of the sums, are all there is */
  wh_end_part parts[WH_CHAIN_STEPS];
  _Alignas(64) float temps[WH_CHAIN_STEPS][WH_END_TEMP];
} wh_end_rows;

void wh_end_rows_begin(wh_end_rows *e, wh_product_end *out);

#endif
