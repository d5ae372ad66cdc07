/* fuse.c - chains of ops that one kernel computes. Each rule looks at one node and at producers with a single
 * use, so the fused node replaces exactly what it read. All keep the bits: the fused ops are defined as the
 * chain. */
#include "core/passes/fuse.h"

bool wh_fuse_become(wh_fuse *c, wh_node_info *n, wh_op op, const wh_value *inputs, size_t n_inputs) {
  c->status = wh_node_set_inputs(c->g, n, inputs, n_inputs);
  if (c->status != WH_OK) return false;
  n->op = op;
  return true;
}

wh_node_info *wh_fuse_single_use(const wh_fuse *c, const wh_node_info *user, unsigned input, wh_op op) {
  const wh_value v = user->inputs[input];
  const wh_value_info *info = &c->g->values[v];
  if (info->kind != WH_VALUE_NODE || info->region != user->region || c->uses[v] != 1) return NULL;
  wh_node_info *n = &c->g->nodes[info->producer];
  return !n->dead && n->op == op ? n : NULL;
}

bool wh_fuse_number(const wh_graph *g, wh_value v, double *out) {
  const wh_value_info *c = &g->values[v];
  if (c->kind != WH_VALUE_CONST || !c->data || !wh_shape_is_one(g, &c->shape)) return false;
  switch (c->shape.dtype) {
    case WH_DTYPE_F32:
      *out = (double)*(const float *)c->data;
      return true;
    case WH_DTYPE_F64:
      *out = *(const double *)c->data;
      return true;
    case WH_DTYPE_I32:
      *out = *(const int32_t *)c->data;
      return true;
    case WH_DTYPE_I64:
      *out = (double)*(const int64_t *)c->data;
      return true;
    default:
      return false;
  }
}

/* mul(silu(a), b) or mul(b, silu(a)) -> swiglu(a, b); gelu likewise */
static bool fuse_gate(wh_fuse *c, wh_node_info *n) {
  static const struct { wh_op act, gated; } rules[] = {{WH_OP_SILU, WH_OP_SWIGLU}, {WH_OP_GELU, WH_OP_GEGLU}};
  if (n->op != WH_OP_MUL) return false;
  const wh_shape *a = &c->g->values[n->inputs[0]].shape, *b = &c->g->values[n->inputs[1]].shape;
  if (a->rank != b->rank) return false;
  for (int d = 0; d < a->rank; d++)
    if (a->dims[d] != b->dims[d]) return false;
  for (size_t r = 0; r < sizeof rules / sizeof rules[0]; r++)
    for (int side = 0; side < 2; side++) {
      wh_node_info *act = wh_fuse_single_use(c, n, (unsigned)side, rules[r].act);
      if (!act) continue;
      act->dead = true;
      return wh_fuse_become(c, n, rules[r].gated, (wh_value[]){act->inputs[0], n->inputs[1 - side]}, 2);
    }
  return false;
}

/* add(residual, linear(x, w)) -> linear(x, w, bias, residual) */
static bool fuse_residual(wh_fuse *c, wh_node_info *n) {
  if (n->op != WH_OP_ADD) return false;
  for (int side = 0; side < 2; side++) {
    wh_node_info *lin = wh_fuse_single_use(c, n, (unsigned)side, WH_OP_LINEAR);
    wh_value other = n->inputs[1 - side];
    if (!lin || lin->n_inputs == 4) continue;
    const wh_shape *y = &c->g->values[wh_node_output(lin, 0)].shape, *r = &c->g->values[other].shape;
    if (r->rank != 2 || r->dims[0] != y->dims[0] || r->dims[1] != y->dims[1]) continue;
    wh_value bias = lin->n_inputs > 2 ? lin->inputs[2] : 0;
    lin->dead = true; /* the add's place is after both operands */
    return wh_fuse_become(c, n, WH_OP_LINEAR, (wh_value[]){lin->inputs[0], lin->inputs[1], bias, other}, 4);
  }
  return false;
}

/* add(residual, expert_sum(y, weights)) -> expert_sum(y, weights, residual) */
static bool fuse_expert_residual(wh_fuse *c, wh_node_info *n) {
  if (n->op != WH_OP_ADD) return false;
  for (int side = 0; side < 2; side++) {
    const wh_value other = n->inputs[1 - side];
    wh_node_info *sum = wh_fuse_single_use(c, n, (unsigned)side, WH_OP_EXPERT_SUM);
    if (!sum || sum->n_inputs == 3 ||
        !wh_shape_equal(&c->g->values[wh_node_output(sum, 0)].shape, &c->g->values[other].shape))
      continue;
    sum->dead = true;
    return wh_fuse_become(c, n, WH_OP_EXPERT_SUM, (wh_value[]){sum->inputs[0], sum->inputs[1], other}, 3);
  }
  return false;
}

/* add(linear(x, w), bias[n]) -> linear(x, w, bias) */
static bool fuse_bias(wh_fuse *c, wh_node_info *n) {
  if (n->op != WH_OP_ADD) return false;
  wh_node_info *lin = wh_fuse_single_use(c, n, 0, WH_OP_LINEAR);
  const wh_value_info *b = &c->g->values[n->inputs[1]];
  if (!lin || lin->n_inputs != 2 || b->kind != WH_VALUE_CONST || b->shape.rank != 1 ||
      b->shape.dims[0] != c->g->values[wh_node_output(lin, 0)].shape.dims[1])
    return false;
  lin->dead = true;
  return wh_fuse_become(c, n, WH_OP_LINEAR, (wh_value[]){lin->inputs[0], lin->inputs[1], n->inputs[1]}, 3);
}

/* quantize_act(op(...)) -> the op that ends in quantize_act */
static bool fuse_quantize(wh_fuse *c, wh_node_info *n) {
  static const struct {
    wh_op op, fused;
  } rules[] = {{WH_OP_RMS_NORM, WH_OP_RMS_NORM_QUANTIZE},
               {WH_OP_SWIGLU, WH_OP_SWIGLU_QUANTIZE},
               {WH_OP_GEGLU, WH_OP_GEGLU_QUANTIZE}};
  if (n->op != WH_OP_QUANTIZE_ACT) return false;
  for (size_t r = 0; r < sizeof rules / sizeof rules[0]; r++) {
    wh_node_info *p = wh_fuse_single_use(c, n, 0, rules[r].op);
    if (!p) continue;
    p->dead = true;
    n->attrs = p->attrs;
    n->n_attrs = p->n_attrs;
    return wh_fuse_become(c, n, rules[r].fused, p->inputs, p->n_inputs);
  }
  return false;
}

wh_status wh_pass_fuse(wh_graph *g) {
  wh_fuse c = {g, wh_alloc_array(g->alloc, g->n_values, sizeof(uint32_t)), WH_OK};
  if (!c.uses) return WH_OOM("fusion pass");
  /* Rules replace a node by one with the same output, so use counts of what remains stay right within a
   * round. */
  for (bool changed = true; changed && c.status == WH_OK;) {
    changed = false;
    wh_graph_count_uses(g, c.uses);
    for (size_t n = 0; n < g->n_nodes; n++) {
      wh_node_info *node = &g->nodes[n];
      if (node->dead || c.status != WH_OK) continue;
      g->work++;
      changed |= fuse_gate(&c, node) || fuse_residual(&c, node) || fuse_expert_residual(&c, node) ||
                 fuse_bias(&c, node) || fuse_quantize(&c, node) || wh_fuse_norm(&c, node);
    }
  }
  wh_free(g->alloc, c.uses);
  WH_TRY(c.status);
  return wh_pass_compact(g);
}
