/* args_rowops.c - row ops, by family: operands as the kernels take them. kernels_rowops.def says which kernel
 * is whose. */
#include <string.h>

#include "backends/cpu/cpu_internal.h"

static wh_norm_args norm_args(const cpu_instr *in) {
  const cpu_operand *x = &in->in[0];
  int64_t n = wh_cpu_row_length(x);
  const bool q8a = in->out->dtype == WH_DTYPE_Q8A;
  return (wh_norm_args){.rows = wh_cpu_rows(x),
                        .n = n,
                        .ldx = n,
                        .ldy = n,
                        .x = x->data,
                        .w = in->in[1].data,
                        .b = in->in[2].data,
                        .eps = wh_node_f(in->kernel->node, WH_ATTR_EPS),
                        .y = q8a ? NULL : in->out->data,
                        .q8a = q8a ? in->out->data : NULL};
}
static void run_norm(const cpu_instr *in, const wh_worker *worker) {
  const wh_norm_args a = norm_args(in);
  in->kernel->rowop.norm(&a, worker);
}
static void run_norm_q8a(const cpu_instr *in, const wh_worker *worker) {
  const wh_norm_args a = norm_args(in);
  in->kernel->rowop.norm_q8a(&a, worker);
}

static void run_quantize_wide(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0];
  const int64_t n = wh_cpu_row_length(x);
  const wh_quantize_wide_args a = {wh_cpu_rows(x), n, n, x->data, in->out->data};
  in->kernel->rowop.quantize_wide(&a, worker);
}

static void run_quantize_act(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0];
  int64_t n = wh_cpu_row_length(x);
  const wh_quantize_act_args a = {wh_cpu_rows(x), n, n, x->data, in->out->data};
  in->kernel->rowop.quantize_act(&a, worker);
}

static void run_rope_table(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *freqs = &in->in[1];
  const wh_rope_table_args a = {.rows = in->in[0].dims[0],
                                .n_freq = freqs->dims[freqs->rank - 1],
                                .positions = in->in[0].data,
                                .inv_freq = freqs->data,
                                .ld_inv_freq = freqs->rank == 2 ? freqs->dims[1] : 0,
                                .mscale = wh_node_f(in->kernel->node, WH_ATTR_MSCALE),
                                .y = in->out->data};
  in->kernel->rowop.rope_table(&a, worker);
}

static void run_rope(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0];
  const wh_rope_args a = {.rows = x->dims[0],
                          .heads = x->dims[1],
                          .head_dim = x->dims[2],
                          .n_freq = in->in[1].dims[2],
                          .ldx = x->dims[1] * x->dims[2],
                          .ldy = x->dims[1] * x->dims[2],
                          .neox = wh_node_i(in->kernel->node, WH_ATTR_NEOX) != 0,
                          .x = x->data,
                          .table = in->in[1].data,
                          .y = in->out->data};
  in->kernel->rowop.rope(&a, worker);
}

static wh_gated_args gated_args(const cpu_instr *in) {
  const cpu_operand *x = &in->in[0];
  int64_t n = wh_cpu_row_length(x);
  const bool q8a = in->out->dtype == WH_DTYPE_Q8A;
  return (wh_gated_args){.rows = wh_cpu_rows(x),
                         .n = n,
                         .lda = n,
                         .ldb = n,
                         .ldy = n,
                         .a = x->data,
                         .b = in->in[1].data,
                         .y = q8a ? NULL : in->out->data,
                         .q8a = q8a ? in->out->data : NULL};
}
static void run_gated(const cpu_instr *in, const wh_worker *worker) {
  const wh_gated_args a = gated_args(in);
  in->kernel->rowop.gated(&a, worker);
}
static void run_gated_q8a(const cpu_instr *in, const wh_worker *worker) {
  const wh_gated_args a = gated_args(in);
  in->kernel->rowop.gated_q8a(&a, worker);
}

static wh_gather_rows_args gather_args(const cpu_instr *in) {
  const cpu_operand *table = &in->in[0], *ids = &in->in[1];
  return (wh_gather_rows_args){.dtype = table->dtype,
                               .n_ids = ids->dims[0],
                               .table_rows = table->dims[0],
                               .n = table->dims[1],
                               .ids = ids->data,
                               .table = table->data,
                               .y = in->out->data,
                               .scale = 1.0f};
}

/* The first id without a row: kernels make zeros of it. */
static void report_id(const cpu_instr *in, const wh_gather_rows_args *a, const wh_worker *worker) {
  for (int64_t i = 0; i < a->n_ids && worker->index == 0; i++)
    if (!wh_gather_has_row(a, i)) {
      wh_cpu_report_index(in, a->ids[i]);
      return;
    }
}

static void run_gather_rows(const cpu_instr *in, const wh_worker *worker) {
  const wh_gather_rows_args a = gather_args(in);
  report_id(in, &a, worker);
  in->kernel->rowop.gather_rows(&a, worker);
}

/* Out of the panels of a product that shares the table. */
static void run_gather_packed(const cpu_instr *in, const wh_worker *worker) {
  if (in->in[0].as_model) {
    run_gather_rows(in, worker);
    return;
  }
  const wh_linear_layout *l = &in->kernel->layout.matrix;
  const wh_gather_rows_args a = gather_args(in);
  report_id(in, &a, worker);
  int64_t begin, end;
  wh_worker_range(worker, a.n_ids, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    float *y = a.y + i * l->k;
    if (!wh_gather_has_row(&a, i))
      memset(y, 0, (size_t)l->k * sizeof *y);
    else if (wh_dtype_is_quantised(l->dtype))
      wh_linear_q_unpack_row(l, a.table, a.ids[i], y);
    else
      wh_linear_f_unpack_row(l, a.table, a.ids[i], y); /* F32: of 16-bit values no table is packed */
  }
}

static void run_binary(const cpu_instr *in, const wh_worker *worker) {
  const wh_binary_args a = {wh_cpu_elements(&in->in[0]), wh_cpu_elements(&in->in[1]), in->in[0].data,
                            in->in[1].data, in->out->data};
  if (a.n > 0) in->kernel->rowop.binary(&a, worker);
}

static void run_unary(const cpu_instr *in, const wh_worker *worker) {
  const wh_attr *alpha = wh_node_attr(in->kernel->node, WH_ATTR_ALPHA);
  const wh_unary_args a = {wh_cpu_elements(&in->in[0]), in->in[0].data, in->out->data,
                           alpha ? alpha->f : 0.0f};
  in->kernel->rowop.unary(&a, worker);
}

static void run_softmax(const cpu_instr *in, const wh_worker *worker) {
  int64_t n = wh_cpu_row_length(&in->in[0]);
  const wh_softmax_args a = {wh_cpu_rows(&in->in[0]), n, n, n, in->in[0].data, in->out->data};
  in->kernel->rowop.softmax(&a, worker);
}

static void run_expert_select(const cpu_instr *in, const wh_worker *worker) {
  const wh_expert_select_args a = {in->out->dims[0], in->in[0].dims[1], in->out->dims[1], in->in[0].data,
                                   in->out->data};
  in->kernel->rowop.expert_select(&a, worker);
}

static void run_expert_weights(const cpu_instr *in, const wh_worker *worker) {
  const wh_expert_weights_args a = {.rows = in->out->dims[0],
                                    .n = in->in[0].dims[1],
                                    .used = in->out->dims[1],
                                    .p = in->in[0].data,
                                    .selected = in->in[1].data,
                                    .normalise = wh_node_i(in->kernel->node, WH_ATTR_NORMALISE) != 0,
                                    .scale = wh_node_f(in->kernel->node, WH_ATTR_SCALE),
                                    .y = in->out->data};
  in->kernel->rowop.expert_weights(&a, worker);
}

static void run_expert_sum(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0];
  const wh_expert_sum_args a = {x->dims[0],     x->dims[1],     x->dims[2],   x->data,
                                in->in[1].data, in->in[2].data, in->out->data};
  in->kernel->rowop.expert_sum(&a, worker);
}

/* A table that core keeps packed for a product. */
static wh_status compile_packed(const cpu_device *d, const wh_graph *g, const wh_arg *table, cpu_kernel *k) {
  WH_TRY(wh_cpu_weight_layout(d, g, &g->values[table->value].shape, &k->layout));
  if (table->layout != k->layout.matrix.id)
    return WH_FAIL(ERR_INTERNAL, "node '%s': a table in layout %u, not %u", k->node->name, table->layout,
                   k->layout.matrix.id);
  k->name = "gather_rows__packed";
  k->reason = "the table is packed for a product";
  k->run = run_gather_packed;
  k->rowop.gather_rows = d->rowops.gather_rows;
  return WH_OK;
}

wh_status wh_cpu_compile_rowop(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k) {
  const int table = wh_cpu_weight_input(k->node);
  if (table >= 0 && args[table].layout) return compile_packed(d, g, &args[table], k);
  if (!wh_cpu_rowop_takes(g, k->node)) return wh_cpu_compile_map(d, g, args, k);
  switch (k->node->op) {
#define WH_ROWOP(op, op_name, family, levels) \
  case WH_OP_##op:                            \
    k->run = run_##family;                    \
    k->rowop.family = d->rowops.op_name;      \
    k->name = d->rowops.op_name##_name;       \
    return WH_OK;
#define WH_ROWOP_ALSO(op, op_name, family) WH_ROWOP(op, op_name, family, )
#include "backends/cpu/kernels_rowops.def"
    default:
      return WH_FAIL(ERR_INTERNAL, "node '%s' is no row op", k->node->name);
  }
}
