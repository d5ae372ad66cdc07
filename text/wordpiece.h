/* text/wordpiece.h - BERT's tokenizer: normalise, split at spaces, punctuation and Chinese characters, then
 * cover each word greedily with the longest tokens. Private to text/. */
#ifndef WH_TEXT_WORDPIECE_H
#define WH_TEXT_WORDPIECE_H

#include "text/tokenizer_vocab.h"

typedef struct wh_wordpiece {
  const wh_vocab *vocab; /* borrowed */
  int32_t unknown_id;
  /* GGUF files store "##ing" as "ing" and "run" as U+2581 "run"; vocab.txt stores them as BERT does. */
  bool marks_word_start;
  bool lowercase, strip_accents;
} wh_wordpiece;

void wh_wordpiece_init(wh_wordpiece *w, const wh_vocab *vocab, const wh_tokenizer_spec *spec);
/* Appends the ids of `text`. */
WH_NODISCARD wh_status wh_wordpiece_encode(const wh_wordpiece *w, wh_str text, wh_token_list *list);

#endif
