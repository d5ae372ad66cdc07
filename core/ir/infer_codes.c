/* infer_codes.c - shape rules for formulas between codes, elementwise and at the end of integer products, and
 * at the end of products of f32. */
#include "core/ir/formula.h"
#include "core/ir/infer_internal.h"

/* Behind the products' operands and zero points. */
#define FIRST_END 4

static bool is_code(wh_dtype d) { return d == WH_DTYPE_I8 || d == WH_DTYPE_U8; }

/* What a formula takes: it is computed in f32. */
static wh_status want_term(const infer_ctx *c, size_t i) {
  const wh_shape *s = in(c, i);
  return s && (s->dtype == WH_DTYPE_F32 || s->dtype == WH_DTYPE_I32 || is_code(s->dtype))
             ? WH_OK
             : wrong(c, i, "must be f32, i32, i8 or u8");
}

static wh_status want_result(const infer_ctx *c, wh_dtype *to) {
  const int64_t type = wh_infer_attr(c, WH_ATTR_TO)->i;
  *to = (wh_dtype)type;
  return type == (int64_t)*to && (*to == WH_DTYPE_F32 || is_code(*to))
             ? WH_OK
             : wh_infer_wrong_attr(c, WH_ATTR_TO, "is not f32, i8 or u8");
}

static wh_status want_formula(const infer_ctx *c, size_t n_inputs) {
  const wh_attr *a = wh_infer_attr(c, WH_ATTR_FORMULA);
  wh_formula f;
  return wh_formula_parse(a->text, a->n, (uint32_t)n_inputs, &f) == WH_OK
             ? WH_OK
             : wh_fail_prefix("node '%s' (%s)", c->name, c->op);
}

wh_status wh_infer_chain_codes(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want_formula(c, c->n_inputs));
  *out = (wh_shape){.rank = 0};
  WH_TRY(want_result(c, &out->dtype));
  for (size_t i = 0; i < c->n_inputs; i++) {
    WH_TRY(want_term(c, i));
    WH_TRY(broadcast(c, i, in(c, i), out));
  }
  return WH_OK;
}

/* An operand broadcasts over y; axes first..last-1 are either all there or one element. */
static wh_status want_end(const infer_ctx *c, size_t i, const wh_shape *y, int first, int last) {
  const wh_shape *s = in(c, i);
  bool all = true, one = true;
  WH_TRY(want_term(c, i));
  if (s->rank > y->rank) return wrong(c, i, "has more axes than the output");
  for (int to = 0; to < y->rank; to++) {
    const int d = to - (y->rank - s->rank);
    const bool joined = to >= first && to < last, has = d >= 0 && s->dims[d] == y->dims[to],
               single = d < 0 || is_one(c, s->dims[d]);
    if (!has && !single) return want_dim(c, i, d, y->dims[to]);
    all = all && (has || !joined || expr(c, y->dims[to])->max == 1);
    one = one && (d < 0 || expr(c, s->dims[d])->max == 1 || !joined);
  }
  return one || all ? WH_OK : wrong(c, i, "has neither all nor one element of axes that go together");
}

static wh_status product_of_codes(const infer_ctx *c, wh_shape *y, bool space_is_last) {
  wh_dtype to;
  WH_TRY(want_result(c, &to));
  WH_TRY(want_formula(c, wh_formula_codes_inputs((uint32_t)c->n_inputs)));
  for (size_t i = FIRST_END; i < c->n_inputs; i++)
    WH_TRY(want_end(c, i, y, space_is_last ? 2 : 0, space_is_last ? y->rank : y->rank - 1));
  y->dtype = to;
  return WH_OK;
}

wh_status wh_infer_conv_codes(const infer_ctx *c, wh_shape *out) {
  WH_TRY(wh_infer_conv_integer(c, out));
  return product_of_codes(c, out, true);
}

wh_status wh_infer_matmul_codes(const infer_ctx *c, wh_shape *out) {
  WH_TRY(wh_infer_matmul_integer(c, out));
  return product_of_codes(c, out, false);
}

/* ---- attention ---- */

static bool is_order(const int64_t *perm, int rank) {
  unsigned seen = 0;
  for (int i = 0; i < rank; i++) {
    if (perm[i] < 0 || perm[i] >= rank || seen >> perm[i] & 1) return false;
    seen |= 1u << perm[i];
  }
  return true;
}

/* The orders of q, k, v and the result. */
static wh_status want_orders(const infer_ctx *c, int rank, const int64_t **out) {
  const wh_attr *a = wh_infer_attr(c, WH_ATTR_PERM);
  const int last = rank - 1;
  bool fits = a->n == 4 * (size_t)rank;
  for (int i = 0; i < 4 && fits; i++) {
    const int64_t *perm = a->ints + i * rank;
    fits = is_order(perm, rank) && (perm[last] == last || (i == 1 && perm[last - 1] == last));
  }
  *out = a->ints;
  return fits ? WH_OK
              : wh_infer_wrong_attr(c, WH_ATTR_PERM, "is no four orders of the axes with columns last");
}

static bool shares_heads(const infer_ctx *c, wh_dim q, wh_dim k) {
  const wh_dim_expr *all = expr(c, q), *some = expr(c, k);
  return all->min == all->max && some->min == some->max && some->min > 0 && all->min % some->min == 0;
}

wh_status wh_infer_matmul_attention(const infer_ctx *c, wh_shape *out) {
  wh_shape of[3], y;
  const int64_t *perm;
  for (size_t i = 0; i < 3; i++) {
    WH_TRY(want(c, i, WH_DTYPE_F32, i ? of[0].rank : -1));
    of[i] = *in(c, i);
  }
  const int rank = of[0].rank, row = rank - 2, column = rank - 1;
  if (rank < 2) return wrong(c, 0, "is no matrix");
  WH_TRY(want_orders(c, rank, &perm));
  for (int i = 0; i < 3; i++)
    for (int d = 0; d < rank; d++) of[i].dims[d] = in(c, (size_t)i)->dims[perm[i * rank + d]];
  const wh_shape *q = &of[0], *k = &of[1], *v = &of[2];
  WH_TRY(want_dim(c, 1, (int)perm[rank + row], q->dims[column]));
  WH_TRY(want_dim(c, 2, (int)perm[2 * rank + row], k->dims[column]));
  for (int d = 0; d < row; d++) {
    if (d < row - 1 || !shares_heads(c, q->dims[d], k->dims[d]))
      WH_TRY(want_dim(c, 1, (int)perm[rank + d], q->dims[d]));
    WH_TRY(want_dim(c, 2, (int)perm[2 * rank + d], k->dims[d]));
  }
  wh_shape scores = y = *q;
  scores.dims[column] = k->dims[column];
  y.dims[column] = v->dims[column];
  if (wh_infer_attr(c, WH_ATTR_FORMULA)->n || c->n_inputs > 3)
    WH_TRY(want_formula(c, wh_formula_attention_inputs((uint32_t)c->n_inputs)));
  for (size_t i = 3; i < c->n_inputs; i++) {
    WH_TRY(want(c, i, WH_DTYPE_F32, -1));
    WH_TRY(want_end(c, i, &scores, 0, 0));
  }
  *out = y;
  for (int d = 0; d < rank; d++) out->dims[d] = y.dims[perm[3 * rank + d]];
  return WH_OK;
}

wh_status wh_infer_matmul_chain(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  WH_TRY(wh_infer_matmul(c, out));
  WH_TRY(want_formula(c, wh_formula_matmul_inputs((uint32_t)c->n_inputs)));
  for (size_t i = 2; i < c->n_inputs; i++) {
    WH_TRY(want(c, i, WH_DTYPE_F32, -1));
    WH_TRY(want_end(c, i, out, 0, 0));
  }
  return WH_OK;
}
