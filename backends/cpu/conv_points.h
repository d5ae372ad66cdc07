/* conv_points.h - blocks (conv_blocks.h) of windows of one element and so few channels that one part has them
 * all: most of what surrounds a tile's loop there is not needed here, and with 16 channels that is what takes
 * the time. Included by conv_driver.h. */
#ifndef WH_CPU_CONV_POINTS_H
#define WH_CPU_CONV_POINTS_H

#define POINTS_SET 6144 /* elements of blocks that stay in a first-level cache */

typedef struct points_tile {
  int64_t k, ldw;
  const float *w;
  const char *next; /* weights that are read next */
  int64_t next_step;
  int64_t m, rows, plane;
  float *y;              /* the unit's outputs */
  const conv_short *end; /* or NULL */
  conv_ahead ahead;
} points_tile;

static bool points_fit(const conv_unit *u) {
  return u->p->blocks && u->a->panels && u->p->n_k <= u->p->part && wh_window_volume(u->a->win.kernel) == 1;
}

CONV_INLINE void points_body(conv_end *e, const int vecs, const points_tile *t, const float *x, int64_t place,
                             int64_t n_places) {
  vf v[CONV_BLOCK_ROWS * BLOCK_TILE_VECS];
  const float *w = t->w;
  const int64_t ldw = t->ldw, next_step = 4 * t->next_step;
  const char *next = t->next;
  conv_ahead ahead = t->ahead;
  for (; CONV_ASKS && ahead.rows > t->k / 4; ahead.rows--) conv_prefetch(&ahead);
  CONV_UNROLL
  for (int i = 0; i < CONV_BLOCK_ROWS * vecs; i++) v[i] = vf_zero();
#define STEP(from, j) /* the k whose elements are j behind x, with the weights there */ \
  {                                                                                     \
    vf b[BLOCK_TILE_VECS];                                                              \
    CONV_UNROLL                                                                         \
    for (int i = 0; i < vecs; i++) b[i] = vf_load(x + (j)*CONV_BLOCK + i * VF_LANES);   \
    CONV_UNROLL                                                                         \
    for (int r = 0; r < CONV_BLOCK_ROWS; r++) {                                         \
      const vf of = vf_set1((from)[r]);                                                 \
      CONV_UNROLL                                                                       \
      for (int i = 0; i < vecs; i++) vf_accumulate(v[r * vecs + i], b[i], of);          \
    }                                                                                   \
  }
  int64_t k = t->k;
  for (; k >= 4; k -= 4) {
    const float *behind = w + 2 * ldw;
    KEEP_APART(behind); /* one register more, not three */
    block_ask(next, &ahead);
    next += next_step;
    STEP(w, 0)
    STEP(w + ldw, 1)
    STEP(behind, 2)
    STEP(behind + ldw, 3)
    w = behind + 2 * ldw;
    x += 4 * CONV_BLOCK;
  }
  for (; k > 0; k--, w += ldw, x += CONV_BLOCK) STEP(w, 0)
#undef STEP
  CONV_UNROLL
  for (int i = 0; i < CONV_BLOCK_ROWS * vecs; i++) v[i] = vf_add(vf_zero(), v[i]);
  if (t->end && t->rows == CONV_BLOCK_ROWS && n_places == vecs * VF_LANES) {
    conv_short_end(CONV_BLOCK_ROWS, vecs, t->end, v, t->m, t->m * t->plane + place, t->plane, t->y);
    return;
  }
  if (CONV_ASKS && e->n_ops && t->rows == CONV_BLOCK_ROWS && n_places == vecs * VF_LANES) {
    block_finish(e, vecs, v, t->m, place);
    return;
  }
  CONV_UNROLL
  for (int i = 0; i < CONV_BLOCK_ROWS * vecs; i++)
    vf_store(e->tile + i / vecs * CONV_PANEL_PLACES + i % vecs * VF_LANES, v[i]);
  conv_end_run(e, e->tile, t->m, t->rows, place, n_places);
}

static __attribute__((noinline)) void points_run_tile(conv_end *e, const points_tile *t, const float *x,
                                                      int64_t place, int64_t n) {
  if (n > 2 * VF_LANES && BLOCK_TILE_VECS > 2)
    points_body(e, BLOCK_TILE_VECS, t, x, place, n);
  else if (n > VF_LANES)
    points_body(e, 2, t, x, place, n);
  else
    points_body(e, 1, t, x, place, n);
}

/* Blocks of places [begin, end), one behind the other. */
static void points_fill(const conv_unit *u, int64_t begin, int64_t end, float *to) {
  const int64_t n = u->p->n_k, step = n * CONV_BLOCK;
  if (!block_is_flat(u) || (end - begin) % VF_LANES) {
    block_fill(u, begin, end, 0, n, to);
    return;
  }
  int64_t whole = 0; /* places of the first blocks, which are full */
  while (block_places(begin + whole, end) == CONV_BLOCK) whole += CONV_BLOCK;
  for (int64_t k = 0; k < n; k++, to += CONV_BLOCK) {
    const float *x = u->taps[k] + begin;
    const float *const behind = x + whole, *const last = x + (end - begin);
    float *block = to;
    for (; x < behind; x += CONV_BLOCK, block += step) {
      CONV_UNROLL
      for (int i = 0; i < CONV_BLOCK; i += VF_LANES) vf_store(block + i, vf_load(x + i));
    }
    for (int64_t count; x < last; x += count, block += step) {
      count = block_places(0, last - x);
      for (int64_t i = 0; i < count; i += VF_LANES) vf_store(block + i, vf_load(x + i));
    }
  }
}

/* Places [begin, end) of channels [m0, m0 + n_m). */
static void points_blocks(conv_end *e, const conv_short *s, int64_t m0, int64_t n_m, int64_t begin,
                          int64_t end) {
  const conv_unit *u = e->u;
  const wh_conv_args *a = u->a;
  const int64_t n = u->p->n_k, step = n * CONV_BLOCK, plane = wh_window_volume(a->win.out);
  points_tile t = {
      .k = n, .plane = plane, .y = a->y + (u->image * a->group + u->group) * a->m * plane, .end = s};
  for (int64_t at = begin, behind; at < end; at = behind) {
    int64_t n_blocks = 0;
    for (behind = at; behind < end && (!n_blocks || (n_blocks + 1) * step <= POINTS_SET); n_blocks++)
      behind += block_places(behind, end);
    points_fill(u, at, behind, u->blocks);
    for (t.m = m0; t.m < m0 + n_m; t.m += CONV_BLOCK_ROWS) {
      t.rows = min_i64(CONV_BLOCK_ROWS, m0 + n_m - t.m);
      t.w = conv_panel(u, t.m, 0, &t.ldw);
      /* the next panel's, or the first one's again; a tile asks for its part of them */
      const int64_t first = t.m / WH_LINEAR_F_COLS * WH_LINEAR_F_COLS;
      int64_t width;
      const float *next =
          conv_panel(u, first + WH_LINEAR_F_COLS < m0 + n_m ? first + WH_LINEAR_F_COLS : m0, 0, &width);
      t.next = (const char *)(next + (t.m - first) * width * n / WH_LINEAR_F_COLS);
      t.next_step = width * (int64_t)sizeof *next * CONV_BLOCK_ROWS / WH_LINEAR_F_COLS / n_blocks;
      const float *x = u->blocks;
      for (int64_t i = at, count; i < behind; i += count, x += step) {
        count = block_places(i, end);
        if (CONV_ASKS) t.ahead = conv_end_ahead(e, t.m, t.rows, i);
        points_run_tile(e, &t, x, i, count);
        t.next += n * t.next_step;
      }
    }
  }
}

static void conv_task_points(conv_end *e, int64_t m0, int64_t n_m, int64_t begin, int64_t end) {
  const conv_unit *u = e->u;
  const wh_conv_plan *p = u->p;
  conv_short s;
  points_blocks(e, conv_short_make(e, &s) ? &s : NULL, m0, n_m, begin, end);
  for (int64_t m = m0; u->a->chain && !e->n_ops && m < m0 + n_m; m++)
    wh_conv_run_chain(u->a, u->image, u->group * u->a->m + m, begin, end - begin, u->team);
  if (!p->tail || end != p->places) return;
  float tails[WH_CONV_BLOCK_TASK / WH_LINEAR_F_COLS * TAIL_SUMS] = {0};
  block_tail(u, m0, n_m, 0, p->n_k, tails);
  block_write_tail(e, m0, n_m, tails);
}

#endif
