/* linear_cut.h - how a product of integer kernels is cut into calls of one panel and some rows. Any cut gives
 * the same bits: every output is computed by one call, from its own row and column alone. */
#ifndef WH_CPU_LINEAR_CUT_H
#define WH_CPU_LINEAR_CUT_H

#include <stddef.h>

#include "backends/cpu/linear_q.h"
#include "backends/cpu/task_cut.h"
#include "backends/cpu/whole.h"
#include "core/base/file.h"
#include "core/base/team.h"

/* Up to here a product only reads weights: each worker walks its own contiguous panels, the ones that it
 * packed. */
#define WH_LINEAR_DECODE_ROWS 8
/* Activations that stay in a private cache while panels stream past. */
#define WH_LINEAR_ROW_GROUP_BYTES (576 << 10)
/* Handing out work: enough tasks per worker that the last one to finish is not waited for. */
#define WH_LINEAR_TASKS_PER_WORKER 12
#define WH_LINEAR_MIN_TASK_ROWS 16

/* The next panel that is packed as it is needed: each once, for all rows, and neighbours by one worker. The
 * pages of the one behind it are asked for: together they take less than a fault each, and prefetches reach
 * them. False: none is left. */
static inline bool wh_linear_next_to_pack(const wh_linear_q_args *a, const wh_worker *w, int64_t *panel) {
  const wh_linear_layout *l = a->layout;
  wh_task_part next;
  size_t row_bytes = 0;
  if (!wh_claim_near(w, a->step, l->n_panels, 1, &next)) return false;
  *panel = next.task;
  const int64_t row = (next.task + 1) * l->panel_cols, rows = min_i64(l->panel_cols, l->n - row);
  if (rows > 0 && wh_dtype_row_bytes(l->dtype, (uint64_t)l->k, &row_bytes))
    wh_pages_prefault((const char *)a->w + (size_t)row * row_bytes, (size_t)rows * row_bytes);
  return true;
}

typedef struct wh_linear_cut {
  int64_t rows; /* of one task: whole tiles, or an even part of a tile */
  int64_t n_tasks;
} wh_linear_cut;

/* For m rows in tiles of `tile_rows` rows and `tile_bytes` bytes, and more rows than WH_LINEAR_DECODE_ROWS.
 */
static inline wh_linear_cut wh_linear_choose_cut(int64_t m, int64_t n_panels, int64_t tile_rows,
                                                 size_t tile_bytes, int32_t n_workers) {
  int64_t tiles = ceil_div(m, tile_rows), fit = WH_LINEAR_ROW_GROUP_BYTES / (int64_t)tile_bytes;
  if (fit < 1) fit = 1;
  int64_t group = ceil_div(tiles, ceil_div(tiles, fit)); /* even groups */
  const int64_t want = (int64_t)WH_LINEAR_TASKS_PER_WORKER * n_workers;
  while (group > 1 && n_panels * ceil_div(tiles, group) < want) group = ceil_div(group, 2);
  wh_linear_cut c = {.rows = group * tile_rows};
  while (group == 1 && c.rows > WH_LINEAR_MIN_TASK_ROWS && n_workers > 1 &&
         n_panels * ceil_div(m, c.rows) < want)
    c.rows /= 2;
  c.n_tasks = ceil_div(m, c.rows) * n_panels;
  return c;
}

#endif
