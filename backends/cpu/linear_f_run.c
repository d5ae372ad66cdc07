/* linear_f_run.c - cuts a product with float weights into register tiles, for any instruction set. Every
 * output is one chain over its own row and column, so no cut shows in the result.
 *
 * Few rows: the weights are read once, in order. Many rows: a task is a block of rows times
 * some panels; per chunk of 512 it runs the tiles on each panel. The tiles read
 * the activations where they lie, or a copy of the block's where their rows would push each other out of the
 * first-level cache. */
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
#define AHEAD_BYTES 4096

typedef struct product {
  const wh_linear_f_args *a;
  const wh_linear_f_isa *isa;
  int64_t n_chunks;
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
    block = rows * WH_LINEAR_F_LDX + panels * rows * WH_LINEAR_F_COLS;
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

static int64_t panel_bytes_per_k(const product *p, int64_t panel) {
  return wh_linear_f_width(p->a->layout, panel) * (int64_t)sizeof(float);
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

/* Rows about a multiple of 2 KiB apart meet in one or two of the 64 sets of a first-level cache. */
static bool rows_collide(int64_t ld) {
  const int64_t floats = 2048 / sizeof(float), near = 4;
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

/* What is read after a panel's chunk, to be asked for while the tiles walk k; NULL when nothing is. */
typedef struct upcoming {
  const void *at;
  int64_t bytes_per_k; /* of it for each k, shared out over the rows */
  bool streaming;      /* it lies a little ahead in the very stream that each tile reads */
} upcoming;

/* Rows of the next tile when `rows` are left: the tall tile is for panels too narrow to use each activation
 * twice. */
static int64_t tile_rows(const wh_linear_f_isa *isa, int64_t width, int64_t ld, int64_t rows) {
  if (width == WH_LINEAR_F_HALF && rows >= isa->tall_rows && !rows_collide(ld)) return isa->tall_rows;
  return ceil_div(rows, ceil_div(rows, isa->tile_rows));
}

/* `rows` rows against one chunk of a panel. After the last chunk the outputs are written. */
static void run_tiles(const product *p, const float *w, upcoming next, activations x, float *c, int64_t row,
                      int64_t rows, int64_t panel, int64_t chunk) {
  wh_linear_f_tile t = {.width = wh_linear_f_width(p->a->layout, panel),
                        .k = chunk_length(p, chunk),
                        .ldx = x.ld,
                        .w = w,
                        .first = chunk == 0};
  const bool last = chunk == p->n_chunks - 1, spread = p->a->ldy > 4 * WH_LINEAR_F_COLS;
  for (int64_t r = 0; r < rows; r += t.rows) {
    t.rows = tile_rows(p->isa, t.width, x.ld, rows - r);
    t.x = x.x + r * x.ld;
    t.c = c + r * WH_LINEAR_F_COLS;
    if (next.at) {
      t.ahead = (const char *)next.at + (next.streaming ? 0 : next.bytes_per_k * t.k * r / rows);
      t.ahead_step = next.streaming ? next.bytes_per_k : next.bytes_per_k * t.rows / rows;
    } else {
      t.ahead = (const char *)t.x;
    }
    /* A tile's lines of a wide y lie too far apart for the processor to foresee. Not a function of its own:
     * gcc takes one that only prefetches for one without effect. */
    const float *y = p->a->y + (row + r) * p->a->ldy + panel * WH_LINEAR_F_COLS;
    for (int64_t i = 0; last && spread && i < t.rows; i++) {
      __builtin_prefetch(y + i * p->a->ldy, 1);
      __builtin_prefetch(y + i * p->a->ldy + WH_LINEAR_F_HALF, 1);
    }
    p->isa->tile(&t);
    if (last) finish(p, t.c, row + r, t.rows, panel);
  }
}

/* A little further in the weights that a tile reads. */
static upcoming further(const product *p, int64_t panel, int64_t chunk) {
  return (upcoming){(const char *)panel_chunk(p, panel, chunk) + AHEAD_BYTES, panel_bytes_per_k(p, panel),
                    true};
}

/* What a task reads after this chunk of a panel. The first panel asks for the rows of the next task, if these
 * follow in memory. */
static upcoming after(const product *p, activations x, int64_t rows, int64_t panel_begin, int64_t panel_end,
                      int64_t panel, int64_t chunk) {
  if (panel == panel_begin && p->n_chunks == 1 && x.ld == p->a->ldx)
    return (upcoming){x.x + p->isa->tile_rows * x.ld, rows * x.ld * (int64_t)sizeof(float) / p->a->layout->k,
                      false};
  if (panel + 1 < panel_end)
    return (upcoming){panel_chunk(p, panel + 1, chunk), panel_bytes_per_k(p, panel + 1), false};
  if (chunk + 1 < p->n_chunks)
    return (upcoming){panel_chunk(p, panel_begin, chunk + 1), panel_bytes_per_k(p, panel_begin), false};
  return (upcoming){0};
}

static void run_thin(const product *p, const wh_worker *worker, float *x) {
  const wh_linear_f_args *a = p->a;
  _Alignas(64) float c[THIN_ROWS * WH_LINEAR_F_COLS];
  int64_t begin, end;
  wh_worker_range(worker, a->layout->n_panels, &begin, &end);
  if (begin == end) return;
  for (int64_t chunk = 0; chunk < p->n_chunks; chunk++)
    (void)copy_rows(p, 0, a->m, chunk, x + chunk * a->m * WH_LINEAR_F_LDX);
  for (int64_t panel = begin; panel < end; panel++)
    for (int64_t chunk = 0; chunk < p->n_chunks; chunk++) {
      const activations from = {x + chunk * a->m * WH_LINEAR_F_LDX, WH_LINEAR_F_LDX};
      run_tiles(p, panel_chunk(p, panel, chunk), further(p, panel, chunk), from, c, 0, a->m, panel, chunk);
    }
}

static void run_block(const product *p, int64_t row, int64_t rows, int64_t panel_begin, int64_t panel_end,
                      float *scratch) {
  float *copy = scratch, *c = copy + rows * WH_LINEAR_F_LDX;
  const bool one_tile = rows <= p->isa->tile_rows; /* each weight is read once */
  const bool copies = panel_end - panel_begin > IN_PLACE_PANELS && rows_collide(p->a->ldx);
  for (int64_t chunk = 0; chunk < p->n_chunks; chunk++) {
    const activations x = copies ? copy_rows(p, row, rows, chunk, copy) : in_place(p, row, chunk);
    for (int64_t panel = panel_begin; panel < panel_end; panel++) {
      const float *w = panel_chunk(p, panel, chunk);
      const upcoming next =
          one_tile ? further(p, panel, chunk) : after(p, x, rows, panel_begin, panel_end, panel, chunk);
      run_tiles(p, w, next, x, c + (panel - panel_begin) * rows * WH_LINEAR_F_COLS, row, rows, panel, chunk);
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
    int64_t row = task % n_blocks * rows, panel = task / n_blocks * panels;
    run_block(&p, row, min_i64(rows, a->m - row), panel, min_i64(panel + panels, l->n_panels), scratch);
  }
}
