/* text/pretokenizer.h - cuts text into the pieces that byte-level BPE merges within. Private to text/.
 *
 * A rule is a sequence of stages. Each stage looks at every piece of the stage before it, alone: what its
 * pattern matches and what lies between the matches become pieces of their own. */
#ifndef WH_TEXT_PRETOKENIZER_H
#define WH_TEXT_PRETOKENIZER_H

#include "core/base/allocator.h"
#include "core/base/str.h"

#define WH_PRE_STAGES_MAX 6

typedef enum wh_pre_cut {
  WH_CUT_MATCH = 1,  /* before and after each match */
  WH_CUT_THREES = 2, /* inside each match, every third character counted from its end (numbers: 12|345|678) */
} wh_pre_cut;

typedef struct wh_pre_stage {
  const char *pattern; /* PCRE2, UTF mode; NULL ends the list */
  unsigned cuts;       /* of wh_pre_cut */
} wh_pre_stage;

#define WH_PRE_ADD_BOS 1u       /* the default where the file does not say */
#define WH_PRE_IGNORE_MERGES 2u /* a piece that is a token becomes that token, whatever the merges say */

typedef struct wh_pre_rule {
  const char *names; /* names of this rule in model files, each followed by one space */
  unsigned flags;
  wh_pre_stage stages[WH_PRE_STAGES_MAX + 1];
} wh_pre_rule;

/* NULL for an unknown name. */
const wh_pre_rule *wh_pre_rule_find(wh_str name);
/* Every known name, separated by spaces, clipped to the buffer. */
void wh_pre_rule_list_names(char *out, size_t size);

typedef struct wh_pretokenizer wh_pretokenizer;
/* Immutable after creation, may be shared by threads. */
WH_NODISCARD wh_status wh_pretokenizer_create(const wh_pre_rule *rule, const wh_allocator *alloc,
                                              wh_pretokenizer **out);
void wh_pretokenizer_destroy(wh_pretokenizer *p);

/* Called for each piece in order; a failure stops the split and is passed on. */
typedef wh_status (*wh_piece_fn)(void *ctx, const char *piece, size_t n);

/* What a split needs besides the pretokenizer: one per thread, reused over many texts. */
typedef struct wh_pre_scratch wh_pre_scratch;
WH_NODISCARD wh_status wh_pre_scratch_create(const wh_pretokenizer *p, wh_pre_scratch **out);
void wh_pre_scratch_destroy(wh_pre_scratch *s);

/* Any bytes are accepted: a stretch of ill-formed UTF-8 is a piece of its own. Text on which a pattern needs
 * too many steps is ERR_LIMIT. */
WH_NODISCARD wh_status wh_pretokenizer_split(const wh_pretokenizer *p, wh_pre_scratch *s, wh_str text,
                                             wh_piece_fn sink, void *ctx);

#endif
