/* linear_h_run.c - cuts a product with 16-bit weights into panel calls (linear_cut.h) and hands them to the
 * workers. */
#include "backends/cpu/linear_cut.h"
#include "backends/cpu/linear_h_format.h"

/* Panel `index` of the weights, for rows from `row` on. */
static wh_linear_h_panel panel_at(const wh_linear_q_args *a, int64_t index, int64_t row) {
  const wh_linear_layout *l = a->layout;
  const int64_t col = index * WH_LINEAR_H_COLS;
  return (wh_linear_h_panel){.dtype = l->dtype,
                             .w = wh_linear_panel_at(a, index),
                             .k = l->k,
                             .n_cols = min_i64(l->n - col, WH_LINEAR_H_COLS),
                             .y = a->y + row * a->ldy + col,
                             .ldy = a->ldy,
                             .bias = a->bias ? a->bias + col : NULL,
                             .residual = a->residual ? a->residual + row * a->ldr + col : NULL,
                             .ldr = a->ldr,
                             .fetch = a->fetch,
                             .together = 1};
}

/* Panel `index` times rows [row, row_end), tile by tile. */
static void run_panel(const wh_linear_q_args *a, int64_t index, int64_t row, int64_t row_end,
                      wh_linear_h_panel_fn panel) {
  const wh_linear_layout *l = a->layout;
  wh_linear_h_panel p = panel_at(a, index, row);
  while (row < row_end) {
    const wh_q13a_tile x = wh_q13a_tile_at(a->x, a->m, l->k, row / WH_Q13A_TILE);
    p.x = &x;
    if (a->scratch) /* laid out as whole tiles of codes are */
      p.limbs = (const int8_t *)a->scratch +
                (size_t)(row / WH_Q13A_TILE * WH_Q13A_TILE) * wh_q13a_blocks(l->k) * WH_LINEAR_H_LIMB_BYTES;
    p.row = row % WH_Q13A_TILE;
    p.n_rows = min_i64(row_end - row, x.rows - p.row);
    panel(&p);
    row += p.n_rows;
    p.y += p.n_rows * a->ldy;
    if (p.residual) p.residual += p.n_rows * a->ldr;
  }
}

/* All rows of panels [begin, end), as linear_q_run.c has it. */
static void run_streams(const wh_linear_q_args *a, int64_t begin, int64_t end, wh_linear_h_panel_fn panel,
                        int together) {
  if (a->m == 0) return;
  const wh_q13a_tile x = wh_q13a_tile_at(a->x, a->m, a->layout->k, 0);
  const int64_t part = (end - begin) / together;
  for (int64_t i = begin; i < begin + part; i++) {
    wh_linear_h_panel p[WH_LINEAR_TOGETHER_MAX];
    for (int s = 0; s < together; s++) {
      p[s] = panel_at(a, i + s * part, 0);
      p[s].x = &x;
      p[s].n_rows = a->m;
      p[s].together = together;
    }
    panel(p);
  }
  for (int64_t i = begin + part * together; i < end; i++) run_panel(a, i, 0, a->m, panel);
}

void wh_linear_h_run(const wh_linear_q_args *a, const wh_worker *worker, wh_linear_h_panel_fn panel,
                     int together) {
  const int64_t n_panels = a->layout->n_panels;
  if (a->panel) {
    for (int64_t i; wh_linear_next_to_pack(a, worker, &i);) run_panel(a, i, 0, a->m, panel);
    return;
  }
  if (a->m <= WH_LINEAR_DECODE_ROWS) {
    int64_t begin, end;
    wh_worker_range(worker, n_panels, &begin, &end);
    run_streams(a, begin, end, panel, a->fetch == WH_CPU_FETCH_NEAR ? together : 1);
    return;
  }
  const wh_linear_cut c = wh_linear_choose_cut(a->m, n_panels, WH_Q13A_TILE,
                                               wh_q13a_tile_bytes(WH_Q13A_TILE, a->layout->k), worker->count);
  int64_t next = 0;
  for (;;) {
    const int64_t task = worker->count == 1 ? next++ : wh_team_next(worker, a->step);
    if (task >= c.n_tasks) return;
    const int64_t row = task / n_panels * c.rows;
    run_panel(a, task % n_panels, row, min_i64(row + c.rows, a->m), panel);
  }
}
