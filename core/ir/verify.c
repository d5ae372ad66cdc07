/* verify.c - proves a graph's invariants again: after passes, after parsing. */
#include "core/ir/graph.h"

static bool same_shape(const wh_shape *a, const wh_shape *b) {
  if (a->dtype != b->dtype || a->rank != b->rank) return false;
  for (int i = 0; i < a->rank; i++)
    if (a->dims[i] != b->dims[i]) return false;
  return true;
}

static wh_status verify_node(wh_graph *g, size_t index) {
  const wh_node_info n = g->nodes[index]; /* a copy: inference may intern dims, nothing else */
  if (n.dead) return WH_OK;
  const wh_op_info *op = wh_op_get(n.op);
  if (n.n_inputs < op->min_inputs || n.n_inputs > op->max_inputs)
    return WH_FAIL(ERR_INTERNAL, "node '%s' (%s) has %u inputs", n.name, op->name, n.n_inputs);
  for (unsigned i = 0; i < n.n_inputs; i++) {
    if (n.inputs[i] == 0 && i >= op->min_inputs) continue;
    const wh_value_info *v = n.inputs[i] < g->n_values ? &g->values[n.inputs[i]] : NULL;
    if (!v || v->kind == WH_VALUE_NONE)
      return WH_FAIL(ERR_INTERNAL, "node '%s' (%s): input %u is no value", n.name, op->name, i);
    if (v->kind == WH_VALUE_NODE && (v->producer >= index || g->nodes[v->producer].dead))
      return WH_FAIL(ERR_INTERNAL, "node '%s' (%s): input %u is used before it is made", n.name, op->name, i);
  }
  if (n.output >= g->n_values || g->values[n.output].producer != index)
    return WH_FAIL(ERR_INTERNAL, "node '%s' does not own its output", n.name);
  wh_shape shape;
  WH_TRY(wh_infer_shape(g, n.op, n.name, n.inputs, n.n_inputs, n.attrs, n.n_attrs, &shape));
  if (!same_shape(&shape, &g->values[n.output].shape))
    return WH_FAIL(ERR_INTERNAL, "node '%s' (%s): its output has another shape than its operands give",
                   n.name, op->name);
  return WH_OK;
}

wh_status wh_graph_verify(wh_graph *g) {
  for (size_t n = 0; n < g->n_nodes; n++) WH_TRY(verify_node(g, n));
  for (size_t i = 0; i < g->n_outputs; i++) {
    const wh_value_info *v = &g->values[g->outputs[i].value];
    if (v->kind == WH_VALUE_NONE || (v->kind == WH_VALUE_NODE && g->nodes[v->producer].dead))
      return WH_FAIL(ERR_INTERNAL, "output '%s' is not computed", g->outputs[i].name);
  }
  return WH_OK;
}
