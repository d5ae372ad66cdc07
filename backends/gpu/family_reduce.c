/* family_reduce.c - reductions over axes, ops along one, and products of activations. */
#include <stdio.h>

#include "backends/gpu/kernels/activations.h"
#include "backends/gpu/kernels/reduce_args.h"
#include "backends/gpu/walks.h"

/* One of three kernels, by the type of the elements. */
static gpu_kernel by_type(wh_dtype d, gpu_kernel f32, gpu_kernel f64, gpu_kernel integer) {
  return d == WH_DTYPE_F32 ? f32 : d == WH_DTYPE_F64 ? f64 : integer;
}
#define BY_TYPE(dtype, name) by_type(dtype, GPU_K_##name##_f32, GPU_K_##name##_f64, GPU_K_##name##_integer)

/* ---- reductions ---- */

/* The dims of x that are reduced, or kept. */
static wh_nd dims_of(const gpu_operand *x, const wh_attr *axes, bool reduced) {
  wh_nd nd = {.n_operands = 1};
  int64_t stride[WH_MAX_RANK];
  unsigned mask = 0;
  for (size_t i = 0; i < axes->n; i++) mask |= 1u << axes->ints[i];
  gpu_strides(x, 1, stride);
  for (int d = 0; d < x->rank; d++)
    if ((mask >> d & 1) == reduced) {
      nd.dims[nd.rank] = x->dims[d];
      nd.stride[0][nd.rank++] = stride[d];
    }
  wh_nd_collapse(&nd);
  return nd;
}

static gpu_reduction reduction_of(wh_op op) {
  switch (op) {
    case WH_OP_REDUCE_PROD:
      return GPU_REDUCE_PROD;
    case WH_OP_REDUCE_MAX:
      return GPU_REDUCE_MAX;
    case WH_OP_REDUCE_MIN:
      return GPU_REDUCE_MIN;
    case WH_OP_REDUCE_SUM_SQUARE:
      return GPU_REDUCE_SUM_SQUARE;
    case WH_OP_REDUCE_L1:
      return GPU_REDUCE_L1;
    default:
      return GPU_REDUCE_SUM;
  }
}

#define WARP 32
#define ROWS_OF_BLOCK 4 /* outputs: a warp each */

static wh_status emit_reduce(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0];
  const wh_attr *axes = wh_node_attr(s->node, WH_ATTR_AXES);
  if (gpu_is_empty(s)) return WH_OK;
  const wh_nd kept = dims_of(x, axes, false), reduced = dims_of(x, axes, true);
  const gpu_reduce_args a = {.x = x->address,
                             .y = s->out->address,
                             .outputs = wh_nd_elements(&kept),
                             .n = wh_nd_elements(&reduced),
                             .reduction = reduction_of(s->node->op),
                             .type = gpu_type_of(x->dtype),
                             .kept = gpu_walk_of(&kept),
                             .reduced = gpu_walk_of(&reduced)};
  /* neighbours are outputs of their own, or elements of one */
  if (kept.stride[0][kept.rank - 1] == 1 && kept.dims[kept.rank - 1] >= GPU_REDUCE_COLUMNS / 4) {
    const gpu_grid grid = {(uint32_t)gpu_ceil_div(a.outputs, GPU_REDUCE_COLUMNS), 1, 1,
                           8 * GPU_REDUCE_COLUMNS, 0};
    return gpu_launch(e, BY_TYPE(x->dtype, reduce_columns), grid, &a, sizeof a);
  }
  const int64_t rows = a.outputs < ROWS_OF_BLOCK ? a.outputs : ROWS_OF_BLOCK;
  const gpu_grid grid = {(uint32_t)gpu_ceil_div(a.outputs, rows), 1, 1, (uint32_t)rows * WARP, 0};
  return gpu_launch(e, BY_TYPE(x->dtype, reduce_rows), grid, &a, sizeof a);
}

/* ---- along one axis ---- */

static gpu_line_args lines_of(const gpu_step *s) {
  const gpu_operand *x = &s->in[0];
  const int axis = (int)wh_node_i(s->node, WH_ATTR_AXIS);
  const int64_t inner = gpu_product(x->dims + axis + 1, x->rank - axis - 1);
  return (gpu_line_args){.x = x->address,
                         .y = s->out->address,
                         .lines = gpu_product(x->dims, axis) * inner,
                         .n = x->dims[axis],
                         .inner = gpu_divisor_of(inner),
                         .type = gpu_type_of(x->dtype),
                         .lanes = inner >= WARP ? 1 : WARP};
}

static wh_status emit_arg(gpu_emit *e, const gpu_step *s) {
  if (gpu_elements(&s->in[0]) == 0) return WH_OK; /* no lines, or empty ones */
  gpu_line_args a = lines_of(s);
  a.largest = s->node->op == WH_OP_ARG_MAX;
  a.last = wh_node_i(s->node, WH_ATTR_LAST) != 0;
  return gpu_launch(e, BY_TYPE(s->in[0].dtype, arg), gpu_flat_grid(a.lines * a.lanes), &a, sizeof a);
}

#define LONG_LINE 1024 /* elements from which on a line has more than a warp */

/* Lines of f32 that topk_select takes. */
static bool selects(wh_dtype dtype, int64_t n, int64_t k) {
  return dtype == WH_DTYPE_F32 && n > LONG_LINE && n <= (int64_t)GPU_SELECT_PIECE * UINT16_MAX &&
         k <= GPU_SELECT_MOST;
}
static int64_t pieces_of(int64_t n) { return gpu_ceil_div(n, GPU_SELECT_PIECE); }

/* What the pieces of all lines leave. */
static wh_status claim_topk(const gpu_device *d, const wh_graph *g, const wh_node_info *node,
                            const int64_t *dims, wh_claim *c) {
  (void)d;
  const wh_shape *x = &g->values[node->inputs[0]].shape;
  const int64_t k = wh_node_i(node, WH_ATTR_K), n = x->rank ? dims[x->dims[x->rank - 1]] : 0;
  if (wh_node_i(node, WH_ATTR_AXIS) != x->rank - 1 || !selects(x->dtype, n, k)) return WH_OK;
  uint64_t bytes = (uint64_t)(pieces_of(n) * k) * sizeof(uint64_t);
  for (int i = 0; i + 1 < x->rank; i++)
    if (__builtin_mul_overflow(bytes, (uint64_t)dims[x->dims[i]], &bytes))
      return WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
  c->scratch_bytes = bytes;
  return WH_OK;
}

static wh_status emit_select(gpu_emit *e, const gpu_step *s, const gpu_line_args *lines) {
  const gpu_select_args a = {.x = lines->x,
                             .y = lines->y,
                             .indices = lines->indices,
                             .candidates = s->scratch,
                             .n = (uint32_t)lines->n,
                             .k = (uint32_t)lines->k,
                             .pieces = (uint32_t)pieces_of(lines->n),
                             .largest = lines->largest};
  gpu_grid grid = {(uint32_t)lines->lines, a.pieces, 1, GPU_SELECT_THREADS, 0};
  WH_TRY(gpu_launch(e, GPU_K_topk_pieces, grid, &a, sizeof a));
  grid.y = 1;
  return gpu_launch(e, GPU_K_topk_select, grid, &a, sizeof a);
}

static wh_status emit_topk(gpu_emit *e, const gpu_step *s) {
  if (gpu_is_empty(s)) return WH_OK;
  gpu_line_args a = lines_of(s);
  a.indices = s->out[1].address;
  a.k = wh_node_i(s->node, WH_ATTR_K);
  a.largest = wh_node_i(s->node, WH_ATTR_LARGEST) != 0;
  const uint64_t most =
      s->scratch_bytes / sizeof(uint64_t); /* candidates; none where the axis is not the last */
  if (selects(s->in[0].dtype, a.n, a.k) && a.inner.n == 1 &&
      a.lines <= (int64_t)(most / (uint64_t)(pieces_of(a.n) * a.k)))
    return emit_select(e, s, &a);
  const gpu_grid grid = {(uint32_t)a.lines, 1, 1, a.n > LONG_LINE ? 8 * WARP : WARP, 0};
  return gpu_launch(e, BY_TYPE(s->in[0].dtype, topk), grid, &a, sizeof a);
}

static wh_status emit_cumsum(gpu_emit *e, const gpu_step *s) {
  if (gpu_is_empty(s)) return WH_OK;
  gpu_line_args a = lines_of(s);
  a.exclusive = wh_node_i(s->node, WH_ATTR_EXCLUSIVE) != 0;
  a.reverse = wh_node_i(s->node, WH_ATTR_REVERSE) != 0;
  return gpu_launch(e, BY_TYPE(s->in[0].dtype, cumsum), gpu_flat_grid(a.lines), &a, sizeof a);
}

/* ---- products ---- */

static wh_nd batches_of(const gpu_step *s) {
  const gpu_operand *y = s->out;
  wh_nd nd = {.rank = y->rank - 2, .n_operands = 2};
  for (int d = 0; d < nd.rank; d++) nd.dims[d] = y->dims[d];
  for (int o = 0; o < 2; o++) {
    const gpu_operand *x = &s->in[o];
    int64_t stride = x->dims[x->rank - 1] * x->dims[x->rank - 2];
    for (int d = x->rank - 3, to = nd.rank - 1; d >= 0; d--, to--) {
      nd.stride[o][to] = x->dims[d] == 1 ? 0 : stride;
      stride *= x->dims[d];
    }
  }
  wh_nd_collapse(&nd);
  return nd;
}

/* Batches that share b, and whose a's lie one behind the other, are rows of one. */
static void join_batches(gpu_matmul_args *a, wh_nd *batches) {
  if (batches->rank != 1 || batches->stride[1][0] != 0 || batches->stride[0][0] != a->m * a->k) return;
  a->m *= batches->dims[0];
  batches->dims[0] = 1;
}

#define FEW_OUTPUTS \
  2048 /* a thread for each column of some rows keeps more of the device busy than tiles do */

static wh_status emit_matmul(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *left = &s->in[0], *right = &s->in[1];
  const bool codes = s->node->op == WH_OP_MATMUL_INTEGER;
  if (gpu_is_empty(s)) return WH_OK;
  gpu_matmul_args a = {.a = left->address,
                       .b = right->address,
                       .y = s->out->address,
                       .m = left->dims[left->rank - 2],
                       .n = right->dims[right->rank - 1],
                       .k = left->dims[left->rank - 1],
                       .a_type = gpu_type_of(left->dtype),
                       .b_type = gpu_type_of(right->dtype)};
  wh_nd batches = batches_of(s);
  if (codes) {
    a.a_zero = s->in[2].address;
    a.b_zero = s->in[3].address;
    a.a_zero_step = a.a_zero && gpu_elements(&s->in[2]) > 1;
    a.b_zero_step = a.b_zero && gpu_elements(&s->in[3]) > 1;
  } else {
    join_batches(&a, &batches);
  }
  const bool thin = a.m <= GPU_THIN_ROWS || a.m * a.n <= FEW_OUTPUTS;
  gpu_grid grid = {1, 1, 1, GPU_TILE_THREADS, 0};
  if (thin) grid.threads = gpu_flat_grid(a.n).threads;
  a.down = gpu_divisor_of(gpu_ceil_div(a.m, thin ? GPU_THIN_ROWS : GPU_TILE));
  a.across = gpu_divisor_of(gpu_ceil_div(a.n, thin ? grid.threads : GPU_TILE));
  a.batches = gpu_walk_of(&batches);
  grid.x = (uint32_t)(wh_nd_elements(&batches) * a.down.n * a.across.n);
  const gpu_kernel tiled = by_type(left->dtype, GPU_K_matmul_f32, GPU_K_matmul_f64, GPU_K_matmul_codes),
                   few = by_type(left->dtype, GPU_K_matmul_thin_f32, GPU_K_matmul_thin_f64,
                                 GPU_K_matmul_thin_codes);
  return gpu_launch(e, thin ? few : tiled, grid, &a, sizeof a);
}

/* ---- weights of few bits in blocks ---- */

/* Of f32 the engine has the weights decoded: a matmul of those is faster than a chain over codes. */
static wh_status claim_matmul_blocks(const gpu_device *d, const wh_graph *g, const wh_node_info *node,
                                     const int64_t *dims, wh_claim *c) {
  (void)d;
  (void)dims;
  c->supported = g->values[node->inputs[0]].shape.dtype == WH_DTYPE_Q13A;
  if (!c->supported)
    (void)snprintf(c->reason, sizeof c->reason, "weights of few bits take activations of q13a here");
  return WH_OK;
}

static wh_status emit_matmul_blocks(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0], *codes = &s->in[1], *scales = &s->in[2];
  const int64_t rows = gpu_rows(x), n = gpu_row_length(s->out), k = gpu_row_length(x),
                block = wh_node_i(s->node, WH_ATTR_BLOCK),
                piece = block < GPU_Q13A_BLOCK ? block : GPU_Q13A_BLOCK, panels = codes->dims[0],
                words = codes->dims[1], blocks = scales->dims[1];
  int64_t grid = 0;
  if (gpu_is_empty(s)) return WH_OK;
  if (rows > INT32_MAX || __builtin_mul_overflow(panels, gpu_ceil_div(rows, GPU_BLOCKS_WARPS), &grid) ||
      grid > INT32_MAX)
    return WH_FAIL(ERR_LIMIT, "node '%s' has too many outputs", s->node->name);
  const gpu_q13a f = gpu_q13a_of((uint64_t)rows, (uint64_t)k);
  const gpu_blocks_args a = {.high = x->address,
                             .low = x->address + f.low,
                             .x_scales = x->address + f.scales,
                             .codes = codes->address,
                             .scales = scales->address,
                             .zeros = s->in[3].address,
                             .y = s->out->address,
                             .rows = (uint32_t)rows,
                             .n = (uint32_t)n, /* below 2^31, as k: the op's shape rule */
                             .padded = (uint32_t)f.padded,
                             .bits = (uint32_t)(words * 32 / (blocks * block)),
                             .block = (uint32_t)block,
                             .piece = (uint32_t)piece,
                             .pieces = (uint32_t)gpu_ceil_div(k, piece),
                             .panels = (uint32_t)panels,
                             .words = (uint32_t)words,
                             .blocks = (uint32_t)blocks};
  return gpu_launch(e, GPU_K_matmul_blocks, (gpu_grid){(uint32_t)grid, 1, 1, GPU_BLOCKS_WARPS * WARP, 0}, &a,
                    sizeof a);
}

const gpu_op gpu_ops_reduce[] = {
    {WH_OP_REDUCE_SUM, "reduce_sum", NULL, emit_reduce},
    {WH_OP_REDUCE_PROD, "reduce_prod", NULL, emit_reduce},
    {WH_OP_REDUCE_MAX, "reduce_max", NULL, emit_reduce},
    {WH_OP_REDUCE_MIN, "reduce_min", NULL, emit_reduce},
    {WH_OP_REDUCE_SUM_SQUARE, "reduce_sum_square", NULL, emit_reduce},
    {WH_OP_REDUCE_L1, "reduce_l1", NULL, emit_reduce},
    {WH_OP_ARG_MAX, "arg_max", NULL, emit_arg},
    {WH_OP_ARG_MIN, "arg_min", NULL, emit_arg},
    {WH_OP_CUMSUM, "cumsum", NULL, emit_cumsum},
    {WH_OP_TOPK, "topk", claim_topk, emit_topk},
    {WH_OP_MATMUL, "matmul", NULL, emit_matmul},
    {WH_OP_MATMUL_INTEGER, "matmul_integer", NULL, emit_matmul},
    {WH_OP_MATMUL_BLOCKS, "matmul_blocks", claim_matmul_blocks, emit_matmul_blocks},
    {0}};
