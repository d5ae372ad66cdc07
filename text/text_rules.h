/* text/text_rules.h - what a tokenizer.json does to text before its model sees it: the steps of its
 * normalizer, and the cuts of its pre_tokenizer. Private to text/. */
#ifndef WH_TEXT_TEXT_RULES_H
#define WH_TEXT_TEXT_RULES_H

#include "core/base/text_buffer.h"
#include "text/charsmap.h"

typedef enum wh_text_step_kind {
  WH_STEP_NFC,
  WH_STEP_NFD,
  WH_STEP_NFKC,
  WH_STEP_NFKD,
  WH_STEP_NMT, /* control characters off, all kinds of space to one */
  WH_STEP_LOWERCASE,
  WH_STEP_STRIP_ACCENTS,
  WH_STEP_STRIP, /* white space at the ends */
  WH_STEP_PREPEND,
  WH_STEP_REPLACE,
  WH_STEP_REPLACE_SPACES, /* runs of two and more */
  WH_STEP_CHARSMAP
} wh_text_step_kind;

typedef struct wh_text_step {
  wh_text_step_kind kind;
  wh_str pattern, with;        /* borrowed; REPLACE has both, PREPEND and REPLACE_SPACES the latter */
  bool left, right;            /* STRIP */
  const wh_charsmap *charsmap; /* borrowed */
} wh_text_step;

typedef enum wh_prepend { WH_PREPEND_NEVER, WH_PREPEND_FIRST, WH_PREPEND_ALWAYS } wh_prepend;

#define WH_TEXT_STEPS_MAX 16
typedef struct wh_text_rules {
  wh_text_step steps[WH_TEXT_STEPS_MAX];
  size_t n_steps;
  bool cuts_at_space; /* pieces are what lies between white space */
  wh_str mark;        /* written for spaces; empty: they stay */
  wh_prepend prepend; /* the mark, where a piece does not begin with it */
  bool cuts_at_mark;  /* each one begins a piece */
} wh_text_rules;

/* Scratch memory, reused from text to text. */
typedef struct wh_text_scratch {
  wh_text_buffer from, to, piece;
} wh_text_scratch;
void wh_text_scratch_init(wh_text_scratch *s, const wh_allocator *alloc);
void wh_text_scratch_deinit(wh_text_scratch *s);

typedef wh_status (*wh_text_piece_fn)(void *ctx, wh_str piece);
/* Calls `fn` for each piece. `first`: the text begins what is encoded. Ill-formed bytes become U+FFFD, one
 * for each maximal subpart (Unicode 15, section 3.9). */
WH_NODISCARD wh_status wh_text_rules_apply(const wh_text_rules *r, wh_text_scratch *s, wh_str text,
                                           bool first, wh_text_piece_fn fn, void *ctx);

#endif
