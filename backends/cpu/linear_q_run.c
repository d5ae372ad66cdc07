/* linear_q_run.c - cuts a product into panel calls (linear_cut.h) and hands them to the workers. */
#include "backends/cpu/linear_q_run.h"

#include "backends/cpu/linear_cut.h"
#include "backends/cpu/linear_q_format.h"

/* Panel `index` times rows [row, row_end), tile by tile. */
static void run_panel(const wh_linear_q_args *a, int64_t index, int64_t row, int64_t row_end,
                      wh_linear_q_panel_fn panel) {
  const wh_linear_layout *l = a->layout;
  int64_t col = index * WH_LINEAR_Q_COLS, left = l->n - col;
  wh_linear_q_panel p = {.w = wh_linear_panel_at(a, index),
                         .row_bytes = l->panel_bytes / WH_LINEAR_Q_COLS,
                         .n_blocks = l->k / WH_LINEAR_Q_BLOCK,
                         .n_cols = left < WH_LINEAR_Q_COLS ? left : WH_LINEAR_Q_COLS,
                         .ldy = a->ldy,
                         .bias = a->bias ? a->bias + col : NULL,
                         .ldr = a->ldr,
                         .fetch = a->fetch};
  while (row < row_end) {
    wh_q8a_tile x = wh_q8a_tile_at(a->x, a->m, l->k, row / WH_Q8A_TILE);
    p.x = &x;
    p.row = row % WH_Q8A_TILE;
    int64_t tile_left = x.rows - p.row;
    p.n_rows = row_end - row < tile_left ? row_end - row : tile_left;
    p.y = a->y + row * a->ldy + col;
    p.residual = a->residual ? a->residual + row * a->ldr + col : NULL;
    panel(&p);
    row += p.n_rows;
  }
}

void wh_linear_q_run(const wh_linear_q_args *a, const wh_worker *worker, wh_linear_q_panel_fn panel) {
  if (a->m <= WH_LINEAR_DECODE_ROWS) {
    int64_t begin, end;
    wh_worker_range(worker, a->layout->n_panels, &begin, &end);
    for (int64_t i = begin; i < end; i++) run_panel(a, i, 0, a->m, panel);
    return;
  }
  const wh_linear_cut c = wh_linear_choose_cut(a->m, a->layout->n_panels, WH_Q8A_TILE,
                                               wh_q8a_tile_bytes(WH_Q8A_TILE, a->layout->k), worker->count);
  int64_t next = 0;
  for (;;) {
    int64_t task = worker->count == 1 ? next++ : wh_team_next(worker, a->step);
    if (task >= c.n_tasks) return;
    int64_t row = task / a->layout->n_panels * c.rows, row_end = row + c.rows;
    run_panel(a, task % a->layout->n_panels, row, row_end < a->m ? row_end : a->m, panel);
  }
}
