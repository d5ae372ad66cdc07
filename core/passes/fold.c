/* fold.c - constants computed once. */
#include <string.h>

#include "core/passes/passes.h"

#define MAX_FOLDED_BYTES ((size_t)16 << 20)

static wh_status replace_by_constant(wh_graph *g, size_t n, const wh_shape *shape, const void *result,
                                     size_t bytes) {
  wh_value v;
  void *data = wh_arena_alloc(&g->arena, bytes);
  if (!data) return WH_OOM("folded constant");
  memcpy(data, result, bytes);
  WH_TRY(wh_graph_add_const(g, g->nodes[n].name, shape, data, bytes, NULL, &v));
  g->nodes[n].dead = true;
  return wh_graph_replace_uses(g, wh_node_output(&g->nodes[n], 0), v);
}

/* The operands' bytes, or false: one is no constant with data. */
static bool constant_operands(const wh_graph *g, const wh_node_info *node, const void **out) {
  for (unsigned i = 0; i < node->n_inputs; i++) {
    const wh_value_info *v = &g->values[node->inputs[i]];
    out[i] = NULL;
    if (node->inputs[i] == 0) continue;
    if (v->kind != WH_VALUE_CONST || !v->data) return false;
    out[i] = v->data;
  }
  return node->n_inputs > 0;
}

/* `operands`: room for the node's. */
static wh_status fold_node(wh_graph *g, size_t n, const wh_fold_evaluator *fold, const void **operands) {
  const wh_node_info *node = &g->nodes[n];
  if (node->n_outputs != 1 || node->n_regions || wh_op_has(node->op, WH_TRAIT_WRITES | WH_TRAIT_CHOOSES) ||
      !constant_operands(g, node, operands))
    return WH_OK;
  const wh_shape shape = g->values[wh_node_output(node, 0)].shape;
  size_t bytes;
  for (int i = 0; i < shape.rank; i++)
    if (!wh_dim_is_const(&g->dims, shape.dims[i])) return WH_OK;
  if (!wh_shape_bytes(g, &shape, NULL, &bytes) || bytes > MAX_FOLDED_BYTES) return WH_OK;
  void *result = wh_alloc_uninit(g->alloc, bytes, WH_ALIGN_SIMD); /* the arena never gives memory back */
  if (!result) return WH_OOM("folded constant");
  wh_status st = fold->eval(fold->ctx, g, node, operands, result);
  if (st == WH_OK) st = replace_by_constant(g, n, &shape, result, bytes);
  wh_free(g->alloc, result);
  return st == WH_ERR_UNSUPPORTED ? WH_OK : st; /* then it stays a node */
}

wh_status wh_pass_fold(wh_graph *g, const wh_fold_evaluator *fold) {
  size_t most = 1;
  for (size_t n = 0; n < g->n_nodes; n++)
    if (g->nodes[n].n_inputs > most) most = g->nodes[n].n_inputs;
  const void **operands = wh_alloc_array(g->alloc, most, sizeof *operands);
  if (!operands) return WH_OOM("folding");
  wh_status st = WH_OK;
  for (size_t n = 0; n < g->n_nodes && st == WH_OK; n++) {
    wh_node_info *node = &g->nodes[n];
    if (node->dead) continue;
    g->work += 1 + node->n_inputs;
    for (unsigned i = 0; i < node->n_inputs; i++) /* by what was folded just now */
      node->inputs[i] = wh_graph_resolve(g, node->inputs[i]);
    st = fold_node(g, n, fold, operands);
  }
  wh_free(g->alloc, operands);
  WH_TRY(st);
  return wh_pass_compact(g);
}
