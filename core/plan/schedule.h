/* plan/schedule.h - in which order nodes run, and where threads must meet.
 *
 * Nodes are put into phases: a node's phase is one more than the latest of its operands' (as soon as
 * possible). Nodes of one phase are independent, so threads pass from one to the next without waiting; a
 * barrier stands between phases. Buffers live for whole phases, so that reuse of memory never adds a wait. */
#ifndef WH_PLAN_SCHEDULE_H
#define WH_PLAN_SCHEDULE_H

#include "core/ir/graph.h"

/* A node without work of its own: its output is its input's memory under another shape. */
static inline bool wh_node_is_view(const wh_node_info *n) { return wh_op_has(n->op, WH_TRAIT_VIEW); }

typedef struct wh_schedule {
  wh_node *order;  /* [n] the nodes that run, views left out */
  uint32_t *phase; /* [n_nodes] by node; a view has its operand's phase */
  size_t n;
  uint32_t n_phases;
} wh_schedule;

WH_NODISCARD wh_status wh_schedule_create(const wh_graph *g, const wh_allocator *alloc, wh_schedule *out);
void wh_schedule_deinit(wh_schedule *s, const wh_allocator *alloc);

#endif
