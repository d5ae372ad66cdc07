/* infer_tensor.c - the shape rules of ops that compute on tensors of any rank: elementwise, reductions,
 * products; and what they share with those that move elements (infer_move.c). */
#include <string.h>

#include "core/ir/formula.h"
#include "core/ir/infer_internal.h"

/* ---- types ---- */

/* What an operand may hold: bits. */
enum {
  T_FLOAT = 1,   /* f32, f64 */
  T_INTEGER = 2, /* i8 .. u64 */
  T_BOOL = 4,
  T_NARROW = 8, /* f16, bf16, f8, f4, i4, u4, i2, u2: cast only */
};

static unsigned type_bit(wh_dtype d) {
  switch (d) {
    case WH_DTYPE_F32:
    case WH_DTYPE_F64:
      return T_FLOAT;
    case WH_DTYPE_I8:
    case WH_DTYPE_I16:
    case WH_DTYPE_I32:
    case WH_DTYPE_I64:
    case WH_DTYPE_U8:
    case WH_DTYPE_U16:
    case WH_DTYPE_U32:
    case WH_DTYPE_U64:
      return T_INTEGER;
    case WH_DTYPE_BOOL:
      return T_BOOL;
    case WH_DTYPE_I4:
    case WH_DTYPE_U4:
    case WH_DTYPE_I2:
    case WH_DTYPE_U2:
      return T_NARROW;
    default:
      return wh_dtype_is_float(d) ? T_NARROW : 0;
  }
}

static wh_status want_type(const infer_ctx *c, size_t i, unsigned types, const char *text) {
  if (!in(c, i)) return wrong(c, i, "is missing");
  const wh_dtype d = in(c, i)->dtype;
  if (type_bit(d) & types) return WH_OK;
  return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s' (%s): input %zu is %s, not %s", c->name, c->op, i,
                 wh_dtype_name(d), text);
}

wh_status wh_infer_want_number(const infer_ctx *c, size_t i) {
  return want_type(c, i, T_FLOAT | T_INTEGER, "f32, f64 or an integer of whole bytes");
}

/* Elements that can be moved: each is a number of whole bytes. */
wh_status wh_infer_want_movable(const infer_ctx *c, size_t i) {
  if (!in(c, i)) return wrong(c, i, "is missing");
  const wh_dtype_info *t = wh_dtype_get(in(c, i)->dtype);
  if (t->block_elems > 1 && t->class_of != WH_CLASS_QUANTISED)
    return wrong(c, i, "elements of a part of a byte are cast before they are moved");
  if (t->block_elems == 1 && t->block_bytes) return WH_OK;
  return wrong(c, i, "holds no elements that could be moved one by one");
}

wh_status wh_infer_want_same_type(const infer_ctx *c, size_t i, size_t as) {
  return want(c, i, in(c, as)->dtype, -1);
}

/* ---- dims ---- */

wh_status wh_infer_broadcast(const infer_ctx *c, size_t i, const wh_shape *s, wh_shape *out) {
  if (s->rank > out->rank) {
    const int more = s->rank - out->rank;
    memmove(out->dims + more, out->dims, (size_t)out->rank * sizeof out->dims[0]);
    for (int d = 0; d < more; d++) WH_TRY(wh_dim_const(&c->g->dims, 1, &out->dims[d]));
    out->rank = s->rank;
  }
  for (int d = 0; d < s->rank; d++) {
    wh_dim *o = &out->dims[d + out->rank - s->rank];
    if (is_one(c, *o))
      *o = s->dims[d];
    else if (!is_one(c, s->dims[d]))
      WH_TRY(want_dim(c, i, d, *o));
  }
  return WH_OK;
}

wh_status wh_infer_attr_in_range(const infer_ctx *c, wh_attr_key key, int64_t first, int64_t last,
                                 const char *what, int *out) {
  const int64_t i = wh_infer_attr(c, key)->i;
  if (i < first || i > last) return wh_infer_wrong_attr(c, key, what);
  *out = (int)i;
  return WH_OK;
}

wh_status wh_infer_axis_of(const infer_ctx *c, wh_attr_key key, int rank, int *axis) {
  return attr_in_range(c, key, 0, rank - 1, "is no axis of input 0", axis);
}

wh_status wh_infer_flag(const infer_ctx *c, wh_attr_key key) {
  int unused;
  return attr_in_range(c, key, 0, 1, "must be 0 or 1", &unused);
}

/* ---- elementwise ---- */

static wh_status binary_of(const infer_ctx *c, unsigned types, const char *text, wh_shape *out) {
  for (size_t i = 0; i < 2; i++) WH_TRY(want_type(c, i, types, text));
  WH_TRY(want_same_type(c, 1, 0));
  *out = *in(c, 0);
  return broadcast(c, 1, in(c, 1), out);
}

wh_status wh_infer_binary(const infer_ctx *c, wh_shape *out) {
  if (wh_op_get(c->def->op)->attrs & WH_ATTR_BIT(FMOD)) WH_TRY(flag(c, WH_ATTR_FMOD));
  return binary_of(c, T_FLOAT | T_INTEGER, "f32, f64 or an integer of whole bytes", out);
}

wh_status wh_infer_pow(const infer_ctx *c, wh_shape *out) {
  for (size_t i = 0; i < 2; i++) WH_TRY(want_number(c, i));
  *out = *in(c, 0);
  return broadcast(c, 1, in(c, 1), out);
}

wh_status wh_infer_bits(const infer_ctx *c, wh_shape *out) {
  return binary_of(c, T_INTEGER, "an integer of whole bytes", out);
}

wh_status wh_infer_logic(const infer_ctx *c, wh_shape *out) { return binary_of(c, T_BOOL, "bool", out); }

wh_status wh_infer_compare(const infer_ctx *c, wh_shape *out) {
  const bool equal = c->def->op == WH_OP_EQUAL;
  WH_TRY(binary_of(
      c, T_FLOAT | T_INTEGER | (equal ? T_BOOL : 0),
      equal ? "f32, f64, bool or an integer of whole bytes" : "f32, f64 or an integer of whole bytes", out));
  out->dtype = WH_DTYPE_BOOL;
  return WH_OK;
}

static wh_status unary_of(const infer_ctx *c, unsigned types, const char *text, wh_shape *out) {
  WH_TRY(want_type(c, 0, types, text));
  *out = *in(c, 0);
  return WH_OK;
}

wh_status wh_infer_unary(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  *out = *in(c, 0);
  return WH_OK;
}

wh_status wh_infer_unary_float(const infer_ctx *c, wh_shape *out) {
  return unary_of(c, T_FLOAT, "f32 or f64", out);
}

wh_status wh_infer_unary_number(const infer_ctx *c, wh_shape *out) {
  return unary_of(c, T_FLOAT | T_INTEGER, "f32, f64 or an integer of whole bytes", out);
}

wh_status wh_infer_unary_bits(const infer_ctx *c, wh_shape *out) {
  return unary_of(c, T_INTEGER, "an integer of whole bytes", out);
}

wh_status wh_infer_unary_logic(const infer_ctx *c, wh_shape *out) { return unary_of(c, T_BOOL, "bool", out); }

wh_status wh_infer_classify(const infer_ctx *c, wh_shape *out) {
  int unused;
  WH_TRY(unary_of(c, T_FLOAT, "f32 or f64", out));
  if (wh_op_get(c->def->op)->attrs & WH_ATTR_BIT(MODE))
    WH_TRY(attr_in_range(c, WH_ATTR_MODE, 1, 3, "must be 1, 2 or 3", &unused));
  out->dtype = WH_DTYPE_BOOL;
  return WH_OK;
}

wh_status wh_infer_cast(const infer_ctx *c, wh_shape *out) {
  static const char numbers[] = "a number or bool";
  const int64_t to = wh_infer_attr(c, WH_ATTR_TO)->i;
  WH_TRY(unary_of(c, T_FLOAT | T_INTEGER | T_BOOL | T_NARROW, numbers, out));
  WH_TRY(flag(c, WH_ATTR_SATURATE));
  if (to < 0 || to > INT32_MAX || !type_bit((wh_dtype)to))
    return wh_infer_wrong_attr(c, WH_ATTR_TO, "is no dtype of numbers or bool");
  out->dtype = (wh_dtype)to;
  return WH_OK;
}

wh_status wh_infer_truncate_bf16(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  *out = *in(c, 0);
  out->dtype = WH_DTYPE_BF16;
  return WH_OK;
}

wh_status wh_infer_where(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_BOOL, -1));
  WH_TRY(want_movable(c, 1));
  WH_TRY(want_same_type(c, 2, 1));
  *out = *in(c, 0);
  out->dtype = in(c, 1)->dtype;
  WH_TRY(broadcast(c, 1, in(c, 1), out));
  return broadcast(c, 2, in(c, 2), out);
}

wh_status wh_infer_chain(const infer_ctx *c, wh_shape *out) {
  const wh_attr *a = wh_infer_attr(c, WH_ATTR_FORMULA);
  wh_formula f;
  wh_status st = wh_formula_parse(a->text, a->n, (uint32_t)c->n_inputs, &f);
  if (st != WH_OK) return wh_fail_prefix("node '%s' (%s)", c->name, c->op);
  *out = (wh_shape){.dtype = WH_DTYPE_F32};
  for (size_t i = 0; i < c->n_inputs; i++) {
    WH_TRY(want(c, i, WH_DTYPE_F32, -1));
    WH_TRY(broadcast(c, i, in(c, i), out));
  }
  return WH_OK;
}

/* ---- reductions ---- */

/* *out without the axes of the mask, or with 1 in their places. */
static wh_status drop_axes(const infer_ctx *c, unsigned axes, bool keep, wh_shape *out) {
  int rank = 0;
  for (int d = 0; d < out->rank; d++) {
    const bool dropped = axes & 1u << d;
    if (dropped && !keep) continue;
    out->dims[rank] = out->dims[d];
    if (dropped) WH_TRY(wh_dim_const(&c->g->dims, 1, &out->dims[rank]));
    rank++;
  }
  out->rank = rank;
  return WH_OK;
}

wh_status wh_infer_reduce(const infer_ctx *c, wh_shape *out) {
  const wh_attr *axes = wh_infer_attr(c, WH_ATTR_AXES);
  unsigned mask = 0;
  WH_TRY(want_number(c, 0));
  WH_TRY(flag(c, WH_ATTR_KEEP));
  *out = *in(c, 0);
  for (size_t i = 0; i < axes->n; i++) {
    if (axes->ints[i] < 0 || axes->ints[i] >= out->rank || mask & 1u << axes->ints[i])
      return wh_infer_wrong_attr(c, WH_ATTR_AXES, "are no axes of input 0, each once");
    mask |= 1u << axes->ints[i];
  }
  return drop_axes(c, mask, wh_infer_attr(c, WH_ATTR_KEEP)->i != 0, out);
}

wh_status wh_infer_arg(const infer_ctx *c, wh_shape *out) {
  int axis;
  WH_TRY(want_number(c, 0));
  WH_TRY(axis_of(c, WH_ATTR_AXIS, in(c, 0)->rank, &axis));
  WH_TRY(flag(c, WH_ATTR_KEEP));
  WH_TRY(flag(c, WH_ATTR_LAST));
  *out = *in(c, 0);
  out->dtype = WH_DTYPE_I64;
  if (expr(c, out->dims[axis])->min < 1) return wrong(c, 0, "may be empty along the axis");
  return drop_axes(c, 1u << axis, wh_infer_attr(c, WH_ATTR_KEEP)->i != 0, out);
}

wh_status wh_infer_cumsum(const infer_ctx *c, wh_shape *out) {
  int axis;
  WH_TRY(want_number(c, 0));
  WH_TRY(axis_of(c, WH_ATTR_AXIS, in(c, 0)->rank, &axis));
  WH_TRY(flag(c, WH_ATTR_EXCLUSIVE));
  WH_TRY(flag(c, WH_ATTR_REVERSE));
  *out = *in(c, 0);
  return WH_OK;
}

wh_status wh_infer_topk(const infer_ctx *c, wh_shape *out) {
  const int64_t k = wh_infer_attr(c, WH_ATTR_K)->i;
  int axis;
  WH_TRY(want_number(c, 0));
  WH_TRY(axis_of(c, WH_ATTR_AXIS, in(c, 0)->rank, &axis));
  WH_TRY(flag(c, WH_ATTR_LARGEST));
  out[0] = *in(c, 0);
  if (k < 0 || k > expr(c, out[0].dims[axis])->min)
    return wh_infer_wrong_attr(c, WH_ATTR_K, "is negative, or more than input 0 may have along the axis");
  WH_TRY(wh_dim_const(&c->g->dims, k, &out[0].dims[axis]));
  out[1] = out[0];
  out[1].dtype = WH_DTYPE_I64;
  return WH_OK;
}

wh_status wh_infer_softmax(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  if (in(c, 0)->rank < 1) return wrong(c, 0, "must have rank 1 or more");
  *out = *in(c, 0);
  return WH_OK;
}

/* ---- products ---- */

/* a[.., m, k] . b[.., k, n]; *out gets a's dtype. */
static wh_status product(const infer_ctx *c, wh_shape *out) {
  const wh_shape *a = in(c, 0), *b = in(c, 1);
  for (size_t i = 0; i < 2; i++)
    if (in(c, i)->rank < 2) return wrong(c, i, "must have rank 2 or more");
  WH_TRY(want_dim(c, 1, b->rank - 2, a->dims[a->rank - 1]));
  wh_shape batch = *b;
  batch.rank -= 2;
  *out = *a;
  out->rank -= 2;
  WH_TRY(broadcast(c, 1, &batch, out));
  out->dims[out->rank++] = a->dims[a->rank - 2];
  out->dims[out->rank++] = b->dims[b->rank - 1];
  return WH_OK;
}

wh_status wh_infer_matmul(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want_type(c, 0, T_FLOAT, "f32 or f64"));
  WH_TRY(want_same_type(c, 1, 0));
  return product(c, out);
}

static bool is_byte(wh_dtype d) { return d == WH_DTYPE_I8 || d == WH_DTYPE_U8; }

/* One for all, or one for each row or column of the result. */
static wh_status zero_points(const infer_ctx *c, size_t i, wh_dtype dtype, wh_dim n) {
  const wh_shape *z = in(c, i);
  if (!z) return WH_OK;
  WH_TRY(want(c, i, dtype, z->rank ? 1 : 0));
  return z->rank ? want_dim(c, i, 0, n) : WH_OK;
}

wh_status wh_infer_matmul_integer(const infer_ctx *c, wh_shape *out) {
  for (size_t i = 0; i < 2; i++)
    if (!is_byte(in(c, i)->dtype)) return wrong(c, i, "must be i8 or u8");
  WH_TRY(product(c, out));
  WH_TRY(zero_points(c, 2, in(c, 0)->dtype, out->dims[out->rank - 2]));
  WH_TRY(zero_points(c, 3, in(c, 1)->dtype, out->dims[out->rank - 1]));
  out->dtype = WH_DTYPE_I32;
  return WH_OK;
}
