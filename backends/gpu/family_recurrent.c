/* family_recurrent.c - rnn, gru and lstm: every step of all sequences is a launch or two for products, and as
 * many for cells. */
#include <string.h>

#include "backends/gpu/family_nn.h"
#include "backends/gpu/kernels/reduce_args.h"
#include "core/base/allocator.h"

/* Where each kind has its optional operands; 0: nowhere. */
static const struct {
  uint8_t gates, bias, h0, c0, length, peephole;
} layers[] = {[GPU_RECURRENT_RNN] = {1, 0, 2, 0, 3, 0},
              [GPU_RECURRENT_GRU] = {3, 2, 3, 0, 4, 0},
              [GPU_RECURRENT_LSTM] = {4, 0, 2, 3, 4, 5}};

static gpu_recurrent kind_of(const wh_node_info *node) {
  return node->op == WH_OP_LSTM  ? GPU_RECURRENT_LSTM
         : node->op == WH_OP_GRU ? GPU_RECURRENT_GRU
                                 : GPU_RECURRENT_RNN;
}

/* Scratch: h, c and gru's reset state [b][h], products [b][gates * h]. */
#define STATES 3

wh_status gpu_claim_recurrent(const gpu_device *d, const wh_graph *g, const wh_node_info *node,
                              const int64_t *dims, wh_claim *c) {
  const wh_shape *x = &g->values[node->inputs[0]].shape, *r = &g->values[node->inputs[1]].shape;
  const size_t per_unit = (STATES + layers[kind_of(node)].gates) * sizeof(float);
  size_t bytes;
  (void)d;
  if (!wh_mul_size((size_t)dims[x->dims[1]], (size_t)dims[r->dims[1]], &bytes) ||
      !wh_mul_size(bytes, per_unit, &bytes))
    return WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
  c->scratch_bytes = bytes;
  return WH_OK;
}

static uint64_t input(const gpu_step *s, uint8_t place) { return place ? s->in[place].address : 0; }

static gpu_recurrent_args args_of(const gpu_step *s) {
  const wh_node_info *node = s->node;
  const gpu_recurrent kind = kind_of(node);
  const wh_attr *acts = wh_node_attr(node, WH_ATTR_ACTIVATIONS),
                *factors = wh_node_attr(node, WH_ATTR_FACTORS),
                *coupled = wh_node_attr(node, WH_ATTR_COUPLED),
                *after = wh_node_attr(node, WH_ATTR_RESET_AFTER);
  const int64_t b = s->in[0].dims[1], h = s->in[1].dims[1];
  const uint64_t state_bytes = (uint64_t)(b * h) * sizeof(float);
  gpu_recurrent_args a = {.x = s->in[0].address,
                          .r_bias = input(s, layers[kind].bias),
                          .h0 = input(s, layers[kind].h0),
                          .c0 = input(s, layers[kind].c0),
                          .length = input(s, layers[kind].length),
                          .peephole = input(s, layers[kind].peephole),
                          .h = s->scratch,
                          .c = s->scratch + state_bytes,
                          .reset = s->scratch + 2 * state_bytes,
                          .gate = s->scratch + STATES * state_bytes,
                          .y = s->out[0].address,
                          .last_h = s->out[1].address,
                          .last_c = kind == GPU_RECURRENT_LSTM ? s->out[2].address : 0,
                          .t = s->in[0].dims[0],
                          .b = b,
                          .gates = layers[kind].gates,
                          .by_h = gpu_divisor_of(h),
                          .kind = kind,
                          .clip = wh_node_f(node, WH_ATTR_CLIP),
                          .reverse = wh_node_i(node, WH_ATTR_REVERSE) != 0,
                          .coupled = coupled && coupled->i,
                          .reset_after = after && after->i};
  for (size_t i = 0; i < acts->n; i++) {
    a.act[i] = (uint32_t)acts->ints[i];
    memcpy(a.factor[i], &factors->floats[2 * i], sizeof a.factor[i]);
  }
  return a;
}

/* Gates [first, first + n) of every sequence, times v. */
static wh_status multiply(gpu_emit *e, const gpu_step *s, const gpu_recurrent_args *a, uint64_t v,
                          int64_t first, int64_t n) {
  const int64_t h = a->by_h.n;
  const bool thin = a->b <= GPU_TILE / 4;
  gpu_recurrent_product_args p = {.v = v,
                                  .r = s->in[1].address + (uint64_t)(first * h * h) * sizeof(float),
                                  .gate = a->gate + (uint64_t)(first * h) * sizeof(float),
                                  .b = a->b,
                                  .rows = n * h,
                                  .h = h,
                                  .pitch = a->gates * h};
  gpu_grid grid = {1, 1, 1, GPU_TILE_THREADS, 0};
  if (thin) grid.threads = gpu_flat_grid(p.rows).threads;
  p.across = gpu_divisor_of(gpu_ceil_div(p.rows, thin ? grid.threads : GPU_TILE));
  grid.x = (uint32_t)(gpu_ceil_div(a->b, thin ? GPU_THIN_ROWS : GPU_TILE) * p.across.n);
  return gpu_launch(e, thin ? GPU_K_recurrent_product_thin : GPU_K_recurrent_product, grid, &p, sizeof p);
}

wh_status gpu_emit_recurrent(gpu_emit *e, const gpu_step *s) {
  gpu_recurrent_args a = args_of(s);
  const int64_t units = a.b * a.by_h.n, least = 0;
  const gpu_grid grid = gpu_flat_grid(units);
  const int length = layers[a.kind].length;
  /* gru's candidate takes the product with r * h, which comes later */
  const bool apart = a.kind == GPU_RECURRENT_GRU && !a.reset_after;
  if (a.length) WH_TRY(gpu_check_indices(e, s, &s->in[length], 1, &least, &a.t));
  if (units == 0) return WH_OK;
  WH_TRY(gpu_launch(e, GPU_K_recurrent_begin, grid, &a, sizeof a));
  for (a.step = 0; a.step < a.t; a.step++) {
    WH_TRY(multiply(e, s, &a, a.h, 0, apart ? 2 : a.gates));
    if (apart) {
      a.resets = true;
      WH_TRY(gpu_launch(e, GPU_K_recurrent_cells, grid, &a, sizeof a));
      a.resets = false;
      WH_TRY(multiply(e, s, &a, a.reset, 2, 1));
    }
    WH_TRY(gpu_launch(e, GPU_K_recurrent_cells, grid, &a, sizeof a));
  }
  return WH_OK;
}
