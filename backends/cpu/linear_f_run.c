/* linear_f_run.c - cuts a product with float weights into register tiles, for any instruction set. Every
 * output is one chain over its own row and column, so no cut shows in the result.
 *
 * Few rows: each worker reads its panels once, in order. More: a task is a block of rows times some panels,
 * which it takes in groups whose chunk of 512 stays in a second-level cache. The tiles read the activations
 * where they lie, or a copy where their rows would push each other out of a first-level cache. */
#include <string.h>

#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/task_cut.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

/* Up to here a product only reads weights: each worker walks its own contiguous panels. */
#define THIN_ROWS 8
/* The activations (96 rows x 512) and a group of panels stay in a second-level cache of 512 KiB while the
 * next group arrives there. With fewer panels a large product fetches its activations too often. */
#define BLOCK_ROWS 96
#define BLOCK_PANELS 32
#define GROUP_PANELS 2
/* Up to here a copy of the activations costs more than reading rows that collide. */
#define IN_PLACE_COLS 64
#define MIN_BLOCK_ROWS 24
#define TASKS_PER_WORKER 6
/* Weights that an outer cache keeps while workers go through them in their own order. */
#define KEPT_BYTES ((size_t)8 << 20)

typedef struct product {
  const wh_linear_f_args *a;
  const wh_linear_f_isa *isa;
  int64_t n_chunks;
  const wh_product_end *end; /* that each panel's sums get at once */
} product;

bool wh_linear_f_run_scratch(const wh_linear_layout *l, int64_t m_max, size_t *out) {
  size_t rows, bytes;
  if (m_max < 0) return false;
  if (!wh_mul_size((size_t)ceil_div(l->k, WH_LINEAR_F_CHUNK), WH_LINEAR_F_LDX, &rows) ||
      !wh_add_size(rows, GROUP_PANELS * WH_LINEAR_F_COLS, &rows) ||
      !wh_mul_size(rows, (size_t)min_i64(m_max, BLOCK_ROWS) * sizeof(float), &bytes))
    return false;
  return wh_align_size(bytes, 64, out);
}

/* From column `col` on, which begins a half. */
static const float *weights(const product *p, int64_t col, int64_t chunk) {
  return (const float *)p->a->w + col * p->a->layout->k + chunk * WH_LINEAR_F_CHUNK * WH_LINEAR_F_HALF;
}

static int64_t chunk_length(const product *p, int64_t chunk) {
  return min_i64(WH_LINEAR_F_CHUNK, p->a->layout->k - chunk * WH_LINEAR_F_CHUNK);
}

/* Activations as tiles read them: rows `ld` floats apart, chunks `chunk`. */
typedef struct activations {
  const float *x;
  int64_t ld, chunk;
} activations;

static activations in_place(const product *p, int64_t row) {
  return (activations){p->a->x + row * p->a->ldx, p->a->ldx, WH_LINEAR_F_CHUNK};
}

static activations copy_rows(const product *p, int64_t row, int64_t rows, float *dst) {
  const activations from = in_place(p, row), to = {dst, WH_LINEAR_F_LDX, rows * WH_LINEAR_F_LDX};
  for (int64_t chunk = 0; chunk < p->n_chunks; chunk++)
    for (int64_t r = 0; r < rows; r++)
      memcpy(dst + chunk * to.chunk + r * to.ld, from.x + chunk * from.chunk + r * from.ld,
             (size_t)chunk_length(p, chunk) * sizeof *dst);
  return to;
}

/* Whether a tile of so many rows pushes them out of a first-level cache of 64 sets: about a multiple of 4 KiB
 * apart they meet in the same ones, of 2 KiB in every second one, which is as bad for more rows than ways. */
static bool rows_collide(const product *p, int64_t ld, int64_t rows) {
  const int64_t near = 4, ways = p->a->features & WH_CPU_MANY_WAYS ? 12 : 8;
  return (ld + near) % ((rows > ways ? 2048 : 4096) / (int64_t)sizeof(float)) <= 2 * near;
}

/* Columns [col, col + cols) of rows [row, row + rows), and where their sums are between chunks. */
typedef struct piece {
  int64_t row, rows, col, cols;
  float *sums;
  int64_t ld;
} piece;

static void finish(const product *p, const piece *c) {
  const wh_linear_f_args *a = p->a;
  const wh_linear_f_finish f = {.rows = c->rows,
                                .cols = c->cols,
                                .ldc = c->ld,
                                .ldy = a->ldy,
                                .ldr = a->ldr,
                                .c = c->sums,
                                .y = a->y + c->row * a->ldy + c->col,
                                .bias = a->bias ? a->bias + c->col : NULL,
                                .residual = a->residual ? a->residual + c->row * a->ldr + c->col : NULL};
  p->isa->finish(&f);
}

/* A piece over one chunk; after the last one the outputs are written. `next`: the weights that are read then,
 * or NULL. */
static void run_chunk(const product *p, const piece *c, activations x, int64_t chunk, const float *next) {
  const wh_linear_f_args *a = p->a;
  const int64_t halves = ceil_div(c->cols, WH_LINEAR_F_HALF);
  const bool last = chunk == p->n_chunks - 1, whole = last && c->cols == halves * WH_LINEAR_F_HALF;
  const float *w = weights(p, c->col, chunk);
  wh_linear_f_tile t = {.rows = c->rows,
                        .halves = halves,
                        .k = chunk_length(p, chunk),
                        .x = x.x + chunk * x.chunk,
                        .ldx = x.ld,
                        .w = w,
                        .half = a->layout->k * WH_LINEAR_F_HALF,
                        .sums = chunk ? c->sums : NULL,
                        .ld_sums = c->ld,
                        .out = c->sums,
                        .ldo = c->ld,
                        .tall = !rows_collide(p, x.ld, 2 * p->isa->tile_rows),
                        .ahead = (const char *)next};
  wh_product_ops ops;
  const bool by_ops = whole && p->end && p->end->find_ops(p->end->of, p->end->row + c->row, c->rows, &ops);
  if (by_ops) {
    t.end = ops;
    t.end.col = p->end->col + c->col;
  }
  if (whole && (by_ops || !p->end)) {
    t.out = a->y + c->row * a->ldy + c->col;
    t.ldo = a->ldy;
    t.ldr = a->ldr;
    t.bias = a->bias ? a->bias + c->col : NULL;
    t.residual = a->residual ? a->residual + c->row * a->ldr + c->col : NULL;
    t.scattered = a->ldy > 4 * WH_LINEAR_F_COLS;
  }
  p->isa->tile(&t);
  if (by_ops) return;
  if (last && p->end)
    wh_product_end_run(p->end, c->sums, c->ld, c->row, c->rows, c->col, c->cols);
  else if (last && !whole)
    finish(p, c);
}

/* All chunks of a piece; `next`: of the one behind. */
static void run_piece(const product *p, const piece *c, activations x, const float *next) {
  for (int64_t chunk = 0; chunk < p->n_chunks; chunk++)
    run_chunk(p, c, x, chunk, chunk + 1 < p->n_chunks ? weights(p, c->col, chunk + 1) : next);
}

static void run_thin(const product *p, const wh_worker *worker, float *scratch) {
  const wh_linear_f_args *a = p->a;
  _Alignas(64) float sums[THIN_ROWS * WH_LINEAR_F_COLS];
  const int64_t width = a->m <= p->isa->wide_rows ? WH_LINEAR_F_COLS : WH_LINEAR_F_HALF;
  int64_t begin, end;
  wh_worker_range(worker, a->layout->n_panels, &begin, &end);
  begin *= WH_LINEAR_F_COLS;
  end = min_i64(end * WH_LINEAR_F_COLS, a->layout->n);
  if (begin >= end) return;
  const activations x = copy_rows(p, 0, a->m, scratch);
  for (int64_t col = begin; col < end; col += width) {
    const piece c = {0, a->m, col, min_i64(width, end - col), sums, WH_LINEAR_F_COLS};
    run_piece(p, &c, x, col + width < end ? weights(p, col + width, 0) : NULL);
  }
  if (a->end) wh_product_end_run(a->end, a->y + begin, a->ldy, 0, a->m, begin, end - begin);
}

/* Rows and columns of a task. */
typedef struct block {
  int64_t row, rows, begin, end;
} block;

/* `next`: the weights that another block begins with, maybe this worker's. */
static void run_block(const product *p, const block *b, const float *next, float *scratch) {
  const wh_linear_f_args *a = p->a;
  const int64_t width = GROUP_PANELS * WH_LINEAR_F_COLS;
  float *sums = scratch, *copy = sums + b->rows * width;
  const bool copies = b->end - b->begin > IN_PLACE_COLS && rows_collide(p, a->ldx, p->isa->tile_rows);
  const activations x = copies ? copy_rows(p, b->row, b->rows, copy) : in_place(p, b->row);
  for (int64_t col = b->begin; col < b->end; col += width) {
    const piece c = {b->row, b->rows, col, min_i64(width, b->end - col), sums, width};
    run_piece(p, &c, x, col + width < b->end ? weights(p, col + width, 0) : next);
  }
}

/* A single worker may be one of a team that is at other work; `alone` counts for it. */
static bool claim(const wh_worker *worker, uint32_t step, int64_t n_tasks, bool near, int64_t *alone,
                  wh_task_part *out) {
  if (worker->count == 1) {
    *out = (wh_task_part){(*alone)++, 0, 1};
    return out->task < n_tasks;
  }
  if (near) return wh_claim_near(worker, step, n_tasks, WH_TASK_PARTS, out);
  const wh_task_cut cut = wh_cut_tasks(n_tasks, worker);
  const int64_t item = wh_team_claim(worker, step, cut.n_items);
  if (item >= cut.n_items) return false;
  *out = wh_task_part_at(&cut, item);
  return true;
}

void wh_linear_f_run(const wh_linear_f_args *a, const wh_worker *worker, const wh_linear_f_isa *isa) {
  const wh_linear_layout *l = a->layout;
  float *scratch = (float *)(void *)((char *)a->scratch + a->scratch_bytes * (size_t)worker->index);
  product p = {.a = a, .isa = isa, .n_chunks = ceil_div(l->k, WH_LINEAR_F_CHUNK)};
  if (a->m <= 0) return;
  if (a->m <= THIN_ROWS) {
    run_thin(&p, worker, scratch);
    return;
  }
  p.end = a->end;
  int64_t want = (int64_t)TASKS_PER_WORKER * worker->count, panels = min_i64(BLOCK_PANELS, l->n_panels);
  int64_t rows = ceil_div(a->m, ceil_div(a->m, BLOCK_ROWS));
  if (worker->count == 1) want = 1;
  while (panels > 1 && ceil_div(l->n_panels, panels) * ceil_div(a->m, rows) < want)
    panels = ceil_div(panels, 2);
  while (rows > MIN_BLOCK_ROWS && ceil_div(l->n_panels, panels) * ceil_div(a->m, rows) < want)
    rows = ceil_div(rows, 2);
  /* Neighbouring tasks share panels: workers read them from memory together. Where a cache keeps all of them,
   * neighbours share rows instead, and each worker begins with those that it has made in the step before. */
  const int64_t n_blocks = ceil_div(a->m, rows), across = ceil_div(l->n_panels, panels),
                n_tasks = n_blocks * across;
  const bool by_rows = worker->count > 1 && worker->count <= WH_TEAM_SHARES &&
                       wh_team_nodes(worker->team) == 1 && (size_t)l->n_panels * l->panel_bytes <= KEPT_BYTES;
  int64_t alone = 0;
  for (wh_task_part part; claim(worker, a->step, n_tasks, by_rows, &alone, &part);) {
    const int64_t down = by_rows ? part.task / across : part.task % n_blocks,
                  right = by_rows ? part.task % across : part.task / n_blocks,
                  then = by_rows || down + 1 == n_blocks ? (right + 1) % across : right;
    block b = {.row = down * rows, .begin = right * panels * WH_LINEAR_F_COLS};
    int64_t behind = min_i64(b.row + rows, a->m);
    b.end = min_i64(b.begin + panels * WH_LINEAR_F_COLS, l->n);
    if (panels >= part.of)
      wh_task_share(&part, WH_LINEAR_F_COLS, &b.begin, &b.end);
    else
      wh_task_share(&part, isa->tile_rows, &b.row, &behind);
    b.rows = behind - b.row;
    if (b.rows > 0 && b.begin < b.end)
      run_block(&p, &b, weights(&p, then * panels * WH_LINEAR_F_COLS, 0), scratch);
  }
}
