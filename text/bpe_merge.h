/* text/bpe_merge.h - the merge loop of byte-pair encoding, shared by every model that merges. Private to
 * text/.
 *
 * Again and again, of all neighbouring pairs that may merge, the one with the lowest priority number is
 * merged, the leftmost of equals first. O(n log n) in the number of symbols. */
#ifndef WH_TEXT_BPE_MERGE_H
#define WH_TEXT_BPE_MERGE_H

#include "core/base/allocator.h"

typedef struct wh_symbol {
  uint32_t start, len; /* bytes of the piece that it covers */
  int32_t id;          /* token; negative: none */
} wh_symbol;

#define WH_MERGE_NONE UINT64_MAX
/* May `left` and `right` (neighbours in `piece`) merge? priority << 32 | merged id, or WH_MERGE_NONE. */
typedef uint64_t (*wh_merge_fn)(const void *model, const char *piece, wh_symbol left, wh_symbol right);

/* Scratch memory, reused from piece to piece. */
typedef struct wh_merger {
  const wh_allocator *alloc;
  wh_symbol *symbols;
  size_t symbol_capacity;
  struct wh_merge_link *links;
  uint64_t *heap;
  size_t link_capacity, heap_capacity;
  char *text; /* for the model's own use; grow with wh_merger_reserve_text */
  size_t text_capacity;
} wh_merger;

void wh_merger_init(wh_merger *m, const wh_allocator *alloc);
void wh_merger_deinit(wh_merger *m);
/* Makes room for n symbols in m->symbols, which the caller then fills. */
WH_NODISCARD wh_status wh_merger_reserve(wh_merger *m, size_t n);
WH_NODISCARD wh_status wh_merger_reserve_text(wh_merger *m, size_t n);
/* Merges m->symbols[0..*n) in place. */
WH_NODISCARD wh_status wh_merger_run(wh_merger *m, const char *piece, wh_merge_fn pair, const void *model,
                                     size_t *n);

#endif
