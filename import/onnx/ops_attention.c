/* ops_attention.c - attention in ONNX's forms, rotary embedding, caches of keys and values. */
#include <inttypes.h>
#include <math.h>

#include "import/onnx/lowerings.h"

/* ---- heads ---- */

/* [b, s, h * d] -> [b, h, s, d]; four axes stay. */
wh_datum *ox_split_heads(ox *o, wh_datum *x, int64_t heads) {
  static const int64_t perm[] = {0, 2, 1, 3};
  if (o->st != WH_OK || x->rank == 4) return x;
  if (x->rank != 3 || heads < 1 || x->dims[2] % heads || ox_is_open(o, x->dims[2]))
    OX_FAIL(o, ERR_CORRUPT, "an operand of rank %d does not divide into %" PRId64 " heads", x->rank, heads);
  if (o->st != WH_OK) return &o->nothing;
  const int64_t dims[] = {x->dims[0], x->dims[1], heads, x->dims[2] / heads};
  return ox_transpose(o, ox_reshape(o, x, 4, dims), perm);
}

/* [b, h, s, d] -> [b, s, h * d] */
wh_datum *ox_join_heads(ox *o, wh_datum *x) {
  static const int64_t perm[] = {0, 2, 1, 3};
  if (o->st != WH_OK) return &o->nothing;
  const int64_t dims[] = {x->dims[0], x->dims[2], x->dims[1] * x->dims[3]};
  return ox_reshape(o, ox_transpose(o, x, perm), 3, dims);
}

/* ---- softmax(cap(scale q k') + bias) v ---- */

static wh_datum *minus_infinity(ox *o, const wh_datum *like) { return ox_num(o, like, -(double)INFINITY); }

/* What is added to the scores: the mask, and -inf where a key is not allowed; NULL: nothing. */
static wh_datum *bias_of(ox *o, const ox_attention *a) {
  wh_datum *bias = a->bias;
  if (bias && bias->dtype == WH_DTYPE_BOOL)
    bias = ox_where(o, bias, ox_num(o, a->q, 0), minus_infinity(o, a->q));
  if (!a->allowed) return bias;
  return ox_where(o, a->allowed, bias ? bias : ox_num(o, a->q, 0), minus_infinity(o, a->q));
}

/* Keys that a row of scores has none of have no weight either: without this it would be NaN. */
static wh_datum *empty_rows_to_0(ox *o, wh_datum *p, wh_datum *bias) {
  if (o->st != WH_OK || bias->rank == 0) return p;
  wh_datum *top = ox_reduce(o, WH_OP_REDUCE_MAX, bias, 1u << (bias->rank - 1), true);
  return ox_where(o, ox_binary(o, WH_OP_EQUAL, top, minus_infinity(o, top)), ox_num(o, p, 0), p);
}

/* q's heads in groups share a head of keys and values: as rows of one product, which moves nothing. */
static wh_datum *grouped(ox *o, wh_datum *x, int64_t heads) {
  const int64_t own[] = {heads ? x->dims[1] / heads : 0, x->dims[2]},
                dims[] = {x->dims[0], heads, ox_product(o, own, 0, 2), x->dims[3]};
  return ox_reshape(o, x, 4, dims);
}

static void check_heads(ox *o, const ox_attention *a) {
  const wh_datum *q = a->q, *k = a->k, *v = a->v;
  if (o->st == WH_OK && (q->rank != 4 || k->rank != 4 || v->rank != 4))
    OX_FAIL(o, ERR_CORRUPT, "its queries, keys and values have rank %d, %d and %d", q->rank, k->rank,
            v->rank);
  if (o->st == WH_OK && (ox_is_open(o, q->dims[1]) || ox_is_open(o, k->dims[1]) || ox_is_open(o, q->dims[3])))
    OX_FAIL(o, ERR_UNSUPPORTED, "its heads or their width are open");
  if (o->st == WH_OK) ox_dim_equal(o, k->dims[2], v->dims[2]);
  if (o->st == WH_OK) ox_dim_equal(o, q->dims[0], k->dims[0]);
  if (o->st == WH_OK &&
      (k->dims[1] < 1 || q->dims[1] % k->dims[1] || v->dims[1] != k->dims[1] || k->dims[2] != v->dims[2] ||
       k->dims[3] != q->dims[3] || k->dims[0] != q->dims[0] || v->dims[0] != q->dims[0]))
    OX_FAIL(o, ERR_CORRUPT, "its queries, keys and values do not go together");
}

wh_datum *ox_attend(ox *o, ox_attention *a) {
  static const int64_t swap[] = {0, 1, 3, 2};
  check_heads(o, a);
  if (o->st != WH_OK) return &o->nothing;
  const int64_t heads = a->k->dims[1], rows[] = {a->q->dims[0], a->q->dims[1], a->q->dims[2], a->k->dims[2]},
                result[] = {a->q->dims[0], a->q->dims[1], a->q->dims[2], a->v->dims[3]};
  wh_datum *q = ox_mul(o, a->q, ox_num(o, a->q, a->scale));
  wh_datum *s = ox_matmul(o, grouped(o, q, heads), ox_transpose(o, a->k, swap));
  s = ox_reshape(o, s, 4, rows);
  a->scores[OX_SCORES_PRODUCTS] = s;
  if (a->softcap > 0) {
    wh_datum *cap = ox_num(o, s, a->softcap);
    s = ox_mul(o, ox_unary(o, WH_OP_TANH, ox_div(o, s, cap)), cap);
  }
  a->scores[OX_SCORES_CAPPED] = s;
  wh_datum *bias = bias_of(o, a);
  if (bias) s = ox_add(o, s, bias);
  a->scores[OX_SCORES_BIASED] = s;
  const wh_dtype as = a->precision == WH_DTYPE_FORCE_32 ? a->q->dtype : a->precision;
  wh_datum *p = ox_cast(o, ox_softmax(o, ox_cast(o, s, as), 3), a->q->dtype);
  if (bias && a->rows_may_be_empty) p = empty_rows_to_0(o, p, bias);
  a->scores[OX_SCORES_WEIGHTS] = p;
  if (o->st != WH_OK) return &o->nothing;
  return ox_reshape(o, ox_matmul(o, grouped(o, p, heads), a->v), 4, result);
}

/* ---- which keys a row sees ---- */

static wh_datum *places(ox *o, int64_t n, int axis) {
  wh_datum *d = ox_places(o, n);
  return o->st == WH_OK ? ox_per_channel(o, d, 2, axis) : d;
}

static wh_datum *both(ox *o, wh_datum *a, wh_datum *b) { return a ? ox_binary(o, WH_OP_AND, a, b) : b; }

/* Row i stands at i + offset: it sees no key behind itself, and none further away than the window has; a
 * negative bound is none. `n_keys`: how many of the keys there are, or NULL: all. */
wh_datum *ox_allowed_keys(ox *o, int64_t n_rows, int64_t n_all, wh_datum *offset, wh_datum *n_keys,
                          int64_t left, int64_t right) {
  wh_datum *key = places(o, n_all, 1), *allowed = NULL;
  if (left >= 0 || right >= 0) {
    wh_datum *at = ox_add(o, places(o, n_rows, 0), offset);
    if (right >= 0)
      allowed = ox_binary(o, WH_OP_LESS_OR_EQUAL, key, ox_add(o, at, ox_num(o, at, (double)right)));
    if (left >= 0)
      allowed = both(o, allowed,
                     ox_binary(o, WH_OP_LESS_OR_EQUAL, ox_sub(o, at, ox_num(o, at, (double)left)), key));
  }
  return n_keys ? both(o, allowed, ox_binary(o, WH_OP_LESS, key, n_keys)) : allowed;
}

/* [b] -> [b, 1, 1, 1], i64 */
wh_datum *ox_per_batch(ox *o, wh_datum *x) {
  const int64_t dims[] = {ox_product(o, x->dims, 0, x->rank), 1, 1, 1};
  return ox_reshape(o, ox_cast(o, x, WH_DTYPE_I64), 4, dims);
}

/* ---- Attention ---- */

/* A mask of fewer keys than there are allows none of the others. */
static wh_datum *longer_mask(ox *o, wh_datum *mask, int64_t n_keys) {
  if (o->st != WH_OK || mask->rank == 0 || ox_dim_equal(o, mask->dims[mask->rank - 1], n_keys)) return mask;
  if (ox_is_open(o, mask->dims[mask->rank - 1]) || ox_is_open(o, n_keys))
    OX_FAIL(o, ERR_UNSUPPORTED, "its mask is as long as open dims say");
  if (o->st != WH_OK || mask->dims[mask->rank - 1] >= n_keys) return mask;
  int64_t pads[2 * WH_MAX_RANK] = {0};
  pads[2 * mask->rank - 1] = n_keys - mask->dims[mask->rank - 1];
  return ox_pad(o, mask, pads, 0, mask->dtype == WH_DTYPE_BOOL ? NULL : minus_infinity(o, mask));
}

static wh_datum *with_past(ox *o, size_t i, wh_datum *now) {
  if (!ox_has(o, i) || o->st != WH_OK) return now;
  wh_datum *parts[] = {ox_in(o, i), now};
  return ox_concat(o, 2, parts, 2);
}

void ox_lower_attention(ox *o) {
  static const ox_scores outputs[] = {OX_SCORES_PRODUCTS, OX_SCORES_CAPPED, OX_SCORES_BIASED,
                                      OX_SCORES_WEIGHTS};
  wh_datum *q0 = ox_in(o, 0), *n_keys = ox_has(o, 6) ? ox_per_batch(o, ox_in(o, 6)) : NULL;
  const int64_t q_heads = ox_attr_i(o, "q_num_heads", 0), heads = ox_attr_i(o, "kv_num_heads", 0),
                mode = ox_attr_i(o, "qk_matmul_output_mode", 0), causal = ox_attr_i(o, "is_causal", 0),
                left = ox_attr_i(o, "left_window_size", -1);
  int64_t right = ox_attr_i(o, "right_window_size", -1);
  wh_datum *k = with_past(o, 4, ox_split_heads(o, ox_in(o, 1), heads)),
           *v = with_past(o, 5, ox_split_heads(o, ox_in(o, 2), heads));
  if (mode < 0 || mode > 3)
    OX_FAIL(o, ERR_UNSUPPORTED, "its qk_matmul_output_mode %" PRId64 " is not known", mode);
  if (o->st != WH_OK) return;
  ox_give(o, 1, k);
  ox_give(o, 2, v);
  ox_attention a = {.q = ox_wide(o, ox_split_heads(o, q0, q_heads)), .k = ox_wide(o, k), .v = ox_wide(o, v)};
  if (a.q->rank != 4 || k->rank != 4) OX_FAIL(o, ERR_CORRUPT, "its queries have rank %d", q0->rank);
  if (o->st != WH_OK) return;
  a.scale = ox_attr_f(o, "scale", (float)(1 / sqrt((double)a.q->dims[3])));
  a.softcap = ox_attr_f(o, "softcap", 0);
  a.precision = ox_attr_i(o, "softmax_precision", 0) ? ox_attr_dtype(o, "softmax_precision", WH_DTYPE_F32)
                                                     : WH_DTYPE_FORCE_32;
  if (ox_has(o, 3)) a.bias = longer_mask(o, ox_wide(o, ox_in(o, 3)), k->dims[2]);
  const int64_t n_rows = a.q->dims[2], n_past = ox_has(o, 4) ? ox_in(o, 4)->dims[2] : 0;
  if (causal && (right < 0 || right > 0)) right = 0;
  wh_datum *offset = n_keys ? ox_sub(o, n_keys, ox_dim_value(o, n_rows, WH_DTYPE_I64))
                            : ox_dim_value(o, n_past, WH_DTYPE_I64);
  a.allowed = ox_allowed_keys(o, n_rows, k->dims[2], offset, n_keys, left, right);
  a.rows_may_be_empty = a.bias || n_keys || left >= 0;
  wh_datum *y = ox_cast(o, ox_attend(o, &a), q0->dtype);
  ox_give(o, 0, q0->rank == 3 ? ox_join_heads(o, y) : y);
  if (ox_wants(o, 3)) ox_give(o, 3, ox_cast(o, a.scores[outputs[mode]], q0->dtype));
}

/* ---- attention whose scores and weights go through graphs ---- */

static wh_datum *modified(ox *o, const char *name, wh_datum *x) {
  const ox_graph *g = ox_attr(o, name) ? ox_attr_graph(o, name) : NULL;
  wh_datum *y = x;
  if (!g) return x;
  if (g->n_outputs != 1) OX_FAIL(o, ERR_CORRUPT, "its %s does not give one value", name);
  if (o->st == WH_OK) ox_run_graph(o, g, &x, 1, &y, NULL, 0);
  return o->st == WH_OK ? y : &o->nothing;
}

void ox_lower_flex_attention(ox *o) {
  static const int64_t swap[] = {0, 1, 3, 2};
  wh_datum *q0 = ox_in(o, 0);
  ox_attention a = {.q = ox_wide(o, q0), .k = ox_wide(o, ox_in(o, 1)), .v = ox_wide(o, ox_in(o, 2))};
  check_heads(o, &a);
  if (o->st != WH_OK) return;
  const int64_t heads = a.k->dims[1], rows[] = {a.q->dims[0], a.q->dims[1], a.q->dims[2], a.k->dims[2]},
                result[] = {a.q->dims[0], a.q->dims[1], a.q->dims[2], a.v->dims[3]};
  const float scale = ox_attr_f(o, "scale", (float)(1 / sqrt((double)a.q->dims[3])));
  const wh_dtype as =
      ox_attr_i(o, "softmax_precision", 0) ? ox_attr_dtype(o, "softmax_precision", WH_DTYPE_F32) : a.q->dtype;
  wh_datum *s =
      ox_matmul(o, grouped(o, ox_mul(o, a.q, ox_num(o, a.q, scale)), heads), ox_transpose(o, a.k, swap));
  s = modified(o, "score_mod", ox_cast(o, ox_reshape(o, s, 4, rows), as));
  wh_datum *p = ox_wide(o, modified(o, "prob_mod", ox_softmax(o, s, 3)));
  if (o->st != WH_OK) return;
  wh_datum *y = ox_matmul(o, grouped(o, p, heads), ox_cast(o, a.v, p->dtype));
  ox_give(o, 0, ox_cast(o, ox_reshape(o, y, 4, result), q0->dtype));
}

/* ---- rotary embedding ---- */

static wh_datum *every_second(ox *o, wh_datum *x, int64_t first) {
  int64_t starts[WH_MAX_RANK] = {0}, steps[WH_MAX_RANK], counts[WH_MAX_RANK];
  if (o->st != WH_OK) return &o->nothing;
  for (int i = 0; i < x->rank; i++) {
    steps[i] = 1;
    counts[i] = x->dims[i];
  }
  starts[x->rank - 1] = first;
  steps[x->rank - 1] = 2;
  counts[x->rank - 1] /= 2;
  return ox_slice(o, x, starts, steps, counts);
}

/* Pairs of x[.., d], of which the first `2 * half` are turned by the angles of cos and sin[.., half], which
 * broadcast over x. */
wh_datum *ox_rotate(ox *o, wh_datum *x, wh_datum *cos, wh_datum *sin, bool interleaved) {
  if (o->st != WH_OK) return &o->nothing;
  const int last = x->rank - 1;
  const int64_t half = cos->dims[cos->rank - 1], d = x->dims[last];
  if (2 * half > d || sin->dims[sin->rank - 1] != half)
    OX_FAIL(o, ERR_CORRUPT, "its tables have %" PRId64 " angles for heads of %" PRId64, half, d);
  wh_datum *turned = ox_part(o, x, last, 0, 2 * half),
           *rest = 2 * half < d ? ox_part(o, x, last, 2 * half, d - 2 * half) : NULL;
  wh_datum *a = interleaved ? every_second(o, turned, 0) : ox_part(o, turned, last, 0, half);
  wh_datum *b = interleaved ? every_second(o, turned, 1) : ox_part(o, turned, last, half, half);
  wh_datum *y[] = {ox_sub(o, ox_mul(o, a, cos), ox_mul(o, b, sin)),
                   ox_add(o, ox_mul(o, a, sin), ox_mul(o, b, cos)), rest};
  if (o->st != WH_OK) return &o->nothing;
  if (interleaved) {
    wh_datum *pair[2];
    for (int i = 0; i < 2; i++) pair[i] = ox_insert_axes(o, y[i], 2u << last, x->rank + 1);
    y[1] = ox_reshape(o, ox_concat(o, last + 1, pair, 2), turned->rank, turned->dims);
  }
  return interleaved ? ox_concat(o, last, y + 1, rest ? 2 : 1) : ox_concat(o, last, y, rest ? 3 : 2);
}

/* x[b, s, h * d] or [b, h, s, d]; angles[b, s, half], of one batch for all too */
wh_datum *ox_rotary(ox *o, wh_datum *x, wh_datum *cos, wh_datum *sin, int64_t heads, bool interleaved) {
  if (o->st != WH_OK) return &o->nothing;
  const unsigned axis = x->rank == 3 ? 4 : 2; /* that of heads in the angles */
  cos = ox_insert_axes(o, ox_wide(o, cos), axis, 4);
  sin = ox_insert_axes(o, ox_wide(o, sin), axis, 4);
  if (x->rank == 4) return ox_cast(o, ox_rotate(o, ox_wide(o, x), cos, sin, interleaved), x->dtype);
  if (x->rank != 3 || heads < 1 || x->dims[2] % heads || ox_is_open(o, x->dims[2]))
    OX_FAIL(o, ERR_CORRUPT, "its input of rank %d does not divide into %" PRId64 " heads", x->rank, heads);
  if (o->st != WH_OK) return &o->nothing;
  const int64_t dims[] = {x->dims[0], x->dims[1], heads, x->dims[2] / heads};
  wh_datum *y = ox_rotate(o, ox_wide(o, ox_reshape(o, x, 4, dims)), cos, sin, interleaved);
  return ox_cast(o, ox_reshape(o, y, 3, x->dims), x->dtype);
}

void ox_lower_rotary_embedding(ox *o) {
  wh_datum *x = ox_in(o, 0), *cos = ox_in(o, 1), *sin = ox_in(o, 2);
  if (ox_has(o, 3)) {
    cos = ox_gather(o, cos, ox_in(o, 3), 0);
    sin = ox_gather(o, sin, ox_in(o, 3), 0);
  }
  const int64_t n = ox_attr_i(o, "rotary_embedding_dim", 0);
  if (n && o->st == WH_OK && cos->dims[cos->rank - 1] * 2 != n)
    OX_FAIL(o, ERR_CORRUPT, "its tables do not have %" PRId64 " angles", n / 2);
  if (o->st == WH_OK && (cos->rank != 3 || sin->rank != 3))
    OX_FAIL(o, ERR_CORRUPT, "its tables have rank %d and %d", cos->rank, sin->rank);
  if (o->st == WH_OK && x->rank == 4 && !n && cos->dims[2] * 2 != x->dims[3])
    OX_FAIL(o, ERR_CORRUPT, "its tables do not have half as many angles as heads have elements");
  ox_give(o, 0, ox_rotary(o, x, cos, sin, ox_attr_i(o, "num_heads", 0), ox_attr_i(o, "interleaved", 0) != 0));
}

/* ---- caches ---- */

/* update's places along the axis become those from write_indices[b] on */
void ox_lower_tensor_scatter(ox *o) {
  wh_datum *past = ox_in(o, 0), *update = ox_in(o, 1);
  const int axis = ox_axis(o, ox_attr_i(o, "axis", -2), past->rank);
  const bool circular = wh_str_is(ox_attr_s(o, "mode", "linear"), "circular");
  if (update->rank != past->rank || axis == 0) OX_FAIL(o, ERR_CORRUPT, "its update does not fit its cache");
  if (o->st != WH_OK) return;
  int64_t first[WH_MAX_RANK];
  for (int i = 0; i < past->rank; i++) first[i] = 1;
  wh_datum *at = ox_per_channel(o, ox_places(o, update->dims[axis]), past->rank, axis);
  if (ox_has(o, 2)) {
    first[0] = ox_product(o, ox_in(o, 2)->dims, 0, ox_in(o, 2)->rank);
    at = ox_add(o, at, ox_reshape(o, ox_cast(o, ox_in(o, 2), WH_DTYPE_I64), past->rank, first));
  }
  if (circular) {
    wh_datum *in[] = {at, ox_dim_value(o, past->dims[axis], WH_DTYPE_I64)};
    const wh_attr plain = ox_a_i(WH_ATTR_FMOD, 0);
    at = ox_node1(o, WH_OP_MOD, in, 2, &plain, 1);
  }
  wh_datum *in[] = {past, ox_expand(o, at, update->rank, update->dims), update};
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, axis), ox_a_i(WH_ATTR_REDUCTION, 0)};
  ox_give(o, 0, update->n ? ox_node1(o, WH_OP_SCATTER_ELEMENTS, in, 3, attrs, 2) : past);
}

/* ---- attention as a state that each step changes ---- */

typedef struct linear_attention {
  wh_datum *q, *k, *v, *decay, *beta; /* [b, h, t, ..] in f32; decay, beta may be NULL */
  int64_t steps, heads, groups;
  float scale;
} linear_attention;

/* Place i of the axis of steps, which goes. */
static wh_datum *step_of(ox *o, wh_datum *x, int64_t i) { return ox_part(o, x, 2, i, 1); }

/* state[b, h, k, v] = state * exp(decay) + key' x value, of which what the state gives for the key is taken
 * off before where there is a beta; the query's rows of it are the output */
static wh_datum *linear_step(ox *o, const linear_attention *a, int64_t i, wh_datum **state) {
  static const int64_t swap[] = {0, 1, 3, 2};
  wh_datum *k = step_of(o, a->k, i), *v = step_of(o, a->v, i), *column = ox_transpose(o, k, swap);
  if (a->decay)
    *state = ox_mul(o, *state, ox_unary(o, WH_OP_EXP, ox_transpose(o, step_of(o, a->decay, i), swap)));
  if (a->beta) v = ox_mul(o, step_of(o, a->beta, i), ox_sub(o, v, ox_matmul(o, k, *state)));
  *state = ox_add(o, *state, ox_mul(o, column, v));
  wh_datum *q = step_of(o, a->q, i);
  if (o->st != WH_OK) return q;
  wh_datum *y = ox_matmul(o, grouped(o, q, a->heads), *state);
  const int64_t dims[] = {q->dims[0], q->dims[1], 1, a->v->dims[3]};
  return ox_mul(o, ox_reshape(o, y, 4, dims), ox_num(o, y, a->scale));
}

void ox_lower_linear_attention(ox *o) {
  wh_datum *q0 = ox_in(o, 0), *past = ox_maybe(o, 3);
  const int64_t q_heads = ox_attr_i(o, "q_num_heads", 0), heads = ox_attr_i(o, "kv_num_heads", 0);
  linear_attention a = {.q = ox_split_heads(o, ox_f32(o, q0), q_heads),
                        .k = ox_split_heads(o, ox_f32(o, ox_in(o, 1)), heads),
                        .v = ox_split_heads(o, ox_f32(o, ox_in(o, 2)), heads),
                        .heads = heads};
  if (o->st == WH_OK && (heads < 1 || q_heads % heads || a.k->dims[2] != a.q->dims[2] ||
                         a.v->dims[2] != a.q->dims[2] || a.k->dims[3] != a.q->dims[3]))
    OX_FAIL(o, ERR_CORRUPT, "its queries, keys and values do not go together");
  if (o->st != WH_OK) return;
  if (ox_has(o, 4)) a.decay = ox_split_heads(o, ox_f32(o, ox_in(o, 4)), heads);
  if (ox_has(o, 5)) a.beta = ox_split_heads(o, ox_f32(o, ox_in(o, 5)), ox_in(o, 5)->dims[2] == 1 ? 1 : heads);
  a.steps = a.q->dims[2];
  a.scale = ox_attr_f(o, "scale", 0);
  if (a.scale == 0) a.scale = (float)(1 / sqrt((double)a.q->dims[3]));
  const int64_t dims[] = {q0->dims[0], heads, a.k->dims[3], a.v->dims[3]};
  wh_datum *state = past ? ox_f32(o, past) : ox_expand(o, ox_scalar(o, WH_DTYPE_F32, 0), 4, dims),
           **rows = ox_array(o, (size_t)a.steps, sizeof *rows);
  for (int64_t i = 0; rows && i < a.steps && ox_go_on(o); i++) rows[i] = linear_step(o, &a, i, &state);
  if (a.steps == 0) OX_FAIL(o, ERR_CORRUPT, "it has no steps");
  if (o->st != WH_OK) return;
  ox_give(o, 0, ox_cast(o, ox_join_heads(o, ox_concat(o, 2, rows, (size_t)a.steps)), q0->dtype));
  ox_give(o, 1, ox_cast(o, state, past ? past->dtype : q0->dtype));
}
