/* legalise.c - makes the forms explicit that every backend computes: integer products take quantised
 * activations, in 8 bits where the weights are quantised and in 13 where they have 16 bits. */
#include <stdio.h>

#include "core/passes/passes.h"

wh_status wh_pass_legalise(wh_graph *g) {
  for (size_t n = 0, n_old = g->n_nodes; n < n_old; n++) {
    if (g->nodes[n].dead || (g->nodes[n].op != WH_OP_LINEAR && g->nodes[n].op != WH_OP_EXPERT_LINEAR))
      continue;
    wh_value x = g->nodes[n].inputs[0], w = g->nodes[n].inputs[1], q;
    const wh_dtype dtype = g->values[w].shape.dtype;
    const bool narrow = wh_dtype_is_quantised(dtype), wide = dtype == WH_DTYPE_F16 || dtype == WH_DTYPE_BF16;
    if ((!narrow && !wide) || g->values[x].shape.dtype != WH_DTYPE_F32) continue;
    char name[192];
    (void)snprintf(name, sizeof name, "%.180s.%s", g->values[x].name, narrow ? "q8a" : "q13a");
    const wh_region at = g->at;
    g->at = g->nodes[n].region;
    wh_status st =
        wh_graph_add_node(g, narrow ? WH_OP_QUANTIZE_ACT : WH_OP_QUANTIZE_WIDE, name, &x, 1, NULL, 0, &q);
    g->at = at;
    WH_TRY(st);
    g->nodes[n].inputs[0] = q;
  }
  return wh_pass_compact(g);
}
