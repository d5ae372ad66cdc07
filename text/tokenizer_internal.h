/* text/tokenizer_internal.h - what the parts of the tokenizer share. Private to text/. */
#ifndef WH_TEXT_TOKENIZER_INTERNAL_H
#define WH_TEXT_TOKENIZER_INTERNAL_H

#include "text/bpe.h"
#include "text/pretokenizer.h"
#include "text/sentencepiece.h"
#include "text/spm_text.h"
#include "text/text_rules.h"
#include "text/tokenizer.h"
#include "text/tokenizer_special.h"
#include "text/tokenizer_vocab.h"
#include "text/unigram.h"
#include "text/wordpiece.h"

typedef enum wh_tokenizer_model {
  WH_MODEL_BPE,
  WH_MODEL_SENTENCEPIECE,
  WH_MODEL_WORDPIECE,
  WH_MODEL_UNIGRAM
} wh_tokenizer_model;

#define WH_END_TOKENS_MAX 48

struct wh_tokenizer {
  const wh_allocator *alloc;
  wh_tokenizer_model model;
  wh_vocab vocab;
  wh_special_set specials;
  /* what `model` uses */
  wh_bpe bpe;
  wh_pretokenizer *pretokenizer;
  wh_sentencepiece sentencepiece;
  wh_wordpiece wordpiece;
  wh_unigram unigram;
  wh_spm_rules spm_rules;
  const wh_text_rules *text_rules; /* borrowed; "unigram" of a tokenizer.json */

  int32_t bos_id, eos_id, separator_id;
  bool add_bos, add_eos, add_space_prefix, puts_space, nfc;
  int32_t end_ids[WH_END_TOKENS_MAX]; /* ascending */
  size_t n_end_ids;
};

/* How a token shows in text. */
typedef enum wh_token_form {
  WH_FORM_HIDDEN,     /* control and unknown tokens */
  WH_FORM_LITERAL,    /* its text as it is */
  WH_FORM_BYTE_CHARS, /* text in the byte alphabet of byte-level BPE */
  WH_FORM_SPM,        /* text with U+2581 for spaces */
  WH_FORM_BYTE,       /* one byte, written <0xXX> */
  WH_FORM_WORD,       /* WordPiece: begins a word */
  WH_FORM_WORD_REST   /* WordPiece: "##" and the continuation of a word */
} wh_token_form;
wh_token_form wh_tokenizer_token_form(const wh_tokenizer *t, int32_t id);

WH_NODISCARD wh_status wh_token_list_push(wh_token_list *list, int32_t id);

#endif
