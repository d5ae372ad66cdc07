/* attention_split.h - how the vector kernels cut attention into work, and the scratch that needs.
 *
 * An item is a block of query vectors (neighbouring rows of one sequence x the query heads of one KV head)
 * that shares every key and value it reads. Many items: workers take whole items. Few items: the (item,
 * chunk) pairs are cut into one contiguous share per worker; an item that falls into several shares leaves
 * the (m, l, o) of its spans in a slot of the scratch, and of a span that itself falls into several shares
 * those of its chunks; they are combined in order after a barrier. How the work is cut never shows in the
 * result. */
#ifndef WH_CPU_ATTENTION_SPLIT_H
#define WH_CPU_ATTENTION_SPLIT_H

#include "backends/cpu/attention.h"

#define WH_ATTENTION_BLOCK 96       /* query vectors of an item, at most; a multiple of 16 */
#define WH_ATTENTION_SPLIT_BLOCK 16 /* the same when items are cut by chunks */
/* Reading and converting a chunk costs about as much as this many of its query vectors. */
#define WH_ATTENTION_CHUNK_COST 8

/* (m, l, o) of a set of query vectors, all with one stride. */
typedef struct wh_attention_state {
  float *m, *l, *o; /* [n], [n], [n][padded value_dim] */
} wh_attention_state;

static inline int64_t wh_attention_pad(int64_t n) { return (n + 15) & ~(int64_t)15; }

/* Floats of the state of n query vectors. */
static inline int64_t wh_attention_state_floats(int64_t n, int64_t value_dim) {
  return n * (2 + wh_attention_pad(value_dim));
}

static inline wh_attention_state wh_attention_state_at(float *base, int64_t n) {
  return (wh_attention_state){base, base + n, base + 2 * n};
}

/* One worker's buffers, in floats, in this order. */
typedef struct wh_attention_workspace {
  float *keys;   /* [head_dim][64], when the cache is not fp32 */
  float *values; /* [64][padded value_dim], when the cache's rows cannot be used in place */
  float *q;      /* [block][head_dim], scaled */
  float *p;      /* [block][64] scores, then probabilities */
  float *m, *l, *a, *b;
  wh_attention_state state; /* of the span at hand */
  wh_attention_state all;   /* of the spans before */
  /* of the item at hand: vector v sees positions [low, high) */
  int32_t low[WH_ATTENTION_BLOCK], high[WH_ATTENTION_BLOCK];
} wh_attention_workspace;

static inline bool wh_attention_workspace_bytes(int64_t head_dim, int64_t value_dim, size_t *out) {
  const size_t block = WH_ATTENTION_BLOCK, chunk = WH_ATTENTION_CHUNK;
  size_t per_dim, per_value, total;
  if (head_dim < 0 || value_dim < 0 || value_dim > INT32_MAX) return false;
  if (!wh_mul_size((size_t)head_dim, (chunk + block) * sizeof(float), &per_dim)) return false;
  if (!wh_mul_size((size_t)wh_attention_pad(value_dim), (chunk + 2 * block) * sizeof(float), &per_value))
    return false;
  if (!wh_add_size(per_dim, per_value, &total)) return false;
  if (!wh_add_size(total, block * (chunk + 8) * sizeof(float), &total)) return false;
  return wh_align_size(total, 64, out);
}

static inline wh_attention_workspace wh_attention_workspace_at(void *scratch, const wh_attention_args *a,
                                                               const wh_worker *worker) {
  const int64_t block = WH_ATTENTION_BLOCK, chunk = WH_ATTENTION_CHUNK;
  size_t bytes = 0;
  (void)wh_attention_workspace_bytes(a->head_dim, a->value_dim, &bytes); /* sized the scratch, so it fits */
  float *at = (float *)(void *)((char *)scratch + bytes * (size_t)worker->index);
  wh_attention_workspace w;
  w.keys = at;
  w.values = w.keys + a->head_dim * chunk;
  w.q = w.values + wh_attention_pad(a->value_dim) * chunk;
  w.p = w.q + a->head_dim * block;
  w.m = w.p + block * chunk;
  w.l = w.m + block;
  w.a = w.l + block;
  w.b = w.a + block;
  w.state = wh_attention_state_at(w.b + block, block);
  w.all = wh_attention_state_at(w.b + block + wh_attention_state_floats(block, a->value_dim), block);
  return w;
}

static inline int64_t wh_attention_n_spans(int64_t n_chunks) {
  return (n_chunks + WH_ATTENTION_SPAN - 1) / WH_ATTENTION_SPAN;
}

/* What cut items leave, for each worker but the last: a slot with a state for each span, of an item, and the
 * states of the chunks of one span. At most that many items and spans are cut: each by the end of a share. */
static inline bool wh_attention_cut_bytes(int64_t value_dim, int64_t n_chunks, size_t *out) {
  if (n_chunks < 0 || value_dim < 0 || value_dim > INT32_MAX) return false;
  const size_t bytes = (size_t)wh_attention_state_floats(WH_ATTENTION_SPLIT_BLOCK, value_dim) * sizeof(float);
  return wh_mul_size((size_t)wh_attention_n_spans(n_chunks) + WH_ATTENTION_SPAN, bytes, out);
}

typedef struct wh_attention_item {
  int64_t row, n_rows; /* of one sequence */
  int64_t kv_head, head, n_heads;
  int64_t n_vecs; /* n_rows * n_heads; vector v is row v / n_heads, head v % n_heads */
  int64_t chunk_begin, chunk_end;
} wh_attention_item;

/* Walks the items from the last row, which sees the most keys, to the first. Start with zeros but `cap`. */
typedef struct wh_attention_walk {
  int64_t cap; /* query vectors of an item */
  int64_t row_end, row, group;
  bool started;
} wh_attention_walk;

static inline int64_t wh_attention_first_visible(const wh_attention_args *a, int64_t row) {
  int64_t hi = a->positions[row];
  return a->window > 0 && hi >= a->window ? hi - a->window + 1 : 0;
}

static inline bool wh_attention_next_item(const wh_attention_args *a, wh_attention_walk *w,
                                          wh_attention_item *item) {
  int64_t ratio = a->n_heads / a->n_kv_heads;
  int64_t heads = ratio < w->cap ? ratio : w->cap, parts = (ratio + heads - 1) / heads;
  int64_t rows_max = w->cap / heads;
  if (!w->started) {
    w->started = true;
    w->row = a->rows;
    w->group = a->n_kv_heads * parts;
  }
  if (w->group == a->n_kv_heads * parts) { /* the next block of rows */
    w->group = 0;
    w->row_end = w->row;
    if (w->row_end == 0) return false;
    w->row = w->row_end - 1;
    while (w->row > 0 && w->row_end - w->row < rows_max && a->sequences[w->row - 1] == a->sequences[w->row])
      w->row--;
  }
  int64_t part = w->group % parts;
  item->row = w->row;
  item->n_rows = w->row_end - w->row;
  item->kv_head = w->group / parts;
  item->head = item->kv_head * ratio + part * heads;
  item->n_heads = ratio - part * heads < heads ? ratio - part * heads : heads;
  item->n_vecs = item->n_rows * item->n_heads;
  item->chunk_begin = wh_attention_first_visible(a, w->row) / WH_ATTENTION_CHUNK;
  item->chunk_end = a->positions[w->row_end - 1] / WH_ATTENTION_CHUNK + 1;
  w->group++;
  return true;
}

/* What cutting by chunks needs to know about all items. */
static inline int64_t wh_attention_item_cost(const wh_attention_item *item) {
  return (item->chunk_end - item->chunk_begin) * (item->n_vecs + WH_ATTENTION_CHUNK_COST);
}

/* The chunks of an item that starts at `before` of `total` cost and go to the worker: [*begin, *end). */
static inline void wh_attention_share(const wh_attention_item *item, int64_t before, int64_t total,
                                      int64_t index, int64_t count, int64_t *begin, int64_t *end) {
  int64_t unit = item->n_vecs + WH_ATTENTION_CHUNK_COST, n = item->chunk_end - item->chunk_begin;
  int64_t edge[2];
  for (int64_t i = 0; i < 2; i++) {
    int64_t at = total * (index + i) / count - before;
    int64_t c = at <= 0 ? 0 : (at + unit - 1) / unit;
    edge[i] = item->chunk_begin + (c < n ? c : n);
  }
  *begin = edge[0];
  *end = edge[1];
}

/* The worker whose share has the chunk. */
static inline int64_t wh_attention_owner(const wh_attention_item *item, int64_t before, int64_t total,
                                         int64_t count, int64_t chunk) {
  const int64_t at = before + (chunk - item->chunk_begin) * (item->n_vecs + WH_ATTENTION_CHUNK_COST);
  int64_t index = at * count / total;
  while (index + 1 < count && total * (index + 1) / count <= at) index++;
  return index;
}

#endif
