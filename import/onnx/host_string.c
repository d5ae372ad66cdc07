/* host_string.c - operators on texts, and on n-grams. */
#include <string.h>

#include "import/onnx/lowerings.h"

static char changed(char c, int way) {
  if (way < 0 && c >= 'A' && c <= 'Z') return (char)(c - 'A' + 'a');
  if (way > 0 && c >= 'a' && c <= 'z') return (char)(c - 'a' + 'A');
  return c;
}

static bool same_word(wh_str a, wh_str b, bool exactly) {
  if (exactly) return wh_str_equal(a, b);
  if (a.len != b.len) return false;
  for (size_t i = 0; i < a.len; i++)
    if (changed(a.data[i], -1) != changed(b.data[i], -1)) return false;
  return true;
}

/* Letters of ASCII change their case; others stay. */
void ox_lower_string_normalizer(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const wh_str action = ox_attr_s(o, "case_change_action", "NONE");
  const int way = wh_str_is(action, "LOWER") ? -1 : wh_str_is(action, "UPPER") ? 1 : 0;
  const bool exactly = ox_attr_i(o, "is_case_sensitive", 0) != 0;
  size_t n_stops, n = 0;
  const wh_str *stops = ox_attr_strings(o, "stopwords", &n_stops);
  if (x->dtype != WH_DTYPE_STRING || x->rank < 1 || x->rank > 2 || (x->rank == 2 && x->dims[0] != 1))
    OX_FAIL(o, ERR_CORRUPT, "its input is no row of strings");
  wh_str *kept = ox_array(o, x->n + 1, sizeof *kept);
  if (!kept || o->st != WH_OK) return;
  for (size_t i = 0; i < x->n && o->st == WH_OK; i++) {
    bool is_stop = false;
    for (size_t k = 0; k < n_stops && !is_stop; k++) is_stop = same_word(x->strings[i], stops[k], exactly);
    if (is_stop) continue;
    char *copy = ox_alloc(o, x->strings[i].len + 1);
    for (size_t k = 0; copy && k < x->strings[i].len; k++) copy[k] = changed(x->strings[i].data[k], way);
    kept[n++] = (wh_str){copy, x->strings[i].len};
  }
  if (n == 0) kept[n++] = (wh_str){"", 0};
  const int64_t dims[] = {1, (int64_t)n};
  wh_datum *y = ox_from(o, ox_new_strings(o, x->rank, x->rank == 2 ? dims : dims + 1), &x, 1);
  if (o->st == WH_OK) memcpy((void *)(uintptr_t)y->strings, kept, n * sizeof *kept);
  ox_give(o, 0, y);
}

typedef struct gram_pool {
  const int64_t *ints;
  const wh_str *strings;
  size_t n;
} gram_pool;

static bool same_item(const wh_datum *x, size_t i, const gram_pool *p, size_t k) {
  return x->strings ? wh_str_equal(x->strings[i], p->strings[k]) : ox_element_int(x, i) == p->ints[k];
}

void ox_lower_tf_idf_vectorizer(ox *o) {
  wh_datum *x = ox_in(o, 0);
  size_t n_counts, n_indexes, n_weights;
  const int64_t *counts = ox_attr_ints(o, "ngram_counts", &n_counts),
                *indexes = ox_attr_ints(o, "ngram_indexes", &n_indexes);
  const float *weights = ox_attr_floats(o, "weights", &n_weights);
  gram_pool pool = {NULL, NULL, 0};
  ox_need(o, x);
  if (x->strings)
    pool.strings = ox_attr_strings(o, "pool_strings", &pool.n);
  else
    pool.ints = ox_attr_ints(o, "pool_int64s", &pool.n);
  const int64_t least = ox_attr_i(o, "min_gram_length", 1), most = ox_attr_i(o, "max_gram_length", 1),
                skips = ox_attr_i(o, "max_skip_count", 0);
  const wh_str mode = ox_attr_s(o, "mode", "TF");
  if (x->rank < 1 || x->rank > 2 || least < 1 || skips < 0 || skips > 1 << 20)
    OX_FAIL(o, ERR_CORRUPT, "its input or its lengths are out of range");
  if (o->st != WH_OK) return;
  int64_t width = 0;
  for (size_t i = 0; i < n_indexes; i++) width = indexes[i] >= width ? indexes[i] + 1 : width;
  const int64_t rows = x->rank == 2 ? x->dims[0] : 1, row = x->dims[x->rank - 1], dims[] = {rows, width};
  wh_datum *y = ox_from(o, ox_new(o, WH_DTYPE_F32, x->rank, x->rank == 2 ? dims : dims + 1), &x, 1);
  if (o->st != WH_OK) return;
  float *out = (float *)(uintptr_t)y->data;
  size_t gram = 0; /* number of the n-gram in the pool */
  for (int64_t n = 1; n <= (int64_t)n_counts; n++) {
    const size_t begin = (size_t)counts[n - 1], end = n < (int64_t)n_counts ? (size_t)counts[n] : pool.n;
    if (begin > end || end > pool.n) OX_FAIL(o, ERR_CORRUPT, "ngram_counts are no parts of its pool");
    for (size_t at = begin; o->st == WH_OK && at + (size_t)n <= end; at += (size_t)n, gram++) {
      if (gram >= n_indexes || indexes[gram] < 0 || n < least || n > most) continue;
      for (int64_t r = 0; r < rows; r++)
        for (int64_t skip = 0; skip <= (n == 1 ? 0 : skips); skip++)
          for (int64_t i = 0; i + (n - 1) * (skip + 1) < row; i++) {
            bool hit = true;
            for (int64_t k = 0; k < n && hit; k++)
              hit = same_item(x, (size_t)(r * row + i + k * (skip + 1)), &pool, at + (size_t)k);
            out[r * width + indexes[gram]] += hit ? 1.0f : 0.0f;
          }
      const float w = gram < n_weights ? weights[gram] : 1.0f;
      for (int64_t r = 0; r < rows && !wh_str_is(mode, "TF"); r++) {
        float *p = &out[r * width + indexes[gram]];
        *p = wh_str_is(mode, "IDF") ? (*p > 0 ? w : 0) : *p * w;
      }
    }
  }
  ox_give(o, 0, y);
}
