/* text/bpe.h - byte-level BPE (Sennrich et al. 2016 over the byte alphabet of GPT-2). Private to text/. */
#ifndef WH_TEXT_BPE_H
#define WH_TEXT_BPE_H

#include "text/bpe_merge.h"
#include "text/tokenizer_vocab.h"

typedef struct wh_bpe {
  const wh_allocator *alloc;
  const wh_vocab *vocab;   /* borrowed */
  int32_t byte_ids[256];   /* token of each byte; -1: the vocabulary has none */
  struct wh_merge *merges; /* open addressing */
  size_t mask;
  bool ignore_merges;
} wh_bpe;

WH_NODISCARD wh_status wh_bpe_init(wh_bpe *b, const wh_vocab *vocab, const wh_tokenizer_spec *spec,
                                   bool ignore_merges, const wh_allocator *alloc);
void wh_bpe_deinit(wh_bpe *b);
/* The merge of two tokens: a wh_merge_fn whose `model` is the wh_bpe. */
uint64_t wh_bpe_merge_of_pair(const void *bpe, const char *piece, wh_symbol left, wh_symbol right);
/* Appends the ids of one piece. A byte that the vocabulary lacks gives no token, as in the reference. */
WH_NODISCARD wh_status wh_bpe_encode_piece(const wh_bpe *b, wh_merger *m, const char *piece, size_t n,
                                           wh_token_list *list);

#endif
