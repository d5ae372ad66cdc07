/* infer.c - the table of shape rules, those of language models, and those of regions. A rule checks its
 * operands' ranks, dtypes and dims and says which one is wrong; dims are interned, so equality is equality of
 * expressions. */
#include <string.h>

#include "core/ir/infer_internal.h"

wh_status wrong(const infer_ctx *c, size_t i, const char *what) {
  return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s' (%s): input %zu: %s", c->name, c->op, i, what);
}

const wh_attr *wh_infer_attr(const infer_ctx *c, wh_attr_key key) {
  size_t i = 0;
  while (c->attrs[i].key != key) i++;
  return &c->attrs[i];
}

wh_status wh_infer_wrong_attr(const infer_ctx *c, wh_attr_key key, const char *what) {
  return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s' (%s): attribute %s: %s", c->name, c->op, wh_attr_name(key),
                 what);
}

wh_status want(const infer_ctx *c, size_t i, wh_dtype dtype, int rank) {
  const wh_shape *s = in(c, i);
  if (!s) return wrong(c, i, "is missing");
  if (s->dtype != dtype)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s' (%s): input %zu is %s, not %s", c->name, c->op, i,
                   wh_dtype_name(s->dtype), wh_dtype_name(dtype));
  if (rank >= 0 && s->rank != rank)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s' (%s): input %zu has rank %d, not %d", c->name, c->op, i,
                   s->rank, rank);
  return WH_OK;
}

wh_status want_dim(const infer_ctx *c, size_t i, int axis, wh_dim dim) {
  const wh_shape *s = in(c, i);
  if (s->dims[axis] == dim) return WH_OK;
  wh_text_buffer have, need; /* without memory the message says less */
  wh_text_buffer_init(&have, c->g->alloc);
  wh_text_buffer_init(&need, c->g->alloc);
  wh_dim_print(&c->g->dims, s->dims[axis], &have);
  wh_dim_print(&c->g->dims, dim, &need);
  wh_status st =
      WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s' (%s): input %zu has %s at axis %d where %s is needed", c->name,
              c->op, i, have.data ? have.data : "?", axis, need.data ? need.data : "?");
  wh_text_buffer_deinit(&have);
  wh_text_buffer_deinit(&need);
  return st;
}

wh_status wh_infer_gather_rows(const infer_ctx *c, wh_shape *out) {
  const wh_shape *table = in(c, 0);
  if (table->rank != 2) return wrong(c, 0, "a table must have rank 2");
  if (!wh_dtype_is_float(table->dtype) && !wh_dtype_is_quantised(table->dtype))
    return wrong(c, 0, "a table must hold numbers");
  WH_TRY(want(c, 1, WH_DTYPE_I32, 1));
  *out = (wh_shape){WH_DTYPE_F32, 2, {in(c, 1)->dims[0], table->dims[1]}};
  return WH_OK;
}

/* activations x[.., k] and weights w[.., k] of a product */
static wh_status product_operands(const infer_ctx *c) {
  const wh_shape *x = in(c, 0), *w = in(c, 1);
  bool quantised = wh_dtype_is_quantised(w->dtype);
  if (!quantised && w->dtype != WH_DTYPE_F32 && w->dtype != WH_DTYPE_F16 && w->dtype != WH_DTYPE_BF16)
    return wrong(c, 1, "weights must be f32, f16, bf16 or quantised");
  if (x->dtype == WH_DTYPE_Q8A && !quantised) return wrong(c, 0, "q8a activations need quantised weights");
  if (x->dtype == WH_DTYPE_Q13A && w->dtype != WH_DTYPE_F16 && w->dtype != WH_DTYPE_BF16)
    return wrong(c, 0, "q13a activations need f16 or bf16 weights");
  return want_dim(c, 1, w->rank - 1, x->dims[x->rank - 1]);
}

static bool can_be_activations(wh_dtype d) {
  return d == WH_DTYPE_F32 || d == WH_DTYPE_Q8A || d == WH_DTYPE_Q13A;
}

wh_status wh_infer_linear(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0), *w = in(c, 1);
  if (x->rank != 2 || !can_be_activations(x->dtype)) return wrong(c, 0, "must be f32, q8a or q13a of rank 2");
  if (w->rank != 2) return wrong(c, 1, "weights must have rank 2");
  WH_TRY(product_operands(c));
  *out = (wh_shape){WH_DTYPE_F32, 2, {x->dims[0], w->dims[0]}};
  if (in(c, 2)) {
    WH_TRY(want(c, 2, WH_DTYPE_F32, 1));
    WH_TRY(want_dim(c, 2, 0, w->dims[0]));
  }
  if (in(c, 3)) {
    WH_TRY(want(c, 3, WH_DTYPE_F32, 2));
    WH_TRY(want_dim(c, 3, 0, x->dims[0]));
    WH_TRY(want_dim(c, 3, 1, w->dims[0]));
  }
  return WH_OK;
}

static wh_status norm_operands(const infer_ctx *c) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  const wh_shape *x = in(c, 0);
  if (x->rank < 1) return wrong(c, 0, "must have rank 1 or more");
  for (size_t i = 1; i < c->n_inputs; i++)
    if (in(c, i)) {
      WH_TRY(want(c, i, WH_DTYPE_F32, 1));
      WH_TRY(want_dim(c, i, 0, x->dims[x->rank - 1]));
    }
  return WH_OK;
}

wh_status wh_infer_norm(const infer_ctx *c, wh_shape *out) {
  WH_TRY(norm_operands(c));
  *out = *in(c, 0);
  return WH_OK;
}

wh_status wh_infer_same(const infer_ctx *c, wh_shape *out) {
  for (size_t i = 0; i < c->n_inputs; i++) {
    WH_TRY(want(c, i, WH_DTYPE_F32, in(c, 0)->rank));
    for (int d = 0; d < in(c, 0)->rank; d++) WH_TRY(want_dim(c, i, d, in(c, 0)->dims[d]));
  }
  *out = *in(c, 0);
  return WH_OK;
}

/* the output of an op that ends in quantize_act: f32 rows of whole blocks of 32 */
static wh_status quantised_rows(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0);
  if (x->rank < 2) return wrong(c, 0, "must have rank 2 or more");
  wh_dim n = x->dims[x->rank - 1];
  if (!wh_dim_is_const(&c->g->dims, n) || wh_dim_get(&c->g->dims, n)->value % 32)
    return wrong(c, 0, "its rows must be a multiple of 32 long");
  *out = *x;
  out->dtype = WH_DTYPE_Q8A;
  return WH_OK;
}

wh_status wh_infer_quantize(const infer_ctx *c, wh_shape *out) {
  WH_TRY(wh_infer_same(c, out));
  return quantised_rows(c, out);
}

wh_status wh_infer_quantize_wide(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, -1));
  if (in(c, 0)->rank < 2) return wrong(c, 0, "must have rank 2 or more");
  *out = *in(c, 0);
  out->dtype = WH_DTYPE_Q13A;
  return WH_OK;
}

wh_status wh_infer_norm_quantize(const infer_ctx *c, wh_shape *out) {
  WH_TRY(norm_operands(c));
  return quantised_rows(c, out);
}

wh_status wh_infer_rope_table(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_I32, 1));
  const wh_shape *freqs = in(c, 1);
  const bool per_row = freqs && freqs->rank == 2;
  WH_TRY(want(c, 1, WH_DTYPE_F32, per_row ? 2 : 1));
  if (per_row) WH_TRY(want_dim(c, 1, 0, in(c, 0)->dims[0]));
  wh_dim two;
  WH_TRY(wh_dim_const(&c->g->dims, 2, &two));
  *out = (wh_shape){WH_DTYPE_F32, 3, {in(c, 0)->dims[0], two, freqs->dims[freqs->rank - 1]}};
  return WH_OK;
}

wh_status wh_infer_rope(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, 3));
  WH_TRY(want(c, 1, WH_DTYPE_F32, 3));
  WH_TRY(want_dim(c, 1, 0, in(c, 0)->dims[0]));
  const wh_dim_expr *d = wh_dim_get(&c->g->dims, in(c, 0)->dims[2]),
                    *f = wh_dim_get(&c->g->dims, in(c, 1)->dims[2]);
  if (2 * f->max > d->min) return wrong(c, 1, "rotates more elements than a head has");
  *out = *in(c, 0);
  return WH_OK;
}

/* positions, sequences, page_table: where rows of a KV state are */
static wh_status places(const infer_ctx *c, size_t first, wh_dim rows) {
  for (size_t i = first; i < first + 2; i++) {
    WH_TRY(want(c, i, WH_DTYPE_I32, 1));
    WH_TRY(want_dim(c, i, 0, rows));
  }
  return want(c, first + 2, WH_DTYPE_I32, 2);
}

/* select_rows: gather_rows of activations */
wh_status wh_infer_select_rows(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, 2));
  return wh_infer_gather_rows(c, out);
}

static wh_status want_state(const infer_ctx *c, size_t i) {
  const wh_shape *s = in(c, i);
  bool q8 = s->dtype == WH_DTYPE_Q8_0;
  if (s->rank != 4 || (s->dtype != WH_DTYPE_F16 && s->dtype != WH_DTYPE_F32 && !q8))
    return wrong(c, i, "a KV state must be f16, f32 or q8_0 of rank 4");
  wh_dim page;
  WH_TRY(wh_dim_const(&c->g->dims, WH_KV_PAGE, &page));
  WH_TRY(want_dim(c, i, 2, page));
  const wh_dim_expr *d = wh_dim_get(&c->g->dims, s->dims[3]);
  if (q8 && (d->kind != WH_DIM_CONST || d->value % 32))
    return wrong(c, i, "the heads of a q8_0 state must be a multiple of 32 long");
  return WH_OK;
}

wh_status wh_infer_kv_append(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want_state(c, 0));
  if (c->g->values[c->inputs[0]].kind != WH_VALUE_STATE) return wrong(c, 0, "must be a state: it is written");
  WH_TRY(want(c, 1, WH_DTYPE_F32, 3));
  WH_TRY(want_dim(c, 1, 1, in(c, 0)->dims[1]));
  WH_TRY(want_dim(c, 1, 2, in(c, 0)->dims[3]));
  WH_TRY(places(c, 2, in(c, 1)->dims[0]));
  *out = *in(c, 0);
  return WH_OK;
}

wh_status wh_infer_attention(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, 3));
  const wh_shape *q = in(c, 0), *k = in(c, 1), *v = in(c, 2);
  WH_TRY(want_state(c, 1));
  WH_TRY(want_state(c, 2));
  for (int i = 0; i < 2; i++) WH_TRY(want_dim(c, 2, i, k->dims[i]));
  if (v->dtype != k->dtype) return wrong(c, 2, "keys and values must have one dtype");
  WH_TRY(want_dim(c, 1, 3, q->dims[2]));
  const wh_dim_expr *hq = wh_dim_get(&c->g->dims, q->dims[1]), *hk = wh_dim_get(&c->g->dims, k->dims[1]);
  if (hk->min < 1 || hq->max % hk->max) return wrong(c, 0, "query heads must be a multiple of the KV heads");
  WH_TRY(places(c, 3, q->dims[0]));
  *out = (wh_shape){WH_DTYPE_F32, 3, {q->dims[0], q->dims[1], v->dims[3]}};
  return WH_OK;
}

wh_status wh_infer_expert_select(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, 2));
  const wh_shape *scores = in(c, 0);
  int64_t used = c->attrs[0].i;
  if (!wh_dim_is_const(&c->g->dims, scores->dims[1]))
    return wrong(c, 0, "the number of experts must be constant");
  if (used < 1 || used > wh_dim_get(&c->g->dims, scores->dims[1])->value)
    return wrong(c, 0, "has fewer experts than are used");
  wh_dim s;
  WH_TRY(wh_dim_const(&c->g->dims, used, &s));
  *out = (wh_shape){WH_DTYPE_I32, 2, {scores->dims[0], s}};
  return WH_OK;
}

/* Choices come from an expert_select over as many experts, so kernels may trust them as indices. */
static wh_status want_selected(const infer_ctx *c, size_t i, wh_dim rows, wh_dim n_experts) {
  WH_TRY(want(c, i, WH_DTYPE_I32, 2));
  WH_TRY(want_dim(c, i, 0, rows));
  const wh_value_info *v = &c->g->values[c->inputs[i]];
  const wh_node_info *select = v->kind == WH_VALUE_NODE ? &c->g->nodes[v->producer] : NULL;
  if (!select || !wh_op_has(select->op, WH_TRAIT_CHOOSES)) return wrong(c, i, "must come from expert_select");
  if (c->g->values[select->inputs[0]].shape.dims[1] != n_experts)
    return wrong(c, i, "was chosen from another number of experts");
  return WH_OK;
}

wh_status wh_infer_expert_weights(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, 2));
  WH_TRY(want_selected(c, 1, in(c, 0)->dims[0], in(c, 0)->dims[1]));
  *out = *in(c, 1);
  out->dtype = WH_DTYPE_F32;
  return WH_OK;
}

wh_status wh_infer_expert_linear(const infer_ctx *c, wh_shape *out) {
  const wh_shape *x = in(c, 0), *w = in(c, 1);
  if ((x->rank != 2 && x->rank != 3) || !can_be_activations(x->dtype))
    return wrong(c, 0, "must be f32, q8a or q13a of rank 2 or 3");
  if (w->rank != 3) return wrong(c, 1, "weights must have rank 3");
  WH_TRY(product_operands(c));
  WH_TRY(want_selected(c, 2, x->dims[0], w->dims[0]));
  wh_dim slots = in(c, 2)->dims[1];
  if (x->rank == 3) WH_TRY(want_dim(c, 0, 1, slots));
  *out = (wh_shape){WH_DTYPE_F32, 3, {x->dims[0], slots, w->dims[1]}};
  return WH_OK;
}

wh_status wh_infer_expert_sum(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_F32, 3));
  WH_TRY(want(c, 1, WH_DTYPE_F32, 2));
  const wh_shape *y = in(c, 0);
  for (int i = 0; i < 2; i++) WH_TRY(want_dim(c, 1, i, y->dims[i]));
  if (wh_dim_get(&c->g->dims, y->dims[1])->min < 1) return wrong(c, 0, "has no slots");
  if (in(c, 2)) {
    WH_TRY(want(c, 2, WH_DTYPE_F32, 2));
    WH_TRY(want_dim(c, 2, 0, y->dims[0]));
    WH_TRY(want_dim(c, 2, 1, y->dims[2]));
  }
  *out = (wh_shape){WH_DTYPE_F32, 2, {y->dims[0], y->dims[2]}};
  return WH_OK;
}

/* The shapes are declared; they must be shapes. */
wh_status wh_infer_custom(const infer_ctx *c, wh_shape *out) {
  for (size_t i = 0; i < c->def->n_outputs; i++) {
    const wh_shape *s = &c->def->shapes[i];
    bool ok = wh_dtype_get(s->dtype) && s->rank >= 0 && s->rank <= WH_MAX_RANK;
    for (int d = 0; ok && d < s->rank; d++) ok = s->dims[d] < c->g->dims.n;
    if (!ok)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s' (%s): output %zu has no shape", c->name, c->op, i);
    out[i] = *s;
  }
  return WH_OK;
}

/* ---- regions ---- */

static const wh_region_info *region(const infer_ctx *c, size_t i) {
  return &c->g->regions[c->def->regions[i]];
}

static const wh_shape *result(const infer_ctx *c, size_t i, size_t k) {
  return &c->g->values[region(c, i)->results[k]].shape;
}

static wh_status wrong_region(const infer_ctx *c, size_t i, const char *what) {
  return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s' (%s): region %zu %s", c->name, c->op, i, what);
}

static bool is_scalar(const wh_shape *s, wh_dtype dtype) { return s->dtype == dtype && s->rank == 0; }

wh_status wh_infer_if(const infer_ctx *c, wh_shape *out) {
  WH_TRY(want(c, 0, WH_DTYPE_BOOL, 0));
  const wh_region_info *then = region(c, 0), *otherwise = region(c, 1);
  if (then->n_params) return wrong_region(c, 0, "has parameters");
  if (otherwise->n_params) return wrong_region(c, 1, "has parameters");
  if (then->n_results != otherwise->n_results)
    return wrong_region(c, 1, "yields another number of values than region 0");
  for (size_t k = 0; k < then->n_results; k++) {
    if (!wh_shape_equal(result(c, 0, k), result(c, 1, k)))
      return wrong_region(c, 1, "yields other shapes than region 0");
    out[k] = *result(c, 0, k);
  }
  return WH_OK;
}

static wh_status loop_params(const infer_ctx *c, size_t n_carried) {
  const wh_region_info *body = region(c, 0);
  if (body->n_params != 2 + n_carried)
    return wrong_region(c, 0, "must take the iteration, whether to go on, and what is carried");
  for (size_t k = 0; k < body->n_params; k++) {
    const wh_shape *p = &c->g->values[body->params[k]].shape;
    const bool ok = k == 0   ? is_scalar(p, WH_DTYPE_I64)
                    : k == 1 ? is_scalar(p, WH_DTYPE_BOOL)
                             : wh_shape_equal(p, in(c, k));
    if (!ok) return wrong_region(c, 0, "has a parameter of another shape than it is given");
  }
  return WH_OK;
}

wh_status wh_infer_loop(const infer_ctx *c, wh_shape *out) {
  if (in(c, 0)) WH_TRY(want(c, 0, WH_DTYPE_I64, 0));
  if (in(c, 1)) WH_TRY(want(c, 1, WH_DTYPE_BOOL, 0));
  const size_t n_carried = c->n_inputs > 2 ? c->n_inputs - 2 : 0;
  for (size_t i = 2; i < c->n_inputs; i++)
    if (!in(c, i)) return wrong(c, i, "is missing");
  WH_TRY(loop_params(c, n_carried));
  const wh_region_info *body = region(c, 0);
  if (body->n_results < 1 + n_carried || !is_scalar(result(c, 0, 0), WH_DTYPE_BOOL))
    return wrong_region(c, 0, "must yield whether to go on, and what is carried");
  const wh_attr *trips = &c->attrs[0];
  const bool scans = body->n_results > 1 + n_carried;
  if (trips->rank != scans)
    return WH_FAIL(ERR_INVALID_ARGUMENT,
                   "node '%s' (%s): 'trips' is one dimension when something is scanned, else []", c->name,
                   c->op);
  for (size_t k = 1; k < body->n_results; k++) {
    const wh_shape *r = result(c, 0, k);
    wh_shape *o = &out[k - 1];
    *o = *r;
    if (k <= n_carried) {
      if (!wh_shape_equal(r, in(c, 1 + k))) return wrong_region(c, 0, "changes the shape of what is carried");
      continue;
    }
    if (r->rank == WH_MAX_RANK) return wrong_region(c, 0, "scans a value of the largest rank");
    o->rank = r->rank + 1;
    o->dims[0] = trips->dims[0];
    memcpy(&o->dims[1], r->dims, (size_t)r->rank * sizeof r->dims[0]);
  }
  return WH_OK;
}

size_t wh_node_def_n_outputs(const wh_graph *g, const wh_node_def *def) {
  const wh_op_info *info = wh_op_get(def->op);
  if (info->n_outputs != WH_ANY_NUMBER) return info->n_outputs;
  if (!wh_op_n_regions(def->op)) return def->n_outputs;
  const size_t n =
      def->n_regions && def->regions[0] < g->n_regions ? g->regions[def->regions[0]].n_results : 0;
  return def->op == WH_OP_LOOP && n ? n - 1 : n; /* a loop keeps whether to go on for itself */
}

wh_status wh_infer_shapes(wh_graph *g, const wh_node_def *def, wh_shape *outs) {
  static wh_status (*const rules[])(const infer_ctx *, wh_shape *) = {
#define WH_OP(op_name, text, min_in, max_in, n_out, op_attrs, traits, rule) \
  [WH_OP_##op_name] = wh_infer_##rule,
#include "core/ir/op_list.def"
  };
  const infer_ctx c = {g, def->name, wh_op_get(def->op)->name, def->inputs, def->n_inputs, def->attrs, def};
  return rules[def->op](&c, outs);
}
