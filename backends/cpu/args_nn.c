/* args_nn.c - ops of neural networks, by family: operands as the kernels take them, and what they need.
 * kernels_nn.def says which kernel is whose. */
#include <stdio.h>
#include <string.h>

#include "backends/cpu/conv_codes_winograd.h"
#include "backends/cpu/conv_plan.h"
#include "backends/cpu/conv_winograd.h"
#include "backends/cpu/cpu_internal.h"
#include "core/ir/conv.h"

/* ---- operands ---- */

static int64_t product(const int64_t *dims, int64_t begin, int64_t end) {
  int64_t n = 1;
  for (int64_t i = begin; i < end; i++) n *= dims[i];
  return n;
}

static int64_t number(const cpu_instr *in, wh_attr_key key) { return wh_node_i(in->kernel->node, key); }
static bool flag(const cpu_instr *in, wh_attr_key key) { return number(in, key) != 0; }

/* Where windows of `kernel` elements lie; what has fewer than three axes has 1 in front. */
static wh_window window_over(const wh_node_info *node, int rank, const int64_t *x_dims, const int64_t *y_dims,
                             const int64_t *kernel) {
  const wh_attr *pads = wh_node_attr(node, WH_ATTR_PADS);
  const int n = rank - 2, front = WH_WINDOW_AXES - n;
  wh_window w;
  for (int i = 0; i < WH_WINDOW_AXES; i++) {
    const int a = i - front;
    const bool has = a >= 0;
    w.in[i] = has ? x_dims[2 + a] : 1;
    w.out[i] = has ? y_dims[2 + a] : 1;
    w.kernel[i] = has ? kernel[a] : 1;
    w.stride[i] = has ? wh_node_attr(node, WH_ATTR_STRIDES)->ints[a] : 1;
    w.dilation[i] = has ? wh_node_attr(node, WH_ATTR_DILATIONS)->ints[a] : 1;
    w.pad[i] = has ? pads->ints[a] : 0;
    w.pad_end[i] = has && pads->n == 2 * (size_t)n ? pads->ints[n + a] : 0;
  }
  return w;
}

/* Without axes of one element at the end, as an image of one column has them: tiles run along the last axis.
 */
static wh_window conv_window(wh_window w) {
  for (int i = 0; i < WH_WINDOW_AXES - 1; i++) {
    if (w.in[2] != 1 || w.kernel[2] != 1 || w.pad[2] || w.pad_end[2]) break;
    int64_t *const lists[] = {w.in, w.out, w.kernel, w.stride, w.dilation, w.pad, w.pad_end};
    for (size_t k = 0; k < sizeof lists / sizeof lists[0]; k++) {
      memmove(lists[k] + 1, lists[k], 2 * sizeof *lists[k]);
      lists[k][0] = k < 5;
    }
  }
  return w;
}

static wh_window window_of(const cpu_instr *in, const int64_t *kernel) {
  return window_over(in->kernel->node, in->in[0].rank, in->in[0].dims, in->out->dims, kernel);
}

/* ---- convolutions ---- */

/* How far an operand moves on with an image, a channel and a place. */
static wh_conv_end end_of(const cpu_operand *x, const cpu_operand *y) {
  int64_t step[WH_MAX_RANK] = {0}, stride = 1; /* by axis of y */
  for (int d = x->rank - 1, to = y->rank - 1; d >= 0; d--, to--) {
    step[to] = x->dims[d] == 1 ? 0 : stride;
    stride *= x->dims[d];
  }
  const int space = x->rank - y->rank + 2; /* axes that are missing in front are 1 */
  const bool moves =
      stride > 1 && product(y->dims, 2, y->rank) == product(x->dims, space < 0 ? 0 : space, x->rank);
  return (wh_conv_end){x->data, step[0], step[1], moves};
}

static void run_conv(const cpu_instr *in, const wh_worker *worker) {
  const int64_t group = number(in, WH_ATTR_GROUP);
  const bool ends = in->kernel->node->op == WH_OP_CONV_CHAIN;
  const float *w = in->in[1].data;
  const bool packed = in->kernel->layout.matrix.id != 0;
  wh_conv_args a = {.n = in->in[0].dims[0],
                    .group = group,
                    .c = in->in[1].dims[1],
                    .m = in->in[1].dims[0] / group,
                    .win = conv_window(window_of(in, &in->in[1].dims[2])),
                    .winograd = wh_conv_is_winograd(in->kernel->node, in->in[1].rank, in->in[1].dims),
                    .x = in->in[0].data,
                    .w = packed ? NULL : w,
                    .panels = packed ? w : NULL,
                    .bias = in->in[2].data,
                    .residual = ends ? NULL : in->in[3].data,
                    .chain = ends ? &in->kernel->chain : NULL,
                    .y = in->out->data,
                    .step = in->step,
                    .scratch = in->scratch,
                    .scratch_bytes = in->worker_scratch};
  for (uint32_t i = 1; ends && i < a.chain->n_inputs; i++) a.ends[i - 1] = end_of(&in->in[2 + i], in->out);
  in->kernel->nn.conv(&a, worker);
}

static void run_conv_transpose(const cpu_instr *in, const wh_worker *worker) {
  const int64_t group = number(in, WH_ATTR_GROUP);
  const wh_conv_transpose_args a = {.n = in->in[0].dims[0],
                                    .group = group,
                                    .c = in->in[1].dims[0] / group,
                                    .m = in->in[1].dims[1],
                                    .win = window_of(in, &in->in[1].dims[2]),
                                    .x = in->in[0].data,
                                    .w = in->in[1].data,
                                    .bias = in->in[2].data,
                                    .y = in->out->data,
                                    .step = in->step,
                                    .scratch = in->scratch,
                                    .scratch_bytes = in->worker_scratch};
  in->kernel->nn.conv_transpose(&a, worker);
}

/* Of conv_codes without packed weights sums go over memory. */
static void run_conv_integer(const cpu_instr *in, const wh_worker *worker) {
  const bool ends = in->kernel->node->op == WH_OP_CONV_CODES, packed = in->kernel->layout.matrix.id != 0;
  const wh_chain *chain = ends ? &in->kernel->chain : NULL;
  float ones[WH_FORMULA_INPUTS];
  const int64_t group = number(in, WH_ATTR_GROUP);
  wh_conv_integer_args a = {.n = in->in[0].dims[0],
                            .group = group,
                            .c = in->in[1].dims[1],
                            .m = in->in[1].dims[0] / group,
                            .win = conv_window(window_of(in, &in->in[1].dims[2])),
                            .x_dtype = in->in[0].dtype,
                            .w_dtype = in->in[1].dtype,
                            .x = in->in[0].data,
                            .w = in->in[1].data,
                            .x_zero = in->in[2].data,
                            .w_zero = in->in[3].data,
                            .w_zero_per_output = wh_cpu_elements(&in->in[3]) > 1,
                            .y = ends && !packed ? in->scratch : in->out->data,
                            .chain = chain};
  for (uint32_t i = 1; ends && i < chain->n_inputs; i++) {
    a.ends[i - 1] = end_of(&in->in[3 + i], in->out);
    a.ends[i - 1].x = wh_cpu_chain_input(chain, i, &in->in[3 + i], &ones[i]);
  }
  if (in->kernel->layout.matrix.id == WH_CONV_CODES_WINOGRAD) {
    wh_codes_winograd_run(wh_codes_winograd_isa_select(in->kernel->features), &a, a.w, in->scratch, in->step,
                          worker);
    return;
  }
  if (packed) {
    wh_conv_codes_run(wh_conv_codes_isa_select(in->kernel->features), &a, a.w, in->scratch, in->step, worker);
    return;
  }
  in->kernel->nn.conv_integer(&a, worker);
  if (ends) wh_cpu_run_codes(in, in->scratch, worker);
}

static void run_pool(const cpu_instr *in, const wh_worker *worker) {
  const wh_node_info *node = in->kernel->node;
  const wh_attr *count = wh_node_attr(node, WH_ATTR_COUNT_INCLUDE_PAD), *p = wh_node_attr(node, WH_ATTR_P),
                *column = wh_node_attr(node, WH_ATTR_COLUMN_MAJOR);
  const wh_pool_args a = {.dtype = in->in[0].dtype,
                          .planes = in->in[0].dims[0] * in->in[0].dims[1],
                          .win = window_of(in, wh_node_attr(node, WH_ATTR_KERNEL)->ints),
                          .count_pads = count && count->i,
                          .p = p ? p->i : 0,
                          .column_major = column && column->i,
                          .x = in->in[0].data,
                          .y = in->out->data};
  in->kernel->nn.pool(&a, worker);
}

/* ---- resampling ---- */

static void run_resample(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0], *index = &in->in[1];
  const int64_t axis = number(in, WH_ATTR_AXIS);
  const wh_resample_args a = {.outer = product(x->dims, 0, axis),
                              .n_in = x->dims[axis],
                              .n_out = index->dims[0],
                              .taps = index->dims[1],
                              .inner = product(x->dims, axis + 1, x->rank),
                              .x = x->data,
                              .index = index->data,
                              .weight = in->in[2].data,
                              .outside = wh_node_f(in->kernel->node, WH_ATTR_ALPHA),
                              .y = in->out->data};
  for (int64_t i = 0; worker->index == 0 && i < a.n_out * a.taps; i++)
    if (!wh_resample_index_fits(&a, a.index[i])) {
      wh_cpu_report_index(in, a.index[i]);
      break;
    }
  in->kernel->nn.resample(&a, worker);
}

static void run_grid_sample(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0];
  wh_grid_sample_args a = {.n = x->dims[0],
                           .c = x->dims[1],
                           .axes = x->rank - 2,
                           .in = {1, 1, 1},
                           .out = {1, 1, 1},
                           .rule = {.mode = (int32_t)number(in, WH_ATTR_MODE),
                                    .padding = (int32_t)number(in, WH_ATTR_PADDING),
                                    .align_corners = flag(in, WH_ATTR_ALIGN_CORNERS)},
                           .x = x->data,
                           .grid = in->in[1].data,
                           .y = in->out->data};
  for (int i = 2; i < x->rank; i++) {
    a.in[WH_WINDOW_AXES - x->rank + i] = x->dims[i];
    a.out[WH_WINDOW_AXES - x->rank + i] = in->out->dims[i];
  }
  in->kernel->nn.grid_sample(&a, worker);
}

static void run_roi_align(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0];
  const wh_roi_align_args a = {.n = x->dims[0],
                               .c = x->dims[1],
                               .rows = in->out->dims[0],
                               .in = {x->dims[2], x->dims[3]},
                               .out = {in->out->dims[2], in->out->dims[3]},
                               .sampling = number(in, WH_ATTR_SAMPLING),
                               .scale = wh_node_f(in->kernel->node, WH_ATTR_SCALE),
                               .half_pixel = flag(in, WH_ATTR_HALF_PIXEL),
                               .largest = flag(in, WH_ATTR_MODE),
                               .x = x->data,
                               .boxes = in->in[1].data,
                               .image_dtype = in->in[2].dtype,
                               .image = in->in[2].data,
                               .y = in->out->data};
  for (int64_t i = 0; worker->index == 0 && i < a.rows; i++)
    if (wh_roi_image(&a, i) < 0 || wh_roi_image(&a, i) >= a.n) {
      wh_cpu_report_index(in, wh_roi_image(&a, i));
      break;
    }
  in->kernel->nn.roi_align(&a, worker);
}

static void run_trees(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0], *leaves = &in->in[3];
  const wh_trees_args a = {
      .rows = x->dims[0],
      .features = x->dims[1],
      .n_nodes = in->in[1].dims[0],
      .n_trees = in->in[2].dims[0],
      .n_leaves = leaves->dims[0],
      .targets = leaves->dims[1],
      .dtype = x->dtype,
      .mode = (wh_trees_mode)number(in, WH_ATTR_MODE),
      .nodes = in->in[1].data,
      .roots = in->in[2].data,
      .x = x->data,
      .leaves = leaves->data,
      .y = in->out->data,
      .table = in->worker_scratch ? (char *)in->scratch + (size_t)worker->index * in->worker_scratch : NULL};
  in->kernel->nn.trees(&a, worker);
}

/* ---- signals ---- */

static void run_lrn(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0];
  const wh_lrn_args a = {.n = x->dims[0],
                         .c = x->dims[1],
                         .inner = product(x->dims, 2, x->rank),
                         .size = number(in, WH_ATTR_SIZE),
                         .alpha = wh_node_f(in->kernel->node, WH_ATTR_ALPHA),
                         .beta = wh_node_f(in->kernel->node, WH_ATTR_BETA),
                         .bias = wh_node_f(in->kernel->node, WH_ATTR_EPS),
                         .x = x->data,
                         .y = in->out->data};
  in->kernel->nn.lrn(&a, worker);
}

static void run_dft(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0];
  const int64_t axis = number(in, WH_ATTR_AXIS);
  const wh_dft_args a = {.outer = product(x->dims, 0, axis),
                         .n = x->dims[axis],
                         .inner = product(x->dims, axis + 1, x->rank - 1),
                         .inverse = flag(in, WH_ATTR_INVERSE),
                         .x = x->data,
                         .twiddles = in->in[1].data,
                         .y = in->out->data,
                         .scratch = in->scratch,
                         .scratch_bytes = in->worker_scratch};
  in->kernel->nn.dft(&a, worker);
}

static void run_det(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0];
  const wh_det_args a = {.rows = wh_cpu_elements(in->out),
                         .n = x->dims[x->rank - 1],
                         .x = x->data,
                         .y = in->out->data,
                         .scratch = in->scratch,
                         .scratch_bytes = in->worker_scratch};
  in->kernel->nn.det(&a, worker);
}

/* ---- recurrent layers ---- */

/* Where each kind has its optional operands; 0: nowhere. */
static const struct {
  wh_recurrent_kind kind;
  uint8_t bias, h0, c0, length, peephole;
} recurrent_inputs[] = {
    {WH_RECURRENT_RNN, 0, 2, 0, 3, 0}, {WH_RECURRENT_GRU, 2, 3, 0, 4, 0}, {WH_RECURRENT_LSTM, 0, 2, 3, 4, 5}};

static wh_recurrent_kind recurrent_kind(const wh_node_info *node) {
  return node->op == WH_OP_LSTM  ? WH_RECURRENT_LSTM
         : node->op == WH_OP_GRU ? WH_RECURRENT_GRU
                                 : WH_RECURRENT_RNN;
}

static void run_recurrent(const cpu_instr *in, const wh_worker *worker) {
  const wh_node_info *node = in->kernel->node;
  const wh_recurrent_kind kind = recurrent_kind(node);
  const wh_attr *acts = wh_node_attr(node, WH_ATTR_ACTIVATIONS),
                *factors = wh_node_attr(node, WH_ATTR_FACTORS);
  const wh_attr *coupled = wh_node_attr(node, WH_ATTR_COUPLED),
                *after = wh_node_attr(node, WH_ATTR_RESET_AFTER);
#define INPUT(name) (recurrent_inputs[kind].name ? in->in[recurrent_inputs[kind].name].data : NULL)
  wh_recurrent_args a = {.kind = kind,
                         .t = in->in[0].dims[0],
                         .b = in->in[0].dims[1],
                         .h = in->in[1].dims[1],
                         .x = in->in[0].data,
                         .r = in->in[1].data,
                         .layout = in->kernel->steps ? &in->kernel->layout.matrix : NULL,
                         .steps = in->kernel->steps,
                         .r_bias = INPUT(bias),
                         .h0 = INPUT(h0),
                         .c0 = INPUT(c0),
                         .length = INPUT(length),
                         .peephole = INPUT(peephole),
                         .reverse = flag(in, WH_ATTR_REVERSE),
                         .coupled = coupled && coupled->i,
                         .reset_after = after && after->i,
                         .clip = wh_node_f(node, WH_ATTR_CLIP),
                         .y = in->out[0].data,
                         .last_h = in->out[1].data,
                         .last_c = kind == WH_RECURRENT_LSTM ? in->out[2].data : NULL,
                         .scratch = in->scratch};
#undef INPUT
  for (size_t i = 0; i < acts->n; i++) {
    a.act[i] = (wh_activation)acts->ints[i];
    memcpy(a.factor[i], &factors->floats[2 * i], sizeof a.factor[i]);
  }
  for (int64_t i = 0; worker->index == 0 && a.length && i < a.b; i++)
    if (a.length[i] < 0 || a.length[i] > a.t) {
      wh_cpu_report_index(in, a.length[i]);
      break;
    }
  in->kernel->nn.recurrent(&a, worker);
}

/* ---- codes ---- */

static wh_quantize_linear_args quantize_args(const cpu_instr *in, wh_dtype codes) {
  const cpu_operand *x = &in->in[0], *s = &in->in[1];
  const int64_t block = number(in, WH_ATTR_BLOCK);
  wh_quantize_linear_args a = {.outer = 1,
                               .n = 1,
                               .inner = wh_cpu_elements(x),
                               .block = 1,
                               .row = wh_cpu_row_length(x),
                               .zero_row = wh_cpu_row_length(s),
                               .dtype = codes,
                               .scale = s->data,
                               .zero = in->in[2].data,
                               .x = x->data,
                               .y = in->out->data};
  if (!block && wh_cpu_elements(s) == 1) return a; /* one for all */
  const int64_t axis = number(in, WH_ATTR_AXIS);
  a.outer = product(x->dims, 0, axis);
  a.n = x->dims[axis];
  a.inner = product(x->dims, axis + 1, x->rank);
  a.by_axis = 1;
  if (block) {
    a.block = block;
    a.by_inner = 1;
    a.by_axis = a.inner;
    a.by_outer = a.inner * s->dims[axis];
  }
  return a;
}

static void run_quantize_linear(const cpu_instr *in, const wh_worker *worker) {
  wh_quantize_linear_args a = quantize_args(in, in->out->dtype);
  a.saturate = flag(in, WH_ATTR_SATURATE);
  in->kernel->nn.quantize_linear(&a, worker);
}

static void run_dequantize_linear(const cpu_instr *in, const wh_worker *worker) {
  const wh_dequantize_linear_args a = quantize_args(in, in->in[0].dtype);
  in->kernel->nn.dequantize_linear(&a, worker);
}

/* ---- compiling and claims ---- */

static bool is_recurrent(const wh_node_info *node) {
  return node->op == WH_OP_RNN || node->op == WH_OP_GRU || node->op == WH_OP_LSTM;
}

/* A recurrent layer whose weights core keeps packed as a product's. */
static wh_status compile_panels(const cpu_device *d, const wh_graph *g, const wh_arg *weight, cpu_kernel *k) {
  static const char *const names[] = {"rnn__panels", "gru__panels", "lstm__panels"};
  WH_TRY(wh_cpu_weight_layout(d, g, &g->values[weight->value].shape, &k->layout));
  if (weight->layout != k->layout.matrix.id)
    return WH_FAIL(ERR_INTERNAL, "node '%s': weights in layout %u, not %u", k->node->name, weight->layout,
                   k->layout.matrix.id);
  k->steps = wh_linear_f_steps(d->features);
  k->run = run_recurrent;
  k->nn.recurrent = d->nn.lstm;
  k->name = names[recurrent_kind(k->node)];
  return WH_OK;
}

static bool is_of_codes(const wh_node_info *node) {
  return node->op == WH_OP_CONV_INTEGER || node->op == WH_OP_CONV_CODES;
}

/* Whether the weights have no zero points but 0. */
static bool has_no_zero_points(const wh_graph *g, const wh_node_info *node) {
  if (node->n_inputs < 4 || !node->inputs[3]) return true;
  const wh_value_info *zero = &g->values[node->inputs[3]];
  if (zero->kind != WH_VALUE_CONST || !zero->data) return false;
  for (size_t i = 0; i < zero->n_bytes; i++)
    if (((const char *)zero->data)[i]) return false;
  return true;
}

bool wh_cpu_is_conv(const wh_node_info *node) {
  return node->op == WH_OP_CONV || node->op == WH_OP_CONV_CHAIN || is_of_codes(node);
}

wh_status wh_cpu_conv_layout(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                             wh_expert_layout *out) {
  const wh_shape *w = &g->values[node->inputs[1]].shape;
  int64_t k = 1, taps = 1;
  *out = (wh_expert_layout){.n_experts = 1};
  const bool codes = is_of_codes(node);
  if (!(codes ? (const void *)wh_conv_codes_isa_select(d->features) : wh_linear_f_steps(d->features)) ||
      wh_node_i(node, WH_ATTR_GROUP) != 1)
    return WH_FAIL(ERR_UNSUPPORTED, "node '%s' has no weight that is packed", node->name);
  int64_t dims[WH_MAX_RANK];
  for (int i = 0; i < w->rank; i++) dims[i] = wh_dim_get(&g->dims, w->dims[i])->value;
  if (wh_conv_is_winograd(node, w->rank, dims)) {
    const bool wide = wh_winograd_is_wide(dims[0], d->features & WH_CPU_AVX512 ? WH_WINOGRAD_WIDE : 8);
    WH_TRY(wh_winograd_layout(dims[0], dims[1], wide ? WH_WINOGRAD_WIDE : WH_WINOGRAD_PANEL, &out->matrix));
    out->matrix.id = wide ? WH_CONV_WINOGRAD_WIDE : WH_CONV_WINOGRAD_PANELS;
    out->expert_bytes = out->n_bytes = out->matrix.n_bytes;
    return WH_OK;
  }
  for (int i = 1; i < w->rank; i++)
    if (__builtin_mul_overflow(k, wh_dim_get(&g->dims, w->dims[i])->value, &k))
      return WH_FAIL(ERR_LIMIT, "node '%s' has too many weights", node->name);
  const int64_t m = wh_dim_get(&g->dims, w->dims[0])->value;
  for (int i = 2; i < w->rank; i++)
    if (__builtin_mul_overflow(taps, wh_dim_get(&g->dims, w->dims[i])->value, &taps)) /* k may be 0 */
      return WH_FAIL(ERR_LIMIT, "node '%s' has too many weights", node->name);
  const bool minimal = codes && wh_codes_winograd_isa_select(d->features) &&
                       wh_conv_is_three_by_three(node, w->rank, dims) && has_no_zero_points(g, node) &&
                       wh_codes_winograd_layout(w->dtype, m, dims[1], &out->matrix);
  if (codes && !minimal &&
      !wh_conv_codes_layout(wh_conv_codes_isa_select(d->features), w->dtype, m,
                            wh_dim_get(&g->dims, w->dims[1])->value, taps, &out->matrix))
    return WH_FAIL(ERR_LIMIT, "node '%s' has too many weights", node->name);
  if (!codes) {
    WH_TRY(wh_linear_f_layout(d->features, WH_DTYPE_F32, m, k, &out->matrix));
    out->matrix.id = WH_CONV_PANELS;
  }
  out->expert_bytes = out->n_bytes = out->matrix.n_bytes;
  return WH_OK;
}

wh_status wh_cpu_compile_nn(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k) {
  if (is_recurrent(k->node) && args[1].layout) return compile_panels(d, g, &args[1], k);
  k->steps = NULL;
  if (wh_cpu_is_conv(k->node) && args[1].layout) WH_TRY(wh_cpu_conv_layout(d, g, k->node, &k->layout));
  if (k->node->op == WH_OP_CONV_CODES) WH_TRY(wh_cpu_select_codes(d, g, 4, k));
  if (is_of_codes(k->node) && args[1].layout) {
    k->features = d->features;
    k->run = run_conv_integer;
    k->name = k->layout.matrix.id == WH_CONV_CODES_WINOGRAD ? "conv_codes_winograd__avx2"
                                                            : wh_conv_codes_isa_select(d->features)->name;
    return WH_OK;
  }
  if (k->node->op == WH_OP_CONV_CHAIN) {
    wh_dtype floats[WH_FORMULA_INPUTS];
    for (size_t i = 0; i < WH_FORMULA_INPUTS; i++) floats[i] = WH_DTYPE_F32;
    WH_TRY(wh_cpu_select_chain(d, floats, wh_formula_conv_inputs(k->node->n_inputs), WH_DTYPE_F32, k));
  }
  switch (k->node->op) {
#define WH_NN_OP(op, op_name, family, levels) \
  case WH_OP_##op:                            \
    k->run = run_##family;                    \
    k->nn.family = d->nn.op_name;             \
    k->name = d->nn.op_name##_name;           \
    return WH_OK;
#define WH_NN_OP_ALSO(op, op_name, family) WH_NN_OP(op, op_name, family, )
#include "backends/cpu/kernels_nn.def"
    default:
      return WH_FAIL(ERR_INTERNAL, "node '%s' is no op of kernels_nn.def", k->node->name);
  }
}

static int64_t dim_at(const wh_graph *g, wh_value v, int axis, const int64_t *dims) {
  const wh_shape *s = &g->values[v].shape;
  return dims[s->dims[axis < 0 ? s->rank + axis : axis]];
}

/* Where a convolution's windows lie; size: of its input, its weights and its output. */
static wh_window sizes_of_windows(const wh_graph *g, const wh_node_info *node, const int64_t *dims,
                                  int64_t size[3][WH_MAX_RANK]) {
  const wh_shape *s[3] = {&g->values[node->inputs[0]].shape, &g->values[node->inputs[1]].shape,
                          &g->values[node->outputs[0]].shape};
  for (int i = 0; i < 3; i++)
    for (int a = 0; a < s[i]->rank; a++) size[i][a] = dims[s[i]->dims[a]];
  return window_over(node, s[0]->rank, size[0], size[2], &size[1][2]);
}

static wh_window sizes_of_conv(const wh_graph *g, const wh_node_info *node, const int64_t *dims,
                               int64_t size[3][WH_MAX_RANK]) {
  return conv_window(sizes_of_windows(g, node, dims, size));
}

/* Of all workers; false: the codes are not packed. */
static bool codes_scratch(const wh_graph *g, const wh_node_info *node, const wh_linear_layout *l,
                          const int64_t *dims, int workers, size_t *out) {
  int64_t size[3][WH_MAX_RANK];
  const wh_window win = sizes_of_conv(g, node, dims, size);
  if (l->id == WH_CONV_CODES_WINOGRAD)
    return wh_codes_winograd_scratch(&win, size[1][1], size[1][0], workers, out);
  return wh_conv_codes_scratch(&win, size[1][1], size[1][0], workers, out);
}

/* Of the level whose kernel wh_nn_select finds. */
static int64_t conv_lanes(uint64_t features) {
  return features & WH_CPU_AVX512 ? 16 : features & WH_CPU_AVX2 ? 8 : 4;
}

/* Of all workers; what the reference does not need, it ignores. */
static size_t conv_scratch(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                           const int64_t *dims) {
  int64_t size[3][WH_MAX_RANK];
  const wh_window win = sizes_of_conv(g, node, dims, size);
  const int64_t group = wh_node_i(node, WH_ATTR_GROUP), lanes = conv_lanes(d->features);
  const int workers = wh_team_size(d->team);
  size_t most = 0, bytes;
  if (wh_conv_is_winograd(node, g->values[node->inputs[1]].shape.rank, size[1])) {
    wh_winograd_plan p;
    return wh_winograd_make_plan(&win, size[0][0], group, size[1][1], size[1][0] / group, workers, false,
                                 lanes, &p) &&
                   wh_mul_size(p.worker_bytes, (size_t)workers, &bytes) &&
                   wh_add_size(bytes, p.shared_bytes, &bytes)
               ? bytes
               : SIZE_MAX;
  }
  for (int packed = 0; packed < (group == 1 ? 2 : 1); packed++) {
    wh_conv_plan p;
    if (!wh_conv_make_plan(&win, size[0][0], group, size[1][1], size[1][0] / group, workers, packed, lanes,
                           &p) ||
        !wh_mul_size(p.worker_bytes, (size_t)workers, &bytes) || !wh_add_size(bytes, p.shared_bytes, &bytes))
      return SIZE_MAX;
    if (bytes > most) most = bytes;
  }
  return most;
}

/* Of one worker, or of all together. SIZE_MAX: too much. */
static size_t nn_scratch(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                         const int64_t *dims, bool *per_worker) {
  size_t bytes = 0;
  *per_worker = true;
  switch (node->op) {
    case WH_OP_CONV:
    case WH_OP_CONV_CHAIN:
      *per_worker = false;
      return conv_scratch(d, g, node, dims);
    case WH_OP_CONV_TRANSPOSE: {
      int64_t size[3][WH_MAX_RANK];
      wh_conv_transpose_room room;
      const wh_window win = sizes_of_windows(g, node, dims, size);
      const int64_t c = size[1][0] / wh_node_i(node, WH_ATTR_GROUP);
      return wh_conv_transpose_find_room(&win, c, size[1][1], &room) ? room.bytes : SIZE_MAX;
    }
    case WH_OP_DFT:
      return wh_dft_scratch_bytes(dim_at(g, node->inputs[0], (int)wh_node_i(node, WH_ATTR_AXIS), dims));
    case WH_OP_DET: {
      const size_t n = (size_t)dim_at(g, node->inputs[0], -1, dims);
      return wh_mul_size(n, n, &bytes) && wh_mul_size(bytes, sizeof(float), &bytes) &&
                     wh_align_size(bytes, WH_ALIGN_SIMD, &bytes)
                 ? bytes
                 : SIZE_MAX;
    }
    case WH_OP_TREES:
      return wh_trees_table_bytes(g->values[node->inputs[0]].shape.dtype, dim_at(g, node->inputs[1], 0, dims),
                                  dim_at(g, node->inputs[3], 0, dims));
    case WH_OP_RNN:
    case WH_OP_GRU:
    case WH_OP_LSTM:
      *per_worker = false;
      return wh_recurrent_scratch_bytes(recurrent_kind(node), dim_at(g, node->inputs[0], 1, dims),
                                        dim_at(g, node->inputs[1], 1, dims), &bytes)
                 ? bytes
                 : SIZE_MAX;
    default:
      return 0;
  }
}

static wh_dtype codes_of(const wh_graph *g, const wh_node_info *node) {
  if (node->op == WH_OP_DEQUANTIZE_LINEAR) return g->values[node->inputs[0]].shape.dtype;
  return node->op == WH_OP_QUANTIZE_LINEAR ? (wh_dtype)wh_node_i(node, WH_ATTR_TO) : WH_DTYPE_I8;
}

wh_status wh_cpu_claim_nn(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                          const int64_t *dims, wh_claim *c) {
  if (wh_dtype_is_float(codes_of(g, node))) {
    c->supported = false;
    (void)snprintf(c->reason, sizeof c->reason, "no kernel for codes of type %s",
                   wh_dtype_name(codes_of(g, node)));
    return WH_OK;
  }
  const wh_value_info *r = &g->values[node->inputs[node->n_inputs > 1]];
  wh_expert_layout layout;
  if (is_recurrent(node) && r->kind == WH_VALUE_CONST) {
    WH_TRY(wh_cpu_weight_layout(d, g, &r->shape, &layout));
    c->layouts[c->n_layouts++] =
        (wh_weight_layout){1, layout.matrix.id, layout.matrix.id ? layout.n_bytes : r->n_bytes};
  }
  const int workers = wh_team_size(d->team);
  size_t of_codes = 0;
  if (wh_cpu_is_conv(node) && r->kind == WH_VALUE_CONST && wh_cpu_conv_layout(d, g, node, &layout) == WH_OK &&
      (!is_of_codes(node) || codes_scratch(g, node, &layout.matrix, dims, workers, &of_codes))) {
    c->layouts[c->n_layouts++] = (wh_weight_layout){1, layout.matrix.id, layout.n_bytes};
    c->layouts[c->n_layouts++] = (wh_weight_layout){1, 0, r->n_bytes};
  }
  bool per_worker;
  size_t bytes = nn_scratch(d, g, node, dims, &per_worker);
  if (bytes == SIZE_MAX || (per_worker && !wh_mul_size(bytes, (size_t)workers, &bytes)))
    return WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
  if (node->op == WH_OP_CONV_CODES && !wh_cpu_sum_bytes(g, node, dims, &bytes))
    return WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
  if (of_codes > bytes) bytes = of_codes;
  c->scratch_bytes = bytes;
  return WH_OK;
}
