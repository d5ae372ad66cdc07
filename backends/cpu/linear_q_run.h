/* linear_q_run.h - what one kernel call computes, and how a product is cut into such calls. */
#ifndef WH_CPU_LINEAR_Q_RUN_H
#define WH_CPU_LINEAR_Q_RUN_H

#include "backends/cpu/linear_q.h"

/* One panel of outputs times rows [row, row + n_rows) of one activation tile. Pointers to outputs are at the
 * panel's first column and the call's first row. */
typedef struct wh_linear_q_panel {
  const uint8_t *w;
  size_t row_bytes; /* of a row of the file, for the reference kernel */
  int64_t n_blocks; /* K / 32 */
  int64_t n_cols;   /* 1..WH_LINEAR_Q_COLS */
  const wh_q8a_tile *x;
  int64_t row, n_rows;
  float *y;
  int64_t ldy;
  const float *bias, *residual; /* or NULL */
  int64_t ldr;
  wh_cpu_fetch fetch; /* as in wh_linear_q_args */
  int together;       /* panels of the call: p[0] to p[together - 1] */
} wh_linear_q_panel;

typedef void (*wh_linear_q_panel_fn)(const wh_linear_q_panel *p);

/* This worker's share of the product. `together`: how many panels a call takes for this product's rows; it is
 * given one or as many, of all rows, which make no more than one tile. */
void wh_linear_q_run(const wh_linear_q_args *args, const wh_worker *worker, wh_linear_q_panel_fn panel,
                     int together);

/* The same in calls of one panel and rows [row, row + n_rows) of the whole product, up to
 * WH_LINEAR_Q_AMX_CALL_ROWS from a multiple of 16 on (x is not set): of activations in the form of
 * amx/linear_q_rows.h, in args->scratch.
 */
typedef void (*wh_linear_q_rows_fn)(const wh_linear_q_panel *p, const void *scratch);
void wh_linear_q_run_rows(const wh_linear_q_args *args, const wh_worker *worker, wh_linear_q_rows_fn panel);

#endif
