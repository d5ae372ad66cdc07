/* bpe_merge.c - see bpe_merge.h. Words are short: up to SCAN_MAX symbols the best pair is found by scanning.
 * Longer pieces use a linked list and a heap whose outdated entries are skipped when they surface. */
#include "text/bpe_merge.h"

#include <string.h>

#define SCAN_MAX 40

struct wh_merge_link {
  uint64_t pair; /* of this symbol and the next */
  uint32_t prev, next;
};
#define NO_LINK UINT32_MAX

void wh_merger_init(wh_merger *m, const wh_allocator *alloc) { *m = (wh_merger){.alloc = alloc}; }

void wh_merger_deinit(wh_merger *m) {
  wh_free(m->alloc, m->symbols);
  wh_free(m->alloc, m->links);
  wh_free(m->alloc, m->heap);
  wh_free(m->alloc, m->text);
  *m = (wh_merger){.alloc = m->alloc};
}

wh_status wh_merger_reserve(wh_merger *m, size_t n) {
  if (n >= NO_LINK) return WH_FAIL(ERR_LIMIT, "a piece of %zu characters is too long to tokenize", n);
  if (!wh_grow_array(m->alloc, (void **)&m->symbols, &m->symbol_capacity, 0, n, sizeof *m->symbols))
    return WH_OOM("merging symbols");
  return WH_OK;
}

wh_status wh_merger_reserve_text(wh_merger *m, size_t n) {
  if (!wh_grow_array(m->alloc, (void **)&m->text, &m->text_capacity, 0, n, 1))
    return WH_OOM("a copy of the text");
  return WH_OK;
}

static void join(wh_symbol *left, wh_symbol right, uint64_t pair) {
  left->len += right.len;
  left->id = (int32_t)(uint32_t)pair;
}

static size_t merge_by_scan(wh_symbol *s, size_t n, const char *piece, wh_merge_fn pair_of,
                            const void *model) {
  uint64_t pairs[SCAN_MAX];
  size_t n_pairs = n - 1;
  for (size_t i = 0; i < n_pairs; i++) pairs[i] = pair_of(model, piece, s[i], s[i + 1]);
  for (;;) {
    size_t best = 0;
    uint64_t best_pair = WH_MERGE_NONE;
    for (size_t i = 0; i < n_pairs; i++) {
      if (pairs[i] >> 32 < best_pair >> 32) { /* the leftmost of equals */
        best_pair = pairs[i];
        best = i;
      }
    }
    if (best_pair == WH_MERGE_NONE) return n_pairs + 1;
    join(&s[best], s[best + 1], best_pair);
    n_pairs--;
    memmove(&s[best + 1], &s[best + 2], (n_pairs - best) * sizeof *s);
    if (best < n_pairs) {
      memmove(&pairs[best], &pairs[best + 1], (n_pairs - best) * sizeof *pairs);
      pairs[best] = pair_of(model, piece, s[best], s[best + 1]);
    }
    if (best > 0) pairs[best - 1] = pair_of(model, piece, s[best - 1], s[best]);
  }
}

/* A binary min-heap of priority << 32 | position. */
static void heap_push(uint64_t *heap, size_t *n, uint64_t key) {
  size_t i = (*n)++;
  while (i > 0 && heap[(i - 1) / 2] > key) {
    heap[i] = heap[(i - 1) / 2];
    i = (i - 1) / 2;
  }
  heap[i] = key;
}

static uint64_t heap_pop(uint64_t *heap, size_t *n) {
  uint64_t top = heap[0], last = heap[--*n];
  size_t i = 0;
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= *n) break;
    if (child + 1 < *n && heap[child + 1] < heap[child]) child++;
    if (heap[child] >= last) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = last;
  return top;
}

static wh_status merge_by_heap(wh_merger *m, const char *piece, wh_merge_fn pair_of, const void *model,
                               size_t *n) {
  wh_symbol *s = m->symbols;
  size_t n_keys_max, n_keys = 0;
  /* Every merge takes one key out and puts at most two in. */
  if (!wh_mul_size(*n, 2, &n_keys_max) ||
      !wh_grow_array(m->alloc, (void **)&m->links, &m->link_capacity, 0, *n, sizeof *m->links) ||
      !wh_grow_array(m->alloc, (void **)&m->heap, &m->heap_capacity, 0, n_keys_max, sizeof *m->heap))
    return WH_OOM("merging symbols");
  struct wh_merge_link *links = m->links;
  for (size_t i = 0; i < *n; i++) {
    bool last = i + 1 == *n;
    links[i].prev = i ? (uint32_t)i - 1 : NO_LINK;
    links[i].next = last ? NO_LINK : (uint32_t)i + 1;
    links[i].pair = last ? WH_MERGE_NONE : pair_of(model, piece, s[i], s[i + 1]);
    if (links[i].pair != WH_MERGE_NONE) heap_push(m->heap, &n_keys, links[i].pair >> 32 << 32 | i);
  }
  while (n_keys) {
    uint64_t key = heap_pop(m->heap, &n_keys);
    uint32_t at = (uint32_t)key;
    struct wh_merge_link *link = &links[at];
    if (link->pair >> 32 != key >> 32) continue; /* outdated */
    uint32_t gone = link->next;
    join(&s[at], s[gone], link->pair);
    links[gone].pair = WH_MERGE_NONE;
    s[gone].len = 0;
    link->next = links[gone].next;
    link->pair = WH_MERGE_NONE;
    if (link->next != NO_LINK) {
      links[link->next].prev = at;
      link->pair = pair_of(model, piece, s[at], s[link->next]);
      if (link->pair != WH_MERGE_NONE) heap_push(m->heap, &n_keys, link->pair >> 32 << 32 | at);
    }
    if (link->prev != NO_LINK) {
      struct wh_merge_link *before = &links[link->prev];
      before->pair = pair_of(model, piece, s[link->prev], s[at]);
      if (before->pair != WH_MERGE_NONE) heap_push(m->heap, &n_keys, before->pair >> 32 << 32 | link->prev);
    }
  }
  size_t kept = 0;
  for (uint32_t i = 0; i != NO_LINK; i = links[i].next) s[kept++] = s[i];
  *n = kept;
  return WH_OK;
}

wh_status wh_merger_run(wh_merger *m, const char *piece, wh_merge_fn pair, const void *model, size_t *n) {
  if (*n < 2) return WH_OK;
  if (*n > SCAN_MAX) return merge_by_heap(m, piece, pair, model, n);
  *n = merge_by_scan(m->symbols, *n, piece, pair, model);
  return WH_OK;
}
