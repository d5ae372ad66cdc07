/* claim.c - what a GPU can run, and what it needs for that. */
#include <stdio.h>

#include "backends/gpu/device.h"

wh_status gpu_claim(void *dev, const wh_graph *g, wh_node n, const int64_t *dims, wh_claim *c) {
  const gpu_device *d = dev;
  const wh_node_info *node = &g->nodes[n];
  c->supported = true;
  c->scratch_bytes = 0;
  c->n_layouts = c->from_model = 0;
  if (wh_op_has(node->op, WH_TRAIT_VIEW)) return WH_OK; /* nothing runs */
  const gpu_op *op = d->ops[node->op];
  if (!op) {
    c->supported = false;
    (void)snprintf(c->reason, sizeof c->reason, "GPUs have no kernel for %s", wh_op_get(node->op)->name);
    return WH_OK;
  }
  return op->claim ? op->claim(d, g, node, dims, c) : WH_OK;
}
