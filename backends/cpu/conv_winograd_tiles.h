/* conv_winograd_tiles.h - minimal filtering whose lanes are tiles (conv_winograd_run.h). */
#ifndef WH_CPU_CONV_WINOGRAD_TILES_H
#define WH_CPU_CONV_WINOGRAD_TILES_H

#define WINOGRAD_VECS 3
/* Channels; it divides WH_CONV_CHUNK. What a block reads of them stays in a first-level cache. */
#define WINOGRAD_PART (VF_LANES == 8 ? 256 : 128)
/* Panels of a tile: as many chains as there are registers for, or else some to hide an addition's latency. */
#if VF_LANES == 8 /* half of the registers */
#define WINOGRAD_PANELS(vecs, all_vecs) ((all_vecs) == 1 ? 2 : 1)
#define WINOGRAD_MOST_PANELS 2
#else
#define WINOGRAD_PANELS(vecs, all_vecs) (5 - (vecs))
#define WINOGRAD_MOST_PANELS 4
#endif

/* ---- elements ---- */

/* n elements of a row, the first one of an even column. Behind them come zeros. */
static void winograd_split(const float *x, int64_t n, float *even, float *odd) {
  for (int64_t i = 0; i < n; i += 2 * VF_LANES) {
    const bool whole = n - i >= 2 * VF_LANES;
    const vf p = whole ? vf_load(x + i) : vf_load_some(vf_first(n - i), x + i);
    const vf q =
        whole ? vf_load(x + i + VF_LANES) : vf_load_some(vf_first(n - i - VF_LANES), x + i + VF_LANES);
    vf e, o;
    vf_split_pairs(p, q, &e, &o);
    vf_store(even + i / 2, vf_in_order_of_pairs(e));
    vf_store(odd + i / 2, vf_in_order_of_pairs(o));
  }
}

/* A channel's rows under a band: even columns, then odd ones. What is padding stays the zero that it was. */
static void winograd_stage(const winograd_run *r, const winograd_band *b, const float *x) {
  const wh_window *w = &r->a->win;
  const int64_t left = 2 * b->col - w->pad[2], top = 2 * b->row - w->pad[1], stage = r->p->stage;
  const int64_t behind = min_i64(2 * b->cols + 2, w->in[2] - left);
  for (int64_t i = 0; i < 2 * b->rows + 2; i++) {
    if (top + i < 0 || top + i >= w->in[1]) continue;
    const float *from = x + (top + i) * w->in[2] + left;
    float *even = r->stage + 2 * i * stage, *odd = even + stage;
    int64_t first = left < 0 ? -left : 0;
    if (first % 2 && first < behind) {
      odd[first / 2] = from[first];
      first++;
    }
    winograd_split(from + first, behind - first, even + first / 2, odd + first / 2);
  }
}

CONV_INLINE void winograd_keep(float *to, int64_t room, vf v) {
  if (room >= VF_LANES)
    vf_store(to, v);
  else
    vf_store_first(room, to, v);
}

/* A row t of the transformed rows: at even columns, odd ones, and the next even and odd ones. */
CONV_INLINE void winograd_across(const vf t[4], float *to, int64_t step, int64_t room) {
  winograd_keep(to, room, vf_sub(t[0], t[2]));
  winograd_keep(to + step, room, vf_add(t[1], t[2]));
  winograd_keep(to + 2 * step, room, vf_sub(t[2], t[1]));
  winograd_keep(to + 3 * step, room, vf_sub(t[1], t[3]));
}

/* Channel c of the band. Stores overrun into what the next row of tiles writes. */
static void winograd_transform(const winograd_run *r, const winograd_band *b, int64_t c) {
  const int64_t stage = r->p->stage, step = r->p->step;
  float *to = r->elements + c * r->p->ld;
  for (int64_t i = 0; i < b->rows; i++)
    for (int64_t j = 0; j < b->cols; j += VF_LANES) {
      const float *from = r->stage + 4 * i * stage + j;
      const int64_t at[] = {0, stage, 1, stage + 1}, tile = i * b->cols + j, room = r->p->ld - tile;
      vf d1[4], d2[4], t[4];
      float *v = to + tile;
      CONV_UNROLL
      for (int k = 0; k < 4; k++) d2[k] = vf_load(from + 4 * stage + at[k]);
      CONV_UNROLL
      for (int k = 0; k < 4; k++) t[k] = vf_sub(vf_load(from + at[k]), d2[k]);
      winograd_across(t, v, step, room);
      CONV_UNROLL
      for (int k = 0; k < 4; k++) d1[k] = vf_load(from + 2 * stage + at[k]);
      CONV_UNROLL
      for (int k = 0; k < 4; k++) t[k] = vf_add(d1[k], d2[k]);
      winograd_across(t, v + 4 * step, step, room);
      CONV_UNROLL
      for (int k = 0; k < 4; k++) t[k] = vf_sub(d2[k], d1[k]);
      winograd_across(t, v + 8 * step, step, room);
      CONV_UNROLL
      for (int k = 0; k < 4; k++) t[k] = vf_sub(d1[k], vf_load(from + 6 * stage + at[k]));
      winograd_across(t, v + 12 * step, step, room);
    }
}

/* Channels [begin, end); x is the first one of the group. */
static void tiles_elements(const winograd_run *r, const winograd_band *b, const float *x, int64_t begin,
                           int64_t end) {
  const int64_t plane = wh_window_volume(r->a->win.in);
  memset(r->stage, 0, (size_t)((2 * b->rows + 2) * 2 * r->p->stage) * sizeof *r->stage);
  for (int64_t c = begin; c < end; c++) {
    winograd_stage(r, b, x + c * plane);
    winograd_transform(r, b, c);
  }
}

/* ---- products ---- */

/* Some panels by some vectors of tiles, over channels [0, k). */
typedef struct winograd_tile {
  int64_t k, ld; /* of v and of what is written */
  const float *u, *v;
  int64_t u_step;     /* from panel to panel */
  float *part, *sums; /* the chains so far; with the chunks before */
  bool begins, ends;  /* a chunk */
  bool first;         /* chunk */
  const char *next;   /* weights that are read next */
  int64_t next_step;
} winograd_tile;

CONV_INLINE void winograd_body(const int panels, const int vecs, const winograd_tile *t) {
  vf acc[WH_WINOGRAD_PANEL * WINOGRAD_MOST_PANELS][WINOGRAD_VECS];
  const int rows = panels * WH_WINOGRAD_PANEL;
  const int64_t ld = t->ld, next_step = t->next_step;
  const float *u[WINOGRAD_MOST_PANELS];
  const char *v = (const char *)t->v, *next = t->next;
  int64_t step = ld * (int64_t)sizeof(float), thrice = 3 * step, left = t->k;
  CONV_UNROLL
  for (int r = 0; r < rows; r++) CONV_UNROLL
  for (int i = 0; i < vecs; i++) acc[r][i] = t->begins ? vf_zero() : vf_load(t->part + r * ld + i * VF_LANES);
  CONV_UNROLL
  for (int p = 0; p < panels; p++) u[p] = t->u + p * t->u_step;
#define CHANNEL(j) /* the one that is j behind; of four, their elements */                           \
  {                                                                                                  \
    const float *at = (const float *)(const void *)(v + ((j) % 4 == 3 ? thrice : (j) % 4 * step));   \
    vf x[WINOGRAD_VECS];                                                                             \
    CONV_UNROLL                                                                                      \
    for (int i = 0; i < vecs; i++) x[i] = vf_load(at + i * VF_LANES);                                \
    CONV_UNROLL                                                                                      \
    for (int r = 0; r < rows; r++) {                                                                 \
      const vf w = vf_set1(u[r / WH_WINOGRAD_PANEL][(j)*WH_WINOGRAD_PANEL + r % WH_WINOGRAD_PANEL]); \
      CONV_UNROLL                                                                                    \
      for (int i = 0; i < vecs; i++) vf_accumulate(acc[r][i], w, x[i]);                              \
    }                                                                                                \
    KEEP_APART(step);                                                                                \
    KEEP_APART(thrice);                                                                              \
  }
#define FOUR(j)    \
  CHANNEL(j)       \
  CHANNEL((j) + 1) \
  CHANNEL((j) + 2) \
  CHANNEL((j) + 3) \
  v += 4 * step;   \
  KEEP_APART(v);
#define MOVE_ON(n) /* a pointer of each panel, or all that lies between them takes registers */ \
  CONV_UNROLL                                                                                   \
  for (int p = 0; p < panels; p++) {                                                            \
    u[p] += (n)*WH_WINOGRAD_PANEL;                                                              \
    KEEP_APART(u[p]);                                                                           \
  }
  for (left -= 8; left >= 0; left -= 8) { /* two lines of weights */
    __builtin_prefetch(next);
    __builtin_prefetch(next + next_step);
    next += 2 * next_step;
    FOUR(0)
    FOUR(4)
    MOVE_ON(8)
  }
  left += 8;
  for (; left > 0; left--) {
    CHANNEL(0)
    MOVE_ON(1)
    v += step;
  }
#undef MOVE_ON
#undef FOUR
#undef CHANNEL
  CONV_UNROLL
  for (int r = 0; r < rows; r++) CONV_UNROLL
  for (int i = 0; i < vecs; i++) {
    const int64_t at = r * ld + i * VF_LANES;
    if (t->ends)
      vf_store(t->sums + at, vf_add(t->first ? vf_zero() : vf_load(t->sums + at), acc[r][i]));
    else
      vf_store(t->part + at, acc[r][i]);
  }
}

static __attribute__((noinline)) void winograd_run_tile(int64_t panels, int64_t vecs,
                                                        const winograd_tile *t) {
#define TILE(n, of)                                                \
  if (WINOGRAD_PANELS(of, of) >= n && panels == n && vecs == of) { \
    winograd_body(n, of, t);                                       \
    return;                                                        \
  }
  TILE(1, 1)
  TILE(2, 1)
  TILE(3, 1)
  TILE(4, 1)
  TILE(1, 2)
  TILE(2, 2)
  TILE(3, 2)
  TILE(1, 3)
  TILE(2, 3)
#undef TILE
}

/* Vectors of the next tile where so many are left. */
static int64_t winograd_vecs(int64_t left) { return left == 4 ? 2 : min_i64(left, WINOGRAD_VECS); }

/* All positions of `panels` panels u over the band's tiles; `next`: the panels behind. */
static void tiles_products(const winograd_run *r, int64_t tiles, const float *u, int64_t panels,
                           const float *next) {
  const wh_winograd_plan *p = r->p;
  const int64_t c = r->a->c, n_vecs = ceil_div(tiles, VF_LANES), panel = WH_WINOGRAD_PANEL * c,
                u_step = panel * WH_WINOGRAD_POSITIONS;
  for (int64_t i = 0; i < WH_WINOGRAD_POSITIONS; i++) {
    float *sums = r->products + i * p->m_step;
    float *part = c > WH_CONV_CHUNK ? sums + WH_WINOGRAD_POSITIONS * p->m_step : sums;
    const float *behind = i + 1 < WH_WINOGRAD_POSITIONS ? u + (i + 1) * panel : next;
    for (int64_t k = 0; k < c; k += WINOGRAD_PART) {
      const int64_t in_chunk = k % WH_CONV_CHUNK, n = min_i64(WINOGRAD_PART, c - k);
      winograd_tile t = {.k = n,
                         .ld = p->ld,
                         .u_step = u_step,
                         .begins = !in_chunk,
                         .ends = in_chunk + n == WH_CONV_CHUNK || k + n == c,
                         .first = k < WH_CONV_CHUNK};
      for (int64_t at = 0, vecs; at < n_vecs; at += vecs) {
        vecs = winograd_vecs(n_vecs - at);
        t.next_step = at == 0 ? 64 : 0;
        t.v = r->elements + i * p->step + k * p->ld + at * VF_LANES;
        for (int64_t j = 0, some; j < panels; j += some) {
          some = min_i64(WINOGRAD_PANELS(vecs, n_vecs), panels - j);
          const int64_t to = j * WH_WINOGRAD_PANEL * p->ld + at * VF_LANES;
          t.u = u + j * u_step + i * panel + k * WH_WINOGRAD_PANEL;
          t.part = part + to;
          t.sums = sums + to;
          t.next = (const char *)(behind + j * u_step + k * WH_WINOGRAD_PANEL);
          winograd_run_tile(some, vecs, &t);
        }
      }
    }
  }
}

/* ---- outputs ---- */

/* One output of all tiles: rows of sums as the plane has them. From the last tiles of a row to its first
 * ones, so that what a store writes too much of lies where a later one writes. */
static void winograd_output(const winograd_run *r, const winograd_band *b, const float *m, float *y) {
  const int64_t step = r->p->m_step;
  for (int64_t i = 0; i < b->rows; i++)
    for (int64_t j = (b->cols - 1) / VF_LANES * VF_LANES; j >= 0; j -= VF_LANES) {
      const float *from = m + i * b->cols + j;
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
        vf p, q;
        float *to = y + (2 * i + k) * b->wide + 2 * j;
        vf_join_pairs(vf_in_order_of_pairs(WINOGRAD_FIRST(z[k][0], z[k][1], z[k][2])),
                      vf_in_order_of_pairs(WINOGRAD_SECOND(z[k][1], z[k][2], z[k][3])), &p, &q);
        vf_store(to, p);
        vf_store(to + VF_LANES, q);
      }
    }
}

/* Rows of sums, as the plane has them, of the first outputs of panel i of those whose products wait; false:
 * they are no results yet. */
static bool tiles_sums(const winograd_run *r, const winograd_band *b, int64_t i, int64_t m, int64_t rows) {
  const wh_winograd_plan *p = r->p;
  (void)m;
  for (int64_t k = 0; k < rows; k++)
    winograd_output(r, b, r->products + (i * WH_WINOGRAD_PANEL + k) * p->ld, r->sums + k * p->sums);
  return false;
}

#endif
