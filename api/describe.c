/* describe.c - what there is to say of a program, for sessions and runners. */
#include "api/api_internal.h"

wh_status wh_describe_instruction(const wh_program *p, uint32_t i, wh_instruction_info *info) {
  if (i >= p->n_steps) return WH_FAIL(ERR_NOT_FOUND, "no instruction %u", i);
  wh_program_step_info step;
  wh_program_describe(p, i, &step);
  wh_instruction_info full = WH_INSTRUCTION_INFO_INIT;
  full.barrier = step.barrier;
  full.node = step.node->name;
  full.op = wh_op_get(step.node->op)->name;
  full.kernel = step.kernel;
  full.reason = step.reason;
  full.weight_bytes = step.weight_bytes;
  full.device = step.device;
  WH_WRITE_INFO(info, full);
  return WH_OK;
}

wh_status wh_describe_program(const wh_run *run, wh_program_info *info) {
  const wh_program *p = wh_run_program(run);
  wh_run_memory m;
  wh_program_predict_memory(p, wh_run_layout(run), &m);
  wh_program_info full = WH_PROGRAM_INFO_INIT;
  full.n_instructions = (uint32_t)p->n_steps;
  full.activations = m.arena_bytes;
  full.activations_lower_bound = m.arena.lower_bound_bytes;
  full.activations_unshared = m.arena.unshared_bytes;
  full.states = m.state_bytes;
  full.packed_weights = m.weights.packed_bytes;
  full.mapped_weights = m.weights.mapped_bytes;
  WH_WRITE_INFO(info, full);
  return WH_OK;
}

wh_status wh_describe_plan(const wh_run *run, const wh_allocator *alloc, char **out) {
  wh_text_buffer b;
  wh_text_buffer_init(&b, alloc);
  wh_program_print(wh_run_program(run), wh_run_layout(run), &b);
  wh_status st = wh_string_give(&b, "plan text", out);
  wh_text_buffer_deinit(&b);
  return st;
}

wh_status wh_describe_graph(const wh_graph *g, const wh_allocator *alloc, char **out) {
  wh_text_buffer b;
  wh_text_buffer_init(&b, alloc);
  wh_status st = wh_graph_print(g, &b);
  if (st == WH_OK) st = wh_string_give(&b, "graph text", out);
  wh_text_buffer_deinit(&b);
  return st;
}
