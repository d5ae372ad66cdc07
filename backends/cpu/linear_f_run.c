/* linear_f_run.c - cuts a product with float weights into register tiles, for any instruction set. Every
 * output is one chain over its own row and column, so no cut shows in the result.
 *
 * Few rows: each worker reads its panels once, in order. More: a task is a block of rows times some panels,
 * of which it takes a chunk of 512 after the other, panel by panel. Within a chunk all rows take a few steps
 * of k before any goes on: what these read of the panel comes from memory once, and from the first-level
 * cache for all tiles but the first. The tiles read the activations where they lie, or a copy of the block's
 * where their rows would push each other out of that cache. */
#include <string.h>

#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

/* Up to here a product only reads weights: each worker walks its own contiguous panels. */
#define THIN_ROWS 8
/* A task's activations (96 rows x 512), a panel and the sums of 32 panels stay in a second-level
 * cache of 1 MiB. With fewer panels a large product fetches its activations too often. */
#define BLOCK_ROWS 96
#define BLOCK_PANELS 32
/* Up to here a copy of the activations costs more than reading rows that collide. */
#define IN_PLACE_PANELS 2
#define MIN_BLOCK_ROWS 24
#define TASKS_PER_WORKER 6
/* How far ahead of its reads a tile that streams the weights asks for lines. */
#define AHEAD_BYTES 8192

typedef struct product {
  const wh_linear_f_args *a;
  const wh_linear_f_isa *isa;
  int64_t n_chunks;
  const wh_product_end *end; /* that each panel's sums get at once */
} product;

bool wh_linear_f_run_scratch(const wh_linear_layout *l, int64_t m_max, size_t *out) {
  size_t thin, block = 0, bytes;
  if (m_max < 0) return false;
  if (!wh_mul_size((size_t)ceil_div(l->k, WH_LINEAR_F_CHUNK), WH_LINEAR_F_LDX * sizeof(float), &thin) ||
      !wh_mul_size(thin, (size_t)min_i64(m_max, THIN_ROWS), &thin))
    return false;
  if (m_max > THIN_ROWS) {
    size_t rows = (size_t)min_i64(m_max, BLOCK_ROWS);
    size_t panels = (size_t)min_i64(l->n_panels, BLOCK_PANELS);
    block = rows * WH_LINEAR_F_LDX + (panels + 1) * rows * WH_LINEAR_F_COLS;
    block *= sizeof(float);
  }
  bytes = thin > block ? thin : block;
  return wh_align_size(bytes, 64, out);
}

static const float *panel_chunk(const product *p, int64_t panel, int64_t chunk) {
  const wh_linear_layout *l = p->a->layout;
  return (const float *)p->a->w + (size_t)panel * (l->panel_bytes / sizeof(float)) +
         chunk * WH_LINEAR_F_CHUNK * wh_linear_f_width(l, panel);
}

static int64_t chunk_length(const product *p, int64_t chunk) {
  return min_i64(WH_LINEAR_F_CHUNK, p->a->layout->k - chunk * WH_LINEAR_F_CHUNK);
}

/* Activations of one chunk as tiles read them: rows `ld` floats apart. */
typedef struct activations {
  const float *x;
  int64_t ld;
} activations;

static activations in_place(const product *p, int64_t row, int64_t chunk) {
  return (activations){p->a->x + row * p->a->ldx + chunk * WH_LINEAR_F_CHUNK, p->a->ldx};
}

static activations copy_rows(const product *p, int64_t row, int64_t rows, int64_t chunk, float *dst) {
  const activations from = in_place(p, row, chunk);
  size_t bytes = (size_t)chunk_length(p, chunk) * sizeof *dst;
  for (int64_t r = 0; r < rows; r++) memcpy(dst + r * WH_LINEAR_F_LDX, from.x + r * from.ld, bytes);
  return (activations){dst, WH_LINEAR_F_LDX};
}

/* Whether a tile's rows push each other out of a first-level cache of 64 sets: about a multiple of 4 KiB
 * apart they meet in the same ones, of 2 KiB in every second one, which is as bad for runs of a whole chunk.
 */
static bool rows_collide(const product *p, int64_t ld) {
  const int64_t near = 4,
                floats = (p->isa->tile_k < WH_LINEAR_F_CHUNK ? 4096 : 2048) / (int64_t)sizeof(float);
  return (ld + near) % floats <= 2 * near;
}

static void finish(const product *p, const float *c, int64_t row, int64_t rows, int64_t panel) {
  const wh_linear_f_args *a = p->a;
  int64_t col = panel * WH_LINEAR_F_COLS;
  wh_linear_f_finish f = {.rows = rows,
                          .cols = min_i64(WH_LINEAR_F_COLS, a->layout->n - col),
                          .ldy = a->ldy,
                          .ldr = a->ldr,
                          .c = c,
                          .y = a->y + row * a->ldy + col,
                          .bias = a->bias ? a->bias + col : NULL,
                          .residual = a->residual ? a->residual + row * a->ldr + col : NULL};
  p->isa->finish(&f);
}

/* What is read after a panel's chunk, to be asked for while its last tiles run; NULL: nothing. */
typedef struct upcoming {
  const float *at;
  int64_t bytes;
} upcoming;

/* Sums of a panel's rows, [rows][32] each: those of its chunks so far, and the chains of the one that runs.
 */
typedef struct partial {
  float *sums, *chains;
} partial;

/* Steps of k that all rows take before any goes on: even parts of a chunk, none of them a small rest. */
static int64_t steps_of_k(const product *p, int64_t length) {
  const int64_t parts = (length + p->isa->tile_k / 2) / p->isa->tile_k;
  return parts ? ceil_div(length, parts) : length;
}

/* The first steps of k of a panel's chunk. */
static upcoming start_of(const product *p, int64_t panel, int64_t chunk) {
  const int64_t width = wh_linear_f_width(p->a->layout, panel);
  return (upcoming){panel_chunk(p, panel, chunk),
                    steps_of_k(p, chunk_length(p, chunk)) * width * (int64_t)sizeof(float)};
}

/* `rows` rows against one chunk of a panel, a few steps of k at a time. After the last chunk the outputs are
 * written. */
static void run_tiles(const product *p, const float *w, upcoming next, activations x, partial to, int64_t row,
                      int64_t rows, int64_t panel, int64_t chunk) {
  const wh_linear_f_args *a = p->a;
  const int64_t col = panel * WH_LINEAR_F_COLS, length = chunk_length(p, chunk),
                width = wh_linear_f_width(a->layout, panel);
  const bool streams = rows <= p->isa->wide_rows; /* each weight is read once, in order */
  const bool last = chunk == p->n_chunks - 1, whole = last && a->layout->n - col >= width;
  wh_linear_f_tile t = {.rows = rows, .width = width, .ldx = x.ld, .tall = !rows_collide(p, x.ld)};
  wh_product_ops ops;
  const bool by_ops = whole && p->end && p->end->find_ops(p->end->of, p->end->row + row, rows, &ops);
  if (by_ops) ops.col = p->end->col + col;
  const int64_t steps = streams ? length : steps_of_k(p, length);
  for (int64_t k = 0; k < length; k += t.k) {
    t.k = min_i64(steps, length - k);
    t.x = x.x + k;
    t.w = w + k * width;
    t.begun = k ? to.chains : NULL;
    t.ends = k + t.k == length;
    t.out = t.ends ? to.sums : to.chains;
    t.ldo = WH_LINEAR_F_COLS;
    if (t.ends && chunk) t.sums = to.sums;
    if (t.ends && whole && (by_ops || !p->end)) {
      if (by_ops) t.end = ops;
      t.out = a->y + row * a->ldy + col;
      t.ldo = a->ldy;
      t.ldr = a->ldr;
      t.bias = a->bias ? a->bias + col : NULL;
      t.residual = a->residual ? a->residual + row * a->ldr + col : NULL;
      t.scattered = a->ldy > 4 * WH_LINEAR_F_COLS;
    }
    if (streams) {
      t.ahead = (const char *)t.w + AHEAD_BYTES;
      t.ahead_bytes = t.k * width * (int64_t)sizeof *w;
    } else if (!t.ends) {
      t.ahead = (const char *)(t.w + t.k * width);
      t.ahead_bytes = min_i64(steps, length - k - t.k) * width * (int64_t)sizeof *w;
    } else {
      t.ahead = (const char *)next.at;
      t.ahead_bytes = next.bytes;
    }
    p->isa->tile(&t);
  }
  if (by_ops) return;
  if (last && p->end)
    wh_product_end_run(p->end, to.sums, WH_LINEAR_F_COLS, row, rows, col,
                       min_i64(WH_LINEAR_F_COLS, a->layout->n - col));
  else if (last && !whole)
    finish(p, to.sums, row, rows, panel);
}

static void run_thin(const product *p, const wh_worker *worker, float *x) {
  const wh_linear_f_args *a = p->a;
  _Alignas(64) float c[2][THIN_ROWS * WH_LINEAR_F_COLS];
  const partial to = {c[0], c[1]};
  int64_t begin, end;
  wh_worker_range(worker, a->layout->n_panels, &begin, &end);
  if (begin == end) return;
  for (int64_t chunk = 0; chunk < p->n_chunks; chunk++)
    (void)copy_rows(p, 0, a->m, chunk, x + chunk * a->m * WH_LINEAR_F_LDX);
  for (int64_t panel = begin; panel < end; panel++)
    for (int64_t chunk = 0; chunk < p->n_chunks; chunk++) {
      const activations from = {x + chunk * a->m * WH_LINEAR_F_LDX, WH_LINEAR_F_LDX};
      const bool more = chunk + 1 < p->n_chunks;
      const upcoming next = more              ? start_of(p, panel, chunk + 1)
                            : panel + 1 < end ? start_of(p, panel + 1, 0)
                                              : (upcoming){NULL, 0};
      run_tiles(p, panel_chunk(p, panel, chunk), next, from, to, 0, a->m, panel, chunk);
    }
  const int64_t col = begin * WH_LINEAR_F_COLS;
  if (a->end)
    wh_product_end_run(a->end, a->y + col, a->ldy, 0, a->m, col,
                       min_i64(end * WH_LINEAR_F_COLS, a->layout->n) - col);
}

/* Rows and panels of a task. */
typedef struct block {
  int64_t row, rows, panel_begin, panel_end;
} block;

/* What is read after this chunk of a panel. The first panel asks for the rows of the next task, if these
 * follow in memory. */
static upcoming after(const product *p, const block *b, activations x, int64_t panel, int64_t chunk) {
  const wh_linear_f_args *a = p->a;
  const bool more_rows = b->row + b->rows < a->m;
  if (more_rows && panel == b->panel_begin && p->n_chunks == 1 && x.ld == a->ldx)
    return (upcoming){x.x + b->rows * x.ld,
                      min_i64(b->rows, a->m - b->row - b->rows) * x.ld * (int64_t)sizeof *x.x};
  if (panel + 1 < b->panel_end) return start_of(p, panel + 1, chunk);
  if (chunk + 1 < p->n_chunks) return start_of(p, b->panel_begin, chunk + 1);
  if (more_rows) return start_of(p, b->panel_begin, 0);
  return b->panel_end < a->layout->n_panels ? start_of(p, b->panel_end, 0) : (upcoming){NULL, 0};
}

static void run_block(const product *p, const block *b, float *scratch) {
  float *copy = scratch, *chains = copy + b->rows * WH_LINEAR_F_LDX,
        *sums = chains + b->rows * WH_LINEAR_F_COLS;
  const bool copies = b->panel_end - b->panel_begin > IN_PLACE_PANELS && rows_collide(p, p->a->ldx);
  for (int64_t chunk = 0; chunk < p->n_chunks; chunk++) {
    const activations x = copies ? copy_rows(p, b->row, b->rows, chunk, copy) : in_place(p, b->row, chunk);
    for (int64_t panel = b->panel_begin; panel < b->panel_end; panel++) {
      const partial to = {sums + (panel - b->panel_begin) * b->rows * WH_LINEAR_F_COLS, chains};
      run_tiles(p, panel_chunk(p, panel, chunk), after(p, b, x, panel, chunk), x, to, b->row, b->rows, panel,
                chunk);
    }
  }
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
  /* Neighbouring tasks share panels: workers read them from memory together. */
  int64_t n_blocks = ceil_div(a->m, rows), n_tasks = n_blocks * ceil_div(l->n_panels, panels), next = 0;
  for (;;) {
    int64_t task = worker->count == 1 ? next++ : wh_team_claim(worker, a->step, n_tasks);
    if (task >= n_tasks) return;
    const int64_t row = task % n_blocks * rows, panel = task / n_blocks * panels;
    const block b = {row, min_i64(rows, a->m - row), panel, min_i64(panel + panels, l->n_panels)};
    run_block(&p, &b, scratch);
  }
}
