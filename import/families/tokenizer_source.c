/* tokenizer_source.c - see tokenizer_source.h. Key names and defaults are those of the GGUF specification and
 * its converters. */
#include "import/families/tokenizer_source.h"

#define KEY(name) "tokenizer.ggml." name

/* An array of `kind` with `n` elements (0: any number); NULL when the key is absent. */
static wh_status get_array(const wh_model_file *file, const char *key, wh_meta_kind kind, size_t n,
                           const wh_meta_value **out) {
  const wh_meta_value *v = wh_model_file_find_meta(file, key);
  *out = NULL;
  if (!v) return WH_OK;
  if (v->kind != WH_META_ARRAY || (v->n > 0 && v->elem_kind != kind))
    return WH_FAIL(ERR_CORRUPT, "%s: '%s' is not an array of the right type", wh_model_file_path(file), key);
  if (n && v->n != n)
    return WH_FAIL(ERR_CORRUPT, "%s: '%s' has %zu elements for %zu tokens", wh_model_file_path(file), key,
                   v->n, n);
  *out = v;
  return WH_OK;
}

/* A token id. Absent, or out of the vocabulary (some converters write -1 as 4294967295): `fallback` if that
 * is a token, else -1. */
static wh_status get_id(const wh_model_file *file, const char *key, size_t n_tokens, int32_t fallback,
                        int32_t *out) {
  int64_t id;
  WH_TRY(wh_model_file_get_int_or(file, key, INT64_MIN, INT64_MAX, fallback, &id));
  if (id < 0 || (uint64_t)id >= n_tokens) id = fallback;
  *out = id >= 0 && (uint64_t)id < n_tokens ? (int32_t)id : -1;
  return WH_OK;
}

static wh_status get_choice(const wh_model_file *file, const char *key, int *out) {
  bool value;
  if (!wh_model_file_find_meta(file, key)) return WH_OK;
  WH_TRY(wh_model_file_get_bool_or(file, key, false, &value));
  *out = value;
  return WH_OK;
}

static wh_status read_ids(const wh_model_file *file, wh_tokenizer_spec *spec) {
  bool llama = wh_str_is(spec->model, "llama"), bert = wh_str_is(spec->model, "bert"),
       t5 = wh_str_is(spec->model, "t5");
  const struct {
    const char *key;
    int32_t fallback;
    int32_t *id;
  } ids[] = {
      {KEY("bos_token_id"),
       llama  ? 1
       : bert ? 101
              : -1,
       &spec->bos_id},
      {KEY("eos_token_id"),
       llama ? 2
       : t5  ? 1
             : -1,
       &spec->eos_id},
      {KEY("eot_token_id"), -1, &spec->eot_id},
      {KEY("eom_token_id"), -1, &spec->eom_id},
      {KEY("fim_pad_token_id"), -1, &spec->fim_pad_id},
      {KEY("fim_rep_token_id"), -1, &spec->fim_rep_id},
      {KEY("fim_sep_token_id"), -1, &spec->fim_sep_id},
      {KEY("unknown_token_id"),
       llama  ? 0
       : bert ? 100
       : t5   ? 2
              : -1,
       &spec->unknown_id},
      {KEY("seperator_token_id"), bert ? 102 : -1, &spec->separator_id}, /* so spelled in the specification */
      {KEY("padding_token_id"), bert || t5 ? 0 : -1, &spec->padding_id},
  };
  for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
    WH_TRY(get_id(file, ids[i].key, spec->n_tokens, ids[i].fallback, ids[i].id));
  return WH_OK;
}

static wh_status read_arrays(const wh_model_file *file, wh_tokenizer_spec *spec) {
  const wh_meta_value *v;
  WH_TRY(get_array(file, KEY("tokens"), WH_META_STRING, 0, &v));
  if (!v || v->n == 0) return WH_FAIL(ERR_CORRUPT, "%s: no '" KEY("tokens") "'", wh_model_file_path(file));
  spec->n_tokens = v->n;
  spec->tokens = v->strings;
  WH_TRY(get_array(file, KEY("scores"), WH_META_FLOAT, spec->n_tokens, &v));
  if (v) spec->scores = v->floats;
  WH_TRY(get_array(file, KEY("token_type"), WH_META_INT, spec->n_tokens, &v));
  if (v) spec->token_types = v->ints;
  WH_TRY(get_array(file, KEY("merges"), WH_META_STRING, 0, &v));
  if (v) {
    spec->n_merges = v->n;
    spec->merges = v->strings;
  } else if (wh_str_is(spec->model, "gpt2") || wh_str_is(spec->model, "gemma4")) {
    return WH_FAIL(ERR_CORRUPT, "%s: no '" KEY("merges") "'", wh_model_file_path(file));
  }
  return WH_OK;
}

/* The normalisation rules, an array of bytes; *bytes is the caller's to free. */
static wh_status read_charsmap(const wh_model_file *file, const wh_allocator *alloc, wh_tokenizer_spec *spec,
                               char **bytes) {
  const wh_meta_value *v;
  *bytes = NULL;
  WH_TRY(get_array(file, KEY("precompiled_charsmap"), WH_META_INT, 0, &v));
  if (!v || v->n == 0) return WH_OK;
  *bytes = wh_alloc_array(alloc, v->n, 1);
  if (!*bytes) return WH_OOM("the charsmap");
  for (size_t i = 0; i < v->n; i++) (*bytes)[i] = (char)(v->ints[i] & 0xff);
  spec->charsmap = (wh_str){*bytes, v->n};
  return WH_OK;
}

static bool has_byte_tokens(const wh_tokenizer_spec *spec) {
  for (size_t i = 0; spec->token_types && i < spec->n_tokens; i++)
    if (spec->token_types[i] == WH_TOKEN_BYTE) return true;
  return false;
}

wh_status wh_tokenizer_from_model_file(const wh_model_file *file, const wh_allocator *alloc,
                                       wh_tokenizer **out) {
  wh_tokenizer_spec spec = WH_TOKENIZER_SPEC_INIT;
  if (!wh_model_file_find_meta(file, KEY("model")))
    return WH_FAIL(ERR_NOT_FOUND, "%s: no tokenizer ('" KEY("model") "' is missing)",
                   wh_model_file_path(file));
  WH_TRY(wh_model_file_get_string_or(file, KEY("model"), "", &spec.model));
  if (wh_str_is(spec.model, "no_vocab"))
    return WH_FAIL(ERR_NOT_FOUND, "%s: made without a tokenizer", wh_model_file_path(file));
  WH_TRY(wh_model_file_get_string_or(file, KEY("pre"), "default", &spec.pre));
  WH_TRY(wh_model_file_get_string_or(file, "general.architecture", "", &spec.architecture));
  WH_TRY(read_arrays(file, &spec));
  WH_TRY(read_ids(file, &spec));
  const struct {
    const char *key;
    int *choice;
  } choices[] = {{KEY("add_bos_token"), &spec.add_bos},
                 {KEY("add_eos_token"), &spec.add_eos},
                 {KEY("add_space_prefix"), &spec.add_space_prefix},
                 {KEY("normalizer.lowercase"), &spec.lowercase},
                 {KEY("normalizer.strip_accents"), &spec.strip_accents}};
  for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++)
    WH_TRY(get_choice(file, choices[i].key, choices[i].choice));
  WH_TRY(wh_model_file_get_bool_or(file, KEY("remove_extra_whitespaces"), false,
                                   &spec.remove_extra_whitespaces));
  char *charsmap;
  WH_TRY(read_charsmap(file, alloc, &spec, &charsmap));
  spec.byte_fallback = has_byte_tokens(&spec);
  const wh_status status = wh_tokenizer_create(&spec, alloc, out);
  wh_free(alloc, charsmap);
  return status == WH_OK ? WH_OK : wh_fail_prefix("%s", wh_model_file_path(file));
}
