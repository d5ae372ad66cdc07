/* host_labels.c - ai.onnx.ml's operators on labels, which may be texts: on the host, unless all are numbers.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "import/onnx/lowerings.h"

/* A list of keys or of values: of one of the three kinds. */
typedef struct label_list {
  size_t n;
  const wh_str *strings;
  const double *numbers; /* floats */
  const int64_t *ints;
  wh_dtype dtype;
  bool nan_is_nan; /* as a key */
} label_list;

static bool from_tensor(ox *o, const char *name, label_list *l) {
  wh_datum *d = ox_attr_tensor(o, name);
  if (!d) return false;
  *l = (label_list){.n = d->n, .strings = d->strings, .dtype = d->dtype};
  if (d->dtype == WH_DTYPE_STRING) return true;
  if (wh_dtype_is_float(d->dtype))
    l->numbers = ox_doubles(o, d);
  else
    l->ints = ox_longs(o, d);
  return true;
}

/* keys_tensor, keys_strings, keys_int64s or keys_floats, or with values the same. */
static void read_labels(ox *o, const char *tensor, const char *strings, const char *ints, const char *floats,
                        label_list *l) {
  *l = (label_list){.n = 0};
  if (tensor && from_tensor(o, tensor, l)) return;
  l->strings = ox_attr_strings(o, strings, &l->n);
  l->dtype = WH_DTYPE_STRING;
  if (l->strings) return;
  l->ints = ox_attr_longs(o, ints, &l->n);
  l->dtype = WH_DTYPE_I64;
  if (l->ints || !floats) return;
  const float *f = ox_attr_floats(o, floats, &l->n);
  double *d = f ? ox_array(o, l->n, sizeof *d) : NULL;
  for (size_t i = 0; d && i < l->n; i++) d[i] = (double)f[i];
  l->numbers = d;
  l->dtype = WH_DTYPE_F32;
}

/* The first key that x[i] is; n: none. */
static size_t find_label(const wh_datum *x, size_t i, const label_list *keys) {
  for (size_t k = 0; k < keys->n; k++) {
    if (keys->strings) {
      if (wh_str_equal(x->strings[i], keys->strings[k])) return k;
    } else if (keys->ints) {
      if (ox_element_int(x, i) == keys->ints[k]) return k;
    } else {
      const double v = ox_element(x, i);
      if (v == keys->numbers[k] || (keys->nan_is_nan && isnan(v) && isnan(keys->numbers[k]))) return k;
    }
  }
  return keys->n;
}

static void put(wh_datum *y, size_t i, const label_list *values, size_t k) {
  void *room = (void *)(uintptr_t)y->data;
  if (values->strings)
    ((wh_str *)(uintptr_t)y->strings)[i] = values->strings[k];
  else if (values->ints)
    ox_store_int(y->dtype, room, i, values->ints[k]);
  else
    ox_store(y->dtype, room, i, values->numbers[k]);
}

/* What x's elements are mapped to; `otherwise` has one entry, of the values' kind: a file that leaves the
 * values out has none. */
static wh_datum *mapped(ox *o, wh_datum *x, const label_list *keys, const label_list *values,
                        const label_list *otherwise) {
  ox_need(o, x);
  if (!keys->strings != !x->strings || !values->strings != !otherwise->strings || keys->n != values->n ||
      (keys->n && !keys->strings && !keys->ints && !keys->numbers))
    OX_FAIL(o, ERR_CORRUPT, "its %zu keys do not go with its input or its %zu values", keys->n, values->n);
  if (o->st != WH_OK) return &o->nothing;
  wh_datum *y =
      values->strings ? ox_new_strings(o, x->rank, x->dims) : ox_new(o, values->dtype, x->rank, x->dims);
  y = ox_from(o, y, &x, 1);
  for (size_t i = 0; o->st == WH_OK && i < x->n; i++) {
    const size_t k = find_label(x, i, keys);
    put(y, i, k < keys->n ? values : otherwise, k < keys->n ? k : 0);
  }
  return y;
}

void ox_lower_label_encoder(ox *o) {
  wh_datum *x = ox_in(o, 0);
  label_list keys, values, otherwise = {.n = 1};
  const wh_str text = ox_attr_s(o, "default_string", "_Unused");
  int64_t *positions = NULL, whole = ox_attr_long(o, "default_int64", -1);
  const double number = ox_attr_f(o, "default_float", 0);
  if (ox_opset(o) < 2) { /* classes: a text to its place, or back */
    read_labels(o, NULL, "classes_strings", "", NULL, &keys);
    positions = ox_array(o, keys.n, sizeof *positions);
    for (size_t i = 0; positions && i < keys.n; i++) positions[i] = (int64_t)i;
    values = (label_list){.n = keys.n, .ints = positions, .dtype = WH_DTYPE_I64};
    if (x->dtype != WH_DTYPE_STRING) {
      const label_list texts = keys;
      keys = values;
      values = texts;
    }
  } else {
    read_labels(o, "keys_tensor", "keys_strings", "keys_int64s", "keys_floats", &keys);
    read_labels(o, "values_tensor", "values_strings", "values_int64s", "values_floats", &values);
  }
  if (!ox_attr(o, "default_tensor") || !from_tensor(o, "default_tensor", &otherwise)) {
    otherwise.strings = values.strings ? &text : NULL;
    otherwise.ints = values.ints ? &whole : NULL;
    otherwise.numbers = &number;
  } else if (!otherwise.strings != !values.strings || otherwise.n != 1) {
    OX_FAIL(o, ERR_CORRUPT, "default_tensor is not of the values' type");
  }
  keys.nan_is_nan = ox_opset(o) >= 4;
  ox_give(o, 0, mapped(o, x, &keys, &values, &otherwise));
}

/* Texts to numbers, or numbers to texts. */
void ox_lower_category_mapper(ox *o) {
  wh_datum *x = ox_in(o, 0);
  label_list texts, ints = {.n = 0, .dtype = WH_DTYPE_I64}, otherwise = {.n = 1};
  const wh_str text = ox_attr_s(o, "default_string", "_Unused");
  const int64_t whole = ox_attr_long(o, "default_int64", -1);
  read_labels(o, NULL, "cats_strings", "", NULL, &texts);
  ints.ints = ox_attr_longs(o, "cats_int64s", &ints.n);
  const bool from_text = x->dtype == WH_DTYPE_STRING;
  if (from_text)
    otherwise.ints = &whole;
  else
    otherwise.strings = &text;
  ox_give(o, 0,
          from_text ? mapped(o, x, &texts, &ints, &otherwise) : mapped(o, x, &ints, &texts, &otherwise));
}

/* A new axis with a place for each category, 1 where it is; unknown ones are zeros. */
void ox_lower_one_hot_encoder(ox *o) {
  wh_datum *x = ox_in(o, 0);
  label_list cats;
  read_labels(o, NULL, "cats_strings", "cats_int64s", NULL, &cats);
  if (x->rank >= WH_MAX_RANK) OX_FAIL(o, ERR_LIMIT, "its result has rank %d", x->rank + 1);
  if (!cats.n) OX_FAIL(o, ERR_CORRUPT, "it has no categories");
  if (o->st != WH_OK) return;
  if (cats.ints) {
    wh_datum *hit =
        ox_binary(o, WH_OP_EQUAL, ox_insert_axes(o, ox_cast(o, x, WH_DTYPE_I64), 1u << x->rank, x->rank + 1),
                  ox_const_ints(o, cats.ints, cats.n));
    ox_give(o, 0, ox_cast(o, hit, WH_DTYPE_F32));
    return;
  }
  int64_t dims[WH_MAX_RANK];
  memcpy(dims, x->dims, sizeof dims);
  dims[x->rank] = (int64_t)cats.n;
  ox_need(o, x);
  if (!x->strings) OX_FAIL(o, ERR_CORRUPT, "its categories are texts and its input is not");
  wh_datum *y = ox_from(o, o->st == WH_OK ? ox_new(o, WH_DTYPE_F32, x->rank + 1, dims) : &o->nothing, &x, 1);
  for (size_t i = 0; o->st == WH_OK && i < x->n; i++) {
    const size_t k = find_label(x, i, &cats);
    if (k < cats.n) ox_store(WH_DTYPE_F32, (void *)(uintptr_t)y->data, i * cats.n + k, 1);
  }
  ox_give(o, 0, y);
}
