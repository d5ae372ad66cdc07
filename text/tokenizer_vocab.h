/* text/tokenizer_vocab.h - text -> id, for every tokenizer model. Private to text/. */
#ifndef WH_TEXT_TOKENIZER_VOCAB_H
#define WH_TEXT_TOKENIZER_VOCAB_H

#include "text/tokenizer.h"

/* A longer token is not a word of any vocabulary; the limit bounds the work per look-up. */
#define WH_TOKEN_BYTES_MAX 65536

typedef struct wh_vocab {
  const wh_allocator *alloc;
  size_t n_tokens;
  const wh_str *tokens;       /* borrowed */
  const int64_t *token_types; /* may be NULL; borrowed, or `own_types` */
  int64_t *own_types;         /* the file's with mistakes mended; NULL: there were none */
  struct wh_vocab_slot *slots;
  size_t mask;
  size_t token_bytes_max; /* of the longest token */
} wh_vocab;

/* Caller's storage. When two entries have the same text the first is found. */
WH_NODISCARD wh_status wh_vocab_init(wh_vocab *v, const wh_tokenizer_spec *spec, const wh_allocator *alloc);
void wh_vocab_deinit(wh_vocab *v);

int32_t wh_vocab_find(const wh_vocab *v, const char *text, size_t n); /* -1: none */
/* The same, but only a token that plain text may become: a control, unknown or byte token counts as absent.
 */
int32_t wh_vocab_find_plain(const wh_vocab *v, const char *text, size_t n);

/* wh_vocab_find_plain for n <= WH_VOCAB_BATCH texts at once, so that their cache misses overlap: reading
 * 280,000 merges is bound by them. */
#define WH_VOCAB_BATCH 32
void wh_vocab_find_plain_batch(const wh_vocab *v, const wh_str *texts, size_t n, int32_t *ids);

static inline wh_token_type wh_vocab_type(const wh_vocab *v, int32_t id) {
  if (!v->token_types) return WH_TOKEN_NORMAL;
  int64_t type = v->token_types[id];
  return type >= WH_TOKEN_NORMAL && type <= WH_TOKEN_BYTE ? (wh_token_type)type : WH_TOKEN_NORMAL;
}
static inline bool wh_vocab_is_plain(const wh_vocab *v, int32_t id) {
  wh_token_type type = wh_vocab_type(v, id);
  return type == WH_TOKEN_NORMAL || type == WH_TOKEN_USER_DEFINED || type == WH_TOKEN_UNUSED;
}
/* The tokens "<0x00>" ... "<0xFF>", -1: none. */
void wh_vocab_find_bytes(const wh_vocab *v, int32_t ids[256]);
/* The byte that "<0xXX>" stands for, or -1. */
int wh_token_text_to_byte(wh_str text);

#endif
