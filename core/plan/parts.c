/* parts.c - see parts.h. */
#include "core/plan/parts.h"

#define MOST_PARTS 64 /* of one concatenation: places are sums over those before */

/* Whether the operands lie one behind the other: nothing is before the axis. */
static bool is_sequence(const wh_graph *g, const wh_node_info *node) {
  const wh_shape *y = &g->values[wh_node_output(node, 0)].shape;
  const int64_t axis = wh_node_i(node, WH_ATTR_AXIS);
  for (int64_t d = 0; d < axis; d++)
    if (!wh_dim_is_const(&g->dims, y->dims[d]) || wh_dim_get(&g->dims, y->dims[d])->value != 1) return false;
  return true;
}

/* Whether the operand begins at the same place in every run. A run may have smaller dims than its layout,
 * whose places stay (wh_run_bind), and only programs for many shapes have a layout for each vector of dims.
 */
static bool is_at_one_place(const wh_program *p, const wh_node_info *node, unsigned operand) {
  for (unsigned i = 0; i < operand && !p->many_shapes; i++) {
    const wh_shape *x = &p->graph->values[node->inputs[i]].shape;
    for (int d = 0; d < x->rank; d++)
      if (!wh_dim_is_const(&p->graph->dims, x->dims[d])) return false;
  }
  return true;
}

/* Made by a node, and neither a part nor a whole of another. */
static bool is_free(const wh_program *p, const wh_slot *s) {
  return s->kind == WH_SLOT_ARENA && s->value && p->graph->values[s->value].kind == WH_VALUE_NODE &&
         !s->is_part && !s->has_parts;
}

void wh_parts_find(wh_program *p) {
  for (size_t s = 0; s < p->n_steps; s++) {
    const wh_step *step = &p->steps[s];
    const wh_node_info *node = &p->graph->nodes[step->node];
    if (node->op != WH_OP_CONCAT || !is_sequence(p->graph, node)) continue;
    const uint32_t whole_slot = p->args[step->first_arg + step->n_inputs].slot;
    wh_slot *whole = &p->slots[whole_slot];
    if (!(p->devices[whole->device].device.backend->traits & WH_BACKEND_PARTS)) continue;
    for (unsigned i = 0; i < step->n_inputs && i < MOST_PARTS && is_at_one_place(p, node, i); i++) {
      wh_slot *part = &p->slots[p->args[step->first_arg + i].slot];
      if (!is_free(p, part) || part == whole || part->device != whole->device) continue;
      if (part->last > whole->last) continue; /* the whole would live longer, and with it all that it joins */
      part->is_part = whole->has_parts = true;
      part->whole = whole_slot;
      part->concat = step->node;
      part->operand = i;
      if (part->first < whole->first) whole->first = part->first;
    }
  }
}

bool wh_part_is_placed(const wh_program *p, const int64_t *dims, uint32_t slot, uint64_t *at) {
  const wh_slot *part = &p->slots[slot];
  *at = 0;
  if (!part->is_part) return false;
  for (unsigned i = 0; i < part->operand; i++) {
    size_t bytes;
    if (!wh_value_row_major_bytes(p->graph, p->graph->nodes[part->concat].inputs[i], dims, &bytes))
      return false;
    *at += bytes; /* of what has a place in memory */
  }
  return *at % WH_PLAN_ALIGN == 0;
}
