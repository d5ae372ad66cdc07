/* compact.c - dead code, and the order of nodes. */
#include "core/passes/passes.h"

wh_status wh_pass_dce(wh_graph *g) {
  bool *needed = wh_alloc_array(g->alloc, g->n_values, sizeof *needed);
  if (!needed) return WH_OOM("dead-code pass");
  for (size_t i = 0; i < g->n_outputs; i++) needed[g->outputs[i].value] = true;
  /* Users come after producers except for nodes that a pass has just appended: iterate to a fixed point. */
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t n = g->n_nodes; n-- > 0;) {
      const wh_node_info *node = &g->nodes[n];
      if (node->dead || (!needed[node->output] && !wh_op_has(node->op, WH_TRAIT_WRITES))) continue;
      for (unsigned i = 0; i < node->n_inputs; i++)
        if (!needed[node->inputs[i]]) needed[node->inputs[i]] = changed = true;
    }
  }
  for (size_t n = 0; n < g->n_nodes; n++)
    if (!needed[g->nodes[n].output] && !wh_op_has(g->nodes[n].op, WH_TRAIT_WRITES)) g->nodes[n].dead = true;
  wh_free(g->alloc, needed);
  return WH_OK;
}

wh_status wh_pass_compact(wh_graph *g) {
  /* Sweeps in the old order, placing what has its operands, until all are placed: one sweep when the order is
   * right already, else one more for each time that a node waits for a later one. */
  wh_node_info *ordered = wh_alloc_array(g->alloc, g->n_nodes + 1, sizeof *ordered);
  bool *placed = wh_alloc_array(g->alloc, g->n_values, sizeof *placed);
  bool *done = wh_alloc_array(g->alloc, g->n_nodes + 1, sizeof *done);
  wh_status st = WH_OK;
  if (!ordered || !placed || !done) st = WH_OOM("compaction");
  size_t n_ordered = 0, n_live = 0;
  if (st == WH_OK) {
    for (size_t v = 0; v < g->n_values; v++) placed[v] = g->values[v].kind != WH_VALUE_NODE;
    for (size_t n = 0; n < g->n_nodes; n++) n_live += !g->nodes[n].dead;
    for (bool progress = true; progress && n_ordered < n_live;) {
      progress = false;
      for (size_t n = 0; n < g->n_nodes; n++) {
        const wh_node_info *node = &g->nodes[n];
        bool ready = !node->dead && !done[n];
        for (unsigned i = 0; ready && i < node->n_inputs; i++) ready = placed[node->inputs[i]];
        if (!ready) continue;
        ordered[n_ordered++] = *node;
        placed[node->output] = done[n] = progress = true;
      }
    }
    if (n_ordered < n_live) st = WH_FAIL(ERR_INTERNAL, "graph '%s' has a cycle", g->name);
  }
  if (st == WH_OK) {
    for (size_t v = 0; v < g->n_values; v++)
      if (g->values[v].kind == WH_VALUE_NODE) g->values[v].producer = WH_NO_NODE;
    for (size_t n = 0; n < n_ordered; n++) {
      g->nodes[n] = ordered[n];
      g->values[ordered[n].output].producer = (wh_node)n;
    }
    g->n_nodes = n_ordered;
    for (size_t v = 1; v < g->n_values; v++) /* values of dropped nodes are no values any more */
      if (g->values[v].kind == WH_VALUE_NODE && g->values[v].producer == WH_NO_NODE)
        g->values[v].kind = WH_VALUE_NONE;
  }
  wh_free(g->alloc, ordered);
  wh_free(g->alloc, placed);
  wh_free(g->alloc, done);
  return st;
}
