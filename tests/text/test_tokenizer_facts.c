/* test_tokenizer_facts.c - each entry of tokenizer_facts.c, as its source has it, and what a tokenizer does
 * by it; BOS, EOS and control tokens of raw text. */
#include "tests/text/tokenizer_golden.h"
#include "text/unicode.h"

enum { N_BYTES = 256, N_MOST = N_BYTES + 64 };

/* A vocabulary of bytes, e-acute and `words`; in SentencePiece's form, or byte-level BPE's with one merge. */
typedef struct vocabulary {
  wh_tokenizer_spec spec;
  wh_str tokens[N_MOST], merge;
  int64_t types[N_MOST];
  char bytes[N_BYTES][8], acute[16], merge_text[24];
} vocabulary;

#define E_ACUTE N_BYTES
#define FIRST_WORD (N_BYTES + 1)

static vocabulary *vocabulary_new(const char *architecture, const char *model, const char *pre,
                                  const char *const *words, int type) {
  vocabulary *v = calloc(1, sizeof *v);
  assert_non_null(v);
  bool bpe = strcmp(model, "gpt2") == 0;
  for (unsigned i = 0; i < N_BYTES; i++) {
    if (bpe)
      v->tokens[i].len = wh_utf8_encode(wh_byte_to_char((unsigned char)i), v->bytes[i]);
    else
      v->tokens[i].len = (size_t)snprintf(v->bytes[i], sizeof v->bytes[i], "<0x%02X>", i);
    v->tokens[i].data = v->bytes[i];
    v->types[i] = bpe ? WH_TOKEN_NORMAL : WH_TOKEN_BYTE;
  }
  (void)snprintf(v->acute, sizeof v->acute, "%s%s", v->bytes[0xc3], v->bytes[0xa9]);
  (void)snprintf(v->merge_text, sizeof v->merge_text, "%s %s", v->bytes[0xc3], v->bytes[0xa9]);
  v->tokens[E_ACUTE] = wh_str_from(bpe ? v->acute : "\xc3\xa9");
  v->types[E_ACUTE] = WH_TOKEN_NORMAL;
  size_t n = FIRST_WORD;
  for (; words && words[n - FIRST_WORD]; n++) {
    v->tokens[n] = wh_str_from(words[n - FIRST_WORD]);
    v->types[n] = type;
  }
  v->merge = wh_str_from(v->merge_text);
  v->spec = (wh_tokenizer_spec)WH_TOKENIZER_SPEC_INIT;
  v->spec.architecture = wh_str_from(architecture);
  v->spec.model = wh_str_from(model);
  v->spec.pre = wh_str_from(pre);
  v->spec.n_tokens = n;
  v->spec.tokens = v->tokens;
  v->spec.token_types = v->types;
  v->spec.n_merges = 1;
  v->spec.merges = &v->merge;
  return v;
}

static wh_token_list encode(const wh_tokenizer *t, wh_str text, uint32_t flags) {
  wh_token_list list;
  wh_token_list_init(&list, NULL);
  assert_int_equal(wh_tokenizer_encode(t, text, flags, &list), WH_OK);
  return list;
}

static bool same_ids(const wh_tokenizer *t, const char *a, const char *b, uint32_t flags) {
  wh_token_list x = encode(t, wh_str_from(a), flags), y = encode(t, wh_str_from(b), flags);
  bool same = x.n == y.n && (x.n == 0 || memcmp(x.ids, y.ids, x.n * sizeof *x.ids) == 0);
  wh_token_list_deinit(&x);
  wh_token_list_deinit(&y);
  return same;
}

/* ---- white space ---- */

enum { NONE, LEFT, RIGHT, BOTH };

static const struct {
  const char *architecture, *model, *pre;
  const struct {
    const char *text;
    int sides;
  } tokens[12];
} strips[] = {
    /* microsoft/Phi-3-mini-4k-instruct, Phi-3-medium-4k-instruct: tokenizer_config.json */
    {"phi3",
     "llama",
     "default",
     {{"<unk>", NONE},
      {"<s>", NONE},
      {"</s>", RIGHT},
      {"<|endoftext|>", NONE},
      {"<|assistant|>", RIGHT},
      {"<|placeholder1|>", RIGHT},
      {"<|system|>", RIGHT},
      {"<|end|>", RIGHT},
      {"<|user|>", RIGHT}}},
    /* microsoft/Phi-4-mini-instruct: tokenizer_config.json */
    {"phi3",
     "gpt2",
     "gpt-4o",
     {{"<|endoftext|>", NONE},
      {"<|endofprompt|>", NONE},
      {"<|assistant|>", RIGHT},
      {"<|end|>", RIGHT},
      {"<|user|>", RIGHT},
      {"<|system|>", RIGHT},
      {"<|tool|>", RIGHT},
      {"<|/tool|>", RIGHT},
      {"<|tool_call|>", RIGHT},
      {"<|/tool_call|>", RIGHT},
      {"<|tool_response|>", RIGHT},
      {"<|tag|>", RIGHT}}},
    /* microsoft/phi-4: tokenizer_config.json */
    {"phi3",
     "gpt2",
     "dbrx",
     {{"<|endoftext|>", BOTH},
      {"<|im_start|>", BOTH},
      {"<|im_end|>", BOTH},
      {"<|im_sep|>", BOTH},
      {"<|fim_prefix|>", BOTH},
      {"<|dummy_0|>", BOTH}}},
    {"roberta", "gpt2", "roberta-bpe", {{"<mask>", LEFT}, {"<s>", NONE}}},
    {"jina-bert-v2", "gpt2", "jina-v2-de", {{"<mask>", LEFT}, {"<s>", NONE}}},
    {"jina-bert-v2", "gpt2", "jina-v2-es", {{"<mask>", LEFT}}},
    {"jina-bert-v2", "gpt2", "jina-v2-code", {{"<mask>", LEFT}}},
    {"modern-bert", "gpt2", "modern-bert", {{"[MASK]", LEFT}, {"[CLS]", NONE}}},
    /* and none of it elsewhere */
    {"llama", "llama", "default", {{"<|user|>", NONE}, {"<|end|>", NONE}}},
    {"olmo2", "gpt2", "dbrx", {{"<|im_start|>", NONE}, {"<|endoftext|>", NONE}}},
    {"qwen2", "gpt2", "qwen2", {{"<|im_start|>", NONE}, {"<|im_end|>", NONE}}},
};

static void white_space_of_special_tokens(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof strips / sizeof strips[0]; i++) {
    const char *words[13] = {NULL};
    for (size_t k = 0; k < 12; k++) words[k] = strips[i].tokens[k].text;
    vocabulary *v =
        vocabulary_new(strips[i].architecture, strips[i].model, strips[i].pre, words, WH_TOKEN_CONTROL);
    wh_tokenizer *t = golden_create(&v->spec);
    for (size_t k = 0; k < 12 && words[k]; k++) {
      static const char left[] = "a \xe2\x80\x83\n", right[] = "\n\xc2\xa0 b";
      int sides = strips[i].tokens[k].sides;
      char text[64], bare[64];
      (void)snprintf(text, sizeof text, "%s%s%s", left, words[k], right);
      for (int stripped = 0; stripped < 4; stripped++) {
        (void)snprintf(bare, sizeof bare, "%s%s%s", stripped & LEFT ? "a" : left, words[k],
                       stripped & RIGHT ? "b" : right);
        if (same_ids(t, text, bare, WH_TOKENIZE_PARSE_SPECIAL) != ((stripped & ~sides) == 0))
          fail_msg("%s %s: white space %d of %s", strips[i].architecture, strips[i].pre, stripped, words[k]);
      }
      /* Text that holds the token's text keeps its white space. */
      assert_false(same_ids(t, text, bare, 0));
    }
    wh_tokenizer_destroy(t);
    free(v);
  }
}

/* White space goes to the token that claims it, up to the next token and the ends of the text. */
static void white_space_between_special_tokens(void **state) {
  (void)state;
  static const char *const words[] = {"<|user|>", "<|end|>", "<s>", NULL};
  vocabulary *v = vocabulary_new("phi3", "llama", "default", words, WH_TOKEN_CONTROL);
  v->spec.add_space_prefix = 0;
  wh_tokenizer *t = golden_create(&v->spec);
  golden_expect_encoding("phi3", t, WH_TOKENIZE_PARSE_SPECIAL, wh_str_from("<|user|>\n<|end|> \n"),
                         "257 258");
  golden_expect_encoding("phi3", t, WH_TOKENIZE_PARSE_SPECIAL, wh_str_from("\n<|user|>"), "10 257");
  golden_expect_encoding("phi3", t, WH_TOKENIZE_PARSE_SPECIAL, wh_str_from("<s>\n<|end|>\n\xff\n"),
                         "259 10 258 255 10");
  wh_tokenizer_destroy(t);
  free(v);
}

/* ---- NFC ---- */

static void text_is_normalised_for_some(void **state) {
  (void)state;
  static const struct {
    const char *pre;
    bool nfc;
  } cases[] = {{"qwen2", true},      {"deepseek-r1-qwen", true},
               {"qwen35", true},     {"command-r", true},
               {"mpt", true},        {"olmo", true},
               {"llama-bpe", false}, {"gpt-2", false},
               {"smollm", false},    {"gpt-4o", false},
               {"tekken", false},    {"deepseek-v3", false},
               {"stablelm2", false}, {"default", false},
               {"refact", false}};
  static const char *const words[] = {"<e\xcc\x81>", NULL};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    vocabulary *v = vocabulary_new("llama", "gpt2", cases[i].pre, words, WH_TOKEN_CONTROL);
    v->spec.add_bos = 0;
    wh_tokenizer *t = golden_create(&v->spec);
    golden_expect_encoding(cases[i].pre, t, 0, wh_str_from("\xc3\xa9"), "256");
    golden_expect_encoding(cases[i].pre, t, 0, wh_str_from("e\xcc\x81"),
                           cases[i].nfc ? "256" : "101 204 129");
    /* Special tokens are found before that. */
    golden_expect_encoding(cases[i].pre, t, WH_TOKENIZE_PARSE_SPECIAL, wh_str_from("<e\xcc\x81>"), "257");
    wh_tokenizer_destroy(t);
    free(v);
  }
  vocabulary *v =
      vocabulary_new("llama", "llama", "qwen2", NULL, 0); /* the name means something to BPE only */
  v->spec.add_bos = v->spec.add_space_prefix = 0;
  wh_tokenizer *t = golden_create(&v->spec);
  golden_expect_encoding("SentencePiece", t, 0, wh_str_from("e\xcc\x81"), "101 204 129");
  wh_tokenizer_destroy(t);
  free(v);
}

/* ---- control tokens and ends ---- */

#define DEEPSEEK_END "<\xef\xbd\x9c\x65nd\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>"

static void control_tokens_typed_as_words(void **state) {
  (void)state;
  static const char *const words[] = {
      "<|im_start|>",      "<|im_end|>",     "<|im_sep|>",         "<|eot_id|>",        "<|eom_id|>",
      "<|end|>",           "<|endoftext|>",  "<|end_of_text|>",    "<|begin_of_text|>", "<|start_header_id|>",
      "<|end_header_id|>", "<|user|>",       "<|assistant|>",      "<|system|>",        "<start_of_turn>",
      "<end_of_turn>",     "<|fim_prefix|>", "<|fim_middle|>",     "<|fim_suffix|>",    "<|fim_pad|>",
      "<|repo_name|>",     "<|file_sep|>",   "<end_of_utterance>", DEEPSEEK_END,        NULL};
  static const char *const others[] = {"</s>", "<|mine|>", "<s>", NULL};
  for (int typed = 0; typed < 2; typed++) {
    vocabulary *v = vocabulary_new("llama", "gpt2", "gpt-2", words, WH_TOKEN_NORMAL);
    if (!typed) v->spec.token_types = NULL;
    wh_tokenizer *t = golden_create(&v->spec);
    for (int32_t i = 0; words[i]; i++) {
      if (wh_tokenizer_token_type(t, FIRST_WORD + i) != WH_TOKEN_CONTROL) fail_msg("%s is a word", words[i]);
      wh_token_list list = encode(t, wh_str_from(words[i]), WH_TOKENIZE_PARSE_SPECIAL);
      assert_int_equal(list.n, 1);
      assert_int_equal(list.ids[0], FIRST_WORD + i);
      wh_token_list_deinit(&list);
    }
    assert_int_equal(wh_tokenizer_token_type(t, 'a'), WH_TOKEN_NORMAL);
    assert_true(wh_tokenizer_is_end(t, FIRST_WORD + 1));
    wh_tokenizer_destroy(t);
    free(v);
  }
  vocabulary *v = vocabulary_new("llama", "gpt2", "gpt-2", others, WH_TOKEN_NORMAL);
  wh_tokenizer *t = golden_create(&v->spec);
  for (int32_t i = 0; others[i]; i++) {
    assert_int_equal(wh_tokenizer_token_type(t, FIRST_WORD + i), WH_TOKEN_NORMAL);
    assert_false(wh_tokenizer_is_end(t, FIRST_WORD + i));
  }
  wh_tokenizer_destroy(t);
  free(v);
  /* User-defined stays: it is shown. */
  v = vocabulary_new("llama", "gpt2", "gpt-2", words, WH_TOKEN_USER_DEFINED);
  t = golden_create(&v->spec);
  assert_int_equal(wh_tokenizer_token_type(t, FIRST_WORD), WH_TOKEN_USER_DEFINED);
  wh_tokenizer_destroy(t);
  free(v);
}

static void ends_by_text(void **state) {
  (void)state;
  static const struct {
    const char *words[4]; /* the first is asked about */
    bool end;
  } cases[] = {
      {{"<|im_end|>"}, true},
      {{"<|eot_id|>"}, true},
      {{"<|eom_id|>"}, true},
      {{"<|end|>"}, true},
      {{"<|endoftext|>"}, true},
      {{"<|end_of_text|>"}, true},
      {{"<end_of_turn>"}, true},
      {{"</s>"}, true},
      {{"<eos>"}, true},
      {{"<|return|>"}, true},
      {{"<|call|>"}, true},
      {{"<|calls|>"}, true},
      {{"<|flush|>"}, true},
      {{"<EOT>"}, true},
      {{"_<EOT>"}, true},
      {{"[EOT]"}, true},
      {{"[EOS]"}, true},
      {{"<end_of_utterance>"}, true},
      {{"<turn|>"}, true},
      {{"<|tool_response>"}, true},
      {{"[e~["}, true},
      {{"<|fim_pad|>"}, true},
      {{"<|repo_name|>"}, true},
      {{"<|file_sep|>"}, true},
      {{DEEPSEEK_END}, true},
      {{"<|im_start|>"}, false},
      {{"<|fim_prefix|>"}, false},
      /* only ends a message where another token ends the answer */
      {{"<|end|>", "<|return|>", "<|call|>"}, false},
      {{"<|end|>", "<|flush|>", "<|calls|>"}, false},
      {{"<|end|>", "<|return|>"}, true},
      {{"</s>", "<|tool_response>"}, false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    vocabulary *v = vocabulary_new("llama", "gpt2", "gpt-2", cases[i].words, WH_TOKEN_CONTROL);
    wh_tokenizer *t = golden_create(&v->spec);
    if (wh_tokenizer_is_end(t, FIRST_WORD) != cases[i].end) fail_msg("%s", cases[i].words[0]);
    wh_tokenizer_destroy(t);
    free(v);
  }
}

static void ends_by_id(void **state) {
  (void)state;
  static const char *const words[] = {"<1>", "<2>", "<3>", "<4>", "<5>", "<6>", "<7>", NULL};
  vocabulary *v = vocabulary_new("llama", "gpt2", "gpt-2", words, WH_TOKEN_CONTROL);
  int32_t *const ids[] = {&v->spec.eos_id,     &v->spec.eot_id,     &v->spec.eom_id,
                          &v->spec.fim_pad_id, &v->spec.fim_rep_id, &v->spec.fim_sep_id};
  for (int32_t i = 0; i < 6; i++) *ids[i] = FIRST_WORD + i;
  v->spec.bos_id = FIRST_WORD + 6;
  wh_tokenizer *t = golden_create(&v->spec);
  for (int32_t i = 0; i < 7; i++) assert_int_equal(wh_tokenizer_is_end(t, FIRST_WORD + i), i < 6);
  wh_tokenizer_destroy(t);
  for (int32_t i = 0; i < 6; i++) {
    *ids[i] = (int32_t)v->spec.n_tokens;
    t = NULL;
    assert_int_equal(wh_tokenizer_create(&v->spec, NULL, &t), WH_ERR_CORRUPT);
    *ids[i] = -1;
  }
  free(v);
}

/* ---- raw text ---- */

static void a_text_brings_its_bos(void **state) {
  (void)state;
  static const char *const words[] = {"<s>", "</s>", "<|x|>", NULL};
  const uint32_t parse = WH_TOKENIZE_PARSE_SPECIAL, bos = WH_TOKENIZE_ADD_BOS, all = WH_TOKENIZE_ADD_SPECIAL;
  vocabulary *v = vocabulary_new("llama", "gpt2", "gpt-2", words, WH_TOKEN_CONTROL);
  v->spec.bos_id = FIRST_WORD;
  v->spec.eos_id = FIRST_WORD + 1;
  v->spec.add_bos = v->spec.add_eos = 1;
  wh_tokenizer *t = golden_create(&v->spec);
  const struct {
    const char *text;
    uint32_t flags;
    const char *expected;
  } cases[] = {
      {"a", bos, "257 97"}, /* to be continued: no EOS */
      {"a", all, "257 97 258"},
      {"a", all | bos, "257 97 258"},
      {"a", parse, "97"},
      {"", bos, "257"},
      {"<s>a", bos | parse, "257 97"},
      {"<s>a", all | parse, "257 97 258"},
      {"<s><s>a", bos | parse, "257 257 97"}, /* what is written stays */
      {"<|x|><s>a", bos | parse, "257 259 257 97"},
      {"a<s>", bos | parse, "257 97 257"},
      {"<s>", bos, "257 60 115 62"}, /* not parsed, and so no BOS */
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    golden_expect_encoding(cases[i].text, t, cases[i].flags, wh_str_from(cases[i].text), cases[i].expected);
  wh_tokenizer_destroy(t);
  v->spec.add_bos = 0; /* none is wanted */
  t = golden_create(&v->spec);
  golden_expect_encoding("no BOS", t, bos | parse, wh_str_from("a"), "97");
  wh_tokenizer_destroy(t);
  free(v);
}

static void control_tokens_are_found(void **state) {
  (void)state;
  static const char *const words[] = {"<|x|>", "<|xy|>", "<u>", NULL};
  vocabulary *v = vocabulary_new("llama", "gpt2", "gpt-2", words, WH_TOKEN_CONTROL);
  v->types[FIRST_WORD + 2] = WH_TOKEN_USER_DEFINED;
  wh_tokenizer *t = golden_create(&v->spec);
  const struct {
    wh_str text;
    size_t from, offset, n_bytes; /* 0 bytes: none */
  } cases[] = {
      {{"", 0}, 0, 0, 0},
      {{"abc", 3}, 0, 0, 0},
      {{"<u><u", 5}, 0, 0, 0},
      {{"<|x|>", 5}, 0, 0, 5},
      {{"a\0<|xy|>b", 9}, 0, 2, 6},
      {{"<u><|x|>", 8}, 0, 3, 5},
      {{"<|x|><|x|>", 10}, 1, 5, 5},
      {{"<|x|>", 5}, 1, 0, 0},
      {{"<|x|", 4}, 0, 0, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    size_t offset = 99, n_bytes = 99;
    bool found = wh_tokenizer_find_control(t, cases[i].text, cases[i].from, &offset, &n_bytes);
    assert_int_equal(found, cases[i].n_bytes > 0);
    if (!found) continue;
    assert_int_equal(offset, cases[i].offset);
    assert_int_equal(n_bytes, cases[i].n_bytes);
  }
  wh_tokenizer_destroy(t);
  free(v);
}

/* What a stream does not show is still there for who looks for it. */
static void hidden_text_is_told(void **state) {
  (void)state;
  static const char *const words[] = {"<|x|>", NULL};
  vocabulary *v = vocabulary_new("llama", "gpt2", "gpt-2", words, WH_TOKEN_CONTROL);
  wh_tokenizer *t = golden_create(&v->spec);
  wh_detokenizer d;
  wh_detokenizer_init(&d, t, false, false);
  assert_true(wh_str_is(wh_detokenizer_hidden(&d, FIRST_WORD), "<|x|>"));
  assert_int_equal(wh_detokenizer_hidden(&d, 'a').len, 0);
  assert_int_equal(wh_detokenizer_hidden(&d, -1).len, 0);
  wh_detokenizer_init(&d, t, false, true);
  assert_int_equal(wh_detokenizer_hidden(&d, FIRST_WORD).len, 0);
  wh_tokenizer_destroy(t);
  free(v);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(white_space_of_special_tokens),
      cmocka_unit_test(white_space_between_special_tokens),
      cmocka_unit_test(text_is_normalised_for_some),
      cmocka_unit_test(control_tokens_typed_as_words),
      cmocka_unit_test(ends_by_text),
      cmocka_unit_test(ends_by_id),
      cmocka_unit_test(a_text_brings_its_bos),
      cmocka_unit_test(control_tokens_are_found),
      cmocka_unit_test(hidden_text_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
