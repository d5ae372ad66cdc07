/* cse.c - common subexpressions: nodes of one op, operands and attributes, found by hash. Nodes of one region
 * only: those of another may not run. */
#include <string.h>

#include "core/passes/passes.h"

static bool same_node(const wh_node_info *a, const wh_node_info *b) {
  if (a->region != b->region || a->n_regions || b->n_regions) return false;
  if (a->op != b->op || a->n_inputs != b->n_inputs || a->n_attrs != b->n_attrs ||
      a->n_outputs != b->n_outputs)
    return false;
  if (memcmp(a->inputs, b->inputs, a->n_inputs * sizeof a->inputs[0]) != 0) return false;
  for (unsigned i = 0; i < a->n_attrs; i++) {
    const wh_attr *other = wh_node_attr(b, a->attrs[i].key); /* in whatever order */
    if (!other || !wh_attr_equal(&a->attrs[i], other)) return false;
  }
  return true;
}

/* Declared outputs are a part of what a node says; others follow from the rest. */
static bool same_shapes(const wh_graph *g, const wh_node_info *a, const wh_node_info *b) {
  for (unsigned i = 0; i < a->n_outputs; i++)
    if (!wh_shape_equal(&g->values[a->outputs[i]].shape, &g->values[b->outputs[i]].shape)) return false;
  return true;
}

static uint64_t node_hash(const wh_node_info *n) {
  uint64_t key[4] = {(uint64_t)n->op, (uint64_t)n->region << 32 | n->n_outputs, 0, 0};
  if (n->n_inputs) key[2] = wh_hash_bytes(n->inputs, n->n_inputs * sizeof n->inputs[0]).low;
  for (unsigned i = 0; i < n->n_attrs; i++) key[3] += wh_attr_hash(&n->attrs[i]); /* in whatever order */
  return wh_hash_bytes(key, sizeof key).low;
}

/* What was merged so far shows in the operands. */
static void resolve_inputs(wh_graph *g, wh_node_info *n) {
  g->work += 1 + n->n_inputs;
  for (unsigned i = 0; i < n->n_inputs; i++) n->inputs[i] = wh_graph_resolve(g, n->inputs[i]);
}

static wh_status merge(wh_graph *g, wh_node_info *n, const wh_node_info *into) {
  n->dead = true;
  for (unsigned i = 0; i < n->n_outputs; i++)
    WH_TRY(wh_graph_replace_uses(g, n->outputs[i], into->outputs[i]));
  return WH_OK;
}

wh_status wh_pass_cse(wh_graph *g) {
  size_t n_slots = 16;
  while (n_slots < 2 * g->n_nodes + 2) n_slots *= 2;
  wh_node *slots = wh_alloc_array(g->alloc, n_slots, sizeof *slots); /* node index + 1; 0: free */
  if (!slots) return WH_OOM("common-subexpression pass");
  wh_status st = WH_OK;
  for (size_t n = 0; n < g->n_nodes && st == WH_OK; n++) {
    wh_node_info *node = &g->nodes[n];
    if (node->dead) continue;
    resolve_inputs(g, node);
    if (wh_op_has(node->op, WH_TRAIT_WRITES)) continue; /* an effect happens as often as it is written */
    size_t s = node_hash(node) & (n_slots - 1);
    while (slots[s] &&
           !(same_node(&g->nodes[slots[s] - 1], node) && same_shapes(g, &g->nodes[slots[s] - 1], node))) {
      g->work++;
      s = (s + 1) & (n_slots - 1);
    }
    if (slots[s])
      st = merge(g, node, &g->nodes[slots[s] - 1]);
    else
      slots[s] = (wh_node)n + 1;
  }
  wh_free(g->alloc, slots);
  WH_TRY(st);
  return wh_pass_compact(g);
}
