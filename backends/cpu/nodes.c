/* nodes.c - from core nodes to kernels: what each op needs (claim), which kernel runs it (compile), and the
 * few lines that turn an instruction's operands into the kernel's arguments (run_*). */
#include <stdio.h>
#include <string.h>

#include "backends/cpu/attention.h"
#include "backends/cpu/cpu_internal.h"
#include "backends/cpu/expert_linear.h"
#include "backends/cpu/linear_f.h"
#include "backends/cpu/linear_q.h"

/* kernel_data of products and attention; row ops use the device's table */
typedef struct cpu_kernel {
  wh_expert_layout layout; /* a plain product is that of one expert */
  wh_linear_q_fn linear_q;
  wh_linear_f_fn linear_f;
  bool past_caches; /* of linear_q */
  size_t worker_scratch;
  const wh_fast_blas *blas;
  wh_attention_fn attention;
  wh_kv_append_fn kv_append;
} cpu_kernel;

static int64_t dim_max(const wh_graph *g, const wh_shape *s, int axis, const int64_t *max) {
  return wh_dim_eval(&g->dims, s->dims[axis], max);
}

/* ---- operands ---- */

static int64_t elements(const wh_operand *o) {
  int64_t n = 1;
  for (int i = 0; i < o->rank; i++) n *= o->dims[i];
  return n;
}
static int64_t row_length(const wh_operand *o) { return o->rank ? o->dims[o->rank - 1] : 1; }
static int64_t n_rows(const wh_operand *o) {
  int64_t n = 1;
  for (int i = 0; i + 1 < o->rank; i++) n *= o->dims[i];
  return n;
}

/* ---- running ---- */

static void run_linear_q(const wh_instr *in, const void *worker) {
  const cpu_kernel *k = in->kernel_data;
  const wh_linear_q_args a = {.layout = &k->layout.matrix,
                              .w = in->in[1].data,
                              .x = in->in[0].data,
                              .m = in->in[0].dims[0],
                              .y = in->out.data,
                              .ldy = in->out.dims[1],
                              .bias = in->in[2].data,
                              .residual = in->in[3].data,
                              .ldr = in->out.dims[1],
                              .step = in->step,
                              .past_caches = k->past_caches};
  k->linear_q(&a, worker);
}

static wh_linear_f_args linear_f_args(const wh_instr *in) {
  const cpu_kernel *k = in->kernel_data;
  return (wh_linear_f_args){.layout = &k->layout.matrix,
                            .w = in->in[1].data,
                            .x = in->in[0].data,
                            .ldx = in->in[0].dims[1],
                            .m = in->in[0].dims[0],
                            .y = in->out.data,
                            .ldy = in->out.dims[1],
                            .bias = in->in[2].data,
                            .residual = in->in[3].data,
                            .ldr = in->out.dims[1],
                            .step = in->step,
                            .scratch = in->scratch,
                            .scratch_bytes = k->worker_scratch};
}

static void run_linear_f(const wh_instr *in, const void *worker) {
  const wh_linear_f_args a = linear_f_args(in);
  ((const cpu_kernel *)in->kernel_data)->linear_f(&a, worker);
}

static void run_linear_blas(const wh_instr *in, const void *worker) {
  const wh_linear_f_args a = linear_f_args(in);
  wh_fast_blas_linear(((const cpu_kernel *)in->kernel_data)->blas, &a, worker);
}

static void run_expert_linear(const wh_instr *in, const void *worker) {
  const cpu_kernel *k = in->kernel_data;
  const wh_expert_linear_args a = {.layout = &k->layout,
                                   .linear_q = k->linear_q,
                                   .linear_f = k->linear_f,
                                   .past_caches = k->past_caches,
                                   .w = in->in[1].data,
                                   .x = in->in[0].data,
                                   .per_slot = in->in[0].rank == 3,
                                   .tokens = in->in[2].dims[0],
                                   .slots = in->in[2].dims[1],
                                   .selected = in->in[2].data,
                                   .y = in->out.data,
                                   .step = in->step,
                                   .scratch = in->scratch,
                                   .scratch_bytes = k->worker_scratch};
  wh_expert_linear(&a, worker);
}

static void run_kv_append(const wh_instr *in, const void *worker) {
  const cpu_kernel *k = in->kernel_data;
  const wh_operand *state = &in->in[0], *x = &in->in[1];
  const wh_kv_append_args a = {
      .dtype = state->dtype,
      .is_key = wh_node_i(in->node, WH_ATTR_KEY) != 0,
      .rows = x->dims[0],
      .n_kv_heads = x->dims[1],
      .head_dim = x->dims[2],
      .context = (state->dims[1] + WH_ATTENTION_CHUNK - 1) / WH_ATTENTION_CHUNK * WH_ATTENTION_CHUNK,
      .x = x->data,
      .ldx = x->dims[1] * x->dims[2],
      .positions = in->in[2].data,
      .sequences = in->in[3].data,
      .cache = state->data};
  k->kv_append(&a, worker);
}

static void run_attention(const wh_instr *in, const void *worker) {
  const cpu_kernel *k = in->kernel_data;
  const wh_operand *q = &in->in[0], *keys = &in->in[1], *values = &in->in[2];
  const wh_attention_args a = {
      .dtype = keys->dtype,
      .rows = q->dims[0],
      .n_heads = q->dims[1],
      .n_kv_heads = keys->dims[2],
      .head_dim = q->dims[2],
      .value_dim = values->dims[3],
      .context = (keys->dims[1] + WH_ATTENTION_CHUNK - 1) / WH_ATTENTION_CHUNK * WH_ATTENTION_CHUNK,
      .q = q->data,
      .ldq = q->dims[1] * q->dims[2],
      .keys = keys->data,
      .values = values->data,
      .positions = in->in[3].data,
      .sequences = in->in[4].data,
      .scale = wh_node_f(in->node, WH_ATTR_SCALE),
      .softcap = wh_node_f(in->node, WH_ATTR_SOFTCAP),
      .window = wh_node_i(in->node, WH_ATTR_WINDOW),
      .y = in->out.data,
      .ldy = q->dims[1] * values->dims[3],
      .step = in->step,
      .scratch = in->scratch,
      .scratch_bytes = in->scratch_bytes};
  if (a.rows > 0) k->attention(&a, worker);
}

static const wh_rowops *rowops(const wh_instr *in) { return in->kernel_data; }

static void run_gather_rows(const wh_instr *in, const void *worker) {
  const wh_operand *table = &in->in[0], *ids = &in->in[1];
  const wh_gather_rows_args a = {.dtype = table->dtype,
                                 .n_ids = ids->dims[0],
                                 .table_rows = table->dims[0],
                                 .n = table->dims[1],
                                 .ids = ids->data,
                                 .table = table->data,
                                 .y = in->out.data,
                                 .scale = 1.0f};
  rowops(in)->gather_rows(&a, worker);
}

/* Out of the panels of a product that shares the table. */
static void run_gather_packed(const wh_instr *in, const void *worker) {
  const wh_linear_layout *l = &((const cpu_kernel *)in->kernel_data)->layout.matrix;
  const int32_t *ids = in->in[1].data;
  float *y = in->out.data;
  int64_t begin, end;
  wh_worker_range(worker, in->in[1].dims[0], &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    if (wh_dtype_is_quantised(l->dtype))
      wh_linear_q_unpack_row(l, in->in[0].data, ids[i], y + i * l->k);
    else
      wh_linear_f_unpack_row(l, in->in[0].data, ids[i], y + i * l->k);
  }
}

static void run_quantize_act(const wh_instr *in, const void *worker) {
  const wh_operand *x = &in->in[0];
  const wh_quantize_act_args a = {n_rows(x), row_length(x), row_length(x), x->data, in->out.data};
  rowops(in)->quantize_act(&a, worker);
}

static wh_norm_args norm_args(const wh_instr *in) {
  const wh_operand *x = &in->in[0];
  int64_t n = row_length(x);
  return (wh_norm_args){.rows = n_rows(x),
                        .n = n,
                        .ldx = n,
                        .ldy = n,
                        .x = x->data,
                        .w = in->in[1].data,
                        .b = in->in[2].data,
                        .eps = wh_node_f(in->node, WH_ATTR_EPS),
                        .y = in->out.dtype == WH_DTYPE_Q8A ? NULL : in->out.data,
                        .q8a = in->out.dtype == WH_DTYPE_Q8A ? in->out.data : NULL};
}
static void run_rms_norm(const wh_instr *in, const void *worker) {
  const wh_norm_args a = norm_args(in);
  rowops(in)->rms_norm(&a, worker);
}
static void run_rms_norm_quantize(const wh_instr *in, const void *worker) {
  const wh_norm_args a = norm_args(in);
  rowops(in)->rms_norm_q8a(&a, worker);
}
static void run_layer_norm(const wh_instr *in, const void *worker) {
  const wh_norm_args a = norm_args(in);
  rowops(in)->layer_norm(&a, worker);
}

static void run_rope_table(const wh_instr *in, const void *worker) {
  const wh_rope_table_args a = {in->in[0].dims[0],
                                in->in[1].dims[0],
                                in->in[0].data,
                                in->in[1].data,
                                wh_node_f(in->node, WH_ATTR_MSCALE),
                                in->out.data};
  rowops(in)->rope_table(&a, worker);
}

static void run_rope(const wh_instr *in, const void *worker) {
  const wh_operand *x = &in->in[0];
  const wh_rope_args a = {.rows = x->dims[0],
                          .heads = x->dims[1],
                          .head_dim = x->dims[2],
                          .n_freq = in->in[1].dims[2],
                          .ldx = x->dims[1] * x->dims[2],
                          .ldy = x->dims[1] * x->dims[2],
                          .neox = wh_node_i(in->node, WH_ATTR_NEOX) != 0,
                          .x = x->data,
                          .table = in->in[1].data,
                          .y = in->out.data};
  rowops(in)->rope(&a, worker);
}

static wh_gated_args gated_args(const wh_instr *in) {
  const wh_operand *x = &in->in[0];
  int64_t n = row_length(x);
  return (wh_gated_args){.rows = n_rows(x),
                         .n = n,
                         .lda = n,
                         .ldb = n,
                         .ldy = n,
                         .a = x->data,
                         .b = in->in[1].data,
                         .y = in->out.dtype == WH_DTYPE_Q8A ? NULL : in->out.data,
                         .q8a = in->out.dtype == WH_DTYPE_Q8A ? in->out.data : NULL};
}

#define RUN_GATED(op)                                            \
  static void run_##op(const wh_instr *in, const void *worker) { \
    const wh_gated_args a = gated_args(in);                      \
    rowops(in)->op(&a, worker);                                  \
  }
RUN_GATED(swiglu)
RUN_GATED(swiglu_q8a)
RUN_GATED(geglu)
RUN_GATED(geglu_q8a)

#define RUN_BINARY(op)                                                                                    \
  static void run_##op(const wh_instr *in, const void *worker) {                                          \
    const wh_binary_args a = {elements(&in->in[0]), elements(&in->in[1]), in->in[0].data, in->in[1].data, \
                              in->out.data};                                                              \
    if (a.n > 0) rowops(in)->op(&a, worker);                                                              \
  }
RUN_BINARY(add)
RUN_BINARY(sub)
RUN_BINARY(mul)
RUN_BINARY(div)

#define RUN_UNARY(op)                                                                                      \
  static void run_##op(const wh_instr *in, const void *worker) {                                           \
    const wh_attr *alpha = wh_node_attr(in->node, WH_ATTR_ALPHA);                                          \
    const wh_unary_args a = {elements(&in->in[0]), in->in[0].data, in->out.data, alpha ? alpha->f : 0.0f}; \
    rowops(in)->op(&a, worker);                                                                            \
  }
RUN_UNARY(scale)
RUN_UNARY(softcap)
RUN_UNARY(silu)
RUN_UNARY(gelu)
RUN_UNARY(gelu_erf)
RUN_UNARY(relu)
RUN_UNARY(tanh)
RUN_UNARY(sigmoid)
RUN_UNARY(exp)
RUN_UNARY(neg)
RUN_UNARY(sqrt)

static void run_softmax(const wh_instr *in, const void *worker) {
  int64_t n = row_length(&in->in[0]);
  const wh_softmax_args a = {n_rows(&in->in[0]), n, n, n, in->in[0].data, in->out.data};
  rowops(in)->softmax(&a, worker);
}

static void run_expert_select(const wh_instr *in, const void *worker) {
  const wh_expert_select_args a = {in->out.dims[0], in->in[0].dims[1], in->out.dims[1], in->in[0].data,
                                   in->out.data};
  rowops(in)->expert_select(&a, worker);
}

static void run_expert_weights(const wh_instr *in, const void *worker) {
  const wh_expert_weights_args a = {.rows = in->out.dims[0],
                                    .n = in->in[0].dims[1],
                                    .used = in->out.dims[1],
                                    .p = in->in[0].data,
                                    .selected = in->in[1].data,
                                    .normalise = wh_node_i(in->node, WH_ATTR_NORMALISE) != 0,
                                    .scale = wh_node_f(in->node, WH_ATTR_SCALE),
                                    .y = in->out.data};
  rowops(in)->expert_weights(&a, worker);
}

static void run_expert_sum(const wh_instr *in, const void *worker) {
  const wh_operand *x = &in->in[0];
  const wh_expert_sum_args a = {x->dims[0],     x->dims[1],     x->dims[2],  x->data,
                                in->in[1].data, in->in[2].data, in->out.data};
  rowops(in)->expert_sum(&a, worker);
}

/* ---- row ops: one row per op: how to run it, and where its kernel's name is ---- */

typedef struct rowop_entry {
  wh_kernel_fn run;
  size_t name_offset; /* of the name in wh_rowops */
} rowop_entry;

static const rowop_entry rowop_table[WH_OP_COUNT] = {
#define ROWOP(op, runner, field) [WH_OP_##op] = {run_##runner, offsetof(wh_rowops, field##_name)}
    ROWOP(GATHER_ROWS, gather_rows, gather_rows),
    ROWOP(SELECT_ROWS, gather_rows, gather_rows),
    ROWOP(QUANTIZE_ACT, quantize_act, quantize_act),
    ROWOP(RMS_NORM, rms_norm, rms_norm),
    ROWOP(RMS_NORM_QUANTIZE, rms_norm_quantize, rms_norm_q8a),
    ROWOP(LAYER_NORM, layer_norm, layer_norm),
    ROWOP(ROPE_TABLE, rope_table, rope_table),
    ROWOP(ROPE, rope, rope),
    ROWOP(SWIGLU, swiglu, swiglu),
    ROWOP(SWIGLU_QUANTIZE, swiglu_q8a, swiglu_q8a),
    ROWOP(GEGLU, geglu, geglu),
    ROWOP(GEGLU_QUANTIZE, geglu_q8a, geglu_q8a),
    ROWOP(ADD, add, add),
    ROWOP(SUB, sub, sub),
    ROWOP(MUL, mul, mul),
    ROWOP(DIV, div, div),
    ROWOP(SCALE, scale, scale),
    ROWOP(SOFTCAP, softcap, softcap),
    ROWOP(SILU, silu, silu),
    ROWOP(GELU, gelu, gelu),
    ROWOP(GELU_ERF, gelu_erf, gelu_erf),
    ROWOP(RELU, relu, relu),
    ROWOP(TANH, tanh, tanh),
    ROWOP(SIGMOID, sigmoid, sigmoid),
    ROWOP(EXP, exp, exp),
    ROWOP(NEG, neg, neg),
    ROWOP(SQRT, sqrt, sqrt),
    ROWOP(SOFTMAX, softmax, softmax),
    ROWOP(EXPERT_SELECT, expert_select, expert_select),
    ROWOP(EXPERT_WEIGHTS, expert_weights, expert_weights),
    ROWOP(EXPERT_SUM, expert_sum, expert_sum),
#undef ROWOP
};

/* ---- claim ---- */

static bool use_blas(const cpu_device *d, wh_dtype weights) {
  return d->blas.library && weights == WH_DTYPE_F32;
}

/* The product that packs the table of a gather (an output matrix tied to the embedding); NULL: none does. */
static const wh_node_info *tied_product(const wh_graph *g, const wh_node_info *gather) {
  const wh_value table = gather->inputs[0];
  if (gather->op != WH_OP_GATHER_ROWS || g->values[table].kind != WH_VALUE_CONST) return NULL;
  for (size_t n = 0; n < g->n_nodes; n++)
    if (g->nodes[n].op == WH_OP_LINEAR && g->nodes[n].inputs[1] == table) return &g->nodes[n];
  return NULL;
}

/* Of a product, or of a gather that has a tied one. */
static wh_status linear_layout(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                               wh_expert_layout *out) {
  if (node->op == WH_OP_GATHER_ROWS) node = tied_product(g, node);
  const wh_shape *w = &g->values[node->inputs[1]].shape;
  const int last = w->rank - 1;
  int64_t n_experts = w->rank == 3 ? dim_max(g, w, 0, NULL) : 1;
  uint64_t features = d->features;
  if (node->op == WH_OP_LINEAR && use_blas(d, w->dtype))
    features = 0; /* OpenBLAS takes the rows as they are in the file */
  return wh_expert_linear_layout(features, w->dtype, n_experts, dim_max(g, w, last - 1, NULL),
                                 dim_max(g, w, last, NULL), out);
}

static void refuse(wh_claim *c, const char *why) {
  c->supported = false;
  (void)snprintf(c->reason, sizeof c->reason, "%.*s", (int)sizeof c->reason - 1, why);
}

/* Bytes of one worker. */
static wh_status linear_scratch(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                                const wh_expert_layout *layout, const int64_t *max, size_t *out) {
  const wh_shape *x = &g->values[node->inputs[0]].shape;
  bool fits = true;
  *out = 0;
  if (node->op == WH_OP_EXPERT_LINEAR) {
    const wh_shape *selected = &g->values[node->inputs[2]].shape;
    int64_t tokens = dim_max(g, selected, 0, max), slots = dim_max(g, selected, 1, max);
    fits = tokens <= INT32_MAX / slots &&
           wh_expert_linear_scratch_bytes(d->features, layout, tokens * slots, out);
  } else if (!wh_dtype_is_quantised(layout->matrix.dtype)) {
    *out = wh_linear_f_scratch_bytes(d->features, &layout->matrix, dim_max(g, x, 0, max));
    fits = *out != SIZE_MAX;
  }
  return fits ? WH_OK : WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
}

static wh_status claim_linear(cpu_device *d, const wh_graph *g, const wh_node_info *node, const int64_t *max,
                              wh_claim *c) {
  const wh_value_info *x = &g->values[node->inputs[0]], *w = &g->values[node->inputs[1]];
  bool quantised = wh_dtype_is_quantised(w->shape.dtype);
  if (w->kind != WH_VALUE_CONST) {
    refuse(c, "weights must be constants");
    return WH_OK;
  }
  if (quantised != (x->shape.dtype == WH_DTYPE_Q8A)) {
    refuse(c, "quantised weights take quantised activations (the legalisation pass adds them)");
    return WH_OK;
  }
  wh_expert_layout layout;
  wh_status st = linear_layout(d, g, node, &layout);
  if (st == WH_ERR_UNSUPPORTED) {
    refuse(c, wh_last_error()->message);
    return WH_OK;
  }
  WH_TRY(st);
  c->packed_input = 1;
  c->packed_bytes = layout.matrix.id ? layout.n_bytes : 0;
  c->packed_layout = layout.matrix.id;
  size_t per_worker;
  WH_TRY(linear_scratch(d, g, node, &layout, max, &per_worker));
  if (!wh_mul_size(per_worker, (size_t)wh_team_size(d->team), &c->scratch_bytes))
    return WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
  return WH_OK;
}

/* A table that is packed for a product anyway is not read in the file too: its pages would stay in memory. */
static wh_status claim_tied_gather(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                                   wh_claim *c) {
  wh_expert_layout layout;
  wh_status st = linear_layout(d, g, node, &layout);
  if (st == WH_ERR_UNSUPPORTED) return WH_OK; /* the product says so */
  WH_TRY(st);
  if (!layout.matrix.id) return WH_OK; /* both read the file's rows */
  c->packed_input = 0;
  c->packed_bytes = layout.n_bytes;
  c->packed_layout = layout.matrix.id;
  return WH_OK;
}

wh_status wh_cpu_claim(void *dev, const wh_graph *g, const wh_node_info *node, const int64_t *max,
                       wh_claim *c) {
  cpu_device *d = dev;
  c->supported = true;
  if (node->op == WH_OP_LINEAR || node->op == WH_OP_EXPERT_LINEAR) return claim_linear(d, g, node, max, c);
  if (node->op == WH_OP_ATTENTION) {
    const wh_shape *q = &g->values[node->inputs[0]].shape, *k = &g->values[node->inputs[1]].shape,
                   *v = &g->values[node->inputs[2]].shape;
    int64_t context = dim_max(g, k, 1, max);
    c->scratch_bytes = wh_attention_scratch_bytes(
        dim_max(g, q, 0, max), dim_max(g, q, 1, max), dim_max(g, k, 2, max), dim_max(g, q, 2, max),
        dim_max(g, v, 3, max), (context + WH_ATTENTION_CHUNK - 1) / WH_ATTENTION_CHUNK * WH_ATTENTION_CHUNK,
        wh_team_size(d->team));
    return WH_OK;
  }
  if (node->op == WH_OP_KV_APPEND || node->op == WH_OP_RESHAPE) return WH_OK; /* a view has no kernel */
  if (!rowop_table[node->op].run) refuse(c, "no kernel");
  if (tied_product(g, node)) return claim_tied_gather(d, g, node, c);
  return WH_OK;
}

wh_status wh_cpu_value_bytes(void *dev, const wh_graph *g, const wh_shape *shape, bool is_state,
                             const int64_t *symbols, size_t *out) {
  (void)dev;
  size_t bytes = 0;
  bool ok;
  if (shape->dtype == WH_DTYPE_Q8A) {
    const int last = shape->rank - 1;
    int64_t m = 1, k = dim_max(g, shape, last, symbols);
    for (int i = 0; i < last; i++)
      if (__builtin_mul_overflow(m, dim_max(g, shape, i, symbols), &m)) m = INT64_MAX;
    ok = m < INT32_MAX && k < INT32_MAX;
    if (ok) bytes = wh_q8a_bytes(m, k);
  } else if (is_state) {
    ok = wh_kv_cache_bytes(shape->dtype, dim_max(g, shape, 0, symbols), dim_max(g, shape, 2, symbols),
                           dim_max(g, shape, 3, symbols), dim_max(g, shape, 1, symbols), &bytes);
  } else {
    ok = wh_shape_bytes(g, shape, symbols, &bytes);
  }
  if (!ok) return WH_FAIL(ERR_LIMIT, "a buffer is too large to be addressed");
  *out = bytes;
  return WH_OK;
}

/* ---- pack ---- */

typedef struct pack_job {
  const cpu_device *d;
  const wh_graph *g;
  wh_pack_task *tasks;
  const wh_expert_layout *layouts;
  size_t n_tasks;
} pack_job;

/* Weights used in place are only looked at: row by row. */
static bool rows_finite(const wh_value_info *w, const wh_linear_layout *l, int64_t begin, int64_t end) {
  enum { PIECE = 256 }; /* a multiple of every block */
  const wh_dtype_info *t = wh_dtype_get(l->dtype);
  size_t row_bytes = (size_t)l->k / t->block_elems * t->block_bytes;
  float piece[PIECE];
  for (int64_t r = begin; r < end; r++)
    for (int64_t k = 0; k < l->k; k += PIECE) {
      int64_t n = l->k - k < PIECE ? l->k - k : PIECE;
      const char *src =
          (const char *)w->data + (size_t)r * row_bytes + (size_t)k / t->block_elems * t->block_bytes;
      if (!wh_dequantize_row(l->dtype, src, piece, n)) return true;
      float sum = 0.0f;
      for (int64_t i = 0; i < n; i++) sum += piece[i] * 0.0f; /* NaN when any is not finite */
      if (sum != 0.0f) return false;
    }
  return true;
}

static void pack_worker(void *arg, const wh_worker *worker) {
  const pack_job *job = arg;
  for (size_t i = 0; i < job->n_tasks; i++) {
    wh_pack_task *t = &job->tasks[i];
    const wh_expert_layout *l = &job->layouts[i];
    int64_t begin, end;
    bool finite;
    if (!t->dst) {
      wh_worker_range(worker, l->n_experts * l->matrix.n, &begin, &end);
      finite = rows_finite(t->weight, &l->matrix, begin, end);
    } else {
      wh_worker_range(worker, l->n_experts * l->matrix.n_panels, &begin, &end);
      finite = wh_expert_linear_pack(l, t->weight->data, t->dst, begin, end);
    }
    if (!finite) __atomic_store_n(&t->finite, false, __ATOMIC_RELAXED);
  }
}

wh_status wh_cpu_pack(void *dev, const wh_graph *g, wh_pack_task *tasks, size_t n_tasks) {
  cpu_device *d = dev;
  wh_expert_layout *layouts = wh_alloc_array(d->alloc, n_tasks + 1, sizeof *layouts);
  if (!layouts) return WH_OOM("pack layouts");
  wh_status st = WH_OK;
  for (size_t i = 0; i < n_tasks && st == WH_OK; i++) {
    st = linear_layout(d, g, tasks[i].node, &layouts[i]);
  }
  if (st == WH_OK) {
    pack_job job = {d, g, tasks, layouts, n_tasks};
    wh_team_run(d->team, pack_worker, &job);
  }
  wh_free(d->alloc, layouts);
  return st;
}

/* ---- compile ---- */

wh_status wh_cpu_compile(void *dev, const wh_graph *g, const wh_node_info *node, const int64_t *max,
                         wh_instr *in) {
  cpu_device *d = dev;
  in->reason = d->reason;
  const rowop_entry *row = &rowop_table[node->op];
  wh_expert_layout layout = {0};
  if (tied_product(g, node)) WH_TRY(linear_layout(d, g, node, &layout));
  if (row->run && !layout.matrix.id) {
    in->fn = row->run;
    in->kernel_data = &d->rowops;
    memcpy(&in->kernel, (const char *)&d->rowops + row->name_offset, sizeof in->kernel);
    return WH_OK;
  }
  cpu_kernel *k = wh_alloc_zeroed(d->alloc, sizeof *k);
  if (!k) return WH_OOM("kernel");
  in->kernel_data = k;
  if (node->op == WH_OP_GATHER_ROWS) {
    k->layout = layout;
    in->kernel = "gather_rows__packed";
    in->reason = "the table is packed for a product";
    in->fn = run_gather_packed;
  } else if (node->op == WH_OP_LINEAR || node->op == WH_OP_EXPERT_LINEAR) {
    WH_TRY(linear_layout(d, g, node, &k->layout));
    WH_TRY(linear_scratch(d, g, node, &k->layout, max, &k->worker_scratch));
    const wh_dtype dtype = k->layout.matrix.dtype;
    in->fn = node->op == WH_OP_EXPERT_LINEAR ? run_expert_linear : NULL;
    if (wh_dtype_is_quantised(dtype)) {
      k->linear_q = wh_linear_q_select(d->features, dtype, &in->kernel);
      k->past_caches = d->past_caches;
      in->reason = d->product_reason;
      if (!in->fn) in->fn = run_linear_q;
    } else if (!in->fn && use_blas(d, dtype)) {
      k->blas = &d->blas;
      in->kernel = "linear_f32__openblas";
      in->reason = "numerics fast";
      in->fn = run_linear_blas;
    } else {
      k->linear_f = wh_linear_f_select(d->features, dtype, &in->kernel);
      if (!in->fn) in->fn = run_linear_f;
    }
  } else if (node->op == WH_OP_KV_APPEND) {
    k->kv_append = wh_kv_append_select(d->features, g->values[node->inputs[0]].shape.dtype, &in->kernel);
    in->fn = run_kv_append;
  } else {
    k->attention = wh_attention_select(d->features, g->values[node->inputs[1]].shape.dtype, &in->kernel);
    in->fn = run_attention;
  }
  return WH_OK;
}

void wh_cpu_release(void *dev, wh_instr *in) {
  cpu_device *d = dev;
  if (in->kernel_data != &d->rowops) wh_free(d->alloc, in->kernel_data);
  in->kernel_data = NULL;
}
