/* tokenizer.c - creation, special tokens and encoding; see tokenizer.h. The models themselves are bpe.c,
 * sentencepiece.c, wordpiece.c and unigram.c; text comes back in tokenizer_decode.c. */
#include "text/tokenizer.h"

#include "text/normalize.h"
#include "text/tokenizer_facts.h"
#include "text/tokenizer_internal.h"
#include "text/unicode.h"

static void add_end_id(wh_tokenizer *t, int32_t id) {
  size_t at = 0;
  if (id < 0 || t->n_end_ids == WH_END_TOKENS_MAX) return;
  while (at < t->n_end_ids && t->end_ids[at] < id) at++;
  if (at < t->n_end_ids && t->end_ids[at] == id) return;
  memmove(&t->end_ids[at + 1], &t->end_ids[at], (t->n_end_ids - at) * sizeof t->end_ids[0]);
  t->end_ids[at] = id;
  t->n_end_ids++;
}

static bool has_token(const void *ctx, const char *text) {
  const wh_tokenizer *t = ctx;
  return wh_vocab_find(&t->vocab, text, strlen(text)) >= 0;
}

static void find_end_tokens(wh_tokenizer *t, const wh_tokenizer_spec *spec) {
  for (const char *const *text = wh_facts_end_texts; *text; text++) {
    int32_t id = wh_vocab_find(&t->vocab, *text, strlen(*text));
    if (id < 0 || wh_facts_end_is_inner(*text, has_token, t)) continue;
    /* Some files mark them user-defined; a plain word "</s>" of a code model is no end. */
    wh_token_type type = wh_vocab_type(&t->vocab, id);
    if (spec->token_types && type != WH_TOKEN_CONTROL && type != WH_TOKEN_USER_DEFINED) continue;
    add_end_id(t, id);
  }
  const int32_t ids[] = {spec->eos_id,     spec->eot_id,     spec->eom_id,
                         spec->fim_pad_id, spec->fim_rep_id, spec->fim_sep_id};
  for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) add_end_id(t, ids[i]);
}

static wh_status add_specials(wh_tokenizer *t, const wh_tokenizer_spec *spec) {
  for (size_t i = 0; i < t->vocab.n_tokens; i++) {
    wh_token_type type = wh_vocab_type(&t->vocab, (int32_t)i);
    if (type != WH_TOKEN_CONTROL && type != WH_TOKEN_USER_DEFINED && type != WH_TOKEN_UNKNOWN) continue;
    wh_str text = t->vocab.tokens[i];
    WH_TRY(wh_special_set_add(&t->specials, text, (int32_t)i, type != WH_TOKEN_USER_DEFINED,
                              spec->strips ? spec->strips[i] : wh_facts_strip(spec, text)));
  }
  return WH_OK;
}

static wh_status check_ids(const wh_tokenizer_spec *spec) {
  const struct {
    const char *name;
    int32_t id;
  } ids[] = {{"BOS", spec->bos_id},
             {"EOS", spec->eos_id},
             {"EOT", spec->eot_id},
             {"EOM", spec->eom_id},
             {"FIM padding", spec->fim_pad_id},
             {"FIM repository", spec->fim_rep_id},
             {"FIM separator", spec->fim_sep_id},
             {"unknown-token", spec->unknown_id},
             {"separator", spec->separator_id},
             {"padding", spec->padding_id}};
  for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
    if (ids[i].id < -1 || (ids[i].id >= 0 && (size_t)ids[i].id >= spec->n_tokens))
      return WH_FAIL(ERR_CORRUPT, "the %s id %d is not one of the %zu tokens", ids[i].name, ids[i].id,
                     spec->n_tokens);
  return WH_OK;
}

static bool stated(int choice, bool otherwise) { return choice < 0 ? otherwise : choice != 0; }

static wh_status create_byte_level_bpe(wh_tokenizer *t, const wh_tokenizer_spec *spec) {
  const wh_pre_rule *rule = wh_pre_rule_find(spec->pre.len ? spec->pre : wh_str_from("default"));
  if (!rule) {
    char names[400];
    wh_pre_rule_list_names(names, sizeof names);
    return WH_FAIL(ERR_UNSUPPORTED, "pre-tokenizer '" WH_STR_FMT "' is unknown; known: %s",
                   WH_STR_ARG(spec->pre), names);
  }
  t->model = WH_MODEL_BPE;
  t->add_bos = stated(spec->add_bos, rule->flags & WH_PRE_ADD_BOS);
  t->add_eos = stated(spec->add_eos, false);
  t->puts_space = spec->puts_space;
  WH_TRY(wh_bpe_init(&t->bpe, &t->vocab, spec, rule->flags & WH_PRE_IGNORE_MERGES, t->alloc));
  return wh_pretokenizer_create(rule, t->alloc, &t->pretokenizer);
}

/* SentencePiece by scores, or with a list of merges. */
static wh_status create_sentencepiece(wh_tokenizer *t, const wh_tokenizer_spec *spec, bool has_merges) {
  t->model = WH_MODEL_SENTENCEPIECE;
  t->add_bos = stated(spec->add_bos, true);
  t->add_eos = stated(spec->add_eos, false);
  t->add_space_prefix = stated(spec->add_space_prefix, !has_merges);
  t->spm_rules.removes_spaces = spec->remove_extra_whitespaces;
  t->spm_rules.keeps_bad_bytes = true;
  if (has_merges) WH_TRY(wh_bpe_init(&t->bpe, &t->vocab, spec, false, t->alloc));
  return wh_sentencepiece_init(&t->sentencepiece, &t->vocab, spec, has_merges ? &t->bpe : NULL, t->alloc);
}

static wh_status create_unigram(wh_tokenizer *t, const wh_tokenizer_spec *spec) {
  t->model = WH_MODEL_UNIGRAM;
  t->add_bos = stated(spec->add_bos, false);
  t->add_eos = stated(spec->add_eos, true);
  t->add_space_prefix = stated(spec->add_space_prefix, true);
  t->text_rules = spec->text_rules;
  t->spm_rules.removes_spaces = spec->remove_extra_whitespaces;
  WH_TRY(wh_charsmap_init(&t->spm_rules.charsmap, spec->charsmap, t->alloc));
  return wh_unigram_init(&t->unigram, &t->vocab, spec, t->alloc);
}

static wh_status create_wordpiece(wh_tokenizer *t, const wh_tokenizer_spec *spec) {
  t->model = WH_MODEL_WORDPIECE;
  t->add_bos = stated(spec->add_bos, true);
  t->add_eos = stated(spec->add_eos, true);
  wh_wordpiece_init(&t->wordpiece, &t->vocab, spec);
  return WH_OK;
}

static wh_status create_model(wh_tokenizer *t, const wh_tokenizer_spec *spec) {
  /* Some files say "gpt2" and tell it by the name of the pre-tokenizer. */
  bool merged_characters = wh_str_is(spec->model, "gemma4") || wh_str_is(spec->pre, "gemma4") ||
                           wh_str_is(spec->pre, "granite-embed-multi-311m") ||
                           wh_str_is(spec->pre, "sarvam-moe");
  if (wh_str_is(spec->model, "llama")) return create_sentencepiece(t, spec, false);
  if (wh_str_is(spec->model, "bert")) return create_wordpiece(t, spec);
  if (wh_str_is(spec->model, "t5")) return create_unigram(t, spec);
  if (merged_characters && (wh_str_is(spec->model, "gpt2") || wh_str_is(spec->model, "gemma4")))
    return create_sentencepiece(t, spec, true);
  if (wh_str_is(spec->model, "gpt2")) return create_byte_level_bpe(t, spec);
  return WH_FAIL(
      ERR_UNSUPPORTED,
      "tokenizer model '" WH_STR_FMT
      "' is unknown; known: gpt2 (byte-level BPE), llama (SentencePiece "
      "BPE), gemma4 (BPE with SentencePiece's spaces), bert (WordPiece), t5 (SentencePiece unigram)",
      WH_STR_ARG(spec->model));
}

wh_status wh_tokenizer_create(const wh_tokenizer_spec *spec, const wh_allocator *alloc, wh_tokenizer **out) {
  WH_TRY(check_ids(spec));
  wh_tokenizer *t = wh_alloc_zeroed(alloc, sizeof *t);
  if (!t) return WH_OOM("the tokenizer");
  t->alloc = alloc;
  t->bos_id = spec->bos_id;
  t->eos_id = spec->eos_id;
  t->nfc = wh_facts_use_nfc(spec);
  t->separator_id = spec->separator_id >= 0 ? spec->separator_id : spec->eos_id;
  wh_special_set_init(&t->specials, alloc);
  wh_status status = wh_vocab_init(&t->vocab, spec, alloc);
  if (status == WH_OK) status = create_model(t, spec);
  if (status == WH_OK) status = add_specials(t, spec);
  if (status != WH_OK) {
    wh_tokenizer_destroy(t);
    return status;
  }
  find_end_tokens(t, spec);
  *out = t;
  return WH_OK;
}

void wh_tokenizer_destroy(wh_tokenizer *t) {
  if (!t) return;
  wh_pretokenizer_destroy(t->pretokenizer);
  wh_bpe_deinit(&t->bpe);
  wh_sentencepiece_deinit(&t->sentencepiece);
  wh_unigram_deinit(&t->unigram);
  wh_charsmap_deinit(&t->spm_rules.charsmap);
  wh_special_set_deinit(&t->specials);
  wh_vocab_deinit(&t->vocab);
  wh_free(t->alloc, t);
}

void wh_token_list_init(wh_token_list *list, const wh_allocator *alloc) {
  *list = (wh_token_list){.alloc = alloc};
}

void wh_token_list_deinit(wh_token_list *list) {
  wh_free(list->alloc, list->ids);
  *list = (wh_token_list){.alloc = list->alloc};
}

wh_status wh_token_list_push(wh_token_list *list, int32_t id) {
  if (list->n == list->capacity && !wh_grow_array(list->alloc, (void **)&list->ids, &list->capacity, list->n,
                                                  list->n + 1, sizeof *list->ids))
    return WH_OOM("the token list");
  list->ids[list->n++] = id;
  return WH_OK;
}

/* One call of wh_tokenizer_encode. */
typedef struct encoding {
  const wh_tokenizer *t;
  wh_token_list *list;
  wh_merger merger;
  wh_pre_scratch *pre_scratch;
  wh_text_buffer normalized, spaced;
  wh_unigram_scratch unigram;
  wh_text_scratch rules;
} encoding;

static wh_status encode_piece(void *ctx, const char *piece, size_t n) {
  encoding *e = ctx;
  return wh_bpe_encode_piece(&e->t->bpe, &e->merger, piece, n, e->list);
}

static wh_status encode_unigram_piece(void *ctx, wh_str piece) {
  encoding *e = ctx;
  return wh_unigram_encode(&e->t->unigram, &e->unigram, piece, e->list);
}

static wh_status put_space(encoding *e, wh_str text, wh_str *out) {
  wh_text_buffer_clear(&e->spaced);
  wh_text_buffer_append(&e->spaced, " ", 1);
  wh_text_buffer_append(&e->spaced, text.data, text.len);
  *out = (wh_str){e->spaced.data, e->spaced.len};
  return e->spaced.oom ? WH_OOM("a text") : WH_OK;
}

/* Of models that see text as SentencePiece writes it. */
static wh_status encode_spm(encoding *e, wh_str text) {
  const wh_tokenizer *t = e->t;
  WH_TRY(wh_spm_text(&t->spm_rules, text, t->add_space_prefix, &e->spaced));
  text = (wh_str){e->spaced.data, e->spaced.len};
  return t->model == WH_MODEL_UNIGRAM ? encode_unigram_piece(e, text)
                                      : wh_sentencepiece_encode(&t->sentencepiece, &e->merger, text, e->list);
}

/* Text without special tokens; `first`: it begins what is encoded. */
static wh_status encode_plain(encoding *e, wh_str text, bool first) {
  const wh_tokenizer *t = e->t;
  if (text.len == 0) return WH_OK;
  if (t->nfc) WH_TRY(wh_normalize_nfc(text, &e->normalized, &text));
  if (t->puts_space && text.data[0] != ' ') WH_TRY(put_space(e, text, &text));
  switch (t->model) {
    case WH_MODEL_BPE:
      if (!e->pre_scratch) WH_TRY(wh_pre_scratch_create(t->pretokenizer, &e->pre_scratch));
      return wh_pretokenizer_split(t->pretokenizer, e->pre_scratch, text, encode_piece, e);
    case WH_MODEL_SENTENCEPIECE:
      return encode_spm(e, text);
    case WH_MODEL_UNIGRAM:
      if (!t->text_rules) return encode_spm(e, text);
      return wh_text_rules_apply(t->text_rules, &e->rules, text, first, encode_unigram_piece, e);
    case WH_MODEL_WORDPIECE:
      return wh_wordpiece_encode(&t->wordpiece, text, e->list);
  }
  return WH_FAIL(ERR_INTERNAL, "tokenizer model %d", (int)t->model);
}

/* text[from, to) without the white space at its end. */
static size_t skip_space_back(wh_str text, size_t from, size_t to) {
  while (to > from) {
    size_t start = to - 1;
    uint32_t cp;
    while (start > from && to - start < 4 && ((unsigned char)text.data[start] & 0xc0) == 0x80) start--;
    if (wh_utf8_decode((const unsigned char *)text.data + start, to - start, &cp) != to - start ||
        !wh_is_white_space(cp))
      break;
    to = start;
  }
  return to;
}

static size_t skip_space(wh_str text, size_t from) {
  while (from < text.len) {
    uint32_t cp;
    size_t n = wh_utf8_decode((const unsigned char *)text.data + from, text.len - from, &cp);
    if (n == 0 || !wh_is_white_space(cp)) break;
    from += n;
  }
  return from;
}

static wh_status encode_text(encoding *e, wh_str text, bool with_control) {
  wh_special_match match;
  size_t from = 0;
  while (from < text.len && wh_special_set_find(&e->t->specials, text, from, with_control, &match)) {
    size_t end = match.strip & WH_STRIP_LEFT ? skip_space_back(text, from, match.offset) : match.offset;
    WH_TRY(encode_plain(e, (wh_str){text.data + from, end - from}, from == 0));
    WH_TRY(wh_token_list_push(e->list, match.id));
    from = match.offset + match.len;
    if (match.strip & WH_STRIP_RIGHT) from = skip_space(text, from);
  }
  return encode_plain(e, (wh_str){text.data + from, text.len - from}, from == 0);
}

/* Does the text bring its own BOS, as a pasted template does? */
static bool begins_with_bos(const wh_tokenizer *t, wh_str text, bool with_control) {
  wh_special_match match;
  return wh_special_set_match(&t->specials, text, 0, with_control, &match) && match.id == t->bos_id;
}

wh_status wh_tokenizer_encode(const wh_tokenizer *t, wh_str text, uint32_t flags, wh_token_list *list) {
  encoding e = {.t = t, .list = list, .unigram.alloc = t->alloc};
  size_t n_before = list->n;
  wh_status status = WH_OK;
  bool with_control = flags & WH_TOKENIZE_PARSE_SPECIAL;
  bool add_bos = t->add_bos && t->bos_id >= 0 && (flags & (WH_TOKENIZE_ADD_SPECIAL | WH_TOKENIZE_ADD_BOS));
  int32_t last = t->model == WH_MODEL_WORDPIECE ? t->separator_id : t->eos_id;
  wh_merger_init(&e.merger, t->alloc);
  wh_text_buffer_init(&e.normalized, t->alloc);
  wh_text_buffer_init(&e.spaced, t->alloc);
  wh_text_scratch_init(&e.rules, t->alloc);
  if (add_bos && !begins_with_bos(t, text, with_control)) status = wh_token_list_push(list, t->bos_id);
  if (status == WH_OK) status = encode_text(&e, text, with_control);
  if (status == WH_OK && (flags & WH_TOKENIZE_ADD_SPECIAL) && t->add_eos && last >= 0)
    status = wh_token_list_push(list, last);
  wh_pre_scratch_destroy(e.pre_scratch);
  wh_merger_deinit(&e.merger);
  wh_text_buffer_deinit(&e.normalized);
  wh_text_buffer_deinit(&e.spaced);
  wh_text_scratch_deinit(&e.rules);
  wh_free(t->alloc, e.unigram.steps);
  if (status != WH_OK) list->n = n_before;
  return status;
}

bool wh_tokenizer_find_control(const wh_tokenizer *t, wh_str text, size_t from, size_t *offset,
                               size_t *n_bytes) {
  wh_special_match match;
  for (; from < text.len && wh_special_set_find(&t->specials, text, from, true, &match);
       from = match.offset + match.len) {
    if (!match.control) continue;
    *offset = match.offset;
    *n_bytes = match.len;
    return true;
  }
  return false;
}

size_t wh_tokenizer_n_tokens(const wh_tokenizer *t) { return t->vocab.n_tokens; }

wh_str wh_tokenizer_token(const wh_tokenizer *t, int32_t id) {
  return id >= 0 && (size_t)id < t->vocab.n_tokens ? t->vocab.tokens[id] : (wh_str){"", 0};
}

wh_token_type wh_tokenizer_token_type(const wh_tokenizer *t, int32_t id) {
  return id >= 0 && (size_t)id < t->vocab.n_tokens ? wh_vocab_type(&t->vocab, id) : WH_TOKEN_UNKNOWN;
}

int32_t wh_tokenizer_find(const wh_tokenizer *t, wh_str token) {
  return wh_vocab_find(&t->vocab, token.data, token.len);
}

int32_t wh_tokenizer_bos(const wh_tokenizer *t) { return t->bos_id; }
int32_t wh_tokenizer_eos(const wh_tokenizer *t) { return t->eos_id; }

bool wh_tokenizer_is_end(const wh_tokenizer *t, int32_t id) {
  for (size_t i = 0; i < t->n_end_ids; i++)
    if (t->end_ids[i] == id) return true;
  return false;
}
