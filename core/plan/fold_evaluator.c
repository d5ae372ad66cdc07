/* fold_evaluator.c - a program of one instruction. */
#include "core/plan/fold_evaluator.h"

#include <string.h>

#include "core/plan/schedule.h"

static wh_operand operand_of(const wh_graph *g, wh_value v, const void *data) {
  const wh_shape *s = &g->values[v].shape;
  union { /* operands are not typed by direction; kernels only read their inputs */
    const void *in;
    void *out;
  } u = {data};
  wh_operand o = {.data = u.out, .dtype = s->dtype, .rank = s->rank};
  for (int i = 0; i < s->rank; i++)
    o.dims[i] = wh_dim_get(&g->dims, s->dims[i])->value; /* folding wants constants */
  return o;
}

wh_status wh_fold_eval(void *ctx, const wh_graph *g, const wh_node_info *node, const void *const *inputs,
                       void *out) {
  const wh_fold_device *d = ctx;
  const int64_t no_symbols[WH_MAX_SYMBOLS] = {0};
  if (wh_node_is_view(node)) {
    size_t bytes;
    if (!wh_shape_bytes(g, &g->values[wh_node_output(node, 0)].shape, NULL, &bytes))
      return WH_FAIL(ERR_UNSUPPORTED, "node '%s' is not folded", node->name);
    memcpy(out, inputs[0], bytes);
    return WH_OK;
  }
  wh_claim claim = {.struct_size = sizeof claim, .packed_input = -1};
  WH_TRY(d->backend->claim(d->device, g, node, no_symbols, &claim));
  if (!claim.supported || claim.scratch_bytes || claim.packed_input >= 0)
    return WH_FAIL(ERR_UNSUPPORTED, "node '%s' is not folded", node->name);
  wh_instr in = {.node = node, .out = operand_of(g, wh_node_output(node, 0), out), .step = 1};
  for (unsigned i = 0; i < node->n_inputs; i++)
    if (node->inputs[i]) in.in[i] = operand_of(g, node->inputs[i], inputs[i]);
  wh_status st = d->backend->compile(d->device, g, node, no_symbols, &in);
  if (st == WH_OK) st = d->backend->run(d->device, &in, 0, 1);
  d->backend->release(d->device, &in);
  return st;
}
