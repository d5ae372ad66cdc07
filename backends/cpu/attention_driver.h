/* attention_driver.h - attention over items and chunks: what is left above the register tiles, the same for
 * every vector ISA and every kind of cache. Included once by each kernel file, after
 * attention_cache_<kind>.h. */
#ifndef WH_CPU_ATTENTION_DRIVER_H
#define WH_CPU_ATTENTION_DRIVER_H

/* Scaled queries and visible positions of an item's vectors. */
static void load_queries(const wh_attention_args *a, const wh_attention_item *item,
                         wh_attention_workspace *w) {
  const int64_t floats = item->n_heads * a->head_dim;
  int64_t v = 0;
  for (int64_t row = item->row; row < item->row + item->n_rows;
       row++) /* rows far apart: ask for all at once */
    for (int64_t i = 0; i < floats; i += 16)
      __builtin_prefetch(a->q + row * a->ldq + item->head * a->head_dim + i, 0, 3);
  for (int64_t row = item->row; row < item->row + item->n_rows; row++)
    for (int64_t h = 0; h < item->n_heads; h++, v++) {
      scale_row(a->q + row * a->ldq + (item->head + h) * a->head_dim, a->scale, w->q + v * a->head_dim,
                a->head_dim);
      w->low[v] = (int32_t)wh_attention_first_visible(a, row);
      w->high[v] = a->positions[row] + 1;
    }
  prepare_queries(a, w, item->n_vecs);
}

/* Splits n vectors into tiles of at most TILE, as even as they go. */
static int tile_rows(int64_t n) {
  int64_t tiles = (n + TILE - 1) / TILE;
  return tiles ? (int)((n + tiles - 1) / tiles) : 0;
}

static inline int32_t clamp(int32_t x, int32_t low, int32_t high) {
  return x < low ? low : x > high ? high : x;
}

static int64_t tile_of(const wh_attention_args *a, const wh_attention_item *item, int64_t c) {
  return wh_kv_tile(a->page_table, a->table, a->n_kv_heads, a->sequences[item->row], item->kv_head, c);
}

/* What lies far apart and is needed soon: the rows that an item's results go to, and the queries of the item
 * after it. Their lines are asked for among the sums of one of the item's last chunks. */
typedef struct upcoming {
  int64_t chunk;          /* -1: none */
  wh_attention_item item; /* a guess where several workers take items; without vectors when there is none */
} upcoming;

/* Lines of vectors [v, end) of the item in x, a row of which is ld floats. */
INLINE void ask_for_vectors(const float *x, int64_t ld, int64_t dim, const wh_attention_item *item, int64_t v,
                            int64_t end, const int write) {
  for (end = end < item->n_vecs ? end : item->n_vecs; v < end; v++) {
    const float *at = x + (item->row + v / item->n_heads) * ld + (item->head + v % item->n_heads) * dim;
    for (int64_t i = 0; i < dim; i += 16) { /* clang wants constants */
      if (write)
        __builtin_prefetch(at + i, 1, 2);
      else
        __builtin_prefetch(at + i, 0, 2);
    }
  }
}

/* Chunk c for all of the item's vectors. A vector's first chunk of a span sets its state, later ones merge
 * into it; with `only` every vector's state is that of this chunk alone. soon: NULL, or what to ask for. */
static void attend_chunk(const wh_attention_args *a, const wh_attention_item *item, int64_t c,
                         const wh_attention_workspace *w, const wh_attention_state *state, bool only,
                         const upcoming *soon) {
  const int32_t from = (int32_t)(c * WH_ATTENTION_CHUNK), n = (int32_t)item->n_vecs;
  int32_t j0[WH_ATTENTION_BLOCK], j1[WH_ATTENTION_BLOCK];
  for (int32_t i = 0; i < n; i++) {
    j0[i] = clamp(w->low[i] - from, 0, WH_ATTENTION_CHUNK);
    j1[i] = clamp(w->high[i] - from, 0, WH_ATTENTION_CHUNK);
  }
  /* Rows ascend, and so do the ranges that they see: [begin, end) see the chunk, [fresh, end) as their first.
   */
  int64_t begin = 0, end = n;
  while (begin < end && j1[begin] == 0) begin++;
  while (end > begin && j0[end - 1] == WH_ATTENTION_CHUNK) end--;
  int64_t fresh = only || c % WH_ATTENTION_SPAN == 0 ? begin : end;
  while (fresh > begin && w->low[fresh - 1] >= from) fresh--;
  if (begin == end) return;
  const int64_t ld = wh_attention_pad(a->value_dim);
  chunk_view view = {.tile = tile_of(a, item, c),
                     .next_tile = c + 1 < item->chunk_end ? tile_of(a, item, c + 1) : -1,
                     .begin = begin,
                     .end = end,
                     .j0 = j0,
                     .j1 = j1};
  const int64_t step = view.step = tile_rows(end - begin);
  view.one = end - begin <= step;
  score_chunk(a, w, &view);
  for (int64_t i = begin; i < end; i += VF_LANES)
    softmax_rows(w->p + i * WH_ATTENTION_CHUNK, a->softcap, j0 + i, j1 + i,
                 (int)(end - i < VF_LANES ? end - i : VF_LANES), w->m + i, w->l + i);
  for (int64_t i = fresh; i < end; i++) {
    state->m[i] = w->m[i];
    state->l[i] = w->l[i];
  }
  if (begin < fresh) merge_factors(begin, fresh, state, w);
  value_job t = {.ld = ld};
  open_values(a, w, &view, &t);
  for (int64_t i = begin; i < end; i += step) {
    if (soon && soon->chunk == c) {
      ask_for_vectors(a->y, a->ldy, a->value_dim, item, i, i + step, 1);
      ask_for_vectors(a->q, a->ldq, a->head_dim, &soon->item, i, i + step, 0);
    }
    t.p = w->p + i * WH_ATTENTION_CHUNK;
    t.j0 = j0 + i;
    t.j1 = j1 + i;
    t.a = w->a + i;
    t.b = w->b + i;
    t.fresh = (int)(fresh > i ? (fresh - i < step ? fresh - i : step) : 0);
    t.o = state->o + i * ld;
    value_tile((int)(end - i < step ? end - i : step), &t);
  }
}

static void store_output(const wh_attention_args *a, const wh_attention_item *item, int64_t v, float l,
                         const float *o) {
  divide_row(
      o, l, a->y + (item->row + v / item->n_heads) * a->ldy + (item->head + v % item->n_heads) * a->value_dim,
      a->value_dim);
}

/* The item's chunks that are in the span of chunk c, within [begin, end). */
typedef struct span_range {
  int64_t begin, end;
} span_range;

static span_range span_of(int64_t c, int64_t begin, int64_t end) {
  const int64_t first = c / WH_ATTENTION_SPAN * WH_ATTENTION_SPAN, next = first + WH_ATTENTION_SPAN;
  return (span_range){first > begin ? first : begin, next < end ? next : end};
}

static void attend_span(const wh_attention_args *a, const wh_attention_item *item, span_range span,
                        const wh_attention_workspace *w, const wh_attention_state *state,
                        const upcoming *soon) {
  for (int64_t c = span.begin; c < span.end; c++) attend_chunk(a, item, c, w, state, false, soon);
}

/* The span's state into that of the spans before: a vector's first span sets it. */
static void merge_span(const wh_attention_args *a, const wh_attention_item *item, span_range span,
                       const wh_attention_workspace *w) {
  const int64_t from = span.begin * WH_ATTENTION_CHUNK, to = span.end * WH_ATTENTION_CHUNK,
                ld = wh_attention_pad(a->value_dim);
  int64_t begin = 0, end = item->n_vecs;
  while (begin < end && w->high[begin] <= from) begin++;
  while (end > begin && w->low[end - 1] >= to) end--;
  int64_t fresh = end;
  while (fresh > begin && (span.begin == item->chunk_begin || w->low[fresh - 1] >= from)) fresh--;
  const size_t n = (size_t)(end - begin) * sizeof(float);
  memcpy(w->m + begin, w->state.m + begin, n);
  memcpy(w->l + begin, w->state.l + begin, n);
  if (begin < fresh) merge_factors(begin, fresh, &w->all, w);
  for (int64_t v = begin; v < fresh; v++)
    merge_row(w->all.o + v * ld, w->a[v], w->state.o + v * ld, w->b[v], ld);
  for (int64_t v = fresh; v < end; v++) {
    w->all.m[v] = w->m[v];
    w->all.l[v] = w->l[v];
    memcpy(w->all.o + v * ld, w->state.o + v * ld, (size_t)ld * sizeof(float));
  }
}

static void attend_item(const wh_attention_args *a, const wh_attention_item *item, wh_attention_workspace *w,
                        const wh_attention_item *next) {
  const int64_t ld = wh_attention_pad(a->value_dim);
  /* Every vector sees the last chunk but one, if there is one. A single tile has no time for others' lines.
   */
  const int64_t chunk = item->chunk_end - 2 > item->chunk_begin ? item->chunk_end - 2 : item->chunk_begin;
  upcoming soon = {.chunk = item->n_vecs > TILE ? chunk : -1};
  if (next) soon.item = *next;
  const wh_attention_state *result = &w->state;
  span_range span;
  load_queries(a, item, w);
  for (int64_t c = item->chunk_begin; c < item->chunk_end; c = span.end) {
    span = span_of(c, item->chunk_begin, item->chunk_end);
    attend_span(a, item, span, w, &w->state, &soon);
    if (span.end < item->chunk_end) result = &w->all;
    if (result == &w->all) merge_span(a, item, span, w);
  }
  for (int64_t v = 0; v < item->n_vecs; v++) store_output(a, item, v, result->l[v], result->o + v * ld);
}

/* How the items are cut into shares, and where the pieces of the cut ones are. */
typedef struct shares {
  const wh_attention_args *a;
  int64_t count, total; /* workers; cost of all items */
  int64_t before, slot; /* of the item at hand: cost of those before, which of the cut ones it is */
  float *states;
} shares;

static wh_attention_state state_at(const shares *s, int64_t index) {
  const int64_t floats = wh_attention_state_floats(WH_ATTENTION_SPLIT_BLOCK, s->a->value_dim);
  return wh_attention_state_at(s->states + index * floats, WH_ATTENTION_SPLIT_BLOCK);
}

static int64_t owner(const shares *s, const wh_attention_item *item, int64_t chunk) {
  return wh_attention_owner(item, s->before, s->total, s->count, chunk);
}

static bool is_cut(const shares *s, const wh_attention_item *item, int64_t begin, int64_t end) {
  return owner(s, item, begin) != owner(s, item, end - 1);
}

static wh_attention_state span_state(const shares *s, int64_t chunk) {
  return state_at(s, s->slot * wh_attention_n_spans(s->a->table) + chunk / WH_ATTENTION_SPAN);
}

/* Of a chunk of a span that is cut. It is the only one that the owner of its first chunk shares with others
 * after him. */
static wh_attention_state chunk_state(const shares *s, const wh_attention_item *item, span_range span,
                                      int64_t chunk) {
  const int64_t slots = (s->count - 1) * wh_attention_n_spans(s->a->table);
  return state_at(s, slots + owner(s, item, span.begin) * WH_ATTENTION_SPAN + chunk % WH_ATTENTION_SPAN);
}

/* A worker's share [begin, end) of a cut item. */
static void attend_share(const shares *s, const wh_attention_item *item, int64_t begin, int64_t end,
                         wh_attention_workspace *w) {
  load_queries(s->a, item, w);
  for (int64_t c = begin; c < end;) {
    const span_range span = span_of(c, item->chunk_begin, item->chunk_end);
    if (!is_cut(s, item, span.begin, span.end)) {
      const wh_attention_state state = span_state(s, c);
      attend_span(s->a, item, span, w, &state, NULL);
      c = span.end;
      continue;
    }
    for (; c < end && c < span.end; c++) {
      const wh_attention_state state = chunk_state(s, item, span, c);
      attend_chunk(s->a, item, c, w, &state, true, NULL);
    }
  }
}

/* Vector v's part of `s` into that of `all`. */
static void merge_states(const wh_attention_state *all, const wh_attention_state *s, int64_t v, int64_t ld) {
  const float top = s->m[v] > all->m[v] ? s->m[v] : all->m[v], a = wh_exp_f32(all->m[v] - top),
              b = wh_exp_f32(s->m[v] - top);
  all->l[v] = fmaf(all->l[v], a, s->l[v] * b);
  merge_row(all->o + v * ld, a, s->o + v * ld, b, ld);
  all->m[v] = top;
}

/* Vector v of a cut item: the chunks of its cut spans in order, then its spans in order; the first state of
 * each is the accumulator. */
static void merge_vector(const shares *s, const wh_attention_item *item, int64_t v) {
  const int64_t ld = wh_attention_pad(s->a->value_dim), row = item->row + v / item->n_heads;
  const int64_t begin = wh_attention_first_visible(s->a, row) / WH_ATTENTION_CHUNK,
                end = s->a->positions[row] / WH_ATTENTION_CHUNK + 1;
  wh_attention_state all = {0};
  span_range span;
  for (int64_t c = begin; c < end; c = span.end) {
    const span_range whole = span_of(c, item->chunk_begin, item->chunk_end);
    const bool cut = is_cut(s, item, whole.begin, whole.end);
    span = span_of(c, begin, end);
    const wh_attention_state state = cut ? chunk_state(s, item, whole, c) : span_state(s, c);
    for (c++; cut && c < span.end; c++) {
      const wh_attention_state next = chunk_state(s, item, whole, c);
      merge_states(&state, &next, v, ld);
    }
    if (all.m)
      merge_states(&all, &state, v, ld);
    else
      all = state;
  }
  store_output(s->a, item, v, all.l[v], all.o + v * ld);
}

/* Few items: one share of the chunks per worker. */
static void attend_shares(const wh_attention_args *a, const wh_worker *worker, wh_attention_workspace *w,
                          float *states) {
  const wh_attention_walk first = {.cap = WH_ATTENTION_SPLIT_BLOCK};
  wh_attention_item item;
  wh_attention_walk walk = first;
  shares s = {.a = a, .count = worker->count, .states = states};
  int64_t n_cut_vecs = 0;
  while (wh_attention_next_item(a, &walk, &item)) s.total += wh_attention_item_cost(&item);
  walk = first;
  for (; wh_attention_next_item(a, &walk, &item); s.before += wh_attention_item_cost(&item)) {
    int64_t begin, end;
    const bool cut = is_cut(&s, &item, item.chunk_begin, item.chunk_end);
    wh_attention_share(&item, s.before, s.total, worker->index, worker->count, &begin, &end);
    if (begin < end && cut)
      attend_share(&s, &item, begin, end, w);
    else if (begin < end)
      attend_item(a, &item, w, NULL);
    if (cut) {
      n_cut_vecs += item.n_vecs;
      s.slot++;
    }
  }
  if (s.slot == 0) return;
  wh_team_barrier(worker);
  int64_t begin, end, at = 0;
  wh_worker_range(worker, n_cut_vecs, &begin, &end);
  walk = first;
  s.before = s.slot = 0;
  for (; wh_attention_next_item(a, &walk, &item); s.before += wh_attention_item_cost(&item)) {
    if (!is_cut(&s, &item, item.chunk_begin, item.chunk_end)) continue;
    for (int64_t v = 0; v < item.n_vecs; v++, at++)
      if (at >= begin && at < end) merge_vector(&s, &item, v);
    s.slot++;
  }
}

static void attend_team(const wh_attention_args *a, const wh_worker *worker) {
  wh_attention_workspace w = wh_attention_workspace_at(a->scratch, a, worker);
  wh_attention_walk walk = {.cap = WH_ATTENTION_BLOCK};
  wh_attention_item item;
  int64_t n_items = 0, mine;
  if (worker->count > 1) {
    while (n_items < 4 * worker->count && wh_attention_next_item(a, &walk, &item)) n_items++;
    if (n_items < 4 * worker->count) {
      size_t bytes = 0;
      (void)wh_attention_workspace_bytes(a->head_dim, a->value_dim, &bytes);
      attend_shares(a, worker, &w, (float *)(void *)((char *)a->scratch + bytes * (size_t)worker->count));
      return;
    }
    walk = (wh_attention_walk){.cap = WH_ATTENTION_BLOCK};
  }
  n_items = 0;
  mine = worker->count > 1 ? wh_team_next(worker, a->step) : 0;
  while (wh_attention_next_item(a, &walk, &item)) {
    if (n_items++ < mine) continue;
    wh_attention_walk ahead_walk = walk;
    wh_attention_item next;
    bool any = true;
    for (int i = 0; i < worker->count && any; i++) any = wh_attention_next_item(a, &ahead_walk, &next);
    attend_item(a, &item, &w, any ? &next : NULL);
    mine = worker->count > 1 ? wh_team_next(worker, a->step) : n_items;
  }
}

/* Rows of one head are neighbours in the cache, so workers get runs of rows of a head. */
static void append_team(const wh_kv_append_args *a, const wh_worker *worker) {
  int64_t begin, end;
  wh_worker_range(worker, a->n_kv_heads * a->rows, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    int64_t head = i / a->rows, row = i % a->rows, pos = a->positions[row];
    int64_t tile =
        wh_kv_tile(a->page_table, a->table, a->n_kv_heads, a->sequences[row], head, pos / WH_ATTENTION_CHUNK);
    append_row(a, a->x + row * a->ldx + head * a->head_dim, tile, pos % WH_ATTENTION_CHUNK);
  }
}

/* The two kernels of a file. */
#define WH_ATTENTION_KERNELS(name)                                                     \
  void wh_k_attention_##name(const wh_attention_args *args, const wh_worker *worker) { \
    attend_team(args, worker);                                                         \
  }                                                                                    \
  void wh_k_kv_append_##name(const wh_kv_append_args *args, const wh_worker *worker) { \
    append_team(args, worker);                                                         \
  }

#endif
