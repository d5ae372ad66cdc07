/* linear_q_run.c - cuts a product into panel calls (linear_cut.h) and hands them to the workers. */
#include "backends/cpu/linear_q_run.h"

#include "backends/cpu/amx/linear_q_rows.h"
#include "backends/cpu/linear_cut.h"
#include "backends/cpu/linear_q_format.h"

/* Panel `index` of the weights, for rows from `row` on. */
static wh_linear_q_panel panel_at(const wh_linear_q_args *a, int64_t index, int64_t row) {
  const wh_linear_layout *l = a->layout;
  const int64_t col = index * WH_LINEAR_Q_COLS, left = l->n - col;
  return (wh_linear_q_panel){.w = wh_linear_panel_at(a, index),
                             .row_bytes = l->panel_bytes / WH_LINEAR_Q_COLS,
                             .n_blocks = l->k / WH_LINEAR_Q_BLOCK,
                             .n_cols = left < WH_LINEAR_Q_COLS ? left : WH_LINEAR_Q_COLS,
                             .row = row,
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
                      wh_linear_q_panel_fn panel) {
  wh_linear_q_panel p = panel_at(a, index, row);
  while (row < row_end) {
    wh_q8a_tile x = wh_q8a_tile_at(a->x, a->m, a->layout->k, row / WH_Q8A_TILE);
    p.x = &x;
    p.row = row % WH_Q8A_TILE;
    int64_t tile_left = x.rows - p.row;
    p.n_rows = row_end - row < tile_left ? row_end - row : tile_left;
    panel(&p);
    row += p.n_rows;
    p.y += p.n_rows * a->ldy;
    if (p.residual) p.residual += p.n_rows * a->ldr;
  }
}

/* All rows of panels [begin, end): each call has one panel from each of `together` even parts, so that it
 * reads as many streams; what is left over goes one by one. They are packed before (no a->panel), as several
 * are looked at together. */
static void run_streams(const wh_linear_q_args *a, int64_t begin, int64_t end, wh_linear_q_panel_fn panel,
                        int together) {
  if (a->m == 0) return;
  const wh_q8a_tile x = wh_q8a_tile_at(a->x, a->m, a->layout->k, 0);
  const int64_t part = (end - begin) / together;
  for (int64_t i = begin; i < begin + part; i++) {
    wh_linear_q_panel p[WH_LINEAR_TOGETHER_MAX];
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

void wh_linear_q_run(const wh_linear_q_args *a, const wh_worker *worker, wh_linear_q_panel_fn panel,
                     int together) {
  if (a->panel) {
    for (int64_t i; wh_linear_next_to_pack(a, worker, &i);) run_panel(a, i, 0, a->m, panel);
    return;
  }
  if (a->m <= WH_LINEAR_DECODE_ROWS) {
    int64_t begin, end;
    wh_worker_range(worker, a->layout->n_panels, &begin, &end);
    run_streams(a, begin, end, panel, a->fetch == WH_CPU_FETCH_NEAR ? together : 1);
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

/* Processors with tiles have second-level caches of 2 MB: more than twice what linear_cut.h counts on. */
#define AMX_CACHE_SHARE 2

/* Panel `index` times rows [row, end). */
static void run_panel_rows(const wh_linear_q_args *a, int64_t index, int64_t row, int64_t end,
                           wh_linear_q_rows_fn panel) {
  wh_linear_q_panel p = panel_at(a, index, row);
  for (; p.row < end; p.row += p.n_rows) {
    p.n_rows = min_i64(end - p.row, WH_LINEAR_Q_AMX_CALL_ROWS);
    panel(&p, a->scratch);
    p.y += p.n_rows * a->ldy;
    if (p.residual) p.residual += p.n_rows * a->ldr;
  }
}

void wh_linear_q_run_rows(const wh_linear_q_args *a, const wh_worker *worker, wh_linear_q_rows_fn panel) {
  const int64_t n_panels = a->layout->n_panels;
  if (a->panel) {
    for (int64_t i; wh_linear_next_to_pack(a, worker, &i);) run_panel_rows(a, i, 0, a->m, panel);
    return;
  }
  const size_t tile_bytes = wh_linear_q_row_tile_bytes(a->layout->k) * (WH_Q8A_TILE / WH_LINEAR_Q_AMX_ROWS);
  const wh_linear_cut c =
      wh_linear_choose_cut(a->m, n_panels, WH_Q8A_TILE, tile_bytes / AMX_CACHE_SHARE, worker->count);
  int64_t next = 0;
  for (;;) {
    const int64_t task = worker->count == 1 ? next++ : wh_team_next(worker, a->step);
    if (task >= c.n_tasks) return;
    const int64_t row = task / n_panels * c.rows;
    run_panel_rows(a, task % n_panels, row, min_i64(row + c.rows, a->m), panel);
  }
}

size_t wh_linear_q_scratch_bytes(uint64_t features, const wh_linear_layout *l, int64_t m_max) {
  if (!(features & WH_CPU_AMX) || m_max < WH_LINEAR_Q_AMX_ROWS_MIN) return 0;
  return (size_t)ceil_div(m_max, WH_LINEAR_Q_AMX_ROWS) * wh_linear_q_row_tile_bytes(l->k);
}
