/* conv_depthwise.h - convolutions whose groups have one channel, for conv_driver.h: planes are read where
 * they lie. A tile is some rows of outputs x one or two vectors of them; an element that was loaded serves
 * every row whose window has it, and a row's taps come in their order, because the rows of the input do.
 * What lies outside the plane is masked to +0, or stands as that in a copy of a small one. Included by
 * conv_driver.h. */
#ifndef WH_CPU_CONV_DEPTHWISE_H
#define WH_CPU_CONV_DEPTHWISE_H

#include "backends/cpu/conv_short.h"

#if VF_LANES == 16 /* chains enough to hide a sum's latency, and registers for them and for taps */
#define DEPTHWISE_ROWS 7
#define DEPTHWISE_LOW 4      /* of tiles of few rows */
#define DEPTHWISE_COPIED 256 /* the widest rows that are copied */
#else
#define DEPTHWISE_ROWS 4
#define DEPTHWISE_LOW DEPTHWISE_ROWS
#define DEPTHWISE_COPIED 64
#endif
#define DEPTHWISE_WIDEST 7  /* taps of a row */
#define DEPTHWISE_PAGE 1024 /* elements */
#define DEPTHWISE_COPY 4096 /* elements of planes, or of some rows of one, that are copied */
/* Outputs that stay in a first-level cache until what follows the sums has taken them. */
#define DEPTHWISE_BLOCK 2048

/* Rows [h, h + rows) of a plane's outputs, from column `at` on. */
typedef struct depthwise_tile {
  const wh_window *win;
  const float *x, *w; /* the plane; its taps */
  float bias, *y;
  int64_t h, rows, at;
  const conv_short *end; /* what follows the sums; or NULL: something else does */
  int64_t channel;
  const float *residual; /* where y is in it */
} depthwise_tile;

/* A row of the input as its taps see it: x[tap][vector], of which `p` is tap 0 of the first output. */
CONV_INLINE void depthwise_load(const int taps, const int stride, const int vecs, const float *p,
                                vf x[DEPTHWISE_WIDEST + 1][2]) {
  CONV_UNROLL
  for (int v = 0; v < vecs; v++) CONV_UNROLL
  for (int k = 0; k < taps; k += stride) {
    const float *from = p + k + v * stride * VF_LANES;
    const vf a = vf_load(from);
    x[k][v] = stride == 1 ? a : vf_even(a, vf_load(from + VF_LANES));
    if (stride == 2) x[k + 1][v] = vf_odd(a, vf_load(from + VF_LANES));
  }
}

/* The same of one vector, of the elements [0, width) of the row; p is element `first`. */
CONV_INLINE void depthwise_load_some(const int taps, const int stride, const float *p, const vf_mask *inside,
                                     vf x[DEPTHWISE_WIDEST + 1][2]) {
  CONV_UNROLL
  for (int k = 0; k < taps; k += stride) {
    const vf a = vf_load_some(inside[k], p + k);
    if (stride == 1) {
      x[k][0] = a;
      continue;
    }
    const vf b = vf_load_some(inside[k + 1], p + k + VF_LANES);
    x[k][0] = vf_even(a, b);
    x[k + 1][0] = vf_odd(a, b);
  }
}

/* Lanes of a vector of elements from `first` on that lie in [0, width). */
CONV_INLINE vf_mask depthwise_inside(int64_t first, int64_t width) {
  const int64_t begin = first < 0 ? -first : 0, end = width - first;
  return vf_between(begin > VF_LANES ? VF_LANES : begin, end < 0 ? 0 : min_i64(end, VF_LANES));
}

/* Sums acc[rows][vecs] to outputs. */
CONV_INLINE void depthwise_finish(const int rows, const int vecs, const depthwise_tile *t, vf *acc) {
  const int n = rows * vecs;
  const int64_t width = t->win->out[2];
  const conv_short *s = t->end;
  const vf bias = vf_add(vf_set1(t->bias), vf_zero()); /* +0 for -0: to -0 it gives what that gives to +0 */
  CONV_UNROLL
  for (int i = 0; i < n; i++) acc[i] = vf_add(acc[i], bias);
  if (s && s->scale) {
    const vf scale = vf_set1(s->scale[t->channel * s->scale_step]),
             shift = conv_short_addend(s, vf_set1(s->shift[t->channel * s->shift_step]));
    CONV_UNROLL
    for (int i = 0; i < n; i++) acc[i] = vf_add(vf_mul(acc[i], scale), shift);
  }
  if (s) conv_short_act(n, s, acc);
  CONV_UNROLL
  for (int i = 0; i < n; i++) {
    const int64_t row = i / vecs, at = t->at + i % vecs * VF_LANES, to = (t->h + row) * width + at;
    if (row >= t->rows) break;
    if (t->residual) {
      acc[i] = vf_add(vf_load_left(t->residual + to, width - at), acc[i]);
      if (s->relu) acc[i] = vf_relu(acc[i]);
    }
    vf_store_left(t->y + to, width - at, acc[i]);
  }
}

/* Row i of the input that a tile reads, for the outputs whose windows have it. */
CONV_INLINE void depthwise_line(const int rows, const int taps, const int stride, const int vecs,
                                const bool whole, const int64_t down, const int64_t height, int64_t top,
                                int64_t left, int64_t i, const vf_mask *inside, const depthwise_tile *t,
                                vf *acc) {
  vf x[DEPTHWISE_WIDEST + 1][2];
  const wh_window *win = t->win;
  const int64_t width = win->in[2];
  const float *p = t->x + ((top + i) * width + left);
  if (whole)
    depthwise_load(taps, stride, vecs, p, x);
  else if (top + i >= 0 && top + i < win->in[1])
    depthwise_load_some(taps, stride, p, inside, x);
  else
    CONV_UNROLL
  for (int k = 0; k < taps; k++) x[k][0] = vf_zero();
  CONV_UNROLL
  for (int r = 0; r < rows; r++) {
    const int64_t h = i - r * down;
    if (h < 0 || h >= height) continue;
    CONV_UNROLL
    for (int k = 0; k < taps; k++) {
      const vf b = vf_set1(t->w[h * taps + k]);
      CONV_UNROLL
      for (int v = 0; v < vecs; v++) acc[r * vecs + v] = vf_fma(x[k][v], b, acc[r * vecs + v]);
    }
  }
}

/* The same of windows taps x taps that move as far down as to the right: which rows of outputs have row i is
 * known here, so that one or two taps' elements need registers at a time. `inside`: NULL where all is. */
CONV_INLINE void depthwise_square_line(const int rows, const int taps, const int stride, const int vecs,
                                       const int i, const float *p, const vf_mask *inside, const float *w,
                                       vf *acc) {
  CONV_UNROLL
  for (int k = 0; k < taps; k += stride) {
    vf x[2][2];
    CONV_UNROLL
    for (int v = 0; v < vecs; v++) {
      const float *from = p + k + v * stride * VF_LANES;
      const vf a = inside ? vf_load_some(inside[k], from) : vf_load(from);
      x[0][v] = a;
      if (stride == 1) continue;
      const vf b = inside ? vf_load_some(inside[k + 1], from + VF_LANES) : vf_load(from + VF_LANES);
      x[0][v] = vf_even(a, b);
      if (k + 1 < taps) x[1][v] = vf_odd(a, b);
    }
    CONV_UNROLL
    for (int j = 0; j < stride; j++) CONV_UNROLL
    for (int r = 0; r < rows; r++) {
      const int h = i - r * stride;
      if (h < 0 || h >= taps || k + j >= taps) continue;
      const vf b = vf_set1(w[h * taps + k + j]);
      CONV_UNROLL
      for (int v = 0; v < vecs; v++) acc[r * vecs + v] = vf_fma(x[j][v], b, acc[r * vecs + v]);
    }
  }
}

/* `whole`: all that is loaded lies in the plane; `square`: windows are taps x taps and move by stride. */
CONV_INLINE void depthwise_body(const int rows, const int taps, const int stride, const int vecs,
                                const bool whole, const bool square, const depthwise_tile *t) {
  vf acc[DEPTHWISE_ROWS * 2]; /* [rows][vecs] */
  vf_mask inside[DEPTHWISE_WIDEST + 1];
  const wh_window *win = t->win;
  const int64_t down = win->stride[1], height = win->kernel[1], width = win->in[2];
  const int64_t top = t->h * down - win->pad[1], left = t->at * stride - win->pad[2];
  const int64_t n = (t->rows - 1) * down + height;
  CONV_UNROLL
  for (int k = 0; !whole && k < taps; k += stride) CONV_UNROLL
  for (int i = 0; i < stride; i++) inside[k + i] = depthwise_inside(left + k + i * VF_LANES, width);
  CONV_UNROLL
  for (int i = 0; i < rows * vecs; i++) acc[i] = vf_zero();
  if (square) {
    static const float zeros[DEPTHWISE_WIDEST + 1 + 2 * VF_LANES];
    const float *p = t->x + (top * width + left);
    CONV_UNROLL
    for (int i = 0; i < (rows - 1) * stride + taps; i++) {
      if (i >= n) break; /* rows that there are not are not written */
      const float *line = whole || (top + i >= 0 && top + i < win->in[1]) ? p + i * width : zeros;
      depthwise_square_line(rows, taps, stride, vecs, i, line, whole ? NULL : inside, t->w, acc);
    }
  } else {
    for (int64_t i = 0; i < n; i++)
      depthwise_line(rows, taps, stride, vecs, whole, down, height, top, left, i, inside, t, acc);
  }
  depthwise_finish(rows, vecs, t, acc);
}

/* A row of tiles: two vectors at a time where all that they read lies in the plane. */
CONV_INLINE void depthwise_row(const int rows, const int taps, const int stride, const bool square,
                               depthwise_tile *t) {
  const wh_window *w = t->win;
  const int64_t top = t->h * w->stride[1] - w->pad[1],
                bottom = top + (t->rows - 1) * w->stride[1] + w->kernel[1];
  const bool between = top >= 0 && bottom <= w->in[1];
  for (t->at = 0; t->at < w->out[2];) {
    const int64_t left = t->at * stride - w->pad[2],
                  room = between && left >= 0 ? (w->in[2] - left - taps + 1) / stride : 0;
    if (room >= 2 * VF_LANES && t->at + VF_LANES < w->out[2]) {
      depthwise_body(rows, taps, stride, 2, true, square, t);
      t->at += 2 * VF_LANES;
      continue;
    }
    if (room >= VF_LANES)
      depthwise_body(rows, taps, stride, 1, true, square, t);
    else
      depthwise_body(rows, taps, stride, 1, false, square, t);
    t->at += VF_LANES;
  }
}

#define DEPTHWISE_SQUARE(taps, step) ((taps) <= 5 && ((step) == 1 || VF_LANES == 16))

static void depthwise_rows(depthwise_tile *t) {
  const wh_window *w = t->win;
  switch (w->kernel[2] * 10 + w->stride[2]) {
#define CASE(taps, step)                                                               \
  case taps * 10 + step:                                                               \
    if (!DEPTHWISE_SQUARE(taps, step) || w->kernel[1] != taps || w->stride[1] != step) \
      depthwise_row(DEPTHWISE_ROWS, taps, step, false, t);                             \
    else if (DEPTHWISE_LOW == DEPTHWISE_ROWS || t->rows <= DEPTHWISE_LOW)              \
      depthwise_row(DEPTHWISE_LOW, taps, step, DEPTHWISE_SQUARE(taps, step), t);       \
    else                                                                               \
      depthwise_row(DEPTHWISE_ROWS, taps, step, DEPTHWISE_SQUARE(taps, step), t);      \
    return;
    CASE(3, 1)
    CASE(3, 2)
    CASE(5, 1)
    CASE(5, 2)
    CASE(7, 1)
    CASE(7, 2)
#undef CASE
  }
}

/* Elements of a row that tiles read, padding and what vectors have too many included. */
static int64_t depthwise_reach(const wh_window *w) {
  return w->kernel[2] - 1 + w->stride[2] * ceil_div(w->out[2], VF_LANES) * VF_LANES;
}

/* Rows of outputs whose elements, with their padding, have room in a copy, in whole tiles; 0: not even one
 * tile's. */
static int64_t depthwise_copy_rows(const wh_window *w) {
  const int64_t rows = DEPTHWISE_COPY / depthwise_reach(w) - w->kernel[1];
  return rows < 0 ? 0 : (rows / w->stride[1] + 1) / DEPTHWISE_ROWS * DEPTHWISE_ROWS;
}

/* Not where rows are a vector, with whose masks tiles read them as fast from the plane. */
static bool depthwise_copies(const wh_window *w) {
  const bool square = w->kernel[1] == w->kernel[2] && w->stride[1] == w->stride[2];
  return w->in[2] <= DEPTHWISE_COPIED && w->pad[2] < w->kernel[2] &&
         !(VF_LANES == 16 && square && w->kernel[2] <= 5 && w->out[2] <= VF_LANES);
}

CONV_INLINE void depthwise_copy_row(const float *x, int64_t n, float *to) {
  int64_t k = 0;
  for (; k + VF_LANES <= n; k += VF_LANES) vf_store(to + k, vf_load(x + k));
  if (k == n) return;
  if (n >= VF_LANES) /* some once more */
    vf_store(to + n - VF_LANES, vf_load(x + n - VF_LANES));
  else /* zeros behind them */
    vf_store(to, vf_load_some(vf_first(n), x));
}

/* Windows over a copy of what `rows` rows of outputs read. */
static wh_window depthwise_view(const wh_window *w, int64_t rows) {
  wh_window view = *w;
  view.pad[1] = view.pad[2] = 0;
  view.in[1] = (rows - 1) * w->stride[1] + w->kernel[1];
  view.in[2] = depthwise_reach(w);
  view.out[1] = rows;
  return view;
}

/* What outputs from row `first` on read, to where zeros were before the first copy, so that those beside the
 * rows are there. */
static void depthwise_copy(const wh_window *w, const wh_window *view, const float *x, int64_t first,
                           float *to) {
  const int64_t top = first * w->stride[1] - w->pad[1], n = min_i64(w->in[2], view->in[2] - w->pad[2]);
  for (int64_t i = 0; i < view->in[1]; i++, to += view->in[2]) {
    if (top + i >= 0 && top + i < w->in[1])
      depthwise_copy_row(x + (top + i) * w->in[2], n, to + w->pad[2]);
    else if (view->out[1] < w->out[1]) /* what was there is of another part of a plane */
      memset(to, 0, (size_t)view->in[2] * sizeof *to);
  }
}

/* Rows [h, h + rows), in tiles of about as many each. */
static void depthwise_tiles(depthwise_tile *t, int64_t h, int64_t rows) {
  const int64_t end = h + rows, high = ceil_div(rows, ceil_div(rows, DEPTHWISE_ROWS));
  for (t->h = h; t->h < end; t->h += high) {
    t->rows = min_i64(high, end - t->h);
    depthwise_rows(t);
  }
}

/* Outputs [from, from + n) of a channel, which hold the sums, or what conv_short.h has made of them, through
 * what follows them. */
static void depthwise_end(conv_end *e, bool is_short, int64_t channel, int64_t from, int64_t n) {
  const conv_unit *u = e->u;
  const wh_conv_args *a = u->a;
  float *y = a->y + (u->image * a->group * a->m + channel) * wh_window_volume(a->win.out) + from;
  if (a->residual && !is_short) conv_finish(y, n, NULL, a->residual + (y - a->y), y);
  if (!a->chain || (is_short && e->n_ops)) return;
  if (!e->n_ops) {
    wh_conv_run_chain(a, u->image, channel, from, n, u->team);
    return;
  }
  for (int64_t i = 0; i < n; i += CONV_TILE) {
    const wh_chain_part part = {channel, 1, from + i, min_i64(CONV_TILE, n - i)};
    a->chain->blocks(e->ops, e->n_ops, &part);
  }
}

#if VF_LANES == 8
#include "backends/cpu/conv_depthwise_lanes.h"
#endif

static void conv_run_depthwise(const wh_conv_args *a, const wh_conv_plan *p, const wh_worker *worker) {
  const wh_window *w = &a->win;
  const int64_t in = wh_window_volume(w->in), out = wh_window_volume(w->out),
                taps = w->kernel[1] * w->kernel[2];
#if VF_LANES == 8
  if (p->row && lanes_fit(a)) {
    conv_run_lanes(a, p, worker);
    return;
  }
#endif
  const int64_t channels = a->group * a->m, planes = a->n * channels, workers = wh_team_size(worker->team),
                tiles = DEPTHWISE_BLOCK / DEPTHWISE_ROWS / (w->out[2] ? w->out[2] : 1),
                copied = depthwise_copies(w) ? depthwise_copy_rows(w) : 0,
                most = copied ? copied : (tiles ? tiles : 1) * DEPTHWISE_ROWS;
  /* each worker's rows of all planes, as tasks of convolutions are (conv_plan.c), unless it has images, or
   * these rows are less than a page and there are planes enough for all: as processors fetch ahead in a page,
   * one would take the other's lines */
  const int64_t pages = VF_LANES != 16 || planes < 4 * workers ? workers : out / DEPTHWISE_PAGE,
                parts = a->n >= 2 * workers || w->out[1] < DEPTHWISE_ROWS || pages < 1
                            ? 1
                            : min_i64(min_i64(workers, pages), w->out[1] / DEPTHWISE_ROWS),
                part = ceil_div(w->out[1], parts), high = ceil_div(part, ceil_div(part, most)),
                blocks = ceil_div(w->out[1], high);
  conv_unit u = {.a = a, .p = p, .image = -1, .team = worker->team};
  conv_end e;
  conv_short s;
  bool is_short = false;
  float copies[DEPTHWISE_COPY];
  wh_window view = depthwise_view(w, high);
  const int64_t copy = view.in[1] * view.in[2], n_copies = copied ? DEPTHWISE_COPY / copy : 1;
  if (copied) memset(copies, 0, sizeof copies);
  int64_t begin, end;
  wh_worker_range(worker, planes * blocks, &begin, &end);
  for (int64_t i = begin, n; i < end; i += n) {
    const int64_t first = i / planes * high, last = min_i64(first + high, w->out[1]);
    n = min_i64(min_i64(n_copies, end - i), planes - i % planes);
    view = depthwise_view(w, last - first);
    for (int64_t k = 0; copied && k < n; k++) /* all before any is read: stores have arrived by then */
      depthwise_copy(w, &view, a->x + (i + k) % planes / a->m * in, first, copies + k * copy);
    for (int64_t k = 0; k < n; k++) {
      const int64_t plane = (i + k) % planes, channel = plane % channels;
      if (plane / channels != u.image) {
        u.image = plane / channels;
        conv_end_begin(&u, 0, CONV_SUMS_OUTPUTS, &e);
        /* what is added once more, behind the convolution's own bias, is the chain's to do */
        is_short = conv_short_make(&e, &s) && !(e.n_ops && (a->residual || s.bias));
      }
      depthwise_tile t = {.win = copied ? &view : w,
                          .x = copied ? copies + k * copy : a->x + plane / a->m * in,
                          .w = a->w + channel * taps,
                          .bias = a->bias ? a->bias[channel] : 0.0f, /* sums are never -0 */
                          .y = a->y + plane * out + (copied ? first * w->out[2] : 0),
                          .end = is_short ? &s : NULL,
                          .channel = channel};
      if (is_short && s.residual) t.residual = s.residual + (t.y - a->y) - u.image * channels * out;
      depthwise_tiles(&t, copied ? 0 : first, last - first);
      depthwise_end(&e, is_short, channel, first * w->out[2], (last - first) * w->out[2]);
    }
  }
}

#endif
