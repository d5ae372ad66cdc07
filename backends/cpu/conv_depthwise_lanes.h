/* conv_depthwise_lanes.h - convolutions whose groups have one channel, as many of them at a time as a vector
 * has lanes: the rows of their planes are transposed into a ring of padded rows, so that an element of all
 * is one vector and neither strides nor narrow planes leave lanes idle. What follows the sums takes them as
 * they are; then they are transposed back. Included by conv_depthwise.h. */
#ifndef WH_CPU_CONV_DEPTHWISE_LANES_H
#define WH_CPU_CONV_DEPTHWISE_LANES_H

#define LANES_TALL 14  /* places of a tile: registers but two */
#define LANES_TILE 128 /* places that wait to be written: CONV_TILE elements */
#define LANES_ROWS 8   /* least of a task that is a part of a plane, in heights of windows */
#define LANES_OF(p) ((p)*VF_LANES)

_Static_assert(LANES_OF(LANES_TILE) <= CONV_TILE, "a tile holds them");

/* Some rows of the planes of VF_LANES channels. */
typedef struct lanes_part {
  const wh_window *win;
  const float *x[VF_LANES], *x_end; /* planes; x_end: behind the last image's */
  float *y[VF_LANES];
  int64_t channel, n; /* the first one of the image, how many */
  float *weights;     /* [taps][VF_LANES] */
  vf bias;            /* none is -0: added to -0 it gives what it gives to +0 */
  bool is_short;      /* what follows the sums is */
  conv_short end;
  vf scale, shift;
  float *ring, *zeros;    /* [kernel rows][row], a row */
  int64_t row;            /* elements of a lane */
  int64_t pending, place; /* sums in the end's tile, and where the first one goes */
} lanes_part;

/* conv_short_make of sums whose lanes are channels: a scale and a shift, and what follows them. */
static bool conv_short_lanes(const conv_end *e, conv_short *s) {
  const wh_chain_op *op = e->ops + e->n_sums, *end = e->ops + e->n_ops;
  memset(s, 0, sizeof *s);
  if (!e->n_ops) return true;
  if (!e->n_sums || e->again) return false;
  if (op + 1 < end && !op->save && short_is(op, end, WH_CHAIN_MUL, true) &&
      short_is(op + 1, end, WH_CHAIN_ADD, true)) {
    s->scale = op->x;
    s->shift = op[1].x;
    s->scale_step = s->shift_step = 1;
    op += 2;
  } else if (short_is(op, end, WH_CHAIN_SCALE, false) && op->x_row.step == 0 && op->shift_step == 0) {
    s->scale = op->x;
    s->shift = op++->shift;
  }
  op = short_act(op, end, s);
  if (s->act == CONV_ACT_RELU) s->act = CONV_ACT_POSITIVE; /* a bias was added, even where there is none */
  return op == end;
}

/* `taps` that follow each other in a row. */
CONV_INLINE void lanes_taps(const int taps, const int n, const int stride, const float *x, const float *w,
                            vf *acc) {
  CONV_UNROLL
  for (int k = 0; k < taps; k++) {
    const vf b = vf_load(w + LANES_OF(k));
    KEEP_APART(x); /* elements are not kept for the next tap: too many for the registers */
    CONV_UNROLL
    for (int i = 0; i < n; i++) acc[i] = vf_fma(vf_load(x + LANES_OF(i * stride + k)), b, acc[i]);
  }
}

/* One of a tile's taps after the other. */
CONV_INLINE void lanes_tile(const int n, const int stride, const float *const *rows, int64_t at,
                            const lanes_part *p, float *c) {
  vf acc[LANES_TALL];
  const float *w = p->weights;
  const int64_t height = p->win->kernel[1], width = p->win->kernel[2];
  CONV_UNROLL
  for (int i = 0; i < n; i++) acc[i] = vf_zero();
  for (int64_t h = 0; h < height; h++, w += LANES_OF(width)) {
    const float *x = rows[h] + LANES_OF(at * stride);
    if (width == 3)
      lanes_taps(3, n, stride, x, w, acc);
    else if (width == 5)
      lanes_taps(5, n, stride, x, w, acc);
    else
      for (int64_t k = 0; k < width; k++, x += VF_LANES) lanes_taps(1, n, stride, x, w + LANES_OF(k), acc);
  }
  CONV_UNROLL
  for (int i = 0; i < n; i++) acc[i] = vf_add(acc[i], p->bias);
  if (p->end.scale) CONV_UNROLL
  for (int i = 0; i < n; i++) acc[i] = vf_add(vf_mul(acc[i], p->scale), p->shift);
  conv_short_act(n, &p->end, acc);
  CONV_UNROLL
  for (int i = 0; i < n; i++) vf_store(c + LANES_OF(i), acc[i]);
}

static void lanes_run_tile(int64_t n, const float *const *rows, int64_t at, const lanes_part *p, float *c) {
  switch (2 * n + p->win->stride[2]) {
#define CASE(n)                       \
  case 2 * (n) + 1:                   \
    lanes_tile(n, 1, rows, at, p, c); \
    return;                           \
  case 2 * (n) + 2:                   \
    lanes_tile(n, 2, rows, at, p, c); \
    return;
    CASES_1_TO_6(CASE)
    CASES_7_TO_12(CASE)
    CASE(13)
    CASE(14)
#undef CASE
  }
}

/* The first n elements, fewer than a vector, of VF_LANES rows. */
static void lanes_gather_few(const float **from, int64_t n, const float *end, float *to) {
  float part[VF_LANES][VF_LANES];
  vf v[VF_LANES];
  if (end - from[VF_LANES - 1] < VF_LANES)
    for (int r = 0; r < VF_LANES; r++) {
      vf_store(part[r], vf_load_some(vf_first(n), from[r]));
      from[r] = part[r];
    }
  vf_columns(from, v);
  CONV_UNROLL /* with their numbers known they stay in registers */
      for (int r = 0; r < VF_LANES; r++) if (r < n) vf_store(to + LANES_OF(r), v[r]);
}

/* Elements [at, at + n) of VF_LANES rows: to[n][VF_LANES]. The last row is the one that lies furthest back.
 */
static void lanes_gather(const float *const *rows, int64_t at, int64_t n, const float *end, float *to) {
  const float *from[VF_LANES];
  for (int r = 0; r < VF_LANES; r++) from[r] = rows[r] + at;
  if (n < VF_LANES) {
    lanes_gather_few(from, n, end, to);
    return;
  }
  for (int64_t i = 0; i < n; i += VF_LANES) {
    const int64_t first = min_i64(i, n - VF_LANES); /* some once more */
    const float *x[VF_LANES];
    vf v[VF_LANES];
    CONV_UNROLL
    for (int r = 0; r < VF_LANES; r++) x[r] = from[r] + first;
    vf_columns(x, v);
    CONV_UNROLL
    for (int r = 0; r < VF_LANES; r++) vf_store(to + LANES_OF(first + r), v[r]);
  }
}

/* Sums that wait become outputs: vectors of places, or all that there are. */
static void lanes_write(conv_end *e, lanes_part *p, bool all) {
  const int64_t n = all ? p->pending : p->pending / VF_LANES * VF_LANES;
  if (!n) return;
  if (!p->is_short) {
    const wh_chain_part part = {0, n, p->channel, p->n};
    e->u->a->chain->blocks(e->ops, e->n_ops, &part);
  }
  for (int64_t i = 0; i < n; i += VF_LANES) {
    const float *from[VF_LANES];
    vf v[VF_LANES];
    for (int r = 0; r < VF_LANES; r++) from[r] = e->tile + LANES_OF(i + r);
    vf_columns(from, v);
    if (p->n == VF_LANES && i + VF_LANES <= n) {
      CONV_UNROLL
      for (int r = 0; r < VF_LANES; r++) vf_store(p->y[r] + p->place + i, v[r]);
      continue;
    }
    CONV_UNROLL
    for (int r = 0; r < VF_LANES; r++)
      if (r < p->n) vf_store_left(p->y[r] + p->place + i, n - i, v[r]);
  }
  p->place += n;
  p->pending -= n;
  for (int64_t i = 0; i < p->pending; i++)
    vf_store(e->tile + LANES_OF(i), vf_load(e->tile + LANES_OF(n + i)));
}

/* Rows [first, last) of the outputs. */
static void lanes_rows(conv_end *e, lanes_part *p, int64_t first, int64_t last) {
  const wh_window *w = p->win;
  const int64_t height = w->kernel[1], n = min_i64(w->in[2], p->row - w->pad[2]);
  const float *rows[WH_CONV_CHUNK];
  p->pending = 0;
  p->place = first * w->out[2];
  for (int64_t h = first, next = first * w->stride[1]; h < last; h++) {
    const int64_t top = h * w->stride[1]; /* of rows with padding */
    if (next < top) next = top;
    for (; next < top + height; next++) {
      const int64_t i = next - w->pad[1];
      if (i >= 0 && i < w->in[1])
        lanes_gather(p->x, i * w->in[2], n, p->x_end, p->ring + LANES_OF(next % height * p->row + w->pad[2]));
    }
    for (int64_t k = 0; k < height; k++) {
      const int64_t i = top + k - w->pad[1];
      rows[k] = i >= 0 && i < w->in[1] ? p->ring + LANES_OF((top + k) % height * p->row) : p->zeros;
    }
    const int64_t tiles = ceil_div(w->out[2], LANES_TALL), places = ceil_div(w->out[2], tiles ? tiles : 1);
    for (int64_t at = 0, count; at < w->out[2]; at += count, p->pending += count) {
      count = min_i64(places, w->out[2] - at);
      if (p->pending + count > LANES_TILE) lanes_write(e, p, false);
      lanes_run_tile(count, rows, at, p, e->tile + LANES_OF(p->pending));
    }
  }
  lanes_write(e, p, true);
}

/* What follows the sums has to be the same for all places. */
static bool lanes_fit(const wh_conv_args *a) {
  const wh_chain *c = a->chain;
  if (a->group * a->m < VF_LANES || a->residual || a->win.pad[2] >= a->win.kernel[2]) return false;
  if (!c) return true;
  for (uint32_t i = 1; i < c->n_inputs; i++)
    if (a->ends[i - 1].by_channel > 1 || a->ends[i - 1].by_place) return false;
  return c->plain && c->n_temps <= CONV_TEMPS;
}

static void conv_run_lanes(const wh_conv_args *a, const wh_conv_plan *plan, const wh_worker *worker) {
  const wh_window *w = &a->win;
  const int64_t in = wh_window_volume(w->in), out = wh_window_volume(w->out),
                taps = w->kernel[1] * w->kernel[2], channels = a->group * a->m,
                vectors = ceil_div(channels, VF_LANES), planes = a->n * vectors;
  if (planes == 0) return;
  /* parts of planes where these are few for all workers */
  const int64_t want = wh_team_size(worker->team) > 1 ? 4 * (int64_t)wh_team_size(worker->team) : 1;
  int64_t parts = min_i64(ceil_div(want, planes), w->out[1] / (LANES_ROWS * w->kernel[1]));
  if (parts < 1) parts = 1;
  const int64_t high = ceil_div(w->out[1], parts);
  float *own = (float *)(void *)((char *)a->scratch + (size_t)worker->index * plan->worker_bytes);
  lanes_part p = {.win = w, .x_end = a->x + a->n * a->group * in, .weights = own, .row = plan->row};
  p.zeros = own + LANES_OF(taps);
  p.ring = p.zeros + LANES_OF(p.row);
  memset(p.zeros, 0, (size_t)LANES_OF((w->kernel[1] + 1) * p.row) * sizeof *own);
  conv_unit u = {.a = a, .p = plan, .image = -1, .team = worker->team};
  conv_end e;
  int64_t begin, end;
  wh_worker_range(worker, planes * parts, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const int64_t image = i / parts / vectors, first = i % parts * high;
    if (image != u.image) {
      u.image = image;
      conv_end_begin(&u, VF_LANES, CONV_SUMS_LANES, &e);
      p.is_short = conv_short_lanes(&e, &p.end);
      if (!p.is_short) p.end = (conv_short){0};
    }
    p.channel = i / parts % vectors * VF_LANES;
    p.n = min_i64(VF_LANES, channels - p.channel);
    float bias[VF_LANES] = {0};
    const float *weights[VF_LANES];
    for (int r = 0; r < VF_LANES; r++) {
      const int64_t channel = p.channel + min_i64(r, p.n - 1), of = image * channels + channel;
      if (a->bias) bias[r] = a->bias[channel];
      weights[r] = a->w + channel * taps;
      p.x[r] = a->x + of / a->m * in;
      p.y[r] = a->y + of * out;
    }
    p.bias = vf_add(vf_load(bias), vf_zero());
    if (p.end.scale) {
      p.scale = p.end.scale_step ? vf_load_left(p.end.scale + p.channel, p.n) : vf_set1(*p.end.scale);
      p.shift = p.end.shift_step ? vf_load_left(p.end.shift + p.channel, p.n) : vf_set1(*p.end.shift);
      p.shift = conv_short_addend(&p.end, p.shift);
    }
    lanes_gather(weights, 0, taps, a->w + channels * taps, p.weights);
    lanes_rows(&e, &p, first, min_i64(first + high, w->out[1]));
  }
}

#endif
