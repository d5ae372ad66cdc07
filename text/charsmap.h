/* text/charsmap.h - the normalisation rules of a SentencePiece model ("precompiled_charsmap"): a double-array
 * trie (Aoe 1989, as Darts-clone writes it) from text to the text that replaces it. Private to text/. */
#ifndef WH_TEXT_CHARSMAP_H
#define WH_TEXT_CHARSMAP_H

#include "core/base/allocator.h"
#include "core/base/str.h"

typedef struct wh_charsmap {
  const wh_allocator *alloc;
  uint32_t *units;
  size_t n_units;
  char *texts; /* each ends with a NUL, the last one, too */
  size_t n_texts;
} wh_charsmap;

/* Copies. An empty `blob` is a charsmap without rules. */
WH_NODISCARD wh_status wh_charsmap_init(wh_charsmap *c, wh_str blob, const wh_allocator *alloc);
void wh_charsmap_deinit(wh_charsmap *c);

/* The rule of the longest beginning of `text`, or of the shortest; its length, 0: there is none. */
size_t wh_charsmap_find(const wh_charsmap *c, wh_str text, bool longest, wh_str *replacement);

#endif
