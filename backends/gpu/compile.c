/* compile.c - from a block's steps to rows of the table of ops, and from a step and a frame to operands. */
#include <string.h>

#include "backends/gpu/device.h"

static size_t inputs_of(const wh_step *step) {
  return step->n_inputs < GPU_LEAST_INPUTS ? GPU_LEAST_INPUTS : step->n_inputs;
}

static wh_status check_step(const gpu_device *d, const wh_block *block, const wh_step *step) {
  const wh_node_info *node = &block->graph->nodes[step->node];
  const wh_arg *args = block->args + step->first_arg;
  if (!d->ops[node->op])
    return WH_FAIL(ERR_UNSUPPORTED, "node '%s' (%s): GPUs have no kernel", node->name,
                   wh_op_get(node->op)->name);
  for (unsigned i = 0; i < (unsigned)step->n_inputs + step->n_outputs; i++)
    if (args[i].value ? args[i].slot >= block->n_slots : i >= step->n_inputs)
      return WH_FAIL(ERR_INTERNAL, "node '%s': operand %u has no slot", node->name, i);
  return WH_OK;
}

/* How many steps from i on are one launch, and how many operands they show. */
static size_t count_joined(const wh_block *block, size_t i, size_t *n_operands) {
  const size_t heads = gpu_heads_joined(block, i), attention = gpu_attention_joined(block, i);
  const size_t n = heads > 1 ? heads : attention > 1 ? attention : gpu_products_joined(block, i);
  *n_operands = 0;
  for (const wh_step *s = &block->steps[i]; s < &block->steps[i] + n; s++)
    *n_operands += inputs_of(s) + s->n_outputs;
  return n;
}

wh_status gpu_compile(void *dev, const wh_block *block, wh_code **out) {
  gpu_device *d = dev;
  wh_code *code;
  size_t bytes;
  if (!wh_mul_size(block->n_steps, sizeof *code->rows, &bytes) || !wh_add_size(bytes, sizeof *code, &bytes))
    return WH_OOM("code");
  code = wh_alloc_zeroed(d->alloc, bytes);
  if (!code) return WH_OOM("code");
  code->block = *block;
  code->id = atomic_fetch_add(&d->n_codes, 1) + 1;
  wh_status st = WH_OK;
  for (size_t i = 0; i < block->n_steps && st == WH_OK; i++) {
    code->rows[i].op = d->ops[block->graph->nodes[block->steps[i].node].op];
    st = check_step(d, block, &block->steps[i]);
  }
  for (size_t i = 0; i < block->n_steps && st == WH_OK; i++) {
    size_t n;
    code->rows[i].n_joined = count_joined(block, i, &n);
    if (n > code->most_operands) code->most_operands = n;
  }
  if (st != WH_OK) {
    wh_free(d->alloc, code);
    return st;
  }
  *out = code;
  return WH_OK;
}

void gpu_code_destroy(void *dev, wh_code *code) { wh_free(((gpu_device *)dev)->alloc, code); }

void gpu_describe(void *dev, const wh_code *code, size_t step, wh_step_info *out) {
  out->kernel = code->rows[step].op->name;
  out->reason = ((const gpu_device *)dev)->reason;
}

/* ---- operands ---- */

int64_t gpu_elements(const gpu_operand *o) {
  int64_t n = 1;
  for (int i = 0; i < o->rank; i++) n *= o->dims[i];
  return n;
}
int64_t gpu_row_length(const gpu_operand *o) { return o->rank ? o->dims[o->rank - 1] : 1; }
int64_t gpu_rows(const gpu_operand *o) {
  int64_t n = 1;
  for (int i = 0; i + 1 < o->rank; i++) n *= o->dims[i];
  return n;
}

wh_status gpu_resolve_slot(const wh_frame *frame, uint32_t slot, uint64_t n_bytes, const char *node,
                           uint64_t *address) {
  const wh_buffer *b = frame->buffers[slot];
  if (!b) return WH_FAIL(ERR_INTERNAL, "node '%s': slot %u has no memory", node, slot);
  if (gpu_range(b, frame->offsets[slot], n_bytes) != WH_OK)
    return WH_FAIL(ERR_INTERNAL, "node '%s': slot %u lies outside its buffer", node, slot);
  *address = b->address + frame->offsets[slot];
  return WH_OK;
}

static wh_status resolve_arg(const wh_graph *g, const wh_frame *frame, const wh_arg *arg, const char *node,
                             gpu_operand *o) {
  memset(o, 0, sizeof *o);
  if (!arg->value) return WH_OK;
  const wh_value_info *info = &g->values[arg->value];
  const bool as_model = frame->as_model && frame->as_model[arg->slot];
  o->n_bytes = as_model ? info->n_bytes : frame->n_bytes[arg->slot];
  o->layout = as_model ? 0 : arg->layout;
  o->dtype = info->shape.dtype;
  o->rank = info->shape.rank;
  for (int i = 0; i < o->rank; i++) o->dims[i] = frame->dims[info->shape.dims[i]];
  WH_TRY(gpu_resolve_slot(frame, arg->slot, o->n_bytes, node, &o->address));
  if (o->layout || info->kind == WH_VALUE_CONST) return WH_OK; /* its size was the claim's */
  uint64_t need = 0;
  WH_TRY(gpu_value_bytes(NULL, g, arg->value, frame->dims, &need));
  if (need > o->n_bytes)
    return WH_FAIL(ERR_INTERNAL, "node '%s': slot %u has %llu bytes, %llu are needed", node, arg->slot,
                   (unsigned long long)o->n_bytes, (unsigned long long)need);
  return WH_OK;
}

/* A step with its operands in `operands`: how many those are. */
static wh_status resolve_step(const wh_code *code, size_t i, const wh_frame *frame, uint64_t fault,
                              gpu_operand *operands, gpu_step *out, size_t *n_operands) {
  const wh_graph *g = code->block.graph;
  const wh_step *at = &code->block.steps[i];
  const wh_node_info *node = &g->nodes[at->node];
  const wh_arg *args = code->block.args + at->first_arg;
  const size_t n_inputs = inputs_of(at);
  *out = (gpu_step){.graph = g,
                    .node = node,
                    .index = at->node,
                    .in = operands,
                    .out = operands + n_inputs,
                    .fault = fault};
  *n_operands = n_inputs + at->n_outputs;
  memset(operands, 0, *n_operands * sizeof *operands);
  for (size_t k = 0; k < at->n_inputs; k++) WH_TRY(resolve_arg(g, frame, &args[k], node->name, &operands[k]));
  for (size_t k = 0; k < at->n_outputs; k++)
    WH_TRY(resolve_arg(g, frame, &args[at->n_inputs + k], node->name, &operands[n_inputs + k]));
  if (at->scratch == WH_NO_SLOT) return WH_OK;
  if (at->scratch >= code->block.n_slots)
    return WH_FAIL(ERR_INTERNAL, "node '%s': its scratch is no slot", node->name);
  out->scratch_bytes = frame->n_bytes[at->scratch];
  return gpu_resolve_slot(frame, at->scratch, out->scratch_bytes, node->name, &out->scratch);
}

wh_status gpu_emit_steps(gpu_emit *e, const wh_code *code, size_t first, size_t end, const wh_frame *frame,
                         uint64_t fault, gpu_operand *operands, size_t *n_done) {
  const gpu_row *row = &code->rows[first];
  const size_t n = row->n_joined < end - first ? row->n_joined : end - first;
  gpu_step steps[GPU_MOST_JOINED];
  for (size_t i = 0, n_operands = 0; i < n; i++, operands += n_operands)
    WH_TRY(resolve_step(code, first + i, frame, fault, operands, &steps[i], &n_operands));
  *n_done = n;
  const wh_op op = steps[0].node->op;
  if ((n == 1                                      ? row->op->emit(e, steps)
       : op == WH_OP_ROPE || op == WH_OP_KV_APPEND ? gpu_emit_heads(e, steps, n)
       : op == WH_OP_ATTENTION                     ? gpu_emit_attention_codes(e, steps)
                                                   : gpu_emit_products(e, steps, n)) == WH_OK)
    return WH_OK;
  return wh_fail_prefix("node '%s' (%s)", steps[0].node->name, wh_op_get(steps[0].node->op)->name);
}
