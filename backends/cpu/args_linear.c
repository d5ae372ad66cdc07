/* args_linear.c - products: their kernels, and their operands as the kernels take them. */
#include "backends/cpu/cpu_internal.h"

static void run_linear_q(const cpu_instr *in, const wh_worker *worker) {
  bool not_finite = false;
  const bool packs = in->in[1].as_model;
  const size_t room = wh_cpu_packs_as_it_goes(in->kernel->node, &in->kernel->layout.matrix)
                          ? wh_linear_panel_room(&in->kernel->layout.matrix)
                          : 0;
  const wh_linear_q_args a = {
      .layout = &in->kernel->layout.matrix,
      .w = in->in[1].data,
      .x = in->in[0].data,
      .m = in->in[0].dims[0],
      .y = in->out->data,
      .ldy = in->out->dims[1],
      .bias = in->in[2].data,
      .residual = in->in[3].data,
      .ldr = in->out->dims[1],
      .step = in->step,
      .fetch = packs ? WH_CPU_FETCH : in->kernel->fetch,
      .scratch = (char *)in->scratch + (size_t)worker->count * room, /* behind the workers' panels */
      .panel = packs ? (char *)in->scratch + (size_t)worker->index * room : NULL,
      .not_finite = &not_finite};
  in->kernel->linear_q(&a, worker);
  if (not_finite) wh_cpu_report_weight(in);
}

static wh_linear_f_args linear_f_args(const cpu_instr *in) {
  return (wh_linear_f_args){.layout = &in->kernel->layout.matrix,
                            .w = in->in[1].data,
                            .x = in->in[0].data,
                            .ldx = in->in[0].dims[1],
                            .m = in->in[0].dims[0],
                            .y = in->out->data,
                            .ldy = in->out->dims[1],
                            .bias = in->in[2].data,
                            .residual = in->in[3].data,
                            .ldr = in->out->dims[1],
                            .features = in->kernel->features,
                            .step = in->step,
                            .scratch = in->scratch,
                            .scratch_bytes = in->worker_scratch};
}

static void run_linear_f(const cpu_instr *in, const wh_worker *worker) {
  const wh_linear_f_args a = linear_f_args(in);
  in->kernel->linear_f(&a, worker);
}

static void run_linear_blas(const cpu_instr *in, const wh_worker *worker) {
  const wh_linear_f_args a = linear_f_args(in);
  wh_fast_blas_linear(in->kernel->blas, &a, worker);
}

static void run_expert_linear(const cpu_instr *in, const wh_worker *worker) {
  const cpu_kernel *k = in->kernel;
  const wh_expert_linear_args a = {.layout = &k->layout,
                                   .features = k->features,
                                   .linear_q = k->linear_q,
                                   .linear_f = k->linear_f,
                                   .fetch = k->fetch,
                                   .w = in->in[1].data,
                                   .x = in->in[0].data,
                                   .per_slot = in->in[0].rank == 3,
                                   .tokens = in->in[2].dims[0],
                                   .slots = in->in[2].dims[1],
                                   .selected = in->in[2].data,
                                   .y = in->out->data,
                                   .step = in->step,
                                   .scratch = in->scratch,
                                   .scratch_bytes = in->worker_scratch};
  wh_expert_linear(&a, worker);
}

/* The weight's layout, as core chose it, and the kernel for its type. */
static wh_status choose_kernel(const cpu_device *d, const wh_graph *g, const wh_arg *weight, cpu_kernel *k) {
  WH_TRY(wh_cpu_weight_layout(d, g, &g->values[weight->value].shape, &k->layout));
  if (weight->layout != k->layout.matrix.id)
    return WH_FAIL(ERR_INTERNAL, "node '%s': weights in layout %u, not %u", k->node->name, weight->layout,
                   k->layout.matrix.id);
  const wh_dtype dtype = k->layout.matrix.dtype;
  if (dtype == WH_DTYPE_F32) {
    k->features = d->features;
    k->linear_f = wh_linear_f_select(d->features, dtype, &k->name);
    return WH_OK;
  }
  k->linear_q = wh_linear_h_has(dtype) ? wh_linear_h_select(d->features, dtype, &k->name)
                                       : wh_linear_q_select(d->features, dtype, &k->name);
  k->fetch = d->fetch;
  k->reason = d->product_reason;
  return WH_OK;
}

wh_status wh_cpu_compile_linear(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k) {
  WH_TRY(choose_kernel(d, g, &args[1], k));
  k->run = k->linear_q ? run_linear_q : run_linear_f;
  if (d->blas.library && k->layout.matrix.dtype == WH_DTYPE_F32) {
    k->blas = &d->blas;
    k->name = "linear_f32__openblas";
    k->reason = "numerics fast";
    k->run = run_linear_blas;
  }
  return WH_OK;
}

wh_status wh_cpu_compile_expert_linear(const cpu_device *d, const wh_graph *g, const wh_arg *args,
                                       cpu_kernel *k) {
  k->run = run_expert_linear;
  return choose_kernel(d, g, &args[1], k);
}
