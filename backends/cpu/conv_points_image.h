/* conv_points_image.h - tiles of conv_driver.h whose windows are one element of an image that is read in
 * place: some places stay in a first-level cache while all channels of a task walk through them, and what
 * follows the sums takes them from registers. Included by conv_driver.h. */
#ifndef WH_CPU_CONV_POINTS_IMAGE_H
#define WH_CPU_CONV_POINTS_IMAGE_H

#include "backends/cpu/conv_short.h"

#define POINTS_ROWS 8 /* 24 sums, for each element of k eight weights and three vectors */
#define POINTS_VECS 3

static bool points_in_image(const conv_unit *u) {
  const wh_conv_plan *p = u->p;
  return !p->by_channels && !p->copies && u->a->panels && wh_window_volume(u->a->win.kernel) == 1 &&
         p->n_k <= WH_CONV_CHUNK && p->places >= POINTS_VECS * VF_LANES &&
         (p->row_tasks == 1 || p->task_rows % POINTS_ROWS == 0); /* so that none reads behind a panel */
}

typedef struct points_tile {
  int64_t k, ldw, plane;
  const float *w;
  const float *const *x;
  float *y;              /* the unit's outputs */
  const conv_short *end; /* or NULL */
} points_tile;

/* Channels [m, m + rows) of the last n places before place `at` + vecs vectors. */
CONV_INLINE void points_body(conv_end *e, const int vecs, const points_tile *t, int64_t m, int64_t rows,
                             int64_t at, int64_t n) {
  vf v[POINTS_ROWS * POINTS_VECS];
  const float *w = t->w;
  const float *const *x = t->x;
  conv_ahead ahead = conv_end_ahead(e, m, rows, at);
  CONV_UNROLL
  for (int i = 0; i < POINTS_ROWS * vecs; i++) v[i] = vf_zero();
  for (; ahead.rows > 0; ahead.rows--) {
    if (vecs > 2) {
      __builtin_prefetch(ahead.y + 2 * 16, 1);
      __builtin_prefetch(ahead.x + 2 * 16);
    }
    conv_prefetch(&ahead);
  }
  for (int64_t k = 0; k < t->k; k++, w += t->ldw) {
    vf b[POINTS_VECS];
    CONV_UNROLL
    for (int i = 0; i < vecs; i++) b[i] = vf_load(x[k] + at + i * VF_LANES);
    CONV_UNROLL
    for (int r = 0; r < POINTS_ROWS; r++) {
      const vf of = vf_set1(w[r]);
      CONV_UNROLL
      for (int i = 0; i < vecs; i++) vf_accumulate(v[r * vecs + i], b[i], of);
    }
  }
  CONV_UNROLL
  for (int i = 0; i < POINTS_ROWS * vecs; i++) v[i] = vf_add(vf_zero(), v[i]);
  if (t->end && rows == POINTS_ROWS && n == vecs * VF_LANES) {
    conv_short_end(POINTS_ROWS, vecs, t->end, v, m, m * t->plane + at, t->plane, t->y);
    return;
  }
  CONV_UNROLL
  for (int i = 0; i < POINTS_ROWS * vecs; i++)
    vf_store(e->tile + i / vecs * CONV_LANES + i % vecs * VF_LANES, v[i]);
  conv_end_run(e, e->tile + (vecs * VF_LANES - n), m, rows, at + (vecs * VF_LANES - n), n);
}

static __attribute__((noinline)) void points_run_tile(conv_end *e, const points_tile *t, int64_t m,
                                                      int64_t rows, int64_t at, int64_t n) {
  if (n > 2 * VF_LANES)
    points_body(e, 3, t, m, rows, at, n);
  else if (n > VF_LANES)
    points_body(e, 2, t, m, rows, at, n);
  else
    points_body(e, 1, t, m, rows, at, n);
}

/* Places [begin, end) of channels [m0, m0 + n_m). */
static void conv_task_points_image(conv_end *e, int64_t m0, int64_t n_m, int64_t begin, int64_t end) {
  const conv_unit *u = e->u;
  const wh_conv_args *a = u->a;
  const int64_t plane = wh_window_volume(a->win.out), lanes = POINTS_VECS * VF_LANES;
  conv_short s;
  points_tile t = {.k = u->p->n_k,
                   .plane = plane,
                   .x = u->taps,
                   .y = a->y + (u->image * a->group + u->group) * a->m * plane,
                   .end = conv_short_make(e, &s) ? &s : NULL};
  for (int64_t place = begin, n; place < end; place += n) {
    n = end - place;
    if (n > lanes) n = n < lanes + VF_LANES ? 2 * VF_LANES : lanes; /* rather twice two than one of one */
    const int64_t vectors = ceil_div(n, VF_LANES) * VF_LANES,
                  at = min_i64(place, u->p->places - vectors); /* behind others, where the image ends */
    for (int64_t m = m0, left; m < m0 + n_m; m += left) {
      left = min_i64(min_i64(POINTS_ROWS, m0 + n_m - m), WH_LINEAR_F_COLS - m % WH_LINEAR_F_COLS);
      t.w = conv_panel(u, m, 0, &t.ldw);
      points_run_tile(e, &t, m, left, at, n);
    }
  }
  for (int64_t m = m0; a->chain && !e->n_ops && m < m0 + n_m; m++)
    wh_conv_run_chain(a, u->image, u->group * a->m + m, begin, end - begin, u->team);
}

#endif
