/* ops_ml.c - classical machine learning (ai.onnx.ml) that is numbers only: scalers, linear models, encoders.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "import/onnx/lowerings.h"

/* ---- scores and labels ---- */

/* As softmax, but what is 0 stays about 0 and has no share. */
static wh_datum *softmax_zero(ox *o, wh_datum *x) {
  const unsigned last = 1u << (x->rank - 1);
  wh_datum *top = ox_reduce(o, WH_OP_REDUCE_MAX, x, last, true), *zero = ox_num(o, x, 0);
  wh_datum *counts = ox_binary(o, WH_OP_LESS, ox_num(o, x, 1e-7), ox_unary(o, WH_OP_ABS, x));
  wh_datum *e = ox_unary(o, WH_OP_EXP, ox_sub(o, x, top)),
           *rest = ox_mul(o, x, ox_unary(o, WH_OP_EXP, ox_sub(o, zero, top)));
  wh_datum *sum = ox_reduce(o, WH_OP_REDUCE_SUM, ox_where(o, counts, e, zero), last, true);
  return ox_div(o, ox_where(o, counts, e, rest), sum);
}

wh_datum *ox_post_transform(ox *o, wh_datum *x, wh_str name) {
  if (o->st != WH_OK || wh_str_is(name, "NONE")) return x;
  if (wh_str_is(name, "SOFTMAX")) return ox_softmax(o, x, x->rank - 1);
  if (wh_str_is(name, "LOGISTIC")) return ox_unary(o, WH_OP_SIGMOID, x);
  if (wh_str_is(name, "SOFTMAX_ZERO")) return softmax_zero(o, x);
  OX_FAIL(o, ERR_UNSUPPORTED, "its post_transform '" WH_STR_FMT "' is not computed", WH_STR_ARG(name));
  return x;
}

/* Labels of numbers of classes: texts are chosen on the host. */
wh_datum *ox_labels(ox *o, wh_datum *ids) {
  size_t n, n_strings;
  const char *name = ox_attr(o, "classlabels_ints") ? "classlabels_ints" : "classlabels_int64s";
  const int64_t *ints = ox_attr_longs(o, name, &n);
  const wh_str *strings = ox_attr_strings(o, "classlabels_strings", &n_strings);
  if (n && !n_strings) return ox_gather(o, ox_const_ints(o, ints, n), ids, 0);
  const int64_t *id = ox_ints(o, ids);
  wh_datum *y = id ? ox_from(o, ox_new_strings(o, ids->rank, ids->dims), &ids, 1) : &o->nothing;
  for (size_t i = 0; o->st == WH_OK && i < ids->n; i++) {
    if (id[i] < 0 || id[i] >= (int64_t)n_strings)
      OX_FAIL(o, ERR_CORRUPT, "it has no label for class %" PRId64, id[i]);
    if (o->st == WH_OK) ((wh_str *)(uintptr_t)y->strings)[i] = strings[id[i]];
  }
  return y;
}

static size_t count_labels(ox *o) {
  size_t ints, more, strings;
  (void)ox_attr_longs(o, "classlabels_ints", &ints);
  (void)ox_attr_longs(o, "classlabels_int64s", &more);
  (void)ox_attr_strings(o, "classlabels_strings", &strings);
  return ints + more + strings;
}

/* One score s for the second of two classes: the first's is 1 - s, or -s. */
static void give_two(ox *o, wh_datum *s, ox_second second, wh_str post) {
  wh_datum *border = ox_num(o, s, second == OX_SECOND_IS_SHARE ? 0.5 : 0), *first;
  wh_datum *is_second = ox_binary(o, WH_OP_LESS, border, s);
  if (second == OX_SECOND_IS_SHARE) {
    first = ox_sub(o, ox_num(o, s, 1), s);
  } else {
    first = ox_unary(o, WH_OP_NEG, s);
    if (wh_str_is(post, "LOGISTIC")) {
      first = ox_unary(o, WH_OP_SIGMOID, first);
      s = ox_unary(o, WH_OP_SIGMOID, s);
    }
  }
  wh_datum *both[] = {first, s}, *ids = ox_cast(o, ox_drop_axes(o, is_second, 2), WH_DTYPE_I64);
  ox_give(o, 0, ox_labels(o, ids));
  ox_give(o, 1, ox_f32(o, ox_concat(o, 1, both, 2)));
}

void ox_give_classes(ox *o, wh_datum *scores, ox_second second) {
  const wh_str post = ox_attr_s(o, "post_transform", "NONE");
  if (o->st != WH_OK) return;
  if (scores->rank != 2) OX_FAIL(o, ERR_CORRUPT, "its scores have rank %d", scores->rank);
  if (o->st == WH_OK && scores->dims[1] == 1 && count_labels(o) == 2) {
    give_two(o, scores, second, post);
    return;
  }
  if (o->st == WH_OK && (size_t)scores->dims[1] != count_labels(o))
    OX_FAIL(o, ERR_CORRUPT, "it has %zu labels for %" PRId64 " scores", count_labels(o), scores->dims[1]);
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, 1), ox_a_i(WH_ATTR_KEEP, 0), ox_a_i(WH_ATTR_LAST, 0)};
  if (o->st != WH_OK) return;
  ox_give(o, 0, ox_labels(o, ox_node1(o, WH_OP_ARG_MAX, &scores, 1, attrs, 3)));
  ox_give(o, 1, ox_f32(o, ox_post_transform(o, scores, post)));
}

/* ---- linear models ---- */

static wh_datum *matrix_attr(ox *o, const char *name, int64_t rows, int64_t columns) {
  size_t n;
  const float *v = ox_attr_floats(o, name, &n);
  if (rows < 1 || columns < 1 || rows > INT32_MAX || columns > INT32_MAX || (int64_t)n != rows * columns)
    OX_FAIL(o, ERR_CORRUPT, "%s has %zu entries where %" PRId64 " rows of %" PRId64 " are needed", name, n,
            rows, columns);
  return o->st == WH_OK ? ox_flatten_to(o, ox_const_floats(o, v, n), rows, columns) : &o->nothing;
}

static wh_datum *matrix_in(ox *o) {
  wh_datum *x = ox_f32(o, ox_in(o, 0));
  if (x->rank == 1) x = ox_insert_axes(o, x, 1, 2);
  if (x->rank != 2) OX_FAIL(o, ERR_CORRUPT, "its input has rank %d, not 2", x->rank);
  return o->st == WH_OK ? x : &o->nothing;
}

static wh_datum *linear(ox *o, int64_t n_out) {
  static const int64_t swap[] = {1, 0};
  wh_datum *x = matrix_in(o);
  if (o->st != WH_OK) return x;
  wh_datum *y = ox_matmul(o, x, ox_transpose(o, matrix_attr(o, "coefficients", n_out, x->dims[1]), swap));
  return ox_attr(o, "intercepts") ? ox_add(o, y, matrix_attr(o, "intercepts", 1, n_out)) : y;
}

void ox_lower_linear_regressor(ox *o) {
  wh_datum *y = linear(o, ox_attr_i(o, "targets", 1));
  ox_give(o, 0, ox_post_transform(o, y, ox_attr_s(o, "post_transform", "NONE")));
}

void ox_lower_linear_classifier(ox *o) {
  size_t n;
  wh_datum *x = matrix_in(o);
  (void)ox_attr_floats(o, "coefficients", &n);
  if (o->st != WH_OK) return;
  const int64_t width = x->dims[1];
  if (width < 1 || (int64_t)n % width)
    OX_FAIL(o, ERR_CORRUPT, "its %zu coefficients are no rows of %" PRId64, n, width);
  if (o->st == WH_OK) ox_give_classes(o, linear(o, (int64_t)n / width), OX_SECOND_IS_SCORE);
}

/* ---- one feature at a time ---- */

/* One number for all features or one for each. */
static wh_datum *per_feature(ox *o, const char *name, const wh_datum *x) {
  size_t n;
  const float *v = ox_attr_floats(o, name, &n);
  if (!v || x->rank == 0 || (n != 1 && (int64_t)n != x->dims[x->rank - 1]))
    OX_FAIL(o, ERR_CORRUPT, "%s has %zu entries, neither 1 nor one for each feature", name, n);
  return o->st == WH_OK ? ox_const_floats(o, v, n) : &o->nothing;
}

void ox_lower_scaler(ox *o) {
  wh_datum *x = ox_f32(o, ox_in(o, 0));
  if (ox_attr(o, "offset")) x = ox_sub(o, x, per_feature(o, "offset", x));
  ox_give(o, 0, ox_attr(o, "scale") ? ox_mul(o, x, per_feature(o, "scale", x)) : x);
}

void ox_lower_binarizer(ox *o) {
  wh_datum *x = ox_in(o, 0), *border = ox_num(o, x, ox_attr_f(o, "threshold", 0));
  ox_give(o, 0, ox_where(o, ox_binary(o, WH_OP_LESS, border, x), ox_num(o, x, 1), ox_num(o, x, 0)));
}

/* A row of zeros stays. */
void ox_lower_normalizer(ox *o) {
  wh_datum *x = ox_f32(o, ox_in(o, 0));
  const wh_str how = ox_attr_s(o, "norm", "MAX");
  const unsigned last = x->rank ? 1u << (x->rank - 1) : 0;
  wh_datum *norm;
  if (wh_str_is(how, "L1"))
    norm = ox_reduce(o, WH_OP_REDUCE_L1, x, last, true);
  else if (wh_str_is(how, "L2"))
    norm = ox_unary(o, WH_OP_SQRT, ox_reduce(o, WH_OP_REDUCE_SUM_SQUARE, x, last, true));
  else
    norm = ox_reduce(o, WH_OP_REDUCE_MAX, x, last, true);
  wh_datum *is_zero = ox_binary(o, WH_OP_EQUAL, norm, ox_num(o, x, 0));
  ox_give(o, 0, ox_div(o, x, ox_where(o, is_zero, ox_num(o, x, 1), norm)));
}

void ox_lower_imputer(ox *o) {
  wh_datum *x = ox_in(o, 0), *with, *found;
  if (wh_dtype_is_float(x->dtype)) {
    const float old = ox_attr_f(o, "replaced_value_float", 0);
    with = ox_cast(o, per_feature(o, "imputed_value_floats", x), x->dtype);
    found = isnan(old) ? ox_unary(o, WH_OP_IS_NAN, x) : ox_binary(o, WH_OP_EQUAL, x, ox_num(o, x, old));
  } else {
    size_t n;
    const int64_t *v = ox_attr_longs(o, "imputed_value_int64s", &n),
                  old = ox_attr_long(o, "replaced_value_int64", 0);
    if (!v || x->rank == 0 || (n != 1 && (int64_t)n != x->dims[x->rank - 1]))
      OX_FAIL(o, ERR_CORRUPT, "imputed_value_int64s has %zu entries, neither 1 nor one for each feature", n);
    if (o->st != WH_OK) return;
    with = ox_cast(o, ox_const_ints(o, v, n), x->dtype);
    found =
        ox_binary(o, WH_OP_EQUAL, x, ox_cast(o, ox_reshape(o, ox_const_ints(o, &old, 1), 0, NULL), x->dtype));
  }
  ox_give(o, 0, ox_where(o, found, with, x));
}

void ox_lower_array_feature_extractor(ox *o) {
  wh_datum *x = ox_in(o, 0), *ids = ox_in(o, 1);
  const int64_t n = (int64_t)ids->n;
  if (x->rank == 0) OX_FAIL(o, ERR_CORRUPT, "its input has no features");
  if (o->st != WH_OK) return;
  wh_datum *y = ox_gather(o, x, ox_reshape(o, ids, 1, &n), x->rank - 1);
  ox_give(o, 0, x->rank == 1 ? ox_insert_axes(o, y, 1, 2) : y);
}

/* All inputs' features behind each other, as f32. */
void ox_lower_feature_vectorizer(ox *o) {
  const size_t n = ox_n_in(o);
  wh_datum **parts = ox_array(o, n, sizeof *parts);
  if (n == 0) OX_FAIL(o, ERR_CORRUPT, "it has no inputs");
  for (size_t i = 0; parts && i < n && o->st == WH_OK; i++) {
    wh_datum *x = ox_f32(o, ox_in(o, i));
    const int64_t rows = x->rank > 1 ? x->dims[0] : 1;
    parts[i] = ox_flatten_to(o, x, rows, rows ? (int64_t)x->n / rows : 0);
  }
  if (o->st == WH_OK && parts) ox_give(o, 0, ox_concat(o, 1, parts, n));
}

/* Dictionaries for each row stay what they were made of: rows of scores, in the order of the labels. */
void ox_lower_zip_map(ox *o) { ox_give(o, 0, ox_in(o, 0)); }
