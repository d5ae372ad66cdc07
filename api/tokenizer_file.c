/* tokenizer_file.c - tokenizers that lie beside a model, as tokenizer.json. */
#include "text/tokenizer_file.h"
#include "api/api_internal.h"
#include "core/base/file.h"

struct wh_tokenizer_file {
  const wh_allocator *alloc;
  wh_tokenizer_json *json;
};

wh_status wh_tokenizer_file_load(const char *path, const wh_allocator *allocator, wh_tokenizer_file **out) {
  wh_file *file;
  WH_WANT(path, "path");
  WH_WANT(out, "out");
  wh_tokenizer_file *t = wh_alloc_zeroed(allocator, sizeof *t);
  if (!t) return WH_OOM("tokenizer");
  t->alloc = allocator;
  wh_status st = wh_file_open(path, allocator, &file);
  if (st == WH_OK) {
    const wh_str text = {(const char *)wh_file_data(file), wh_file_size(file)};
    st = wh_tokenizer_json_read(path, text, allocator, &t->json);
    wh_file_close(file);
  }
  if (st != WH_OK) {
    wh_tokenizer_file_destroy(t);
    return st;
  }
  *out = t;
  return WH_OK;
}

void wh_tokenizer_file_destroy(wh_tokenizer_file *t) {
  if (!t) return;
  wh_tokenizer_json_destroy(t->json);
  wh_free(t->alloc, t);
}

wh_status wh_tokenizer_file_get_info(const wh_tokenizer_file *t, wh_tokenizer_info *info) {
  WH_WANT(t, "tokenizer");
  WH_WANT_INFO(info, "info", WH_TOKENIZER_INFO_INIT);
  wh_tokenizer_info i = WH_TOKENIZER_INFO_INIT;
  i.n_tokens = (uint32_t)wh_tokenizer_json_n_tokens(t->json);
  i.padding_id = wh_tokenizer_json_padding(t->json);
  i.max_tokens = wh_tokenizer_json_max_tokens(t->json);
  WH_WRITE_INFO(info, i);
  return WH_OK;
}

wh_status wh_tokenizer_file_encode(const wh_tokenizer_file *t, const char *text, size_t n_bytes,
                                   uint32_t flags, size_t max_tokens, int32_t *ids, size_t capacity,
                                   size_t *n) {
  WH_WANT(t, "tokenizer");
  WH_WANT(text || !n_bytes, "text");
  WH_WANT(ids || !capacity, "ids");
  WH_WANT(n, "n");
  if (flags & ~(WH_TOKENIZE_ADD_SPECIAL | WH_TOKENIZE_PARSE_SPECIAL))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%s: flags 0x%x hold one that is not known", __func__, flags);
  wh_token_list list = {.alloc = t->alloc};
  const wh_status st =
      wh_tokenizer_json_encode(t->json, (wh_str){text ? text : "", n_bytes}, flags, max_tokens, &list);
  if (st == WH_OK) {
    const size_t k = list.n < capacity ? list.n : capacity;
    if (k) memcpy(ids, list.ids, k * sizeof *ids);
    *n = list.n;
  }
  wh_token_list_deinit(&list);
  return st;
}
