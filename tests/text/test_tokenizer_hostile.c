/* test_tokenizer_hostile.c - text and vocabularies made to cost time, stack or memory, and memory that runs
 * out. */
#define _GNU_SOURCE
#include <time.h>

#include "tests/base/failing_allocator.h"
#include "tests/text/tokenizer_golden.h"
#include "text/pretokenizer.h"

#define TEXT_BYTES 200000

static double seconds(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* TEXT_BYTES of `unit` again and again, then `end`. */
static wh_str repeat(const char *unit, const char *end) {
  size_t n_unit = strlen(unit), n = TEXT_BYTES / n_unit * n_unit, n_end = strlen(end);
  char *text = malloc(n + n_end + 1);
  assert_non_null(text);
  for (size_t i = 0; i < n; i++) text[i] = unit[i % n_unit];
  memcpy(text + n, end, n_end + 1);
  return (wh_str){text, n + n_end};
}

static const struct {
  const char *unit, *end;
} long_texts[] = {
    {"a", ""},
    {"a", " "},
    {"A", ""},
    {"Aa", ""},
    {" ", ""},
    {" ", "a"},
    {" ", "\n"},
    {" ", "\x01"},
    {"\n", ""},
    {"\n", "a"},
    {"\r\n", "x"},
    {" \n", "x"},
    {"\t ", "\xe4\xbd\xa0"},
    {"1", ""},
    {"1", "a"},
    {"1", "_"},
    {"12 ", ""},
    {".", ""},
    {"'", "s"},
    {"'s", ""},
    {"!a", ""},
    {"\xcc\x81", ""},
    {"a\xcc\x81", "A"},
    {"\xe4\xbd\xa0", ""},
    {"\xe3\x81\x82 ", ""},
    {"\xf0\x9f\x98\x80", ""},
    {"\xf0\x9f\x91\xa8\xe2\x80\x8d", ""},
    {"\xff", ""},
    {"\xe2\x82", "a"},
    {"a b ", ""},
    {"<", ""},
    {"<|im_start|", ""},
    {"IMGIMG", "Z"},
    {"<sentinel:1", ""},
    {"\xc2\xa0", "a"},
    {"\xe2\x96\x81", ""},
    {"\x01", "a"},
    {"\xc2\xbd", "1"},
    {"1\xc2\xbd", ""},
};
#define N_LONG_TEXTS (sizeof long_texts / sizeof long_texts[0])

static void encode_in_time(const char *what, const wh_tokenizer *t, wh_str text) {
  wh_token_list list;
  wh_token_list_init(&list, NULL);
  double begin = seconds();
  wh_status status = wh_tokenizer_encode(t, text, 0, &list);
  double took = seconds() - begin;
  if (status != WH_OK) fail_msg("%s: '%.8s'...: %s", what, text.data, wh_last_error()->message);
  if (took > 1.0) fail_msg("%s: '%.8s'... took %.2f s", what, text.data, took);
  wh_token_list_deinit(&list);
}

static void encode_long_texts(const char *what, const wh_tokenizer *t) {
  for (size_t i = 0; i < N_LONG_TEXTS; i++) {
    wh_str text = repeat(long_texts[i].unit, long_texts[i].end);
    encode_in_time(what, t, text);
    free((void *)(uintptr_t)text.data);
  }
}

static wh_status count_piece(void *ctx, const char *piece, size_t n) {
  (void)piece;
  *(size_t *)ctx += n;
  return WH_OK;
}

/* Every rule, by one of its names. */
static void long_texts_take_linear_time_for_every_pattern(void **state) {
  (void)state;
  char names[4096];
  const wh_pre_rule *done = NULL;
  wh_str texts[N_LONG_TEXTS];
  for (size_t i = 0; i < N_LONG_TEXTS; i++) texts[i] = repeat(long_texts[i].unit, long_texts[i].end);
  wh_pre_rule_list_names(names, sizeof names);
  for (char *name = strtok(names, " "); name; name = strtok(NULL, " ")) {
    const wh_pre_rule *rule = wh_pre_rule_find(wh_str_from(name));
    if (rule == done) continue;
    done = rule;
    wh_pretokenizer *p;
    wh_pre_scratch *scratch;
    assert_int_equal(wh_pretokenizer_create(rule, NULL, &p), WH_OK);
    assert_int_equal(wh_pre_scratch_create(p, &scratch), WH_OK);
    for (size_t i = 0; i < N_LONG_TEXTS; i++) {
      size_t n_bytes = 0;
      double begin = seconds();
      wh_status status = wh_pretokenizer_split(p, scratch, texts[i], count_piece, &n_bytes);
      double took = seconds() - begin;
      if (status != WH_OK) fail_msg("%s: '%.8s'...: %s", name, texts[i].data, wh_last_error()->message);
      if (took > 1.0) fail_msg("%s: '%.8s'... took %.2f s", name, texts[i].data, took);
      assert_int_equal(n_bytes, texts[i].len);
    }
    wh_pre_scratch_destroy(scratch);
    wh_pretokenizer_destroy(p);
  }
  for (size_t i = 0; i < N_LONG_TEXTS; i++) free((void *)(uintptr_t)texts[i].data);
}

static void long_texts_take_linear_time_for_byte_level_bpe(void **state) {
  (void)state;
  json_t *root = golden_load("tokenizer_bpe.json");
  wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
  golden_vocab vocab = golden_vocab_load(root, &spec);
  spec.model = wh_str_from("gpt2");
  spec.pre = wh_str_from("gpt-2");
  wh_tokenizer *t = golden_create(&spec);
  encode_long_texts("gpt-2", t);
  wh_tokenizer_destroy(t);
  golden_vocab_free(&vocab);
  json_decref(root);
}

static void long_texts_take_linear_time_for_the_other_models(void **state) {
  (void)state;
  static const char *const files[] = {"tokenizer_sentencepiece.json", "tokenizer_wordpiece.json",
                                      "tokenizer_unigram.json"};
  static const char *const models[] = {"llama", "bert", "t5"};
  for (size_t i = 0; i < 3; i++) {
    json_t *root = golden_load(files[i]);
    wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
    golden_vocab vocab = golden_vocab_load(json_array_get(json_object_get(root, "cases"), 0), &spec);
    spec.model = wh_str_from(models[i]);
    spec.unknown_id = i == 1;
    wh_tokenizer *t = golden_create(&spec);
    encode_long_texts(files[i], t);
    wh_tokenizer_destroy(t);
    golden_vocab_free(&vocab);
    json_decref(root);
  }
}

/* A vocabulary of a, aa, aaaa ... whose merges all apply: the worst case of the merge loop. And one whose
 * pieces may reach over words, so that the whole text is one piece. */
static void merging_a_long_run_is_not_quadratic(void **state) {
  (void)state;
  static char runs[5][64];
  wh_str tokens[6], merges[4];
  double scores[6];
  for (size_t i = 0; i < 5; i++) {
    memset(runs[i], 'a', (size_t)1 << i);
    tokens[i] = (wh_str){runs[i], (size_t)1 << i};
    scores[i] = -(double)i;
  }
  merges[0] = wh_str_from("a a");
  merges[1] = wh_str_from("aa aa");
  merges[2] = wh_str_from("aaaa aaaa");
  merges[3] = wh_str_from("aaaaaaaa aaaaaaaa");
  tokens[5] = wh_str_from("a\xe2\x96\x81");
  scores[5] = -9;
  wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
  spec.n_tokens = 6;
  spec.tokens = tokens;
  spec.scores = scores;
  spec.n_merges = 4;
  spec.merges = merges;
  spec.add_space_prefix = 0;
  for (int spm = 0; spm < 2; spm++) {
    spec.model = wh_str_from(spm ? "llama" : "gpt2");
    spec.pre = wh_str_from("gpt-2");
    wh_tokenizer *t = golden_create(&spec);
    wh_str text = repeat("a", "");
    wh_token_list list;
    wh_token_list_init(&list, NULL);
    encode_in_time("a run", t, text);
    assert_int_equal(wh_tokenizer_encode(t, text, 0, &list), WH_OK);
    assert_int_equal(list.n, TEXT_BYTES / 16);
    for (size_t i = 0; i < list.n; i++) assert_int_equal(list.ids[i], 4);
    wh_token_list_deinit(&list);
    wh_tokenizer_destroy(t);
    free((void *)(uintptr_t)text.data);
  }
}

/* Creates, encodes and decodes with every n-th allocation failing in turn. */
static void fail_every_allocation(const wh_tokenizer_spec *spec, const char *what) {
  wh_str text = wh_str_from(
      "Hello <|im_start|> it's 1234 \xf0\x9f\x98\x80 "
      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
  size_t n_failures = 0;
  for (size_t n = 1;; n++) {
    failing_allocator fa;
    const wh_allocator *alloc = failing_allocator_init(&fa, n);
    wh_tokenizer *t = NULL;
    wh_token_list list;
    wh_text_buffer out;
    wh_token_list_init(&list, alloc);
    wh_text_buffer_init(&out, alloc);
    wh_status status = wh_tokenizer_create(spec, alloc, &t);
    if (status == WH_OK) {
      status = wh_tokenizer_encode(t, text, WH_TOKENIZE_ADD_SPECIAL | WH_TOKENIZE_PARSE_SPECIAL, &list);
      if (status != WH_OK) assert_int_equal(list.n, 0);
    }
    for (size_t i = 0; status == WH_OK && i < list.n; i++) {
      wh_detokenizer d;
      wh_detokenizer_init(&d, t, true, true);
      status = wh_detokenizer_push(&d, list.ids[i], &out);
    }
    wh_text_buffer_deinit(&out);
    wh_token_list_deinit(&list);
    wh_tokenizer_destroy(t);
    assert_int_equal(fa.n_live, 0);
    if (fa.n_requests < n) {
      assert_int_equal(status, WH_OK);
      break;
    }
    if (status != WH_OK) {
      if (status != WH_ERR_OUT_OF_MEMORY)
        fail_msg("%s: allocation %zu: %s", what, n, wh_last_error()->message);
      n_failures++;
    }
  }
  assert_true(n_failures >= 4);
}

static void running_out_of_memory_is_an_error(void **state) {
  (void)state;
  json_t *root = golden_load("tokenizer_bpe.json");
  wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
  golden_vocab vocab = golden_vocab_load(root, &spec);
  static const char *const names[] = {"gpt-2", "llama-bpe", "deepseek-llm", "chameleon", "qwen2"};
  spec.model = wh_str_from("gpt2");
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    spec.pre = wh_str_from(names[i]);
    fail_every_allocation(&spec, names[i]);
  }
  spec.token_types = NULL; /* its control tokens get types of their own */
  fail_every_allocation(&spec, "no types");
  golden_vocab_free(&vocab);
  json_decref(root);
  static const char *const files[] = {"tokenizer_sentencepiece.json", "tokenizer_wordpiece.json",
                                      "tokenizer_unigram.json"};
  static const char *const models[] = {"llama", "bert", "t5"};
  for (size_t i = 0; i < 3; i++) {
    root = golden_load(files[i]);
    spec = (wh_tokenizer_spec)WH_TOKENIZER_SPEC_INIT;
    vocab = golden_vocab_load(json_array_get(json_object_get(root, "cases"), 0), &spec);
    spec.model = wh_str_from(models[i]);
    spec.unknown_id = i == 1;
    fail_every_allocation(&spec, files[i]);
    golden_vocab_free(&vocab);
    json_decref(root);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(long_texts_take_linear_time_for_every_pattern),
      cmocka_unit_test(long_texts_take_linear_time_for_byte_level_bpe),
      cmocka_unit_test(long_texts_take_linear_time_for_the_other_models),
      cmocka_unit_test(merging_a_long_run_is_not_quadratic),
      cmocka_unit_test(running_out_of_memory_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
