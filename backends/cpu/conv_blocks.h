/* conv_blocks.h - the tiles of conv_driver.h whose lanes are places, over copies: the elements of some places
 * lie one behind the other, tap by tap, whatever the windows are, and stay in a first-level cache while all
 * channels of a task walk through them. Chunks of the chain are cut into parts that fit there; sums so far
 * wait in memory between parts, as they are. What follows the sums takes them from a tile's registers.
 * The few places behind all blocks have channels in their lanes (block_tail). Included by conv_driver.h. */
#ifndef WH_CPU_CONV_BLOCKS_H
#define WH_CPU_CONV_BLOCKS_H

#include "backends/cpu/conv_short.h"

#define BLOCK_SOON 8 /* taps between an element's fetch and its use, where it comes from afar */
#define BLOCK_NEXT (CONV_BLOCK + 7) /* in the first line of the elements behind that is not these' */
#define TAIL_SUMS ((WH_CONV_TAIL + 3) * WH_LINEAR_F_COLS) /* of a panel; they are transposed in fours */
#define BLOCK_NEXT_LINES (CONV_BLOCK_ROWS / 4)            /* of weights, in four taps */
#define BLOCK_TILE_VECS (CONV_BLOCK / VF_LANES)

/* How the elements of a tap come into blocks: in pieces of a vector, of 4 and of one. */
typedef struct block_piece {
  int64_t from, to;
} block_piece;
typedef struct block_copy {
  int64_t n[3];
  block_piece pieces[3][WH_CONV_BLOCK_PLACES];
} block_copy;

/* As a tile walks four taps: for weights of the next ones, and for a row of what its end touches, all of
 * which at once would be more than a first-level cache waits for. */
CONV_INLINE void block_ask(const char *next, conv_ahead *ahead) {
  CONV_UNROLL
  for (int i = 0; i < BLOCK_NEXT_LINES; i++) __builtin_prefetch(next + 64 * i, 0, 2);
  if (CONV_ASKS && ahead->rows > 0) {
    conv_prefetch(ahead);
    ahead->rows--;
  }
}

/* c[CONV_BLOCK_ROWS][vecs] over k taps: weights w[k][ldw], elements x[k][CONV_BLOCK]. */
typedef struct block_tile {
  int64_t k, ldw;
  const float *w;
  float *x;
  const float *const *from; /* NULL; or x is filled as the tile walks k: vector i is at from[k] + at[i] */
  const int64_t *at;
  bool near;         /* to the processor, so that none is asked for ahead */
  float *part;       /* the chain so far, between parts of a chunk */
  float *sums;       /* of the chunks before */
  bool begins, ends; /* a chunk */
  bool first;        /* chunk: sums count as +0 */
  bool last;         /* sums become outputs */
  const char *next;  /* weights that are read next, asked for as the tile walks k */
  int64_t next_step;
  conv_ahead ahead;
} block_tile;

/* The block that begins at `place` of a task that ends at `end` has so many: three vectors, but rather twice
 * two than one of one, whose chains are too few to hide an addition's latency. */
static int64_t block_places(int64_t place, int64_t end) {
  const int64_t left = end - place;
  return left > 3 * VF_LANES && left <= 4 * VF_LANES ? 2 * VF_LANES : min_i64(left, CONV_BLOCK);
}

/* Elements that follow each other; pieces overlap where they do not fill them. */
static void block_add(block_copy *b, int64_t from, int64_t to, int64_t n) {
  const int kind = n >= VF_LANES ? 0 : n >= 4 ? 1 : 2;
  const int64_t size = kind == 0 ? VF_LANES : kind == 1 ? 4 : 1;
  for (int64_t i = 0; i < n; i += size) {
    const int64_t at = min_i64(i, n - size);
    b->pieces[kind][b->n[kind]++] = (block_piece){from + at, to + at};
  }
}

/* Whether places that follow each other are elements that do. */
static bool block_is_flat(const conv_unit *u) {
  const int64_t *size = u->band->size, *out = u->a->win.out;
  return u->band->rows == 1 || (size[2] == out[2] && (out[0] == 1 || size[1] == out[1]));
}

static int64_t block_element(const conv_unit *u, int64_t place) {
  const int64_t *out = u->a->win.out, row = place / out[2];
  const conv_band *b = u->band;
  return ((row / out[1] - b->first[0]) * b->size[1] + row % out[1] - b->first[1]) * b->size[2] +
         place % out[2] - b->first[2];
}

/* Where the vectors of places [begin, end) lie that are elements which follow each other. A task may begin
 * within a row. */
static void block_find(const conv_unit *u, int64_t begin, int64_t end, int64_t *at) {
  const bool flat = block_is_flat(u);
  const int64_t width = u->a->win.out[2];
  for (int64_t row = begin, behind; row < end; row = behind) {
    behind = flat ? end : min_i64((row / width + 1) * width, end);
    const int64_t first = block_element(u, row);
    for (int64_t i = row; i < behind; i += VF_LANES) *at++ = first + (i - row);
  }
}

/* Of places [begin, end), whose blocks lie `step` from each other. What is left of a vector has the last
 * place's elements. */
static void block_plan_copy(const conv_unit *u, int64_t begin, int64_t end, int64_t step, block_copy *b) {
  const int64_t width = u->a->win.out[2];
  const bool flat = block_is_flat(u);
  memset(b->n, 0, sizeof b->n);
  for (int64_t at = begin, block = 0, n; at < end; at += n, block += step) {
    n = block_places(at, end);
    int64_t from = 0;
    for (int64_t i = 0, run; i < n; i += run) {
      run = flat ? n : min_i64(width - (at + i) % width, n - i);
      from = block_element(u, at + i);
      block_add(b, from, block + i, run);
      from += run - 1;
    }
    for (int64_t i = n; i % VF_LANES; i++) block_add(b, from, block + i, 1);
  }
}

/* To: taps [k, k + n) of places [begin, end): block after block, [n][CONV_BLOCK] each. */
static void block_fill(const conv_unit *u, int64_t begin, int64_t end, int64_t k, int64_t n, float *to) {
  block_copy b;
  block_plan_copy(u, begin, end, n * CONV_BLOCK, &b);
  const int64_t volume = wh_window_volume(u->a->win.kernel), ahead = volume == 1 ? 4 : volume;
  int64_t channel = u->p->bands ? k + n : ceil_div(k, volume) * volume; /* the next one's first tap */
  for (int64_t i = k; i < k + n; i++, to += CONV_BLOCK) {
    const float *x = u->taps[i];
    if (i == channel) {
      channel += volume;
      const float *next = u->taps[min_i64(i + ahead, k + n - 1)];
      for (int64_t j = 0; j < b.n[0]; j += 2) __builtin_prefetch(next + b.pieces[0][j].from);
    }
    for (int64_t j = 0; j < b.n[0]; j++) vf_store(to + b.pieces[0][j].to, vf_load(x + b.pieces[0][j].from));
    for (int64_t j = 0; j < b.n[1]; j++)
      memcpy(to + b.pieces[1][j].to, x + b.pieces[1][j].from, 4 * sizeof *x);
    for (int64_t j = 0; j < b.n[2]; j++) to[b.pieces[2][j].to] = x[b.pieces[2][j].from];
  }
}

#include "backends/cpu/conv_bands.h"
#include "backends/cpu/conv_image.h"

/* The weights of a block's channels [m, m + rows) over taps [k, k + n), where they are not packed:
 * to[n][CONV_BLOCK_ROWS].
 */
static void block_copy_weights(const conv_unit *u, int64_t m, int64_t rows, int64_t k, int64_t n, float *to) {
  for (int64_t r = 0; r < CONV_BLOCK_ROWS; r++) {
    const float *w = u->a->w + (u->group * u->a->m + m + min_i64(r, rows - 1)) * u->p->n_k + k;
    for (int64_t i = 0; i < n; i++) to[i * CONV_BLOCK_ROWS + r] = w[i];
  }
}

/* Sums in registers to whole outputs of channels [m, m + CONV_BLOCK_ROWS) from `place` on. */
CONV_INLINE void block_finish(conv_end *e, const int vecs, vf *v, int64_t m, int64_t place) {
  const wh_conv_args *a = e->u->a;
  const wh_chain_part part = {m, CONV_BLOCK_ROWS, place, vecs * VF_LANES};
  if (e->n_ops) {
    if (e->again) CONV_UNROLL
    for (int i = 0; i < CONV_BLOCK_ROWS * vecs; i++)
      vf_store(e->tile + i / vecs * CONV_PANEL_PLACES + i % vecs * VF_LANES, v[i]);
    const chain_piece p = {.of = &part};
    chain_in_registers(CONV_BLOCK_ROWS, vecs, true, v, e->ops + e->n_sums, e->ops + e->n_ops, &p);
    return;
  }
  const int64_t channel = e->u->group * a->m + m, plane = wh_window_volume(a->win.out),
                to = (e->u->image * a->group * a->m + channel) * plane + place;
  CONV_UNROLL
  for (int i = 0; i < CONV_BLOCK_ROWS * vecs; i++) {
    const int64_t at = to + i / vecs * plane + i % vecs * VF_LANES;
    if (a->bias) v[i] = vf_add(v[i], vf_set1(a->bias[channel + i / vecs]));
    if (a->residual) v[i] = vf_add(vf_load(a->residual + at), v[i]);
    vf_store(a->y + at, v[i]);
  }
}

CONV_INLINE void block_body(conv_end *e, const int vecs, const block_tile *t, int64_t m, int64_t rows,
                            int64_t place, int64_t n_places) {
  vf acc[CONV_BLOCK_ROWS * BLOCK_TILE_VECS], v[BLOCK_TILE_VECS];
  const char *w = (const char *)t->w, *next = t->next;
  const float *const *from = t->from;
  float *x = t->x;
  int64_t ldw = t->ldw * (int64_t)sizeof *t->w, thrice = 3 * ldw, left = t->k, at[BLOCK_TILE_VECS];
  const int64_t next_step = 4 * t->next_step; /* at most BLOCK_NEXT_LINES */
#define EACH_SUM CONV_UNROLL for (int i = 0; i < CONV_BLOCK_ROWS * vecs; i++)
#define EACH_VECTOR CONV_UNROLL for (int i = 0; i < vecs; i++)
  EACH_SUM acc[i] = t->begins ? vf_zero() : vf_load(t->part + i * VF_LANES);
  conv_ahead ahead = t->ahead;
  for (const int64_t later = CONV_ASKS ? left / 4 : 0; ahead.rows > later; ahead.rows--)
    conv_prefetch(&ahead);
  EACH_VECTOR at[i] = from ? t->at[i] : 0;
#define LOAD(j) EACH_VECTOR v[i] = vf_load(x + (j)*CONV_BLOCK + i * VF_LANES);
#define FILL(j)                                                    \
  {                                                                \
    const float *elements = from[j];                               \
    EACH_VECTOR v[i] = vf_load(elements + at[i]);                  \
    EACH_VECTOR vf_store(x + (j)*CONV_BLOCK + i * VF_LANES, v[i]); \
  }
#define FETCH(j)                                                                              \
  {                                                                                           \
    const float *then = soon[j], *here = from[j] + at[0];                                     \
    EACH_VECTOR __builtin_prefetch(then + at[i]);                                             \
    CONV_UNROLL                                                                               \
    for (int i = BLOCK_NEXT; i < 2 * CONV_BLOCK; i += 16) __builtin_prefetch(here + i, 0, 2); \
    FILL(j)                                                                                   \
  }
#define TAP(j, get) /* the one that is j behind */                                               \
  get(j);                                                                                        \
  KEEP_APART(ldw);                                                                               \
  KEEP_APART(thrice);                                                                            \
  CONV_UNROLL                                                                                    \
  for (int r = 0; r < CONV_BLOCK_ROWS; r++) {                                                    \
    const vf b = vf_set1(((const float *)(const void *)(w + ((j) == 3 ? thrice : (j)*ldw)))[r]); \
    EACH_VECTOR vf_accumulate(acc[r * vecs + i], b, v[i]);                                       \
  }
#define WALK(get, on)            \
  for (; left >= 4; left -= 4) { \
    block_ask(next, &ahead);     \
    next += next_step;           \
    TAP(0, get)                  \
    TAP(1, get)                  \
    TAP(2, get)                  \
    TAP(3, get)                  \
    w += 4 * ldw;                \
    KEEP_APART(w);               \
    x += 4 * CONV_BLOCK;         \
    on(4);                       \
  }                              \
  for (; left > 0; left--) {     \
    TAP(0, get)                  \
    w += ldw;                    \
    x += CONV_BLOCK;             \
    on(1);                       \
  }
#define STAY(n) (void)0
#define MOVE(n) from += (n)
#define SOON(n) /* behind n more; the last ones have been asked for */ \
  (left - (n) >= BLOCK_SOON + 4 ? from + BLOCK_SOON : from)
#define FOLLOW(n) from += (n), soon = SOON(n)
  if (!from) {
    WALK(LOAD, STAY)
  } else if (t->near) {
    WALK(FILL, MOVE)
  } else {
    const float *const *soon = SOON(0);
    WALK(FETCH, FOLLOW)
  }
#undef LOAD
#undef FILL
#undef FETCH
#undef TAP
#undef WALK
#undef STAY
#undef MOVE
#undef SOON
#undef FOLLOW
  if (!t->ends) {
    EACH_SUM vf_store(t->part + i * VF_LANES, acc[i]);
    return;
  }
  EACH_SUM acc[i] = vf_add(t->first ? vf_zero() : vf_load(t->sums + i * VF_LANES), acc[i]);
  if (!t->last) {
    EACH_SUM vf_store(t->sums + i * VF_LANES, acc[i]);
    return;
  }
  if (rows == CONV_BLOCK_ROWS && n_places == vecs * VF_LANES && (e->n_ops || !e->u->a->chain)) {
    block_finish(e, vecs, acc, m, place);
    return;
  }
  EACH_SUM vf_store(e->tile + i / vecs * CONV_PANEL_PLACES + i % vecs * VF_LANES, acc[i]);
  conv_end_run(e, e->tile, m, rows, place, n_places);
}
#undef EACH_SUM
#undef EACH_VECTOR

static void block_run_tile(conv_end *e, int64_t vecs, const block_tile *t, int64_t m, int64_t rows,
                           int64_t place, int64_t n_places) {
  if (vecs == BLOCK_TILE_VECS)
    block_body(e, BLOCK_TILE_VECS, t, m, rows, place, n_places);
  else if (vecs == 2)
    block_body(e, 2, t, m, rows, place, n_places);
  else
    block_body(e, 1, t, m, rows, place, n_places);
}

/* Places [begin, end) of channels [m0, m0 + n_m), over taps [k, k + n), a part of a chunk. */
static void block_part(conv_end *e, int64_t m0, int64_t n_m, int64_t begin, int64_t end, int64_t k,
                       int64_t n) {
  const conv_unit *u = e->u;
  const wh_conv_args *a = u->a;
  const wh_conv_plan *p = u->p;
  const int64_t in_chunk = k % WH_CONV_CHUNK, room = ceil_div(p->task_places, CONV_BLOCK) * CONV_BLOCK,
                to_sums = p->task_rows * room, plane = wh_window_volume(a->win.out);
  block_tile t = {.k = n,
                  .begins = !in_chunk,
                  .ends = in_chunk + n == WH_CONV_CHUNK || k + n == p->n_k,
                  .first = k < WH_CONV_CHUNK,
                  .last = k + n == p->n_k,
                  .near = p->bands};
  if (p->bands) band_fill(u, begin, end, k, n);
  /* where vectors lie there or in the image as they are, the first tiles that walk through a block fill it */
  const bool as_are = !p->direct && (block_is_flat(u) || a->win.out[2] % VF_LANES == 0);
  int64_t vectors[WH_CONV_BLOCK_PLACES / VF_LANES];
  float *blocks = u->blocks;
  if (as_are)
    block_find(u, begin, end, vectors);
  else if (!p->direct)
    block_fill(u, begin, end, k, n, blocks);
  for (int64_t at = begin, places, n_blocks; at < end; at += places, blocks += n_blocks * n * CONV_BLOCK) {
    /* a set, that stays in a first-level cache */
    for (n_blocks = places = 0; n_blocks < p->set && at + places < end; n_blocks++)
      places += block_places(at + places, end);
    conv_ahead ahead = conv_end_ahead(e, m0, 0, at);
    for (int64_t m = m0; m < m0 + n_m; m += CONV_BLOCK_ROWS) {
      const int64_t rows = min_i64(CONV_BLOCK_ROWS, m0 + n_m - m);
      if (!a->panels) {
        block_copy_weights(u, m, rows, k, n, u->weights);
        t.w = u->weights;
        t.ldw = CONV_BLOCK_ROWS;
        t.next = (const char *)t.w;
      } else if (m == m0 || m % WH_LINEAR_F_COLS == 0) {
        t.w = conv_panel(u, m, k, &t.ldw);
        t.next = (const char *)t.w;
        t.next_step = 0;
        if (at == begin) { /* the panel behind, or the first one of the next part: its share a tile */
          const int64_t in_panel = m % WH_LINEAR_F_COLS, behind = m - in_panel + WH_LINEAR_F_COLS;
          int64_t width;
          const float *w = behind < m0 + n_m ? conv_panel(u, behind, k, &width)
                           : !t.last         ? conv_panel(u, m0, k + n, &width)
                                             : conv_panel(u, behind < a->m ? behind : 0, 0, &width);
          t.next = (const char *)(w + in_panel * width * n / WH_LINEAR_F_COLS);
          t.next_step = width * (int64_t)sizeof *w * CONV_BLOCK_ROWS / WH_LINEAR_F_COLS / n_blocks;
        }
      } else {
        t.w += CONV_BLOCK_ROWS;
      }
      t.ahead = ahead;
      t.ahead.rows = t.last ? rows : 0;
      ahead.y += CONV_BLOCK_ROWS * plane;
      ahead.x += CONV_BLOCK_ROWS * plane;
      t.x = blocks;
      t.part = u->sums + (m - m0) * room + (at - begin) * CONV_BLOCK_ROWS;
      for (int64_t i = at, count; i < at + places; i += count) {
        count = block_places(i, end);
        t.from = NULL;
        if (m == m0 && p->direct) {
          image_fill(u, i, i + count, k, n, t.x);
        } else if (m == m0 && as_are && count % VF_LANES) {
          block_fill(u, i, i + count, k, n, t.x);
        } else if (m == m0 && as_are) {
          t.from = u->taps + k;
          t.at = vectors + (i - begin) / VF_LANES;
        }
        t.sums = t.part + to_sums;
        block_run_tile(e, ceil_div(count, VF_LANES), &t, m, rows, i, count);
        t.x += n * CONV_BLOCK;
        t.part += count * CONV_BLOCK_ROWS;
        t.ahead.y += count;
        t.ahead.x += count;
        t.next += n * t.next_step;
      }
    }
  }
}

/* The places behind all blocks, so few that channels use the lanes better: over a chunk's taps [k, k + n),
 * whose weights are in a cache. c: [tail][WH_LINEAR_F_COLS] of each panel. */
static void block_tail(const conv_unit *u, int64_t m0, int64_t n_m, int64_t k, int64_t n, float *c) {
  const wh_conv_plan *p = u->p;
  const int64_t end = p->places + p->tail, width = u->a->win.out[2];
  for (int64_t m = m0; m < m0 + n_m; m += WH_LINEAR_F_COLS, c += TAIL_SUMS) {
    conv_channel_tile t = {.k = n, .x = u->taps + k, .step = 1, .c = c, .first = k == 0};
    t.w = conv_panel(u, m, k, &t.width);
    t.ahead = (const char *)(t.w + n * t.width);
    for (int64_t at = p->places; at < end; at += t.rows, t.c += t.rows * WH_LINEAR_F_COLS) {
      const int64_t run = block_is_flat(u) ? end - at : min_i64(width - at % width, end - at);
      t.rows = ceil_div(run, ceil_div(run, CONV_TALL_ROWS));
      t.at = block_element(u, at);
      conv_run_channel_tile(&t);
    }
  }
}

static void block_write_tail(conv_end *e, int64_t m0, int64_t n_m, float *c) {
  const conv_unit *u = e->u;
  const int64_t from = u->p->places, n = u->p->tail;
  for (int64_t m = m0; m < m0 + n_m; m += WH_LINEAR_F_COLS, c += TAIL_SUMS) {
    const conv_pending all = {c, n, from};
    conv_write_channels(e, &all, m, min_i64(WH_LINEAR_F_COLS, m0 + n_m - m), n);
  }
  for (int64_t m = m0; u->a->chain && !e->n_ops && m < m0 + n_m; m++)
    wh_conv_run_chain(u->a, u->image, u->group * u->a->m + m, from, n, u->team);
}

static void conv_task_blocks(conv_end *e, int64_t m0, int64_t n_m, int64_t begin, int64_t end) {
  const conv_unit *u = e->u;
  const wh_conv_plan *p = u->p;
  const bool tail = p->tail && end == p->places;
  float tails[WH_CONV_BLOCK_TASK / WH_LINEAR_F_COLS * TAIL_SUMS];
  if (tail) memset(tails, 0, sizeof tails);
  for (int64_t at = begin, to; p->bands && at < end; at = to) {
    to = band_end(u, at, end);
    for (int64_t k = 0; k < p->n_k; k += p->part)
      block_part(e, m0, n_m, at, to, k, min_i64(p->part, p->n_k - k));
  }
  for (int64_t k = 0, chunk = 0; !p->bands && k < p->n_k; k += p->part) {
    const int64_t behind = min_i64(k + p->part, p->n_k);
    block_part(e, m0, n_m, begin, end, k, behind - k);
    if (behind % WH_CONV_CHUNK && behind < p->n_k) continue;
    if (tail) block_tail(u, m0, n_m, chunk, behind - chunk, tails);
    chunk = behind;
  }
  for (int64_t m = m0; u->a->chain && !e->n_ops && m < m0 + n_m; m++)
    wh_conv_run_chain(u->a, u->image, u->group * u->a->m + m, begin, end - begin, u->team);
  if (tail) block_write_tail(e, m0, n_m, tails);
}

#endif
