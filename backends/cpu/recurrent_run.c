/* recurrent_run.c - docs/NUMERICS.md, "Recurrent layers". Sequences do not know of each other: where there
 * are enough of them each worker has its own, else the rows of a step's gates are shared out, and a barrier
 * stands between what one worker makes and others read. */
#include "backends/cpu/recurrent_run.h"

#include <math.h>
#include <string.h>

#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/whole.h"

/* ---- activations ---- */

static float activate(const wh_recurrent_args *a, int which, float x) {
  return wh_activate(a->act[which], a->factor[which][0], a->factor[which][1], a->clip, x);
}

/* The state's own activation is of what was already clipped. */
static float activate_state(const wh_recurrent_args *a, float x) {
  return wh_activate(a->act[2], a->factor[2][0], a->factor[2][1], 0.0f, x);
}

/* ---- a step ---- */

/* The workers that share sequences [first, last). */
typedef struct crew {
  const wh_recurrent_args *a;
  const wh_worker *worker;
  wh_recurrent_product_fn product;
  int64_t first, last, gates;
  bool shared;
  float *h, *c, *reset, *gate; /* [b][h] states; what gru's candidate is made of; products [b][gates * h] */
} crew;

/* Of n items per sequence, those of this worker: [*begin, *end) counted through all sequences. */
static void share(const crew *w, int64_t n, int64_t *begin, int64_t *end) {
  *begin = 0;
  *end = (w->last - w->first) * n;
  if (w->shared) wh_worker_range(w->worker, *end, begin, end);
}

static void meet(const crew *w) {
  if (w->shared) wh_team_barrier(w->worker);
}

/* Sequences of one tile. */
#define TILE_SEQUENCES 6

/* Sequences [b, b + n_b) times the panel's rows that lie in [first, end). */
static void multiply_panel(const crew *w, const float *v, int64_t panel, int64_t first, int64_t end,
                           int64_t b, int64_t n_b) {
  const wh_recurrent_args *a = w->a;
  const wh_linear_layout *l = a->layout;
  _Alignas(64) float c[TILE_SEQUENCES * WH_LINEAR_F_COLS];
  const float *panel_w = a->r + (size_t)panel * (l->panel_bytes / sizeof(float));
  wh_linear_f_tile t = {.rows = n_b,
                        .halves = wh_linear_f_width(l, panel) / WH_LINEAR_F_HALF,
                        .half = a->h * WH_LINEAR_F_HALF,
                        .ldx = a->h,
                        .ld_sums = WH_LINEAR_F_COLS,
                        .out = c,
                        .ldo = WH_LINEAR_F_COLS};
  for (int64_t k = 0; k < a->h; k += WH_LINEAR_F_CHUNK) {
    t.k = min_i64(WH_LINEAR_F_CHUNK, a->h - k);
    t.x = v + b * a->h + k;
    t.w = panel_w + k * WH_LINEAR_F_HALF;
    t.sums = k ? c : NULL;
    a->steps->tile(&t);
  }
  const int64_t row = panel * WH_LINEAR_F_COLS, from = row < first ? first : row;
  const int64_t to = min_i64(row + WH_LINEAR_F_COLS, end);
  for (int64_t i = 0; i < n_b; i++)
    memcpy(w->gate + (b + i) * w->gates * a->h + from, c + i * WH_LINEAR_F_COLS + (from - row),
           (size_t)(to - from) * sizeof *c);
}

/* The same for all sequences, those that have ended too: nobody looks at their gates. */
static void multiply_panels(const crew *w, const float *v, int64_t first, int64_t n) {
  const int64_t p0 = first / WH_LINEAR_F_COLS, p1 = ceil_div(first + n, WH_LINEAR_F_COLS);
  int64_t begin = 0, end = p1 - p0;
  if (w->shared) wh_worker_range(w->worker, p1 - p0, &begin, &end);
  for (int64_t p = p0 + begin; p < p0 + end; p++)
    for (int64_t b = w->first; b < w->last; b += TILE_SEQUENCES)
      multiply_panel(w, v, p, first, first + n, b, min_i64(TILE_SEQUENCES, w->last - b));
}

/* Rows [first, first + n) of the gates of every sequence, times v[b][h]. */
static void multiply(const crew *w, const float *v, int64_t first, int64_t n, int64_t step) {
  const wh_recurrent_args *a = w->a;
  int64_t begin, end;
  if (a->steps) {
    multiply_panels(w, v, first, n);
    return;
  }
  share(w, n, &begin, &end);
  while (begin < end) {
    const int64_t b = w->first + begin / n, row = begin % n;
    const int64_t rows = end - begin < n - row ? end - begin : n - row;
    if (step < wh_recurrent_steps(a, b))
      w->product(a->r, v + b * a->h, a->h, first + row, first + row + rows, w->gate + b * w->gates * a->h);
    begin += rows;
  }
}

/* Element i of sequence b at one step. */
typedef struct cell {
  int64_t b, i;
  const float *x, *p; /* inputs and products of its gates: gate g at [g * h] */
  float *h, *c, *y;
} cell;

static void rnn_cell(const wh_recurrent_args *a, const cell *e) { *e->h = activate(a, 0, e->x[0] + e->p[0]); }

static float gru_gate(const wh_recurrent_args *a, const cell *e, int gate) {
  return a->r_bias ? e->p[gate * a->h] + a->r_bias[gate * a->h + e->i] : e->p[gate * a->h];
}
static void gru_reset(const wh_recurrent_args *a, const cell *e, float *reset) {
  *reset = activate(a, 0, e->x[a->h] + gru_gate(a, e, 1)) * *e->h;
}
static void gru_cell(const wh_recurrent_args *a, const cell *e) {
  const float z = activate(a, 0, e->x[0] + gru_gate(a, e, 0)), p = gru_gate(a, e, 2);
  float candidate = e->x[2 * a->h] + p;
  if (a->reset_after) {
    const float r = activate(a, 0, e->x[a->h] + gru_gate(a, e, 1));
    candidate = fmaf(r, p, e->x[2 * a->h]);
  }
  candidate = activate(a, 1, candidate);
  *e->h = fmaf(z, *e->h, (1.0f - z) * candidate);
}

static float lstm_gate(const wh_recurrent_args *a, const cell *e, int gate, float state) {
  const float g = e->x[gate * a->h] + e->p[gate * a->h];
  return a->peephole && gate < 3 ? fmaf(a->peephole[gate * a->h + e->i], state, g) : g;
}
static void lstm_cell(const wh_recurrent_args *a, const cell *e) {
  const float i = activate(a, 0, lstm_gate(a, e, 0, *e->c));
  const float f = a->coupled ? 1.0f - i : activate(a, 0, lstm_gate(a, e, 2, *e->c));
  const float candidate = activate(a, 1, lstm_gate(a, e, 3, 0.0f));
  *e->c = fmaf(f, *e->c, i * candidate);
  const float o = activate(a, 0, lstm_gate(a, e, 1, *e->c));
  *e->h = o * activate_state(a, *e->c);
}

/* What follows the products: every element's new state, or gru's reset state. */
static void elements(const crew *w, int64_t step, bool reset) {
  const wh_recurrent_args *a = w->a;
  int64_t begin, end;
  share(w, a->h, &begin, &end);
  for (int64_t k = begin; k < end; k++) {
    const int64_t b = w->first + k / a->h, i = k % a->h, steps = wh_recurrent_steps(a, b);
    if (step >= steps) {
      if (!reset) a->y[(step * a->b + b) * a->h + i] = 0.0f;
      continue;
    }
    const int64_t at = (a->reverse ? steps - 1 - step : step) * a->b + b;
    const cell e = {.b = b,
                    .i = i,
                    .x = a->x + at * w->gates * a->h + i,
                    .p = w->gate + b * w->gates * a->h + i,
                    .h = w->h + b * a->h + i,
                    .c = w->c + b * a->h + i};
    if (reset) {
      gru_reset(a, &e, w->reset + b * a->h + i);
      continue;
    }
    if (a->kind == WH_RECURRENT_RNN) rnn_cell(a, &e);
    if (a->kind == WH_RECURRENT_GRU) gru_cell(a, &e);
    if (a->kind == WH_RECURRENT_LSTM) lstm_cell(a, &e);
    a->y[at * a->h + i] = *e.h;
    a->last_h[b * a->h + i] = *e.h;
    if (a->last_c) a->last_c[b * a->h + i] = *e.c;
  }
}

static void begin_states(const crew *w) {
  const wh_recurrent_args *a = w->a;
  int64_t begin, end;
  share(w, a->h, &begin, &end);
  for (int64_t k = begin; k < end; k++) {
    const int64_t at = w->first * a->h + k;
    w->h[at] = a->h0 ? a->h0[at] : 0.0f;
    w->c[at] = a->c0 ? a->c0[at] : 0.0f;
    w->reset[at] = 0.0f;
    a->last_h[at] = w->h[at];
    if (a->last_c) a->last_c[at] = w->c[at];
  }
}

void wh_recurrent_run(const wh_recurrent_args *a, const wh_worker *worker, wh_recurrent_product_fn product) {
  const int64_t states = a->b * a->h, gates = wh_recurrent_gates(a->kind);
  float *own = a->scratch;
  crew w = {.a = a,
            .worker = worker,
            .product = product,
            .last = a->b,
            .gates = gates,
            .shared = worker->count > 1 && a->b < worker->count,
            .h = own,
            .c = own + states,
            .reset = own + 2 * states,
            .gate = own + 3 * states};
  if (!w.shared) wh_worker_range(worker, a->b, &w.first, &w.last);
  const bool apart = a->kind == WH_RECURRENT_GRU && !a->reset_after; /* the candidate's product comes later */
  begin_states(&w);
  for (int64_t step = 0; step < a->t; step++) {
    meet(&w);
    multiply(&w, w.h, 0, (apart ? 2 : gates) * a->h, step);
    meet(&w);
    if (apart) {
      elements(&w, step, true);
      meet(&w);
      multiply(&w, w.reset, 2 * a->h, a->h, step);
      meet(&w);
    }
    elements(&w, step, false);
  }
}
