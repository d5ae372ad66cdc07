/* linear_q_run.c - cuts a product into panel calls and hands them to the workers. Any cut gives the same
 * bits: every output is computed by one call, from its own row and column alone. */
#include "backends/cpu/linear_q_run.h"

#include "backends/cpu/linear_q_format.h"
#include "backends/cpu/whole.h"

/* Up to here a product only reads weights: each worker walks its own contiguous panels, the ones that it
 * packed. */
#define DECODE_ROWS_MAX 8
/* Activations that stay in a private cache while panels stream past. */
#define ROW_GROUP_BYTES (512 << 10)
/* Handing out work: enough tasks per worker that the last one to finish is not waited for. */
#define TASKS_PER_WORKER 12
#define MIN_TASK_ROWS 16

typedef struct cut {
  int64_t rows; /* of one task: whole tiles, or an even part of a tile */
  int64_t n_row_tasks, n_tasks;
} cut;

static cut choose_cut(const wh_linear_q_args *a, int32_t n_workers) {
  int64_t tile_bytes = (int64_t)wh_q8a_tile_bytes(WH_Q8A_TILE, a->layout->k);
  int64_t tiles = ceil_div(a->m, WH_Q8A_TILE), fit = ROW_GROUP_BYTES / tile_bytes;
  if (fit < 1) fit = 1;
  int64_t group = ceil_div(tiles, ceil_div(tiles, fit)); /* even groups */
  int64_t n_panels = a->layout->n_panels, want = (int64_t)TASKS_PER_WORKER * n_workers;
  while (group > 1 && n_panels * ceil_div(tiles, group) < want) group = ceil_div(group, 2);
  cut c = {.rows = group * WH_Q8A_TILE};
  while (group == 1 && c.rows > MIN_TASK_ROWS && n_workers > 1 && n_panels * ceil_div(a->m, c.rows) < want)
    c.rows /= 2;
  c.n_row_tasks = ceil_div(a->m, c.rows);
  c.n_tasks = c.n_row_tasks * n_panels;
  return c;
}

/* Panel `index` times rows [row, row_end), tile by tile. */
static void run_panel(const wh_linear_q_args *a, int64_t index, int64_t row, int64_t row_end,
                      wh_linear_q_panel_fn panel) {
  const wh_linear_layout *l = a->layout;
  int64_t col = index * WH_LINEAR_Q_COLS, left = l->n - col;
  wh_linear_q_panel p = {.w = (const uint8_t *)a->w + (size_t)index * l->panel_bytes,
                         .row_bytes = l->panel_bytes / WH_LINEAR_Q_COLS,
                         .n_blocks = l->k / WH_LINEAR_Q_BLOCK,
                         .n_cols = left < WH_LINEAR_Q_COLS ? left : WH_LINEAR_Q_COLS,
                         .ldy = a->ldy,
                         .bias = a->bias ? a->bias + col : NULL,
                         .ldr = a->ldr,
                         .past_caches = a->past_caches};
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
  if (a->m <= DECODE_ROWS_MAX) {
    int64_t begin, end;
    wh_worker_range(worker, a->layout->n_panels, &begin, &end);
    for (int64_t i = begin; i < end; i++) run_panel(a, i, 0, a->m, panel);
    return;
  }
  cut c = choose_cut(a, worker->count);
  int64_t next = 0;
  for (;;) {
    int64_t task = worker->count == 1 ? next++ : wh_team_next(worker, a->step);
    if (task >= c.n_tasks) return;
    int64_t row = task / a->layout->n_panels * c.rows, row_end = row + c.rows;
    run_panel(a, task % a->layout->n_panels, row, row_end < a->m ? row_end : a->m, panel);
  }
}
