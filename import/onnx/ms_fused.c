/* ms_fused.c - com.microsoft's operators that are several of ONNX's in one. */
#include <inttypes.h>

#include "import/onnx/lowerings.h"

/* ---- activations ---- */

static float param(ox *o, size_t i, float fallback) {
  size_t n;
  const float *v = ox_attr_floats(o, "activation_params", &n);
  return i < n ? v[i] : fallback;
}

/* The attribute's function, if there is one. */
static wh_datum *activated(ox *o, wh_datum *x) {
  const wh_str name = ox_attr_s(o, "activation", "");
  if (name.len == 0 || o->st != WH_OK) return x;
  if (wh_str_is(name, "Relu")) return ox_unary(o, WH_OP_RELU, x);
  if (wh_str_is(name, "Tanh")) return ox_unary(o, WH_OP_TANH, x);
  if (wh_str_is(name, "Sigmoid")) return ox_unary(o, WH_OP_SIGMOID, x);
  if (wh_str_is(name, "LeakyRelu"))
    return ox_where(o, ox_binary(o, WH_OP_LESS, x, ox_num(o, x, 0)),
                    ox_mul(o, x, ox_num(o, x, param(o, 0, 0.01f))), x);
  const bool clip = wh_str_is(name, "Clip"), hard = wh_str_is(name, "HardSigmoid");
  if (!clip && !hard)
    OX_FAIL(o, ERR_UNSUPPORTED, "its activation '" WH_STR_FMT "' is not known", WH_STR_ARG(name));
  if (hard) x = ox_add(o, ox_mul(o, x, ox_num(o, x, param(o, 0, 0.2f))), ox_num(o, x, param(o, 1, 0.5f)));
  const float low = clip ? param(o, 0, 0) : 0, high = clip ? param(o, 1, 6) : 1;
  return ox_binary(o, WH_OP_MIN, ox_binary(o, WH_OP_MAX, x, ox_num(o, x, low)), ox_num(o, x, high));
}

void ox_lower_ms_fused_conv(ox *o) {
  wh_datum *in[] = {ox_in(o, 0), ox_in(o, 1), ox_maybe(o, 2)};
  wh_datum *y = ox_conv(o, WH_OP_CONV, in, in[2] ? 3 : 2);
  if (ox_has(o, 3)) y = ox_add(o, y, ox_in(o, 3));
  ox_give(o, 0, activated(o, y));
}

void ox_lower_ms_fused_gemm(ox *o) {
  ox_lower_gemm(o);
  if (o->st == WH_OK && ox_n_out(o)) ox_give(o, 0, activated(o, o->out[0]));
}

/* ---- GELU, and what goes before it ---- */

/* WH_OP_GELU_ERF or WH_OP_GELU (its tanh form) of the sum */
void ox_lower_ms_gelu(ox *o) {
  wh_datum *x0 = ox_in(o, 0), *x = ox_wide(o, x0);
  if (ox_has(o, 1)) x = ox_add(o, x, ox_wide(o, ox_in(o, 1)));
  ox_give(o, 0, ox_cast(o, ox_unary(o, (wh_op)ox_arg(o), x), x0->dtype));
}

void ox_lower_ms_quick_gelu(ox *o) {
  wh_datum *x0 = ox_in(o, 0), *x = ox_wide(o, x0);
  wh_datum *inner = ox_mul(o, x, ox_num(o, x, ox_attr_f(o, "alpha", 1.702f)));
  ox_give(o, 0, ox_cast(o, ox_mul(o, x, ox_unary(o, WH_OP_SIGMOID, inner)), x0->dtype));
}

/* ---- norms of sums ---- */

typedef struct norm_outputs {
  wh_datum *y, *mean, *inverse;
} norm_outputs;

/* Over the last axis; the mean stays where the norm is the root mean square's. */
static norm_outputs norm(ox *o, wh_datum *x, wh_datum *w, wh_datum *b, float eps, bool rms, bool more) {
  norm_outputs n = {&o->nothing, NULL, NULL};
  if (o->st != WH_OK || x->rank == 0 || x->n == 0) return n;
  const int64_t width = x->dims[x->rank - 1], rows = ox_product(o, x->dims, 0, x->rank - 1);
  if (x->dtype == WH_DTYPE_F32 && !more && (int64_t)w->n == width && (!b || (int64_t)b->n == width)) {
    wh_datum *in[] = {ox_flatten_to(o, x, rows, width), ox_reshape(o, w, 1, &width),
                      b ? ox_reshape(o, b, 1, &width) : NULL};
    const wh_attr a = ox_a_f(WH_ATTR_EPS, eps);
    n.y = ox_reshape(o, ox_node1(o, rms ? WH_OP_RMS_NORM : WH_OP_LAYER_NORM, in, b ? 3 : 2, &a, 1), x->rank,
                     x->dims);
    return n;
  }
  const unsigned last = 1u << (x->rank - 1);
  if (rms) {
    wh_datum *square = ox_mean(o, ox_mul(o, x, x), last, true);
    n.inverse = ox_div(o, ox_num(o, x, 1), ox_unary(o, WH_OP_SQRT, ox_add(o, square, ox_num(o, x, eps))));
    n.y = ox_mul(o, x, n.inverse);
  } else {
    n.y = ox_standardise(o, x, last, eps, &n.mean, &n.inverse);
  }
  n.y = ox_mul(o, n.y, w);
  if (b) n.y = ox_add(o, n.y, b);
  return n;
}

static wh_datum *wide_in(ox *o, size_t i) { return ox_has(o, i) ? ox_wide(o, ox_in(o, i)) : NULL; }

/* argument 1: root mean square, without beta */
void ox_lower_ms_skip_norm(ox *o) {
  const bool rms = ox_arg(o) != 0;
  wh_datum *x = ox_in(o, 0), *sum = ox_add(o, ox_wide(o, x), ox_wide(o, ox_in(o, 1))),
           *w = ox_wide(o, ox_in(o, 2));
  wh_datum *b = rms ? NULL : wide_in(o, 3), *bias = wide_in(o, rms ? 3 : 4);
  if (bias) sum = ox_add(o, sum, bias);
  const norm_outputs n =
      norm(o, sum, w, b, ox_attr_f(o, "epsilon", 1e-12f), rms, ox_wants(o, 1) || ox_wants(o, 2));
  ox_give(o, 0, ox_cast(o, n.y, x->dtype));
  if (n.mean) ox_give(o, 1, n.mean);
  if (n.inverse) ox_give(o, 2, n.inverse);
  if (ox_wants(o, 3)) ox_give(o, 3, ox_cast(o, sum, x->dtype));
}

void ox_lower_ms_simplified_norm(ox *o) {
  wh_datum *x = ox_in(o, 0);
  const int axis = ox_axis(o, ox_attr_i(o, "axis", -1), x->rank);
  if (axis != x->rank - 1) OX_FAIL(o, ERR_UNSUPPORTED, "a norm over more than the last axis is not computed");
  const norm_outputs n = norm(o, ox_f32(o, x), ox_f32(o, ox_in(o, 1)), NULL, ox_attr_f(o, "epsilon", 1e-5f),
                              true, ox_wants(o, 1));
  ox_give(o, 0, ox_cast(o, n.y, x->dtype));
  if (n.inverse) ox_give(o, 1, n.inverse);
}

/* Rows of three tables, summed and normed: of words, positions and segments. */
void ox_lower_ms_embed_layer_norm(ox *o) {
  wh_datum *ids = ox_in(o, 0), *words = ox_in(o, 2), *places = ox_in(o, 3),
           *sum = ox_gather(o, words, ids, 0);
  if (ids->rank != 2 || places->rank != 2) OX_FAIL(o, ERR_CORRUPT, "its ids have rank %d", ids->rank);
  if (o->st != WH_OK) return;
  wh_datum *at = ox_has(o, 8) ? ox_gather(o, places, ox_in(o, 8), 0) : ox_part(o, places, 0, 0, ids->dims[1]);
  sum = ox_add(o, ox_wide(o, sum), ox_wide(o, at));
  if (ox_has(o, 1) && ox_has(o, 4))
    sum = ox_add(o, sum, ox_wide(o, ox_gather(o, ox_in(o, 4), ox_in(o, 1), 0)));
  const norm_outputs n = norm(o, sum, ox_wide(o, ox_in(o, 5)), ox_wide(o, ox_in(o, 6)),
                              ox_attr_f(o, "epsilon", 1e-12f), false, false);
  ox_give(o, 0, ox_cast(o, n.y, words->dtype));
  if (ox_wants(o, 1)) { /* how many words each row has */
    wh_datum *n_words = ox_has(o, 7)
                            ? ox_reduce(o, WH_OP_REDUCE_SUM, ox_cast(o, ox_in(o, 7), WH_DTYPE_I32), 2, false)
                            : ox_expand(o, ox_scalar(o, WH_DTYPE_I32, 0), 1, ids->dims);
    ox_give(o, 1, n_words);
  }
  if (ox_wants(o, 2)) ox_give(o, 2, ox_cast(o, sum, words->dtype));
}

/* ---- products ---- */

/* The last two axes change places where `last`; where `batch`, the axes before the last go behind the first
 * of them, as ONNX Runtime has it: [b, .., m] -> [.., b, m]. */
static wh_datum *turned(ox *o, wh_datum *x, bool last, bool batch) {
  int64_t perm[WH_MAX_RANK];
  const int r = x->rank;
  if (o->st != WH_OK || r < 2 || (!last && !batch)) return x;
  for (int i = 0; i < r; i++) perm[i] = i;
  if (batch) { /* the first of the two axes of the matrix is axis 0 of the operand */
    for (int i = 0; i < r - 2; i++) perm[i] = i + 1;
    perm[r - 2] = 0;
  }
  if (last) {
    const int64_t swap = perm[r - 1];
    perm[r - 1] = perm[r - 2];
    perm[r - 2] = swap;
  }
  return ox_transpose(o, x, perm);
}

void ox_lower_ms_fused_matmul(ox *o) {
  wh_datum *a = turned(o, ox_in(o, 0), ox_attr_i(o, "transA", 0), ox_attr_i(o, "transBatchA", 0));
  wh_datum *b = turned(o, ox_in(o, 1), ox_attr_i(o, "transB", 0), ox_attr_i(o, "transBatchB", 0));
  wh_datum *y = ox_matmul(o, a, b);
  const float alpha = ox_attr_f(o, "alpha", 1);
  ox_give(o, 0, activated(o, alpha == 1 ? y : ox_mul(o, y, ox_num(o, y, alpha))));
}

void ox_lower_ms_gemm_fast_gelu(ox *o) {
  wh_datum *x = ox_in(o, 0), *y = ox_matmul(o, ox_wide(o, x), ox_wide(o, ox_in(o, 1)));
  if (ox_has(o, 2)) y = ox_add(o, y, ox_wide(o, ox_in(o, 2)));
  ox_give(o, 0, ox_cast(o, ox_unary(o, WH_OP_GELU, y), x->dtype));
}

void ox_lower_ms_bias_add(ox *o) {
  ox_give(o, 0, ox_add(o, ox_add(o, ox_in(o, 0), ox_in(o, 1)), ox_in(o, 2)));
}

/* Channels last: [n, h, w, c]. */
void ox_lower_ms_nhwc_max_pool(ox *o) {
  static const int64_t first[] = {0, 3, 1, 2}, last[] = {0, 2, 3, 1};
  wh_datum *x = ox_in(o, 0);
  if (x->rank != 4) OX_FAIL(o, ERR_UNSUPPORTED, "its input has rank %d: 4 is computed", x->rank);
  if (o->st != WH_OK) return;
  o->in[0] = ox_transpose(o, x, first);
  ox_lower_pool(o);
  if (o->st == WH_OK && o->out[0]) o->out[0] = ox_transpose(o, o->out[0], last);
}
