/* attention_driver.h - attention over items and chunks: what is left above the register tiles of
 * attention_tiles.h, the same for every vector ISA. Included once by each attention_<isa>.c, after the tiles.
 */
#ifndef WH_CPU_ATTENTION_DRIVER_H
#define WH_CPU_ATTENTION_DRIVER_H

/* The visible positions of vector v of an item in chunk c, relative to the chunk; empty when j0 >= j1. */
static void visible_range(const wh_attention_args *a, const wh_attention_item *item, int64_t c, int64_t v,
                          int *j0, int *j1) {
  int64_t row = item->row + v / item->n_heads;
  int64_t lo = wh_attention_first_visible(a, row) - c * WH_ATTENTION_CHUNK;
  int64_t hi = a->positions[row] + 1 - c * WH_ATTENTION_CHUNK;
  *j0 = (int)(lo > 0 ? lo : 0);
  *j1 = (int)(hi < WH_ATTENTION_CHUNK ? hi : WH_ATTENTION_CHUNK);
}

static void load_queries(const wh_attention_args *a, const wh_attention_item *item, float *q) {
  for (int64_t v = 0; v < item->n_vecs; v++) {
    const float *x =
        a->q + (item->row + v / item->n_heads) * a->ldq + (item->head + v % item->n_heads) * a->head_dim;
    scale_row(x, a->scale, q + v * a->head_dim, a->head_dim);
  }
}

static const float *load_keys(const wh_attention_args *a, int64_t tile, float *buffer) {
  if (a->dtype == WH_DTYPE_F32) return (const float *)a->keys + tile;
  unpack_f16((const uint16_t *)a->keys + tile, buffer, a->head_dim * WH_ATTENTION_CHUNK);
  return buffer;
}

/* Rows [j0, j1) of a value tile as floats with *ld a multiple of 16, the padding zero. */
static const float *load_values(const wh_attention_args *a, int64_t tile, int j0, int j1, float *buffer,
                                int64_t *ld) {
  const int64_t n = a->value_dim;
  *ld = wh_attention_pad(n);
  if (*ld == n) {
    if (a->dtype == WH_DTYPE_F32) return (const float *)a->values + tile;
    unpack_f16((const uint16_t *)a->values + tile + j0 * n, buffer + j0 * n, (j1 - j0) * n);
    return buffer;
  }
  for (int j = j0; j < j1; j++) {
    float *to = buffer + j * *ld;
    if (a->dtype == WH_DTYPE_F32)
      memcpy(to, (const float *)a->values + tile + j * n, (size_t)n * sizeof *to);
    else
      unpack_f16((const uint16_t *)a->values + tile + j * n, to, n);
    for (int64_t d = n; d < *ld; d++) to[d] = 0.0f;
  }
  return buffer;
}

/* Splits n vectors into tiles of at most TILE, as even as they go. */
static int tile_rows(int64_t n) {
  int64_t tiles = (n + TILE - 1) / TILE;
  return tiles ? (int)((n + tiles - 1) / tiles) : 0;
}

/* Chunk c for all of the item's vectors. A vector's first chunk sets its state, later ones merge into it;
 * with `only` every vector's state is that of this chunk alone. */
static void attend_chunk(const wh_attention_args *a, const wh_attention_item *item, int64_t c,
                         const wh_attention_workspace *w, const wh_attention_state *state, bool only) {
  const int64_t base =
      (a->sequences[item->row] * a->n_kv_heads + item->kv_head) * a->context + c * WH_ATTENTION_CHUNK;
  int j0[WH_ATTENTION_BLOCK], j1[WH_ATTENTION_BLOCK], low = WH_ATTENTION_CHUNK, high = 0;
  int64_t begin = item->n_vecs, end = 0,
          fresh = item->n_vecs; /* [begin, end) see the chunk; it is the first for
                                   [fresh, end): rows ascend, and so do their ranges */
  for (int64_t v = 0; v < item->n_vecs; v++) {
    visible_range(a, item, c, v, &j0[v], &j1[v]);
    if (j0[v] >= j1[v]) continue;
    if (begin > v) begin = v;
    end = v + 1;
    if (j0[v] < low) low = j0[v];
    if (j1[v] > high) high = j1[v];
    int64_t first = wh_attention_first_visible(a, item->row + v / item->n_heads) / WH_ATTENTION_CHUNK;
    if ((only || first == c) && fresh > v) fresh = v;
  }
  if (begin >= end) return;
  if (fresh < begin) fresh = begin;
  const float *k = load_keys(a, base * a->head_dim, w->keys);
  const int step = tile_rows(end - begin);
  for (int64_t v = begin; v < end; v += step)
    score_tile((int)(end - v < step ? end - v : step), w->q + v * a->head_dim, a->head_dim, k, a->head_dim,
               w->p + v * WH_ATTENTION_CHUNK);
  for (int64_t v = begin; v < end; v++)
    softmax_row(w->p + v * WH_ATTENTION_CHUNK, a->softcap, j0[v], j1[v], &w->m[v], &w->l[v]);
  for (int64_t v = fresh; v < end; v++) {
    state->m[v] = w->m[v];
    state->l[v] = w->l[v];
  }
  if (begin < fresh) merge_factors(begin, fresh, state, w);
  value_job job = {0};
  job.v = load_values(a, base * a->value_dim, low, high, w->values, &job.ld);
  for (int64_t v = begin; v < end; v += step) {
    job.p = w->p + v * WH_ATTENTION_CHUNK;
    job.j0 = j0 + v;
    job.j1 = j1 + v;
    job.a = w->a + v;
    job.b = w->b + v;
    job.fresh = (int)(fresh > v ? (fresh - v < step ? fresh - v : step) : 0);
    job.o = state->o + v * job.ld;
    value_tile((int)(end - v < step ? end - v : step), &job);
  }
}

static void store_output(const wh_attention_args *a, const wh_attention_item *item, int64_t v, float l,
                         const float *o) {
  divide_row(
      o, l, a->y + (item->row + v / item->n_heads) * a->ldy + (item->head + v % item->n_heads) * a->value_dim,
      a->value_dim);
}

static void attend_item(const wh_attention_args *a, const wh_attention_item *item,
                        const wh_attention_workspace *w) {
  const int64_t ld = wh_attention_pad(a->value_dim);
  load_queries(a, item, w->q);
  for (int64_t c = item->chunk_begin; c < item->chunk_end; c++) attend_chunk(a, item, c, w, &w->state, false);
  for (int64_t v = 0; v < item->n_vecs; v++) store_output(a, item, v, w->state.l[v], w->state.o + v * ld);
}

/* Chunk c's state in a slot. */
static wh_attention_state slot_state(const wh_attention_args *a, float *slots, int64_t slot, int64_t c) {
  const int64_t n_chunks = (a->context + WH_ATTENTION_CHUNK - 1) / WH_ATTENTION_CHUNK;
  const int64_t floats = wh_attention_state_floats(WH_ATTENTION_SPLIT_BLOCK, a->value_dim);
  return wh_attention_state_at(slots + (slot * n_chunks + c) * floats, WH_ATTENTION_SPLIT_BLOCK);
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
static void attend_shares(const wh_attention_args *a, const wh_worker *worker,
                          const wh_attention_workspace *w, float *slots) {
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
      load_queries(a, &item, w->q);
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
  while (begin < end) {
    int64_t head = begin / a->rows, row = begin % a->rows, n = 1;
    int64_t most = a->rows - row < end - begin ? a->rows - row : end - begin;
    /* rows that fill neighbouring columns of one key tile */
    while (n < most && a->sequences[row + n] == a->sequences[row] &&
           a->positions[row + n] == a->positions[row] + n &&
           (a->positions[row] + n) % WH_ATTENTION_CHUNK != 0)
      n++;
    int64_t base = (a->sequences[row] * a->n_kv_heads + head) * a->context * a->head_dim,
            pos = a->positions[row];
    const float *x = a->x + row * a->ldx + head * a->head_dim;
    if (a->is_key)
      append_keys(a, x, n, base + pos / WH_ATTENTION_CHUNK * WH_ATTENTION_CHUNK * a->head_dim,
                  pos % WH_ATTENTION_CHUNK);
    else
      append_values(a, x, n, base + pos * a->head_dim);
    begin += n;
  }
}

#endif
