/* conv_transpose.h - transposed convolutions for conv_driver.h. Each row of inputs that reaches a row of
 * outputs is multiplied by the weights of a row of taps: tiles of taps x places, over copies of some places
 * of all channels. The products are then added to the outputs tap by tap, in the taps' order. Included by
 * conv_driver.h. */
#ifndef WH_CPU_CONV_TRANSPOSE_H
#define WH_CPU_CONV_TRANSPOSE_H

/* The row of the input from which outer taps (d, h) reach row (od, oh) of the output; -1: none. */
static int64_t transpose_source(const wh_window *w, int64_t od, int64_t oh, int64_t d, int64_t h) {
  const int64_t k[2] = {d, h}, o[2] = {od, oh};
  int64_t at = 0;
  for (int i = 0; i < 2; i++) {
    const int64_t p = o[i] + w->pad[i] - k[i] * w->dilation[i];
    if (p < 0 || p % w->stride[i] || p / w->stride[i] >= w->in[i]) return -1;
    at = at * w->in[i] + p / w->stride[i];
  }
  return at;
}

/* Of one worker; wh_conv_transpose_room says how large. */
typedef struct transpose_work {
  const wh_conv_args *a;
  const wh_conv_transpose_room *room;
  const float *taps[WH_CONV_CHUNK];
  float *copy;     /* [channels of a chunk][CONV_LANES] */
  float *products; /* [outputs][taps of a row][room->ld] */
} transpose_work;

/* Products of the row at x by a row of taps of `m` outputs: w[channel][output][tap]. */
static void transpose_products(const transpose_work *t, const float *x, const float *w, int64_t m) {
  const wh_window *win = &t->a->win;
  const int64_t in = wh_window_volume(win->in), volume = wh_window_volume(win->kernel),
                ldw = t->a->m * volume, width = win->kernel[2];
  for (int64_t at = 0; at < win->in[2]; at += CONV_LANES) {
    const int64_t left = min_i64(win->in[2] - at, CONV_LANES);
    for (int64_t k = 0; k < t->a->c; k += WH_CONV_CHUNK) {
      const int64_t n = min_i64(WH_CONV_CHUNK, t->a->c - k);
      for (int64_t i = 0; i < n; i++)
        conv_finish(x + (k + i) * in + at, left, NULL, NULL, t->copy + i * CONV_LANES);
      for (int64_t o = 0; o < m; o++)
        for (int64_t r = 0, rows; r < width; r += rows) {
          rows = min_i64(CONV_ROWS, width - r);
          for (int64_t v = 0, vecs; v < left; v += vecs * VF_LANES) {
            vecs = rows <= CONV_FEW ? CONV_WIDE : CONV_VECS;
            if (left - v <= VF_LANES || v + vecs * VF_LANES > CONV_LANES) vecs = 1;
            const conv_tile tile = {.rows = rows,
                                    .vecs = vecs,
                                    .k = n,
                                    .w = w + k * ldw + o * volume + r,
                                    .ldw = ldw,
                                    .x = t->taps,
                                    .at = v,
                                    .c = t->products + (o * width + r) * t->room->ld + at + v,
                                    .ldc = t->room->ld,
                                    .first = k == 0};
            conv_run_tile(&tile);
          }
        }
    }
  }
}

/* y[i * stride + k * dilation - pad] += p[k][i] */
static void transpose_add(const wh_window *w, const float *p, int64_t ld, float *y) {
  const int64_t s = w->stride[2];
  for (int64_t k = 0; k < w->kernel[2]; k++, p += ld) {
    const int64_t shift = k * w->dilation[2] - w->pad[2], from = shift < 0 ? ceil_div(-shift, s) : 0,
                  to = w->out[2] > shift ? min_i64(w->in[2], ceil_div(w->out[2] - shift, s)) : 0;
    for (int64_t i = from; i < to; i++) y[i * s + shift] = y[i * s + shift] + p[i];
  }
}

/* The same where two taps reach each input's two outputs, and nothing else does: +0 + p is p, which is no -0.
 */
static void transpose_pairs(const float *p, int64_t ld, int64_t n, float *restrict y) {
  for (int64_t i = 0; i < n; i++) {
    y[2 * i] = p[i];
    y[2 * i + 1] = p[ld + i];
  }
}

/* Outputs [m, m + n) of a group of an image in row (d, h) of theirs. */
static void transpose_row(const transpose_work *t, int64_t unit, int64_t m, int64_t n, int64_t d, int64_t h) {
  const wh_conv_args *a = t->a;
  const wh_window *w = &a->win;
  const int64_t out = wh_window_volume(w->out), volume = wh_window_volume(w->kernel), group = unit % a->group;
  const float *x = a->x + unit * a->c * wh_window_volume(w->in),
              *weights = a->w + (group * a->c * a->m + m) * volume;
  float *y = a->y + (unit * a->m + m) * out + (d * w->out[1] + h) * w->out[2];
  const bool pairs = w->kernel[2] == 2 && w->stride[2] == 2 && w->dilation[2] == 1 && !w->pad[2] &&
                     w->out[2] == 2 * w->in[2];
  bool is_first = true;
  for (int64_t k = 0; k < w->kernel[0] * w->kernel[1]; k++) {
    const int64_t row = transpose_source(w, d, h, k / w->kernel[1], k % w->kernel[1]);
    if (row < 0 || !a->c) continue; /* there is nothing to add */
    transpose_products(t, x + row * w->in[2], weights + k * w->kernel[2], n);
    for (int64_t o = 0; o < n; o++) {
      const float *p = t->products + o * w->kernel[2] * t->room->ld;
      if (is_first && pairs) {
        transpose_pairs(p, t->room->ld, w->in[2], y + o * out);
        continue;
      }
      if (is_first) memset(y + o * out, 0, (size_t)w->out[2] * sizeof *y);
      transpose_add(w, p, t->room->ld, y + o * out);
    }
    is_first = false;
  }
  for (int64_t o = 0; o < n; o++) {
    if (is_first) memset(y + o * out, 0, (size_t)w->out[2] * sizeof *y);
    if (a->bias) conv_finish(y + o * out, w->out[2], a->bias + group * a->m + m + o, NULL, y + o * out);
  }
}

static void conv_run_transpose(const wh_conv_args *a, const wh_worker *worker) {
  const wh_window *w = &a->win;
  wh_conv_transpose_room room;
  if (!wh_conv_transpose_find_room(w, a->c, a->m, &room)) return; /* the claim refused */
  float *own = (float *)(void *)((char *)a->scratch + (size_t)worker->index * a->scratch_bytes);
  transpose_work t = {.a = a, .room = &room, .copy = own, .products = own + room.copy};
  for (int64_t i = 0; i < min_i64(a->c, WH_CONV_CHUNK); i++) t.taps[i] = t.copy + i * CONV_LANES;
  const int64_t rows = w->out[0] * w->out[1], parts = ceil_div(a->m, room.outputs);
  int64_t begin, end;
  wh_worker_range(worker, a->n * a->group * rows * parts, &begin, &end);
  for (int64_t i = begin; i < end && w->out[2]; i++) {
    const int64_t m = i % parts * room.outputs, row = i / parts % rows;
    transpose_row(&t, i / parts / rows, m, min_i64(room.outputs, a->m - m), row / w->out[1], row % w->out[1]);
  }
}

#endif
