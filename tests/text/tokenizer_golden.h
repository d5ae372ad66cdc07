/* tokenizer_golden.h - test helpers: reads the JSON files that make_tokenizer_goldens.py writes. */
#ifndef WH_TESTS_TOKENIZER_GOLDEN_H
#define WH_TESTS_TOKENIZER_GOLDEN_H

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/text_buffer.h"
#include "text/tokenizer.h"

/* The parsed file; the caller drops it with json_decref. */
static inline json_t *golden_load(const char *name) {
  char path[1024];
  json_error_t error;
  (void)snprintf(path, sizeof path, "%s/%s", WH_TEST_DATA_DIR, name);
  json_t *root = json_load_file(path, JSON_ALLOW_NUL, &error);
  if (!root) fail_msg("%s:%d: %s", path, error.line, error.text);
  return root;
}

static inline wh_str golden_str(const json_t *s) {
  return (wh_str){json_string_value(s), json_string_length(s)};
}

static inline wh_str golden_item(const json_t *array, size_t i) {
  return golden_str(json_array_get(array, i));
}

/* A vocabulary whose texts stay in the JSON object. */
typedef struct golden_vocab {
  wh_str *tokens, *merges;
  double *scores;
  int64_t *types;
} golden_vocab;

static inline wh_str *golden_strings(const json_t *array, size_t *n) {
  *n = json_array_size(array);
  wh_str *strings = calloc(*n + 1, sizeof *strings);
  assert_non_null(strings);
  for (size_t i = 0; i < *n; i++) strings[i] = golden_item(array, i);
  return strings;
}

static inline golden_vocab golden_vocab_load(const json_t *o, wh_tokenizer_spec *spec) {
  golden_vocab v = {0};
  v.tokens = golden_strings(json_object_get(o, "tokens"), &spec->n_tokens);
  v.merges = golden_strings(json_object_get(o, "merges"), &spec->n_merges);
  v.types = calloc(spec->n_tokens, sizeof *v.types);
  v.scores = calloc(spec->n_tokens, sizeof *v.scores);
  assert_true(v.types && v.scores);
  for (size_t i = 0; i < spec->n_tokens; i++) {
    v.types[i] = json_integer_value(json_array_get(json_object_get(o, "types"), i));
    v.scores[i] = json_number_value(json_array_get(json_object_get(o, "scores"), i));
  }
  spec->tokens = v.tokens;
  spec->merges = v.merges;
  spec->token_types = v.types;
  spec->scores = v.scores;
  return v;
}

static inline void golden_vocab_free(golden_vocab *v) {
  free(v->tokens);
  free(v->merges);
  free(v->scores);
  free(v->types);
}

static inline wh_tokenizer *golden_create(const wh_tokenizer_spec *spec) {
  wh_tokenizer *t = NULL;
  if (wh_tokenizer_create(spec, NULL, &t) != WH_OK) fail_msg("%s", wh_last_error()->message);
  return t;
}

/* "1 2 3" as expected, else a message that shows both. */
static inline void golden_expect_ids(const char *what, wh_str text, const char *expected, const int32_t *ids,
                                     size_t n) {
  wh_text_buffer got;
  wh_text_buffer_init(&got, NULL);
  for (size_t i = 0; i < n; i++) wh_text_buffer_printf(&got, i ? " %d" : "%d", ids[i]);
  if (strcmp(got.data ? got.data : "", expected) != 0)
    fail_msg("%s: '%.*s'\n  expected %s\n  got      %s", what, (int)text.len, text.data, expected,
             got.data ? got.data : "");
  wh_text_buffer_deinit(&got);
}

static inline void golden_expect_encoding(const char *what, const wh_tokenizer *t, uint32_t flags,
                                          wh_str text, const char *expected) {
  wh_token_list list;
  wh_token_list_init(&list, NULL);
  if (wh_tokenizer_encode(t, text, flags, &list) != WH_OK) fail_msg("%s: %s", what, wh_last_error()->message);
  golden_expect_ids(what, text, expected, list.ids, list.n);
  wh_token_list_deinit(&list);
}

/* The ids decoded one by one as one text. */
static inline void golden_decode(const wh_tokenizer *t, const int32_t *ids, size_t n, bool show_control,
                                 wh_text_buffer *out) {
  wh_detokenizer d;
  wh_detokenizer_init(&d, t, true, show_control);
  for (size_t i = 0; i < n; i++) assert_int_equal(wh_detokenizer_push(&d, ids[i], out), WH_OK);
  assert_int_equal(wh_detokenizer_finish(&d, out), WH_OK);
}

/* Ids and decoded text of one case of a file with several; not the texts that contain `skip`. */
static inline void golden_check_case(const char *what, const json_t *c, const wh_tokenizer *t,
                                     const char *skip) {
  json_t *texts = json_object_get(c, "texts"), *ids = json_object_get(c, "ids");
  assert_true(json_array_size(texts) > 40);
  for (size_t i = 0; i < json_array_size(texts); i++) {
    wh_str text = golden_item(texts, i), decoded = golden_item(json_object_get(c, "decoded"), i);
    if (skip && strstr(text.data, skip)) continue;
    golden_expect_encoding(what, t, 0, text, golden_item(ids, i).data);
    wh_token_list list;
    wh_text_buffer got;
    wh_token_list_init(&list, NULL);
    wh_text_buffer_init(&got, NULL);
    assert_int_equal(wh_tokenizer_encode(t, text, 0, &list), WH_OK);
    golden_decode(t, list.ids, list.n, false, &got);
    bool has_unknown = false;
    for (size_t k = 0; k < list.n; k++)
      has_unknown = has_unknown || wh_tokenizer_token_type(t, list.ids[k]) == WH_TOKEN_UNKNOWN;
    /* References show an unknown token as a placeholder of their own; here it is hidden. */
    if (!has_unknown && !wh_str_equal((wh_str){got.data, got.len}, decoded))
      fail_msg("%s: '%s' decodes to '%s'", what, decoded.data, got.data ? got.data : "");
    wh_text_buffer_deinit(&got);
    wh_token_list_deinit(&list);
  }
}

#endif
