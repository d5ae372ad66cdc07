/* matmul_blocks.c - see matmul_blocks.h: which rows go with which panels. Few rows are multiplied as the
 * codes are read; for many a panel's weights are decoded into scratch, and the tiles of products with float
 * weights run on it: the sum of an output is the same chain. Rows of q13a have kernels of their own. */
#include "backends/cpu/matmul_blocks.h"

#include "backends/cpu/ahead.h"
#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/matmul.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

/* Up to here decoding once would cost more than decoding for every tile. */
#define THIN_ROWS 8

const wh_blocks_isa *wh_blocks_isa_select(uint64_t features) {
  const wh_blocks_isa *isa = NULL;
#define WH_MATMUL_BLOCKS_KERNEL(level, needs)                                                               \
  static const wh_blocks_isa level = {wh_k_matmul_blocks_rows__##level, wh_k_matmul_blocks_decode__##level, \
                                      "matmul_blocks__" #level};                                            \
  if ((features & (needs)) == (needs)) isa = &level;
#include "backends/cpu/kernels_matmul_blocks.def"
  return isa;
}

wh_blocks_wide_fn wh_blocks_wide_select(uint64_t features, const char **name) {
  wh_blocks_wide_fn fn = NULL;
#define WH_MATMUL_BLOCKS_WIDE_KERNEL(level, needs) \
  if ((features & (needs)) == (needs)) {           \
    fn = wh_k_matmul_blocks_wide__##level;         \
    *name = "matmul_blocks_wide__" #level;         \
  }
#include "backends/cpu/kernels_matmul_blocks.def"
  return fn;
}

static bool decodes(uint64_t features, int64_t m) {
  return m > THIN_ROWS && wh_linear_f_steps(features) != NULL;
}

size_t wh_matmul_blocks_scratch(uint64_t features, int64_t m, int64_t k) {
  const wh_linear_layout l = wh_matmul_panels(WH_BLOCKS_COLS, k);
  size_t rows, all;
  if (!decodes(features, m)) return 0;
  return wh_linear_f_run_scratch(&l, m, &rows) && wh_add_size(rows, l.panel_bytes, &all) &&
                 wh_align_size(all, WH_ALIGN_SIMD, &all)
             ? all
             : SIZE_MAX;
}

static int64_t blocks_of(const wh_blocks_tile *t) { return ceil_div(t->k, t->block); }
static int64_t words_of(const wh_blocks_tile *t) { return blocks_of(t) * (t->block * t->bits / 32); }

/* `more`: a panel follows, whose weights are on their way while this one's rows are multiplied. */
static void run_decoded(const wh_matmul_blocks *p, wh_blocks_tile *t, bool more, const wh_worker *worker) {
  char *scratch = p->scratch + p->worker_scratch * (size_t)worker->index;
  const wh_linear_layout l = wh_matmul_panels(t->cols, t->k);
  const wh_worker alone = {0, 1, worker->team};
  const wh_linear_f_args args = {.layout = &l,
                                 .w = scratch,
                                 .x = t->x,
                                 .ldx = t->ldx,
                                 .m = p->m,
                                 .y = t->y,
                                 .ldy = t->ldy,
                                 .features = p->features,
                                 .scratch = scratch + l.panel_bytes,
                                 .scratch_bytes = p->worker_scratch - l.panel_bytes};
  t->y = (float *)(void *)scratch;
  p->isa->decode(t);
  if (more) {
    const int64_t words = words_of(t) * WH_BLOCKS_COLS, cells = blocks_of(t) * WH_BLOCKS_COLS;
    wh_ask_for(t->codes + words, words * (int64_t)sizeof *t->codes);
    wh_ask_for(t->scales + cells, cells * (int64_t)sizeof *t->scales);
    wh_ask_for(t->zeros + cells, cells);
  }
  wh_linear_f_run(&args, &alone, wh_linear_f_steps(p->features));
}

static void run_rows(const wh_matmul_blocks *p, wh_blocks_tile *t) {
  for (int64_t r = 0; r < p->m; r += WH_BLOCKS_ROWS) {
    t->rows = min_i64(WH_BLOCKS_ROWS, p->m - r);
    p->isa->rows(t);
    t->x += t->rows * t->ldx;
    t->y += t->rows * t->ldy;
  }
}

static void run_wide(const wh_matmul_blocks *p, wh_blocks_tile *t) {
  for (int64_t i = 0; i < ceil_div(p->m, WH_Q13A_TILE); i++) {
    const wh_q13a_tile x = wh_q13a_tile_at(p->q13a, p->m, t->k, i);
    t->wide = &x;
    t->rows = x.rows;
    p->wide(t);
    t->y += t->rows * t->ldy;
  }
}

void wh_matmul_blocks_run(const wh_matmul_blocks *p, const wh_worker *worker) {
  const int64_t blocks = blocks_of(&p->first), words = words_of(&p->first);
  int64_t begin, end;
  wh_worker_range(worker, ceil_div(p->n, WH_BLOCKS_COLS), &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    wh_blocks_tile t = p->first;
    t.cols = min_i64(WH_BLOCKS_COLS, p->n - i * WH_BLOCKS_COLS);
    t.codes += i * words * WH_BLOCKS_COLS;
    t.scales += i * blocks * WH_BLOCKS_COLS;
    t.zeros += i * blocks * WH_BLOCKS_COLS;
    t.y += i * WH_BLOCKS_COLS;
    if (p->wide)
      run_wide(p, &t);
    else if (decodes(p->features, p->m))
      run_decoded(p, &t, i + 1 < end, worker);
    else
      run_rows(p, &t);
  }
}
