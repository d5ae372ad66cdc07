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
    pool.ints = ox_attr_longs(o, "pool_int64s", &pool.n);
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

/* ---- joining and splitting ---- */

void ox_lower_string_concat(ox *o) {
  wh_datum *a = ox_in(o, 0), *b = ox_in(o, 1), *in[] = {a, b};
  int64_t dims[WH_MAX_RANK];
  if (a->dtype != WH_DTYPE_STRING || b->dtype != WH_DTYPE_STRING)
    OX_FAIL(o, ERR_CORRUPT, "its inputs are no strings");
  const int rank = ox_broadcast(o, a, b, dims);
  wh_datum *y = ox_from(o, o->st == WH_OK ? ox_new_strings(o, rank, dims) : &o->nothing, in, 2);
  for (size_t i = 0; o->st == WH_OK && i < y->n; i++) {
    const wh_str p = a->strings[ox_place(a, rank, dims, i)], q = b->strings[ox_place(b, rank, dims, i)];
    char *text = ox_alloc(o, p.len + q.len + 1);
    if (!text) return;
    memcpy(text, p.data, p.len);
    memcpy(text + p.len, q.data, q.len);
    ((wh_str *)(uintptr_t)y->strings)[i] = (wh_str){text, p.len + q.len};
  }
  ox_give(o, 0, y);
}

static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Takes the next part off the text; false: there is none. Without a delimiter, runs of white space are one,
 * and the last part ends before such a run. */
static bool next_part(wh_str *text, wh_str delimiter, bool is_last, bool is_first, wh_str *part) {
  size_t end = 0;
  if (delimiter.len) {
    if (!text->data) return false;
    while (!is_last && end + delimiter.len <= text->len &&
           memcmp(text->data + end, delimiter.data, delimiter.len) != 0)
      end++;
    const bool found = !is_last && end + delimiter.len <= text->len;
    if (!found) end = text->len;
    *part = (wh_str){text->data, end};
    *text = found ? (wh_str){text->data + end + delimiter.len, text->len - end - delimiter.len}
                  : (wh_str){NULL, 0};
    return !is_first || found || end; /* of nothing there is nothing */
  }
  while (text->len && is_space(text->data[0])) *text = (wh_str){text->data + 1, text->len - 1};
  while (end < text->len && (is_last || !is_space(text->data[end]))) end++;
  *part = (wh_str){text->data, end};
  while (is_last && part->len && is_space(part->data[part->len - 1])) part->len--;
  *text = (wh_str){text->data + end, text->len - end};
  return part->len;
}

static size_t count_parts(wh_str text, wh_str delimiter, int64_t most, wh_str *out, size_t room) {
  size_t n = 0;
  wh_str part;
  if (!text.data) text.data = "";
  while (next_part(&text, delimiter, (int64_t)n == most, n == 0, &part)) {
    if (n < room) out[n] = part;
    n++;
  }
  return n;
}

void ox_lower_string_split(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const wh_str delimiter = ox_attr_s(o, "delimiter", "");
  const int64_t most = ox_attr(o, "maxsplit") ? ox_attr_long(o, "maxsplit", 0) : INT64_MAX;
  int64_t dims[WH_MAX_RANK + 1];
  if (x->dtype != WH_DTYPE_STRING) OX_FAIL(o, ERR_CORRUPT, "its input is no strings");
  if (x->rank >= WH_MAX_RANK)
    OX_FAIL(o, ERR_LIMIT, "its result has rank %d, at most %d is computed", x->rank + 1, WH_MAX_RANK);
  wh_datum *counts =
      ox_from(o, o->st == WH_OK ? ox_new(o, WH_DTYPE_I64, x->rank, x->dims) : &o->nothing, &x, 1);
  size_t widest = 0;
  for (size_t i = 0; o->st == WH_OK && i < x->n; i++) {
    const size_t n = count_parts(x->strings[i], delimiter, most, NULL, 0);
    ox_store_int(WH_DTYPE_I64, (void *)(uintptr_t)counts->data, i, (int64_t)n);
    if (n > widest) widest = n;
  }
  memcpy(dims, x->dims, sizeof x->dims);
  dims[x->rank] = (int64_t)widest;
  wh_datum *y = ox_from(o, o->st == WH_OK ? ox_new_strings(o, x->rank + 1, dims) : &o->nothing, &x, 1);
  for (size_t i = 0; o->st == WH_OK && i < x->n; i++)
    (void)count_parts(x->strings[i], delimiter, most, (wh_str *)(uintptr_t)y->strings + i * widest, widest);
  ox_give(o, 0, y);
  ox_give(o, 1, counts);
}
