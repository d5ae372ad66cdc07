/* text/tokenizer_json.h - what the readers of a tokenizer.json share. Private to text/. */
#ifndef WH_TEXT_TOKENIZER_JSON_H
#define WH_TEXT_TOKENIZER_JSON_H

#include <jansson.h>

#include "core/base/arena.h"
#include "text/text_rules.h"
#include "text/tokenizer_file.h"

#define WH_AROUND_MAX 8 /* tokens in front of a text, or behind it */

struct wh_tokenizer_json {
  const wh_allocator *alloc;
  const char *name; /* while it is read */
  json_t *root;     /* owns the texts that the spec points to */
  wh_arena arena;
  wh_tokenizer_spec spec;
  wh_str *tokens;
  int64_t *types;
  uint8_t *strips;
  wh_charsmap charsmap;
  wh_text_rules rules;
  size_t growth; /* what all replacements of the rules can make of a byte */
  wh_tokenizer *tokenizer;
  int32_t before[WH_AROUND_MAX], behind[WH_AROUND_MAX];
  size_t n_before, n_behind, max_tokens;
  int32_t padding;
};

static inline const json_t *wh_json_get(const json_t *object, const char *key) {
  return json_object_get(object, key);
}
static inline wh_str wh_json_text(const json_t *v) {
  return json_is_string(v) ? (wh_str){json_string_value(v), json_string_length(v)} : (wh_str){"", 0};
}
static inline bool wh_json_is(const json_t *v, const char *text) { return wh_str_is(wh_json_text(v), text); }
/* What a member says; `otherwise` where it is not there, or null. */
static inline bool wh_json_truth(const json_t *object, const char *key, bool otherwise) {
  const json_t *v = wh_json_get(object, key);
  return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

/* Errors: the file is none of its kind; it asks for what is not done. */
WH_NODISCARD wh_status wh_tokenizer_json_wrong(const wh_tokenizer_json *t, const char *what);
WH_NODISCARD wh_status wh_tokenizer_json_refuse(const wh_tokenizer_json *t, const char *what,
                                                const json_t *type);

/* Room for ids up to `top`, of which the file names n_named. */
WH_NODISCARD wh_status wh_tokenizer_json_make_room(wh_tokenizer_json *t, int64_t top, size_t n_named);
/* The added tokens' largest id, at least `top`. */
WH_NODISCARD wh_status wh_tokenizer_json_top(const wh_tokenizer_json *t, int64_t *top);

/* tokenizer_json_unigram.c: model, normalizer and pre_tokenizer of a Unigram file. */
WH_NODISCARD wh_status wh_tokenizer_json_read_pieces(wh_tokenizer_json *t, const json_t *vocab);
WH_NODISCARD wh_status wh_tokenizer_json_read_unigram(wh_tokenizer_json *t, const json_t *model);

#endif
