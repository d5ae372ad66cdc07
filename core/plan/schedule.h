/* plan/schedule.h - in which order nodes run, and where they must wait.
 *
 * A block is straight-line work of one device. Nodes are put into as few blocks as their devices allow: a
 * node's stage is that of its latest operand, or one more where other devices read that operand, too, and a
 * block is what one device does of one stage. So what another device waits for ends its block, and devices
 * that exchange results stay in step. Within a block nodes are put into phases: one more than the latest of
 * their operands' in the block. Nodes of one phase are independent, so workers pass from one to the next
 * without waiting. Phases are counted through all blocks and are the time in which buffers live: reuse of
 * memory never adds a wait. */
#ifndef WH_PLAN_SCHEDULE_H
#define WH_PLAN_SCHEDULE_H

#include "core/ir/graph.h"

/* A node without work of its own: its output is its input's memory under another shape. */
static inline bool wh_node_is_view(const wh_node_info *n) { return wh_op_has(n->op, WH_TRAIT_VIEW); }

typedef struct wh_schedule_block {
  size_t first, n;      /* of order */
  uint32_t first_phase; /* the block's phases end where the next block's begin */
  uint16_t device;
} wh_schedule_block;

typedef struct wh_schedule {
  wh_node *order;     /* [n] the nodes that run, views left out */
  uint32_t *phase;    /* [n_nodes] by node, through all blocks; a view has its operand's phase */
  uint32_t *block_of; /* [n_nodes] likewise */
  wh_schedule_block *blocks;
  size_t n, n_blocks;
  uint32_t n_phases;
} wh_schedule;

/* device_of: per node; NULL: one device runs all. */
WH_NODISCARD wh_status wh_schedule_create(const wh_graph *g, const uint16_t *device_of,
                                          const wh_allocator *alloc, wh_schedule *out);
void wh_schedule_deinit(wh_schedule *s, const wh_allocator *alloc);

#endif
