/* plan/fold_evaluator.h - lends a device's kernels to constant folding (passes/passes.h): exact kernels give
 * the same bits on every device, so a graph that was folded here is the graph that was folded anywhere. */
#ifndef WH_PLAN_FOLD_EVALUATOR_H
#define WH_PLAN_FOLD_EVALUATOR_H

#include "core/backend_abi.h"

typedef struct wh_fold_device {
  const wh_backend *backend;
  void *device;
} wh_fold_device;

/* A wh_fold_evaluator's eval; ctx is a wh_fold_device. ERR_UNSUPPORTED for a node that the device refuses, or
 * that needs scratch or packed weights: such nodes stay in the graph. */
WH_NODISCARD wh_status wh_fold_eval(void *ctx, const wh_graph *g, const wh_node_info *node,
                                    const void *const *inputs, void *out);

#endif
