/* fold.c - constants computed once. */
#include <string.h>

#include "core/passes/passes.h"

#define MAX_FOLDED_BYTES ((size_t)16 << 20)

static wh_status replace_by_constant(wh_graph *g, size_t n, const wh_shape *shape, const void *result,
                                     size_t bytes) {
  wh_value v, old = g->nodes[n].output;
  void *data = wh_arena_alloc(&g->arena, bytes);
  if (!data) return WH_OOM("folded constant");
  memcpy(data, result, bytes);
  WH_TRY(wh_graph_add_const(g, g->nodes[n].name, shape, data, bytes, NULL, &v));
  g->nodes[n].dead = true;
  wh_graph_replace_uses(g, old, v);
  return WH_OK;
}

static wh_status fold_node(wh_graph *g, size_t n, const wh_fold_evaluator *fold) {
  const wh_node_info *node = &g->nodes[n];
  if (node->dead || wh_op_has(node->op, WH_TRAIT_WRITES | WH_TRAIT_CHOOSES) || node->n_inputs == 0)
    return WH_OK;
  const void *inputs[WH_MAX_INPUTS] = {0};
  for (unsigned i = 0; i < node->n_inputs; i++) {
    const wh_value_info *v = &g->values[node->inputs[i]];
    if (node->inputs[i] == 0) continue;
    if (v->kind != WH_VALUE_CONST || !v->data) return WH_OK;
    inputs[i] = v->data;
  }
  const wh_shape shape = g->values[node->output].shape;
  size_t bytes;
  for (int i = 0; i < shape.rank; i++)
    if (!wh_dim_is_const(&g->dims, shape.dims[i])) return WH_OK;
  if (!wh_shape_bytes(g, &shape, NULL, &bytes) || bytes > MAX_FOLDED_BYTES) return WH_OK;
  void *result = wh_alloc_uninit(g->alloc, bytes, WH_ALIGN_SIMD); /* the arena never gives memory back */
  if (!result) return WH_OOM("folded constant");
  wh_status st = fold->eval(fold->ctx, g, node, inputs, result);
  if (st == WH_OK) st = replace_by_constant(g, n, &shape, result, bytes);
  wh_free(g->alloc, result);
  return st == WH_ERR_UNSUPPORTED ? WH_OK : st; /* then it stays a node */
}

wh_status wh_pass_fold(wh_graph *g, const wh_fold_evaluator *fold) {
  for (size_t n = 0; n < g->n_nodes; n++) WH_TRY(fold_node(g, n, fold));
  return wh_pass_compact(g);
}
