/* conv_winograd_run.h - minimal filtering over one vector type: see conv_winograd.h. Included by
 * conv_driver.h. */
#ifndef WH_CPU_CONV_WINOGRAD_RUN_H
#define WH_CPU_CONV_WINOGRAD_RUN_H

#include "backends/cpu/conv_winograd.h"

#define WINOGRAD_ROWS 4 /* outputs whose sums become results together */
_Static_assert(WINOGRAD_ROWS <= WH_WINOGRAD_PANEL, "rows of sums fit a temporary (conv_end.h)");

typedef struct winograd_band {
  int64_t row, col, rows, cols; /* tiles */
  int64_t place, wide;          /* the first output, and outputs of a row */
  int64_t high;                 /* rows of outputs */
} winograd_band;

typedef struct winograd_run {
  const wh_conv_args *a;
  const wh_winograd_plan *p;
  float *elements, *products, *stage, *sums, *weights;
  conv_end end;
} winograd_run;

static winograd_band winograd_band_at(const winograd_run *r, int64_t index) {
  const wh_winograd_plan *p = r->p;
  const int64_t *out = r->a->win.out;
  const int64_t i = index / p->col_bands;
  winograd_band b = {.row = p->even ? p->rows * i / p->row_bands : i * p->band_rows,
                     .col = index % p->col_bands * p->band_cols};
  b.rows = min_i64(p->even ? p->rows * (i + 1) / p->row_bands - b.row : p->band_rows, p->rows - b.row);
  b.cols = min_i64(p->band_cols, p->cols - b.col);
  b.place = 2 * b.row * out[2] + 2 * b.col;
  b.wide = min_i64(2 * b.cols, out[2] - 2 * b.col);
  b.high = min_i64(2 * b.rows, out[1] - 2 * b.row);
  return b;
}

/* Sums [rows][p->sums] of channels from m on, n of them that follow each other in the plane from `place` on.
 */
static void winograd_finish_run(winograd_run *r, float *sums, int64_t m, int64_t rows, int64_t place,
                                int64_t n) {
  const conv_unit *u = r->end.u;
  for (int64_t i = 0; i < n; i += WH_WINOGRAD_PLACES)
    conv_end_run(&r->end, sums + i, m, rows, place + i, min_i64(WH_WINOGRAD_PLACES, n - i));
  for (int64_t i = 0; u->a->chain && !r->end.n_ops && i < rows; i++)
    wh_conv_run_chain(u->a, u->image, u->group * u->a->m + m + i, place, n, u->team);
}

/* All sums of a band. */
static void winograd_finish(winograd_run *r, const winograd_band *b, float *sums, int64_t m, int64_t rows) {
  const int64_t width = r->a->win.out[2];
  if (b->wide == width)
    winograd_finish_run(r, sums, m, rows, b->place, b->high * b->wide);
  else
    for (int64_t k = 0; k < b->high; k++)
      winograd_finish_run(r, sums + k * b->wide, m, rows, b->place + k * width, b->wide);
}

/* Asks for what they will touch. */
static void winograd_ask(const winograd_run *r, int64_t m, int64_t rows, int64_t place, int64_t n) {
  const conv_ahead ahead = conv_end_ahead(&r->end, m, rows, place);
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < n; j += 16) {
      __builtin_prefetch(ahead.y + i * ahead.step + j, 1);
      if (ahead.x != ahead.y) __builtin_prefetch(ahead.x + i * ahead.step + j);
    }
}

/* Four sums that lie `step` apart become two. */
#define WINOGRAD_FIRST(m0, m1, m2) vf_add(vf_add(m0, m1), m2)
#define WINOGRAD_SECOND(m1, m2, m3) vf_sub(vf_sub(m1, m2), m3)

#include "backends/cpu/conv_winograd_tiles.h"
#if VF_LANES == WH_WINOGRAD_WIDE
#include "backends/cpu/conv_winograd_wide.h"
#define WINOGRAD_CALL(what, r, ...) \
  ((r)->p->panel == WH_WINOGRAD_WIDE ? wide_##what(r, __VA_ARGS__) : tiles_##what(r, __VA_ARGS__))
#else
#define WINOGRAD_CALL(what, ...) tiles_##what(__VA_ARGS__)
#endif

/* ---- all ---- */

/* The band's outputs of panels [begin, end). */
static void winograd_outputs(winograd_run *r, const winograd_band *b, int64_t begin, int64_t end) {
  const wh_conv_args *a = r->a;
  const wh_winograd_plan *p = r->p;
  const int64_t panel = p->panel, panel_size = WH_WINOGRAD_POSITIONS * panel * a->c;
  for (int64_t at = begin, n; at < end; at += n) {
    n = min_i64(p->panels, end - at);
    const float *u = a->panels + at * panel_size, *next = u + n * panel_size;
    if (!a->panels) {
      for (int64_t i = 0; i < n; i++) {
        const int64_t m = (at + i) * panel;
        wh_winograd_weights(a->w + (r->end.u->group * a->m + m) * a->c * 9, min_i64(panel, a->m - m), a->c,
                            panel, r->weights + i * panel_size);
      }
      u = next = r->weights;
    }
    if (at + n >= end) next = u;
    WINOGRAD_CALL(products, r, b->rows * b->cols, u, n, next);
    for (int64_t i = 0; i < n; i++) {
      const int64_t m = (at + i) * panel, rows = min_i64(panel, a->m - m);
      winograd_ask(r, m, rows, b->place, b->wide == a->win.out[2] ? b->high * b->wide : b->wide);
      if (WINOGRAD_CALL(sums, r, b, i, m, rows)) continue;
      for (int64_t k = 0; k < rows; k += WINOGRAD_ROWS)
        winograd_finish(r, b, r->sums + k * p->sums, m + k, min_i64(WINOGRAD_ROWS, rows - k));
    }
  }
}

static int64_t winograd_claim(const wh_worker *worker, uint32_t step, int64_t n_tasks) {
  wh_task_part task;
  return wh_claim_near(worker, step, n_tasks, 1, &task) ? task.task : n_tasks;
}

static void conv_run_winograd(const wh_conv_args *a, const wh_worker *worker) {
  wh_winograd_plan p;
  const wh_conv_plan none = {.fits = true};
  if (!wh_winograd_make_plan(&a->win, a->n, a->group, a->c, a->m, wh_team_size(worker->team),
                             a->panels != NULL, VF_LANES, &p) ||
      !p.rows || !p.cols || !p.panels)
    return; /* the claim refused, or there is nothing to do */
  char *own = (char *)a->scratch + p.shared_bytes + (size_t)worker->index * p.worker_bytes;
  winograd_run r = {.a = a, .p = &p, .elements = (float *)(void *)(p.together ? (char *)a->scratch : own)};
  own += p.element_bytes;
  r.products = (float *)(void *)own;
  r.stage = (float *)(void *)(own += p.product_bytes);
  r.sums = (float *)(void *)(own += p.stage_bytes);
  r.weights = (float *)(void *)(own + p.sum_bytes);
  conv_unit u = {.a = a, .p = &none, .team = worker->team};
  const int64_t bands = p.row_bands * p.col_bands, tasks = a->n * a->group * bands,
                panels = ceil_div(a->m, p.panel), in = wh_window_volume(a->win.in);
  /* of each task whose outputs all share: most are a worker's own, the others are for who is first */
  const int64_t even = (wh_team_nodes(worker->team) > 1 ? panels : panels * 3 / 4) / worker->count,
                fixed = p.panel == WH_WINOGRAD_WIDE ? even / p.panels * p.panels : even,
                rest = panels - fixed * worker->count,
                each = rest ? min_i64(p.panels, ceil_div(rest, 2 * (int64_t)worker->count)) : 1,
                pool = ceil_div(rest, each);
  int64_t item = p.shared ? wh_team_next(worker, a->step) : 0;
  for (int64_t t = 0, unit = -1; (p.shared ? t : (t = winograd_claim(worker, a->step, tasks))) < tasks; t++) {
    if (t / bands != unit) {
      unit = t / bands;
      u.image = unit / a->group;
      u.group = unit % a->group;
      conv_end_begin(&u, p.sums, CONV_SUMS_ROWS, &r.end);
    }
    const winograd_band b = winograd_band_at(&r, t % bands);
    const float *x = a->x + unit * a->c * in;
    if (!p.shared) {
      WINOGRAD_CALL(elements, &r, &b, x, 0, a->c);
      winograd_outputs(&r, &b, 0, panels);
      continue;
    }
    int64_t begin = 0, end = a->c;
    if (p.together) {
      if (t > 0) wh_team_barrier(worker); /* the elements before are done with */
      wh_worker_range(worker, a->c, &begin, &end);
    }
    WINOGRAD_CALL(elements, &r, &b, x, begin, end);
    if (p.together) wh_team_barrier(worker);
    begin = fixed * worker->index;
    winograd_outputs(&r, &b, begin, begin + fixed);
    for (; item < (t + 1) * pool; item = wh_team_next(worker, a->step)) {
      begin = fixed * worker->count + (item - t * pool) * each;
      winograd_outputs(&r, &b, begin, min_i64(begin + each, panels));
    }
  }
}

#endif
