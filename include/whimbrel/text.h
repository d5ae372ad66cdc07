/* text.h - tokens, chat templates and sampling for language models. */
#ifndef WHIMBREL_TEXT_H
#define WHIMBREL_TEXT_H

#include "whimbrel/model.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WH_TOKENIZE_ADD_SPECIAL 1u   /* BOS and EOS as the model asks */
#define WH_TOKENIZE_PARSE_SPECIAL 2u /* control tokens written in the text become their ids */

/* Writes at most `capacity` ids and always the full count to *n (ids may be NULL with capacity 0). Any bytes
 * are accepted. The tokenizer is built at the first use, once, thread-safely. */
WH_API WH_NODISCARD wh_status wh_model_tokenize(const wh_model *model, const char *text, size_t n_bytes,
                                                uint32_t flags, int32_t *ids, size_t capacity, size_t *n);
/* True for tokens that end an answer (EOS, <|im_end|>, <end_of_turn> ...). */
WH_API WH_NODISCARD wh_status wh_model_token_is_end(const wh_model *model, int32_t id, bool *out);

/* Renders the model's chat template. messages_json: a JSON list of {"role", "content"} objects (and
 * tool_calls ...); tools_json: a JSON list or NULL; extra_json: an object of further template variables or
 * NULL. A model without a template: ERR_NOT_FOUND. *out is owned by the caller: wh_string_destroy. */
WH_API WH_NODISCARD wh_status wh_model_render_chat(const wh_model *model, const char *messages_json,
                                                   const char *tools_json, const char *extra_json,
                                                   bool add_generation_prompt, char **out);

/* A stream turns tokens into text that is always whole UTF-8, and watches for stop strings. */
typedef struct wh_text_stream wh_text_stream;
WH_API WH_NODISCARD wh_status wh_text_stream_create(const wh_model *model, const char *const *stops,
                                                    size_t n_stops, bool show_control, wh_text_stream **out);
WH_API void wh_text_stream_destroy(wh_text_stream *stream);
/* Adds a token. *text (NUL-terminated, owned by the stream, valid until its next call) is what may be shown
 * now; *stopped: a stop string was met. */
WH_API WH_NODISCARD wh_status wh_text_stream_push(wh_text_stream *stream, int32_t id, const char **text,
                                                  size_t *n_bytes, bool *stopped);
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

typedef struct wh_generator wh_generator; /* picks the next token */
WH_API WH_NODISCARD wh_status wh_generator_create(const wh_model *model, const wh_sampling *sampling,
                                                  wh_generator **out);
WH_API void wh_generator_destroy(wh_generator *generator);
WH_API void wh_generator_accept(wh_generator *generator,
                                int32_t token); /* a prompt token enters the history */
WH_API void wh_generator_reset(wh_generator *generator);
WH_API WH_NODISCARD wh_status wh_generator_sample(wh_generator *generator, const float *logits,
                                                  int32_t *token);

#ifdef __cplusplus
}
#endif
#endif
