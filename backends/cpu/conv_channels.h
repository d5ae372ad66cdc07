/* conv_channels.h - the tiles of conv_driver.h whose lanes are channels: each holds some places of a row of
 * outputs x a panel of packed weights (linear_f_kernels.h), and its sums are transposed when they are
 * written. Included by conv_driver.h. */
#ifndef WH_CPU_CONV_CHANNELS_H
#define WH_CPU_CONV_CHANNELS_H

#if VF_LANES == 8 /* few places have all channels of a panel, whose weights are then read in one go */
#define CHANNEL_VECS (WH_LINEAR_F_COLS / VF_LANES)
#define CHANNEL_FEW 3
#else
#define CHANNEL_VECS 2
#define CHANNEL_FEW 0
#endif

/* c[rows][32] over taps [0, k): weights w[k][width], the element of tap i for row r at x[i] + at + r * step.
 */
typedef struct conv_channel_tile {
  int64_t rows, width, k;
  const float *w;
  const float *const *x;
  int64_t at, step;
  float *c;
  bool first;
  const char *ahead; /* weights that are read next: two lines at ahead + i * ahead_step */
  int64_t ahead_step;
} conv_channel_tile;

CONV_INLINE void conv_channel_body(const int rows, const int vecs, const conv_channel_tile *t, int64_t col) {
  vf acc[WH_CONV_TALL][CHANNEL_VECS], w[CHANNEL_VECS];
  const int64_t step = t->step, at = t->at, width = t->width;
  const float *const *from = t->x;
  const float *weights = t->w + col;
  const char *ahead = t->ahead;
  const int64_t ahead_step = t->ahead_step;
  CONV_UNROLL
  for (int r = 0; r < rows; r++) CONV_UNROLL
  for (int i = 0; i < vecs; i++) acc[r][i] = vf_zero();
  for (int64_t k = 0; k < t->k; k++, weights += width) {
    __builtin_prefetch(ahead);
    __builtin_prefetch(ahead + 64);
    ahead += ahead_step;
    const float
        *p[(WH_CONV_TALL + 2) / 3]; /* of each third row; the two that follow are in reach of an address */
    p[0] = from[k] + at;
    CONV_UNROLL
    for (int r = 3; r < rows; r += 3) p[r / 3] = p[r / 3 - 1] + 3 * step;
    CONV_UNROLL
    for (int i = 0; i < vecs; i++) w[i] = vf_load(weights + i * VF_LANES);
    CONV_UNROLL
    for (int r = 0; r < rows; r++) {
      const vf b = vf_set1(p[r / 3][r % 3 * step]);
      CONV_UNROLL
      for (int i = 0; i < vecs; i++) acc[r][i] = vf_fma(b, w[i], acc[r][i]);
    }
  }
  CONV_UNROLL
  for (int r = 0; r < rows; r++) CONV_UNROLL
  for (int i = 0; i < vecs; i++) {
    float *c = t->c + r * WH_LINEAR_F_COLS + col + i * VF_LANES;
    vf_store(c, vf_add(t->first ? vf_zero() : vf_load(c), acc[r][i]));
  }
}

CONV_INLINE void conv_channel_rows(const int rows, const conv_channel_tile *t) {
  if (VF_LANES == WH_LINEAR_F_HALF && t->width == WH_LINEAR_F_HALF) {
    conv_channel_body(rows, 1, t, 0);
    return;
  }
  if (rows <= CHANNEL_FEW && t->width == CHANNEL_VECS * VF_LANES) {
    conv_channel_body(rows, CHANNEL_VECS, t, 0);
    return;
  }
  for (int64_t col = 0; col < t->width; col += 2 * VF_LANES) conv_channel_body(rows, 2, t, col);
}

static void conv_run_channel_tile(const conv_channel_tile *t) {
  switch (t->rows) {
#define CASE(n)              \
  case n:                    \
    conv_channel_rows(n, t); \
    return;
    CASES_1_TO_6(CASE)
#if CONV_TALL_ROWS > 6
    CASES_7_TO_12(CASE)
    CASE(13)
    CASE(14)
#endif
#undef CASE
  }
}

/* Vectors as the compilers of GNU C know them. */
typedef float conv_f4 __attribute__((vector_size(16)));

/* y[channel][place] = c[place][channel], 4 x 4. Two rounds of interleaving row i with row i + 2 transpose. */
CONV_INLINE void conv_transpose_4(const float *c, float *y) {
  conv_f4 a[4], b[4];
  CONV_UNROLL
  for (int i = 0; i < 4; i++) memcpy(&a[i], c + i * WH_LINEAR_F_COLS, sizeof a[i]);
  CONV_UNROLL
  for (int i = 0; i < 2; i++) {
    b[2 * i] = __builtin_shufflevector(a[i], a[i + 2], 0, 4, 1, 5);
    b[2 * i + 1] = __builtin_shufflevector(a[i], a[i + 2], 2, 6, 3, 7);
  }
  CONV_UNROLL
  for (int i = 0; i < 2; i++) {
    a[2 * i] = __builtin_shufflevector(b[i], b[i + 2], 0, 4, 1, 5);
    a[2 * i + 1] = __builtin_shufflevector(b[i], b[i + 2], 2, 6, 3, 7);
  }
  CONV_UNROLL
  for (int i = 0; i < 4; i++) memcpy(y + i * CONV_PANEL_PLACES, &a[i], sizeof a[i]);
}

/* Sums of a panel that are not outputs yet: n places from `place` on. */
typedef struct conv_pending {
  float *c; /* [n][32], and rows up to the next multiple of four */
  int64_t n, place;
} conv_pending;

static void conv_write_channels(conv_end *e, const conv_pending *s, int64_t m, int64_t n_m, int64_t n) {
  if (e->across && e->n_ops) {
    conv_end_run(e, s->c, 0, 1, m, n_m);
    return;
  }
  for (int64_t i = 0; i < n_m; i += 4)
    for (int64_t r = 0; r < n; r += 4)
      conv_transpose_4(s->c + r * WH_LINEAR_F_COLS + i, e->tile + i * CONV_PANEL_PLACES + r);
  conv_end_run(e, e->tile, m, n_m, s->place, n);
}

/* Outputs of channels [m, m + n_m): what fills rows of whole vectors, or all of it. */
static void conv_write_pending(conv_end *e, conv_pending *s, int64_t m, int64_t n_m, bool all) {
  while (s->n >= CONV_PANEL_PLACES || (all && s->n)) {
    const int64_t n = min_i64(s->n, CONV_PANEL_PLACES);
    conv_write_channels(e, s, m, n_m, n);
    s->c += n * WH_LINEAR_F_COLS;
    s->n -= n;
    s->place += n;
  }
}

/* Where a tile lies: its first output, how many, and the element of tap 0. */
typedef struct conv_stretch {
  int64_t place, rows, at;
} conv_stretch;

static conv_stretch conv_stretch_of(const conv_unit *u, int64_t tile) {
  const wh_conv_plan *p = u->p;
  const wh_window *w = &u->a->win;
  const int64_t row = tile / p->row_tiles, x = tile % p->row_tiles * p->tile;
  const int64_t h = p->rows == 1 ? 0 : row % w->out[1], d = p->rows == 1 ? 0 : row / w->out[1];
  return (conv_stretch){row * p->row + x, min_i64(p->tile, p->row - x),
                        (d * w->stride[0] * p->size[1] + h * w->stride[1]) * p->size[2] + x * w->stride[2]};
}

/* Tiles [begin, end) of channels [m0, m0 + n_m); m0 is a panel's first. */
static void conv_task_channels(conv_end *e, int64_t m0, int64_t n_m, int64_t begin, int64_t end) {
  const conv_unit *u = e->u;
  const wh_conv_args *a = u->a;
  const wh_conv_plan *p = u->p;
  const int64_t first_place = conv_stretch_of(u, begin).place;
  const bool one_chunk = p->n_k <= WH_CONV_CHUNK;
  const conv_stretch last_tile = conv_stretch_of(u, end - 1);
  for (int64_t k = 0; k < p->n_k || k == 0; k += WH_CONV_CHUNK) {
    const bool last = k + WH_CONV_CHUNK >= p->n_k;
    const int64_t n = min_i64(WH_CONV_CHUNK, p->n_k - k);
    float *sums = u->sums; /* of all places, where there are several chunks */
    for (int64_t m = m0; m < m0 + n_m; m += WH_LINEAR_F_COLS) {
      const int64_t outputs = min_i64(WH_LINEAR_F_COLS, a->m - m);
      const int64_t width = outputs <= WH_LINEAR_F_HALF ? WH_LINEAR_F_HALF : WH_LINEAR_F_COLS;
      /* the next panel's taps of this chunk, or the first one's of the next, or those of the next task */
      const int64_t behind = m + WH_LINEAR_F_COLS;
      const float *next = behind < m0 + n_m       ? a->panels + behind * p->n_k + k * width
                          : last && behind < a->m ? a->panels + behind * p->n_k
                                                  : a->panels + m0 * p->n_k + (k + n) * width;
      conv_pending rest = {sums, 0, first_place};
      for (int64_t i = begin; i < end; i++) {
        const conv_stretch s = conv_stretch_of(u, i);
        const conv_channel_tile t = {.rows = s.rows,
                                     .width = width,
                                     .k = n,
                                     .w = a->panels + m * p->n_k + k * width,
                                     .x = u->taps + k,
                                     .at = s.at,
                                     .step = a->win.stride[2],
                                     .c = sums,
                                     .first = k == 0,
                                     .ahead = (const char *)(next + (i - begin) * n / (end - begin) * width),
                                     .ahead_step = width * 4 / (end - begin)};
        conv_run_channel_tile(&t);
        sums += s.rows * WH_LINEAR_F_COLS;
        if (!last) continue;
        rest.n += s.rows;
        conv_write_pending(e, &rest, m, outputs, i + 1 == end);
        if (one_chunk) { /* the next sums follow those that stay, in lines that a first-level cache has */
          memmove(u->sums, rest.c, (size_t)(rest.n * WH_LINEAR_F_COLS) * sizeof *sums);
          rest.c = u->sums;
          sums = u->sums + rest.n * WH_LINEAR_F_COLS;
        }
      }
      for (int64_t c = m; last && a->chain && !e->n_ops && c < m + outputs; c++)
        wh_conv_run_chain(a, u->image, c, first_place, last_tile.place + last_tile.rows - first_place,
                          u->team);
    }
  }
}

#endif
