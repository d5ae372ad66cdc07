/* trie.c - see trie.h. */
#include "text/trie.h"

#define NODES_MAX ((size_t)1 << WH_TRIE_NODE_BITS)

void wh_trie_init(wh_trie *t, const wh_allocator *alloc) { *t = (wh_trie){.alloc = alloc}; }

void wh_trie_deinit(wh_trie *t) {
  wh_free(t->alloc, t->edges);
  wh_free(t->alloc, t->values);
  wh_trie_init(t, t->alloc);
}

static void put_edge(wh_trie *t, uint64_t key, uint32_t child) {
  size_t i = wh_trie_slot(t, key);
  while (t->edges[i]) i = (i + 1) & t->mask;
  t->edges[i] = key << WH_TRIE_NODE_BITS | child;
}

/* Makes room for n_more nodes; the table stays at most half full. */
static bool reserve(wh_trie *t, size_t n_more) {
  const size_t need = t->n_nodes + n_more + 1; /* the root */
  size_t n_slots = t->mask ? t->mask + 1 : 64;
  if (!wh_grow_array(t->alloc, (void **)&t->values, &t->capacity, t->n_nodes, need, sizeof *t->values))
    return false;
  while (n_slots / 2 < need) n_slots *= 2;
  if (t->mask + 1 == n_slots) return true;
  uint64_t *old = t->edges;
  const size_t n_old = t->mask ? t->mask + 1 : 0;
  uint64_t *edges = wh_alloc_array(t->alloc, n_slots, sizeof *edges);
  if (!edges) return false;
  t->edges = edges;
  const uint64_t place = (uint64_t)(uintptr_t)edges * UINT64_C(0x9e3779b97f4a7c15);
  t->multiplier = (place ^ place >> 32) | 1;
  t->shift = 64 - __builtin_ctzll(n_slots);
  t->mask = n_slots - 1;
  for (size_t i = 0; i < n_old; i++)
    if (old[i]) put_edge(t, old[i] >> WH_TRIE_NODE_BITS, (uint32_t)(old[i] & (NODES_MAX - 1)));
  wh_free(t->alloc, old);
  return true;
}

wh_status wh_trie_add(wh_trie *t, wh_str text, int32_t value) {
  size_t need;
  uint32_t node = WH_TRIE_ROOT;
  if (text.len == 0) return WH_OK;
  if (!wh_add_size(t->n_nodes, text.len + 1, &need) || text.len >= NODES_MAX || need >= NODES_MAX)
    return WH_FAIL(ERR_LIMIT, "the tokens have too many bytes");
  if (!reserve(t, text.len)) return WH_OOM("the table of tokens");
  if (t->n_nodes == 0) t->values[t->n_nodes++] = -1;
  for (size_t i = 0; i < text.len; i++) {
    const unsigned char byte = (unsigned char)text.data[i];
    uint32_t child = wh_trie_step(t, node, byte);
    if (child == WH_TRIE_ROOT) {
      child = (uint32_t)t->n_nodes++;
      t->values[child] = -1;
      put_edge(t, wh_trie_key(node, byte), child);
    }
    node = child;
  }
  if (t->values[node] < 0) t->values[node] = value;
  return WH_OK;
}
