/* text/unigram.h - SentencePiece's unigram model (Kudo 2018): of all ways to cut a text into pieces of the
 * vocabulary the one whose log probabilities have the greatest sum (Viterbi). Private to text/. */
#ifndef WH_TEXT_UNIGRAM_H
#define WH_TEXT_UNIGRAM_H

#include "text/tokenizer_vocab.h"
#include "text/trie.h"

/* The best way to an end: its last piece. */
typedef struct wh_unigram_step {
  double score;
  uint32_t start; /* UINT32_MAX: no way yet */
  int32_t id;
} wh_unigram_step;

/* Scratch memory, reused from piece to piece. */
typedef struct wh_unigram_scratch {
  const wh_allocator *alloc;
  wh_unigram_step *steps; /* per byte of the text, one more */
  size_t capacity;
} wh_unigram_scratch;

typedef struct wh_unigram {
  const wh_vocab *vocab; /* borrowed */
  const double *scores;  /* borrowed */
  wh_trie trie;          /* of the pieces that text can become */
  double unknown_score;
  int32_t byte_ids[256]; /* <0x00> ... <0xFF>, -1: none */
  int32_t unknown_id;
  /* Sums are rounded to fp32, as sentencepiece does; tokenizers' are fp64. */
  bool single;
} wh_unigram;

WH_NODISCARD wh_status wh_unigram_init(wh_unigram *u, const wh_vocab *vocab, const wh_tokenizer_spec *spec,
                                       const wh_allocator *alloc);
void wh_unigram_deinit(wh_unigram *u);
/* Appends the ids of a normalised text. */
WH_NODISCARD wh_status wh_unigram_encode(const wh_unigram *u, wh_unigram_scratch *s, wh_str text,
                                         wh_token_list *list);

#endif
