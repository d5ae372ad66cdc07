/* ops.c - the ops that GPUs run: the families' tables, by op. */
#include <string.h>

#include "backends/gpu/device.h"

void gpu_ops_collect(const gpu_op *ops[WH_OP_COUNT]) {
  const gpu_op *const families[] = {gpu_ops_linear, gpu_ops_lm,     gpu_ops_map,
                                    gpu_ops_move,   gpu_ops_reduce, gpu_ops_nn};
  memset(ops, 0, WH_OP_COUNT * sizeof *ops);
  for (size_t f = 0; f < sizeof families / sizeof *families; f++)
    for (const gpu_op *op = families[f]; op->emit; op++)
      if (!ops[op->op]) ops[op->op] = op; /* of two rows the first */
}
