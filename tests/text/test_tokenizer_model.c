/* test_tokenizer_model.c - tokenizers from model files: small ones written here, and a real one when
 * WH_TEST_MODEL names SmolLM2-135M-Instruct, whose ids must be those of Hugging Face's tokenizer. */
#define _GNU_SOURCE
#include "formats/gguf_write.h"
#include "import/families/tokenizer_source.h"
#include "tests/base/temp_folder.h"
#include "tests/text/tokenizer_golden.h"

#define N_META_MAX 16

typedef struct small_file {
  wh_meta_entry meta[N_META_MAX];
  size_t n;
} small_file;

/* For an array, `type` is that of its elements. */
static wh_meta_value *add(small_file *f, const char *key, wh_meta_kind kind, wh_gguf_value_type type) {
  assert_true(f->n < N_META_MAX);
  f->meta[f->n].value.file_type = type;
  f->meta[f->n].key = wh_str_from(key);
  f->meta[f->n].value.kind = kind;
  return &f->meta[f->n++].value;
}

static const wh_str tokens[] = {{"a", 1}, {"b", 1}, {"ab", 2}, {"<s>", 3}};
static const wh_str merges[] = {{"a b", 3}};
static const int64_t types[] = {1, 1, 1, 3};

static void add_int(small_file *f, const char *key, int64_t i) {
  add(f, key, WH_META_INT, WH_GGUF_VALUE_U32)->i = i;
}

static small_file good_file(void) {
  small_file f = {.n = 0};
  wh_meta_value *v;
  add(&f, "general.architecture", WH_META_STRING, WH_GGUF_VALUE_STRING)->s = wh_str_from("llama");
  add(&f, "tokenizer.ggml.model", WH_META_STRING, WH_GGUF_VALUE_STRING)->s = wh_str_from("gpt2");
  add(&f, "tokenizer.ggml.pre", WH_META_STRING, WH_GGUF_VALUE_STRING)->s = wh_str_from("gpt-2");
  v = add(&f, "tokenizer.ggml.tokens", WH_META_ARRAY, WH_GGUF_VALUE_STRING);
  v->elem_kind = WH_META_STRING;
  v->n = 4;
  v->strings = tokens;
  v = add(&f, "tokenizer.ggml.merges", WH_META_ARRAY, WH_GGUF_VALUE_STRING);
  v->elem_kind = WH_META_STRING;
  v->n = 1;
  v->strings = merges;
  v = add(&f, "tokenizer.ggml.token_type", WH_META_ARRAY, WH_GGUF_VALUE_I32);
  v->elem_kind = WH_META_INT;
  v->n = 4;
  v->ints = types;
  return f;
}

static wh_meta_value *find(small_file *f, const char *key) {
  for (size_t i = 0; i < f->n; i++)
    if (wh_str_is(f->meta[i].key, key)) return &f->meta[i].value;
  fail_msg("no %s", key);
  return NULL;
}

/* Writes the file, reads it back and makes its tokenizer: a status and, if it is WH_OK, the ids of "ab". */
static wh_status try_file(const small_file *f, const char *expected_ids) {
  temp_folder folder = temp_folder_create();
  temp_path path = temp_path_of(&folder, "vocab.gguf");
  wh_model_file *file;
  wh_tokenizer *t = NULL;
  wh_gguf_content content = {.meta = f->meta, .n_meta = f->n};
  if (wh_gguf_write(path.text, &content, NULL) != WH_OK) fail_msg("%s", wh_last_error()->message);
  if (wh_model_file_open(path.text, NULL, &file) != WH_OK) fail_msg("%s", wh_last_error()->message);
  wh_status status = wh_tokenizer_from_model_file(file, NULL, &t);
  if (status == WH_OK)
    golden_expect_encoding("ab", t, WH_TOKENIZE_ADD_SPECIAL, wh_str_from("ab"), expected_ids);
  wh_tokenizer_destroy(t);
  wh_model_file_close(file);
  temp_folder_remove(&folder);
  return status;
}

static void expect_error(const small_file *f, wh_status status, const char *part) {
  assert_int_equal(try_file(f, ""), status);
  if (!strstr(wh_last_error()->message, part)) fail_msg("'%s' lacks '%s'", wh_last_error()->message, part);
}

static void keys_are_read(void **state) {
  (void)state;
  small_file f = good_file();
  assert_int_equal(try_file(&f, "2"), WH_OK);
  add_int(&f, "tokenizer.ggml.bos_token_id", 3);
  assert_int_equal(try_file(&f, "2"), WH_OK);
  add(&f, "tokenizer.ggml.add_bos_token", WH_META_BOOL, WH_GGUF_VALUE_BOOL)->i = 1;
  assert_int_equal(try_file(&f, "3 2"), WH_OK);
  find(&f, "tokenizer.ggml.bos_token_id")->i = UINT32_MAX; /* how some converters write "none" */
  assert_int_equal(try_file(&f, "2"), WH_OK);
}

static void wrong_keys_are_named(void **state) {
  (void)state;
  small_file f = good_file();
  find(&f, "tokenizer.ggml.token_type")->n = 3;
  expect_error(&f, WH_ERR_CORRUPT, "'tokenizer.ggml.token_type' has 3 elements for 4 tokens");
  f = good_file();
  find(&f, "tokenizer.ggml.tokens")->n = 0;
  expect_error(&f, WH_ERR_CORRUPT, "tokenizer.ggml.tokens");
  f = good_file();
  f.meta[1].key = wh_str_from("nothing");
  expect_error(&f, WH_ERR_NOT_FOUND, "no tokenizer");
  f = good_file();
  f.meta[4].key = wh_str_from("nothing");
  expect_error(&f, WH_ERR_CORRUPT, "tokenizer.ggml.merges");
  f = good_file();
  *find(&f, "tokenizer.ggml.tokens") =
      (wh_meta_value){.kind = WH_META_INT, .file_type = WH_GGUF_VALUE_U32, .i = 1};
  expect_error(&f, WH_ERR_CORRUPT, "'tokenizer.ggml.tokens' is not an array");
  f = good_file();
  find(&f, "tokenizer.ggml.model")->s = wh_str_from("rwkv");
  expect_error(&f, WH_ERR_UNSUPPORTED, "vocab.gguf: tokenizer model 'rwkv'");
}

/* A charsmap with one rule: "b" becomes "ab". */
static const int64_t charsmap[] = {12, 0,    0, 0, /* bytes of the trie */
                                   0,  0x8c, 1, 0, 0x62, 0x0d, 0, 0, 0, 0, 0, 0x80, 'a', 'b', 0};

static void unigram_keys_are_read(void **state) {
  (void)state;
  static const double scores[] = {-1, -2, -9, 0};
  small_file f = good_file();
  find(&f, "tokenizer.ggml.model")->s = wh_str_from("t5");
  wh_meta_value *v = add(&f, "tokenizer.ggml.scores", WH_META_ARRAY, WH_GGUF_VALUE_F32);
  v->elem_kind = WH_META_FLOAT;
  v->n = 4;
  v->floats = scores;
  add_int(&f, "tokenizer.ggml.eos_token_id", 3);
  add_int(&f, "tokenizer.ggml.unknown_token_id", 2);
  assert_int_equal(try_file(&f, "2 0 1 3"), WH_OK); /* U+2581, a, b; behind it EOS */
  add(&f, "tokenizer.ggml.add_space_prefix", WH_META_BOOL, WH_GGUF_VALUE_BOOL)->i = 0;
  assert_int_equal(try_file(&f, "0 1 3"), WH_OK);
  v = add(&f, "tokenizer.ggml.precompiled_charsmap", WH_META_ARRAY, WH_GGUF_VALUE_U8);
  v->elem_kind = WH_META_INT;
  v->n = sizeof charsmap / sizeof charsmap[0];
  v->ints = charsmap;
  assert_int_equal(try_file(&f, "0 0 1 3"), WH_OK);
  v->n--;
  expect_error(&f, WH_ERR_CORRUPT, "vocab.gguf: the precompiled charsmap ends within a text");
  v->n = 2;
  expect_error(&f, WH_ERR_CORRUPT, "vocab.gguf: the precompiled charsmap of 2 bytes is truncated");
}

static void smollm2_gives_the_ids_of_its_reference(void **state) {
  (void)state;
  const char *path = getenv("WH_TEST_MODEL");
  if (!path || !strstr(path, "SmolLM2-135M-Instruct")) skip();
  wh_model_file *file;
  wh_tokenizer *t;
  if (wh_model_file_open(path, NULL, &file) != WH_OK) fail_msg("%s", wh_last_error()->message);
  if (wh_tokenizer_from_model_file(file, NULL, &t) != WH_OK) fail_msg("%s", wh_last_error()->message);
  json_t *root = golden_load("tokenizer_smollm2.json"), *texts = json_object_get(root, "texts");
  for (size_t i = 0; i < json_array_size(texts); i++)
    golden_expect_encoding("SmolLM2", t, WH_TOKENIZE_PARSE_SPECIAL, golden_item(texts, i),
                           golden_item(json_object_get(root, "ids"), i).data);
  assert_true(wh_tokenizer_is_end(t, wh_tokenizer_find(t, wh_str_from("<|im_end|>"))));
  assert_true(wh_tokenizer_is_end(t, wh_tokenizer_eos(t)));
  json_decref(root);
  wh_tokenizer_destroy(t);
  wh_model_file_close(file);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(keys_are_read), cmocka_unit_test(wrong_keys_are_named),
                                     cmocka_unit_test(unigram_keys_are_read),
                                     cmocka_unit_test(smollm2_gives_the_ids_of_its_reference)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
