/* open.c - dims that stay open: expressions of symbols in place of numbers, so that one graph serves every
 * value of the symbols.
 *
 * Where an execution has symbols, a dim of a value and an element of a shape may be *open*: a number below
 * all others that stands for an expression of the graph's dims. Lowerings copy it as they copy numbers; a few
 * compute with it here. Whatever would decide something by it fails, the execution ends, and the caller
 * executes with numbers instead: only the operators listed here are given open dims at all. The graph's own
 * rules prove the shapes for every value of the symbols. */
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

int64_t ox_dim_binary(ox *o, wh_dim_kind kind, int64_t a, int64_t b) {
  const wh_dim da = ox_dim(o, a), db = ox_dim(o, b);
  wh_dim y = 0;
  if (o->st == WH_OK) ox_try(o, wh_dim_binary(&o->g->dims, kind, da, db, &y));
  return o->st == WH_OK ? opened(o, y) : 1;
}

bool ox_dim_at_most(ox *o, int64_t dim, int64_t limit) {
  if (!ox_is_open(o, dim)) return dim <= limit;
  const wh_dim_table *t = &o->g->dims;
  const wh_dim_expr *e = wh_dim_get(t, ox_dim(o, dim));
  int64_t step = 1;
  if (e->max <= limit) return true;
  if (e->kind == WH_DIM_MUL && wh_dim_is_const(t, e->b)) {
    step = wh_dim_get(t, e->b)->value;
    e = wh_dim_get(t, e->a);
  }
  if (e->kind == WH_DIM_SYMBOL && ox_dim_now(o, dim) <= limit) { /* with a smaller range it will do */
    o->symbols->max[e->value] = limit / step;
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
