/* family_linear.c - products, and products of the experts that each row chose. */
#include <stdio.h>
#include <string.h>

#include "backends/gpu/device.h"
#include "backends/gpu/gpu_internal.h"
#include "backends/gpu/kernels/activations.h"
#include "backends/gpu/kernels/linear_args.h"
#include "backends/gpu/kernels/linear_launch.h"
#include "backends/gpu/kernels/warpgroup_args.h"
#include "backends/gpu/weights.h"

#define MOST_ROW_TILES 65535 /* of a grid's y */
#define MOST_EXPERTS 8192    /* whose counts fit shared memory */

/* ---- kernels by type of weights ---- */

typedef struct linear_kernels {
  gpu_kernel single, decode, batch, prefill; /* a row, up to 8, up to 32, more */
  gpu_kernel pack, warpgroup; /* more, on warpgroups; not of F32, whose sums are chains of fp32 */
  gpu_kernel warpgroup_few, warpgroup_split; /* up to 64; the same with K shared out; of quantised weights */
} linear_kernels;

static linear_kernels kernels_of(wh_dtype dtype) {
  switch (dtype) {
#define KERNELS(type, lower, ...)                               \
  case WH_DTYPE_##type:                                         \
    return (linear_kernels){GPU_K_linear_single_##lower,        \
                            GPU_K_linear_decode_##lower,        \
                            GPU_K_linear_batch_##lower,         \
                            GPU_K_linear_prefill_##lower,       \
                            GPU_K_pack_rows,                    \
                            GPU_K_linear_warpgroup_##lower,     \
                            GPU_K_linear_warpgroup_few_##lower, \
                            GPU_K_linear_warpgroup_split_##lower};
    WH_QUANT_FORMATS(KERNELS)
#undef KERNELS
    case WH_DTYPE_F32:
      return (linear_kernels){.single = GPU_K_linear_decode_f32,
                              .decode = GPU_K_linear_decode_f32,
                              .batch = GPU_K_linear_prefill_f32,
                              .prefill = GPU_K_linear_prefill_f32};
    default: /* F16, BF16 */
      return (linear_kernels){.single = GPU_K_linear_decode_wide,
                              .decode = GPU_K_linear_decode_wide,
                              .batch = GPU_K_linear_batch_wide,
                              .prefill = GPU_K_linear_prefill_wide,
                              .pack = GPU_K_pack_limbs,
                              .warpgroup = GPU_K_linear_warpgroup_wide};
  }
}

/* Whether a product of so many rows, for each expert, may run on warpgroups; its activations are packed for
 * them. */
static bool takes_warpgroups(const gpu_device *d, const gpu_weights *w, int64_t rows, uint32_t least) {
  return d->warpgroups && w->dtype != WH_DTYPE_F32 && rows >= w->n_experts * least;
}
/* Rows of the tiles that those of a product are packed in. */
static uint32_t packed_rows(const gpu_weights *w, int64_t rows) {
  return w->quant && rows <= WARPGROUP_FEW ? WARPGROUP_FEW : WARPGROUP_ROWS;
}
static uint64_t packed_bytes(const gpu_weights *w, int64_t row_tiles, uint32_t tile_rows) {
  const uint32_t group =
      w->quant ? warpgroup_group_bytes(tile_rows, (int)w->quant->min) : WARPGROUP_WIDE_BYTES;
  return (uint64_t)row_tiles * w->matrix.n_groups * group;
}

/* ---- claims ---- */

static void refuse(wh_claim *c, const char *why) {
  c->supported = false;
  (void)snprintf(c->reason, sizeof c->reason, "%.*s", (int)sizeof c->reason - 1, why);
}

/* Rows of the tiles that the rows of n matrices are cut into. */
static uint32_t tile_rows_of(wh_dtype weights, int64_t rows, int64_t n) {
  if (rows <= n * DECODE_ROWS) return DECODE_ROWS;
  return rows <= n * BATCH_ROWS && weights != WH_DTYPE_F32 ? BATCH_ROWS : PREFILL_ROWS;
}
static int64_t expert_tiles(int64_t rows, int64_t n_experts, uint32_t tile_rows) {
  return rows / tile_rows + (rows < n_experts ? rows : n_experts);
}
static int64_t row_tiles_of(int64_t rows, uint32_t tile_rows) { return (rows + tile_rows - 1) / tile_rows; }

/* Of experts' scratch: rows in order and their tiles, then what warpgroups read. */
static uint64_t order_bytes(int64_t rows) { return gpu_section((uint64_t)rows * 4); }
static uint64_t tiles_bytes(int64_t n_tiles) { return gpu_section((uint64_t)n_tiles * sizeof(gpu_row_tile)); }

static wh_status expert_scratch(const gpu_device *d, const wh_graph *g, const wh_node_info *node,
                                const int64_t *dims, const gpu_weights *w, wh_claim *c) {
  const wh_shape *selected = &g->values[node->inputs[2]].shape;
  int64_t rows;
  if (__builtin_mul_overflow(dims[selected->dims[0]], dims[selected->dims[1]], &rows) || rows > INT32_MAX)
    return WH_FAIL(ERR_LIMIT, "node '%s' has too many rows", node->name);
  if (w->n_experts > MOST_EXPERTS) {
    (void)snprintf(c->reason, sizeof c->reason, "more than %d experts", MOST_EXPERTS);
    c->supported = false;
    return WH_OK;
  }
  c->scratch_bytes = order_bytes(rows) + tiles_bytes(expert_tiles(rows, w->n_experts, DECODE_ROWS));
  if (takes_warpgroups(d, w, rows, WARPGROUP_LEAST_ROWS))
    c->scratch_bytes += packed_bytes(w, expert_tiles(rows, w->n_experts, WARPGROUP_ROWS), WARPGROUP_ROWS);
  return WH_OK;
}

static wh_status claim_linear(const gpu_device *d, const wh_graph *g, const wh_node_info *node,
                              const int64_t *dims, wh_claim *c) {
  const wh_value_info *x = &g->values[node->inputs[0]], *value = &g->values[node->inputs[1]];
  gpu_weights w;
  if (value->kind != WH_VALUE_CONST) {
    refuse(c, "weights must be constants");
    return WH_OK;
  }
  const wh_status st = gpu_weights_of(g, &value->shape, &w);
  if (st == WH_ERR_UNSUPPORTED) {
    refuse(c, wh_last_error()->message);
    return WH_OK;
  }
  WH_TRY(st);
  const wh_dtype takes = w.quant ? WH_DTYPE_Q8A : w.dtype == WH_DTYPE_F32 ? WH_DTYPE_F32 : WH_DTYPE_Q13A;
  if (x->shape.dtype != takes) {
    refuse(c, "quantised and 16-bit weights take quantised activations (the legalisation pass adds them)");
    return WH_OK;
  }
  c->layouts[c->n_layouts++] = (wh_weight_layout){1, GPU_LAYOUT_TILES, (size_t)w.n_bytes};
  if (node->op == WH_OP_EXPERT_LINEAR) return expert_scratch(d, g, node, dims, &w, c);
  int64_t rows = 1;
  for (int i = 0; i + 1 < x->shape.rank; i++)
    if (__builtin_mul_overflow(rows, dims[x->shape.dims[i]], &rows) || rows > INT32_MAX)
      return WH_FAIL(ERR_LIMIT, "node '%s' has too many rows", node->name);
  if (takes_warpgroups(d, &w, rows, WARPGROUP_FEW_ROWS))
    c->scratch_bytes = packed_bytes(&w, row_tiles_of(rows, packed_rows(&w, rows)), packed_rows(&w, rows));
  if (gpu_takes_fast(d, &w, rows) && c->scratch_bytes < gpu_fast_bytes(&w, rows))
    c->scratch_bytes = gpu_fast_bytes(&w, rows);
  return WH_OK;
}

/* ---- launches ---- */

static uint32_t min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }

static void set_activations(const gpu_operand *x, const gpu_weights *w, gpu_linear_args *a) {
  const uint64_t rows = (uint64_t)gpu_rows(x), k = (uint64_t)w->k;
  a->x = x->address;
  if (w->quant) {
    const gpu_q8a f = gpu_q8a_of(rows, k);
    a->x_shifts = a->x + f.shifts;
    a->x_sums = a->x + f.sums;
    a->x_scales = a->x + f.scales;
  } else if (w->dtype != WH_DTYPE_F32) {
    const gpu_q13a f = gpu_q13a_of(rows, k);
    a->x_low = a->x + f.low;
    a->x_scales = a->x + f.scales;
  }
}

/* By the same kernel and, of experts, for the same choice of them. */
static bool products_join(const wh_block *block, const wh_step *first, const wh_step *next) {
  const wh_graph *g = block->graph;
  const wh_node_info *a = &g->nodes[first->node], *b = &g->nodes[next->node];
  if ((a->op != WH_OP_LINEAR && a->op != WH_OP_EXPERT_LINEAR) || a->op != b->op ||
      a->inputs[0] != b->inputs[0])
    return false;
  const wh_shape *wa = &g->values[a->inputs[1]].shape, *wb = &g->values[b->inputs[1]].shape;
  if (kernels_of(wa->dtype).decode != kernels_of(wb->dtype).decode) return false;
  return a->op == WH_OP_LINEAR || (a->inputs[2] == b->inputs[2] && wa->dims[0] == wb->dims[0]);
}

size_t gpu_products_joined(const wh_block *block, size_t first) {
  const wh_step *steps = &block->steps[first];
  size_t n = 1;
  while (n < GPU_MOST_JOINED && first + n < block->n_steps && steps[n].phase == steps->phase &&
         products_join(block, steps, &steps[n]))
    n++;
  return n;
}

/* The weights and places of one of a launch's products. */
static wh_status set_matrix(const gpu_step *s, gpu_weights *w, gpu_linear_matrix *m) {
  WH_TRY(gpu_weights_of(s->graph, &s->graph->values[s->node->inputs[1]].shape, w));
  if (s->in[1].layout != GPU_LAYOUT_TILES || s->in[1].n_bytes < w->n_bytes)
    return WH_FAIL(ERR_INTERNAL, "weights in layout %u of %llu bytes, not %u of %llu", s->in[1].layout,
                   (unsigned long long)s->in[1].n_bytes, GPU_LAYOUT_TILES, (unsigned long long)w->n_bytes);
  *m = (gpu_linear_matrix){
      .w = s->in[1].address, .expert_bytes = w->expert_bytes, .y = s->out[0].address, .n = (uint32_t)w->n};
  if (s->node->op == WH_OP_LINEAR) {
    m->bias = s->in[2].address;
    m->residual = s->in[3].address;
  }
  return WH_OK;
}

/* Of n steps that join. `w`: the first one's weights; of the others the size in outputs is another. */
static wh_status set_args(const gpu_step *steps, size_t n, gpu_weights *w, gpu_linear_args *a) {
  const int64_t rows = gpu_rows(&steps[0].out[0]);
  if (rows > INT32_MAX) return WH_FAIL(ERR_LIMIT, "a product of %lld rows", (long long)rows);
  *a = (gpu_linear_args){.rows = (uint32_t)rows, .rows_per_x = 1};
  for (size_t i = GPU_MOST_MATRICES; i-- > 0;) { /* the first one last */
    a->matrices[i].first_block = GPU_NO_BLOCK;
    if (i < n) WH_TRY(set_matrix(&steps[i], w, &a->matrices[i]));
  }
  a->k = (uint32_t)w->k;
  a->n_experts = (uint32_t)w->n_experts;
  set_activations(&steps[0].in[0], w, a);
  return WH_OK;
}

/* Gives each of the n matrices its blocks of so many outputs: how many those are. */
static uint32_t place_blocks(gpu_linear_args *a, size_t n, uint32_t outputs) {
  uint32_t blocks = 0;
  for (size_t i = 0; i < n; i++) {
    a->matrices[i].first_block = blocks;
    blocks += (a->matrices[i].n + outputs - 1) / outputs;
  }
  return blocks;
}

/* Rows of the tiles of n joined products that do not run on warpgroups. Up to 64 rows are two tiles of a
 * batch where one of a prompt would leave half of the processors idle: 16 times the blocks, at most half as
 * many instructions more. */
static uint32_t linear_tile_rows(const gpu_device *d, const gpu_weights *w, gpu_linear_args *a, size_t n) {
  const uint32_t rows = tile_rows_of(w->dtype, a->rows, 1);
  if (rows <= BATCH_ROWS || a->rows > 2 * BATCH_ROWS || w->dtype == WH_DTYPE_F32) return rows;
  const uint64_t blocks = place_blocks(a, n, GPU_TILES * GPU_TILE_ROWS);
  return 2 * blocks <= (uint64_t)d->processors ? BATCH_ROWS : rows;
}

static wh_status launch_decode(gpu_emit *e, const gpu_weights *w, gpu_linear_args *a, size_t n,
                               uint32_t row_tiles) {
  gpu_grid grid = {.y = row_tiles, .z = 1};
  if (w->dtype == WH_DTYPE_F32) {
    const uint32_t chunks = (a->k + 511) / 512; /* of K, that warps share out, as they do groups */
    grid.x = place_blocks(a, n, GPU_F32_ROWS);
    grid.threads = 32 * min_u32(chunks, F32_DECODE_WARPS);
    grid.shared_bytes = min_u32(chunks, F32_DECODE_ROUND) * F32_DECODE_PART_BYTES;
    return gpu_launch(e, GPU_K_linear_decode_f32, grid, a, sizeof *a);
  }
  const bool batch = a->tile_rows > DECODE_ROWS, single = w->quant && (a->tile_rows == 1 || a->rows == 1);
  const uint32_t rows = batch ? BATCH_ROWS : DECODE_ROWS, groups = w->matrix.n_groups;
  const linear_kernels k = kernels_of(w->dtype);
  grid.x = place_blocks(a, n, GPU_TILE_ROWS);
  grid.threads = 32 * min_u32(groups, batch ? BATCH_WARPS : single ? SINGLE_WARPS : DECODE_WARPS);
  grid.shared_bytes = single ? 0 : min_u32(groups, decode_round(rows)) * decode_part_bytes(rows);
  return gpu_launch(e, batch ? k.batch : single ? k.single : k.decode, grid, a, sizeof *a);
}

static wh_status launch_prefill(gpu_emit *e, const gpu_weights *w, gpu_linear_args *a, size_t n,
                                uint32_t row_tiles) {
  gpu_grid grid = {.y = row_tiles, .z = 1};
  if (w->dtype == WH_DTYPE_F32) {
    grid.x = place_blocks(a, n, F32_PREFILL_COLUMNS);
    grid.threads = F32_PREFILL_THREADS;
  } else {
    const uint32_t chunk = w->matrix.chunk_bytes, head = w->matrix.head_bytes;
    const bool sums = w->quant && (w->quant->min == WH_MIN_F16 || w->quant->min == WH_MIN_SUB32);
    grid.x = place_blocks(a, n, GPU_TILES * GPU_TILE_ROWS);
    grid.threads = PREFILL_THREADS;
    grid.shared_bytes = w->quant ? prefill_shared_bytes(PREFILL_QUANT_STAGES, chunk, head, 1, sums ? 28 : 12)
                                 : prefill_shared_bytes(PREFILL_WIDE_STAGES, chunk, head, 2, 4);
  }
  return gpu_launch(e, kernels_of(w->dtype).prefill, grid, a, sizeof *a);
}

/* Tiles of outputs that a block of warpgroups has of n joined products; none: they do not run there. Up to 64
 * rows are worth it where there are blocks for all processors, or, with K shared out, for a third of them: a
 * product takes a third of a batch's instructions. */
static uint32_t warpgroup_tiles(const gpu_device *d, const gpu_weights *w, gpu_linear_args *a, size_t n) {
  if (takes_warpgroups(d, w, a->rows, WARPGROUP_LEAST_ROWS)) return GPU_TILES;
  if (!takes_warpgroups(d, w, a->rows, WARPGROUP_FEW_ROWS)) return 0;
  const uint64_t processors = (uint64_t)d->processors;
  if (place_blocks(a, n, GPU_TILES * GPU_TILE_ROWS) >= processors) return GPU_TILES;
  const uint64_t blocks = place_blocks(a, n, WARPGROUP_SPLIT_TILES * GPU_TILE_ROWS);
  return w->quant && 3 * blocks >= processors ? WARPGROUP_SPLIT_TILES : 0;
}

/* `packed`: room for the activations. */
static wh_status launch_warpgroups(gpu_emit *e, const gpu_weights *w, gpu_linear_args *a, size_t n,
                                   uint32_t row_tiles, uint32_t tiles, uint64_t packed) {
  const linear_kernels k = kernels_of(w->dtype);
  const uint32_t group_blocks = w->matrix.group_chunks * GPU_K_CHUNK / 32;
  const gpu_warpgroup_pack_args pack = {.products = *a,
                                        .y = packed,
                                        .n_groups = w->matrix.n_groups,
                                        .min = w->quant ? (int32_t)w->quant->min : WH_MIN_NONE};
  const gpu_grid blocks = {w->matrix.n_groups * group_blocks, row_tiles, 1, a->tile_rows, 0};
  WH_TRY(gpu_launch(e, k.pack, blocks, &pack, sizeof pack));
  a->x = packed;
  const bool splits = tiles == WARPGROUP_SPLIT_TILES;
  const uint32_t stage = w->quant ? warpgroup_stage_bytes(a->tile_rows, tiles, w->matrix.chunk_bytes,
                                                          w->matrix.head_bytes, (int)w->quant->min)
                                  : WARPGROUP_WIDE_STAGE_BYTES;
  const uint32_t stages = 2 * (w->quant ? GPU_QUANT_CHUNKS : 1);
  const gpu_grid grid = {
      .x = place_blocks(a, n, tiles * GPU_TILE_ROWS),
      .y = row_tiles,
      .z = 1,
      .threads = WARPGROUP_THREADS,
      .shared_bytes = warpgroup_ring_bytes(stage, stages) + (splits ? WARPGROUP_SUM_BYTES : 0)};
  const gpu_kernel kernel = splits                          ? k.warpgroup_split
                            : a->tile_rows == WARPGROUP_FEW ? k.warpgroup_few
                                                            : k.warpgroup;
  return gpu_launch(e, kernel, grid, a, sizeof *a);
}

/* On warpgroups with blocks of so many tiles of outputs, and room at `packed`; or, without tiles, elsewhere.
 */
static wh_status launch(gpu_emit *e, const gpu_weights *w, gpu_linear_args *a, size_t n, int64_t row_tiles,
                        uint32_t tiles, uint64_t packed) {
  if (row_tiles > MOST_ROW_TILES) return WH_FAIL(ERR_LIMIT, "a product of %u rows", a->rows);
  const uint32_t y = (uint32_t)row_tiles;
  if (tiles) return launch_warpgroups(e, w, a, n, y, tiles, packed);
  return (a->tile_rows <= BATCH_ROWS ? launch_decode : launch_prefill)(e, w, a, n, y);
}

static wh_status too_little_scratch(void) { return WH_FAIL(ERR_INTERNAL, "too little scratch"); }

static wh_status emit_exact(gpu_emit *e, const gpu_step *s, size_t n) {
  gpu_weights w;
  gpu_linear_args a;
  WH_TRY(set_args(s, n, &w, &a));
  const uint32_t tiles = warpgroup_tiles(e->d, &w, &a, n);
  a.tile_rows = tiles ? packed_rows(&w, a.rows) : linear_tile_rows(e->d, &w, &a, n);
  const int64_t row_tiles = row_tiles_of(a.rows, a.tile_rows);
  if (tiles && s->scratch_bytes < packed_bytes(&w, row_tiles, a.tile_rows)) return too_little_scratch();
  return launch(e, &w, &a, n, row_tiles, tiles, s->scratch);
}

/* Where a library multiplies, a matrix after the other; what it does not take the exact kernels do. */
static wh_status emit_linears(gpu_emit *e, const gpu_step *steps, size_t n) {
  if (!gpu_is_fast(e->d, gpu_rows(&steps[0].out[0]))) return emit_exact(e, steps, n);
  for (size_t i = 0; i < n; i++) {
    gpu_weights w;
    gpu_linear_args a;
    WH_TRY(set_args(steps + i, 1, &w, &a));
    if (!gpu_takes_fast(e->d, &w, a.rows) || gpu_emit_fast(e, steps + i, &w, &a) != WH_OK)
      WH_TRY(emit_exact(e, steps + i, 1));
  }
  return WH_OK;
}

static wh_status emit_linear(gpu_emit *e, const gpu_step *s) { return emit_linears(e, s, 1); }

/* One token: each of its rows has an expert of its own. More: rows are sorted by expert first. */
static wh_status emit_expert_linears(gpu_emit *e, const gpu_step *s, size_t n) {
  gpu_weights w;
  gpu_linear_args a;
  WH_TRY(set_args(s, n, &w, &a));
  if (a.rows == 0) return WH_OK;
  const int64_t tokens = s->in[2].dims[0], slots = s->in[2].dims[1];
  a.rows_per_x = s->in[0].rank == 3 ? 1 : (uint32_t)slots;
  a.selected = s->in[2].address;
  a.tile_rows = 1;
  if (tokens == 1) return launch(e, &w, &a, n, slots, 0, 0);
  const bool packs = takes_warpgroups(e->d, &w, a.rows, WARPGROUP_LEAST_ROWS);
  a.tile_rows = packs ? WARPGROUP_ROWS : tile_rows_of(w.dtype, a.rows, w.n_experts);
  const int64_t n_tiles = expert_tiles(a.rows, w.n_experts, a.tile_rows);
  const uint64_t before = order_bytes(a.rows) + tiles_bytes(n_tiles);
  if (s->scratch_bytes < before + (packs ? packed_bytes(&w, n_tiles, WARPGROUP_ROWS) : 0))
    return too_little_scratch();
  a.order = s->scratch;
  a.tiles = s->scratch + order_bytes(a.rows);
  const gpu_expert_order_args order = {.selected = a.selected,
                                       .order = a.order,
                                       .tiles = a.tiles,
                                       .rows = a.rows,
                                       .n_experts = a.n_experts,
                                       .tile_rows = a.tile_rows,
                                       .n_tiles = (uint32_t)n_tiles};
  const gpu_grid one = {1, 1, 1, a.rows < 256 ? 64 : 256, (uint32_t)a.n_experts * 4};
  WH_TRY(gpu_launch(e, GPU_K_expert_order, one, &order, sizeof order));
  return launch(e, &w, &a, n, n_tiles, packs ? GPU_TILES : 0, s->scratch + before);
}
static wh_status emit_expert_linear(gpu_emit *e, const gpu_step *s) { return emit_expert_linears(e, s, 1); }

_Static_assert(GPU_MOST_JOINED <= GPU_MOST_MATRICES, "a launch has room for what is joined");

wh_status gpu_emit_products(gpu_emit *e, const gpu_step *steps, size_t n) {
  return (steps->node->op == WH_OP_LINEAR ? emit_linears : emit_expert_linears)(e, steps, n);
}

const gpu_op gpu_ops_linear[] = {{WH_OP_LINEAR, "linear", claim_linear, emit_linear},
                                 {WH_OP_EXPERT_LINEAR, "expert_linear", claim_linear, emit_expert_linear},
                                 {.emit = NULL}};
