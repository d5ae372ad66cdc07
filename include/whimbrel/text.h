/* text.h - tokens, chat templates and sampling for language models.
 *
 * Threads: the functions of a model may be called by any number of threads at the same time. A text stream or
 * a generator is used by one thread at a time. Both take their memory from the model's allocator. */
#ifndef WHIMBREL_TEXT_H
#define WHIMBREL_TEXT_H

#include "whimbrel/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* BOS in front and EOS behind, where the model wants them: for a text that is complete. */
#define WH_TOKENIZE_ADD_SPECIAL 1u
/* Control tokens written in the text ("<|im_start|>") become their ids; without it they are read as any text.
 * Text of others may hold them, too: leave it out for text that must not steer the model. */
#define WH_TOKENIZE_PARSE_SPECIAL 2u
/* BOS only: for a text that the model is to continue. Neither flag adds a BOS to a text that begins with it
 * (parsed, as a pasted template has it), nor is one wanted for the text of wh_model_render_chat. */
#define WH_TOKENIZE_ADD_BOS 4u

/* Writes at most `capacity` ids and always the full count to *n (ids may be NULL with capacity 0). Any bytes
 * are accepted, NUL too. Other flags are ERR_INVALID_ARGUMENT. The tokenizer is built at the first use, once,
 * thread-safely. */
WH_API WH_NODISCARD wh_status wh_model_tokenize(const wh_model *model, const char *text, size_t n_bytes,
                                                uint32_t flags, int32_t *ids, size_t capacity, size_t *n);
/* Where the first control token is written out in the text, and its bytes; *length is 0 when there is none.
 */
WH_API WH_NODISCARD wh_status wh_model_find_control(const wh_model *model, const char *text, size_t n_bytes,
                                                    size_t *offset, size_t *length);
/* True for tokens that end an answer (EOS, <|im_end|>, <end_of_turn> ...). */
WH_API WH_NODISCARD wh_status wh_model_token_is_end(const wh_model *model, int32_t id, bool *out);

/* The tokenizer of a model whose file has none, as the tokenizer.json beside it says (Hugging Face's
 * tokenizers): WordPiece as BERT has it, byte-level BPE with GPT-2's pattern, and Unigram as SentencePiece's
 * models have it. What the file says beyond that is ERR_UNSUPPORTED. allocator NULL: the heap; borrowed until
 * the tokenizer is destroyed. Any number of threads may use one. */
typedef struct wh_tokenizer_file wh_tokenizer_file;
WH_API WH_NODISCARD wh_status wh_tokenizer_file_load(const char *path, const wh_allocator *allocator,
                                                     wh_tokenizer_file **out);
WH_API void wh_tokenizer_file_destroy(wh_tokenizer_file *tokenizer); /* NULL is fine */

typedef struct wh_tokenizer_info {
  uint32_t struct_size;
  uint32_t n_tokens;
  int32_t padding_id;  /* what fills a batch's shorter rows */
  uint64_t max_tokens; /* that the file cuts texts to; 0: it does not */
} wh_tokenizer_info;
#define WH_TOKENIZER_INFO_INIT \
  { sizeof(wh_tokenizer_info), 0, 0, 0 }
WH_API WH_NODISCARD wh_status wh_tokenizer_file_get_info(const wh_tokenizer_file *tokenizer,
                                                         wh_tokenizer_info *info);
/* As wh_model_tokenize. WH_TOKENIZE_ADD_SPECIAL puts the tokens around the text that the file's
 * post-processor has for one text; max_tokens is the most with them (0: no bound), by leaving out the text's
 * last. */
WH_API WH_NODISCARD wh_status wh_tokenizer_file_encode(const wh_tokenizer_file *tokenizer, const char *text,
                                                       size_t n_bytes, uint32_t flags, size_t max_tokens,
                                                       int32_t *ids, size_t capacity, size_t *n);

/* How a chat is rendered; unset fields keep their defaults. */
typedef struct wh_chat_options {
  uint32_t struct_size;
  bool add_generation_prompt; /* end with the opening of an answer; default true */
  const char *tools_json;     /* a JSON list, or NULL */
  const char *extra_json;     /* a JSON object of further template variables, or NULL */
  /* What the template's strftime_now() shows: seconds since 1970-01-01 00:00 on the user's clock, which is
   * Unix time plus the offset of the time zone. The library reads no environment and so knows no zone: by
   * default it is the system's clock in UTC. */
  int64_t local_time;
} wh_chat_options;
#define WH_CHAT_TIME_UTC INT64_MIN
#define WH_CHAT_OPTIONS_INIT \
  { sizeof(wh_chat_options), true, NULL, NULL, WH_CHAT_TIME_UTC }

/* Renders the model's chat template. messages_json: a JSON list of {"role", "content"} objects (and
 * tool_calls ...), UTF-8; U+0000 in a content is written \u0000 as JSON has it. options: NULL for the
 * defaults. JSON of another kind is ERR_INVALID_ARGUMENT; a model without a template ERR_NOT_FOUND. *out is
 * owned by the caller (wh_string_destroy): *n_bytes bytes, among which NUL may be, and one more NUL behind
 * them. Tokenise it with WH_TOKENIZE_PARSE_SPECIAL alone: the template writes the BOS itself where its model
 * wants one. */
WH_API WH_NODISCARD wh_status wh_model_render_chat(const wh_model *model, const char *messages_json,
                                                   const wh_chat_options *options, char **out,
                                                   size_t *n_bytes);

/* A stream turns tokens into text that is always whole UTF-8, and watches for stop strings (copied; NULL with
 * n_stops 0). Control tokens such as <|im_end|> have no text in it, unless `show_control`: then they appear
 * as the vocabulary writes them, for reading along. A stop string may be one, or hold one, either way. */
typedef struct wh_text_stream wh_text_stream;
WH_API WH_NODISCARD wh_status wh_text_stream_create(const wh_model *model, const char *const *stops,
                                                    size_t n_stops, bool show_control, wh_text_stream **out);
WH_API void wh_text_stream_destroy(wh_text_stream *stream);
/* Adds a token. *text (*n_bytes bytes and a NUL, owned by the stream, valid until its next call) is what may
 * be shown now: bytes that may yet become a character, or a stop string, are held back. *stopped: a stop
 * string was met, now or earlier; it and all that follows are not shown, so later calls give no text. An id
 * that is not in the vocabulary is ERR_INVALID_ARGUMENT. */
WH_API WH_NODISCARD wh_status wh_text_stream_push(wh_text_stream *stream, int32_t id, const char **text,
                                                  size_t *n_bytes, bool *stopped);
/* What was held back, at the end of the tokens: an unfinished character becomes U+FFFD. Nothing after a stop
 * string was met, and nothing when called again. */
WH_API WH_NODISCARD wh_status wh_text_stream_finish(wh_text_stream *stream, const char **text,
                                                    size_t *n_bytes);

typedef struct wh_sampling {
  uint32_t struct_size;
  float temperature; /* 0: greedy */
  uint32_t top_k;    /* 0: off */
  float top_p;       /* 1: off */
  float min_p;       /* 0: off */
  float repetition_penalty, presence_penalty, frequency_penalty;
  uint32_t penalty_window;
  uint64_t seed;
} wh_sampling;
#define WH_SAMPLING_INIT \
  { sizeof(wh_sampling), 0.0f, 0, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f, 64, 0 }

/* Picks the next token, as text/sampler.h and docs/NUMERICS.md define. Its history is the last
 * `penalty_window` tokens, which the penalties see; greedy without penalties, it has no memory at all. */
typedef struct wh_generator wh_generator;
WH_API WH_NODISCARD wh_status wh_generator_create(const wh_model *model, const wh_sampling *sampling,
                                                  wh_generator **out);
WH_API void wh_generator_destroy(wh_generator *generator);
/* A token that was not picked here, such as the prompt's, enters the history. */
WH_API void wh_generator_accept(wh_generator *generator, int32_t token);
/* As it was created: the same options, the random numbers from the seed again, an empty history. */
WH_API void wh_generator_reset(wh_generator *generator);
/* Picks from logits [n_vocab], which stay as they are, and records the pick in the history: it is not to be
 * accepted again. A NaN, or nothing above -infinity, is ERR_INVALID_ARGUMENT; nothing is recorded then and no
 * random number used. */
WH_API WH_NODISCARD wh_status wh_generator_sample(wh_generator *generator, const float *logits,
                                                  int32_t *token);

#ifdef __cplusplus
}
#endif
#endif
