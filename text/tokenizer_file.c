/* tokenizer_file.c - see tokenizer_file.h. jansson parses; the tokens' texts stay in its document. */
#include "text/tokenizer_file.h"

#include <jansson.h>

#include "core/base/arena.h"
#include "text/tokenizer_internal.h"

#define AROUND_MAX 8      /* tokens in front of a text, or behind it */
#define IDS_MAX (1 << 22) /* more is no vocabulary */

struct wh_tokenizer_json {
  const wh_allocator *alloc;
  const char *name; /* while it is read */
  json_t *root;     /* owns the texts that the spec points to */
  wh_arena arena;
  wh_tokenizer_spec spec;
  wh_str *tokens;
  int64_t *types;
  wh_tokenizer *tokenizer;
  int32_t before[AROUND_MAX], behind[AROUND_MAX];
  size_t n_before, n_behind, max_tokens;
  int32_t padding;
};

/* ---- JSON ---- */

static wh_str text_of(const json_t *v) {
  return json_is_string(v) ? (wh_str){json_string_value(v), json_string_length(v)} : (wh_str){"", 0};
}

static bool is(const json_t *v, const char *text) { return wh_str_is(text_of(v), text); }

static const json_t *get(const json_t *object, const char *key) { return json_object_get(object, key); }

/* What a member says; `otherwise` where it is not there, or null. */
static bool truth(const json_t *object, const char *key, bool otherwise) {
  const json_t *v = get(object, key);
  return json_is_boolean(v) ? json_is_true(v) : otherwise;
}

static wh_status wrong(const wh_tokenizer_json *t, const char *what) {
  return WH_FAIL(ERR_CORRUPT, "%.200s: %s: it is no tokenizer.json", t->name, what);
}

static wh_status refuse(const wh_tokenizer_json *t, const char *what, const json_t *type) {
  const wh_str s = text_of(type);
  return WH_FAIL(ERR_UNSUPPORTED,
                 "%.200s: its %s '" WH_STR_FMT
                 "' is not done; WordPiece as BERT has it and byte-level BPE with "
                 "GPT-2's pattern are",
                 t->name, what, WH_STR_ARG(s));
}

/* ---- tokens ---- */

static wh_status read_id(const wh_tokenizer_json *t, const json_t *v, int32_t *out) {
  const json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;
  if (id < 0 || id >= IDS_MAX) return wrong(t, "a token's id is no number of a vocabulary");
  *out = (int32_t)id;
  return WH_OK;
}

static wh_status count_tokens(wh_tokenizer_json *t, json_t *vocab, const json_t *added) {
  int32_t id, top = -1;
  const char *key;
  json_t *value;
  json_object_foreach(vocab, key, value) {
    WH_TRY(read_id(t, value, &id));
    if (id > top) top = id;
  }
  for (size_t i = 0; i < json_array_size(added); i++) {
    WH_TRY(read_id(t, get(json_array_get(added, i), "id"), &id));
    if (id > top) top = id;
  }
  if (top < 0) return wrong(t, "its vocabulary is empty");
  if ((size_t)top >= 2 * (json_object_size(vocab) + json_array_size(added)) + 1024)
    return wrong(t, "its ids leave most numbers out");
  t->spec.n_tokens = (size_t)top + 1;
  t->tokens = wh_arena_array(&t->arena, t->spec.n_tokens, sizeof *t->tokens);
  t->types = wh_arena_array(&t->arena, t->spec.n_tokens, sizeof *t->types);
  return t->tokens && t->types ? WH_OK : WH_OOM("vocabulary");
}

static wh_status read_tokens(wh_tokenizer_json *t, json_t *vocab, const json_t *added) {
  int32_t id;
  const char *key;
  json_t *value;
  if (!json_is_object(vocab)) return wrong(t, "its model has no vocab");
  WH_TRY(count_tokens(t, vocab, added));
  for (size_t i = 0; i < t->spec.n_tokens; i++) {
    t->tokens[i] = (wh_str){"", 0};
    t->types[i] = WH_TOKEN_UNUSED;
  }
  json_object_foreach(vocab, key, value) {
    WH_TRY(read_id(t, value, &id));
    t->tokens[id] = wh_str_from(key);
    t->types[id] = WH_TOKEN_NORMAL;
  }
  for (size_t i = 0; i < json_array_size(added); i++) {
    const json_t *a = json_array_get(added, i);
    WH_TRY(read_id(t, get(a, "id"), &id));
    t->tokens[id] = text_of(get(a, "content"));
    t->types[id] = truth(a, "special", false) ? WH_TOKEN_CONTROL : WH_TOKEN_USER_DEFINED;
  }
  t->spec.tokens = t->tokens;
  t->spec.token_types = t->types;
  return WH_OK;
}

static int32_t find(const wh_tokenizer_json *t, wh_str token) {
  for (size_t i = 0; token.len && i < t->spec.n_tokens; i++)
    if (wh_str_equal(t->tokens[i], token)) return (int32_t)i;
  return -1;
}

/* ---- models ---- */

static wh_status read_wordpiece(wh_tokenizer_json *t, const json_t *model) {
  const json_t *n = get(t->root, "normalizer"), *pre = get(t->root, "pre_tokenizer");
  const json_t *most = get(model, "max_input_chars_per_word"),
               *rest = get(model, "continuing_subword_prefix");
  if (!is(get(n, "type"), "BertNormalizer")) return refuse(t, "normalizer", get(n, "type"));
  if (!is(get(pre, "type"), "BertPreTokenizer")) return refuse(t, "pre_tokenizer", get(pre, "type"));
  if (!truth(n, "clean_text", true) || !truth(n, "handle_chinese_chars", true))
    return refuse(t, "normalizer without clean_text or handle_chinese_chars", NULL);
  if ((rest && !is(rest, "##")) || (most && json_integer_value(most) != 100))
    return refuse(t, "continuing_subword_prefix or max_input_chars_per_word", rest);
  t->spec.model = wh_str_from("bert");
  t->spec.lowercase = truth(n, "lowercase", true);
  t->spec.strip_accents = json_is_boolean(get(n, "strip_accents")) ? truth(n, "strip_accents", true) : -1;
  return WH_OK;
}

/* "left right"; newer files have them as pairs. */
static wh_status read_merges(wh_tokenizer_json *t, const json_t *merges) {
  const size_t n = json_array_size(merges);
  wh_str *list = wh_arena_array(&t->arena, n + 1, sizeof *list);
  if (!list) return WH_OOM("merges");
  for (size_t i = 0; i < n; i++) {
    const json_t *m = json_array_get(merges, i);
    const wh_str a = text_of(json_array_get(m, 0)), b = text_of(json_array_get(m, 1));
    list[i] = text_of(m);
    if (json_is_array(m)) {
      char *s = wh_arena_alloc(&t->arena, a.len + b.len + 1);
      if (!s) return WH_OOM("merges");
      memcpy(s, a.data, a.len);
      s[a.len] = ' ';
      memcpy(s + a.len + 1, b.data, b.len);
      list[i] = (wh_str){s, a.len + b.len + 1};
    }
    if (list[i].len < 3) return wrong(t, "one of its merges is no pair");
  }
  t->spec.merges = list;
  t->spec.n_merges = n;
  return WH_OK;
}

static wh_status read_bpe(wh_tokenizer_json *t, const json_t *model) {
  const json_t *n = get(t->root, "normalizer"), *pre = get(t->root, "pre_tokenizer");
  if (n && !json_is_null(n)) return refuse(t, "normalizer", get(n, "type"));
  if (!is(get(pre, "type"), "ByteLevel") || !truth(pre, "use_regex", true))
    return refuse(t, "pre_tokenizer", get(pre, "type"));
  if (truth(model, "byte_fallback", false) || truth(model, "ignore_merges", false))
    return refuse(t, "byte_fallback or ignore_merges", NULL);
  t->spec.model = wh_str_from("gpt2");
  t->spec.pre = wh_str_from("gpt-2");
  t->spec.puts_space = truth(pre, "add_prefix_space", true);
  return read_merges(t, get(model, "merges"));
}

/* ---- what stands around a text ---- */

static wh_status put_around(wh_tokenizer_json *t, int32_t id, bool behind) {
  size_t *n = behind ? &t->n_behind : &t->n_before;
  if (id < 0 || (size_t)id >= t->spec.n_tokens)
    return wrong(t, "its post_processor names a token that is not there");
  if (*n == AROUND_MAX) return refuse(t, "post_processor of many tokens", NULL);
  (behind ? t->behind : t->before)[(*n)++] = id;
  return WH_OK;
}

static wh_status read_template(wh_tokenizer_json *t, const json_t *p) {
  const json_t *single = get(p, "single");
  bool behind = false;
  for (size_t i = 0; i < json_array_size(single); i++) {
    const json_t *piece = json_array_get(single, i), *special = get(piece, "SpecialToken");
    if (!special) {
      if (behind || !get(piece, "Sequence"))
        return wrong(t, "its post_processor has no one place for the text");
      behind = true;
      continue;
    }
    const char *name = json_string_value(get(special, "id"));
    const json_t *ids = name ? get(get(get(p, "special_tokens"), name), "ids") : NULL;
    if (json_array_size(ids) == 0) return wrong(t, "its post_processor has a token without ids");
    for (size_t k = 0; k < json_array_size(ids); k++) {
      int32_t id;
      WH_TRY(read_id(t, json_array_get(ids, k), &id));
      WH_TRY(put_around(t, id, behind));
    }
  }
  return WH_OK;
}

static wh_status read_processor(wh_tokenizer_json *t, const json_t *p) {
  const json_t *type = get(p, "type"), *list = get(p, "processors");
  if (!p || json_is_null(p) || is(type, "ByteLevel")) return WH_OK; /* that one moves offsets only */
  if (is(type, "TemplateProcessing")) return read_template(t, p);
  if (is(type, "BertProcessing") || is(type, "RobertaProcessing")) {
    int32_t first, last;
    WH_TRY(read_id(t, json_array_get(get(p, "cls"), 1), &first));
    WH_TRY(read_id(t, json_array_get(get(p, "sep"), 1), &last));
    WH_TRY(put_around(t, first, false));
    return put_around(t, last, true);
  }
  if (!is(type, "Sequence")) return refuse(t, "post_processor", type);
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *inner = json_array_get(list, i);
    if (is(get(inner, "type"), "Sequence")) return refuse(t, "post_processor within another", type);
    WH_TRY(read_processor(t, inner));
  }
  return WH_OK;
}

static wh_status read_all(wh_tokenizer_json *t) {
  const json_t *model = get(t->root, "model"), *type = get(model, "type"), *p;
  if (!json_is_object(model)) return wrong(t, "it has no model");
  /* old files name no type */
  const bool bpe = is(type, "BPE") || (!type && get(model, "merges"));
  if (!bpe && type && !is(type, "WordPiece")) return refuse(t, "model", type);
  WH_TRY(read_tokens(t, (json_t *)(uintptr_t)get(model, "vocab"), get(t->root, "added_tokens")));
  WH_TRY(bpe ? read_bpe(t, model) : read_wordpiece(t, model));
  t->spec.unknown_id = find(t, text_of(get(model, "unk_token")));
  WH_TRY(read_processor(t, get(t->root, "post_processor")));
  p = get(get(t->root, "padding"), "pad_id");
  t->padding =
      json_is_integer(p) && json_integer_value(p) >= 0 && json_integer_value(p) < (json_int_t)t->spec.n_tokens
          ? (int32_t)json_integer_value(p)
          : find(t, wh_str_from(bpe ? "<pad>" : "[PAD]"));
  if (t->padding < 0) t->padding = 0;
  p = get(get(t->root, "truncation"), "max_length");
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
