/* text/sentencepiece.h - SentencePiece's BPE (Kudo & Richardson 2018): whole text, no pre-tokenizer, merges
 * ordered by the score of the token they give. Private to text/.
 *
 * Gemma 4 and its like keep SentencePiece's spaces and byte tokens, but order merges by a list as other BPE
 * models do: then `merges` is set. */
#ifndef WH_TEXT_SENTENCEPIECE_H
#define WH_TEXT_SENTENCEPIECE_H

#include "text/bpe.h"

typedef struct wh_sentencepiece {
  const wh_allocator *alloc;
  const wh_vocab *vocab; /* borrowed */
  const wh_bpe *merges;  /* borrowed; NULL: scores order the merges */
  uint32_t *priorities;  /* per token: lower for a higher score */
  int32_t byte_ids[256]; /* <0x00> ... <0xFF>, -1: none */
  int32_t unknown_id;
  /* Some token holds a space after this byte. After the others a space begins a new word: no merge crosses.
   */
  bool joins_space[256];
} wh_sentencepiece;

WH_NODISCARD wh_status wh_sentencepiece_init(wh_sentencepiece *s, const wh_vocab *vocab,
                                             const wh_tokenizer_spec *spec, const wh_bpe *merges,
                                             const wh_allocator *alloc);
void wh_sentencepiece_deinit(wh_sentencepiece *s);
/* Appends the ids of a text that spm_text.h wrote. */
WH_NODISCARD wh_status wh_sentencepiece_encode(const wh_sentencepiece *s, wh_merger *m, wh_str text,
                                               wh_token_list *list);

#endif
