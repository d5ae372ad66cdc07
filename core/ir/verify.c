/* verify.c - proves a graph's invariants again: after passes, after parsing. */
#include "core/ir/graph.h"

static wh_status verify_value(const wh_graph *g, wh_value v) {
  const wh_value_info *info = &g->values[v];
  if (info->kind == WH_VALUE_NONE) return WH_OK;
  bool ok = wh_dtype_get(info->shape.dtype) && info->shape.rank >= 0 && info->shape.rank <= WH_MAX_RANK;
  for (int i = 0; ok && i < info->shape.rank; i++)
    ok = info->shape.dims[i] < g->dims.n &&
         (info->kind != WH_VALUE_CONST || wh_dim_is_const(&g->dims, info->shape.dims[i]));
  if (!ok) return WH_FAIL(ERR_INTERNAL, "value '%s' has no shape", info->name);
  ok = info->region < g->n_regions;
  if (!ok) return WH_FAIL(ERR_INTERNAL, "value '%s' is made nowhere", info->name);
  if (info->kind == WH_VALUE_NODE)
    ok = info->producer < g->n_nodes && info->output < g->nodes[info->producer].n_outputs &&
         g->nodes[info->producer].outputs[info->output] == v &&
         g->nodes[info->producer].region == info->region;
  else
    ok = info->producer == WH_NO_NODE;
  return ok ? WH_OK : WH_FAIL(ERR_INTERNAL, "value '%s' has the wrong producer", info->name);
}

/* The rule of the op gives the shapes that the outputs have. */
static wh_status verify_shapes(wh_graph *g, const wh_node_info *n) {
  wh_shape *have = wh_alloc_array(g->alloc, 2 * (size_t)n->n_outputs, sizeof *have),
           *want = have + n->n_outputs;
  if (!have) return WH_OOM("graph check");
  for (unsigned i = 0; i < n->n_outputs; i++) have[i] = g->values[n->outputs[i]].shape;
  const wh_node_def def = {.op = n->op,
                           .name = n->name,
                           .inputs = n->inputs,
                           .n_inputs = n->n_inputs,
                           .attrs = n->attrs,
                           .n_attrs = n->n_attrs,
                           .shapes = have,
                           .regions = n->regions,
                           .n_regions = n->n_regions,
                           .n_outputs = n->n_outputs};
  if (wh_node_def_n_outputs(g, &def) != n->n_outputs) {
    wh_free(g->alloc, have);
    return WH_FAIL(ERR_INTERNAL, "node '%s' (%s) has %u outputs", n->name, wh_op_get(n->op)->name,
                   n->n_outputs);
  }
  wh_status st = wh_infer_shapes(g, &def, want);
  for (unsigned i = 0; i < n->n_outputs && st == WH_OK; i++)
    if (!wh_shape_equal(&have[i], &want[i]))
      st = WH_FAIL(ERR_INTERNAL, "node '%s' (%s): its output has another shape than its operands give",
                   n->name, wh_op_get(n->op)->name);
  wh_free(g->alloc, have);
  return st;
}

/* Where the node stands, and what it runs. */
static wh_status verify_regions_of(const wh_graph *g, size_t index) {
  const wh_node_info *n = &g->nodes[index];
  const wh_region_info *in = n->region < g->n_regions ? &g->regions[n->region] : NULL;
  if (!in || (n->region && (in->owner >= g->n_nodes || in->owner <= index || g->nodes[in->owner].dead)))
    return WH_FAIL(ERR_INTERNAL, "node '%s' stands in a region that nothing runs", n->name);
  if (n->region && wh_op_has(n->op, WH_TRAIT_WRITES))
    return WH_FAIL(ERR_INTERNAL, "node '%s' (%s): a region cannot write a state", n->name,
                   wh_op_get(n->op)->name);
  bool ok = n->n_regions == wh_op_n_regions(n->op);
  for (unsigned i = 0; ok && i < n->n_regions; i++) {
    const wh_region r = n->regions[i];
    ok = r && r < g->n_regions && g->regions[r].owner == index && g->regions[r].parent == n->region;
  }
  return ok ? WH_OK : WH_FAIL(ERR_INTERNAL, "node '%s' does not own its regions", n->name);
}

static wh_status verify_region(const wh_graph *g, wh_region region) {
  const wh_region_info *r = &g->regions[region];
  if (r->dropped) return WH_OK;
  if (r->is_open || r->owner >= g->n_nodes || g->nodes[r->owner].dead)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "graph '%s': region %u is run by no node", g->name, region);
  bool ok = r->n_results > 0;
  for (unsigned i = 0; ok && i < r->n_params; i++) {
    const wh_value_info *v = r->params[i] < g->n_values ? &g->values[r->params[i]] : NULL;
    ok = v && v->kind == WH_VALUE_PARAM && v->region == region && v->output == i;
  }
  for (unsigned i = 0; ok && i < r->n_results; i++) {
    const wh_value_info *v = r->results[i] < g->n_values ? &g->values[r->results[i]] : NULL;
    ok = v && v->kind != WH_VALUE_NONE && wh_graph_sees(g, region, r->results[i]) &&
         (v->kind != WH_VALUE_NODE || (v->producer < r->owner && !g->nodes[v->producer].dead));
  }
  return ok ? WH_OK : WH_FAIL(ERR_INTERNAL, "graph '%s': region %u is damaged", g->name, region);
}

static wh_status verify_node(wh_graph *g, size_t index) {
  const wh_node_info n = g->nodes[index]; /* a copy: inference may intern dims, nothing else */
  if (n.dead) return WH_OK;
  if ((unsigned)n.op >= WH_OP_COUNT) return WH_FAIL(ERR_INTERNAL, "node '%s' has no op", n.name);
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
    if (!wh_graph_sees(g, n.region, n.inputs[i]))
      return WH_FAIL(ERR_INTERNAL, "node '%s' (%s): input %u is made in another region", n.name, op->name, i);
  }
  if (n.n_outputs == 0 || (op->n_outputs != WH_ANY_NUMBER && n.n_outputs != op->n_outputs))
    return WH_FAIL(ERR_INTERNAL, "node '%s' (%s) has %u outputs", n.name, op->name, n.n_outputs);
  for (unsigned i = 0; i < n.n_outputs; i++) {
    const wh_value_info *v = n.outputs[i] < g->n_values ? &g->values[n.outputs[i]] : NULL;
    if (!v || v->kind != WH_VALUE_NODE || v->producer != index || v->output != i)
      return WH_FAIL(ERR_INTERNAL, "node '%s' does not own its output", n.name);
  }
  WH_TRY(verify_regions_of(g, index));
  WH_TRY(wh_check_attrs(g, n.op, n.name, n.attrs, n.n_attrs));
  return verify_shapes(g, &n);
}

/* A written state changes in place, so nothing else may touch it. */
static wh_status verify_states(const wh_graph *g) {
  uint32_t *uses = wh_alloc_array(g->alloc, g->n_values, sizeof *uses);
  if (!uses) return WH_OOM("graph check");
  wh_graph_count_uses(g, uses);
  wh_status st = WH_OK;
  for (size_t i = 0; i < g->n_nodes && st == WH_OK; i++) {
    const wh_node_info *n = &g->nodes[i];
    if (!n->dead && wh_op_has(n->op, WH_TRAIT_WRITES) && uses[n->inputs[0]] != 1)
      st = WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s' (%s): its state '%s' has other uses", n->name,
                   wh_op_get(n->op)->name, g->values[n->inputs[0]].name);
  }
  wh_free(g->alloc, uses);
  return st;
}

wh_status wh_graph_verify(wh_graph *g) {
  if (g->n_replaced)
    return WH_FAIL(ERR_INTERNAL, "graph '%s': uses were replaced and not rewritten", g->name);
  for (wh_value v = 1; v < g->n_values; v++) WH_TRY(verify_value(g, v));
  for (wh_region r = 1; r < g->n_regions; r++) WH_TRY(verify_region(g, r));
  for (size_t n = 0; n < g->n_nodes; n++) WH_TRY(verify_node(g, n));
  for (size_t i = 0; i < g->n_outputs; i++) {
    const wh_value_info *v = g->outputs[i].value < g->n_values ? &g->values[g->outputs[i].value] : NULL;
    if (!v || v->kind == WH_VALUE_NONE || (v->kind == WH_VALUE_NODE && g->nodes[v->producer].dead) ||
        !wh_graph_sees(g, 0, g->outputs[i].value))
      return WH_FAIL(ERR_INTERNAL, "output '%s' is not computed", g->outputs[i].name);
  }
  return verify_states(g);
}
