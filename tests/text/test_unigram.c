/* test_unigram.c - unigram tokenizers: the ids of sentencepiece (what GGUF's "t5" is) and of Hugging Face's
 * tokenizers (tokenizer.json), and vocabularies and charsmaps that lie. make_tokenizer_goldens.py wrote the
 * goldens. */
#include <math.h>

#include "tests/base/failing_allocator.h"
#include "tests/text/tokenizer_golden.h"
#include "text/tokenizer_file.h"

static int hex_digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

static wh_str from_hex(wh_str hex, char *out) {
  for (size_t i = 0; i + 1 < hex.len; i += 2)
    out[i / 2] = (char)(hex_digit(hex.data[i]) * 16 + hex_digit(hex.data[i + 1]));
  return (wh_str){out, hex.len / 2};
}

/* The bytes of a base64 text, which has no errors. */
static wh_str from_base64(const char *text) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  char *out = malloc(strlen(text) + 1);
  uint32_t bits = 0;
  size_t n = 0, n_bits = 0;
  assert_non_null(out);
  for (const char *at; *text && (at = strchr(digits, *text)); text++) {
    bits = bits << 6 | (uint32_t)(at - digits);
    if ((n_bits += 6) < 8) continue;
    out[n++] = (char)(bits >> (n_bits -= 8));
  }
  return (wh_str){out, n};
}

/* A case of tokenizer_unigram.json; spec->charsmap is to be freed. */
static golden_vocab load_case(const json_t *c, wh_tokenizer_spec *spec) {
  golden_vocab v = golden_vocab_load(c, spec);
  spec->model = wh_str_from("t5");
  spec->unknown_id = 0;
  spec->add_eos = 0;
  spec->byte_fallback = json_is_true(json_object_get(c, "byte_fallback"));
  spec->add_space_prefix = json_is_true(json_object_get(c, "add_space_prefix"));
  spec->remove_extra_whitespaces = json_is_true(json_object_get(c, "remove_extra_whitespaces"));
  spec->charsmap = from_base64(json_string_value(json_object_get(c, "charsmap")));
  return v;
}

static void sentencepiece_gives_the_same_ids(void **state) {
  (void)state;
  json_t *root = golden_load("tokenizer_unigram.json"), *bad = json_object_get(root, "bad_texts"), *c;
  size_t i;
  json_array_foreach(json_object_get(root, "cases"), i, c) {
    wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
    golden_vocab vocab = load_case(c, &spec);
    wh_tokenizer *t = golden_create(&spec);
    free((void *)(uintptr_t)spec.charsmap.data); /* it is copied */
    golden_check_case("unigram", c, t, NULL);
    for (size_t k = 0; k < json_array_size(bad); k++) {
      char bytes[64];
      golden_expect_encoding("bad bytes", t, 0, from_hex(golden_item(bad, k), bytes),
                             golden_item(json_object_get(c, "bad_ids"), k).data);
    }
    wh_tokenizer_destroy(t);
    golden_vocab_free(&vocab);
  }
  json_decref(root);
}

static wh_tokenizer_json *read_json(const json_t *document) {
  wh_tokenizer_json *t = NULL;
  char *text = json_dumps(document, 0);
  assert_non_null(text);
  if (wh_tokenizer_json_read("test", wh_str_from(text), NULL, &t) != WH_OK)
    fail_msg("%s", wh_last_error()->message);
  free(text);
  return t;
}

static void expect_ids(const char *what, const wh_tokenizer_json *t, wh_str text, const char *expected) {
  wh_token_list list;
  wh_token_list_init(&list, NULL);
  const uint32_t flags = WH_TOKENIZE_ADD_SPECIAL | WH_TOKENIZE_PARSE_SPECIAL;
  if (wh_tokenizer_json_encode(t, text, flags, 0, &list) != WH_OK) fail_msg("%s", wh_last_error()->message);
  golden_expect_ids(what, text, expected, list.ids, list.n);
  wh_token_list_deinit(&list);
}

static void tokenizers_gives_the_same_ids(void **state) {
  (void)state;
  json_t *root = golden_load("tokenizer_unigram_json.json"), *texts = json_object_get(root, "texts"), *rule;
  json_t *document = json_object_get(root, "document");
  const char *name;
  size_t n_rules = 0;
  json_object_foreach(json_object_get(root, "rules"), name, rule) {
    assert_int_equal(json_object_update(document, rule), 0);
    wh_tokenizer_json *t = read_json(document);
    for (size_t i = 0; i < json_array_size(texts); i++)
      expect_ids(name, t, golden_item(texts, i),
                 golden_item(json_object_get(json_object_get(root, "ids"), name), i).data);
    wh_tokenizer_json_destroy(t);
    n_rules++;
  }
  assert_true(n_rules >= 9);
  json_decref(root);
}

/* ---- small documents ---- */

/* With ' for quotes. */
static json_t *document(const char *model, const char *normalizer, const char *pre) {
  char text[4096];
  json_error_t e;
  (void)snprintf(text, sizeof text, "{'model':%s,'normalizer':%s,'pre_tokenizer':%s,'added_tokens':[]}",
                 model, normalizer, pre);
  for (char *p = text; *p; p++)
    if (*p == '\'') *p = '"';
  json_t *d = json_loads(text, 0, &e);
  if (!d) fail_msg("%s: %s", text, e.text);
  return d;
}

#define SMALL "{'type':'Unigram','unk_id':0,'vocab':[['?',0],['a',-1],['b',-2],['ab',-2.5],['ab',-4]]}"

static void small_vocabularies(void **state) {
  (void)state;
  static const struct {
    const char *model, *normalizer, *pre, *text, *ids;
  } cases[] = {
      {SMALL, "null", "null", "ab", "1 2"},     /* the later of equal pieces counts: -4 < -1 - 2 */
      {SMALL, "null", "null", "xyab", "0 1 2"}, /* one token for a run of unknown characters */
      {SMALL, "null", "null", "x\xff\xff", "0"},
      {SMALL, "null", "{'type':'WhitespaceSplit'}",
       "x x\xe3\x80\x80"
       "b",
       "0 0 2"},
      {SMALL, "{'type':'Replace','pattern':{'String':'x'},'content':'ab'}", "null", "xx", "1 2 1 2"},
      {SMALL,
       "{'type':'Sequence','normalizers':["
       "{'type':'Replace','pattern':{'String':'x'},'content':'abababab'},"
       "{'type':'Replace','pattern':{'String':'bababab'},'content':'b'}]}",
       "null", "x", "1 2"},
      {SMALL, "{'type':'Lowercase'}", "null", "AB", "1 2"},
      {SMALL, "{'type':'StripAccents'}", "null", "a\xcc\x81", "1"},
      {"{'type':'Unigram','vocab':[['a',-1],['b',-2]]}", "null", "null", "ba", "1 0"},
      {"{'vocab':[['a',-1],['b',-2]]}", "null", "null", "ba", "1 0"}, /* old files name no type */
      {"{'type':'Unigram','unk_id':1,'byte_fallback':true,'vocab':[['a',-1],['?',0],['<0xC3>',-9],['<0xA9>',-"
       "9]]}",
       "null", "null", "\xc3\xa9xa", "1 0"}, /* not all bytes of the run have a token */
      {"{'type':'Unigram','unk_id':1,'byte_fallback':true,'vocab':[['a',-1],['?',0],['<0xC3>',-9],['<0xA9>',-"
       "9]]}",
       "null", "null",
       "\xc3\xa9\xc3\xa9"
       "a",
       "2 3 2 3 0"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    json_t *d = document(cases[i].model, cases[i].normalizer, cases[i].pre);
    wh_tokenizer_json *t = read_json(d);
    expect_ids(cases[i].text, t, wh_str_from(cases[i].text), cases[i].ids);
    wh_tokenizer_json_destroy(t);
    json_decref(d);
  }
}

static void what_is_not_done_or_wrong_is_said(void **state) {
  (void)state;
  static const struct {
    const char *model, *normalizer, *pre;
    wh_status status;
    const char *part;
  } cases[] = {
      {"{'type':'Unigram','vocab':[]}", "null", "null", WH_ERR_CORRUPT, "vocabulary is empty"},
      {"{'type':'Unigram'}", "null", "null", WH_ERR_CORRUPT, "no vocab"},
      {"{'type':'Unigram','vocab':{'a':0}}", "null", "null", WH_ERR_CORRUPT, "no vocab"},
      {"{'type':'Unigram','vocab':[['a']]}", "null", "null", WH_ERR_CORRUPT, "no text with a score"},
      {"{'type':'Unigram','vocab':[['a',null]]}", "null", "null", WH_ERR_CORRUPT, "no text with a score"},
      {"{'type':'Unigram','vocab':['a']}", "null", "null", WH_ERR_CORRUPT, "no text with a score"},
      {"{'type':'Unigram','unk_id':1,'vocab':[['a',0]]}", "null", "null", WH_ERR_CORRUPT, "unk_id"},
      {"{'type':'Unigram','unk_id':-1,'vocab':[['a',0]]}", "null", "null", WH_ERR_CORRUPT, "unk_id"},
      {SMALL, "{'type':'Precompiled'}", "null", WH_ERR_CORRUPT, "charsmap is empty"},
      {SMALL, "{'type':'Precompiled','precompiled_charsmap':'?'}", "null", WH_ERR_CORRUPT, "not base64"},
      {SMALL, "{'type':'Precompiled','precompiled_charsmap':'AAAAAA=='}", "null", WH_ERR_CORRUPT,
       "truncated"},
      {SMALL, "{'type':'Precompiled','precompiled_charsmap':'/wAAAAAA'}", "null", WH_ERR_CORRUPT,
       "truncated"},
      {SMALL, "{'type':'Replace','pattern':{'Regex':'a+'},'content':''}", "null", WH_ERR_UNSUPPORTED,
       "'a+' is not done"},
      {SMALL, "{'type':'Replace','pattern':{'String':''},'content':'x'}", "null", WH_ERR_CORRUPT,
       "replaces nothing"},
      {SMALL,
       "{'type':'Sequence','normalizers':["
       "{'type':'Replace','pattern':{'String':'a'},'content':'aaaaaaaaaaaaaaaa'},"
       "{'type':'Replace','pattern':{'String':'aa'},'content':'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'}]}",
       "null", WH_ERR_UNSUPPORTED, "replacements grow"},
      {SMALL, "{'type':'BertNormalizer'}", "null", WH_ERR_UNSUPPORTED, "normalizer 'BertNormalizer'"},
      {SMALL, "null", "{'type':'Digits'}", WH_ERR_UNSUPPORTED, "pre_tokenizer 'Digits'"},
      {SMALL, "null", "{'type':'Metaspace','replacement':''}", WH_ERR_CORRUPT, "no character for spaces"},
      {SMALL, "{'type':'Sequence','normalizers':[{'type':'Sequence','normalizers':[]}]}", "null",
       WH_ERR_UNSUPPORTED, "'Sequence'"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    json_t *d = document(cases[i].model, cases[i].normalizer, cases[i].pre);
    char *text = json_dumps(d, 0);
    wh_tokenizer_json *t = NULL;
    const wh_status status = wh_tokenizer_json_read("a.json", wh_str_from(text), NULL, &t);
    if (status != cases[i].status || !strstr(wh_last_error()->message, cases[i].part))
      fail_msg("%zu: status %d, '%s' lacks '%s'", i, (int)status, wh_last_error()->message, cases[i].part);
    assert_null(t);
    free(text);
    json_decref(d);
  }
}

static void a_character_without_a_token_is_an_error(void **state) {
  (void)state;
  json_t *d = document("{'type':'Unigram','vocab':[['a',-1]]}", "null", "null");
  wh_tokenizer_json *t = read_json(d);
  wh_token_list list;
  wh_token_list_init(&list, NULL);
  assert_int_equal(wh_tokenizer_json_encode(t, wh_str_from("a\xc3\xa9"), 0, 0, &list), WH_ERR_UNSUPPORTED);
  assert_non_null(strstr(wh_last_error()->message, "'\xc3\xa9' is no piece of the vocabulary"));
  wh_token_list_deinit(&list);
  wh_tokenizer_json_destroy(t);
  json_decref(d);
}

/* ---- what GGUF files may say ---- */

static wh_status try_spec(const wh_tokenizer_spec *spec) {
  wh_tokenizer *t = NULL;
  const wh_status status = wh_tokenizer_create(spec, NULL, &t);
  wh_tokenizer_destroy(t);
  return status;
}

static void scores_must_be_numbers(void **state) {
  (void)state;
  const wh_str tokens[] = {{"?", 1}, {"a", 1}, {"ab", 2}};
  double scores[] = {0, -1, -2};
  wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
  spec.model = wh_str_from("t5");
  spec.n_tokens = 3;
  spec.tokens = tokens;
  spec.unknown_id = 0;
  assert_int_equal(try_spec(&spec), WH_ERR_CORRUPT);
  assert_non_null(strstr(wh_last_error()->message, "needs the scores"));
  spec.scores = scores;
  assert_int_equal(try_spec(&spec), WH_OK);
  const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
  for (size_t i = 0; i < 3; i++) {
    scores[2] = bad[i];
    assert_int_equal(try_spec(&spec), WH_ERR_CORRUPT);
    assert_non_null(strstr(wh_last_error()->message, "the score of token 2"));
  }
}

/* Every truncation, and many changed bytes: an error, or a tokenizer that takes every text. */
static void charsmaps_that_lie(void **state) {
  (void)state;
  json_t *root = golden_load("tokenizer_unigram.json");
  wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
  golden_vocab vocab = load_case(json_array_get(json_object_get(root, "cases"), 0), &spec);
  const wh_str good = spec.charsmap;
  uint32_t seed = 1;
  size_t n_bad = 0;
  for (size_t i = 0; i < 1200; i++) {
    char *bytes = malloc(good.len);
    assert_non_null(bytes);
    memcpy(bytes, good.data, good.len);
    spec.charsmap = (wh_str){bytes, good.len};
    if (i < 400) spec.charsmap.len = 1 + i * good.len / 400;
    for (size_t k = 0; i >= 400 && k < 8; k++) {
      seed = seed * 1664525u + 1013904223u;
      bytes[4 + (seed >> 8) % (good.len - 4)] = (char)(seed >> 24);
    }
    wh_tokenizer *t = NULL;
    if (wh_tokenizer_create(&spec, NULL, &t) == WH_OK) {
      wh_token_list list;
      wh_token_list_init(&list, NULL);
      assert_int_equal(
          wh_tokenizer_encode(t, wh_str_from("\xef\xbc\xa1\xef\xac\x81 e\xcc\x81 A\xcc\x8a\xcc\x81\t\xff x"),
                              0, &list),
          WH_OK);
      wh_token_list_deinit(&list);
    } else {
      assert_int_equal(wh_last_error()->status, WH_ERR_CORRUPT);
      n_bad++;
    }
    wh_tokenizer_destroy(t);
    free(bytes);
  }
  assert_true(n_bad >= 50);
  free((void *)(uintptr_t)good.data);
  golden_vocab_free(&vocab);
  json_decref(root);
}

/* Reading and encoding with every n-th allocation failing in turn. */
static void running_out_of_memory_is_an_error(void **state) {
  (void)state;
  json_t *d = document(SMALL, "{'type':'Sequence','normalizers':[{'type':'NFKC'},{'type':'Lowercase'}]}",
                       "{'type':'Metaspace','replacement':'_'}");
  char *text = json_dumps(d, 0);
  size_t n_failures = 0;
  for (size_t n = 1;; n++) {
    failing_allocator fa;
    const wh_allocator *alloc = failing_allocator_init(&fa, n);
    wh_tokenizer_json *t = NULL;
    wh_token_list list;
    wh_token_list_init(&list, alloc);
    wh_status status = wh_tokenizer_json_read("test", wh_str_from(text), alloc, &t);
    if (status == WH_OK)
      status = wh_tokenizer_json_encode(t,
                                        wh_str_from("\xef\xbc\xa1"
                                                    "b ab"),
                                        0, 0, &list);
    wh_token_list_deinit(&list);
    wh_tokenizer_json_destroy(t);
    assert_int_equal(fa.n_live, 0);
    if (status != WH_OK) {
      assert_int_equal(status, WH_ERR_OUT_OF_MEMORY);
      n_failures++;
    }
    if (fa.n_requests < n) break;
  }
  assert_true(n_failures >= 8);
  free(text);
  json_decref(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sentencepiece_gives_the_same_ids),
      cmocka_unit_test(tokenizers_gives_the_same_ids),
      cmocka_unit_test(small_vocabularies),
      cmocka_unit_test(what_is_not_done_or_wrong_is_said),
      cmocka_unit_test(a_character_without_a_token_is_an_error),
      cmocka_unit_test(scores_must_be_numbers),
      cmocka_unit_test(charsmaps_that_lie),
      cmocka_unit_test(running_out_of_memory_is_an_error),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
