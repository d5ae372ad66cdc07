/* text/trie.h - a set of byte strings, walked byte by byte: special tokens, the pieces of a unigram model.
 * Private to text/.
 *
 * The edges lie in one hash table, so that a step costs the same at a node with two children and at one with
 * hundreds. Its hash has a multiplier that no file can know, or a vocabulary could put all edges side by
 * side. */
#ifndef WH_TEXT_TRIE_H
#define WH_TEXT_TRIE_H

#include "core/base/allocator.h"
#include "core/base/str.h"

typedef struct wh_trie {
  const wh_allocator *alloc;
  uint64_t *edges;     /* open addressing; parent, byte and child of each; 0: empty */
  size_t mask;         /* 0: no table yet */
  uint64_t multiplier; /* of the hash: odd, made of where the table lies */
  int shift;           /* its upper bits are the slot */
  int32_t *values;     /* per node; -1: no string ends there */
  size_t n_nodes, capacity;
} wh_trie;

#define WH_TRIE_ROOT 0u

void wh_trie_init(wh_trie *t, const wh_allocator *alloc);
void wh_trie_deinit(wh_trie *t);
/* `value` >= 0. The first value of a string stays; an empty string is passed over. */
WH_NODISCARD wh_status wh_trie_add(wh_trie *t, wh_str text, int32_t value);

/* The node that `byte` leads to, or WH_TRIE_ROOT: none. */
static inline uint32_t wh_trie_step(const wh_trie *t, uint32_t node, unsigned char byte);

/* For the inline step. */
#define WH_TRIE_NODE_BITS 28
static inline uint64_t wh_trie_key(uint32_t parent, unsigned char byte) {
  return (uint64_t)parent << 8 | byte;
}
static inline size_t wh_trie_slot(const wh_trie *t, uint64_t key) {
  return (size_t)(key * t->multiplier >> t->shift);
}

static inline uint32_t wh_trie_step(const wh_trie *t, uint32_t node, unsigned char byte) {
  const uint64_t key = wh_trie_key(node, byte);
  if (!t->mask) return WH_TRIE_ROOT;
  for (size_t i = wh_trie_slot(t, key); t->edges[i]; i = (i + 1) & t->mask)
    if (t->edges[i] >> WH_TRIE_NODE_BITS == key)
      return (uint32_t)(t->edges[i] & ((UINT64_C(1) << WH_TRIE_NODE_BITS) - 1));
  return WH_TRIE_ROOT;
}

#endif
