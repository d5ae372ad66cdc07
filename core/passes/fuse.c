/* fuse.c - chains of ops that one kernel computes. Each rule looks at one node and at producers with a single
 * use, so the fused node replaces exactly what it read. All keep the bits: the fused ops are defined as the
 * chain. */
#include "core/passes/passes.h"

typedef struct fuse_ctx {
  wh_graph *g;
  uint32_t *uses; /* per value, from wh_graph_count_uses before this round */
} fuse_ctx;

/* The live node that makes `v` for one user only, when it is `op`. */
static wh_node_info *single_use(const fuse_ctx *c, wh_value v, wh_op op) {
  const wh_value_info *info = &c->g->values[v];
  if (info->kind != WH_VALUE_NODE || c->uses[v] != 1) return NULL;
  wh_node_info *n = &c->g->nodes[info->producer];
  return !n->dead && n->op == op ? n : NULL;
}

/* mul(silu(a), b) or mul(b, silu(a)) -> swiglu(a, b); gelu likewise */
static bool fuse_gate(const fuse_ctx *c, wh_node_info *n) {
  static const struct { wh_op act, gated; } rules[] = {{WH_OP_SILU, WH_OP_SWIGLU}, {WH_OP_GELU, WH_OP_GEGLU}};
  if (n->op != WH_OP_MUL) return false;
  const wh_shape *a = &c->g->values[n->inputs[0]].shape, *b = &c->g->values[n->inputs[1]].shape;
  if (a->rank != b->rank) return false;
  for (int d = 0; d < a->rank; d++)
    if (a->dims[d] != b->dims[d]) return false;
  for (size_t r = 0; r < sizeof rules / sizeof rules[0]; r++)
    for (int side = 0; side < 2; side++) {
      wh_node_info *act = single_use(c, n->inputs[side], rules[r].act);
      if (!act) continue;
      n->op = rules[r].gated;
      n->inputs[1] = n->inputs[1 - side];
      n->inputs[0] = act->inputs[0];
      act->dead = true;
      return true;
    }
  return false;
}

/* add(residual, linear(x, w)) -> linear(x, w, bias, residual) */
static bool fuse_residual(const fuse_ctx *c, wh_node_info *n) {
  if (n->op != WH_OP_ADD) return false;
  for (int side = 0; side < 2; side++) {
    wh_node_info *lin = single_use(c, n->inputs[side], WH_OP_LINEAR);
    wh_value other = n->inputs[1 - side];
    if (!lin || lin->n_inputs == 4) continue;
    const wh_shape *y = &c->g->values[lin->output].shape, *r = &c->g->values[other].shape;
    if (r->rank != 2 || r->dims[0] != y->dims[0] || r->dims[1] != y->dims[1]) continue;
    wh_value bias = lin->n_inputs > 2 ? lin->inputs[2] : 0;
    n->op = WH_OP_LINEAR; /* the add's place: after both operands */
    n->inputs[0] = lin->inputs[0];
    n->inputs[1] = lin->inputs[1];
    n->inputs[2] = bias;
    n->inputs[3] = other;
    n->n_inputs = 4;
    lin->dead = true;
    return true;
  }
  return false;
}

/* add(residual, expert_sum(y, weights)) -> expert_sum(y, weights, residual) */
static bool fuse_expert_residual(const fuse_ctx *c, wh_node_info *n) {
  if (n->op != WH_OP_ADD) return false;
  for (int side = 0; side < 2; side++) {
    const wh_value other = n->inputs[1 - side];
    wh_node_info *sum = single_use(c, n->inputs[side], WH_OP_EXPERT_SUM);
    if (!sum || sum->n_inputs == 3 ||
        !wh_shape_equal(&c->g->values[sum->output].shape, &c->g->values[other].shape))
      continue;
    n->op = WH_OP_EXPERT_SUM;
    n->inputs[0] = sum->inputs[0];
    n->inputs[1] = sum->inputs[1];
    n->inputs[2] = other;
    n->n_inputs = 3;
    sum->dead = true;
    return true;
  }
  return false;
}

/* add(linear(x, w), bias[n]) -> linear(x, w, bias) */
static bool fuse_bias(const fuse_ctx *c, wh_node_info *n) {
  if (n->op != WH_OP_ADD) return false;
  wh_node_info *lin = single_use(c, n->inputs[0], WH_OP_LINEAR);
  const wh_value_info *b = &c->g->values[n->inputs[1]];
  if (!lin || lin->n_inputs != 2 || b->kind != WH_VALUE_CONST || b->shape.rank != 1 ||
      b->shape.dims[0] != c->g->values[lin->output].shape.dims[1])
    return false;
  n->op = WH_OP_LINEAR;
  n->inputs[2] = n->inputs[1];
  n->inputs[0] = lin->inputs[0];
  n->inputs[1] = lin->inputs[1];
  n->n_inputs = 3;
  lin->dead = true;
  return true;
}

/* quantize_act(op(...)) -> the op that ends in quantize_act */
static bool fuse_quantize(const fuse_ctx *c, wh_node_info *n) {
  static const struct {
    wh_op op, fused;
  } rules[] = {{WH_OP_RMS_NORM, WH_OP_RMS_NORM_QUANTIZE},
               {WH_OP_SWIGLU, WH_OP_SWIGLU_QUANTIZE},
               {WH_OP_GEGLU, WH_OP_GEGLU_QUANTIZE}};
  if (n->op != WH_OP_QUANTIZE_ACT) return false;
  for (size_t r = 0; r < sizeof rules / sizeof rules[0]; r++) {
    wh_node_info *p = single_use(c, n->inputs[0], rules[r].op);
    if (!p) continue;
    n->op = rules[r].fused;
    n->n_inputs = p->n_inputs;
    n->n_attrs = p->n_attrs;
    for (unsigned i = 0; i < p->n_inputs; i++) n->inputs[i] = p->inputs[i];
    for (unsigned i = 0; i < p->n_attrs; i++) n->attrs[i] = p->attrs[i];
    p->dead = true;
    return true;
  }
  return false;
}

wh_status wh_pass_fuse(wh_graph *g) {
  fuse_ctx c = {g, wh_alloc_array(g->alloc, g->n_values, sizeof(uint32_t))};
  if (!c.uses) return WH_OOM("fusion pass");
  /* Rules replace a node by one with the same output, so use counts of what remains stay right within a
   * round. */
  for (bool changed = true; changed;) {
    changed = false;
    wh_graph_count_uses(g, c.uses);
    for (size_t n = 0; n < g->n_nodes; n++) {
      wh_node_info *node = &g->nodes[n];
      if (node->dead) continue;
      changed |= fuse_gate(&c, node) || fuse_residual(&c, node) || fuse_expert_residual(&c, node) ||
                 fuse_bias(&c, node) || fuse_quantize(&c, node);
    }
  }
  wh_free(g->alloc, c.uses);
  return wh_pass_compact(g);
}
