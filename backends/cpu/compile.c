/* compile.c - from a block's steps to kernels, and from kernels and a frame to instructions. */
#include <string.h>

#include "backends/cpu/cpu_internal.h"

/* ---- compiling ---- */

static wh_status compile_step(const cpu_device *d, const wh_block *block, const wh_step *step,
                              cpu_kernel *k) {
  const wh_graph *g = block->graph;
  const wh_node_info *node = &g->nodes[step->node];
  const wh_arg *args = block->args + step->first_arg;
  const cpu_op *op = &wh_cpu_ops[node->op];
  if (!op->compile)
    return WH_FAIL(ERR_UNSUPPORTED, "node '%s' (%s): the cpu has no kernel", node->name,
                   wh_op_get(node->op)->name);
  for (unsigned i = 0; i < (unsigned)step->n_inputs + step->n_outputs; i++) {
    const bool has_slot = args[i].slot < block->n_slots;
    if (args[i].value ? !has_slot : i >= step->n_inputs)
      return WH_FAIL(ERR_INTERNAL, "node '%s': operand %u has no slot", node->name, i);
    if (args[i].layout && (int)i != wh_cpu_weight_input(node))
      return WH_FAIL(ERR_INTERNAL, "node '%s': operand %u has no layout %u", node->name, i, args[i].layout);
  }
  k->node = node;
  k->index = step->node;
  k->reason = d->reason;
  return op->compile(d, g, args, k);
}

static size_t inputs_of(const wh_step *step) {
  return step->n_inputs < CPU_LEAST_INPUTS ? CPU_LEAST_INPUTS : step->n_inputs;
}

wh_status wh_cpu_compile(void *dev, const wh_block *block, wh_code **out) {
  const cpu_device *d = dev;
  wh_code *code = wh_alloc_zeroed(d->alloc, sizeof *code);
  if (!code) return WH_OOM("code");
  code->block = *block;
  code->kernels = wh_alloc_array(d->alloc, block->n_steps, sizeof *code->kernels);
  wh_status st = code->kernels ? WH_OK : WH_OOM("code");
  for (size_t i = 0; i < block->n_steps && st == WH_OK; i++)
    st = compile_step(d, block, &block->steps[i], &code->kernels[i]);
  for (size_t i = 0; i < block->n_steps; i++)
    code->n_operands += inputs_of(&block->steps[i]) + block->steps[i].n_outputs;
  if (st != WH_OK) {
    wh_free(d->alloc, code->kernels);
    wh_free(d->alloc, code);
    return st;
  }
  *out = code;
  return WH_OK;
}

void wh_cpu_code_destroy(void *dev, wh_code *code) {
  cpu_device *d = dev;
  if (!code) return;
  wh_cpu_queues_forget(d, code);
  wh_free(d->alloc, code->kernels);
  wh_free(d->alloc, code);
}

void wh_cpu_describe(void *dev, const wh_code *code, size_t step, wh_step_info *out) {
  (void)dev;
  out->kernel = code->kernels[step].name;
  out->reason = code->kernels[step].reason;
}

/* ---- operands ---- */

int64_t wh_cpu_elements(const cpu_operand *o) {
  int64_t n = 1;
  for (int i = 0; i < o->rank; i++) n *= o->dims[i];
  return n;
}
int64_t wh_cpu_row_length(const cpu_operand *o) { return o->rank ? o->dims[o->rank - 1] : 1; }
int64_t wh_cpu_rows(const cpu_operand *o) {
  int64_t n = 1;
  for (int i = 0; i + 1 < o->rank; i++) n *= o->dims[i];
  return n;
}

void wh_cpu_report_index(const cpu_instr *in, int64_t value) {
  const uint32_t node_plus_1 = in->kernel->index + 1;
  wh_fault *f = in->fault;
  if (f && (!f->node_plus_1 || node_plus_1 < f->node_plus_1))
    *f = (wh_fault){node_plus_1, WH_FAULT_INDEX, value};
}

void wh_cpu_report_weight(const cpu_instr *in) {
  const uint32_t node_plus_1 = in->kernel->index + 1;
  uint32_t first = atomic_load_explicit(in->bad_weight, memory_order_relaxed);
  while ((!first || node_plus_1 < first) &&
         !atomic_compare_exchange_weak_explicit(in->bad_weight, &first, node_plus_1, memory_order_relaxed,
                                                memory_order_relaxed)) {
  }
}

/* ---- binding ---- */

static wh_status resolve_slot(const wh_frame *frame, uint32_t slot, uint64_t n_bytes,
                              const wh_node_info *node, char **data) {
  const wh_buffer *b = frame->buffers[slot];
  if (!b) return WH_FAIL(ERR_INTERNAL, "node '%s': slot %u has no memory", node->name, slot);
  if (frame->offsets[slot] > b->n_bytes || n_bytes > b->n_bytes - frame->offsets[slot])
    return WH_FAIL(ERR_INTERNAL, "node '%s': slot %u lies outside its buffer", node->name, slot);
  *data = b->data + frame->offsets[slot];
  return WH_OK;
}

static wh_status resolve_arg(const wh_graph *g, const wh_frame *frame, const wh_arg *arg,
                             const wh_node_info *node, cpu_operand *o) {
  if (!arg->value) return WH_OK; /* and `o` is none in any frame */
  const wh_shape *s = &g->values[arg->value].shape;
  char *data;
  o->as_model = frame->as_model && frame->as_model[arg->slot];
  const uint64_t n_bytes = o->as_model ? g->values[arg->value].n_bytes : frame->n_bytes[arg->slot];
  WH_TRY(resolve_slot(frame, arg->slot, n_bytes, node, &data));
  o->data = data;
  o->dtype = s->dtype;
  o->rank = s->rank;
  for (int i = 0; i < s->rank; i++) o->dims[i] = frame->dims[s->dims[i]];
  return WH_OK;
}

static wh_status resolve_scratch(const cpu_device *d, const wh_frame *frame, const wh_step *step,
                                 const wh_node_info *node, cpu_instr *in) {
  char *data;
  if (step->scratch == WH_NO_SLOT) return WH_OK;
  WH_TRY(resolve_slot(frame, step->scratch, frame->n_bytes[step->scratch], node, &data));
  in->scratch = data;
  in->scratch_bytes = (size_t)frame->n_bytes[step->scratch];
  in->worker_scratch = in->scratch_bytes / (size_t)wh_team_size(d->team) / WH_ALIGN_SIMD * WH_ALIGN_SIMD;
  return WH_OK;
}

wh_status wh_cpu_resolve(const cpu_device *d, const wh_code *code, const wh_frame *frame,
                         atomic_uint *bad_weight, cpu_instr *instrs, cpu_operand *operands) {
  const wh_block *block = &code->block;
  char *fault = NULL;
  for (size_t i = 0; i < block->n_steps; i++) {
    const wh_step *step = &block->steps[i];
    const wh_arg *args = block->args + step->first_arg;
    const wh_node_info *node = code->kernels[i].node;
    cpu_instr *in = &instrs[i];
    if (i == 0 && frame->fault != WH_NO_SLOT)
      WH_TRY(resolve_slot(frame, frame->fault, frame->n_bytes[frame->fault], node, &fault));
    *in = (cpu_instr){.kernel = &code->kernels[i],
                      .in = operands,
                      .out = operands + inputs_of(step),
                      .step = 1 + 2 * (uint32_t)i,
                      .barrier = i > 0 && step->phase != step[-1].phase,
                      .fault = (wh_fault *)(void *)fault,
                      .bad_weight = bad_weight};
    for (unsigned k = 0; k < (unsigned)step->n_inputs + step->n_outputs; k++) {
      const size_t at = k < step->n_inputs ? k : inputs_of(step) + k - step->n_inputs;
      WH_TRY(resolve_arg(block->graph, frame, &args[k], node, &operands[at]));
    }
    operands += inputs_of(step) + step->n_outputs;
    WH_TRY(resolve_scratch(d, frame, step, node, in));
  }
  return WH_OK;
}
