/* tokenizer_json_unigram.c - the parts of a tokenizer.json that Unigram models have: pieces with scores, the
 * steps of a normalizer, the cuts of a pre_tokenizer. */
#include "text/tokenizer_json.h"

#define TEXT_MAX 256   /* bytes that a step writes for one match */
#define GROWTH_MAX 256 /* of a text by all replacements: a few bytes in a file could make texts explode */

wh_status wh_tokenizer_json_read_pieces(wh_tokenizer_json *t, const json_t *vocab) {
  const size_t n = json_array_size(vocab);
  int64_t top = (int64_t)n - 1;
  if (n == 0) return wh_tokenizer_json_wrong(t, "its vocabulary is empty");
  WH_TRY(wh_tokenizer_json_top(t, &top));
  WH_TRY(wh_tokenizer_json_make_room(t, top, n));
  double *scores = wh_arena_array(&t->arena, t->spec.n_tokens, sizeof *scores);
  if (!scores) return WH_OOM("scores");
  for (size_t i = 0; i < n; i++) {
    const json_t *piece = json_array_get(vocab, i), *text = json_array_get(piece, 0),
                 *score = json_array_get(piece, 1);
    if (!json_is_string(text) || !json_is_number(score))
      return wh_tokenizer_json_wrong(t, "one of its pieces is no text with a score");
    t->tokens[i] = wh_json_text(text);
    t->types[i] = WH_TOKEN_NORMAL;
    scores[i] = json_number_value(score);
  }
  t->spec.scores = scores;
  return WH_OK;
}

/* ---- normalizer ---- */

static int base64_digit(char c) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const char *at = c ? strchr(digits, c) : NULL;
  return at ? (int)(at - digits) : -1;
}

static bool decode_base64(wh_str text, char *out, size_t *n) {
  uint32_t bits = 0;
  int n_bits = 0;
  *n = 0;
  while (text.len && text.data[text.len - 1] == '=') text.len--;
  for (size_t i = 0; i < text.len; i++) {
    const int digit = base64_digit(text.data[i]);
    if (digit < 0) return false;
    bits = bits << 6 | (uint32_t)digit;
    n_bits += 6;
    if (n_bits < 8) continue;
    n_bits -= 8;
    out[(*n)++] = (char)(bits >> n_bits & 0xff);
  }
  return true;
}

static wh_status read_charsmap(wh_tokenizer_json *t, const json_t *n, wh_text_step *step) {
  const wh_str text = wh_json_text(wh_json_get(n, "precompiled_charsmap"));
  wh_str blob = {"", 0};
  if (t->charsmap.units) return wh_tokenizer_json_refuse(t, "normalizer with two charsmaps", NULL);
  char *bytes = wh_arena_alloc(&t->arena, text.len + 1);
  if (!bytes) return WH_OOM("the charsmap");
  if (!decode_base64(text, bytes, &blob.len)) return wh_tokenizer_json_wrong(t, "its charsmap is not base64");
  if (blob.len == 0) return wh_tokenizer_json_wrong(t, "its charsmap is empty");
  blob.data = bytes;
  step->charsmap = &t->charsmap;
  if (wh_charsmap_init(&t->charsmap, blob, t->alloc) != WH_OK) return wh_fail_prefix("%.200s", t->name);
  return WH_OK;
}

static wh_status read_replace(wh_tokenizer_json *t, const json_t *n, wh_text_step *step) {
  const json_t *pattern = wh_json_get(n, "pattern"), *regex = wh_json_get(pattern, "Regex");
  step->with = wh_json_text(wh_json_get(n, "content"));
  step->pattern = wh_json_text(wh_json_get(pattern, "String"));
  if (regex && !wh_json_is(regex, " {2,}"))
    return wh_tokenizer_json_refuse(t, "normalizer that replaces", regex);
  if (regex) step->kind = WH_STEP_REPLACE_SPACES;
  if (!regex && step->pattern.len == 0) return wh_tokenizer_json_wrong(t, "its normalizer replaces nothing");
  if (step->with.len > TEXT_MAX)
    return wh_tokenizer_json_refuse(t, "normalizer that writes long texts", NULL);
  const size_t replaced = regex ? 2 : step->pattern.len;
  if (step->with.len > replaced) t->growth *= (step->with.len + replaced - 1) / replaced;
  if (t->growth > GROWTH_MAX) return wh_tokenizer_json_refuse(t, "normalizer whose replacements grow", NULL);
  return WH_OK;
}

static wh_status read_step(wh_tokenizer_json *t, const json_t *n) {
  static const struct {
    const char *type;
    wh_text_step_kind kind;
  } kinds[] = {{"NFC", WH_STEP_NFC},         {"NFD", WH_STEP_NFD},
               {"NFKC", WH_STEP_NFKC},       {"NFKD", WH_STEP_NFKD},
               {"Nmt", WH_STEP_NMT},         {"Lowercase", WH_STEP_LOWERCASE},
               {"Strip", WH_STEP_STRIP},     {"StripAccents", WH_STEP_STRIP_ACCENTS},
               {"Replace", WH_STEP_REPLACE}, {"Precompiled", WH_STEP_CHARSMAP},
               {"Prepend", WH_STEP_PREPEND}};
  const json_t *type = wh_json_get(n, "type");
  size_t k = 0;
  while (k < sizeof kinds / sizeof kinds[0] && !wh_json_is(type, kinds[k].type)) k++;
  if (k == sizeof kinds / sizeof kinds[0]) return wh_tokenizer_json_refuse(t, "normalizer", type);
  if (t->rules.n_steps == WH_TEXT_STEPS_MAX)
    return wh_tokenizer_json_refuse(t, "normalizer of many steps", NULL);
  wh_text_step *step = &t->rules.steps[t->rules.n_steps++];
  *step = (wh_text_step){.kind = kinds[k].kind,
                         .with = wh_json_text(wh_json_get(n, "prepend")),
                         .left = wh_json_truth(n, "strip_left", true),
                         .right = wh_json_truth(n, "strip_right", true)};
  if (step->with.len > TEXT_MAX)
    return wh_tokenizer_json_refuse(t, "normalizer that writes long texts", NULL);
  if (step->kind == WH_STEP_REPLACE) return read_replace(t, n, step);
  return step->kind == WH_STEP_CHARSMAP ? read_charsmap(t, n, step) : WH_OK;
}

/* ---- pre_tokenizer ---- */

static wh_status read_metaspace(wh_tokenizer_json *t, const json_t *p) {
  const json_t *scheme = wh_json_get(p, "prepend_scheme");
  const wh_str mark = wh_json_text(wh_json_get(p, "replacement"));
  if (t->rules.mark.len) return wh_tokenizer_json_refuse(t, "pre_tokenizer with two Metaspaces", NULL);
  if (mark.len == 0 || mark.len > 4)
    return wh_tokenizer_json_wrong(t, "its Metaspace has no character for spaces");
  t->rules.mark = mark;
  t->rules.prepend = wh_json_is(scheme, "first")   ? WH_PREPEND_FIRST
                     : wh_json_is(scheme, "never") ? WH_PREPEND_NEVER
                                                   : WH_PREPEND_ALWAYS;
  if (!wh_json_truth(p, "add_prefix_space", true)) t->rules.prepend = WH_PREPEND_NEVER;
  t->rules.cuts_at_mark = wh_json_truth(p, "split", true);
  return WH_OK;
}

static wh_status read_cut(wh_tokenizer_json *t, const json_t *p) {
  const json_t *type = wh_json_get(p, "type");
  if (wh_json_is(type, "Metaspace")) return read_metaspace(t, p);
  /* behind a Metaspace it would cut at other kinds of space within its pieces */
  if (!wh_json_is(type, "WhitespaceSplit") || t->rules.mark.len)
    return wh_tokenizer_json_refuse(t, "pre_tokenizer", type);
  t->rules.cuts_at_space = true;
  return WH_OK;
}

/* One part, or the parts of a Sequence under `list`. */
static wh_status read_parts(wh_tokenizer_json *t, const json_t *part, const char *list,
                            wh_status (*read)(wh_tokenizer_json *, const json_t *)) {
  if (!part || json_is_null(part)) return WH_OK;
  if (!wh_json_is(wh_json_get(part, "type"), "Sequence")) return read(t, part);
  const json_t *parts = wh_json_get(part, list);
  for (size_t i = 0; i < json_array_size(parts); i++) WH_TRY(read(t, json_array_get(parts, i)));
  return WH_OK;
}

wh_status wh_tokenizer_json_read_unigram(wh_tokenizer_json *t, const json_t *model) {
  const json_t *unknown = wh_json_get(model, "unk_id");
  t->growth = 1;
  WH_TRY(read_parts(t, wh_json_get(t->root, "normalizer"), "normalizers", read_step));
  WH_TRY(read_parts(t, wh_json_get(t->root, "pre_tokenizer"), "pretokenizers", read_cut));
  if (json_is_integer(unknown)) {
    const json_int_t id = json_integer_value(unknown);
    if (id < 0 || id >= (json_int_t)json_array_size(wh_json_get(model, "vocab")))
      return wh_tokenizer_json_wrong(t, "its unk_id is none of its pieces");
    t->spec.unknown_id = (int32_t)id;
  }
  t->spec.model = wh_str_from("t5");
  t->spec.text_rules = &t->rules;
  t->spec.byte_fallback = wh_json_truth(model, "byte_fallback", false);
  return WH_OK;
}
