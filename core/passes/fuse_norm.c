/* fuse_norm.c - a layer norm that a graph writes as single ops: its sums along rows, and what follows them.
 */
#include "core/passes/fuse.h"

#include <math.h>

/* The sum along rows of which input `i` of a node is the mean; NULL: it is none. */
static wh_node_info *sum_of_mean(const wh_fuse *c, const wh_node_info *user, unsigned i, wh_node_info **div) {
  double n;
  *div = wh_fuse_single_use(c, user, i, WH_OP_DIV);
  wh_node_info *sum = *div ? wh_fuse_single_use(c, *div, 0, WH_OP_REDUCE_SUM) : NULL;
  if (!sum || !wh_fuse_number(c->g, (*div)->inputs[1], &n)) return NULL;
  const wh_shape *x = &c->g->values[sum->inputs[0]].shape;
  const wh_attr *axes = wh_node_attr(sum, WH_ATTR_AXES);
  if (x->dtype != WH_DTYPE_F32 || axes->n != 1 || axes->ints[0] != x->rank - 1 ||
      !wh_node_i(sum, WH_ATTR_KEEP))
    return NULL;
  const wh_dim_expr *length = wh_dim_get(&c->g->dims, x->dims[x->rank - 1]);
  return length->min == length->max && (float)length->min == (float)n ? sum : NULL;
}

/* Whether the node is x * x, or x to the power of 2, which is defined as that. */
static bool is_square(const wh_graph *g, const wh_node_info *n, wh_value x) {
  double e;
  if (n->inputs[0] != x) return false;
  return n->op == WH_OP_MUL ? n->inputs[1] == x : wh_fuse_number(g, n->inputs[1], &e) && e == 2.0;
}

/* The square of x that a sum is of; NULL: none. */
static wh_node_info *square_of(const wh_fuse *c, const wh_node_info *sum, wh_value x) {
  wh_node_info *square = wh_fuse_single_use(c, sum, 0, WH_OP_POW);
  if (!square) square = wh_fuse_single_use(c, sum, 0, WH_OP_MUL);
  return square && is_square(c->g, square, x) ? square : NULL;
}

/* div(d, sqrt(add(mean(d * d), eps))) with d = sub(x, mean(x)) -> layer_norm(x) */
static bool fuse_standardise(wh_fuse *c, wh_node_info *n) {
  double eps = 0;
  wh_node_info *div[2], *sum[2] = {NULL, NULL};
  const wh_value d = n->inputs[0];
  if (n->op != WH_OP_DIV || c->g->values[d].kind != WH_VALUE_NODE) return false;
  wh_node_info *sub = &c->g->nodes[c->g->values[d].producer], *root = wh_fuse_single_use(c, n, 1, WH_OP_SQRT),
               *add = root ? wh_fuse_single_use(c, root, 0, WH_OP_ADD) : NULL;
  if (!add || sub->dead || sub->op != WH_OP_SUB || sub->region != n->region) return false;
  for (unsigned side = 0; side < 2 && !sum[1]; side++)
    if (wh_fuse_number(c->g, add->inputs[1 - side], &eps)) sum[1] = sum_of_mean(c, add, side, &div[1]);
  wh_node_info *square = sum[1] ? square_of(c, sum[1], d) : NULL;
  sum[0] = square ? sum_of_mean(c, sub, 1, &div[0]) : NULL;
  if (!sum[0] || sum[0]->inputs[0] != sub->inputs[0] || c->uses[d] != (square->op == WH_OP_MUL ? 3 : 2))
    return false;
  /* as no attribute is; numbers of more axes than x make all that follows larger */
  const wh_value y = wh_node_output(n, 0);
  if (!isfinite(eps) || !wh_shape_equal(&c->g->values[y].shape, &c->g->values[sub->inputs[0]].shape))
    return false;
  const wh_attr attr = {.key = WH_ATTR_EPS, .f = (float)eps};
  wh_attr *attrs;
  c->status = wh_copy_attrs(c->g, &attr, 1, &attrs);
  if (c->status != WH_OK || !wh_fuse_become(c, n, WH_OP_LAYER_NORM, sub->inputs, 1)) return false;
  n->attrs = attrs;
  n->n_attrs = 1;
  for (int i = 0; i < 2; i++) div[i]->dead = sum[i]->dead = true;
  sub->dead = root->dead = add->dead = square->dead = true;
  return true;
}

/* mul(layer_norm(x), w[n]) -> layer_norm(x, w); add(layer_norm(x, w?), b[n]) -> layer_norm(x, w?, b) */
static bool fuse_operand(wh_fuse *c, wh_node_info *n) {
  const bool is_mul = n->op == WH_OP_MUL;
  if (!is_mul && n->op != WH_OP_ADD) return false;
  for (unsigned side = 0; side < 2; side++) {
    wh_node_info *norm = wh_fuse_single_use(c, n, side, WH_OP_LAYER_NORM);
    const wh_value other = n->inputs[1 - side];
    if (!norm || norm->n_inputs > (is_mul ? 1 : 2)) continue;
    const wh_shape *x = &c->g->values[norm->inputs[0]].shape, *s = &c->g->values[other].shape;
    if (c->g->values[other].kind != WH_VALUE_CONST || s->dtype != WH_DTYPE_F32 || s->rank != 1 ||
        s->dims[0] != x->dims[x->rank - 1])
      continue;
    const wh_value w = norm->n_inputs > 1 ? norm->inputs[1] : 0;
    wh_attr *attrs = norm->attrs;
    norm->dead = true;
    if (!wh_fuse_become(c, n, WH_OP_LAYER_NORM, (wh_value[]){norm->inputs[0], is_mul ? other : w, other},
                        is_mul ? 2 : 3))
      return false;
    n->attrs = attrs;
    n->n_attrs = norm->n_attrs;
    return true;
  }
  return false;
}

bool wh_fuse_norm(wh_fuse *c, wh_node_info *n) { return fuse_standardise(c, n) || fuse_operand(c, n); }
