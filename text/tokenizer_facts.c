/* tokenizer_facts.c - see tokenizer_facts.h. A row is found by what files do say: general.architecture,
 * tokenizer.ggml.model, tokenizer.ggml.pre. */
#include "text/tokenizer_facts.h"

/* Is `name` one of the words of `list`, each of which is followed by a space? NULL: any name. */
static bool is_listed(const char *list, wh_str name) {
  if (!list) return true;
  for (const char *p = list; *p;) {
    size_t n = strcspn(p, " ");
    if (wh_str_equal(name, (wh_str){p, n})) return true;
    p += n + 1;
  }
  return false;
}

/* ---- NFC ---- */

/* Names of tokenizer.ggml.pre whose tokenizer.json has "normalizer": {"type": "NFC"}:
 *  - qwen2 (Qwen2, 2.5, 3): transformers, tokenization_qwen2.py
 *  - deepseek-r1-qwen: the same tokenizer with four tokens renamed (deepseek-ai/DeepSeek-R1#30,
 *    huggingface/transformers#48211)
 *  - qwen35 (Qwen3.5): transformers, tokenization_qwen3_5.py
 *  - command-r: transformers, tokenization_cohere.py
 *  - mpt (the tokenizer of GPT-NeoX): transformers, tokenization_gpt_neox.py
 *  - olmo: allenai/OLMo, olmo_data/tokenizers/allenai_eleuther-ai-gpt-neox-20b-pii-special.json
 * llama-bpe (Llama 3) has "normalizer": null; no normaliser is known of the others. */
static const char nfc_names[] = "qwen2 deepseek-r1-qwen qwen35 command-r mpt olmo ";

bool wh_facts_use_nfc(const wh_tokenizer_spec *spec) {
  return wh_str_is(spec->model, "gpt2") && is_listed(nfc_names, spec->pre);
}

/* ---- white space that belongs to a token ---- */

typedef struct strip_fact {
  const char *architectures, *models, *pres; /* lists as above; NULL: any */
  unsigned sides;
  bool all_but;       /* every special token but `tokens`; else `tokens` only */
  const char *tokens; /* a list as above */
} strip_fact;

static const strip_fact strip_facts[] = {
    /* Phi-3 and 3.5, tokenizer_config.json and tokenizer.json of Phi-3-mini-4k, -128k and -medium: "rstrip":
       true for <|user|>, <|end|>, <|assistant|>, <|system|>, </s> and the placeholders, whose names changed
       between revisions. */
    {"phi3 ", "llama ", NULL, WH_STRIP_RIGHT, true, "<unk> <s> <|endoftext|> "},
    /* Phi-4-mini-instruct and -mini-reasoning: tokenizer_config.json. */
    {"phi3 ", "gpt2 ", "gpt-4o ", WH_STRIP_RIGHT, false,
     "<|assistant|> <|end|> <|user|> <|system|> <|tool|> <|/tool|> <|tool_call|> <|/tool_call|> "
     "<|tool_response|> <|tag|> "},
    /* Phi-4: tokenizer_config.json, all of its added tokens. */
    {"phi3 ", "gpt2 ", "dbrx ", WH_STRIP_LEFT | WH_STRIP_RIGHT, true, ""},
    /* RoBERTa: <mask> is "lstrip" in roberta-base's tokenizer_config.json; Jina's models: llama.cpp,
       llama-vocab.cpp. */
    {NULL, "gpt2 ", "roberta-bpe jina-v2-de jina-v2-es jina-v2-code ", WH_STRIP_LEFT, false, "<mask> "},
    /* ModernBERT: llama.cpp, llama-vocab.cpp. */
    {NULL, "gpt2 ", "modern-bert ", WH_STRIP_LEFT, false, "[MASK] "},
};

unsigned wh_facts_strip(const wh_tokenizer_spec *spec, wh_str token) {
  unsigned sides = 0;
  for (size_t i = 0; i < sizeof strip_facts / sizeof strip_facts[0]; i++) {
    const strip_fact *f = &strip_facts[i];
    if (is_listed(f->architectures, spec->architecture) && is_listed(f->models, spec->model) &&
        is_listed(f->pres, spec->pre) && is_listed(f->tokens, token) != f->all_but)
      sides |= f->sides;
  }
  return sides;
}

/* ---- control tokens ---- */

#define DEEPSEEK_END "<\xef\xbd\x9c\x65nd\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>"

/* Seen as plain words in converted files (ggml-org/llama.cpp#7709: Phi-3's <|end|>; #9606). Nobody
 * writes them as words, and templates need them as tokens. "</s>" is not among them: it is a word of code. */
const char *const wh_facts_control_texts[] = {
    "<|im_start|>",   "<|im_end|>",         "<|im_sep|>",        "<|eot_id|>",        "<|eom_id|>",
    "<|end|>",        "<|endoftext|>",      "<|end_of_text|>",   "<|begin_of_text|>", "<|start_header_id|>",
    "<|user|>",       "<|assistant|>",      "<|system|>",        "<start_of_turn>",   "<end_of_turn>",
    "<|fim_prefix|>", "<|fim_middle|>",     "<|fim_suffix|>",    "<|fim_pad|>",       "<|repo_name|>",
    "<|file_sep|>",   "<end_of_utterance>", "<|end_header_id|>", DEEPSEEK_END,        NULL,
};

/* As the models' generation_config.json and llama.cpp's list have them; <|fim_pad|>, <|repo_name|> and
 * <|file_sep|> end a completion of code (Qwen2.5-Coder's documentation). */
const char *const wh_facts_end_texts[] = {
    "<|im_end|>",    "<|eot_id|>",
    "<|eom_id|>",    "<|end|>",
    "<|endoftext|>", "<|end_of_text|>",
    "<end_of_turn>", "</s>",
    "<eos>",         "<|return|>",
    "<|call|>",      "<|calls|>",
    "<|flush|>",     "<EOT>",
    "_<EOT>",        "[EOT]",
    "[EOS]",         "<end_of_utterance>",
    "<turn|>",       "<|tool_response>",
    "[e~[",          "<|fim_pad|>",
    "<|repo_name|>", "<|file_sep|>",
    DEEPSEEK_END,    NULL,
};

/* OpenAI's harmony and Solar end each message with <|end|> and the answer with another token; Gemma 4's
 * "</s>" is a word like any other. */
static const struct {
  const char *text, *where[2]; /* in vocabularies that have both */
} inner_facts[] = {
    {"<|end|>", {"<|return|>", "<|call|>"}},
    {"<|end|>", {"<|flush|>", "<|calls|>"}},
    {"</s>", {"<|tool_response>", "<|tool_response>"}},
};

bool wh_facts_end_is_inner(const char *text, wh_facts_has_token has_token, const void *ctx) {
  for (size_t i = 0; i < sizeof inner_facts / sizeof inner_facts[0]; i++)
    if (strcmp(text, inner_facts[i].text) == 0 && has_token(ctx, inner_facts[i].where[0]) &&
        has_token(ctx, inner_facts[i].where[1]))
      return true;
  return false;
}
