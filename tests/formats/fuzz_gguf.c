/* fuzz_gguf.c - any bytes as a model file: opening them must succeed with views that lie inside the bytes, or
 * fail with a message. The corpus test runs the same function. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "formats/model_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

#define REQUIRE(x) \
  if (!(x)) abort()

static volatile uint8_t sink; /* reads that the compiler must not drop */

static void touch(const void *p, size_t n) {
  const uint8_t *bytes = p;
  if (n) sink = (uint8_t)(bytes[0] ^ bytes[n - 1]);
}

static void check_value(const wh_meta_value *v) {
  if (v->kind == WH_META_STRING) touch(v->s.data, v->s.len);
  if (v->kind == WH_META_BOOL) REQUIRE(v->i == 0 || v->i == 1);
  if (v->kind != WH_META_ARRAY) return;
  REQUIRE(v->elem_kind != WH_META_ARRAY);
  REQUIRE((v->ints != NULL) + (v->floats != NULL) + (v->strings != NULL) == 1);
  for (size_t i = 0; i < v->n; i++) {
    if (v->strings) touch(v->strings[i].data, v->strings[i].len);
    if (v->floats) touch(&v->floats[i], sizeof v->floats[i]);
    if (v->ints) touch(&v->ints[i], sizeof v->ints[i]);
    if (v->elem_kind == WH_META_BOOL) REQUIRE(v->ints[i] == 0 || v->ints[i] == 1);
  }
}

static void check_weight(const wh_weight_view *w, const uint8_t *data, size_t n_bytes) {
  const uint8_t *begin = w->data;
  size_t expected = 0;
  REQUIRE(w->rank >= 1 && w->rank <= 4);
  REQUIRE(begin >= data && begin <= data + n_bytes && w->n_bytes <= (size_t)(data + n_bytes - begin));
  REQUIRE(wh_dtype_row_bytes(w->dtype, (uint64_t)w->dims[w->rank - 1], &expected));
  for (int d = 0; d < w->rank - 1; d++) REQUIRE(wh_mul_size(expected, (size_t)w->dims[d], &expected));
  REQUIRE(expected == w->n_bytes && expected > 0);
  touch(begin, w->n_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes) {
  wh_model_file *f = NULL;
  wh_status status = wh_model_file_open_memory("fuzz", data, n_bytes, NULL, &f);
  if (status != WH_OK) {
    REQUIRE(!f && wh_last_error()->status == status);
    REQUIRE(strncmp(wh_last_error()->message, "fuzz: ", 6) == 0);
    REQUIRE(!strchr(wh_last_error()->message, '\n'));
    return 0;
  }
  for (size_t i = 0; i < wh_model_file_n_meta(f); i++) {
    const wh_meta_entry *e = wh_model_file_meta(f, i);
    char *key = wh_alloc_string(NULL, e->key.data, e->key.len);
    REQUIRE(key && wh_model_file_find_meta(f, key) == &e->value);
    check_value(&e->value);
    int64_t n;
    double x;
    wh_str s;
    bool b;
    (void)!wh_model_file_get_int(f, key, 0, 1000, &n);
    (void)!wh_model_file_get_float(f, key, &x);
    (void)!wh_model_file_get_string(f, key, &s);
    (void)!wh_model_file_get_bool_or(f, key, false, &b);
    wh_free(NULL, key);
  }
  for (size_t i = 0; i < wh_model_file_n_weights(f); i++) {
    const wh_weight_view *w = wh_model_file_weight(f, i);
    char *name = wh_alloc_string(NULL, w->name.data, w->name.len);
    REQUIRE(name && wh_model_file_find_weight(f, name) == w);
    check_weight(w, data, n_bytes);
    wh_free(NULL, name);
  }
  wh_model_file_close(f);
  return 0;
}
