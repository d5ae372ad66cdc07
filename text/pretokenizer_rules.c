/* pretokenizer_rules.c - the pre-tokenizer of each model family, under the names that GGUF files use for it
 * (tokenizer.ggml.pre; convert_hf_to_gguf.py assigns them). The patterns are those of each model's published
 * tokenizer.json or tiktoken definition (for the rarest, as llama.cpp records them), spelled for PCRE2:
 *  - \s is written out (Unicode White_Space), since PCRE2's \s also takes U+180E;
 *  - \d is \p{Nd}; script names mean Script, not Script_Extensions;
 *  - quantifiers are possessive where giving back can never help, so that long runs need no backtracking. */
#include "text/pretokenizer.h"

#define WS "\\t-\\r \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define S "[" WS "]"
#define END_OR_SPACE "(?![^" WS "])"
#define NOT_WORD "[^" WS "\\p{L}\\p{N}]" /* [^\s\p{L}\p{N}] */
#define NOT_WORD_CRLF "[^\\r\\n\\p{L}\\p{N}]"

#define SUFFIX "'(?:[stmd]|re|ve|ll)" /* 's 't 'm 'd 're 've 'll */
#define SUFFIX_I "(?i:" SUFFIX ")"
#define SPACES S "+" END_OR_SPACE "|" S "+" /* \s+(?!\S)|\s+ */
#define NEWLINES S "*[\\r\\n]+"             /* \s*[\r\n]+ */

/* GPT-2 (Radford et al. 2019). */
#define GPT2 SUFFIX "| ?\\p{L}++| ?\\p{N}++| ?" NOT_WORD "++|" SPACES
/* cl100k and its many descendants: they differ in how many digits stay together. */
#define CL100K(digits) \
  SUFFIX_I "|" NOT_WORD_CRLF "?+\\p{L}++|" digits "| ?" NOT_WORD "++[\\r\\n]*+|" NEWLINES "|" SPACES
/* o200k: words break before a capital that follows a small letter. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(suffix) \
  NOT_WORD_CRLF "?" UPPER "*" LOWER "++" suffix "|" NOT_WORD_CRLF "?" UPPER "++" LOWER "*+" suffix
#define O200K(suffix, digits) CASED(suffix) "|" digits "| ?" NOT_WORD "++[\\r\\n/]*+|" NEWLINES "|" SPACES
/* Kimi: as o200k, Chinese apart. The classes are [UPPER&&[^Han]] and [LOWER&&[^Han]] written as what they
 * leave out. */
#define KIMI_UPPER "[^\\p{sc:Han}\\p{Ll}\\p{N}\\p{P}\\p{S}\\p{Z}\\p{C}]"
#define KIMI_LOWER "[^\\p{sc:Han}\\p{Lu}\\p{Lt}\\p{N}\\p{P}\\p{S}\\p{Z}\\p{C}]"
/* DeepSeek V3. */
#define ASCII_PUNCT "[!-/:-@\\[-`{-~]"
#define DEEPSEEK3_WORDS \
  ASCII_PUNCT           \
  "[A-Za-z]++|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]++| ?[\\p{P}\\p{S}]++[\\r\\n]*+|" NEWLINES "|" SPACES
#define CJK_KANA "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]++"
#define DEEPSEEK_CJK "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]++"
#define BLOOM " ?[^(" WS "|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]++"
/* DeepSeek LLM: cased letters of the scripts that have case, as its tokenizer.json lists them. */
#define DEEPSEEK_LETTERS                                                                            \
  "A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}"   \
  "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}"             \
  "\\x{388}-\\x{38a}\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}"   \
  "\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}"   \
  "\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}" \
  "\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}"  \
  "\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}"  \
  "\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}" \
  "\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}\\x{2119}-\\x{211d}\\x{2124}"   \
  "\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}\\x{213c}-\\x{213f}"            \
  "\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}"            \
  "\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"  \
  "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}" \
  "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}"                \
  "\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}"            \
  "\\x{1e900}-\\x{1e943}"
/* jais-2: runs of spaces in powers of two. */
#define SPACES_BY_POWERS                                                                                  \
  S "{512}" END_OR_SPACE "|" S "{256}" END_OR_SPACE "|" S "{128}" END_OR_SPACE "|" S "{64}" END_OR_SPACE  \
    "|" S "{32}" END_OR_SPACE "|" S "{16}" END_OR_SPACE "|" S "{8}" END_OR_SPACE "|" S "{4}" END_OR_SPACE \
    "|" S "{1,2}" END_OR_SPACE "|" S
/* A number that no letter, mark, digit or connector follows; a failed run is not tried again from its middle.
 */
#define WHOLE_NUMBER "\\p{Nd}++(?:(?![\\p{L}\\p{M}\\p{N}\\p{Pc}])|(*SKIP)(*FAIL))"

#define CUT(pattern) \
  { pattern, WH_CUT_MATCH }

static const wh_pre_rule rules[] = {
    {"default ", 0, {CUT("[\\p{P}$+<=>^~|]++"), CUT(GPT2), CUT("\\p{N}++"), CUT("[0-9][0-9][0-9]")}},
    {"gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 gigachat modern-bert mellum a.x-4.0 "
     "roberta-bpe "
     "jina-es jina-de jina-v1-en jina-v2-es jina-v2-de jina-v2-code ",
     0,
     {CUT(GPT2)}},
    {"smollm starcoder refact command-r codeshell exaone minerva-7b mellum2 ", 0, {CUT("\\p{N}"), CUT(GPT2)}},
    {"falcon ", 0, {CUT("[\\p{P}$+<=>^~|`]++"), CUT(GPT2), CUT("[0-9][0-9][0-9]")}},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ",
     WH_PRE_ADD_BOS | WH_PRE_IGNORE_MERGES,
     {CUT(CL100K("\\p{N}{1,3}+"))}},
    {"dbrx smaug-bpe chatglm-bpe ", 0, {CUT(CL100K("\\p{N}{1,3}+"))}},
    {"glm4 glm5 ", WH_PRE_IGNORE_MERGES, {CUT(CL100K("\\p{N}{1,3}+"))}},
    {"minicpm5 ", WH_PRE_IGNORE_MERGES, {CUT("\\p{N}{1,3}+"), CUT(CL100K("\\p{N}++"))}},
    {"qwen2 stablelm2 deepseek-r1-qwen megrez hunyuan solar-open grok-2 kormo f2llmv2 ",
     0,
     {CUT(CL100K("\\p{N}"))}},
    {"laguna ", 0, {CUT("[^\\n]++|\\n++"), CUT(CL100K("\\p{N}"))}},
    {"ufakzeka ",
     0,
     {CUT(NOT_WORD_CRLF "?+\\p{L}++|\\p{N}| ?" NOT_WORD "++[\\r\\n]*+|" NEWLINES "|" SPACES)}},
    {"qwen35 ",
     0,
     {CUT(SUFFIX_I "|" NOT_WORD_CRLF "?[\\p{L}\\p{M}]++|\\p{N}| ?[^" WS
                   "\\p{L}\\p{M}\\p{N}]++[\\r\\n]*+|" NEWLINES "|" SPACES)}},
    {"jais-2 ",
     0,
     {CUT(SUFFIX_I "|" NOT_WORD_CRLF "?+\\p{L}++|\\p{N}{1,3}+| ?" NOT_WORD "++[\\r\\n]*+|" NEWLINES
                   "|" SPACES_BY_POWERS)}},
    {"bailingmoe bailingmoe2 llada-moe ",
     0,
     {CUT(SUFFIX_I "|" NOT_WORD_CRLF "?+\\p{L}++|\\p{N}| ?" NOT_WORD "++[\\r\\n]*+|" S "*[\\r\\n]|" SPACES)}},
    {"seed-coder ",
     0,
     {CUT(SUFFIX_I "|" NOT_WORD_CRLF "?+\\p{L}++|\\p{N}| ?[^" WS "\\p{L}\\p{N}\\r\\n]++|" NEWLINES
                   "|" SPACES)}},
    {"exaone-moe ",
     0,
     {CUT(SUFFIX_I "|" NOT_WORD_CRLF "?+(?:\\p{L}\\p{M}*+(?: \\p{L}\\p{M}*+)*+)++|\\p{N}| ?" NOT_WORD
                   "++[\\r\\n/]?+|" S "*[\\r\\n]|" SPACES)}},
    {"gpt-4o llama4 kanana2 talkie minimax-m2 ", 0, {CUT(O200K(SUFFIX_I "?+", "\\p{N}{1,3}+"))}},
    {"granite-embed-multi-97m ", WH_PRE_IGNORE_MERGES, {CUT(O200K(SUFFIX_I "?+", "\\p{N}{1,3}+"))}},
    {"tekken ", WH_PRE_ADD_BOS | WH_PRE_IGNORE_MERGES, {CUT(O200K("", "\\p{N}"))}},
    {"tiny_aya cohere2moe ",
     0,
     {{WHOLE_NUMBER, WH_CUT_MATCH | WH_CUT_THREES}, CUT(O200K(SUFFIX_I "?+", "\\p{N}{1,3}+"))}},
    {"youtu ",
     WH_PRE_IGNORE_MERGES,
     {CUT("[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]++|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}\\x{2019}"
          "\\x{2014}\\x{ff1a}\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]++|[\\x{3105}-\\x{312f}"
          "]++|" CJK_KANA),
      CUT(O200K(SUFFIX_I "?+", "\\p{N}"))}},
    {"kimi-k2 ",
     0,
     {CUT("\\p{sc:Han}++|" NOT_WORD_CRLF "?" KIMI_UPPER "*" KIMI_LOWER "++" SUFFIX_I "?+|" NOT_WORD_CRLF
          "?" KIMI_UPPER "++" KIMI_LOWER "*+" SUFFIX_I "?+|\\p{N}{1,3}+| ?" NOT_WORD "++[\\r\\n]*+|" NEWLINES
          "|" SPACES)}},
    {"deepseek-llm ",
     0,
     {CUT("[\\r\\n]"), CUT(S "?[" DEEPSEEK_LETTERS "]++"),
      CUT(S "?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]++"),
      CUT(S "++(?:\\z|(*SKIP)(*FAIL))"), CUT(DEEPSEEK_CJK), CUT("\\p{N}++")}},
    {"deepseek-coder ",
     0,
     {CUT("[\\r\\n]"), CUT(S "?\\p{L}++"), CUT(S "?\\p{P}++"), CUT(DEEPSEEK_CJK), CUT("\\p{N}")}},
    {"deepseek-v3 hunyuan-dense joyai-llm hy_v4 ",
     0,
     {CUT("\\p{N}{1,3}+"), CUT(CJK_KANA), CUT(DEEPSEEK3_WORDS)}},
    {"spark2_5 ",
     0,
     {CUT("\\p{N}{1,3}+"), CUT(CJK_KANA),
      CUT(ASCII_PUNCT
          "[A-Za-z]++|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]++| ?[\\p{P}\\p{S}]++|[\\r\\n]|" SPACES),
      CUT("\\p{N}")}},
    {"bloom poro-chat gpt3-finnish ", 0, {CUT(BLOOM)}},
    {"viking ", 0, {CUT(BLOOM), CUT("\\p{N}")}},
    {"superbpe ", 0, {CUT("\\p{N}++"), {"\\p{Nd}++", WH_CUT_THREES}}},
    {"chameleon ",
     WH_PRE_ADD_BOS,
     {CUT("<sentinel:[0-9]++>"), CUT("IMGIMG[A-I]{1,4}Z"), CUT("[\\t\\n]|    |  "), CUT("\\p{N}"),
      CUT("[\\p{P}!-/:-@\\[-`{-~]"), CUT(GPT2)}},
};

#define N_RULES (sizeof rules / sizeof rules[0])

const wh_pre_rule *wh_pre_rule_find(wh_str name) {
  for (size_t i = 0; i < N_RULES; i++)
    for (const char *p = rules[i].names; *p;) {
      size_t n = strcspn(p, " ");
      if (wh_str_equal(name, (wh_str){p, n})) return &rules[i];
      p += n + 1;
    }
  return NULL;
}

void wh_pre_rule_list_names(char *out, size_t size) {
  size_t used = 0;
  if (size == 0) return;
  for (size_t i = 0; i < N_RULES; i++)
    for (const char *p = rules[i].names; *p && used + 1 < size; p++) out[used++] = *p;
  if (used) used--; /* the last space */
  out[used] = '\0';
}
