/* fold_evaluator.c - see fold_evaluator.h. */
#include "core/plan/fold_evaluator.h"

#include <string.h>

#include "core/plan/layout.h"
#include "core/plan/schedule.h"

#define MAX_INPUTS 8 /* of a node that is folded */

/* A block of one step whose slots are buffers of its own: operands, then the output, then the fault. */
typedef struct one_step {
  wh_buffer *buffers[MAX_INPUTS + 2];
  uint64_t offsets[MAX_INPUTS + 2], n_bytes[MAX_INPUTS + 2];
  wh_arg args[MAX_INPUTS + 1];
  int64_t *dims;
  wh_code *code;
  wh_queue *queue;
} one_step;

static wh_status host_buffer(const wh_fold_device *d, uint64_t n, wh_buffer **out) {
  WH_TRY(d->backend->buffer_create(d->device, WH_MEMORY_HOST, n, out));
  return d->backend->buffer_host(d->device, *out) ? WH_OK
                                                  : WH_FAIL(ERR_INTERNAL, "host memory without an address");
}

/* The operands and the output of what is folded have constant dims only. */
static wh_status dims_without_symbols(const wh_graph *g, int64_t *dims) {
  int64_t *any = wh_alloc_array(g->alloc, g->dims.n_symbols + 1, sizeof *any);
  if (!any) return WH_OOM("folding");
  for (uint32_t i = 0; i < g->dims.n_symbols; i++) any[i] = wh_dim_get(&g->dims, g->dims.symbol_dims[i])->min;
  wh_dim_values(&g->dims, any, dims);
  wh_free(g->alloc, any);
  return WH_OK;
}

static wh_status evaluate(const wh_fold_device *d, const wh_graph *g, wh_node n, const void *const *inputs,
                          void *out, one_step *o) {
  const wh_backend *b = d->backend;
  const wh_node_info *node = &g->nodes[n];
  wh_claim claim = {.struct_size = sizeof claim};
  o->dims = wh_alloc_array(g->alloc, g->dims.n + 1, sizeof *o->dims);
  if (!o->dims) return WH_OOM("folding");
  if (node->n_inputs > MAX_INPUTS || wh_node_n_outputs(node) != 1)
    return WH_FAIL(ERR_UNSUPPORTED, "node '%s' is not folded", node->name);
  WH_TRY(dims_without_symbols(g, o->dims));
  WH_TRY(b->claim(d->device, g, n, o->dims, &claim));
  for (uint32_t k = 0; k < claim.n_layouts; k++) /* packing is not worth it */
    if (claim.layouts[k].id == 0) claim.n_layouts = 0;
  if (!claim.supported || claim.scratch_bytes || claim.n_layouts)
    return WH_FAIL(ERR_UNSUPPORTED, "node '%s' is not folded", node->name);
  const unsigned n_in = node->n_inputs;
  for (unsigned i = 0; i <= n_in; i++) {
    const wh_value v = i < n_in ? node->inputs[i] : wh_node_output(node, 0);
    size_t bytes;
    o->args[i] = (wh_arg){v, v ? i : WH_NO_SLOT, 0};
    if (!v) continue;
    if (!wh_shape_bytes(g, &g->values[v].shape, NULL, &bytes))
      return WH_FAIL(ERR_UNSUPPORTED, "node '%s' is not folded", node->name);
    o->n_bytes[i] = bytes;
    WH_TRY(host_buffer(d, bytes, &o->buffers[i]));
    if (i < n_in) memcpy(b->buffer_host(d->device, o->buffers[i]), inputs[i], bytes);
  }
  const unsigned fault_slot = n_in + 1;
  o->n_bytes[fault_slot] = sizeof(wh_fault);
  WH_TRY(host_buffer(d, sizeof(wh_fault), &o->buffers[fault_slot]));
  const wh_step step = {.node = n, .n_inputs = (uint16_t)n_in, .n_outputs = 1, .scratch = WH_NO_SLOT};
  const wh_block block = {.graph = g, .steps = &step, .n_steps = 1, .args = o->args, .n_slots = n_in + 2};
  const wh_frame frame = {.id = 1,
                          .buffers = o->buffers,
                          .offsets = o->offsets,
                          .n_bytes = o->n_bytes,
                          .dims = o->dims,
                          .fault = fault_slot};
  wh_point done = {NULL, 0};
  WH_TRY(b->compile(d->device, &block, &o->code));
  WH_TRY(b->queue_create(d->device, &o->queue));
  WH_TRY(b->submit(o->queue, o->code, 0, 1, &frame, NULL, 0, &done));
  WH_TRY(b->wait(done));
  wh_fault fault;
  memcpy(&fault, b->buffer_host(d->device, o->buffers[fault_slot]), sizeof fault);
  if (fault.node_plus_1) /* the run is to report it */
    return WH_FAIL(ERR_UNSUPPORTED, "node '%s' has an index outside its operand", node->name);
  memcpy(out, b->buffer_host(d->device, o->buffers[n_in]), o->n_bytes[n_in]);
  return WH_OK;
}

wh_status wh_fold_eval(void *ctx, const wh_graph *g, const wh_node_info *node, const void *const *inputs,
                       void *out) {
  const wh_fold_device *d = ctx;
  if (wh_node_is_view(node)) {
    size_t bytes;
    if (!wh_shape_bytes(g, &g->values[wh_node_output(node, 0)].shape, NULL, &bytes))
      return WH_FAIL(ERR_UNSUPPORTED, "node '%s' is not folded", node->name);
    memcpy(out, inputs[0], bytes);
    return WH_OK;
  }
  one_step o = {.code = NULL};
  wh_status st = evaluate(d, g, (wh_node)(node - g->nodes), inputs, out, &o);
  if (o.queue) d->backend->queue_destroy(o.queue);
  if (o.code) d->backend->code_destroy(d->device, o.code);
  for (unsigned i = 0; i < MAX_INPUTS + 2; i++) d->backend->buffer_destroy(d->device, o.buffers[i]);
  wh_free(g->alloc, o.dims);
  return st;
}
