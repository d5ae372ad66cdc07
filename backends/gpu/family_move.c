/* family_move.c - ops that move elements by strides: each as a walk, or with a rule of its own. What lies one
 * behind the other moves in words of up to 16 bytes, whatever its type. */
#include "backends/gpu/family_move.h"

#include "backends/gpu/kernels/move_args.h"

#define WORD 16

int64_t gpu_word(int64_t n_bytes, uint64_t addresses) {
  int64_t word = WORD;
  while (word > 1 && (((uint64_t)n_bytes | addresses) & (uint64_t)(word - 1))) word /= 2;
  return word;
}

/* A move in the making: a walk of bytes. */
typedef struct move {
  wh_nd nd; /* operands GPU_MOVE_TO, GPU_MOVE_FROM */
  int64_t size;
  uint64_t to, from;
} move;

/* To the whole output, in its order. */
static move move_to(const gpu_operand *y, const gpu_operand *x) {
  move m = {.size = gpu_element_bytes(y->dtype), .to = y->address, .from = x->address};
  m.nd.rank = y->rank;
  for (int d = 0; d < y->rank; d++) m.nd.dims[d] = y->dims[d];
  gpu_strides(y, m.size, m.nd.stride[GPU_MOVE_TO]);
  return m;
}

/* Runs that lie one behind the other on both sides become words. */
static void widen(move *m) {
  wh_nd *nd = &m->nd;
  const int last = nd->rank - 1;
  uint64_t all = m->to | m->from;
  if (nd->stride[GPU_MOVE_TO][last] != m->size || nd->stride[GPU_MOVE_FROM][last] != m->size) return;
  for (int d = 0; d < last; d++)
    for (int o = 0; o < 2; o++) all |= (uint64_t)nd->stride[o][d];
  const int64_t word = gpu_word(nd->dims[last] * m->size, all);
  nd->dims[last] = nd->dims[last] * m->size / word;
  nd->stride[GPU_MOVE_TO][last] = nd->stride[GPU_MOVE_FROM][last] = m->size = word;
}

/* Puts the dim along which the source runs right before the last, so that the two make planes to be
 * transposed; false: there is none, or it is the last. The order in which elements are moved is free. */
static bool make_planes(wh_nd *nd, int64_t size) {
  const int last = nd->rank - 1;
  int d = last - 1;
  if (size > 8 || nd->stride[GPU_MOVE_FROM][last] == size || nd->stride[GPU_MOVE_TO][last] != size)
    return false;
  while (d >= 0 && nd->stride[GPU_MOVE_FROM][d] != size) d--;
  if (d < 0 || nd->dims[d] < GPU_MOVE_TILE / 4 || nd->dims[last] < GPU_MOVE_TILE / 4) return false;
  for (; d < last - 1; d++) {
    const int64_t dim = nd->dims[d];
    nd->dims[d] = nd->dims[d + 1];
    nd->dims[d + 1] = dim;
    for (int o = 0; o < 2; o++) {
      const int64_t stride = nd->stride[o][d];
      nd->stride[o][d] = nd->stride[o][d + 1];
      nd->stride[o][d + 1] = stride;
    }
  }
  return true;
}

static wh_status emit_planes(gpu_emit *e, const move *m, gpu_move_args *a) {
  static const gpu_kernel kernels[] = {GPU_K_move_planes1, GPU_K_move_planes2, GPU_K_move_planes4,
                                       GPU_K_move_planes8};
  wh_nd outer = m->nd;
  const int last = outer.rank - 1;
  a->rows = outer.dims[last - 1];
  a->columns = outer.dims[last];
  a->to_row = outer.stride[GPU_MOVE_TO][last - 1];
  a->from_column = outer.stride[GPU_MOVE_FROM][last];
  a->down = gpu_divisor_of(gpu_ceil_div(a->rows, GPU_MOVE_TILE));
  a->across = gpu_divisor_of(gpu_ceil_div(a->columns, GPU_MOVE_TILE));
  outer.rank -= 2;
  wh_nd_collapse(&outer);
  a->walk = gpu_walk_of(&outer);
  a->n = wh_nd_elements(&outer) * a->down.n * a->across.n;
  return gpu_launch(e, kernels[a->size], (gpu_grid){(uint32_t)a->n, 1, 1, GPU_MOVE_TILE * 8, 0}, a,
                    sizeof *a);
}

static wh_status emit_move(gpu_emit *e, move *m) {
  m->nd.n_operands = 2;
  wh_nd_collapse(&m->nd);
  const int64_t n = wh_nd_elements(&m->nd);
  gpu_move_args a = {.to = m->to, .from = m->from};
  if (n == 0) return WH_OK;
  if (make_planes(&m->nd, m->size)) {
    a.size = gpu_log2(m->size);
    return emit_planes(e, m, &a);
  }
  if (m->nd.rank == 1 && m->nd.stride[GPU_MOVE_TO][0] == m->size && m->nd.stride[GPU_MOVE_FROM][0] == m->size)
    return gpu_move(e, m->to, m->from, (uint64_t)(n * m->size));
  widen(m);
  a.size = gpu_log2(m->size);
  a.n = wh_nd_elements(&m->nd);
  a.walk = gpu_walk_of(&m->nd);
  return gpu_launch(e, GPU_K_move_elements, gpu_flat_grid(gpu_ceil_div(a.n, GPU_MOVE_PER_THREAD)), &a,
                    sizeof a);
}

/* ---- walks ---- */

static wh_status emit_transpose(gpu_emit *e, const gpu_step *s) {
  const int64_t *perm = wh_node_attr(s->node, WH_ATTR_PERM)->ints;
  int64_t stride[WH_MAX_RANK];
  if (gpu_is_empty(s)) return WH_OK;
  move m = move_to(s->out, &s->in[0]);
  gpu_strides(&s->in[0], m.size, stride);
  for (int d = 0; d < s->out->rank; d++) m.nd.stride[GPU_MOVE_FROM][d] = stride[perm[d]];
  return emit_move(e, &m);
}

static wh_status emit_slice(gpu_emit *e, const gpu_step *s) {
  const int64_t *starts = wh_node_attr(s->node, WH_ATTR_STARTS)->ints,
                *steps = wh_node_attr(s->node, WH_ATTR_STEPS)->ints;
  int64_t stride[WH_MAX_RANK];
  if (gpu_is_empty(s)) return WH_OK;
  move m = move_to(s->out, &s->in[0]);
  gpu_strides(&s->in[0], m.size, stride);
  for (int d = 0; d < s->out->rank; d++) {
    m.from += (uint64_t)(starts[d] * stride[d]);
    m.nd.stride[GPU_MOVE_FROM][d] = s->out->dims[d] > 1 ? steps[d] * stride[d] : 0;
  }
  return emit_move(e, &m);
}

static wh_status emit_expand(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0], *y = s->out;
  int64_t stride[WH_MAX_RANK];
  if (gpu_is_empty(s)) return WH_OK;
  move m = move_to(y, x);
  gpu_strides(x, m.size, stride);
  for (int d = 0; d < x->rank; d++)
    m.nd.stride[GPU_MOVE_FROM][d + y->rank - x->rank] = x->dims[d] == 1 ? 0 : stride[d];
  return emit_move(e, &m);
}

/* Two dims for each: which repetition, and where in it. */
static wh_status emit_tile(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0];
  const int64_t *repeats = wh_node_attr(s->node, WH_ATTR_REPEATS)->ints;
  int64_t from[WH_MAX_RANK], to[WH_MAX_RANK];
  if (gpu_is_empty(s)) return WH_OK;
  move m = {.size = gpu_element_bytes(x->dtype), .to = s->out->address, .from = x->address};
  gpu_strides(x, m.size, from);
  gpu_strides(s->out, m.size, to);
  for (int d = 0; d < x->rank; d++) {
    m.nd.dims[2 * d] = repeats[d];
    m.nd.stride[GPU_MOVE_TO][2 * d] = x->dims[d] * to[d];
    m.nd.dims[2 * d + 1] = x->dims[d];
    m.nd.stride[GPU_MOVE_TO][2 * d + 1] = to[d];
    m.nd.stride[GPU_MOVE_FROM][2 * d + 1] = from[d];
  }
  m.nd.rank = 2 * x->rank;
  return emit_move(e, &m);
}

static wh_status emit_concat(gpu_emit *e, const gpu_step *s) {
  const int axis = (int)wh_node_i(s->node, WH_ATTR_AXIS);
  int64_t to[WH_MAX_RANK];
  uint64_t dst = s->out->address;
  if (gpu_is_empty(s)) return WH_OK;
  gpu_strides(s->out, gpu_element_bytes(s->out->dtype), to);
  for (unsigned i = 0; i < s->node->n_inputs; i++) {
    const gpu_operand *x = &s->in[i];
    move m = {.size = gpu_element_bytes(x->dtype), .to = dst, .from = x->address};
    m.nd.rank = x->rank;
    for (int d = 0; d < x->rank; d++) {
      m.nd.dims[d] = x->dims[d];
      m.nd.stride[GPU_MOVE_TO][d] = to[d];
    }
    gpu_strides(x, m.size, m.nd.stride[GPU_MOVE_FROM]);
    WH_TRY(emit_move(e, &m));
    dst += (uint64_t)(x->dims[axis] * to[axis]);
  }
  return WH_OK;
}

/* ---- rules ---- */

static wh_status emit_pad(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0], *y = s->out;
  const int64_t *pads = wh_node_attr(s->node, WH_ATTR_PADS)->ints;
  if (gpu_is_empty(s)) return WH_OK;
  gpu_pad_args a = {.x = x->address,
                    .y = y->address,
                    .value = s->in[1].address,
                    .n = gpu_elements(y),
                    .rank = y->rank,
                    .size = gpu_log2_bytes(x->dtype),
                    .mode = (uint32_t)wh_node_i(s->node, WH_ATTR_MODE)};
  gpu_strides(x, gpu_element_bytes(x->dtype), a.stride);
  for (int d = 0; d < y->rank; d++) {
    a.out[d] = gpu_divisor_of(y->dims[d]);
    a.in[d] = x->dims[d];
    a.before[d] = pads[d];
  }
  return gpu_launch(e, GPU_K_pad, gpu_flat_grid(a.n), &a, sizeof a);
}

static wh_status emit_trilu(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0];
  if (gpu_is_empty(s)) return WH_OK;
  const gpu_trilu_args a = {.x = x->address,
                            .y = s->out->address,
                            .n = gpu_elements(x),
                            .k = wh_node_i(s->node, WH_ATTR_K),
                            .columns = gpu_divisor_of(x->dims[x->rank - 1]),
                            .rows = gpu_divisor_of(x->dims[x->rank - 2]),
                            .size = gpu_log2_bytes(x->dtype),
                            .upper = wh_node_i(s->node, WH_ATTR_UPPER) != 0};
  return gpu_launch(e, GPU_K_trilu, gpu_flat_grid(a.n), &a, sizeof a);
}

static wh_status emit_reverse_sequence(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0], *lengths = &s->in[1];
  const int time = (int)wh_node_i(s->node, WH_ATTR_AXIS), batch = (int)wh_node_i(s->node, WH_ATTR_BATCH_AXIS),
            inner = time > batch ? time : batch;
  const int64_t least = 0, most = x->dims[time];
  if (gpu_is_empty(s)) return WH_OK;
  WH_TRY(gpu_check_indices(e, s, lengths, 1, &least, &most));
  const int64_t bytes = gpu_product(x->dims + inner + 1, x->rank - inner - 1) * gpu_element_bytes(x->dtype),
                word = gpu_word(bytes, x->address | s->out->address);
  const gpu_reverse_args a = {.x = x->address,
                              .y = s->out->address,
                              .lengths = lengths->address,
                              .n = gpu_product(x->dims, inner + 1) * (bytes / word),
                              .words = gpu_divisor_of(bytes / word),
                              .time = gpu_divisor_of(x->dims[time]),
                              .batch = gpu_divisor_of(x->dims[batch]),
                              .behind_time = gpu_divisor_of(gpu_product(x->dims + time + 1, inner - time)),
                              .behind_batch = gpu_divisor_of(gpu_product(x->dims + batch + 1, inner - batch)),
                              .type = gpu_type_of(lengths->dtype),
                              .size = gpu_log2(word)};
  return gpu_launch(e, GPU_K_reverse_sequence, gpu_flat_grid(a.n), &a, sizeof a);
}

const gpu_op gpu_ops_move[] = {{WH_OP_TRANSPOSE, "transpose", NULL, emit_transpose},
                               {WH_OP_SLICE, "slice", NULL, emit_slice},
                               {WH_OP_CONCAT, "concat", NULL, emit_concat},
                               {WH_OP_PAD, "pad", NULL, emit_pad},
                               {WH_OP_EXPAND, "expand", NULL, emit_expand},
                               {WH_OP_TILE, "tile", NULL, emit_tile},
                               {WH_OP_TRILU, "trilu", NULL, emit_trilu},
                               {WH_OP_REVERSE_SEQUENCE, "reverse_sequence", NULL, emit_reverse_sequence},
                               {WH_OP_GATHER, "gather", NULL, gpu_emit_gather},
                               {WH_OP_GATHER_ELEMENTS, "gather_elements", NULL, gpu_emit_gather_elements},
                               {WH_OP_GATHER_ND, "gather_nd", NULL, gpu_emit_gather_nd},
                               {WH_OP_SCATTER_ELEMENTS, "scatter_elements", NULL, gpu_emit_scatter_elements},
                               {WH_OP_SCATTER_ND, "scatter_nd", gpu_claim_scatter_nd, gpu_emit_scatter_nd},
                               {0}};
