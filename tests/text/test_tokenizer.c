/* test_tokenizer.c - what a tokenizer promises beyond equal ids: special tokens, BOS and EOS, streaming,
 * bytes that are no text, end tokens, and errors. */
#include "tests/text/tokenizer_golden.h"
#include "text/unicode.h"

typedef struct fixture {
  json_t *root;
  wh_tokenizer_spec spec;
  golden_vocab vocab;
} fixture;

static fixture bpe_fixture(void) {
  fixture f = {golden_load("tokenizer_bpe.json"), WH_TOKENIZER_SPEC_INIT, {0}};
  f.vocab = golden_vocab_load(f.root, &f.spec);
  f.spec.model = wh_str_from("gpt2");
  f.spec.pre = wh_str_from("gpt-2");
  return f;
}

static fixture spm_fixture(void) {
  fixture f = {golden_load("tokenizer_sentencepiece.json"), WH_TOKENIZER_SPEC_INIT, {0}};
  f.vocab = golden_vocab_load(json_array_get(json_object_get(f.root, "cases"), 0), &f.spec);
  f.spec.model = wh_str_from("llama");
  f.spec.unknown_id = 0;
  f.spec.bos_id = 1;
  f.spec.eos_id = 2;
  return f;
}

static void fixture_free(fixture *f) {
  golden_vocab_free(&f->vocab);
  json_decref(f->root);
}

static uint32_t random_next(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; }

/* Every token's bytes, one after the other. */
static void append_all_bytes(const wh_tokenizer *t, const wh_token_list *list, wh_text_buffer *out) {
  for (size_t i = 0; i < list->n; i++)
    assert_int_equal(wh_tokenizer_append_bytes(t, list->ids[i], out), WH_OK);
}

/* The text with ill-formed sequences as U+FFFD, written from the definition and not with the decoder's code.
 */
static void replace_bad(const char *data, size_t n, wh_text_buffer *out) {
  const unsigned char *p = (const unsigned char *)data;
  for (size_t i = 0; i < n;) {
    uint32_t cp;
    size_t len = wh_utf8_decode(p + i, n - i, &cp);
    if (len) {
      wh_text_buffer_append(out, data + i, len);
      i += len;
    } else {
      wh_text_buffer_puts(out, "\xef\xbf\xbd");
      i += wh_utf8_bad_length(p + i, n - i);
    }
  }
}

static void check_round_trip(const wh_tokenizer *t, const char *data, size_t n) {
  wh_token_list list;
  wh_text_buffer bytes, text, expected;
  wh_token_list_init(&list, NULL);
  wh_text_buffer_init(&bytes, NULL);
  wh_text_buffer_init(&text, NULL);
  wh_text_buffer_init(&expected, NULL);
  assert_int_equal(wh_tokenizer_encode(t, (wh_str){data, n}, 0, &list), WH_OK);
  append_all_bytes(t, &list, &bytes);
  assert_int_equal(bytes.len, n);
  if (n) assert_memory_equal(bytes.data, data, n);
  golden_decode(t, list.ids, list.n, false, &text);
  replace_bad(data, n, &expected);
  assert_int_equal(text.len, expected.len);
  if (text.len) assert_memory_equal(text.data, expected.data, text.len);
  wh_text_buffer_deinit(&expected);
  wh_text_buffer_deinit(&text);
  wh_text_buffer_deinit(&bytes);
  wh_token_list_deinit(&list);
}

static void random_bytes_survive(void **state) {
  (void)state;
  fixture f = bpe_fixture();
  uint32_t seed = 1;
  for (size_t k = 0; k < 3; k++) {
    f.spec.pre = wh_str_from((const char *const[]){"gpt-2", "gpt-4o", "deepseek-llm"}[k]);
    wh_tokenizer *t = golden_create(&f.spec);
    for (size_t n = 0; n < 400; n++) {
      char data[400];
      for (size_t i = 0; i < n; i++) {
        uint32_t r = random_next(&seed) >> 8;
        /* Bytes, sometimes from a small set so that characters and merges appear. */
        data[i] = n % 2 ? (char)r : "ab \n\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\xa0\xff"[r % 16];
      }
      check_round_trip(t, data, n);
    }
    wh_tokenizer_destroy(t);
  }
  fixture_free(&f);
}

/* Each of these, from the Unicode standard's chapter 3, has known replacements. */
static void ill_formed_text_is_replaced_by_maximal_subparts(void **state) {
  (void)state;
  static const struct {
    const char *in, *out;
  } cases[] = {
#define R "\xef\xbf\xbd"
      {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", R R R R R R R R "A"},
      {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", R R R R R R R R "A"},
      {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", R R R R R "A" R R "B"},
      {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", R R R R "A"},
      {"\xe2\x82", R},
      {"\xf0\x9f\x98", R},
      {"a\xe2\x82z", "a" R "z"},
  };
  fixture f = bpe_fixture();
  wh_tokenizer *t = golden_create(&f.spec);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    wh_token_list list;
    wh_text_buffer out;
    wh_token_list_init(&list, NULL);
    wh_text_buffer_init(&out, NULL);
    assert_int_equal(wh_tokenizer_encode(t, wh_str_from(cases[i].in), 0, &list), WH_OK);
    golden_decode(t, list.ids, list.n, false, &out);
    assert_string_equal(out.data, cases[i].out);
    wh_text_buffer_deinit(&out);
    wh_token_list_deinit(&list);
  }
  wh_tokenizer_destroy(t);
  fixture_free(&f);
}

/* After every token the text is well formed, begins with the text before it, and ends as the whole does. */
static void streaming_never_splits_a_character(void **state) {
  (void)state;
  for (int spm = 0; spm < 2; spm++) {
    fixture f = spm ? spm_fixture() : bpe_fixture();
    wh_tokenizer *t = golden_create(&f.spec);
    wh_str text = wh_str_from(
        "  Gr\xc3\xbc\xc3\x9f Gott \xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9 \xe4\xbd\xa0\xe5\xa5\xbd\n");
    wh_token_list list;
    wh_text_buffer out;
    wh_detokenizer d;
    wh_token_list_init(&list, NULL);
    wh_text_buffer_init(&out, NULL);
    wh_detokenizer_init(&d, t, true, false);
    assert_int_equal(wh_tokenizer_encode(t, text, 0, &list), WH_OK);
    bool held_back = false;
    for (size_t i = 0; i < list.n; i++) {
      assert_int_equal(wh_detokenizer_push(&d, list.ids[i], &out), WH_OK);
      assert_true(out.len <= text.len);
      if (out.len) assert_memory_equal(out.data, text.data, out.len);
      assert_int_equal(wh_utf8_valid_length((const unsigned char *)out.data, out.len), out.len);
      held_back = held_back || d.n_pending > 0;
    }
    assert_true(held_back); /* the text has characters of several tokens */
    assert_int_equal(wh_detokenizer_finish(&d, &out), WH_OK);
    assert_int_equal(out.len, text.len);
    wh_text_buffer_deinit(&out);
    wh_token_list_deinit(&list);
    wh_tokenizer_destroy(t);
    fixture_free(&f);
  }
}

static void control_tokens_need_asking(void **state) {
  (void)state;
  fixture f = bpe_fixture();
  wh_tokenizer *t = golden_create(&f.spec);
  wh_str text = wh_str_from("<|im_start|>a<|im_end|>");
  wh_token_list list;
  wh_token_list_init(&list, NULL);
  assert_int_equal(wh_tokenizer_encode(t, text, 0, &list), WH_OK);
  for (size_t i = 0; i < list.n; i++)
    assert_int_not_equal(wh_tokenizer_token_type(t, list.ids[i]), WH_TOKEN_CONTROL);
  list.n = 0;
  assert_int_equal(wh_tokenizer_encode(t, text, WH_TOKENIZE_PARSE_SPECIAL, &list), WH_OK);
  assert_int_equal(list.n, 3);
  assert_int_equal(list.ids[0], wh_tokenizer_find(t, wh_str_from("<|im_start|>")));
  assert_int_equal(list.ids[2], wh_tokenizer_find(t, wh_str_from("<|im_end|>")));
  for (int show = 0; show < 2; show++) {
    wh_text_buffer out;
    wh_text_buffer_init(&out, NULL);
    golden_decode(t, list.ids, list.n, show, &out);
    assert_string_equal(out.data, show ? text.data : "a");
    wh_text_buffer_deinit(&out);
  }
  wh_token_list_deinit(&list);
  wh_tokenizer_destroy(t);
  fixture_free(&f);
}

/* A small byte-level vocabulary: ASCII letters, one merge, and tokens of each kind. */
static const char *const small_tokens[] = {"a",  "b",   "c",    "<",     ">",    "|",       "x",
                                           "ab", "<x>", "<x>b", "<|x|>", "</s>", "\xc4\xa0"};
static const int64_t small_types[] = {1, 1, 1, 1, 1, 1, 1, 1, 4, 4, 3, 1, 1};
#define N_SMALL (sizeof small_tokens / sizeof small_tokens[0])

static wh_tokenizer_spec small_spec(wh_str tokens[N_SMALL], wh_str merges[2]) {
  wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
  for (size_t i = 0; i < N_SMALL; i++) tokens[i] = wh_str_from(small_tokens[i]);
  merges[0] = wh_str_from("a b");
  merges[1] = wh_str_from("< |"); /* towards no token */
  spec.model = wh_str_from("gpt2");
  spec.pre = wh_str_from("gpt-2");
  spec.n_tokens = N_SMALL;
  spec.tokens = tokens;
  spec.token_types = small_types;
  spec.n_merges = 2;
  spec.merges = merges;
  return spec;
}

static void special_tokens_match_longest_first(void **state) {
  (void)state;
  wh_str tokens[N_SMALL], merges[2];
  wh_tokenizer_spec spec = small_spec(tokens, merges);
  wh_tokenizer *t = golden_create(&spec);
  golden_expect_encoding("user-defined", t, 0, wh_str_from("ab<x>bab<x>a"), "7 9 7 8 0");
  golden_expect_encoding("near misses", t, 0, wh_str_from("<x<x|<<x>"), "3 6 3 6 5 3 8");
  golden_expect_encoding("control as text", t, 0, wh_str_from("<|x|>"), "3 5 6 5 4");
  golden_expect_encoding("control", t, WH_TOKENIZE_PARSE_SPECIAL, wh_str_from("a<|x|>b"), "0 10 1");
  golden_expect_encoding("a byte without a token is as if not there", t, 0, wh_str_from("azb"), "7");
  wh_tokenizer_destroy(t);
}

static void bos_and_eos_follow_the_file(void **state) {
  (void)state;
  wh_str tokens[N_SMALL], merges[2];
  wh_tokenizer_spec spec = small_spec(tokens, merges);
  spec.bos_id = 10;
  spec.eos_id = 11;
  static const struct {
    const char *pre;
    int add_bos, add_eos;
    const char *expected;
  } cases[] = {{"gpt-2", -1, -1, "7"},      {"gpt-2", 1, -1, "10 7"},      {"gpt-2", 1, 1, "10 7 11"},
               {"gpt-2", 0, 1, "7 11"},     {"llama-bpe", -1, -1, "10 7"}, {"llama-bpe", 0, -1, "7"},
               {"tekken", -1, 1, "10 7 11"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    spec.pre = wh_str_from(cases[i].pre);
    spec.add_bos = cases[i].add_bos;
    spec.add_eos = cases[i].add_eos;
    wh_tokenizer *t = golden_create(&spec);
    golden_expect_encoding(cases[i].pre, t, WH_TOKENIZE_ADD_SPECIAL, wh_str_from("ab"), cases[i].expected);
    golden_expect_encoding(cases[i].pre, t, 0, wh_str_from("ab"), "7");
    wh_tokenizer_destroy(t);
  }
}

static void end_tokens_are_known_by_id_and_by_text(void **state) {
  (void)state;
  static const char *const texts[] = {"a",    "<|im_end|>", "<|end|>",  "<|eot_id|>",
                                      "</s>", "<|return|>", "<|call|>", "e"};
  static const int64_t types[] = {1, 3, 3, 4, 1, 3, 1, 1};
  wh_str tokens[8];
  wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
  for (size_t i = 0; i < 8; i++) tokens[i] = wh_str_from(texts[i]);
  spec.model = wh_str_from("gpt2");
  spec.tokens = tokens;
  spec.token_types = types;
  spec.eos_id = 7;
  for (int harmony = 0; harmony < 2; harmony++) {
    spec.n_tokens = 8;
    tokens[6] = wh_str_from(harmony ? "<|call|>" : "c");
    wh_tokenizer *t = golden_create(&spec);
    assert_false(wh_tokenizer_is_end(t, 0));
    assert_true(wh_tokenizer_is_end(t, 1));
    assert_int_equal(wh_tokenizer_is_end(t, 2),
                     !harmony); /* with <|return|> and <|call|> it only ends a message */
    assert_true(wh_tokenizer_is_end(t, 3));
    assert_false(wh_tokenizer_is_end(t, 4)); /* a word of the vocabulary */
    assert_true(wh_tokenizer_is_end(t, 7));
    assert_false(wh_tokenizer_is_end(t, -1));
    wh_tokenizer_destroy(t);
  }
}

static void spaces_of_sentencepiece(void **state) {
  (void)state;
  fixture f = spm_fixture();
  wh_tokenizer *t = golden_create(&f.spec);
  wh_token_list list;
  wh_text_buffer out;
  wh_token_list_init(&list, NULL);
  wh_text_buffer_init(&out, NULL);
  assert_int_equal(wh_tokenizer_encode(t, wh_str_from("the"), WH_TOKENIZE_ADD_SPECIAL, &list), WH_OK);
  assert_int_equal(list.ids[0], 1);
  golden_decode(t, list.ids, list.n, false, &out);
  assert_string_equal(out.data, "the"); /* the hidden BOS does not count as the text's start */
  wh_text_buffer_clear(&out);
  wh_detokenizer d;
  wh_detokenizer_init(&d, t, false, false); /* in the middle of a text the space stays */
  for (size_t i = 0; i < list.n; i++) assert_int_equal(wh_detokenizer_push(&d, list.ids[i], &out), WH_OK);
  assert_string_equal(out.data, " the");
  wh_text_buffer_deinit(&out);
  wh_token_list_deinit(&list);
  wh_tokenizer_destroy(t);
  fixture_free(&f);
}

static void expect_failure(const wh_tokenizer_spec *spec, wh_status status, const char *part) {
  wh_tokenizer *t = NULL;
  assert_int_equal(wh_tokenizer_create(spec, NULL, &t), status);
  assert_null(t);
  if (!strstr(wh_last_error()->message, part)) fail_msg("'%s' lacks '%s'", wh_last_error()->message, part);
}

static void errors_say_what_is_wrong(void **state) {
  (void)state;
  wh_str tokens[N_SMALL], merges[2];
  wh_tokenizer_spec spec = small_spec(tokens, merges), bad = spec;
  bad.model = wh_str_from("rwkv");
  expect_failure(&bad, WH_ERR_UNSUPPORTED, "'rwkv'");
  bad = spec;
  bad.pre = wh_str_from("nonesuch");
  expect_failure(&bad, WH_ERR_UNSUPPORTED, "'nonesuch' is unknown; known: default gpt-2");
  bad = spec;
  bad.n_tokens = 0;
  expect_failure(&bad, WH_ERR_CORRUPT, "no tokens");
  bad = spec;
  bad.bos_id = N_SMALL;
  expect_failure(&bad, WH_ERR_CORRUPT, "BOS id 13");
  bad = spec;
  merges[1] = wh_str_from("ab");
  expect_failure(&bad, WH_ERR_CORRUPT, "merge 1 ('ab')");
  merges[1] = wh_str_from("a ");
  expect_failure(&bad, WH_ERR_CORRUPT, "merge 1 ('a ')");
  merges[1] = wh_str_from("");
  expect_failure(&bad, WH_ERR_CORRUPT, "merge 1");
  merges[1] = wh_str_from("a b");
  wh_tokenizer *t = golden_create(&spec);
  wh_text_buffer out;
  wh_detokenizer d;
  wh_text_buffer_init(&out, NULL);
  wh_detokenizer_init(&d, t, true, true);
  assert_int_equal(wh_detokenizer_push(&d, N_SMALL, &out), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_detokenizer_push(&d, -1, &out), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_tokenizer_append_bytes(t, -1, &out), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_tokenizer_token(t, -1).len, 0);
  assert_int_equal(wh_tokenizer_token(t, N_SMALL).len, 0);
  assert_int_equal(wh_tokenizer_find(t, wh_str_from("nonesuch")), -1);
  assert_int_equal(wh_tokenizer_find(t, wh_str_from("")), -1);
  wh_text_buffer_deinit(&out);
  wh_tokenizer_destroy(t);
  wh_tokenizer_destroy(NULL);
}

/* A duplicate text keeps its first id; an empty text is never found. */
static void odd_vocabularies(void **state) {
  (void)state;
  wh_str tokens[N_SMALL], merges[2];
  wh_tokenizer_spec spec = small_spec(tokens, merges);
  tokens[2] = wh_str_from("a");
  tokens[6] = wh_str_from("");
  wh_tokenizer *t = golden_create(&spec);
  assert_int_equal(wh_tokenizer_find(t, wh_str_from("a")), 0);
  golden_expect_encoding("duplicate", t, 0, wh_str_from("aab"), "0 7");
  wh_tokenizer_destroy(t);
}

static void the_byte_alphabet_is_a_bijection(void **state) {
  (void)state;
  for (unsigned i = 0; i < 256; i++) assert_int_equal(wh_char_to_byte(wh_byte_to_char((unsigned char)i)), i);
  size_t n = 0;
  for (uint32_t cp = 0; cp < 0x200; cp++) n += wh_char_to_byte(cp) >= 0;
  assert_int_equal(n, 256);
  assert_int_equal(wh_byte_to_char(' '), 0x120);
  assert_int_equal(wh_byte_to_char('\n'), 0x10a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_bytes_survive),
      cmocka_unit_test(ill_formed_text_is_replaced_by_maximal_subparts),
      cmocka_unit_test(streaming_never_splits_a_character),
      cmocka_unit_test(control_tokens_need_asking),
      cmocka_unit_test(special_tokens_match_longest_first),
      cmocka_unit_test(bos_and_eos_follow_the_file),
      cmocka_unit_test(end_tokens_are_known_by_id_and_by_text),
      cmocka_unit_test(spaces_of_sentencepiece),
      cmocka_unit_test(errors_say_what_is_wrong),
      cmocka_unit_test(odd_vocabularies),
      cmocka_unit_test(the_byte_alphabet_is_a_bijection),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
