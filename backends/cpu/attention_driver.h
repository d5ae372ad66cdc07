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

/* Chunk c for all of the item's vectors. A vector's first chunk sets its state, later ones merge into it;
 * with `only` every vector's state is that of this chunk alone. */
static void attend_chunk(const wh_attention_args *a, const wh_attention_item *item, int64_t c,
                         const wh_attention_workspace *w, const wh_attention_state *state, bool only) {
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
  int64_t fresh = only ? begin : end;
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

static void attend_item(const wh_attention_args *a, const wh_attention_item *item,
                        wh_attention_workspace *w) {
  const int64_t ld = wh_attention_pad(a->value_dim);
  load_queries(a, item, w);
  for (int64_t c = item->chunk_begin; c < item->chunk_end; c++) attend_chunk(a, item, c, w, &w->state, false);
  for (int64_t v = 0; v < item->n_vecs; v++) store_output(a, item, v, w->state.l[v], w->state.o + v * ld);
}

/* Chunk c's state in a slot. */
static wh_attention_state slot_state(const wh_attention_args *a, float *slots, int64_t slot, int64_t c) {
  const int64_t floats = wh_attention_state_floats(WH_ATTENTION_SPLIT_BLOCK, a->value_dim);
  return wh_attention_state_at(slots + (slot * a->table + c) * floats, WH_ATTENTION_SPLIT_BLOCK);
}

/* Vector v of a cut item: its chunks in order. The first chunk's state is the accumulator. */
static void merge_vector(const wh_attention_args *a, const wh_attention_item *item, int64_t v, float *slots,
                         int64_t slot) {
  const int64_t ld = wh_attention_pad(a->value_dim), row = item->row + v / item->n_heads;
  int64_t c = wh_attention_first_visible(a, row) / WH_ATTENTION_CHUNK,
          last = a->positions[row] / WH_ATTENTION_CHUNK;
  wh_attention_state s = slot_state(a, slots, slot, c);
  float m_all = s.m[v], l_all = s.l[v], *o_all = s.o + v * ld;
  for (c++; c <= last; c++) {
    wh_attention_state t = slot_state(a, slots, slot, c);
    float top = t.m[v] > m_all ? t.m[v] : m_all;
    float scale_all = wh_exp_f32(m_all - top), scale_chunk = wh_exp_f32(t.m[v] - top);
    l_all = fmaf(l_all, scale_all, t.l[v] * scale_chunk);
    merge_row(o_all, scale_all, t.o + v * ld, scale_chunk, ld);
    m_all = top;
  }
  store_output(a, item, v, l_all, o_all);
}

/* Few items: one share of the chunks per worker. */
static void attend_shares(const wh_attention_args *a, const wh_worker *worker, wh_attention_workspace *w,
                          float *slots) {
  wh_attention_item item;
  wh_attention_walk walk = {.cap = WH_ATTENTION_SPLIT_BLOCK};
  int64_t total = 0, before = 0, slot = 0, n_cut_vecs = 0;
  while (wh_attention_next_item(a, &walk, &item)) total += wh_attention_item_cost(&item);
  walk = (wh_attention_walk){.cap = WH_ATTENTION_SPLIT_BLOCK};
  for (; wh_attention_next_item(a, &walk, &item); before += wh_attention_item_cost(&item)) {
    int64_t begin, end;
    bool cut = wh_attention_is_cut(&item, before, total, worker->count);
    wh_attention_share(&item, before, total, worker->index, worker->count, &begin, &end);
    if (!cut && begin < end) attend_item(a, &item, w);
    if (cut && begin < end) {
      load_queries(a, &item, w);
      for (int64_t c = begin; c < end; c++) {
        wh_attention_state state = slot_state(a, slots, slot, c);
        attend_chunk(a, &item, c, w, &state, true);
      }
    }
    if (cut) {
      n_cut_vecs += item.n_vecs;
      slot++;
    }
  }
  if (slot == 0) return;
  wh_team_barrier(worker);
  int64_t begin, end, at = 0;
  wh_worker_range(worker, n_cut_vecs, &begin, &end);
  walk = (wh_attention_walk){.cap = WH_ATTENTION_SPLIT_BLOCK};
  before = slot = 0;
  for (; wh_attention_next_item(a, &walk, &item); before += wh_attention_item_cost(&item)) {
    if (!wh_attention_is_cut(&item, before, total, worker->count)) continue;
    for (int64_t v = 0; v < item.n_vecs; v++, at++)
      if (at >= begin && at < end) merge_vector(a, &item, v, slots, slot);
    slot++;
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
    attend_item(a, &item, &w);
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
