/* test_gguf_real.c - a real model file, named by WH_TEST_MODEL: opened, timed, rewritten byte for byte. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "formats/gguf_write.h"
#include "tests/base/temp_folder.h"

static const char *model; /* NULL: skip */

static void it_opens(void **state) {
  (void)state;
  if (!model) skip();
  wh_model_file *f;
  struct timespec begin, end;
  (void)clock_gettime(CLOCK_MONOTONIC, &begin);
  if (wh_model_file_open(model, NULL, &f) != WH_OK) fail_msg("%s", wh_last_error()->message);
  (void)clock_gettime(CLOCK_MONOTONIC, &end);
  double ms = (double)(end.tv_sec - begin.tv_sec) * 1e3 + (double)(end.tv_nsec - begin.tv_nsec) / 1e6;
  (void)printf("%s: %s, %zu metadata entries, %zu weights, %.1f MB, opened in %.2f ms\n", model,
               wh_model_file_format(f), wh_model_file_n_meta(f), wh_model_file_n_weights(f),
               (double)wh_model_file_total_bytes(f) / 1e6, ms);
  wh_str architecture;
  assert_int_equal(wh_model_file_get_string(f, "general.architecture", &architecture), WH_OK);
  assert_true(architecture.len > 0);
  const wh_weight_view *embedding = wh_model_file_find_weight(f, "token_embd.weight");
  assert_non_null(embedding);
  assert_int_equal(embedding->rank, 2);
  const wh_meta_value *tokens = wh_model_file_find_meta(f, "tokenizer.ggml.tokens");
  if (tokens) assert_int_equal(tokens->n, embedding->dims[0]);
  wh_model_file_close(f);
}

/* Not every writer orders and pads as ours does, so this compares meanings. */
static void it_survives_rewriting(void **state) {
  (void)state;
  if (!model) skip();
  temp_folder folder = temp_folder_create();
  temp_path path = temp_path_of(&folder, "copy.gguf");
  wh_model_file *f, *g;
  assert_int_equal(wh_model_file_open(model, NULL, &f), WH_OK);
  wh_gguf_content content = {.meta = wh_model_file_meta(f, 0),
                             .n_meta = wh_model_file_n_meta(f),
                             .weights = wh_model_file_weight(f, 0),
                             .n_weights = wh_model_file_n_weights(f)};
  if (wh_gguf_write(path.text, &content, NULL) != WH_OK) fail_msg("%s", wh_last_error()->message);
  assert_int_equal(wh_model_file_open(path.text, NULL, &g), WH_OK);
  assert_int_equal(wh_model_file_n_meta(g), content.n_meta);
  assert_int_equal(wh_model_file_n_weights(g), content.n_weights);
  for (size_t i = 0; i < content.n_meta; i++) {
    const wh_meta_entry *a = &content.meta[i], *b = wh_model_file_meta(g, i);
    assert_true(wh_str_equal(a->key, b->key));
    assert_true(a->value.kind == b->value.kind && a->value.file_type == b->value.file_type);
    assert_true(a->value.n == b->value.n && a->value.i == b->value.i);
    assert_true(wh_str_equal(a->value.s, b->value.s));
    if (a->value.ints) assert_memory_equal(a->value.ints, b->value.ints, a->value.n * sizeof(int64_t));
    for (size_t k = 0; a->value.strings && k < a->value.n; k++)
      assert_true(wh_str_equal(a->value.strings[k], b->value.strings[k]));
  }
  for (size_t i = 0; i < content.n_weights; i++) {
    const wh_weight_view *a = &content.weights[i], *b = wh_model_file_weight(g, i);
    assert_true(wh_str_equal(a->name, b->name) && a->dtype == b->dtype && a->n_bytes == b->n_bytes);
    assert_memory_equal(a->data, b->data, a->n_bytes);
  }
  wh_model_file_close(f);
  wh_model_file_close(g);
  temp_folder_remove(&folder);
}

int main(void) {
  model = getenv("WH_TEST_MODEL");
  if (model && !*model) model = NULL;
  if (!model) (void)printf("skipped: set WH_TEST_MODEL to a GGUF file\n");
  const struct CMUnitTest tests[] = {cmocka_unit_test(it_opens), cmocka_unit_test(it_survives_rewriting)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
