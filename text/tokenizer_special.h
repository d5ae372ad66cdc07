/* text/tokenizer_special.h - finds special tokens in text: leftmost match first, longest at a position.
 * Private to text/. */
#ifndef WH_TEXT_TOKENIZER_SPECIAL_H
#define WH_TEXT_TOKENIZER_SPECIAL_H

#include "text/tokenizer_vocab.h"
#include "text/trie.h"

typedef struct wh_special_set {
  const wh_allocator *alloc;
  wh_trie trie;     /* its values are indices of `entries` */
  bool begins[256]; /* the first bytes: most of a text is none of them */
  struct wh_special_entry *entries;
  size_t n_entries, capacity;
} wh_special_set;

typedef struct wh_special_match {
  size_t offset, len;
  int32_t id;
  bool control;
  uint8_t strip; /* WH_STRIP_LEFT, WH_STRIP_RIGHT */
} wh_special_match;

void wh_special_set_init(wh_special_set *s, const wh_allocator *alloc);
void wh_special_set_deinit(wh_special_set *s);
/* The first id added for a text stays. `control`: matched only when asked for. */
WH_NODISCARD wh_status wh_special_set_add(wh_special_set *s, wh_str text, int32_t id, bool control,
                                          unsigned strip);
/* The longest match that begins at `at`; false when there is none. */
bool wh_special_set_match(const wh_special_set *s, wh_str text, size_t at, bool with_control,
                          wh_special_match *out);
/* The next match at or after `start`; false when there is none. */
bool wh_special_set_find(const wh_special_set *s, wh_str text, size_t start, bool with_control,
                         wh_special_match *out);

#endif
