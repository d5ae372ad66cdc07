/* compact.c - dead code, and the order of nodes. */
#include <string.h>

#include "core/passes/passes.h"

static bool is_live(const wh_node_info *n, const bool *needed) {
  if (n->dead) return false;
  bool live = wh_op_has(n->op, WH_TRAIT_WRITES);
  for (unsigned i = 0; i < n->n_outputs; i++) live = live || needed[n->outputs[i]];
  return live;
}

wh_status wh_pass_dce(wh_graph *g) {
  bool *needed = wh_alloc_array(g->alloc, g->n_values, sizeof *needed);
  if (!needed) return WH_OOM("dead-code pass");
  for (size_t i = 0; i < g->n_outputs; i++) needed[g->outputs[i].value] = true;
  /* Users come after producers except for nodes that a pass has just appended: iterate to a fixed point. */
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t n = g->n_nodes; n-- > 0;) {
      const wh_node_info *node = &g->nodes[n];
      g->work += 1 + node->n_inputs;
      if (!is_live(node, needed)) continue;
      for (unsigned i = 0; i < node->n_inputs; i++)
        if (!needed[node->inputs[i]]) needed[node->inputs[i]] = changed = true;
      for (unsigned r = 0; r < node->n_regions; r++) {
        const wh_region_info *region = &g->regions[node->regions[r]];
        for (unsigned i = 0; i < region->n_results; i++)
          if (!needed[region->results[i]]) needed[region->results[i]] = changed = true;
      }
    }
  }
  for (size_t n = 0; n < g->n_nodes; n++) g->nodes[n].dead = !is_live(&g->nodes[n], needed);
  wh_free(g->alloc, needed);
  return WH_OK;
}

/* ---- order ---- */

/* The order is that of sweeps over the nodes, each of which places every node whose operands are placed: a
 * node's round is the sweep that would place it, one more than its latest operand's where that stands behind
 * it. Rounds are found depth first, each use looked at twice. */
typedef struct rounds {
  wh_graph *g;
  uint32_t *round; /* 0: not known yet */
  bool *open;      /* its operands are being looked at */
  wh_node *stack;  /* a node may wait on it once per use */
  size_t n_stack;
  wh_node *first, *next; /* a region's nodes: index + 1; 0: the end */
} rounds;

static wh_node producer_of(const wh_graph *g, wh_value v) {
  return g->values[v].kind == WH_VALUE_NODE ? g->values[v].producer : WH_NO_NODE;
}

/* Node n comes after p. */
static wh_status wait_for(rounds *r, wh_node n, wh_node p, uint32_t *round) {
  r->g->work++;
  if (p == WH_NO_NODE) return WH_OK;
  if (r->open[n] && !r->round[p]) return WH_FAIL(ERR_INTERNAL, "graph '%s' has a cycle", r->g->name);
  if (!r->open[n] && !r->round[p]) r->stack[r->n_stack++] = p;
  const uint32_t after = r->round[p] + (p > n);
  if (after > *round) *round = after;
  return WH_OK;
}

/* A node comes after its operands, the nodes of the regions that it runs, and what these yield. */
static wh_status find_round(rounds *r, wh_node n) {
  const wh_node_info *node = &r->g->nodes[n];
  uint32_t round = 1;
  for (unsigned i = 0; i < node->n_inputs; i++)
    WH_TRY(wait_for(r, n, producer_of(r->g, node->inputs[i]), &round));
  for (unsigned k = 0; k < node->n_regions; k++) {
    const wh_region_info *region = &r->g->regions[node->regions[k]];
    for (wh_node in = r->first[node->regions[k]]; in; in = r->next[in - 1])
      WH_TRY(wait_for(r, n, in - 1, &round));
    for (unsigned i = 0; i < region->n_results; i++)
      WH_TRY(wait_for(r, n, producer_of(r->g, region->results[i]), &round));
  }
  r->g->work++;
  if (r->open[n]) {
    r->round[n] = round;
    r->n_stack--;
  }
  r->open[n] = !r->open[n];
  return WH_OK;
}

static void list_region_nodes(rounds *r) {
  for (size_t n = r->g->n_nodes; n-- > 0;) {
    const wh_node_info *node = &r->g->nodes[n];
    if (node->dead) continue;
    r->next[n] = r->first[node->region];
    r->first[node->region] = (wh_node)n + 1;
  }
}

static wh_status find_rounds(rounds *r, uint32_t *n_rounds) {
  for (wh_node first = 0; first < r->g->n_nodes; first++) {
    if (r->g->nodes[first].dead) continue;
    r->stack[r->n_stack++] = first;
    while (r->n_stack) {
      const wh_node n = r->stack[r->n_stack - 1];
      if (r->g->nodes[n].dead)
        return WH_FAIL(ERR_INTERNAL, "graph '%s': '%s' is used and not computed", r->g->name,
                       r->g->nodes[n].name);
      if (r->round[n])
        r->n_stack--;
      else
        WH_TRY(find_round(r, n));
    }
    if (r->round[first] > *n_rounds) *n_rounds = r->round[first];
  }
  return WH_OK;
}

/* Live nodes by round, then as they stood; dead ones are dropped, and their values are none any more. */
static void place(wh_graph *g, const uint32_t *round, uint32_t n_rounds, wh_node *starts,
                  wh_node_info *ordered) {
  wh_node n_live = 0;
  for (size_t n = 0; n < g->n_nodes; n++) starts[round[n]]++; /* round 0: the dead */
  for (uint32_t k = 1; k <= n_rounds; k++) {
    const wh_node count = starts[k];
    starts[k] = n_live;
    n_live += count;
  }
  for (size_t n = 0; n < g->n_nodes; n++) {
    const wh_node_info *node = &g->nodes[n];
    const wh_node at = round[n] ? starts[round[n]]++ : WH_NO_NODE;
    for (unsigned i = 0; i < node->n_outputs; i++) {
      wh_value_info *v = &g->values[node->outputs[i]];
      if (at == WH_NO_NODE) v->kind = WH_VALUE_NONE;
      v->producer = at;
    }
    for (unsigned k = 0; k < node->n_regions; k++) {
      wh_region_info *region = &g->regions[node->regions[k]];
      region->owner = at;
      region->dropped = at == WH_NO_NODE;
      for (unsigned i = 0; region->dropped && i < region->n_params; i++)
        g->values[region->params[i]].kind = WH_VALUE_NONE;
    }
    if (at != WH_NO_NODE) ordered[at] = *node;
  }
  if (n_live) memcpy(g->nodes, ordered, n_live * sizeof *ordered);
  g->n_nodes = n_live;
}

wh_status wh_pass_compact(wh_graph *g) {
  wh_graph_apply_replacements(g);
  size_t n_uses = 1;
  for (size_t n = 0; n < g->n_nodes; n++) n_uses += 1 + g->nodes[n].n_inputs;
  for (size_t k = 1; k < g->n_regions; k++) n_uses += g->regions[k].n_results;
  rounds r = {.g = g,
              .round = wh_alloc_array(g->alloc, g->n_nodes + 1, sizeof *r.round),
              .open = wh_alloc_array(g->alloc, g->n_nodes + 1, sizeof *r.open),
              .stack = wh_alloc_array(g->alloc, n_uses + 1, sizeof *r.stack),
              .first = wh_alloc_array(g->alloc, g->n_regions, sizeof *r.first),
              .next = wh_alloc_array(g->alloc, g->n_nodes + 1, sizeof *r.next)};
  wh_node_info *ordered = wh_alloc_array(g->alloc, g->n_nodes + 1, sizeof *ordered);
  wh_node *starts = wh_alloc_array(g->alloc, g->n_nodes + 2, sizeof *starts);
  uint32_t n_rounds = 0;
  wh_status st = WH_OK;
  if (!r.round || !r.open || !r.stack || !r.first || !r.next || !ordered || !starts)
    st = WH_OOM("compaction");
  if (st == WH_OK) list_region_nodes(&r);
  if (st == WH_OK) st = find_rounds(&r, &n_rounds);
  if (st == WH_OK) place(g, r.round, n_rounds, starts, ordered);
  wh_free(g->alloc, r.round);
  wh_free(g->alloc, r.open);
  wh_free(g->alloc, r.stack);
  wh_free(g->alloc, r.first);
  wh_free(g->alloc, r.next);
  wh_free(g->alloc, ordered);
  wh_free(g->alloc, starts);
  return st;
}
