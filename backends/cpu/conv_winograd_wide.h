/* conv_winograd_wide.h - minimal filtering whose lanes are outputs (conv_winograd_run.h): wide vectors then
 * have no empty lanes, however many tiles there are. */
#ifndef WH_CPU_CONV_WINOGRAD_WIDE_H
#define WH_CPU_CONV_WINOGRAD_WIDE_H

#define WIDE_PART 128 /* channels; it divides WH_CONV_CHUNK */
#define WIDE_TALL 14  /* tiles by two panels: as many chains as there are registers for */
#define WIDE_PIECES ((WH_WINOGRAD_TILES + VF_LANES - 1) / VF_LANES)

/* ---- elements ---- */

/* A row of the image from column `left` on, of which elements outside are +0: so many lanes from lane 0, 2,
 * 16 and 18 on. */
typedef struct wide_columns {
  int64_t left;
  vf_mask inside[4];
} wide_columns;

static const int64_t wide_lanes[4] = {0, 2, VF_LANES, VF_LANES + 2};

static wide_columns wide_columns_from(int64_t left, int64_t width) {
  wide_columns c = {.left = left};
  for (int i = 0; i < 4; i++) {
    const int64_t first = left + wide_lanes[i], begin = first < 0 ? min_i64(-first, VF_LANES) : 0;
    c.inside[i] = vf_between(begin, width - first < begin ? begin : min_i64(width - first, VF_LANES));
  }
  return c;
}

/* Rows d[4] to row k of the transformed rows. */
CONV_INLINE vf wide_down(const int k, vf d0, vf d1, vf d2, vf d3) {
  return k == 0 ? vf_sub(d0, d2) : k == 1 ? vf_add(d1, d2) : k == 2 ? vf_sub(d2, d1) : vf_sub(d1, d3);
}

/* A row of the transformed rows, at a tile's columns e, o and the two behind, to four positions. */
CONV_INLINE void wide_across(vf e, vf o, vf next_e, vf next_o, vf_mask keep, float *to, int64_t step) {
  vf_store_some(keep, to, vf_sub(e, next_e));
  vf_store_some(keep, to + step, vf_add(o, next_e));
  vf_store_some(keep, to + 2 * step, vf_sub(next_e, o));
  vf_store_some(keep, to + 3 * step, vf_sub(o, next_o));
}

/* Up to VF_LANES tiles of each row. */
static void wide_long_rows(const winograd_run *r, const winograd_band *b, const wide_columns *c,
                           const float *x, int64_t tile, vf_mask keep, float *to) {
  const wh_window *w = &r->a->win;
  const int64_t top = 2 * b->row - w->pad[1], step = r->p->step;
  vf d[4][4];
  for (int64_t i = 0; i < b->rows; i++) {
    CONV_UNROLL
    for (int k = 0; k < 4; k++) {
      const int64_t h = top + 2 * i + k;
      if (k < 2 && i) {
        CONV_UNROLL
        for (int j = 0; j < 4; j++) d[k][j] = d[k + 2][j];
      } else if (h < 0 || h >= w->in[1]) {
        CONV_UNROLL
        for (int j = 0; j < 4; j++) d[k][j] = vf_zero();
      } else {
        CONV_UNROLL
        for (int j = 0; j < 4; j++)
          d[k][j] = vf_load_some(c->inside[j], x + h * w->in[2] + c->left + wide_lanes[j]);
      }
    }
    float *v = to + tile + i * b->cols;
    CONV_UNROLL
    for (int k = 0; k < 4; k++) {
      vf t[4];
      CONV_UNROLL
      for (int j = 0; j < 4; j++) t[j] = wide_down(k, d[0][j], d[1][j], d[2][j], d[3][j]);
      wide_across(vf_even(t[0], t[2]), vf_odd(t[0], t[2]), vf_even(t[1], t[3]), vf_odd(t[1], t[3]), keep,
                  v + 4 * k * step, step);
    }
  }
}

/* Rows of so few tiles that one vector has a row of the image: those of two rows at a time. */
static void wide_short_rows(const winograd_run *r, const winograd_band *b, const wide_columns *c,
                            const float *x, float *to) {
  const wh_window *w = &r->a->win;
  const int64_t top = 2 * b->row - w->pad[1], step = r->p->step;
  vf_index at[4]; /* of the columns: tiles of the one row, then of the other */
  for (int s = 0; s < 4; s++) {
    int32_t lanes[VF_LANES];
    for (int l = 0; l < VF_LANES; l++)
      lanes[l] = (int32_t)(l < b->cols ? 2 * l + s : VF_LANES + (2 * (l - b->cols) + s) % VF_LANES);
    at[s] = vf_index_of(lanes);
  }
  vf d[6];
  for (int64_t i = 0; i < b->rows; i += 2) {
    CONV_UNROLL
    for (int k = 0; k < 6; k++) {
      const int64_t h = top + 2 * i + k;
      if (k < 2 && i)
        d[k] = d[k + 4];
      else
        d[k] = h < 0 || h >= w->in[1] ? vf_zero() : vf_load_some(c->inside[0], x + h * w->in[2] + c->left);
    }
    const vf_mask keep = vf_first((i + 1 < b->rows ? 2 : 1) * b->cols);
    float *v = to + i * b->cols;
    CONV_UNROLL
    for (int k = 0; k < 4; k++) {
      const vf p = wide_down(k, d[0], d[1], d[2], d[3]), q = wide_down(k, d[2], d[3], d[4], d[5]);
      wide_across(vf_pick(p, at[0], q), vf_pick(p, at[1], q), vf_pick(p, at[2], q), vf_pick(p, at[3], q),
                  keep, v + 4 * k * step, step);
    }
  }
}

/* Channels [begin, end); x is the first one of the group. */
static void wide_elements(const winograd_run *r, const winograd_band *b, const float *x, int64_t begin,
                          int64_t end) {
  const wh_window *w = &r->a->win;
  const int64_t plane = wh_window_volume(w->in), left = 2 * b->col - w->pad[2];
  const bool narrow = 2 * b->cols + 2 <= VF_LANES;
  wide_columns pieces[WIDE_PIECES];
  for (int64_t j = 0; j < b->cols; j += VF_LANES)
    pieces[j / VF_LANES] = wide_columns_from(left + 2 * j, w->in[2]);
  for (int64_t c = begin; c < end; c++) {
    float *to = r->elements + c * r->p->ld;
    if (narrow) {
      wide_short_rows(r, b, pieces, x + c * plane, to);
      continue;
    }
    for (int64_t j = 0; j < b->cols; j += VF_LANES)
      wide_long_rows(r, b, &pieces[j / VF_LANES], x + c * plane, j, vf_first(b->cols - j), to);
  }
}

/* ---- products ---- */

/* Some tiles by one or two panels, over channels [0, k). */
typedef struct wide_tile {
  int64_t k, ld, sum_ld; /* from channel to channel of v; from tile to tile of sums */
  const float *u[2], *v;
  float *part, *sums;  /* the chains so far; with the chunks before */
  bool begins, ends;   /* a chunk */
  bool first;          /* chunk */
  const char *next[2]; /* weights that are read next */
  int64_t next_step;
} wide_tile;

CONV_INLINE void wide_body(const int rows, const int panels, const wide_tile *t) {
  vf acc[WIDE_TALL][2];
  const int64_t ld = t->ld, next_step = t->next_step;
  const float *v = t->v, *u[2] = {t->u[0], t->u[1]};
  const char *next[2] = {t->next[0], t->next[1]};
#define EACH_SUM CONV_UNROLL for (int r = 0; r < rows; r++) CONV_UNROLL for (int p = 0; p < panels; p++)
#define AT(sums) ((sums) + r * t->sum_ld + p * VF_LANES)
  if (t->begins)
    EACH_SUM acc[r][p] = vf_zero();
  else
    EACH_SUM acc[r][p] = vf_load(AT(t->part));
  for (int64_t left = t->k; left > 0; left--) {
    vf w[2];
    CONV_UNROLL
    for (int p = 0; p < panels; p++) {
      w[p] = vf_load(u[p]);
      __builtin_prefetch(next[p], 0, 2);
      u[p] += VF_LANES;
      next[p] += next_step;
    }
    CONV_UNROLL
    for (int r = 0; r < rows; r++) {
      const vf x = vf_set1(v[r]);
      CONV_UNROLL
      for (int p = 0; p < panels; p++) vf_accumulate(acc[r][p], x, w[p]);
    }
    v += ld;
  }
  if (!t->ends) {
    EACH_SUM vf_store(AT(t->part), acc[r][p]);
    return;
  }
  if (t->first)
    EACH_SUM acc[r][p] = vf_add(vf_zero(), acc[r][p]);
  else
    EACH_SUM acc[r][p] = vf_add(vf_load(AT(t->sums)), acc[r][p]);
  EACH_SUM vf_store(AT(t->sums), acc[r][p]);
#undef AT
#undef EACH_SUM
}

/* Of rows that are even: the last one may be no tile's. */
static __attribute__((noinline)) void wide_run_tile(int64_t rows, int64_t panels, const wide_tile *t) {
  switch (rows + panels) {
#define CASE(n)         \
  case n + 1:           \
    wide_body(n, 1, t); \
    return;             \
  case n + 2:           \
    wide_body(n, 2, t); \
    return;
    CASE(2)
    CASE(4)
    CASE(6)
    CASE(8)
    CASE(10)
    CASE(12)
    CASE(14)
#undef CASE
  }
}

/* All positions of `panels` panels u over the band's tiles; `next`: the panels behind. */
static void wide_products(const winograd_run *r, int64_t tiles, const float *u, int64_t panels,
                          const float *next) {
  const wh_winograd_plan *p = r->p;
  const int64_t c = r->a->c, panel = VF_LANES * c, u_step = panel * WH_WINOGRAD_POSITIONS,
                sum_ld = p->panels * VF_LANES;
  for (int64_t i = 0; i < WH_WINOGRAD_POSITIONS; i++) {
    float *sums = r->products + i * p->m_step;
    float *part = c > WH_CONV_CHUNK ? sums + WH_WINOGRAD_POSITIONS * p->m_step : sums;
    const float *behind = i + 1 < WH_WINOGRAD_POSITIONS ? u + (i + 1) * panel : next;
    for (int64_t k = 0; k < c; k += WIDE_PART) {
      const int64_t in_chunk = k % WH_CONV_CHUNK, n = min_i64(WIDE_PART, c - k);
      wide_tile t = {.k = n,
                     .ld = p->ld,
                     .sum_ld = sum_ld,
                     .begins = !in_chunk,
                     .ends = in_chunk + n == WH_CONV_CHUNK || k + n == c,
                     .first = k < WH_CONV_CHUNK,
                     .next_step = VF_LANES * (int64_t)sizeof(float) / ceil_div(tiles, WIDE_TALL)};
      for (int64_t j = 0, some; j < panels; j += some) {
        some = min_i64(2, panels - j);
        for (int64_t q = 0; q < 2; q++) {
          const int64_t at = (q < some ? j + q : j) * u_step + k * VF_LANES;
          t.u[q] = u + i * panel + at;
          t.next[q] = (const char *)(behind + at);
        }
        for (int64_t at = 0, rows; at < tiles; at += rows) {
          rows = ceil_div(tiles - at, 2 * ceil_div(tiles - at, WIDE_TALL)) * 2;
          t.v = r->elements + i * p->step + k * p->ld + at;
          t.part = part + at * sum_ld + j * VF_LANES;
          t.sums = sums + at * sum_ld + j * VF_LANES;
          wide_run_tile(rows, some, &t);
          for (int64_t q = 0; q < 2; q++) t.next[q] += n * t.next_step;
        }
      }
    }
  }
}

/* ---- outputs ---- */

/* Four vectors of outputs from the 16 products of a tile that lie `step` apart. */
CONV_INLINE void wide_back(const float *from, int64_t step, vf y[4]) {
  vf z[2][4];
  CONV_UNROLL
  for (int k = 0; k < 4; k++) {
    const vf m0 = vf_load(from + k * step), m1 = vf_load(from + (4 + k) * step),
             m2 = vf_load(from + (8 + k) * step), m3 = vf_load(from + (12 + k) * step);
    z[0][k] = WINOGRAD_FIRST(m0, m1, m2);
    z[1][k] = WINOGRAD_SECOND(m1, m2, m3);
  }
  CONV_UNROLL
  for (int k = 0; k < 2; k++) {
    y[2 * k] = WINOGRAD_FIRST(z[k][0], z[k][1], z[k][2]);
    y[2 * k + 1] = WINOGRAD_SECOND(z[k][1], z[k][2], z[k][3]);
  }
}

/* Of channels [m, m + n), which are lanes; NULL: there are none. */
static vf wide_operand(const float *x, int64_t step, int64_t m, int64_t n) {
  return !x ? vf_zero() : step ? vf_load_some(vf_first(n), x + m) : vf_set1(*x);
}

/* What follows the sums up to a residual, for all panels of a band. */
typedef struct wide_short {
  const conv_short *s;
  vf bias, scale, shift;
} wide_short;

CONV_INLINE void wide_act(const wide_short *w, vf y[4]) {
  if (!w->s) return;
  if (w->s->bias) CONV_UNROLL
  for (int k = 0; k < 4; k++) y[k] = vf_add(y[k], w->bias);
  if (w->s->scale) CONV_UNROLL
  for (int k = 0; k < 4; k++) y[k] = vf_add(vf_mul(y[k], w->scale), w->shift);
  conv_short_act(4, w->s, y);
}

/* A piece of a row of results of n_rows channels from element `to` of the unit's outputs on. */
static void wide_store(const winograd_run *r, const conv_short *s, const float *v, int64_t n_rows, int64_t n,
                       int64_t to) {
  const int64_t plane = wh_window_volume(r->a->win.out);
  const vf_mask keep = vf_first(n);
  const conv_unit *u = r->end.u;
  float *y = r->a->y + (u->image * r->a->group + u->group) * r->a->m * plane + to;
  const float *x = s->residual ? s->residual + to : NULL;
  for (int64_t k = 0; k < n_rows; k++, y += plane, v += VF_LANES) {
    vf o = vf_load(v);
    if (x) {
      o = vf_add(vf_load_some(keep, x + k * plane), o);
      if (s->relu) o = vf_relu(o);
    }
    vf_store_some(keep, y, o);
  }
}

/* The outputs of panel i of those whose products wait, channels [m, m + n_rows): true: they are results; else
 * rows of sums as the plane has them, of which a store writes too much where a later one writes. */
static bool wide_sums(const winograd_run *r, const winograd_band *b, int64_t i, int64_t m, int64_t n_rows) {
  const int64_t step = r->p->m_step, ld = r->p->panels * VF_LANES, each = VF_LANES / 2,
                width = r->a->win.out[2], to = m * wh_window_volume(r->a->win.out) + b->place;
  _Alignas(64) float rows[2][VF_LANES][VF_LANES] = {{{0.0f}}}, turned[VF_LANES][VF_LANES];
  conv_short end;
  const conv_short *s = (r->end.n_ops || !r->a->chain) && conv_short_make(&r->end, &end) ? &end : NULL;
  wide_short w = {.s = s};
  if (s) {
    w.bias = wide_operand(s->bias, s->bias_step, m, n_rows);
    w.scale = wide_operand(s->scale, s->scale_step, m, n_rows);
    w.shift = conv_short_addend(s, wide_operand(s->shift, s->shift_step, m, n_rows));
  }
  for (int64_t row = 0; row < b->rows; row++)
    for (int64_t j = (b->cols - 1) / each * each; j >= 0; j -= each) { /* to a row's first tiles */
      const float *from = r->products + i * VF_LANES + (row * b->cols + j) * ld;
      for (int64_t t = 0, n = min_i64(each, b->cols - j); t < n; t++, from += ld) {
        vf y[4];
        wide_back(from, step, y);
        wide_act(&w, y);
        CONV_UNROLL
        for (int k = 0; k < 4; k++) vf_store(rows[k / 2][2 * t + k % 2], y[k]);
      }
      for (int64_t k = 0; k < min_i64(2, b->high - 2 * row); k++) {
        if (!s) {
          vf_transpose(rows[k][0], VF_LANES, r->sums + (2 * row + k) * b->wide + 2 * j, r->p->sums);
          continue;
        }
        vf_transpose(rows[k][0], VF_LANES, turned[0], VF_LANES);
        wide_store(r, s, turned[0], n_rows, min_i64(b->wide - 2 * j, VF_LANES),
                   to + (2 * row + k) * width + 2 * j);
      }
    }
  return s;
}

#endif
