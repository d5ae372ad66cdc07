/* test_tokenizer_goldens.c - the same ids and the same text as independent tokenizers; see
 * make_tokenizer_goldens.py for what those are. */
#include "tests/text/tokenizer_golden.h"
#include "text/pretokenizer.h"

typedef struct piece_lengths {
  int32_t lengths[4096];
  size_t n;
} piece_lengths;

static wh_status note_length(void *ctx, const char *piece, size_t n) {
  piece_lengths *p = ctx;
  (void)piece;
  assert_true(p->n < sizeof p->lengths / sizeof p->lengths[0]);
  p->lengths[p->n++] = (int32_t)n;
  return WH_OK;
}

static void patterns_cut_where_the_reference_does(void **state) {
  (void)state;
  json_t *root = golden_load("tokenizer_pretokens.json"), *texts = json_object_get(root, "texts");
  const char *name;
  json_t *expected;
  json_object_foreach(json_object_get(root, "rules"), name, expected) {
    const wh_pre_rule *rule = wh_pre_rule_find(wh_str_from(name));
    if (!rule) fail_msg("no rule named %s", name);
    wh_pretokenizer *p;
    wh_pre_scratch *scratch;
    if (wh_pretokenizer_create(rule, NULL, &p) != WH_OK) fail_msg("%s: %s", name, wh_last_error()->message);
    assert_int_equal(wh_pre_scratch_create(p, &scratch), WH_OK);
    for (size_t i = 0; i < json_array_size(texts); i++) {
      piece_lengths got = {.n = 0};
      wh_str text = golden_item(texts, i);
      assert_int_equal(wh_pretokenizer_split(p, scratch, text, note_length, &got), WH_OK);
      golden_expect_ids(name, text, golden_item(expected, i).data, got.lengths, got.n);
    }
    wh_pre_scratch_destroy(scratch);
    wh_pretokenizer_destroy(p);
  }
  json_decref(root);
}

static void byte_level_bpe(void **state) {
  (void)state;
  json_t *root = golden_load("tokenizer_bpe.json"), *texts = json_object_get(root, "texts"), *expected;
  wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
  golden_vocab vocab = golden_vocab_load(root, &spec);
  const char *name;
  spec.model = wh_str_from("gpt2");
  json_object_foreach(json_object_get(root, "ids"), name, expected) {
    spec.pre = wh_str_from(name);
    wh_tokenizer *t = golden_create(&spec);
    for (size_t i = 0; i < json_array_size(texts); i++)
      golden_expect_encoding(name, t, WH_TOKENIZE_PARSE_SPECIAL, golden_item(texts, i),
                             golden_item(expected, i).data);
    wh_tokenizer_destroy(t);
  }
  golden_vocab_free(&vocab);
  json_decref(root);
}

static int choice(const json_t *o, const char *key) { return json_is_true(json_object_get(o, key)); }

static void sentencepiece_bpe(void **state) {
  (void)state;
  json_t *root = golden_load("tokenizer_sentencepiece.json"), *c;
  size_t i;
  json_array_foreach(json_object_get(root, "cases"), i, c) {
    wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
    golden_vocab vocab = golden_vocab_load(c, &spec);
    char what[64];
    (void)snprintf(what, sizeof what, "sentencepiece case %zu", i);
    spec.model = wh_str_from("llama");
    spec.unknown_id = 0;
    spec.add_space_prefix = choice(c, "add_space_prefix");
    spec.remove_extra_whitespaces = choice(c, "remove_extra_whitespaces");
    wh_tokenizer *t = golden_create(&spec);
    golden_check_case(what, c, t, NULL);
    wh_tokenizer_destroy(t);
    golden_vocab_free(&vocab);
  }
  json_decref(root);
}

static void bpe_with_spaces(void **state) {
  (void)state;
  json_t *root = golden_load("tokenizer_bpe_spaces.json");
  wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
  golden_vocab vocab = golden_vocab_load(root, &spec);
  spec.model = wh_str_from("gemma4");
  spec.unknown_id = 0;
  wh_tokenizer *t = golden_create(&spec);
  golden_check_case("BPE with spaces", root, t, NULL);
  wh_tokenizer_destroy(t);
  golden_vocab_free(&vocab);
  json_decref(root);
}

/* The same vocabulary as a GGUF converter writes it: U+2581 before what begins a word, no "##". */
static char *to_gguf_text(wh_str token, int64_t type) {
  char *out = calloc(token.len + 4, 1);
  assert_non_null(out);
  if (type != WH_TOKEN_NORMAL)
    memcpy(out, token.data, token.len);
  else if (token.len > 2 && memcmp(token.data, "##", 2) == 0)
    memcpy(out, token.data + 2, token.len - 2);
  else
    (void)snprintf(out, token.len + 4, "\xe2\x96\x81%s", token.data);
  return out;
}

static void wordpiece(void **state) {
  (void)state;
  json_t *root = golden_load("tokenizer_wordpiece.json"), *c;
  size_t i;
  json_array_foreach(json_object_get(root, "cases"), i, c) {
    wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
    golden_vocab vocab = golden_vocab_load(c, &spec);
    char what[64];
    (void)snprintf(what, sizeof what, "wordpiece case %zu", i);
    spec.model = wh_str_from("bert");
    spec.unknown_id = 1;
    spec.lowercase = choice(c, "lowercase");
    spec.strip_accents = choice(c, "strip_accents");
    wh_tokenizer *t = golden_create(&spec);
    golden_check_case(what, c, t, NULL);
    wh_tokenizer_destroy(t);
    for (size_t k = 0; k < spec.n_tokens; k++)
      vocab.tokens[k] = wh_str_from(to_gguf_text(vocab.tokens[k], vocab.types[k]));
    t = golden_create(&spec);
    /* This form cannot tell "x" at the start of a word from U+2581 "x" inside one. */
    golden_check_case(what, c, t, "\xe2\x96\x81");
    wh_tokenizer_destroy(t);
    for (size_t k = 0; k < spec.n_tokens; k++) free((void *)(uintptr_t)vocab.tokens[k].data);
    golden_vocab_free(&vocab);
  }
  json_decref(root);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(patterns_cut_where_the_reference_does),
                                     cmocka_unit_test(byte_level_bpe), cmocka_unit_test(sentencepiece_bpe),
                                     cmocka_unit_test(bpe_with_spaces), cmocka_unit_test(wordpiece)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
