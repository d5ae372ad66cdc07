/* matmul.c - cuts batches of products into parts: some columns of some rows of one batch. Of f32 with more
 * than a few rows a part's columns of b are copied into panels, and the kernels of products with weights run
 * on them: the sum of an output is the same chain. */
#include "backends/cpu/matmul.h"

#include <string.h>

#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/matmul_codes.h"
#include "backends/cpu/matmul_kernels.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

/* Up to here copying b would cost more than it saves. */
#define THIN_ROWS 4
/* Panels that are copied at a time: they stay in a second-level cache. */
#define PANELS_BYTES ((int64_t)1 << 19)
#define MOST_PANELS 16
#define ROW_BLOCK 384 /* rows that share a copy at least */
#define PANEL WH_LINEAR_F_COLS

wh_matmul_fn wh_matmul_select(uint64_t features, wh_dtype dtype, const char **name) {
  wh_matmul_fn fn = NULL;
  enum { f32 = WH_DTYPE_F32, f64 = WH_DTYPE_F64, i8i8 = -1, i8u8 = -1, u8i8 = -1, u8u8 = -1 };
#define WH_MATMUL_KERNEL(type, isa, needs)                          \
  if ((int)dtype == (int)type && (features & (needs)) == (needs)) { \
    fn = wh_k_matmul_##type##__##isa;                               \
    if (name) *name = "matmul_" #type "__" #isa;                    \
  }
#include "backends/cpu/kernels_matmul.def"
  return fn;
}

wh_matmul_fn wh_matmul_integer_select(uint64_t features, bool a_signed, bool b_signed, const char **name) {
  wh_matmul_fn fn = NULL;
  enum { f32 = -1, f64 = -1, u8u8 = 0, u8i8 = 1, i8u8 = 2, i8i8 = 3 };
#define WH_MATMUL_KERNEL(type, isa, needs)                                                       \
  if ((int)type == (a_signed ? 2 : 0) + (b_signed ? 1 : 0) && (features & (needs)) == (needs)) { \
    fn = wh_k_matmul_##type##__##isa;                                                            \
    if (name) *name = "matmul_" #type "__" #isa;                                                 \
  }
#include "backends/cpu/kernels_matmul.def"
  return fn;
}

/* ---- f32 in panels ---- */

static int64_t panels_at_a_time(int64_t n, int64_t k) {
  const int64_t fit = PANELS_BYTES / (PANEL * (int64_t)sizeof(float)) / (k ? k : 1);
  return min_i64(fit < 1 ? 1 : fit > MOST_PANELS ? MOST_PANELS : fit, ceil_div(n, PANEL));
}

wh_linear_layout wh_matmul_panels(int64_t n, int64_t k) {
  return (wh_linear_layout){.id = WH_LINEAR_F_PANELS,
                            .dtype = WH_DTYPE_F32,
                            .n = n,
                            .k = k,
                            .panel_cols = PANEL,
                            .n_panels = ceil_div(n, PANEL),
                            .panel_bytes = (size_t)k * PANEL * sizeof(float)};
}

static bool in_panels(uint64_t features, bool codes, int64_t m, int64_t n, int64_t k) {
  return m > THIN_ROWS && n > 0 && k > 0 &&
         (codes ? wh_codes_isa_select(features) != NULL : wh_linear_f_steps(features) != NULL);
}

size_t wh_matmul_scratch(uint64_t features, bool codes, int64_t m, int64_t n, int64_t k) {
  size_t rows, panels, all;
  if (!in_panels(features, codes, m, n, k)) return 0;
  if (codes) return wh_matmul_codes_scratch(wh_codes_isa_select(features), n, k, &all) ? all : SIZE_MAX;
  const int64_t count = panels_at_a_time(n, k);
  const wh_linear_layout l = wh_matmul_panels(min_i64(n, count * PANEL), k);
  if (!wh_linear_f_run_scratch(&l, m, &rows) ||
      !wh_mul_size((size_t)k, (size_t)count * PANEL * sizeof(float), &panels) ||
      !wh_add_size(rows, panels, &all))
    return SIZE_MAX;
  return all;
}

void wh_matmul_copy_panels(const wh_linear_layout *l, const void *b, int64_t ldb, int64_t begin, int64_t end,
                           float *dst) {
  const int64_t half = WH_LINEAR_F_HALF, last = min_i64(end * PANEL, l->n);
  for (int64_t col = begin * PANEL; col < last; col += half) {
    const int64_t cols = min_i64(half, last - col);
    const char *from = (const char *)b + (size_t)col * sizeof *dst;
    float *to = dst + (size_t)(col * l->k);
    for (int64_t k = 0; k < l->k; k++, from += (size_t)ldb * sizeof *dst, to += half) {
      if (cols == half) {
        memcpy(to, from, WH_LINEAR_F_HALF * sizeof *to);
        continue;
      }
      memcpy(to, from, (size_t)cols * sizeof *to);
      memset(to + cols, 0, (size_t)(half - cols) * sizeof *to);
    }
  }
}

bool wh_matmul_layout(uint64_t features, int64_t n, int64_t k, wh_linear_layout *out) {
  if (!wh_linear_f_steps(features) || wh_linear_f_layout(features, WH_DTYPE_F32, n, k, out) != WH_OK)
    return false;
  out->id = WH_MATMUL_PANELS;
  return true;
}

void wh_matmul_pack(const wh_linear_layout *l, const void *src, void *dst, int64_t panel_begin,
                    int64_t panel_end) {
  wh_matmul_copy_panels(l, src, l->n, panel_begin, panel_end, dst);
}

static void run_panels(const wh_matmul *p, const wh_matmul_part *part, const wh_product_end *end,
                       const wh_worker *worker) {
  char *scratch = p->scratch + p->worker_scratch * (size_t)worker->index;
  if (p->codes) {
    wh_matmul_codes_run(wh_codes_isa_select(p->features), part, p->a_signed, p->b_signed, scratch);
    return;
  }
  const wh_linear_layout l = wh_matmul_panels(part->n, part->k);
  const size_t panels = l.panel_bytes * (size_t)l.n_panels;
  const wh_worker alone = {0, 1, worker->team};
  const wh_linear_f_args args = {.layout = &l,
                                 .w = scratch,
                                 .x = part->a,
                                 .ldx = part->lda,
                                 .m = part->m,
                                 .y = part->y,
                                 .ldy = part->ldy,
                                 .features = p->features,
                                 .end = end,
                                 .scratch = scratch + panels,
                                 .scratch_bytes = p->worker_scratch - panels};
  wh_matmul_copy_panels(&l, part->b, part->ldb, 0, l.n_panels, (float *)(void *)scratch);
  wh_linear_f_run(&args, &alone, wh_linear_f_steps(p->features));
}

/* ---- parts ---- */

void wh_matmul_run(const wh_matmul *p, const wh_worker *worker) {
  const wh_matmul_part *whole = &p->part;
  const bool is_f64 = p->y_bytes == sizeof(double);
  const bool panels = p->scratch && !is_f64 && in_panels(p->features, p->codes, whole->m, whole->n, whole->k);
  const int64_t n_batches = wh_nd_elements(&p->batches);
  if (whole->m <= 0 || whole->n <= 0) return;
  int64_t width = !panels    ? 256
                  : p->codes ? wh_matmul_codes_width(wh_codes_isa_select(p->features), whole->n, whole->k)
                             : panels_at_a_time(whole->n, whole->k) * PANEL;
  int64_t height = whole->m;
  while (width > 2 * PANEL && n_batches * ceil_div(whole->n, width) < 2 * worker->count) width /= 2;
  while (height > ROW_BLOCK &&
         n_batches * ceil_div(whole->n, width) * ceil_div(whole->m, height) < 2 * worker->count)
    height = ceil_div(height, 2);
  if (width % PANEL) width += PANEL - width % PANEL;
  const int64_t across = ceil_div(whole->n, width), down = ceil_div(whole->m, height);
  int64_t begin, end;
  wh_worker_range(worker, n_batches * across * down, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const int64_t batch = i / (across * down), col = i / down % across * width, row = i % down * height;
    const wh_nd_at at = wh_nd_seek(&p->batches, batch);
    wh_matmul_part part = *whole;
    part.m = min_i64(height, whole->m - row);
    part.n = min_i64(width, whole->n - col);
    part.a = (const char *)whole->a + (size_t)(at.offset[0] + row * whole->lda) * p->a_bytes;
    part.b = (const char *)whole->b + (size_t)(at.offset[1] + col) * p->b_bytes;
    part.y = (char *)whole->y + (size_t)((batch * whole->m + row) * whole->ldy + col) * p->y_bytes;
    if (part.a_zero) part.a_zero = (const char *)part.a_zero + (size_t)(row * part.a_zero_step) * p->a_bytes;
    if (part.b_zero) part.b_zero = (const char *)part.b_zero + (size_t)(col * part.b_zero_step) * p->b_bytes;
    wh_product_end ends;
    if (p->end)
      ends = (wh_product_end){p->end->run, p->end->find_ops, p->end->of, batch * whole->m + row, col};
    if (panels) {
      run_panels(p, &part, p->end ? &ends : NULL, worker);
      continue;
    }
    p->fn(&part);
    if (p->end) wh_product_end_run(&ends, part.y, part.ldy, 0, part.m, 0, part.n);
  }
}
