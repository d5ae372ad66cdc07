/* cse.c - common subexpressions: nodes of one op, operands and attributes, found by hash. */
#include <string.h>

#include "core/passes/passes.h"

static bool same_attrs(const wh_node_info *a, const wh_node_info *b) {
  if (a->n_attrs != b->n_attrs) return false;
  for (unsigned i = 0; i < a->n_attrs; i++) {
    const wh_attr *x = &a->attrs[i], *y = wh_node_attr(b, x->key);
    if (!y || memcmp(&x->f, &y->f, sizeof x->f) != 0 || x->i != y->i || x->rank != y->rank ||
        memcmp(x->dims, y->dims, sizeof x->dims) != 0)
      return false;
  }
  return true;
}

static bool same_node(const wh_node_info *a, const wh_node_info *b) {
  return a->op == b->op && a->n_inputs == b->n_inputs &&
         memcmp(a->inputs, b->inputs, a->n_inputs * sizeof a->inputs[0]) == 0 && same_attrs(a, b);
}

static uint64_t node_hash(const wh_node_info *n) {
  uint32_t key[1 + WH_MAX_INPUTS] = {(uint32_t)n->op};
  for (unsigned i = 0; i < n->n_inputs; i++) key[1 + i] = n->inputs[i];
  return wh_hash_bytes(key, sizeof key).low;
}

wh_status wh_pass_cse(wh_graph *g) {
  size_t n_slots = 16;
  while (n_slots < 2 * g->n_nodes + 2) n_slots *= 2;
  wh_node *slots = wh_alloc_array(g->alloc, n_slots, sizeof *slots); /* node index + 1; 0: free */
  if (!slots) return WH_OOM("common-subexpression pass");
  for (size_t n = 0; n < g->n_nodes; n++) {
    wh_node_info *node = &g->nodes[n];
    if (node->dead || wh_op_has(node->op, WH_TRAIT_WRITES))
      continue; /* an effect happens as often as it is written */
    size_t s = node_hash(node) & (n_slots - 1);
    while (slots[s] && !same_node(&g->nodes[slots[s] - 1], node)) s = (s + 1) & (n_slots - 1);
    if (slots[s]) {
      node->dead = true;
      wh_graph_replace_uses(g, node->output, g->nodes[slots[s] - 1].output);
    } else {
      slots[s] = (wh_node)n + 1;
    }
  }
  wh_free(g->alloc, slots);
  return wh_pass_compact(g);
}
