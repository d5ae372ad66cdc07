/* expert_linear.c - sorts rows by expert and hands (rows of one expert) x (panels) to the plain products'
 * kernels. Any cut gives the same bits, since a row's result is its own.
 *
 * Every worker sorts the rows for itself: that costs less than a barrier. Tasks are numbered over all
 * experts, so that a decoding step, whose experts have a row or two each, is one loop over the chosen
 * experts' panels. A worker gathers a group's activations into its own scratch when its first task of the
 * group comes. */
#include "backends/cpu/expert_linear.h"

#include <string.h>

#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

/* Gathered activations stay in a private cache while panels stream past. */
#define GROUP_BYTES (512 << 10)
/* Panels whose results are held until they are put in their rows. */
#define HELD_PANELS 8
/* Enough tasks that the last worker to finish is not waited for; fewer where a product does little but read
 * weights, since every task begins by waiting for memory. */
#define TASKS_PER_WORKER 12
#define READING_TOKENS 8
#define READING_TASKS_PER_WORKER 4
/* What a panel costs beside its rows (widening or reading its codes), in rows. */
#define PANEL_ROWS 8

/* ---- weights ---- */

wh_status wh_expert_linear_layout(uint64_t features, wh_dtype dtype, int64_t n_experts, int64_t n, int64_t k,
                                  wh_expert_layout *out) {
  wh_expert_layout l = {.n_experts = n_experts};
  if (n_experts < 1 || n_experts > INT32_MAX)
    return WH_FAIL(ERR_LIMIT, "weights of %lld experts", (long long)n_experts);
  if (wh_dtype_is_quantised(dtype))
    WH_TRY(wh_linear_q_layout(features, dtype, n, k, &l.matrix));
  else if (wh_linear_h_has(dtype))
    WH_TRY(wh_linear_h_layout(features, dtype, n, k, &l.matrix));
  else
    WH_TRY(wh_linear_f_layout(features, dtype, n, k, &l.matrix));
  l.expert_bytes = l.matrix.n_bytes;
  bool fits = l.matrix.id == 0 || wh_align_size(l.matrix.n_bytes, 64, &l.expert_bytes);
  if (!fits || !wh_mul_size(l.expert_bytes, (size_t)n_experts, &l.n_bytes))
    return WH_FAIL(ERR_LIMIT, "weights of %lld experts of %lld x %lld do not fit the address space",
                   (long long)n_experts, (long long)n, (long long)k);
  *out = l;
  return WH_OK;
}

bool wh_expert_linear_pack(const wh_expert_layout *l, const void *src, void *dst, int64_t panel_begin,
                           int64_t panel_end) {
  const wh_linear_layout *m = &l->matrix;
  const wh_dtype_info *type = wh_dtype_get(m->dtype);
  const size_t file_bytes = (size_t)m->k / type->block_elems * type->block_bytes * (size_t)m->n;
  bool finite = true;
  for (int64_t panel = panel_begin; panel < panel_end;) {
    const int64_t expert = panel / m->n_panels, first = panel % m->n_panels;
    const int64_t end = min_i64(m->n_panels, first + panel_end - panel);
    const char *from = (const char *)src + (size_t)expert * file_bytes;
    char *to = (char *)dst + (size_t)expert * l->expert_bytes;
    finite &= wh_dtype_is_quantised(m->dtype) ? wh_linear_q_pack(m, from, to, first, end)
              : wh_linear_h_has(m->dtype)     ? wh_linear_h_pack(m, from, to, first, end)
                                              : wh_linear_f_pack(m, from, to, first, end);
    if (end == m->n_panels) memset(to + m->n_bytes, 0, l->expert_bytes - m->n_bytes); /* files keep it */
    panel += end - first;
  }
  return finite;
}

/* ---- scratch ---- */

typedef struct scratch {
  int32_t *begin; /* [n_experts + 1]: where an expert's rows begin in `order` */
  int32_t *order; /* rows of y, by expert, in order */
  void *x;        /* a group's activations */
  float *y;       /* [group rows][HELD_PANELS panels] */
  void *product;  /* the kernels' own */
} scratch;

#define TILE WH_Q8A_TILE
_Static_assert(WH_Q13A_TILE == TILE, "both forms of activations come in the same tiles");

/* Bytes of activations in the form that the products take; rows and k are below 2^31. */
static size_t x_row_bytes(const wh_linear_layout *m, int64_t rows) {
  if (wh_dtype_is_quantised(m->dtype)) return wh_q8a_bytes(rows, m->k);
  if (wh_linear_h_has(m->dtype)) return wh_q13a_bytes(rows, m->k);
  return (size_t)m->k * sizeof(float) * (size_t)rows;
}

/* Rows of one group: whole tiles. */
static int64_t group_rows(const wh_linear_layout *m) {
  const int64_t fit = (int64_t)(GROUP_BYTES / x_row_bytes(m, TILE));
  return (fit < 1 ? 1 : fit) * TILE;
}

/* Panels [first, first + count) of the matrix as a matrix. */
static wh_linear_layout some_panels(const wh_linear_layout *m, int64_t first, int64_t count) {
  wh_linear_layout l = *m;
  l.n = min_i64(m->n - first * m->panel_cols, count * m->panel_cols);
  l.n_panels = count;
  l.n_bytes = (size_t)count * m->panel_bytes;
  return l;
}

/* The parts' sizes in the order of `scratch`; false on overflow. */
static bool part_bytes(const wh_expert_layout *l, int64_t rows_max, size_t product, size_t parts[5]) {
  const wh_linear_layout *m = &l->matrix;
  const int64_t rows = min_i64(rows_max, group_rows(m)), panels = min_i64(HELD_PANELS, m->n_panels);
  if (rows_max < 0 || rows_max > INT32_MAX) return false;
  const size_t x_bytes = x_row_bytes(m, rows);
  const size_t bytes[5] = {((size_t)l->n_experts + 1) * sizeof(int32_t), (size_t)rows_max * sizeof(int32_t),
                           x_bytes, (size_t)(rows * panels * m->panel_cols) * sizeof(float), product};
  for (int i = 0; i < 5; i++)
    if (!wh_align_size(bytes[i], 64, &parts[i])) return false;
  return true;
}

bool wh_expert_linear_scratch_bytes(uint64_t features, const wh_expert_layout *l, int64_t rows_max,
                                    size_t *out) {
  const wh_linear_layout *m = &l->matrix;
  size_t parts[5], total = 0, product = 0;
  if (m->dtype == WH_DTYPE_F32) {
    product = wh_linear_f_scratch_bytes(features, m, min_i64(rows_max, group_rows(m)));
    if (product == SIZE_MAX) return false;
  } else if (wh_linear_h_has(m->dtype)) {
    product = wh_linear_h_scratch_bytes(features, m, min_i64(rows_max, group_rows(m)));
  } else {
    product = wh_linear_q_scratch_bytes(features, m, min_i64(rows_max, group_rows(m)));
  }
  if (!part_bytes(l, rows_max, product, parts)) return false;
  for (int i = 0; i < 5; i++)
    if (!wh_add_size(total, parts[i], &total)) return false;
  *out = total;
  return true;
}

static scratch scratch_of(const wh_expert_linear_args *a, const wh_worker *worker) {
  char *p = (char *)a->scratch + a->scratch_bytes * (size_t)worker->index;
  size_t parts[5];
  (void)part_bytes(a->layout, a->tokens * a->slots, 0, parts); /* at most what was asked for */
  scratch s = {.begin = (int32_t *)(void *)p, .order = (int32_t *)(void *)(p + parts[0])};
  s.x = p + parts[0] + parts[1];
  s.y = (float *)(void *)(p + parts[0] + parts[1] + parts[2]);
  s.product = p + parts[0] + parts[1] + parts[2] + parts[3];
  return s;
}

/* ---- rows by expert ---- */

static void sort_rows(const wh_expert_linear_args *a, const scratch *s) {
  const int64_t n_rows = a->tokens * a->slots, n_experts = a->layout->n_experts;
  memset(s->begin, 0, ((size_t)n_experts + 1) * sizeof *s->begin);
  for (int64_t r = 0; r < n_rows; r++) s->begin[a->selected[r]]++;
  for (int64_t e = 0, sum = 0; e <= n_experts; e++) { /* begin[e]: where the expert's rows end, for now */
    sum += e < n_experts ? s->begin[e] : 0;
    s->begin[e] = (int32_t)sum;
  }
  for (int64_t r = n_rows; r-- > 0;) s->order[--s->begin[a->selected[r]]] = (int32_t)r;
}

/* ---- gathering ---- */

/* Where rows of y have their activations. */
static int64_t x_row(const wh_expert_linear_args *a, int32_t y_row) {
  return a->per_slot ? y_row : y_row / a->slots;
}

/* Rows x[0..n) of tile `s` to rows [i0, i0 + n) of tile `d`. Block by block, since that is how both lie. */
static void copy_q8a_rows(const wh_q8a_tile *d, int64_t i0, const wh_q8a_tile *s, const uint8_t *x, int64_t n,
                          int64_t n_blocks) {
  for (int64_t b = 0; b < n_blocks; b++)
    for (int64_t r = 0; r < n; r++) {
      const int64_t i = b * d->rows + i0 + r, j = b * s->rows + x[r];
      memcpy(d->q + i * 32, s->q + j * 32, 32);
      memcpy(d->nbsum16 + i * 2, s->nbsum16 + j * 2, 2 * sizeof *d->nbsum16);
      for (int h = 0; h < 2; h++) memcpy(d->npair[h] + i * 2, s->npair[h] + j * 2, 2 * sizeof *d->npair[h]);
      d->t[i] = s->t[j];
      d->nbsum[i] = s->nbsum[j];
      d->fbsum[i] = s->fbsum[j];
    }
  for (int64_t g = 0; g < (n_blocks + 7) / 8; g++)
    for (int64_t r = 0; r < n; r++) {
      const int64_t i = g * d->rows + i0 + r, j = g * s->rows + x[r];
      memcpy(d->jsum + i * 8, s->jsum + j * 8, 8 * sizeof *d->jsum);
      memcpy(d->jsum16 + i * 16, s->jsum16 + j * 16, 16 * sizeof *d->jsum16);
      d->scale[i] = s->scale[j];
    }
}

static void copy_q13a_rows(const wh_q13a_tile *d, int64_t i0, const wh_q13a_tile *s, const uint8_t *x,
                           int64_t n, int64_t n_blocks) {
  for (int64_t b = 0; b < n_blocks; b++)
    for (int64_t r = 0; r < n; r++) {
      const int64_t i = b * d->rows + i0 + r, j = b * s->rows + x[r];
      memcpy(d->q + i * WH_Q13A_BLOCK, s->q + j * WH_Q13A_BLOCK, WH_Q13A_BLOCK * sizeof *d->q);
      d->scale[i] = s->scale[j];
    }
}

/* In runs of rows that share a tile on both sides; rows are in order, so runs are long. */
static void gather_tiles(const wh_expert_linear_args *a, const int32_t *rows, int64_t m, void *dst) {
  const int64_t k = a->layout->matrix.k, n_x = a->per_slot ? a->tokens * a->slots : a->tokens;
  for (int64_t i = 0; i < m;) {
    uint8_t in_tile[TILE];
    const int64_t first = i, to = i / TILE, from = x_row(a, rows[i]) / TILE;
    for (; i < m && i / TILE == to && x_row(a, rows[i]) / TILE == from; i++)
      in_tile[i - first] = (uint8_t)(x_row(a, rows[i]) % TILE);
    if (wh_linear_h_has(a->layout->matrix.dtype)) {
      const wh_q13a_tile d = wh_q13a_tile_at(dst, m, k, to), s = wh_q13a_tile_at(a->x, n_x, k, from);
      copy_q13a_rows(&d, first % TILE, &s, in_tile, i - first, (int64_t)wh_q13a_blocks(k));
    } else {
      const wh_q8a_tile d = wh_q8a_tile_at(dst, m, k, to), s = wh_q8a_tile_at(a->x, n_x, k, from);
      copy_q8a_rows(&d, first % TILE, &s, in_tile, i - first, k / 32);
    }
  }
}

/* The activations of the `m` rows of y in `rows`, one after the other; in place where they are already. */
static void *gather(const wh_expert_linear_args *a, const int32_t *rows, int64_t m, void *dst) {
  const int64_t k = a->layout->matrix.k, n_x = a->per_slot ? a->tokens * a->slots : a->tokens;
  if (a->linear_q) {
    if (n_x == 1 && m == 1) return a->x;
    gather_tiles(a, rows, m, dst);
    return dst;
  }
  float *x = a->x;
  if (m == 1) return x + x_row(a, rows[0]) * k;
  for (int64_t i = 0; i < m; i++)
    memcpy((float *)dst + i * k, x + x_row(a, rows[i]) * k, (size_t)k * sizeof *x);
  return dst;
}

/* ---- running ---- */

/* Rows of one expert, at most group_rows of them, and the tasks that their panels are cut into. */
typedef struct group {
  int64_t expert, row, rows; /* row: in `order` */
  int64_t first_task, n_tasks;
  void *x; /* gathered; NULL: not yet */
} group;

/* `m` rows of activations times panels [first, first + count) of an expert; y at the first panel's column. */
static void multiply(const wh_expert_linear_args *a, const group *g, int64_t first, int64_t count, float *y,
                     int64_t ldy, void *product_scratch) {
  const wh_linear_layout *m = &a->layout->matrix, part = some_panels(m, first, count);
  const wh_worker alone = {0, 1, NULL};
  const char *w =
      (const char *)a->w + (size_t)g->expert * a->layout->expert_bytes + (size_t)first * m->panel_bytes;
  if (a->linear_q) {
    const wh_linear_q_args q = {.layout = &part,
                                .w = w,
                                .x = g->x,
                                .m = g->rows,
                                .y = y,
                                .ldy = ldy,
                                .fetch = a->fetch,
                                .scratch = product_scratch};
    a->linear_q(&q, &alone);
  } else {
    const wh_linear_f_args f = {.layout = &part,
                                .w = w,
                                .x = g->x,
                                .ldx = m->k,
                                .m = g->rows,
                                .y = y,
                                .ldy = ldy,
                                .features = a->features,
                                .scratch = product_scratch};
    a->linear_f(&f, &alone);
  }
}

static void run_panels(const wh_expert_linear_args *a, const scratch *s, const group *g, int64_t first,
                       int64_t end) {
  const wh_linear_layout *m = &a->layout->matrix;
  const int32_t *rows = s->order + g->row;
  if (g->rows == 1) { /* straight into its place */
    multiply(a, g, first, end - first, a->y + rows[0] * m->n + first * m->panel_cols, m->n, s->product);
    return;
  }
  for (; first < end; first += HELD_PANELS) {
    const int64_t count = min_i64(HELD_PANELS, end - first), col = first * m->panel_cols;
    const int64_t ldy = count * m->panel_cols, cols = min_i64(ldy, m->n - col);
    multiply(a, g, first, count, s->y, ldy, s->product);
    for (int64_t i = 0; i < g->rows; i++)
      memcpy(a->y + rows[i] * m->n + col, s->y + i * ldy, (size_t)cols * sizeof *s->y);
  }
}

/* What a panel of a group costs. */
static int64_t panel_weight(int64_t rows) { return rows + PANEL_ROWS; }

/* The group after `g`, which starts out as all zeros; false after the last. `share` is what a task should
 * cost. */
static bool next_group(const wh_expert_linear_args *a, const scratch *s, int64_t share, group *g) {
  const int64_t limit = group_rows(&a->layout->matrix), n_panels = a->layout->matrix.n_panels;
  g->row += g->rows;
  while (g->expert < a->layout->n_experts && g->row == s->begin[g->expert + 1]) g->expert++;
  if (g->expert == a->layout->n_experts) return false;
  g->rows = min_i64(limit, s->begin[g->expert + 1] - g->row);
  g->first_task += g->n_tasks;
  g->n_tasks = min_i64(n_panels, ceil_div(n_panels * panel_weight(g->rows), share));
  g->x = NULL;
  return true;
}

/* What a task should cost for every worker to have several. */
static int64_t task_share(const wh_expert_linear_args *a, const scratch *s, int32_t n_workers) {
  int64_t total = 0, limit = group_rows(&a->layout->matrix);
  for (int64_t e = 0; e < a->layout->n_experts; e++) {
    const int64_t rows = s->begin[e + 1] - s->begin[e];
    total += rows + ceil_div(rows, limit) * PANEL_ROWS;
  }
  const int64_t tasks = a->tokens <= READING_TOKENS ? READING_TASKS_PER_WORKER : TASKS_PER_WORKER;
  return ceil_div(total * a->layout->matrix.n_panels, tasks * n_workers);
}

void wh_expert_linear(const wh_expert_linear_args *a, const wh_worker *worker) {
  if (a->tokens <= 0) return;
  const scratch s = scratch_of(a, worker);
  const int64_t n_panels = a->layout->matrix.n_panels;
  sort_rows(a, &s);
  const int64_t share = task_share(a, &s, worker->count);
  group g = {0};
  for (int64_t next = 0;;) {
    const int64_t task = worker->count == 1 ? next++ : wh_team_next(worker, a->step);
    while (task >= g.first_task + g.n_tasks)
      if (!next_group(a, &s, share, &g)) return;
    if (!g.x) g.x = gather(a, s.order + g.row, g.rows, s.x);
    const int64_t i = task - g.first_task;
    run_panels(a, &s, &g, n_panels * i / g.n_tasks, n_panels * (i + 1) / g.n_tasks);
  }
}
