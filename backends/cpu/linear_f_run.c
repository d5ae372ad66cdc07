/* linear_f_run.c - cuts a product with float weights into register tiles, for any instruction set. Every
 * output is one chain over its own row and column, so no cut shows in the result.
 *
 * Few rows: the weights are read once, in order, and widened in registers. Many rows: a task is a block of
 * rows times some panels; per chunk of 512 it copies its activations, widens each panel once and runs the
 * tiles on it. */
#include <string.h>

#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

/* Up to here a product only reads weights: each worker walks its own contiguous panels. */
#define THIN_ROWS 8
/* A task's activations (96 rows x 512), a widened panel and the sums of 8 panels stay in a second-level
 * cache. */
#define BLOCK_ROWS 96
#define BLOCK_PANELS 8
#define MIN_BLOCK_ROWS 24
#define TASKS_PER_WORKER 6
/* How far ahead of its reads a tile that streams the weights asks for lines. */
#define AHEAD_BYTES 4096

typedef struct product {
  const wh_linear_f_args *a;
  const wh_linear_f_isa *isa;
  size_t elem_bytes;
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
    block = rows * WH_LINEAR_F_LDX + WH_LINEAR_F_CHUNK * WH_LINEAR_F_COLS + panels * rows * WH_LINEAR_F_COLS;
    block *= sizeof(float);
  }
  bytes = thin > block ? thin : block;
  return wh_align_size(bytes, 64, out);
}

static const uint8_t *panel_chunk(const product *p, int64_t panel, int64_t chunk) {
  const wh_linear_layout *l = p->a->layout;
  return (const uint8_t *)p->a->w + (size_t)panel * l->panel_bytes +
         (size_t)(chunk * WH_LINEAR_F_CHUNK * wh_linear_f_width(l, panel)) * p->elem_bytes;
}

static int64_t chunk_length(const product *p, int64_t chunk) {
  return min_i64(WH_LINEAR_F_CHUNK, p->a->layout->k - chunk * WH_LINEAR_F_CHUNK);
}

static void copy_rows(const product *p, int64_t row, int64_t rows, int64_t chunk, float *dst) {
  size_t bytes = (size_t)chunk_length(p, chunk) * sizeof *dst;
  for (int64_t r = 0; r < rows; r++)
    memcpy(dst + r * WH_LINEAR_F_LDX, p->a->x + (row + r) * p->a->ldx + chunk * WH_LINEAR_F_CHUNK, bytes);
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

/* The weights that are read after a panel's chunk; NULL when that was the last. */
typedef struct upcoming {
  const uint8_t *w;
  bool streaming; /* w lies a little ahead in the very stream that the tile reads */
} upcoming;

/* `rows` rows against one chunk of a panel, in even tiles; they share out asking for what comes next. After
 * the last chunk the outputs are written. */
static void run_tiles(const product *p, wh_dtype dtype, const void *w, upcoming next, const float *x,
                      float *c, int64_t row, int64_t rows, int64_t panel, int64_t chunk) {
  int64_t n_tiles = ceil_div(rows, p->isa->tile_rows), step = ceil_div(rows, n_tiles);
  wh_linear_f_tile t = {.dtype = dtype,
                        .width = wh_linear_f_width(p->a->layout, panel),
                        .k = chunk_length(p, chunk),
                        .w = w,
                        .first = chunk == 0};
  if (next.w) t.ahead_step = t.width * (int64_t)p->elem_bytes / (next.streaming ? 1 : n_tiles);
  for (int64_t r = 0; r < rows; r += step) {
    t.rows = min_i64(step, rows - r);
    t.x = x + r * WH_LINEAR_F_LDX;
    t.c = c + r * WH_LINEAR_F_COLS;
    t.ahead = next.w ? (const char *)next.w + r / step * t.ahead_step * t.k : (const char *)t.x;
    p->isa->tile(&t);
    if (chunk == p->n_chunks - 1) finish(p, t.c, row + r, t.rows, panel);
  }
}

static void run_thin(const product *p, const wh_worker *worker, float *x) {
  const wh_linear_f_args *a = p->a;
  _Alignas(64) float c[THIN_ROWS * WH_LINEAR_F_COLS];
  int64_t begin, end;
  wh_worker_range(worker, a->layout->n_panels, &begin, &end);
  if (begin == end) return;
  for (int64_t chunk = 0; chunk < p->n_chunks; chunk++)
    copy_rows(p, 0, a->m, chunk, x + chunk * a->m * WH_LINEAR_F_LDX);
  for (int64_t panel = begin; panel < end; panel++)
    for (int64_t chunk = 0; chunk < p->n_chunks; chunk++) {
      const uint8_t *w = panel_chunk(p, panel, chunk);
      run_tiles(p, a->layout->dtype, w, (upcoming){w + AHEAD_BYTES, true}, x + chunk * a->m * WH_LINEAR_F_LDX,
                c, 0, a->m, panel, chunk);
    }
}

static void run_block(const product *p, int64_t row, int64_t rows, int64_t panel_begin, int64_t panel_end,
                      float *scratch) {
  const wh_dtype dtype = p->a->layout->dtype;
  float *x = scratch, *wide = x + rows * WH_LINEAR_F_LDX, *c = wide + WH_LINEAR_F_CHUNK * WH_LINEAR_F_COLS;
  const bool one_tile = rows <= p->isa->tile_rows; /* each weight is read once: no use for a widened copy */
  const bool widen = dtype != WH_DTYPE_F32 && !one_tile;
  for (int64_t chunk = 0; chunk < p->n_chunks; chunk++) {
    copy_rows(p, row, rows, chunk, x);
    for (int64_t panel = panel_begin; panel < panel_end; panel++) {
      const uint8_t *w = panel_chunk(p, panel, chunk);
      upcoming next = {NULL, false};
      if (one_tile)
        next = (upcoming){w + AHEAD_BYTES, true};
      else if (panel + 1 < panel_end)
        next.w = panel_chunk(p, panel + 1, chunk);
      else if (chunk + 1 < p->n_chunks)
        next.w = panel_chunk(p, panel_begin, chunk + 1);
      const void *operand = w;
      if (widen) {
        p->isa->unpack(dtype, w, wide, chunk_length(p, chunk) * wh_linear_f_width(p->a->layout, panel));
        operand = wide;
      }
      run_tiles(p, widen ? WH_DTYPE_F32 : dtype, operand, next, x,
                c + (panel - panel_begin) * rows * WH_LINEAR_F_COLS, row, rows, panel, chunk);
    }
  }
}

void wh_linear_f_run(const wh_linear_f_args *a, const wh_worker *worker, const wh_linear_f_isa *isa) {
  const wh_linear_layout *l = a->layout;
  float *scratch = (float *)(void *)((char *)a->scratch + a->scratch_bytes * (size_t)worker->index);
  product p = {.a = a,
               .isa = isa,
               .elem_bytes = l->dtype == WH_DTYPE_F32 ? 4 : 2,
               .n_chunks = ceil_div(l->k, WH_LINEAR_F_CHUNK)};
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
