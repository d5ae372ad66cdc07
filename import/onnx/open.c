/* open.c - dims that stay open: expressions of symbols in place of numbers, so that one graph serves every
 * value of the symbols.
 *
 * Where an execution has symbols, a dim of a value and an element of a shape may be *open*: a number below
 * all others that stands for an expression of the graph's dims. Lowerings copy it as they copy numbers; a few
 * compute with it here. Whatever would decide something by it fails, the execution ends, and the caller
 * executes with numbers instead: only the operators listed here are given open dims at all. The graph's own
 * rules prove the shapes for every value of the symbols. */
#include <inttypes.h>
#include <string.h>

#include "import/onnx/lowerings.h"

/* Of dim 0; those of others follow downward. An i32 holds them, too. */
#define FIRST_OPEN (-(INT64_C(1) << 30))

/* They look at dims and elements of shapes by what is open as well. */
static const ox_lowering aware[] = {
    ox_lower_unary,
    ox_lower_binary,
    ox_lower_swapped,
    ox_lower_equal,
    ox_lower_variadic,
    ox_lower_mean,
    ox_lower_pow,
    ox_lower_clip,
    ox_lower_relu,
    ox_lower_leaky_relu,
    ox_lower_hard_sigmoid,
    ox_lower_hard_swish,
    ox_lower_swish,
    ox_lower_mish,
    ox_lower_gelu,
    ox_lower_reciprocal,
    ox_lower_where,
    ox_lower_cast,
    ox_lower_cast_like,
    ox_lower_dropout,
    ox_lower_swiglu,
    ox_lower_lp_normalization,
    ox_lower_grid_sample,
    ox_lower_identity,
    ox_lower_shape,
    ox_lower_constant_of_shape,
    ox_lower_reshape,
    ox_lower_flatten,
    ox_lower_squeeze,
    ox_lower_unsqueeze,
    ox_lower_transpose,
    ox_lower_expand,
    ox_lower_concat,
    ox_lower_split,
    ox_lower_slice,
    ox_lower_gather,
    ox_lower_reduce,
    ox_lower_softmax,
    ox_lower_layer_normalization,
    ox_lower_rms_normalization,
    ox_lower_batch_normalization,
    ox_lower_instance_normalization,
    ox_lower_matmul,
    ox_lower_gemm,
    ox_lower_conv,
    ox_lower_conv_transpose,
    ox_lower_pool,
    ox_lower_global_pool,
    ox_lower_resize,
    ox_lower_if,
    ox_lower_loop,
    ox_lower_range,
    ox_lower_size,
    ox_lower_tile,
    ox_lower_pad,
    ox_lower_trilu,
    ox_lower_scatter_nd,
    ox_lower_scatter_elements,
    ox_lower_gather_elements,
    ox_lower_gather_nd,
    ox_lower_cumsum,
    ox_lower_one_hot,
    ox_lower_prelu,
    ox_lower_elu,
    ox_lower_selu,
    ox_lower_softsign,
    ox_lower_thresholded_relu,
    ox_lower_shrink,
    ox_lower_mod,
    ox_lower_is_inf,
    ox_lower_lrn,
    ox_lower_group_normalization,
    ox_lower_depth_to_space,
    ox_lower_dequantize_linear,
    ox_lower_quantize_linear,
    ox_lower_dynamic_quantize_linear,
    ox_lower_matmul_integer,
    ox_lower_qlinear_matmul,
    ox_lower_qlinear_conv,
    ox_lower_conv_integer,
    ox_lower_attention,
    ox_lower_rotary_embedding,
    ox_lower_ms_gelu,
    ox_lower_ms_quick_gelu,
    ox_lower_ms_skip_norm,
    ox_lower_ms_simplified_norm,
    ox_lower_ms_matmul_nbits,
    ox_lower_ms_fused_matmul,
    ox_lower_ms_bias_add,
    ox_lower_ms_attention,
    ox_lower_ms_multi_head_attention,
    ox_lower_ms_group_query_attention,
    ox_lower_ms_rotary_embedding,
    ox_lower_ms_embed_layer_norm,
    ox_lower_ms_dynamic_quantize_matmul,
    ox_lower_ms_matmul_integer_to_float,
    ox_lower_ms_gather_block_quantized,
    ox_lower_tensor_scatter,
    ox_lower_arg,
    ox_lower_topk,
    ox_lower_tree_ensemble,
    ox_lower_tree_ensemble_regressor,
    ox_lower_tree_ensemble_classifier,
    ox_lower_linear_regressor,
    ox_lower_linear_classifier,
    ox_lower_scaler,
    ox_lower_normalizer,
    ox_lower_binarizer,
    ox_lower_imputer,
    ox_lower_array_feature_extractor,
};

bool ox_takes_open(const ox_op_row *row) {
  for (size_t i = 0; row && i < sizeof aware / sizeof aware[0]; i++)
    if (row->lower == aware[i]) return true;
  return false;
}

bool ox_is_open(const ox *o, int64_t dim) {
  return o->symbols && dim <= FIRST_OPEN && dim > FIRST_OPEN - (int64_t)WH_MAX_DIM_EXPRS;
}

static int64_t opened(const ox *o, wh_dim d) {
  const wh_dim_expr *e = wh_dim_get(&o->g->dims, d);
  return e->kind == WH_DIM_CONST ? e->value : FIRST_OPEN - (int64_t)d;
}

bool ox_has_open_dims(const ox *o, const wh_datum *d) {
  for (int i = 0; o->symbols && i < d->rank; i++)
    if (ox_is_open(o, d->dims[i])) return true;
  return false;
}

bool ox_has_open_elements(const ox *o, const wh_datum *d) {
  const bool is_shape = d->dtype == WH_DTYPE_I64 || d->dtype == WH_DTYPE_I32;
  if (!o->symbols || !d->data || !is_shape || d->kind != WH_DATUM_TENSOR || !d->is_cheap) return false;
  for (size_t i = 0; i < d->n; i++)
    if (ox_is_open(o, ox_element_int(d, i))) return true;
  return false;
}

/* What comes from outside has numbers, whatever they look like. */
void ox_check_open(ox *o, const ox_node *node) {
  if (!o->symbols) return;
  bool open = false;
  for (size_t i = 0; i < node->n_in; i++) {
    const wh_datum *d = o->in[i];
    if (!d) continue;
    const bool elements = ox_has_open_elements(o, d);
    if (elements && (d->is_kept || d->input)) OX_FAIL(o, ERR_UNSUPPORTED, "a number is taken by open dims");
    open = open || elements || ox_has_open_dims(o, d);
  }
  for (size_t i = 0; i < node->src->n_attrs; i++) {
    const wh_onnx_attr *a = &node->src->attrs[i];
    if (a->type == WH_ONNX_ATTR_GRAPH) open = true; /* it sees values that are no inputs */
    for (size_t k = 0; a->type == WH_ONNX_ATTR_INTS && k < a->n; k++)
      if (ox_is_open(o, a->ints[k])) OX_FAIL(o, ERR_UNSUPPORTED, "a number is taken by open dims");
  }
  if (open && !node->function && !ox_takes_open(node->row))
    OX_FAIL(o, ERR_UNSUPPORTED, "it decides by dims that are open");
}

wh_dim ox_dim(ox *o, int64_t dim) {
  wh_dim d = 0;
  if (!ox_is_open(o, dim))
    ox_try(o, wh_dim_const(&o->g->dims, dim, &d));
  else if (FIRST_OPEN - dim >= (int64_t)o->g->dims.n)
    OX_FAIL(o, ERR_CORRUPT, "a dim is no dim");
  else
    d = (wh_dim)(FIRST_OPEN - dim);
  return d;
}

int64_t ox_dim_of(ox *o, wh_dim d) { return opened(o, d); }

int64_t ox_dim_now(ox *o, int64_t dim) {
  if (!ox_is_open(o, dim)) return dim;
  const wh_dim d = ox_dim(o, dim);
  return o->st == WH_OK ? wh_dim_eval(&o->g->dims, d, o->symbols->values) : 0;
}

int64_t ox_dim_least(ox *o, int64_t dim) {
  return ox_is_open(o, dim) ? wh_dim_get(&o->g->dims, ox_dim(o, dim))->min : dim;
}

int64_t ox_dim_most(ox *o, int64_t dim) {
  return ox_is_open(o, dim) ? wh_dim_get(&o->g->dims, ox_dim(o, dim))->max : dim;
}

/* Of numbers, for which no graph is needed. */
static int64_t of_numbers(ox *o, wh_dim_kind kind, int64_t a, int64_t b) {
  int64_t y = -1;
  const bool known = a >= 0 && b >= 0 && (kind != WH_DIM_FLOORDIV || b) &&
                     (kind != WH_DIM_MUL || !__builtin_mul_overflow(a, b, &y));
  if (known && kind == WH_DIM_ADD) y = a <= WH_DIM_LIMIT && b <= WH_DIM_LIMIT ? a + b : -1;
  if (known && kind == WH_DIM_SUB) y = a - b;
  if (known && kind == WH_DIM_FLOORDIV) y = a / b;
  if (known && kind == WH_DIM_MIN) y = a < b ? a : b;
  if (known && kind == WH_DIM_MAX) y = a > b ? a : b;
  if (!known || y < 0 || y > WH_DIM_LIMIT)
    OX_FAIL(o, ERR_LIMIT, "a dim that follows from %" PRId64 " and %" PRId64 " is out of range", a, b);
  return o->st == WH_OK ? y : 1;
}

int64_t ox_dim_binary(ox *o, wh_dim_kind kind, int64_t a, int64_t b) {
  if (!ox_is_open(o, a) && !ox_is_open(o, b)) return of_numbers(o, kind, a, b);
  const wh_dim da = ox_dim(o, a), db = ox_dim(o, b);
  wh_dim y = 0;
  if (o->st == WH_OK) ox_try(o, wh_dim_binary(&o->g->dims, kind, da, db, &y));
  return o->st == WH_OK ? opened(o, y) : 1;
}

int64_t ox_symbol_dim(ox *o, int symbol) {
  const wh_onnx_symbols *s = o->symbols;
  int64_t dim = s->plus[symbol];
  if (!s->follows[symbol])
    return ox_dim_binary(o, WH_DIM_MUL, ox_dim_of(o, o->g->dims.symbol_dims[symbol]), s->steps[symbol]);
  for (uint32_t i = 0; i < s->n; i++)
    if (s->terms[symbol] >> i & 1) dim = ox_dim_binary(o, WH_DIM_ADD, ox_symbol_dim(o, (int)i), dim);
  return dim;
}

/* ---- dims that are to be equal ---- */

#define MOST_PARTS 64 /* of a sum: one whose dims are sums of sums has more than can be looked at */

/* How often each symbol is in a sum, and its number; what is no sum: false. */
typedef struct open_sum {
  int64_t times[WH_ONNX_MAX_SYMBOLS], number;
  unsigned n_parts;
} open_sum;

static bool add_to_sum(const wh_dim_table *t, wh_dim d, int64_t sign, open_sum *sum) {
  const wh_dim_expr *e = wh_dim_get(t, d);
  if (++sum->n_parts > MOST_PARTS) return false;
  switch (e->kind) {
    case WH_DIM_CONST:
      sum->number += sign * e->value;
      return true;
    case WH_DIM_SYMBOL:
      sum->times[e->value] += sign;
      return true;
    case WH_DIM_ADD:
    case WH_DIM_SUB:
      return add_to_sum(t, e->a, sign, sum) && add_to_sum(t, e->b, e->kind == WH_DIM_ADD ? sign : -sign, sum);
    default:
      return false;
  }
}

/* The last symbol that is there once, on one side, while all others are on the other side, follows from
 * them. */
static bool let_follow(wh_onnx_symbols *s, const open_sum *sum) {
  for (uint32_t i = s->n; i-- > 0;) {
    const int64_t sign = sum->times[i];
    uint8_t terms = 0;
    bool fits = (sign == 1 || sign == -1) && s->steps[i] == 1;
    for (uint32_t k = 0; k < s->n && fits; k++) {
      if (k == i || !sum->times[k]) continue;
      fits = sum->times[k] == -sign && s->steps[k] == 1;
      terms |= (uint8_t)(1u << k);
    }
    if (!fits || !terms || -sign * sum->number < 0) continue;
    s->terms[i] = terms;
    s->plus[i] = -sign * sum->number;
    s->follows[i] = true;
    return true;
  }
  return false;
}

bool ox_dim_equal(ox *o, int64_t a, int64_t b) {
  if (a == b || o->st != WH_OK || (!ox_is_open(o, a) && !ox_is_open(o, b))) return a == b;
  const wh_dim da = ox_dim(o, a), db = ox_dim(o, b);
  if (o->st != WH_OK) return false;
  const wh_dim_table *t = &o->g->dims;
  const wh_dim_expr *ea = wh_dim_get(t, da), *eb = wh_dim_get(t, db);
  if (ea->max < eb->min || eb->max < ea->min) return false;
  open_sum sum = {.number = 0};
  const bool now = ox_dim_now(o, a) == ox_dim_now(o, b);
  if (now && add_to_sum(t, da, 1, &sum) && add_to_sum(t, db, -1, &sum))
    o->symbols->again = let_follow(o->symbols, &sum);
  OX_FAIL(o, ERR_UNSUPPORTED, "it decides by whether open dims are equal");
  return false;
}

void ox_meet(ox *o, const wh_datum *a, const wh_datum *b) {
  for (int i = 1; o->symbols && i <= a->rank && i <= b->rank && o->st == WH_OK; i++) {
    const int64_t da = a->dims[a->rank - i], db = b->dims[b->rank - i];
    if (da != 1 && db != 1) (void)ox_dim_equal(o, da, db);
  }
}

/* ---- what is open as elements ---- */

wh_datum *ox_dim_value(ox *o, int64_t dim, wh_dtype dtype) {
  if (!ox_is_open(o, dim)) return ox_scalar(o, dtype, (double)dim);
  return ox_reduce(o, WH_OP_REDUCE_SUM, ox_expand(o, ox_scalar(o, dtype, 1), 1, &dim), 1, false);
}

wh_datum *ox_open_value(ox *o, const wh_datum *d) {
  wh_datum **parts = ox_array(o, d->n, sizeof *parts);
  for (size_t i = 0; parts && i < d->n; i++) {
    const int64_t v = ox_element_int(d, i), one = 1;
    parts[i] =
        ox_reshape(o, ox_is_open(o, v) ? ox_dim_value(o, v, WH_DTYPE_I64) : ox_const_ints(o, &v, 1), 1, &one);
  }
  if (!parts || o->st != WH_OK) return &o->nothing;
  return ox_reshape(o, ox_cast(o, ox_concat(o, 0, parts, d->n), d->dtype), d->rank, d->dims);
}

wh_datum *ox_places(ox *o, int64_t n) {
  const wh_attr attrs[] = {ox_a_i(WH_ATTR_AXIS, 0), ox_a_i(WH_ATTR_EXCLUSIVE, 1), ox_a_i(WH_ATTR_REVERSE, 0)};
  if (ox_is_open(o, n)) {
    wh_datum *ones = ox_expand(o, ox_scalar(o, WH_DTYPE_I64, 1), 1, &n);
    return ox_node1(o, WH_OP_CUMSUM, &ones, 1, attrs, 3);
  }
  wh_datum *d = ox_new(o, WH_DTYPE_I64, 1, &n);
  for (int64_t i = 0; i < n && o->st == WH_OK; i++) ((int64_t *)(uintptr_t)d->data)[i] = i;
  return d;
}

/* ---- bounds and quotients ---- */

bool ox_dim_at_most(ox *o, int64_t dim, int64_t limit) {
  if (!ox_is_open(o, dim) || o->st != WH_OK) return dim <= limit;
  const wh_dim_table *t = &o->g->dims;
  const wh_dim_expr *e = wh_dim_get(t, ox_dim(o, dim));
  int64_t most = limit;
  if (e->max <= limit) return true;
  if ((e->kind == WH_DIM_ADD || e->kind == WH_DIM_SUB) && wh_dim_is_const(t, e->b)) {
    most -= e->kind == WH_DIM_ADD ? wh_dim_get(t, e->b)->value : -wh_dim_get(t, e->b)->value;
    e = wh_dim_get(t, e->a);
  }
  if (e->kind == WH_DIM_MUL && wh_dim_is_const(t, e->b)) {
    most /= wh_dim_get(t, e->b)->value;
    e = wh_dim_get(t, e->a);
  }
  if (e->kind == WH_DIM_SYMBOL && ox_dim_now(o, dim) <= limit) { /* with a smaller range it will do */
    o->symbols->max[e->value] = most;
    o->symbols->again = true;
  }
  OX_FAIL(o, ERR_UNSUPPORTED, "a dim may be too large");
  return false;
}

/* Products of both lists without what they have in common; -1: there is no such dim. */
int64_t ox_dim_quotient(ox *o, const int64_t *dims, int rank, const int64_t *by, size_t n) {
  bool used[WH_MAX_RANK] = {false};
  int64_t divisor = 1, rest = 1, open = 1;
  for (size_t k = 0; k < n; k++) {
    int i = 0;
    while (i < rank && (used[i] || dims[i] != by[k])) i++;
    if (i < rank) {
      used[i] = true;
      continue;
    }
    if (ox_is_open(o, by[k]) || __builtin_mul_overflow(divisor, by[k], &divisor)) return -1;
  }
  for (int i = 0; i < rank && o->st == WH_OK; i++) {
    if (used[i]) continue;
    if (ox_is_open(o, dims[i]))
      open = open == 1 ? dims[i] : ox_dim_binary(o, WH_DIM_MUL, open, dims[i]);
    else if (__builtin_mul_overflow(rest, dims[i], &rest))
      return -1;
  }
  if (divisor < 1 || rest % divisor) return -1;
  return rest == divisor || o->st != WH_OK ? open : ox_dim_binary(o, WH_DIM_MUL, open, rest / divisor);
}
