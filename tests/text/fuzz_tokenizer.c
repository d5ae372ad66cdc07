/* fuzz_tokenizer.c - any text under any flags, for each model: encoding succeeds, byte-level BPE gives the
 * bytes back, and decoding token by token gives well-formed text. The first byte chooses the tokenizer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/text_buffer.h"
#include "text/normalize.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#define REQUIRE(x) \
  if (!(x)) abort()

#define N_BYTES 256
#define N_WORDS 40

/* 256 byte tokens, then some words of each model's spelling. */
static const char *const words[N_WORDS] = {"th",
                                           "the",
                                           "in",
                                           "ing",
                                           "an",
                                           "and",
                                           "er",
                                           "on",
                                           "aa",
                                           "aaaa",
                                           "\xc4\xa0t",
                                           "\xc4\xa0th",
                                           "\xc4\xa0the",
                                           "\xc4\xa0\xc4\xa0",
                                           "\xc4\x8a\xc4\x8a",
                                           "\xc3\xa2\xc4\xa2",
                                           "12",
                                           "123",
                                           "==",
                                           "...",
                                           "\xe2\x96\x81",
                                           "\xe2\x96\x81t",
                                           "\xe2\x96\x81the",
                                           "\xe2\x96\x81\xe2\x96\x81",
                                           "\xc3\xa9",
                                           "\xe4\xbd\xa0",
                                           "##ing",
                                           "##e",
                                           "##s",
                                           "wor",
                                           "<s>",
                                           "</s>",
                                           "<unk>",
                                           "<|x|>",
                                           "<|xy|>",
                                           "<u>",
                                           "<u>u",
                                           "\xf0\x9f\x98\x80",
                                           "t",
                                           "h"};

static const char *const merges[] = {"t h",
                                     "th e",
                                     "i n",
                                     "in g",
                                     "a n",
                                     "an d",
                                     "e r",
                                     "o n",
                                     "a a",
                                     "aa aa",
                                     "\xc4\xa0 t",
                                     "\xc4\xa0t h",
                                     "\xc4\xa0th e",
                                     "\xc4\xa0 \xc4\xa0",
                                     "\xc4\x8a \xc4\x8a",
                                     "1 2",
                                     "12 3",
                                     "= ="};
#define N_MERGES (sizeof merges / sizeof merges[0])

static const struct {
  const char *model, *pre;
} kinds[] = {{"gpt2", "gpt-2"},
             {"gpt2", "default"},
             {"gpt2", "llama-bpe"},
             {"gpt2", "qwen2"},
             {"gpt2", "qwen35"},
             {"gpt2", "gpt-4o"},
             {"gpt2", "tekken"},
             {"gpt2", "deepseek-llm"},
             {"gpt2", "deepseek-coder"},
             {"gpt2", "deepseek-v3"},
             {"gpt2", "kimi-k2"},
             {"gpt2", "tiny_aya"},
             {"gpt2", "superbpe"},
             {"gpt2", "chameleon"},
             {"gpt2", "exaone-moe"},
             {"gpt2", "jais-2"},
             {"gpt2", "viking"},
             {"gpt2", "youtu"},
             {"gpt2", "smollm"},
             {"gpt2", "falcon"},
             {"gpt2", "minicpm5"},
             {"gpt2", "laguna"},
             {"gpt2", "seed-coder"},
             {"gpt2", "spark2_5"},
             {"gpt2", "bailingmoe"},
             {"llama", ""},
             {"gemma4", ""},
             {"bert", ""},
             {"t5", ""}};
#define N_KINDS (sizeof kinds / sizeof kinds[0])

static wh_tokenizer *create(size_t kind) {
  static char bytes[N_BYTES][8];
  static wh_str tokens[N_BYTES + N_WORDS], merge_texts[N_MERGES];
  static double scores[N_BYTES + N_WORDS];
  static int64_t types[N_BYTES + N_WORDS];
  bool bpe = strcmp(kinds[kind].model, "gpt2") == 0;
  for (unsigned i = 0; i < N_BYTES; i++) {
    static const char hex[] = "0123456789ABCDEF";
    const char text[6] = {'<', '0', 'x', hex[i >> 4], hex[i & 15], '>'};
    memcpy(bytes[i], text, sizeof text);
    tokens[i] = (wh_str){bytes[i], sizeof text};
    if (bpe) tokens[i].len = wh_utf8_encode(wh_byte_to_char((unsigned char)i), bytes[i]);
    types[i] = bpe ? WH_TOKEN_NORMAL : WH_TOKEN_BYTE;
  }
  for (size_t i = 0; i < N_WORDS; i++) {
    tokens[N_BYTES + i] = wh_str_from(words[i]);
    scores[N_BYTES + i] = -(double)(i % 7);
    types[N_BYTES + i] = i < 30   ? WH_TOKEN_NORMAL
                         : i < 35 ? WH_TOKEN_CONTROL
                         : i < 37 ? WH_TOKEN_USER_DEFINED
                                  : WH_TOKEN_NORMAL;
  }
  for (size_t i = 0; i < N_MERGES; i++) merge_texts[i] = wh_str_from(merges[i]);
  wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
  spec.model = wh_str_from(kinds[kind].model);
  spec.pre = wh_str_from(kinds[kind].pre);
  spec.n_tokens = N_BYTES + N_WORDS;
  spec.tokens = tokens;
  spec.scores = scores;
  spec.token_types = types;
  spec.n_merges = N_MERGES;
  spec.merges = merge_texts;
  spec.bos_id = N_BYTES + 30;
  spec.eos_id = N_BYTES + 31;
  spec.unknown_id = N_BYTES + 32;
  spec.byte_fallback = true;
  wh_tokenizer *t = NULL;
  REQUIRE(wh_tokenizer_create(&spec, NULL, &t) == WH_OK);
  return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  if (n_bytes == 0) return 0;
  size_t kind = data[0] % N_KINDS;
  uint32_t flags = data[0] / N_KINDS % 8;
  wh_str text = {(const char *)data + 1, n_bytes - 1};
  wh_tokenizer *t = create(kind);
  wh_token_list list;
  wh_text_buffer bytes, shown, normalized;
  wh_detokenizer d;
  wh_token_list_init(&list, NULL);
  wh_text_buffer_init(&bytes, NULL);
  wh_text_buffer_init(&shown, NULL);
  wh_text_buffer_init(&normalized, NULL);
  wh_detokenizer_init(&d, t, true, true);
  REQUIRE(wh_tokenizer_encode(t, text, flags, &list) == WH_OK);
  for (size_t i = 0; i < list.n; i++) {
    REQUIRE(wh_tokenizer_append_bytes(t, list.ids[i], &bytes) == WH_OK);
    REQUIRE(wh_detokenizer_push(&d, list.ids[i], &shown) == WH_OK);
    if (!flags)
      REQUIRE(wh_tokenizer_token_type(t, list.ids[i]) != WH_TOKEN_CONTROL || list.ids[i] == N_BYTES + 32);
  }
  REQUIRE(wh_detokenizer_finish(&d, &shown) == WH_OK);
  REQUIRE(wh_utf8_valid_length((const unsigned char *)shown.data, shown.len) == shown.len);
  if (strcmp(kinds[kind].model, "gpt2") == 0 && flags == 0) {
    if (strncmp(kinds[kind].pre, "qwen", 4) == 0)
      REQUIRE(wh_normalize_nfc(text, &normalized, &text) == WH_OK);
    REQUIRE(bytes.len == text.len);
    REQUIRE(text.len == 0 || memcmp(bytes.data, text.data, text.len) == 0);
  }
  wh_text_buffer_deinit(&normalized);
  wh_text_buffer_deinit(&shown);
  wh_text_buffer_deinit(&bytes);
  wh_token_list_deinit(&list);
  wh_tokenizer_destroy(t);
  return 0;
}
