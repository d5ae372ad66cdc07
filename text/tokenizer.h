/* text/tokenizer.h - text to token ids and back.
 *
 * A tokenizer is immutable after creation and may be shared by threads; a detokeniser belongs to one stream.
 */
#ifndef WH_TEXT_TOKENIZER_H
#define WH_TEXT_TOKENIZER_H

#include "core/base/allocator.h"
#include "core/base/str.h"

typedef enum wh_token_type { /* numbers as in GGUF's tokenizer.ggml.token_type */
                             WH_TOKEN_NORMAL = 1,
                             WH_TOKEN_UNKNOWN = 2,
                             WH_TOKEN_CONTROL = 3,      /* never matched in plain text, not shown */
                             WH_TOKEN_USER_DEFINED = 4, /* always matched whole, shown */
                             WH_TOKEN_UNUSED = 5,
                             WH_TOKEN_BYTE = 6
} wh_token_type;

/* What a model file says about its tokenizer. All arrays are borrowed for the tokenizer's life (they lie in
 * the mapped model file). Ids of -1 mean "none". */
typedef struct wh_tokenizer_spec {
  wh_str model; /* "gpt2": byte-level BPE; "llama": SentencePiece BPE; "gemma4": BPE with
                 * SentencePiece's spaces and byte tokens; "bert": WordPiece; "t5": SentencePiece unigram */
  wh_str pre;   /* name of the pre-tokenizer pattern, e.g. "llama-bpe", "qwen2", "smollm" */
  wh_str
      architecture; /* of the model, e.g. "phi3": tells tokenizers apart that the file says no more about */
  size_t n_tokens;
  const wh_str *tokens;
  const double *scores;       /* n_tokens or NULL */
  const int64_t *token_types; /* n_tokens or NULL */
  size_t n_merges;
  const wh_str *merges; /* "left right" */
  int32_t bos_id, eos_id, eot_id, unknown_id, separator_id, padding_id;
  int32_t eom_id, fim_pad_id, fim_rep_id, fim_sep_id; /* end an answer, as eos_id and eot_id do */
  int add_bos, add_eos; /* 1 yes, 0 no, -1 not stated: the default of `model`/`pre` */
  int add_space_prefix; /* same */
  bool remove_extra_whitespaces;
  bool byte_fallback; /* "t5": unknown characters become byte tokens */
  wh_str charsmap;    /* "t5": normalisation rules of SentencePiece; copied */
  const struct wh_text_rules
      *text_rules;       /* "t5": as a tokenizer.json has them, in place of SentencePiece's */
  const uint8_t *strips; /* per token WH_STRIP_..., or NULL: what is known of `architecture` */
  bool puts_space;       /* byte-level BPE: in front of each stretch of plain text that has none there */
  int lowercase, strip_accents; /* "bert" only; same (not stated: lowercase; strip_accents as lowercase) */
} wh_tokenizer_spec;
/* Nothing stated, no special ids: fill in from here. */
#define WH_TOKENIZER_SPEC_INIT                                                                        \
  {                                                                                                   \
    .bos_id = -1, .eos_id = -1, .eot_id = -1, .unknown_id = -1, .separator_id = -1, .padding_id = -1, \
    .eom_id = -1, .fim_pad_id = -1, .fim_rep_id = -1, .fim_sep_id = -1, .add_bos = -1, .add_eos = -1, \
    .add_space_prefix = -1, .lowercase = -1, .strip_accents = -1                                      \
  }

typedef struct wh_tokenizer wh_tokenizer;

/* Unknown `model` or `pre` is ERR_UNSUPPORTED and the message lists the known ones. */
WH_NODISCARD wh_status wh_tokenizer_create(const wh_tokenizer_spec *spec, const wh_allocator *alloc,
                                           wh_tokenizer **out);
void wh_tokenizer_destroy(wh_tokenizer *tokenizer);

typedef struct wh_token_list {
  const wh_allocator *alloc;
  int32_t *ids;
  size_t n, capacity;
} wh_token_list;
void wh_token_list_init(wh_token_list *list, const wh_allocator *alloc);
void wh_token_list_deinit(wh_token_list *list);

/* As in whimbrel/text.h, where they are explained. */
#define WH_TOKENIZE_ADD_SPECIAL 1u
#define WH_TOKENIZE_PARSE_SPECIAL 2u
#define WH_TOKENIZE_ADD_BOS 4u
/* Appends the ids of `text` to `list`. Any bytes are accepted: invalid UTF-8 becomes byte tokens or U+FFFD,
 * as the reference tokenizer of the model does. */
WH_NODISCARD wh_status wh_tokenizer_encode(const wh_tokenizer *t, wh_str text, uint32_t flags,
                                           wh_token_list *list);

/* The first control token that is written out in text[from, len): where, and how long. False: none. */
bool wh_tokenizer_find_control(const wh_tokenizer *t, wh_str text, size_t from, size_t *offset,
                               size_t *n_bytes);

size_t wh_tokenizer_n_tokens(const wh_tokenizer *t);
/* The token as stored in the vocabulary; empty for an id out of range. */
wh_str wh_tokenizer_token(const wh_tokenizer *t, int32_t id);
wh_token_type wh_tokenizer_token_type(const wh_tokenizer *t, int32_t id);
int32_t wh_tokenizer_find(const wh_tokenizer *t, wh_str token); /* id of a vocabulary entry or -1 */
int32_t wh_tokenizer_bos(const wh_tokenizer *t);
int32_t wh_tokenizer_eos(const wh_tokenizer *t);
/* True for EOS, EOT and the other tokens that end an answer (<|im_end|>, <|eot_id|>, <end_of_turn>, <|end|>
 * ...). */
bool wh_tokenizer_is_end(const wh_tokenizer *t, int32_t id);

/* Streaming detokenisation: bytes that could still become a UTF-8 character are held back. */
typedef struct wh_detokenizer {
  const wh_tokenizer *tokenizer;
  unsigned char pending[4];
  size_t n_pending;
  bool at_start; /* the next shown token is the text's first: its leading space, if the tokenizer put it, is
                    dropped */
  bool show_control;
} wh_detokenizer;
void wh_detokenizer_init(wh_detokenizer *d, const wh_tokenizer *t, bool at_start, bool show_control);
/* Appends to `out` (a wh_text_buffer) the text that `id` completes; invalid sequences become U+FFFD. */
struct wh_text_buffer;
WH_NODISCARD wh_status wh_detokenizer_push(wh_detokenizer *d, int32_t id, struct wh_text_buffer *out);
/* The text of a token that wh_detokenizer_push leaves out; empty for the others. */
wh_str wh_detokenizer_hidden(const wh_detokenizer *d, int32_t id);
/* Flushes what is pending (as U+FFFD). */
WH_NODISCARD wh_status wh_detokenizer_finish(wh_detokenizer *d, struct wh_text_buffer *out);
/* Appends the bytes that `id` stands for, whether they are whole characters or not; nothing for a hidden
 * token. */
WH_NODISCARD wh_status wh_tokenizer_append_bytes(const wh_tokenizer *t, int32_t id,
                                                 struct wh_text_buffer *out);

#endif
