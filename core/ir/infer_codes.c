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
