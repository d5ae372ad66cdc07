/* tokenizer_file.c - see tokenizer_file.h; tokenizer_json_unigram.c reads what Unigram models have. jansson
 * parses; the tokens' texts stay in its document. */
#include "text/tokenizer_facts.h"
#include "text/tokenizer_internal.h"
#include "text/tokenizer_json.h"

#define IDS_MAX (1 << 22) /* more is no vocabulary */

wh_status wh_tokenizer_json_wrong(const wh_tokenizer_json *t, const char *what) {
  return WH_FAIL(ERR_CORRUPT, "%.200s: %s: it is no tokenizer.json", t->name, what);
}

wh_status wh_tokenizer_json_refuse(const wh_tokenizer_json *t, const char *what, const json_t *type) {
  const wh_str s = wh_json_text(type);
  return WH_FAIL(ERR_UNSUPPORTED,
                 "%.200s: its %s '" WH_STR_FMT
                 "' is not done; WordPiece as BERT has it, byte-level BPE with "
                 "GPT-2's pattern and Unigram as SentencePiece has it are",
                 t->name, what, WH_STR_ARG(s));
}

/* ---- tokens ---- */

static wh_status read_id(const wh_tokenizer_json *t, const json_t *v, int32_t *out) {
  const json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
  if (id < 0 || id >= IDS_MAX) return wh_tokenizer_json_wrong(t, "a token's id is no number of a vocabulary");
  *out = (int32_t)id;
  return WH_OK;
}

wh_status wh_tokenizer_json_top(const wh_tokenizer_json *t, int64_t *top) {
  const json_t *added = wh_json_get(t->root, "added_tokens");
  int32_t id;
  for (size_t i = 0; i < json_array_size(added); i++) {
    WH_TRY(read_id(t, wh_json_get(json_array_get(added, i), "id"), &id));
    if (id > *top) *top = id;
  }
  return WH_OK;
}

wh_status wh_tokenizer_json_make_room(wh_tokenizer_json *t, int64_t top, size_t n_named) {
  const size_t n_added = json_array_size(wh_json_get(t->root, "added_tokens"));
  if (top < 0) return wh_tokenizer_json_wrong(t, "its vocabulary is empty");
  if ((size_t)top >= 2 * (n_named + n_added) + 1024)
    return wh_tokenizer_json_wrong(t, "its ids leave most numbers out");
  const size_t n = (size_t)top + 1;
  t->tokens = wh_arena_array(&t->arena, n, sizeof *t->tokens);
  t->types = wh_arena_array(&t->arena, n, sizeof *t->types);
  t->strips = wh_arena_array(&t->arena, n, sizeof *t->strips);
  if (!t->tokens || !t->types || !t->strips) return WH_OOM("vocabulary");
  for (size_t i = 0; i < n; i++) {
    t->tokens[i] = (wh_str){"", 0};
    t->types[i] = WH_TOKEN_UNUSED;
  }
  t->spec.n_tokens = n;
  t->spec.tokens = t->tokens;
  t->spec.token_types = t->types;
  t->spec.strips = t->strips;
  return WH_OK;
}

static wh_status read_words(wh_tokenizer_json *t, json_t *vocab) {
  int32_t id;
  int64_t top = -1;
  const char *key;
  json_t *value;
  json_object_foreach(vocab, key, value) {
    WH_TRY(read_id(t, value, &id));
    if (id > top) top = id;
  }
  WH_TRY(wh_tokenizer_json_top(t, &top));
  WH_TRY(wh_tokenizer_json_make_room(t, top, json_object_size(vocab)));
  json_object_foreach(vocab, key, value) {
    WH_TRY(read_id(t, value, &id));
    t->tokens[id] = wh_str_from(key);
    t->types[id] = WH_TOKEN_NORMAL;
  }
  return WH_OK;
}

static wh_status read_added(wh_tokenizer_json *t, const json_t *added) {
  int32_t id;
  for (size_t i = 0; i < json_array_size(added); i++) {
    const json_t *a = json_array_get(added, i);
    WH_TRY(read_id(t, wh_json_get(a, "id"), &id));
    if (wh_json_truth(a, "single_word", false))
      return wh_tokenizer_json_refuse(t, "added token of whole words", wh_json_get(a, "content"));
    t->tokens[id] = wh_json_text(wh_json_get(a, "content"));
    t->types[id] = wh_json_truth(a, "special", false) ? WH_TOKEN_CONTROL : WH_TOKEN_USER_DEFINED;
    t->strips[id] = (uint8_t)((wh_json_truth(a, "lstrip", false) ? WH_STRIP_LEFT : 0) |
                              (wh_json_truth(a, "rstrip", false) ? WH_STRIP_RIGHT : 0));
  }
  return WH_OK;
}

static wh_status read_tokens(wh_tokenizer_json *t, const json_t *vocab, bool unigram) {
  if (unigram ? !json_is_array(vocab) : !json_is_object(vocab))
    return wh_tokenizer_json_wrong(t, "its model has no vocab");
  WH_TRY(unigram ? wh_tokenizer_json_read_pieces(t, vocab) : read_words(t, (json_t *)(uintptr_t)vocab));
  return read_added(t, wh_json_get(t->root, "added_tokens"));
}

static int32_t find(const wh_tokenizer_json *t, wh_str token) {
  for (size_t i = 0; token.len && i < t->spec.n_tokens; i++)
    if (wh_str_equal(t->tokens[i], token)) return (int32_t)i;
  return -1;
}

/* ---- models ---- */

static wh_status read_wordpiece(wh_tokenizer_json *t, const json_t *model) {
  const json_t *n = wh_json_get(t->root, "normalizer"), *pre = wh_json_get(t->root, "pre_tokenizer");
  const json_t *most = wh_json_get(model, "max_input_chars_per_word"),
               *rest = wh_json_get(model, "continuing_subword_prefix");
  if (!wh_json_is(wh_json_get(n, "type"), "BertNormalizer"))
    return wh_tokenizer_json_refuse(t, "normalizer", wh_json_get(n, "type"));
  if (!wh_json_is(wh_json_get(pre, "type"), "BertPreTokenizer"))
    return wh_tokenizer_json_refuse(t, "pre_tokenizer", wh_json_get(pre, "type"));
  if (!wh_json_truth(n, "clean_text", true) || !wh_json_truth(n, "handle_chinese_chars", true))
    return wh_tokenizer_json_refuse(t, "normalizer without clean_text or handle_chinese_chars", NULL);
  if ((rest && !wh_json_is(rest, "##")) || (most && json_integer_value(most) != 100))
    return wh_tokenizer_json_refuse(t, "continuing_subword_prefix or max_input_chars_per_word", rest);
  t->spec.model = wh_str_from("bert");
  t->spec.lowercase = wh_json_truth(n, "lowercase", true);
  t->spec.strip_accents =
      json_is_boolean(wh_json_get(n, "strip_accents")) ? wh_json_truth(n, "strip_accents", true) : -1;
  return WH_OK;
}

/* "left right"; newer files have them as pairs. */
static wh_status read_merges(wh_tokenizer_json *t, const json_t *merges) {
  const size_t n = json_array_size(merges);
  wh_str *list = wh_arena_array(&t->arena, n + 1, sizeof *list);
  if (!list) return WH_OOM("merges");
  for (size_t i = 0; i < n; i++) {
    const json_t *m = json_array_get(merges, i);
    const wh_str a = wh_json_text(json_array_get(m, 0)), b = wh_json_text(json_array_get(m, 1));
    list[i] = wh_json_text(m);
    if (json_is_array(m)) {
      char *s = wh_arena_alloc(&t->arena, a.len + b.len + 1);
      if (!s) return WH_OOM("merges");
      memcpy(s, a.data, a.len);
      s[a.len] = ' ';
      memcpy(s + a.len + 1, b.data, b.len);
      list[i] = (wh_str){s, a.len + b.len + 1};
    }
    if (list[i].len < 3) return wh_tokenizer_json_wrong(t, "one of its merges is no pair");
  }
  t->spec.merges = list;
  t->spec.n_merges = n;
  return WH_OK;
}

static wh_status read_bpe(wh_tokenizer_json *t, const json_t *model) {
  const json_t *n = wh_json_get(t->root, "normalizer"), *pre = wh_json_get(t->root, "pre_tokenizer");
  if (n && !json_is_null(n)) return wh_tokenizer_json_refuse(t, "normalizer", wh_json_get(n, "type"));
  if (!wh_json_is(wh_json_get(pre, "type"), "ByteLevel") || !wh_json_truth(pre, "use_regex", true))
    return wh_tokenizer_json_refuse(t, "pre_tokenizer", wh_json_get(pre, "type"));
  if (wh_json_truth(model, "byte_fallback", false) || wh_json_truth(model, "ignore_merges", false))
    return wh_tokenizer_json_refuse(t, "byte_fallback or ignore_merges", NULL);
  t->spec.model = wh_str_from("gpt2");
  t->spec.pre = wh_str_from("gpt-2");
  t->spec.puts_space = wh_json_truth(pre, "add_prefix_space", true);
  return read_merges(t, wh_json_get(model, "merges"));
}

/* ---- what stands around a text ---- */

static wh_status put_around(wh_tokenizer_json *t, int32_t id, bool behind) {
  size_t *n = behind ? &t->n_behind : &t->n_before;
  if (id < 0 || (size_t)id >= t->spec.n_tokens)
    return wh_tokenizer_json_wrong(t, "its post_processor names a token that is not there");
  if (*n == WH_AROUND_MAX) return wh_tokenizer_json_refuse(t, "post_processor of many tokens", NULL);
  (behind ? t->behind : t->before)[(*n)++] = id;
  return WH_OK;
}

static wh_status read_template(wh_tokenizer_json *t, const json_t *p) {
  const json_t *single = wh_json_get(p, "single");
  bool behind = false;
  for (size_t i = 0; i < json_array_size(single); i++) {
    const json_t *piece = json_array_get(single, i), *special = wh_json_get(piece, "SpecialToken");
    if (!special) {
      if (behind || !wh_json_get(piece, "Sequence"))
        return wh_tokenizer_json_wrong(t, "its post_processor has no one place for the text");
      behind = true;
      continue;
    }
    const char *name = json_string_value(wh_json_get(special, "id"));
    const json_t *ids = name ? wh_json_get(wh_json_get(wh_json_get(p, "special_tokens"), name), "ids") : NULL;
    if (json_array_size(ids) == 0)
      return wh_tokenizer_json_wrong(t, "its post_processor has a token without ids");
    for (size_t k = 0; k < json_array_size(ids); k++) {
      int32_t id;
      WH_TRY(read_id(t, json_array_get(ids, k), &id));
      WH_TRY(put_around(t, id, behind));
    }
  }
  return WH_OK;
}

static wh_status read_processor(wh_tokenizer_json *t, const json_t *p) {
  const json_t *type = wh_json_get(p, "type"), *list = wh_json_get(p, "processors");
  if (!p || json_is_null(p) || wh_json_is(type, "ByteLevel")) return WH_OK; /* that one moves offsets only */
  if (wh_json_is(type, "TemplateProcessing")) return read_template(t, p);
  if (wh_json_is(type, "BertProcessing") || wh_json_is(type, "RobertaProcessing")) {
    int32_t first, last;
    WH_TRY(read_id(t, json_array_get(wh_json_get(p, "cls"), 1), &first));
    WH_TRY(read_id(t, json_array_get(wh_json_get(p, "sep"), 1), &last));
    WH_TRY(put_around(t, first, false));
    return put_around(t, last, true);
  }
  if (!wh_json_is(type, "Sequence")) return wh_tokenizer_json_refuse(t, "post_processor", type);
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *inner = json_array_get(list, i);
    if (wh_json_is(wh_json_get(inner, "type"), "Sequence"))
      return wh_tokenizer_json_refuse(t, "post_processor within another", type);
    WH_TRY(read_processor(t, inner));
  }
  return WH_OK;
}

static wh_status read_all(wh_tokenizer_json *t) {
  const json_t *model = wh_json_get(t->root, "model"), *type = wh_json_get(model, "type"), *p;
  if (!json_is_object(model)) return wh_tokenizer_json_wrong(t, "it has no model");
  /* old files name no type */
  const bool unigram = wh_json_is(type, "Unigram") || (!type && json_is_array(wh_json_get(model, "vocab")));
  const bool bpe = wh_json_is(type, "BPE") || (!type && wh_json_get(model, "merges"));
  if (!bpe && !unigram && type && !wh_json_is(type, "WordPiece"))
    return wh_tokenizer_json_refuse(t, "model", type);
  WH_TRY(read_tokens(t, wh_json_get(model, "vocab"), unigram));
  t->spec.unknown_id = find(t, wh_json_text(wh_json_get(model, "unk_token")));
  WH_TRY(unigram ? wh_tokenizer_json_read_unigram(t, model)
         : bpe   ? read_bpe(t, model)
                 : read_wordpiece(t, model));
  WH_TRY(read_processor(t, wh_json_get(t->root, "post_processor")));
  p = wh_json_get(wh_json_get(t->root, "padding"), "pad_id");
  t->padding =
      json_is_integer(p) && json_integer_value(p) >= 0 && json_integer_value(p) < (json_int_t)t->spec.n_tokens
          ? (int32_t)json_integer_value(p)
          : find(t, wh_str_from(bpe || unigram ? "<pad>" : "[PAD]"));
  if (t->padding < 0) t->padding = 0;
  p = wh_json_get(wh_json_get(t->root, "truncation"), "max_length");
  if (json_is_integer(p) && json_integer_value(p) > 0) t->max_tokens = (size_t)json_integer_value(p);
  if (wh_tokenizer_create(&t->spec, t->alloc, &t->tokenizer) != WH_OK)
    return wh_fail_prefix("%.200s", t->name);
  return WH_OK;
}

wh_status wh_tokenizer_json_read(const char *name, wh_str text, const wh_allocator *alloc,
                                 wh_tokenizer_json **out) {
  json_error_t error;
  wh_tokenizer_json *t = wh_alloc_zeroed(alloc, sizeof *t);
  if (!t) return WH_OOM("tokenizer");
  t->alloc = alloc;
  t->name = name;
  t->spec = (wh_tokenizer_spec)WH_TOKENIZER_SPEC_INIT;
  t->spec.model = t->spec.pre = t->spec.architecture = (wh_str){"", 0};
  wh_arena_init(&t->arena, alloc, 0);
  t->root = json_loadb(text.data, text.len, JSON_ALLOW_NUL, &error);
  wh_status st = t->root ? read_all(t)
                         : WH_FAIL(ERR_CORRUPT, "%.200s: line %d: %s: it is no tokenizer.json", name,
                                   error.line, error.text);
  if (st != WH_OK) {
    wh_tokenizer_json_destroy(t);
    return st;
  }
  *out = t;
  return WH_OK;
}

void wh_tokenizer_json_destroy(wh_tokenizer_json *t) {
  if (!t) return;
  wh_tokenizer_destroy(t->tokenizer);
  wh_charsmap_deinit(&t->charsmap);
  wh_arena_deinit(&t->arena);
  json_decref(t->root);
  wh_free(t->alloc, t);
}

/* ---- encoding ---- */

wh_status wh_tokenizer_json_encode(const wh_tokenizer_json *t, wh_str text, uint32_t flags, size_t max_tokens,
                                   wh_token_list *list) {
  const bool around = flags & WH_TOKENIZE_ADD_SPECIAL;
  const size_t n_around = around ? t->n_before + t->n_behind : 0;
  if (max_tokens && max_tokens < n_around)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%zu tokens at most leave no room for the %zu around a text",
                   max_tokens, n_around);
  for (size_t i = 0; around && i < t->n_before; i++) WH_TRY(wh_token_list_push(list, t->before[i]));
  const size_t begin = list->n;
  WH_TRY(wh_tokenizer_encode(t->tokenizer, text, flags & WH_TOKENIZE_PARSE_SPECIAL, list));
  if (max_tokens && list->n - begin > max_tokens - n_around) list->n = begin + max_tokens - n_around;
  for (size_t i = 0; around && i < t->n_behind; i++) WH_TRY(wh_token_list_push(list, t->behind[i]));
  return WH_OK;
}

size_t wh_tokenizer_json_n_tokens(const wh_tokenizer_json *t) { return t->spec.n_tokens; }
int32_t wh_tokenizer_json_padding(const wh_tokenizer_json *t) { return t->padding; }
size_t wh_tokenizer_json_max_tokens(const wh_tokenizer_json *t) { return t->max_tokens; }
