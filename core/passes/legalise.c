/* legalise.c - makes the forms explicit that every backend computes: integer products take quantised
 * activations. */
#include <stdio.h>

#include "core/passes/passes.h"

wh_status wh_pass_legalise(wh_graph *g) {
  for (size_t n = 0, n_old = g->n_nodes; n < n_old; n++) {
    if (g->nodes[n].dead || (g->nodes[n].op != WH_OP_LINEAR && g->nodes[n].op != WH_OP_EXPERT_LINEAR))
      continue;
    wh_value x = g->nodes[n].inputs[0], w = g->nodes[n].inputs[1], q;
    if (!wh_dtype_is_quantised(g->values[w].shape.dtype) || g->values[x].shape.dtype != WH_DTYPE_F32)
      continue;
    char name[192];
    (void)snprintf(name, sizeof name, "%.180s.q8a", g->values[x].name);
    const wh_region at = g->at;
    g->at = g->nodes[n].region;
    wh_status st = wh_graph_add_node(g, WH_OP_QUANTIZE_ACT, name, &x, 1, NULL, 0, &q);
    g->at = at;
    WH_TRY(st);
    g->nodes[n].inputs[0] = q;
  }
  return wh_pass_compact(g);
}
