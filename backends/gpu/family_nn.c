/* family_nn.c - ops of neural networks that look at neighbours: pools, resampling, signals, codes;
 * convolutions and recurrent layers have files of their own. */
#include "backends/gpu/family_nn.h"

#include <stdio.h>

#include "core/base/allocator.h"

static int64_t number(const gpu_step *s, wh_attr_key key) { return wh_node_i(s->node, key); }
static bool flag(const gpu_step *s, wh_attr_key key) { return number(s, key) != 0; }

/* ---- pools ---- */

static wh_status emit_pool(gpu_emit *e, const gpu_step *s) {
  const wh_node_info *node = s->node;
  const wh_attr *count = wh_node_attr(node, WH_ATTR_COUNT_INCLUDE_PAD), *p = wh_node_attr(node, WH_ATTR_P),
                *column = wh_node_attr(node, WH_ATTR_COLUMN_MAJOR);
  if (gpu_is_empty(s)) return WH_OK;
  const gpu_pool_args a = {.x = s->in[0].address,
                           .y = s->out->address,
                           .n = gpu_elements(s->out),
                           .space_in = gpu_space(&s->in[0]),
                           .p = p ? p->i : 0,
                           .by_space_out = gpu_divisor_of(gpu_space(s->out)),
                           .pool = node->op == WH_OP_MAX_POOL ? GPU_POOL_MAX : GPU_POOL_INDEX,
                           .type = gpu_type_of(s->in[0].dtype),
                           .count_pads = count && count->i,
                           .column_major = column && column->i,
                           .win = gpu_window_of(s, wh_node_attr(node, WH_ATTR_KERNEL)->ints)};
  const gpu_kernel kernel = node->op == WH_OP_AVERAGE_POOL ? GPU_K_pool_average
                            : node->op == WH_OP_LP_POOL    ? GPU_K_pool_lp
                                                           : GPU_K_pool_largest;
  return gpu_launch(e, kernel, gpu_flat_grid(a.n), &a, sizeof a);
}

/* ---- resampling ---- */

static wh_status emit_resample(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0], *index = &s->in[1];
  const int axis = (int)number(s, WH_ATTR_AXIS);
  const int64_t least = -1, most = x->dims[axis] - 1;
  WH_TRY(gpu_check_indices(e, s, index, 1, &least, &most));
  if (gpu_is_empty(s)) return WH_OK;
  const gpu_resample_args a = {.x = x->address,
                               .index = index->address,
                               .weight = s->in[2].address,
                               .y = s->out->address,
                               .n = gpu_elements(s->out),
                               .n_in = x->dims[axis],
                               .taps = index->dims[1],
                               .inner = gpu_divisor_of(gpu_product(x->dims + axis + 1, x->rank - axis - 1)),
                               .n_out = gpu_divisor_of(index->dims[0]),
                               .outside = wh_node_f(s->node, WH_ATTR_ALPHA)};
  return gpu_launch(e, GPU_K_resample, gpu_flat_grid(a.n), &a, sizeof a);
}

static wh_status emit_grid_sample(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0];
  if (gpu_is_empty(s)) return WH_OK;
  gpu_grid_sample_args a = {.x = x->address,
                            .grid = s->in[1].address,
                            .y = s->out->address,
                            .n = x->dims[0] * gpu_space(s->out),
                            .c = x->dims[1],
                            .in = {1, 1, 1},
                            .space_out = gpu_space(s->out),
                            .by_space_out = gpu_divisor_of(gpu_space(s->out)),
                            .axes = x->rank - 2,
                            .rule = {.mode = (int32_t)number(s, WH_ATTR_MODE),
                                     .padding = (int32_t)number(s, WH_ATTR_PADDING),
                                     .align_corners = flag(s, WH_ATTR_ALIGN_CORNERS)}};
  for (int i = 2; i < x->rank; i++) a.in[GPU_WINDOW_AXES - x->rank + i] = x->dims[i];
  return gpu_launch(e, GPU_K_grid_sample, gpu_flat_grid(a.n), &a, sizeof a);
}

static wh_status emit_roi_align(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0], *image = &s->in[2], *y = s->out;
  const int64_t least = 0, most = x->dims[0] - 1;
  WH_TRY(gpu_check_indices(e, s, image, 1, &least, &most));
  if (gpu_is_empty(s)) return WH_OK;
  const gpu_roi_align_args a = {.x = x->address,
                                .boxes = s->in[1].address,
                                .image = image->address,
                                .y = y->address,
                                .n = gpu_elements(y),
                                .images = x->dims[0],
                                .sampling = number(s, WH_ATTR_SAMPLING),
                                .in = {x->dims[2], x->dims[3]},
                                .c = gpu_divisor_of(x->dims[1]),
                                .out = {gpu_divisor_of(y->dims[2]), gpu_divisor_of(y->dims[3])},
                                .image_type = gpu_type_of(image->dtype),
                                .scale = wh_node_f(s->node, WH_ATTR_SCALE),
                                .half_pixel = flag(s, WH_ATTR_HALF_PIXEL),
                                .largest = flag(s, WH_ATTR_MODE)};
  return gpu_launch(e, GPU_K_roi_align, gpu_flat_grid(a.n), &a, sizeof a);
}

/* ---- trees ---- */

#define TREES_ROWS 4 /* outputs of a block: a warp each */

static wh_status emit_trees(gpu_emit *e, const gpu_step *s) {
  if (gpu_is_empty(s)) return WH_OK;
  const gpu_trees_args a = {.x = s->in[0].address,
                            .nodes = s->in[1].address,
                            .roots = s->in[2].address,
                            .leaves = s->in[3].address,
                            .y = s->out->address,
                            .n = gpu_elements(s->out),
                            .features = s->in[0].dims[1],
                            .trees = s->in[2].dims[0],
                            .n_nodes = s->in[1].dims[0],
                            .n_leaves = s->in[3].dims[0],
                            .targets = gpu_divisor_of(s->in[3].dims[1]),
                            .mode = (uint32_t)number(s, WH_ATTR_MODE)};
  const int64_t rows = a.n < TREES_ROWS ? a.n : TREES_ROWS;
  const gpu_grid grid = {(uint32_t)gpu_ceil_div(a.n, rows), 1, 1, (uint32_t)rows * 32, 0};
  const bool wide = s->in[0].dtype == WH_DTYPE_F64;
  return gpu_launch(e, wide ? GPU_K_trees_f64 : GPU_K_trees_f32, grid, &a, sizeof a);
}

/* ---- signals ---- */

static wh_status emit_lrn(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0];
  if (gpu_is_empty(s)) return WH_OK;
  const int64_t size = number(s, WH_ATTR_SIZE);
  const gpu_lrn_args a = {.x = x->address,
                          .y = s->out->address,
                          .n = gpu_elements(x),
                          .size = size,
                          .inner = gpu_divisor_of(gpu_space(x)),
                          .c = gpu_divisor_of(x->dims[1]),
                          .factor = wh_node_f(s->node, WH_ATTR_ALPHA) / (float)size,
                          .beta = wh_node_f(s->node, WH_ATTR_BETA),
                          .bias = wh_node_f(s->node, WH_ATTR_EPS)};
  return gpu_launch(e, GPU_K_lrn, gpu_flat_grid(a.n), &a, sizeof a);
}

/* Bytes of the elements of a value of f32, times `times`. */
static wh_status claim_elements(const wh_graph *g, const wh_node_info *node, wh_value v, const int64_t *dims,
                                size_t times, wh_claim *c) {
  const wh_shape *shape = &g->values[v].shape;
  size_t bytes = times * sizeof(float);
  for (int i = 0; i < shape->rank; i++)
    if (!wh_mul_size(bytes, (size_t)dims[shape->dims[i]], &bytes))
      return WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
  c->scratch_bytes = bytes;
  return WH_OK;
}

/* Two buffers, which the stages go to and fro between. */
static wh_status claim_dft(const gpu_device *d, const wh_graph *g, const wh_node_info *node,
                           const int64_t *dims, wh_claim *c) {
  (void)d;
  return claim_elements(g, node, node->inputs[0], dims, 2, c);
}

/* Its prime factors, ascending; how many. */
static int32_t factors_of(int64_t n, int64_t *factor) {
  int32_t count = 0;
  for (int64_t p = 2; n > 1; p++) {
    if (p * p > n) p = n;
    for (; n % p == 0; n /= p) factor[count++] = p;
  }
  return count;
}

static wh_status emit_dft(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0];
  const int axis = (int)number(s, WH_ATTR_AXIS);
  if (gpu_is_empty(s)) return WH_OK;
  const uint64_t n_bytes = (uint64_t)gpu_elements(x) * sizeof(float),
                 buffers[2] = {s->scratch, s->scratch + n_bytes};
  gpu_dft_args a = {.from = x->address,
                    .to = buffers[0],
                    .twiddles = s->in[1].address,
                    .n = x->dims[axis],
                    .numbers = gpu_elements(x) / 2,
                    .by_n = gpu_divisor_of(x->dims[axis]),
                    .inner = gpu_divisor_of(gpu_product(x->dims + axis + 1, x->rank - axis - 2)),
                    .inverse = flag(s, WH_ATTR_INVERSE)};
  a.n_factors = factors_of(a.n, a.factor);
  if (a.n == 1) return gpu_move(e, s->out->address, x->address, n_bytes); /* its own transform */
  WH_TRY(gpu_launch(e, GPU_K_dft_order, gpu_flat_grid(a.numbers), &a, sizeof a));
  int64_t part = 1;
  for (int f = a.n_factors - 1, to = 1; f >= 0; f--, to ^= 1) { /* the smallest first */
    a.part = gpu_divisor_of(part);
    part *= a.factor[f];
    a.whole = gpu_divisor_of(part);
    a.last = f == 0;
    a.from = buffers[to ^ 1];
    a.to = a.last ? s->out->address : buffers[to];
    WH_TRY(gpu_launch(e, GPU_K_dft_stage, gpu_flat_grid(a.numbers), &a, sizeof a));
  }
  return WH_OK;
}

static wh_status claim_det(const gpu_device *d, const wh_graph *g, const wh_node_info *node,
                           const int64_t *dims, wh_claim *c) {
  (void)d;
  return claim_elements(g, node, node->inputs[0], dims, 1, c);
}

static wh_status emit_det(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0];
  if (gpu_is_empty(s)) return WH_OK;
  const gpu_det_args a = {
      .x = x->address, .y = s->out->address, .scratch = s->scratch, .n = x->dims[x->rank - 1]};
  gpu_grid grid = gpu_flat_grid(a.n ? a.n * a.n : 1);
  grid.x = (uint32_t)gpu_elements(s->out);
  return gpu_launch(e, GPU_K_det, grid, &a, sizeof a);
}

/* ---- codes ---- */

static wh_dtype codes_of(const wh_graph *g, const wh_node_info *node) {
  if (node->op == WH_OP_DEQUANTIZE_LINEAR) return g->values[node->inputs[0]].shape.dtype;
  return (wh_dtype)wh_node_i(node, WH_ATTR_TO);
}

static wh_status claim_codes(const gpu_device *d, const wh_graph *g, const wh_node_info *node,
                             const int64_t *dims, wh_claim *c) {
  (void)d, (void)dims;
  if (!wh_dtype_is_float(codes_of(g, node))) return WH_OK;
  c->supported = false;
  (void)snprintf(c->reason, sizeof c->reason, "no kernel for codes of type %s",
                 wh_dtype_name(codes_of(g, node)));
  return WH_OK;
}

static gpu_quantize_args quantize_args(const gpu_step *s, wh_dtype codes) {
  const gpu_operand *x = &s->in[0], *scale = &s->in[1];
  const int64_t block = number(s, WH_ATTR_BLOCK);
  const wh_dtype_info *t = wh_dtype_get(codes);
  const int bits = 8 * t->block_bytes / t->block_elems;
  const bool is_signed = wh_dtype_is(codes, WH_CLASS_SIGNED);
  gpu_quantize_args a = {.x = x->address,
                         .y = s->out->address,
                         .scale = scale->address,
                         .zero = s->in[2].address,
                         .threads = gpu_elements(x),
                         .row = gpu_row_length(x),
                         .zero_row = gpu_row_length(scale),
                         .inner = gpu_divisor_of(gpu_elements(x)),
                         .n = gpu_divisor_of(1),
                         .block = gpu_divisor_of(1),
                         .type = gpu_type_of(codes),
                         .least = is_signed ? (int32_t) - ((int64_t)1 << (bits - 1)) : 0,
                         .most = (int32_t)(((int64_t)1 << (is_signed ? bits - 1 : bits)) - 1)};
  if (!block && gpu_elements(scale) == 1) return a; /* one for all */
  const int axis = (int)number(s, WH_ATTR_AXIS);
  const int64_t inner = gpu_product(x->dims + axis + 1, x->rank - axis - 1);
  a.inner = gpu_divisor_of(inner);
  a.n = gpu_divisor_of(x->dims[axis]);
  a.by_axis = 1;
  if (block) {
    a.block = gpu_divisor_of(block);
    a.by_inner = 1;
    a.by_axis = inner;
    a.by_outer = inner * scale->dims[axis];
  }
  return a;
}

static wh_status emit_quantize_linear(gpu_emit *e, const gpu_step *s) {
  if (gpu_is_empty(s)) return WH_OK;
  gpu_quantize_args a = quantize_args(s, s->out->dtype);
  if (a.type == GPU_I4 || a.type == GPU_U4) a.threads = gpu_rows(s->out) * ((a.row + 1) / 2);
  return gpu_launch(e, GPU_K_quantize_linear, gpu_flat_grid(a.threads), &a, sizeof a);
}

static wh_status emit_dequantize_linear(gpu_emit *e, const gpu_step *s) {
  if (gpu_is_empty(s)) return WH_OK;
  const gpu_quantize_args a = quantize_args(s, s->in[0].dtype);
  return gpu_launch(e, GPU_K_dequantize_linear, gpu_flat_grid(a.threads), &a, sizeof a);
}

const gpu_op gpu_ops_nn[] = {
    {WH_OP_CONV, "conv", NULL, gpu_emit_conv},
    {WH_OP_CONV_CHAIN, "conv_chain", NULL, gpu_emit_conv_chain},
    {WH_OP_CONV_TRANSPOSE, "conv_transpose", NULL, gpu_emit_conv_transpose},
    {WH_OP_CONV_INTEGER, "conv_integer", NULL, gpu_emit_conv_integer},
    {WH_OP_MAX_POOL, "max_pool", NULL, emit_pool},
    {WH_OP_MAX_POOL_INDEX, "max_pool_index", NULL, emit_pool},
    {WH_OP_AVERAGE_POOL, "average_pool", NULL, emit_pool},
    {WH_OP_LP_POOL, "lp_pool", NULL, emit_pool},
    {WH_OP_RESAMPLE, "resample", NULL, emit_resample},
    {WH_OP_GRID_SAMPLE, "grid_sample", NULL, emit_grid_sample},
    {WH_OP_ROI_ALIGN, "roi_align", NULL, emit_roi_align},
    {WH_OP_TREES, "trees", NULL, emit_trees},
    {WH_OP_LRN, "lrn", NULL, emit_lrn},
    {WH_OP_DFT, "dft", claim_dft, emit_dft},
    {WH_OP_DET, "det", claim_det, emit_det},
    {WH_OP_RNN, "rnn", gpu_claim_recurrent, gpu_emit_recurrent},
    {WH_OP_GRU, "gru", gpu_claim_recurrent, gpu_emit_recurrent},
    {WH_OP_LSTM, "lstm", gpu_claim_recurrent, gpu_emit_recurrent},
    {WH_OP_QUANTIZE_LINEAR, "quantize_linear", claim_codes, emit_quantize_linear},
    {WH_OP_DEQUANTIZE_LINEAR, "dequantize_linear", claim_codes, emit_dequantize_linear},
    {0}};
