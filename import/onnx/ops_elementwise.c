/* ops_elementwise.c - operators that look at one place of each operand. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import/onnx/lowerings.h"

void ox_lower_unary(ox *o) { ox_give(o, 0, ox_unary(o, (wh_op)ox_arg(o), ox_in(o, 0))); }

/* Before opset 7 the second operand is laid along the first from `axis` on, when `broadcast` says so. */
static wh_datum *old_broadcast(ox *o, wh_datum *a, wh_datum *b) {
  if (ox_opset(o) >= 7 || !ox_attr_i(o, "broadcast", 0) || !ox_attr(o, "axis")) return b;
  const int axis = ox_axis(o, ox_attr_i(o, "axis", 0), a->rank);
  int64_t dims[WH_MAX_RANK];
  if (axis + b->rank > a->rank)
    OX_FAIL(o, ERR_CORRUPT, "input 1 does not fit along input 0 from axis %d on", axis);
  for (int i = 0; i < a->rank && o->st == WH_OK; i++)
    dims[i] = i >= axis && i < axis + b->rank ? b->dims[i - axis] : 1;
  return ox_reshape(o, b, a->rank, dims);
}

/* Texts are compared on the host. */
static wh_datum *equal_strings(ox *o, wh_datum *a, wh_datum *b) {
  int64_t dims[WH_MAX_RANK];
  wh_datum *in[] = {a, b};
  ox_need(o, a);
  ox_need(o, b);
  if (b->dtype != WH_DTYPE_STRING) OX_FAIL(o, ERR_CORRUPT, "strings are compared with numbers");
  const int rank = ox_broadcast(o, a, b, dims);
  wh_datum *y = ox_from(o, o->st == WH_OK ? ox_new(o, WH_DTYPE_BOOL, rank, dims) : &o->nothing, in, 2);
  for (size_t i = 0; o->st == WH_OK && i < y->n; i++)
    ox_store(WH_DTYPE_BOOL, (void *)(uintptr_t)y->data, i,
             wh_str_equal(a->strings[ox_place(a, rank, dims, i)], b->strings[ox_place(b, rank, dims, i)]));
  return y;
}

void ox_lower_equal(ox *o) {
  wh_datum *a = ox_in(o, 0);
  if (a->dtype == WH_DTYPE_STRING)
    ox_give(o, 0, equal_strings(o, a, ox_in(o, 1)));
  else
    ox_lower_binary(o);
}

void ox_lower_binary(ox *o) {
  wh_datum *a = ox_in(o, 0);
  ox_give(o, 0, ox_binary(o, (wh_op)ox_arg(o), a, old_broadcast(o, a, ox_in(o, 1))));
}

/* a > b is b < a */
void ox_lower_swapped(ox *o) {
  wh_datum *a = ox_in(o, 0);
  ox_give(o, 0, ox_binary(o, (wh_op)ox_arg(o), old_broadcast(o, a, ox_in(o, 1)), a));
}

void ox_lower_variadic(ox *o) {
  wh_datum *y = ox_in(o, 0);
  for (size_t i = 1; i < ox_n_in(o); i++) y = ox_binary(o, (wh_op)ox_arg(o), y, ox_in(o, i));
  ox_give(o, 0, y);
}

void ox_lower_mean(ox *o) {
  wh_datum *y = ox_in(o, 0);
  for (size_t i = 1; i < ox_n_in(o); i++) y = ox_add(o, y, ox_in(o, i));
  ox_give(o, 0, ox_div(o, y, ox_num(o, y, (double)ox_n_in(o))));
}

void ox_lower_pow(ox *o) {
  wh_datum *a = ox_in(o, 0), *b = old_broadcast(o, a, ox_in(o, 1));
  wh_datum *in[] = {ox_wide(o, a), ox_wide(o, b)};
  ox_give(o, 0, ox_cast(o, ox_node1(o, WH_OP_POW, in, 2, NULL, 0), a->dtype));
}

void ox_lower_mod(ox *o) {
  wh_datum *a = ox_in(o, 0), *in[] = {ox_wide(o, a), ox_wide(o, ox_in(o, 1))};
  const wh_attr fmod_attr = ox_a_i(WH_ATTR_FMOD, ox_attr_i(o, "fmod", 0) != 0);
  ox_give(o, 0, ox_cast(o, ox_node1(o, WH_OP_MOD, in, 2, &fmod_attr, 1), a->dtype));
}

void ox_lower_bit_shift(ox *o) {
  const wh_str way = ox_attr_s(o, "direction", "");
  if (!wh_str_is(way, "LEFT") && !wh_str_is(way, "RIGHT"))
    OX_FAIL(o, ERR_CORRUPT, "direction is neither LEFT nor RIGHT");
  ox_give(
      o, 0,
      ox_binary(o, wh_str_is(way, "LEFT") ? WH_OP_SHIFT_LEFT : WH_OP_SHIFT_RIGHT, ox_in(o, 0), ox_in(o, 1)));
}

/* ---- activations ---- */

static wh_datum *less(ox *o, wh_datum *a, wh_datum *b) { return ox_binary(o, WH_OP_LESS, a, b); }
static wh_datum *clamp(ox *o, wh_datum *x, double low, double high) {
  return ox_binary(o, WH_OP_MIN, ox_binary(o, WH_OP_MAX, x, ox_num(o, x, low)), ox_num(o, x, high));
}

void ox_lower_clip(ox *o) {
  wh_datum *x = ox_in(o, 0), *low = ox_maybe(o, 1), *high = ox_maybe(o, 2);
  if (ox_opset(o) < 11) {
    if (ox_attr(o, "min")) low = ox_num(o, x, ox_attr_f(o, "min", 0));
    if (ox_attr(o, "max")) high = ox_num(o, x, ox_attr_f(o, "max", 0));
  }
  if (low) x = ox_binary(o, WH_OP_MAX, x, low);
  if (high) x = ox_binary(o, WH_OP_MIN, x, high);
  ox_give(o, 0, x);
}

void ox_lower_relu(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const bool is_f32 = ox_wide(o, x)->dtype == WH_DTYPE_F32;
  ox_give(o, 0, is_f32 ? ox_unary(o, WH_OP_RELU, x) : ox_binary(o, WH_OP_MAX, x, ox_num(o, x, 0)));
}

void ox_lower_leaky_relu(ox *o) {
  wh_datum *x = ox_in(o, 0), *y = ox_mul(o, x, ox_num(o, x, ox_attr_f(o, "alpha", 0.01f)));
  ox_give(o, 0, ox_where(o, less(o, x, ox_num(o, x, 0)), y, x));
}

void ox_lower_prelu(ox *o) {
  wh_datum *x = ox_in(o, 0), *slope = ox_in(o, 1);
  if (ox_opset(o) < 7 && slope->rank == 1 && x->rank > 1 && slope->n > 1)
    slope = ox_per_channel(o, slope, x->rank, 1);
  ox_give(o, 0, ox_where(o, less(o, x, ox_num(o, x, 0)), ox_mul(o, x, slope), x));
}

void ox_lower_elu(ox *o) {
  wh_datum *x = ox_in(o, 0), *e = ox_sub(o, ox_unary(o, WH_OP_EXP, x), ox_num(o, x, 1));
  ox_give(o, 0,
          ox_where(o, less(o, x, ox_num(o, x, 0)), ox_mul(o, e, ox_num(o, x, ox_attr_f(o, "alpha", 1))), x));
}

void ox_lower_selu(ox *o) {
  wh_datum *x = ox_in(o, 0), *e = ox_sub(o, ox_unary(o, WH_OP_EXP, x), ox_num(o, x, 1));
  e = ox_mul(o, e, ox_num(o, x, ox_attr_f(o, "alpha", 1.67326319217681884765625f)));
  wh_datum *y = ox_where(o, less(o, ox_num(o, x, 0), x), x, e);
  ox_give(o, 0, ox_mul(o, y, ox_num(o, x, ox_attr_f(o, "gamma", 1.05070102214813232421875f))));
}

void ox_lower_celu(ox *o) {
  wh_datum *x = ox_in(o, 0), *alpha = ox_num(o, x, ox_attr_f(o, "alpha", 1)), *zero = ox_num(o, x, 0);
  wh_datum *e = ox_sub(o, ox_unary(o, WH_OP_EXP, ox_div(o, x, alpha)), ox_num(o, x, 1));
  ox_give(o, 0,
          ox_add(o, ox_binary(o, WH_OP_MAX, x, zero), ox_binary(o, WH_OP_MIN, ox_mul(o, alpha, e), zero)));
}

void ox_lower_thresholded_relu(ox *o) {
  wh_datum *x = ox_in(o, 0);
  ox_give(o, 0, ox_where(o, less(o, ox_num(o, x, ox_attr_f(o, "alpha", 1)), x), x, ox_num(o, x, 0)));
}

void ox_lower_hard_sigmoid(ox *o) {
  wh_datum *x = ox_in(o, 0);
  wh_datum *y = ox_add(o, ox_mul(o, x, ox_num(o, x, ox_attr_f(o, "alpha", 0.2f))),
                       ox_num(o, x, ox_attr_f(o, "beta", 0.5f)));
  ox_give(o, 0, clamp(o, y, 0, 1));
}

void ox_lower_hard_swish(ox *o) {
  wh_datum *x = ox_in(o, 0);
  wh_datum *y = ox_add(o, ox_mul(o, x, ox_num(o, x, 1.0 / 6)), ox_num(o, x, 0.5));
  ox_give(o, 0, ox_mul(o, x, clamp(o, y, 0, 1)));
}

void ox_lower_softsign(ox *o) {
  wh_datum *x = ox_in(o, 0);
  ox_give(o, 0, ox_div(o, x, ox_add(o, ox_num(o, x, 1), ox_unary(o, WH_OP_ABS, x))));
}

void ox_lower_shrink(ox *o) {
  wh_datum *x = ox_in(o, 0), *bias = ox_num(o, x, ox_attr_f(o, "bias", 0));
  const double border = ox_attr_f(o, "lambd", 0.5f);
  wh_datum *y = ox_where(o, less(o, x, ox_num(o, x, -border)), ox_add(o, x, bias), ox_num(o, x, 0));
  ox_give(o, 0, ox_where(o, less(o, ox_num(o, x, border), x), ox_sub(o, x, bias), y));
}

void ox_lower_reciprocal(ox *o) {
  wh_datum *x = ox_in(o, 0);
  ox_give(o, 0, ox_div(o, ox_num(o, x, 1), x));
}

void ox_lower_gelu(ox *o) {
  const bool is_tanh = wh_str_is(ox_attr_s(o, "approximate", "none"), "tanh");
  ox_give(o, 0, ox_unary(o, is_tanh ? WH_OP_GELU : WH_OP_GELU_ERF, ox_in(o, 0)));
}

void ox_lower_mish(ox *o) {
  wh_datum *x = ox_in(o, 0);
  ox_give(o, 0, ox_mul(o, x, ox_unary(o, WH_OP_TANH, ox_unary(o, WH_OP_SOFTPLUS, x))));
}

void ox_lower_swish(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const float alpha = ox_attr_f(o, "alpha", 1);
  wh_datum *inner = alpha == 1 ? x : ox_mul(o, x, ox_num(o, x, alpha));
  ox_give(o, 0, ox_mul(o, x, ox_unary(o, WH_OP_SIGMOID, inner)));
}

/* a * sigmoid(alpha * a) * b */
void ox_lower_swiglu(ox *o) {
  wh_datum *a0 = ox_in(o, 0), *a = ox_wide(o, a0), *b = ox_wide(o, ox_in(o, 1));
  const float alpha = ox_attr_f(o, "alpha", 1);
  wh_datum *inner = alpha == 1 ? a : ox_mul(o, a, ox_num(o, a, alpha));
  ox_give(o, 0, ox_cast(o, ox_mul(o, ox_mul(o, a, ox_unary(o, WH_OP_SIGMOID, inner)), b), a0->dtype));
}

/* ---- choices and types ---- */

void ox_lower_is_inf(ox *o) {
  wh_datum *x = ox_wide(o, ox_in(o, 0));
  const bool negative = ox_attr_i(o, "detect_negative", 1), positive = ox_attr_i(o, "detect_positive", 1);
  const wh_attr mode = ox_a_i(WH_ATTR_MODE, negative && positive ? 1 : positive ? 2 : 3);
  if (!negative && !positive)
    ox_give(o, 0, ox_new(o, WH_DTYPE_BOOL, x->rank, x->dims));
  else
    ox_give(o, 0, ox_node1(o, WH_OP_IS_INF, &x, 1, &mode, 1));
}

void ox_lower_where(ox *o) { ox_give(o, 0, ox_where(o, ox_in(o, 0), ox_in(o, 1), ox_in(o, 2))); }

/* The fewest digits that read as the same float, in the form of Python's repr. */
static wh_str number_text(ox *o, const wh_datum *x, size_t i) {
  char text[48] = "";
  const bool is_float = wh_dtype_is_float(x->dtype);
  const double v = ox_element(x, i);
  if (x->dtype == WH_DTYPE_BOOL) {
    (void)snprintf(text, sizeof text, "%s", v != 0 ? "True" : "False");
  } else if (!is_float) {
    (void)snprintf(text, sizeof text, "%lld", (long long)ox_element_int(x, i));
  } else if (isnan(v) || isinf(v)) {
    (void)snprintf(text, sizeof text, "%s", isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
  } else {
    int digits = 1;
    for (; digits < 18; digits++) {
      (void)snprintf(text, sizeof text, "%.*e", digits - 1, v);
      const double back = strtod(text, NULL);
      if (x->dtype == WH_DTYPE_F64 ? back == v : (float)back == (float)v) break;
    }
    const char *e = strchr(text, 'e');
    const int exponent = e ? atoi(e + 1) : 0;
    if (exponent >= -4 && exponent < 16) {
      const int places = digits - 1 - exponent;
      (void)snprintf(text, sizeof text, "%.*f", places > 1 ? places : 1, v);
    }
  }
  const size_t n = strlen(text);
  char *copy = ox_alloc(o, n + 1);
  if (!copy) return (wh_str){"", 0};
  memcpy(copy, text, n);
  return (wh_str){copy, n};
}

static wh_datum *to_strings(ox *o, wh_datum *x) {
  if (x->dtype == WH_DTYPE_STRING || !ox_data(o, x)) return x;
  wh_datum *y = ox_from(o, ox_new_strings(o, x->rank, x->dims), &x, 1);
  for (size_t i = 0; i < x->n && o->st == WH_OK; i++)
    ((wh_str *)(uintptr_t)y->strings)[i] = number_text(o, x, i);
  return y;
}

static wh_datum *from_strings(ox *o, wh_datum *x, wh_dtype to) {
  wh_datum *y = ox_from(o, ox_new(o, to, x->rank, x->dims), &x, 1);
  for (size_t i = 0; i < x->n && o->st == WH_OK; i++) {
    char text[64], *end;
    if (x->strings[i].len >= sizeof text) OX_FAIL(o, ERR_INVALID_ARGUMENT, "element %zu is no number", i);
    if (o->st != WH_OK) return y;
    memcpy(text, x->strings[i].data, x->strings[i].len);
    text[x->strings[i].len] = '\0';
    const long long whole = strtoll(text, &end, 10);
    if (*text && !*end) {
      ox_store_int(to, (void *)(uintptr_t)y->data, i, whole);
      continue;
    }
    const double v = strtod(text, &end);
    if (!*text || *end) OX_FAIL(o, ERR_INVALID_ARGUMENT, "'%s' is no number", text);
    ox_store(to, (void *)(uintptr_t)y->data, i, v);
  }
  return y;
}

static wh_datum *cast(ox *o, wh_datum *x, wh_dtype to) {
  if (to == WH_DTYPE_STRING && ox_has_open_elements(o, x))
    OX_FAIL(o, ERR_UNSUPPORTED, "an open shape has no text");
  if (to == WH_DTYPE_STRING) return to_strings(o, x);
  if (x->dtype == WH_DTYPE_STRING) return from_strings(o, x, to);
  if (to == WH_DTYPE_F8E8M0 && !wh_str_is(ox_attr_s(o, "round_mode", "up"), "up"))
    OX_FAIL(o, ERR_UNSUPPORTED, "powers of two are rounded up only");
  const bool is_part =
      ox_size_of(to) == 0 && !wh_dtype_is_float(to); /* which keeps an integer's lowest bits */
  if (is_part && wh_dtype_is_float(x->dtype)) x = ox_cast(o, x, WH_DTYPE_I32);
  return ox_cast_sat(o, x, to, ox_attr_i(o, "saturate", 1) != 0);
}

void ox_lower_cast(ox *o) { ox_give(o, 0, cast(o, ox_in(o, 0), ox_attr_dtype(o, "to", WH_DTYPE_F32))); }
void ox_lower_cast_like(ox *o) { ox_give(o, 0, cast(o, ox_in(o, 0), ox_in(o, 1)->dtype)); }
