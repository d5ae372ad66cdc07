/* infer_move.c - the shape rules of ops that move the elements of tensors of any rank: structure, indices.
 * Where a rule needs to know that one dimension is no larger than another, it proves it for every value of
 * the symbols, or refuses. */
#include <string.h>

#include "core/ir/infer_internal.h"

static wh_status want_indices(const infer_ctx *c, size_t i) {
  const wh_dtype d = in(c, i)->dtype;
  return d == WH_DTYPE_I32 || d == WH_DTYPE_I64 ? WH_OK : wrong(c, i, "indices must be i32 or i64");
}

/* Whether a <= b whatever the symbols are. */
static bool never_larger(const infer_ctx *c, wh_dim a, wh_dim b) {
  return a == b || expr(c, a)->max <= expr(c, b)->min;
}

static wh_status attr_of_rank(const infer_ctx *c, wh_attr_key key, size_t n, const int64_t **out) {
  const wh_attr *a = wh_infer_attr(c, key);
  if (a->n != n) return wh_infer_wrong_attr(c, key, "has another number of entries than there are axes");
  *out = a->ints;
  return WH_OK;
}

/* ---- structure ---- */

/* The product of dims as a constant and factors that are neither constants nor products, in the order of
 * their indices; elements are equal when both are. */
#define MOST_FACTORS 32
typedef struct factors {
  int64_t constant;
  size_t n;
  wh_dim list[MOST_FACTORS];
} factors;

static wh_status multiply(const wh_dim_table *t, wh_dim d, factors *p) {
  const wh_dim_expr *e = wh_dim_get(t, d);
  if (e->kind == WH_DIM_MUL) {
    WH_TRY(multiply(t, e->a, p));
    return multiply(t, e->b, p);
  }
  if (e->kind == WH_DIM_CONST) {
    if (__builtin_mul_overflow(p->constant, e->value, &p->constant) || p->constant > WH_DIM_LIMIT)
      return WH_FAIL(ERR_LIMIT, "a shape has too many elements");
    return WH_OK;
  }
  if (p->n == MOST_FACTORS) return WH_FAIL(ERR_LIMIT, "a shape has too many factors");
  size_t at = p->n++;
  for (; at && p->list[at - 1] > d; at--) p->list[at] = p->list[at - 1];
  p->list[at] = d;
  return WH_OK;
}

static wh_status element_count(const wh_graph *g, const wh_dim *dims, int rank, factors *out) {
  *out = (factors){.constant = 1};
  for (int i = 0; i < rank; i++) WH_TRY(multiply(&g->dims, dims[i], out));
  return WH_OK;
}

/* Takes out what both shapes have, so that a product of what is left is seldom too large to be written. */
static void cancel_equal_dims(wh_shape *a, wh_shape *b) {
  for (int i = 0; i < a->rank;) {
    int k = 0;
    while (k < b->rank && b->dims[k] != a->dims[i]) k++;
    if (k == b->rank) {
      i++;
    } else {
      a->dims[i] = a->dims[--a->rank];
      b->dims[k] = b->dims[--b->rank];
    }
  }
}

wh_status wh_infer_reshape(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0);
  const wh_attr *shape = &c->attrs[0];
  if (wh_dtype_is_quantised(x->dtype) || wh_dtype_is(x->dtype, WH_CLASS_OPAQUE))
    return wrong(c, 0, "blocks cannot be reshaped");
  if (wh_dtype_get(x->dtype)->block_elems > 1 &&
      !(x->rank && shape->rank && x->dims[x->rank - 1] == shape->dims[shape->rank - 1]))
    return wrong(c, 0, "elements of a part of a byte stay in their rows: the last dimension cannot change");
  factors a, b;
  wh_shape from = *x, to = {.rank = shape->rank};
  memcpy(to.dims, shape->dims, sizeof to.dims);
  cancel_equal_dims(&from, &to);
  WH_TRY(element_count(c->g, from.dims, from.rank, &a));
  WH_TRY(element_count(c->g, to.dims, to.rank, &b));
  if (a.constant != b.constant || a.n != b.n || memcmp(a.list, b.list, a.n * sizeof a.list[0]) != 0)
    return wrong(c, 0, "the new shape has another number of elements");
  *out = (wh_shape){.dtype = x->dtype, .rank = shape->rank};
  memcpy(out->dims, shape->dims, sizeof out->dims);
  return WH_OK;
}

wh_status wh_infer_transpose(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0);
  const int64_t *perm;
  unsigned seen = 0;
  WH_TRY(want_movable(c, 0));
  WH_TRY(attr_of_rank(c, WH_ATTR_PERM, (size_t)x->rank, &perm));
  *out = *x;
  for (int i = 0; i < x->rank; i++) {
    if (perm[i] < 0 || perm[i] >= x->rank || seen & 1u << perm[i])
      return wh_infer_wrong_attr(c, WH_ATTR_PERM, "is no order of the axes");
    seen |= 1u << perm[i];
    out->dims[i] = x->dims[perm[i]];
  }
  return WH_OK;
}

/* Whether `n` elements from `start` on lie within `d` whatever the symbols are. */
static wh_status slice_fits(const infer_ctx *c, wh_dim d, int64_t start, int64_t step, wh_dim n, bool *fits) {
  const int64_t least = expr(c, d)->min, most = expr(c, n)->max; /* expressions move when one is added */
  *fits = most == 0 || (n == d && start == 0 && step == 1);
  if (*fits || step == 0 || start < 0) return WH_OK;
  if (step == 1 && start <= least) { /* all that is left */
    wh_dim first, rest;
    WH_TRY(wh_dim_const(&c->g->dims, start, &first));
    WH_TRY(wh_dim_binary(&c->g->dims, WH_DIM_SUB, d, first, &rest));
    *fits = rest == n;
    if (*fits) return WH_OK;
  }
  int64_t last;
  if (__builtin_mul_overflow(most - 1, step, &last) || __builtin_add_overflow(last, start, &last))
    return WH_OK;
  *fits = start < least && last >= 0 && last < least;
  return WH_OK;
}

wh_status wh_infer_slice(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0);
  const wh_attr *shape = wh_infer_attr(c, WH_ATTR_SHAPE);
  const int64_t *starts, *steps;
  WH_TRY(want_movable(c, 0));
  WH_TRY(attr_of_rank(c, WH_ATTR_STARTS, (size_t)x->rank, &starts));
  WH_TRY(attr_of_rank(c, WH_ATTR_STEPS, (size_t)x->rank, &steps));
  if (shape->rank != x->rank) return wh_infer_wrong_attr(c, WH_ATTR_SHAPE, "has another rank than input 0");
  *out = *x;
  for (int i = 0; i < x->rank; i++) {
    bool fits;
    WH_TRY(slice_fits(c, x->dims[i], starts[i], steps[i], shape->dims[i], &fits));
    if (!fits)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s' (%s): input 0 may end before the slice of axis %d",
                     c->name, c->op, i);
    out->dims[i] = shape->dims[i];
  }
  return WH_OK;
}

wh_status wh_infer_concat(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0);
  int axis;
  WH_TRY(want_movable(c, 0));
  WH_TRY(axis_of(c, WH_ATTR_AXIS, x->rank, &axis));
  *out = *x;
  for (size_t i = 1; i < c->n_inputs; i++) {
    WH_TRY(want(c, i, x->dtype, x->rank));
    for (int d = 0; d < x->rank; d++)
      if (d != axis) WH_TRY(want_dim(c, i, d, x->dims[d]));
    WH_TRY(wh_dim_binary(&c->g->dims, WH_DIM_ADD, out->dims[axis], in(c, i)->dims[axis], &out->dims[axis]));
  }
  return WH_OK;
}

wh_status wh_infer_pad(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0);
  const int64_t *pads;
  int mode;
  WH_TRY(want_movable(c, 0));
  WH_TRY(attr_of_rank(c, WH_ATTR_PADS, 2 * (size_t)x->rank, &pads));
  WH_TRY(attr_in_range(c, WH_ATTR_MODE, 0, 3, "must be 0, 1, 2 or 3", &mode));
  if (in(c, 1)) WH_TRY(want(c, 1, x->dtype, 0));
  if (in(c, 1) && mode) return wrong(c, 1, "only constant padding takes a value");
  *out = *x;
  for (int i = 0; i < x->rank; i++) {
    const int64_t before = pads[i], after = pads[x->rank + i];
    if (before < 0 || after < 0 || before > WH_DIM_LIMIT || after > WH_DIM_LIMIT)
      return wh_infer_wrong_attr(c, WH_ATTR_PADS, "must not be negative, nor larger than a dimension can be");
    if (mode && before + after && expr(c, x->dims[i])->min < 1)
      return wrong(c, 0, "has no elements that could be repeated");
    wh_dim more;
    WH_TRY(wh_dim_const(&c->g->dims, before, &more));
    WH_TRY(wh_dim_binary(&c->g->dims, WH_DIM_ADD, out->dims[i], more, &out->dims[i]));
    WH_TRY(wh_dim_const(&c->g->dims, after, &more));
    WH_TRY(wh_dim_binary(&c->g->dims, WH_DIM_ADD, out->dims[i], more, &out->dims[i]));
  }
  return WH_OK;
}

wh_status wh_infer_expand(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0);
  const wh_attr *shape = wh_infer_attr(c, WH_ATTR_SHAPE);
  WH_TRY(want_movable(c, 0));
  if (shape->rank < x->rank) return wrong(c, 0, "has a higher rank than the new shape");
  *out = (wh_shape){.dtype = x->dtype, .rank = shape->rank};
  memcpy(out->dims, shape->dims, sizeof out->dims);
  for (int i = 0; i < x->rank; i++)
    if (!is_one(c, x->dims[i])) WH_TRY(want_dim(c, 0, i, out->dims[out->rank - x->rank + i]));
  return WH_OK;
}

wh_status wh_infer_tile(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0);
  const int64_t *repeats;
  WH_TRY(want_movable(c, 0));
  WH_TRY(attr_of_rank(c, WH_ATTR_REPEATS, (size_t)x->rank, &repeats));
  *out = *x;
  for (int i = 0; i < x->rank; i++) {
    wh_dim times;
    if (repeats[i] < 0) return wh_infer_wrong_attr(c, WH_ATTR_REPEATS, "must not be negative");
    WH_TRY(wh_dim_const(&c->g->dims, repeats[i], &times));
    WH_TRY(wh_dim_binary(&c->g->dims, WH_DIM_MUL, out->dims[i], times, &out->dims[i]));
  }
  return WH_OK;
}

wh_status wh_infer_trilu(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want_movable(c, 0));
  WH_TRY(flag(c, WH_ATTR_UPPER));
  if (in(c, 0)->rank < 2) return wrong(c, 0, "must have rank 2 or more");
  *out = *in(c, 0);
  return WH_OK;
}

wh_status wh_infer_reverse_sequence(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0);
  int time, batch;
  WH_TRY(want_movable(c, 0));
  WH_TRY(axis_of(c, WH_ATTR_AXIS, x->rank, &time));
  WH_TRY(axis_of(c, WH_ATTR_BATCH_AXIS, x->rank, &batch));
  if (time == batch) return wh_infer_wrong_attr(c, WH_ATTR_BATCH_AXIS, "is the axis that is reversed");
  WH_TRY(want_indices(c, 1));
  WH_TRY(want(c, 1, in(c, 1)->dtype, 1));
  WH_TRY(want_dim(c, 1, 0, x->dims[batch]));
  *out = *x;
  return WH_OK;
}

/* ---- indices ---- */

wh_status wh_infer_gather(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0), *ids = in(c, 1);
  int axis;
  WH_TRY(want_movable(c, 0));
  WH_TRY(want_indices(c, 1));
  WH_TRY(axis_of(c, WH_ATTR_AXIS, x->rank, &axis));
  if (x->rank - 1 + ids->rank > WH_MAX_RANK) return wrong(c, 1, "makes a result of too high a rank");
  *out = (wh_shape){.dtype = x->dtype, .rank = x->rank - 1 + ids->rank};
  for (int i = 0; i < axis; i++) out->dims[i] = x->dims[i];
  for (int i = 0; i < ids->rank; i++) out->dims[axis + i] = ids->dims[i];
  for (int i = axis + 1; i < x->rank; i++) out->dims[i - 1 + ids->rank] = x->dims[i];
  return WH_OK;
}

/* Of indices along one axis: every other axis lies within input 0. */
static wh_status want_indices_along(const infer_ctx *c, size_t i, int *axis) {
  const wh_shape *x = in(c, 0), *ids = in(c, i);
  WH_TRY(want_indices(c, i));
  WH_TRY(axis_of(c, WH_ATTR_AXIS, x->rank, axis));
  WH_TRY(want(c, i, ids->dtype, x->rank));
  for (int d = 0; d < x->rank; d++)
    if (d != *axis && !never_larger(c, ids->dims[d], x->dims[d]))
      return wrong(c, i, "may be larger than input 0 off the axis");
  return WH_OK;
}

wh_status wh_infer_gather_elements(const infer_ctx *c, wh_shape *out) {
  int axis;
  WH_TRY(want_movable(c, 0));
  WH_TRY(want_indices_along(c, 1, &axis));
  *out = *in(c, 1);
  out->dtype = in(c, 0)->dtype;
  return WH_OK;
}

/* The length of index tuples, which lie along the last axis of input 1. */
static wh_status tuple_length(const infer_ctx *c, int most, int *n) {
  const wh_shape *ids = in(c, 1);
  WH_TRY(want_indices(c, 1));
  if (ids->rank < 1 || !wh_dim_is_const(&c->g->dims, ids->dims[ids->rank - 1]))
    return wrong(c, 1, "must end in an axis of a constant length: the tuples");
  const int64_t value = expr(c, ids->dims[ids->rank - 1])->value;
  if (value > most) return wrong(c, 1, "its tuples are longer than input 0 has axes");
  *n = (int)value;
  return WH_OK;
}

wh_status wh_infer_gather_nd(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0), *ids = in(c, 1);
  int batch, n;
  WH_TRY(want_movable(c, 0));
  WH_TRY(attr_in_range(c, WH_ATTR_BATCH_DIMS, 0, x->rank, "are more axes than input 0 has", &batch));
  WH_TRY(tuple_length(c, x->rank - batch, &n));
  if (batch >= ids->rank) return wrong(c, 1, "has too few axes");
  for (int d = 0; d < batch; d++) WH_TRY(want_dim(c, 1, d, x->dims[d]));
  const int rest = x->rank - batch - n;
  if (ids->rank - 1 + rest > WH_MAX_RANK) return wrong(c, 1, "makes a result of too high a rank");
  *out = (wh_shape){.dtype = x->dtype, .rank = ids->rank - 1 + rest};
  for (int d = 0; d + 1 < ids->rank; d++) out->dims[d] = ids->dims[d];
  for (int d = 0; d < rest; d++) out->dims[ids->rank - 1 + d] = x->dims[batch + n + d];
  return WH_OK;
}

/* A scatter's operands of data; with a reduction they are numbers. */
static wh_status scattered(const infer_ctx *c) {
  int reduction;
  WH_TRY(want_movable(c, 0));
  WH_TRY(attr_in_range(c, WH_ATTR_REDUCTION, 0, 4, "must be 0 to 4", &reduction));
  if (reduction) WH_TRY(want_number(c, 0));
  return want_same_type(c, 2, 0);
}

wh_status wh_infer_scatter_elements(const infer_ctx *c, wh_shape *out) {
  const wh_shape *ids = in(c, 1);
  int axis;
  WH_TRY(scattered(c));
  WH_TRY(want_indices_along(c, 1, &axis));
  WH_TRY(want(c, 2, in(c, 0)->dtype, ids->rank));
  for (int d = 0; d < ids->rank; d++) WH_TRY(want_dim(c, 2, d, ids->dims[d]));
  *out = *in(c, 0);
  return WH_OK;
}

wh_status wh_infer_scatter_nd(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0), *ids = in(c, 1);
  int n;
  WH_TRY(scattered(c));
  WH_TRY(tuple_length(c, x->rank, &n));
  WH_TRY(want(c, 2, x->dtype, ids->rank - 1 + x->rank - n));
  for (int d = 0; d + 1 < ids->rank; d++) WH_TRY(want_dim(c, 2, d, ids->dims[d]));
  for (int d = n; d < x->rank; d++) WH_TRY(want_dim(c, 2, ids->rank - 1 + d - n, x->dims[d]));
  *out = *x;
  return WH_OK;
}
