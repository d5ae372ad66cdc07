/* conv_winograd.c - see conv_winograd.h. */
#include "backends/cpu/conv_winograd.h"

#include <string.h>

#include "backends/cpu/conv_plan.h"
#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

#define ELEMENTS (512 << 10) /* bytes of a band's elements, that a second-level cache holds */
#define PRODUCTS (128 << 10)
#define LEAST_TILES 16
#define MOST_PANELS 8
#define TASKS_PER_WORKER 2
#define MOST_ALONE 3 /* workers, of which each makes all elements sooner than it reads what others made */
#define LANES 16     /* of the widest vectors */
#define LINE 16      /* floats */

/* ---- how they are cut ---- */

/* What a band of so many tiles costs, in vectors of a processor with 8 lanes; its weights are read once more.
 */
static int64_t band_cost(int64_t tiles) { return tiles ? ceil_div(tiles, 8) + 1 : 0; }

static int64_t most_tiles(int64_t c) {
  const int64_t n = ELEMENTS / (WH_WINOGRAD_POSITIONS * (int64_t)sizeof(float)) / c;
  return n < LEAST_TILES ? LEAST_TILES : min_i64(n, WH_WINOGRAD_TILES);
}

/* Whole rows where several fit, as many as leave the fewest lanes empty; else pieces of rows. */
static void cut_bands(int64_t c, wh_winograd_plan *p) {
  const int64_t most = most_tiles(c);
  int64_t best = INT64_MAX;
  p->col_bands = ceil_div(p->cols, most);
  p->band_cols = ceil_div(p->cols, p->col_bands);
  p->band_rows = 1;
  for (int64_t r = 1; p->col_bands == 1 && r <= p->rows && r * p->cols <= most; r++) {
    const int64_t cost = p->rows / r * band_cost(r * p->cols) + band_cost(p->rows % r * p->cols);
    if (cost > best) continue;
    best = cost;
    p->band_rows = r;
  }
  p->row_bands = ceil_div(p->rows, p->band_rows);
}

/* Positions that lie an odd number of lines apart do not meet in a cache's sets. */
static bool odd_lines(int64_t rows, int64_t ld, int64_t *out) {
  if (__builtin_mul_overflow(rows, ld, out) || *out > INT64_MAX / 2) return false;
  if (*out / LINE % 2 == 0) *out += LINE;
  return true;
}

static bool bytes_of(int64_t n, int64_t floats, size_t *out) {
  return wh_mul_size((size_t)n, (size_t)floats, out) && wh_mul_size(*out, sizeof(float), out) &&
         wh_add_size(*out, LANES * sizeof(float), out) && wh_align_size(*out, 64, out);
}

/* Lanes are tiles: products wait at [position][output][tile]. */
static bool plan_tiles(int64_t c, int64_t m, wh_winograd_plan *p) {
  cut_bands(c, p);
  const int64_t tiles = p->band_rows * p->band_cols, panels = ceil_div(m, WH_WINOGRAD_PANEL);
  p->panel = WH_WINOGRAD_PANEL;
  p->ld = ceil_div(tiles, LANES) * LANES;
  if (p->ld % (4 * LINE) == 0) p->ld += LINE;
  p->panels = PRODUCTS / (WH_WINOGRAD_POSITIONS * WH_WINOGRAD_PANEL * (int64_t)sizeof(float)) / p->ld;
  p->panels = p->panels < 2 ? 2 : min_i64(p->panels, MOST_PANELS);
  p->panels = ceil_div(panels, ceil_div(panels, p->panels)); /* about equally many */
  p->panels = ceil_div(p->panels, 2) * 2;                    /* tiles take one to four, mostly two */
  return odd_lines(p->panels * WH_WINOGRAD_PANEL, p->ld, &p->m_step);
}

/* Which each worker may as well read all of. */
static bool has_few_weights(int64_t c, int64_t m) {
  return (double)c * (double)m <= ELEMENTS / (WH_WINOGRAD_POSITIONS * sizeof(float));
}

/* Lanes are outputs: products wait at [position][tile][output]. Bands leave no lanes empty, so that workers
 * have equally many of them where units are no tasks for all. */
static bool plan_outputs(int64_t c, int64_t m, int64_t units, int workers, wh_winograd_plan *p) {
  const int64_t most = most_tiles(c);
  p->even = true;
  p->col_bands = ceil_div(p->cols, most);
  p->band_cols = ceil_div(p->cols, p->col_bands);
  p->row_bands = ceil_div(p->rows, p->col_bands == 1 ? most / p->cols : 1);
  if ((p->row_bands > 1 || (has_few_weights(c, m) && p->rows >= workers)) && units == 1)
    p->row_bands = min_i64(ceil_div(p->row_bands, workers) * workers, p->rows);
  p->band_rows = ceil_div(p->rows, p->row_bands);
  const int64_t tiles = p->band_rows * p->band_cols;
  p->panel = WH_WINOGRAD_WIDE;
  p->panels = m <= WH_WINOGRAD_WIDE ? 1 : 2;
  p->ld = ceil_div(tiles, 4) * 4;
  if (p->ld % (4 * LINE) == 0) p->ld += LINE;
  return odd_lines(tiles + 1, p->panels * WH_WINOGRAD_WIDE, &p->m_step); /* tiles are computed in twos */
}

bool wh_winograd_make_plan(const wh_window *w, int64_t n, int64_t group, int64_t c, int64_t m, int workers,
                           bool packed, int64_t lanes, wh_winograd_plan *out) {
  if (!wh_conv_is_bounded(w, c)) return false;
  wh_winograd_plan p = {.rows = ceil_div(w->out[1], 2), .cols = ceil_div(w->out[2], 2)};
  *out = p;
  if (p.rows <= 0 || p.cols <= 0 || n <= 0) return true;
  int64_t units, tasks;
  if (__builtin_mul_overflow(n, group, &units)) return false;
  const bool wide = wh_winograd_is_wide(m, lanes);
  if (!(wide ? plan_outputs(c, m, units, workers, &p) : plan_tiles(c, m, &p))) return false;
  p.shared = workers > 1 && !__builtin_mul_overflow(p.row_bands, p.col_bands, &tasks) &&
             !__builtin_mul_overflow(tasks, units, &tasks) &&
             tasks < (int64_t)workers * (wide && units == 1 && has_few_weights(c, m) ? 1 : TASKS_PER_WORKER);
  /* panels that are fewer than workers keep fewer of them busy than bands do */
  const int64_t all = ceil_div(m, p.panel);
  if (wide && p.shared && all < workers && tasks > ceil_div(tasks, workers) * all) p.shared = false;
  p.stage = wide ? 0 : ceil_div(p.band_cols + 1, LANES) * LANES + LANES;
  p.sums = p.band_rows * 2 * p.band_cols * 2 + 2 * LANES;
  size_t bytes;
  const int64_t chunked = c > WH_LINEAR_F_CHUNK ? 2 : 1; /* chains so far apart from the sums of chunks */
  if (!odd_lines(c, p.ld, &p.step) || !bytes_of(WH_WINOGRAD_POSITIONS, p.step, &bytes) ||
      !bytes_of(WH_WINOGRAD_POSITIONS * chunked, p.m_step, &p.product_bytes) ||
      !bytes_of(2 * p.band_rows + 2, 2 * p.stage, &p.stage_bytes) ||
      !bytes_of(p.panel, p.sums, &p.sum_bytes) ||
      (!packed && !bytes_of(p.panels * WH_WINOGRAD_POSITIONS * p.panel, c, &p.weight_bytes)))
    return false;
  p.together = p.shared && workers > MOST_ALONE;
  *(p.together ? &p.shared_bytes : &p.element_bytes) = bytes;
  p.worker_bytes = p.product_bytes + p.stage_bytes + p.sum_bytes;
  if (!wh_add_size(p.worker_bytes, p.element_bytes, &p.worker_bytes) ||
      !wh_add_size(p.worker_bytes, p.weight_bytes, &p.worker_bytes))
    return false;
  *out = p;
  return true;
}

/* ---- weights ---- */

typedef float f32x4 __attribute__((vector_size(16)));

wh_status wh_winograd_layout(int64_t m, int64_t c, int64_t panel, wh_linear_layout *out) {
  /* a product whose k is (position, channel) */
  const int64_t most = (INT64_C(1) << 31) / WH_WINOGRAD_POSITIONS;
  if (m < 1 || c < 1 || m >= most || c >= most)
    return WH_FAIL(ERR_LIMIT, "weights of %lld x %lld: each dimension must be 1 to %lld", (long long)m,
                   (long long)c, (long long)most - 1);
  wh_linear_layout l = {.dtype = WH_DTYPE_F32,
                        .n = m,
                        .k = WH_WINOGRAD_POSITIONS * c,
                        .panel_cols = panel,
                        .n_panels = ceil_div(m, panel)};
  l.panel_bytes = (size_t)l.k * (size_t)panel * sizeof(float);
  if (!wh_mul_size(l.panel_bytes, (size_t)l.n_panels, &l.n_bytes))
    return WH_FAIL(ERR_LIMIT, "weights of %lld x %lld do not fit the address space", (long long)m,
                   (long long)c);
  *out = l;
  return WH_OK;
}

/* Three to four: see NUMERICS.md. */
static void filter_three(f32x4 g0, f32x4 g1, f32x4 g2, f32x4 *u, int64_t step) {
  const f32x4 s = g0 + g2;
  u[0] = g0;
  u[step] = 0.5f * (s + g1);
  u[2 * step] = 0.5f * (s - g1);
  u[3 * step] = g2;
}

/* Four outputs of a panel; u is the first one's. */
static void four_weights(const float *w, int64_t rows, int64_t c, int64_t panel, float *u) {
  static const float none[9];
  const float *row[4];
  const int64_t step[] = {rows > 0 ? 9 : 0, rows > 1 ? 9 : 0, rows > 2 ? 9 : 0, rows > 3 ? 9 : 0};
  for (int64_t r = 0; r < 4; r++) row[r] = r < rows ? w + r * c * 9 : none;
  /* four channels make lines of the 16 positions, which lie far apart, whole where panels are of four */
  for (int64_t k = 0; k < c; k += 4) {
    const int64_t n = min_i64(4, c - k);
    f32x4 lines[WH_WINOGRAD_POSITIONS][4];
    for (int64_t i = 0; i < n; i++) {
      f32x4 g[9], t[12], all[16];
      for (int j = 0; j < 9; j++) g[j] = (f32x4){row[0][j], row[1][j], row[2][j], row[3][j]};
      for (int j = 0; j < 3; j++) filter_three(g[j], g[3 + j], g[6 + j], t + j, 3);
      for (int j = 0; j < 4; j++) filter_three(t[3 * j], t[3 * j + 1], t[3 * j + 2], all + 4 * j, 1);
      for (int j = 0; j < WH_WINOGRAD_POSITIONS; j++) lines[j][i] = all[j];
      for (int64_t r = 0; r < 4; r++) row[r] += step[r];
    }
    for (int64_t j = 0; j < WH_WINOGRAD_POSITIONS; j++)
      for (int64_t i = 0; i < n; i++) memcpy(u + (j * c + k + i) * panel, &lines[j][i], sizeof lines[j][i]);
  }
}

void wh_winograd_weights(const float *w, int64_t rows, int64_t c, int64_t panel, float *u) {
  for (int64_t r = 0; r < panel; r += 4) four_weights(w + r * c * 9, rows - r, c, panel, u + r);
}

void wh_winograd_pack(const wh_linear_layout *l, const void *src, void *dst, int64_t panel_begin,
                      int64_t panel_end) {
  const int64_t c = l->k / WH_WINOGRAD_POSITIONS, panel = l->panel_cols;
  for (int64_t i = panel_begin; i < panel_end; i++) {
    const int64_t first = i * panel;
    wh_winograd_weights((const float *)src + first * c * 9, min_i64(panel, l->n - first), c, panel,
                        (float *)dst + i * panel * l->k);
  }
}
