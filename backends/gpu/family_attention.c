/* family_attention.c - attention: which kernel, on which grid, with what scratch. */
#include <stdio.h>

#include "backends/gpu/device.h"
#include "backends/gpu/family_lm.h"
#include "backends/gpu/kernels/attention_shared.h"

#define WARP 32u
#define WARPS_MOST 8u                 /* of a block */
#define SHARED_MOST (47u * 1024)      /* bytes, dynamic: with the static ones what every kernel has */
#define STATIC_BYTES 2048u            /* at least what kernels have of static ones */
#define ENOUGH 128u                   /* blocks that keep a device busy (predicted) */
#define FEW 8u                        /* query vectors of a KV head that get a warp each (predicted) */
#define VECTORS_MOST (WARPS_MOST * 4) /* of a block */
#define STATES_OF_CHUNKS \
  (ENOUGH * GPU_KV_SPAN * VECTORS_MOST) /* partial ones, at most, where units are chunks */

typedef struct attention_size {
  wh_dtype dtype;
  uint64_t rows, heads, kv_heads, dim, value_dim, table;
} attention_size;

/* How it is cut: vectors of a warp, warps of a block; blocks along the grid's x and y; units. */
typedef struct attention_cut {
  uint32_t vectors, dims, warps, x, y; /* dims: of a value, that a lane has */
  uint32_t unit, n_units;              /* 0: a block takes all chunks */
  uint32_t shared_bytes;
} attention_cut;

static uint64_t spans_of(uint64_t table) { return (table + GPU_KV_SPAN - 1) / GPU_KV_SPAN; }

/* False: a head is too long for shared memory. */
static bool cut_warps(const attention_size *s, attention_cut *c) {
  const uint64_t vectors = s->rows * (s->heads / s->kv_heads);
  for (c->vectors = vectors <= FEW ? 1 : 4;; c->vectors = 1) {
    const uint64_t per_warp = attention_warp_floats(s->dtype, c->vectors, (uint32_t)s->dim) * sizeof(float),
                   wanted = (vectors + c->vectors - 1) / c->vectors, fit = SHARED_MOST / per_warp;
    const uint64_t warps = fit < WARPS_MOST ? fit : WARPS_MOST;
    c->warps = (uint32_t)(wanted < warps ? wanted : warps);
    c->shared_bytes = (uint32_t)(c->warps * per_warp);
    if (fit || c->vectors == 1) break;
  }
  if (c->warps) c->x = gpu_blocks(vectors, c->vectors * c->warps);
  return c->warps > 0 || vectors == 0;
}

/* Units: none where there are blocks enough without, else spans, else chunks. */
static bool cut_attention(const attention_size *s, attention_cut *c) {
  *c = (attention_cut){0};
  if (s->dim >= SHARED_MOST || !cut_warps(s, c)) return false;
  c->dims = s->value_dim <= 2 * WARP ? 2 : s->value_dim <= 4 * WARP ? 4 : 8;
  c->y = (uint32_t)(s->kv_heads * ((s->value_dim + c->dims * WARP - 1) / (c->dims * WARP)));
  const uint64_t blocks = (uint64_t)c->x * c->y;
  if (s->table <= 1 || blocks >= ENOUGH) return true;
  const bool fit = attention_combine_floats(1, s->table) <= SHARED_MOST / sizeof(float);
  c->unit = blocks * spans_of(s->table) >= ENOUGH || !fit ? GPU_KV_SPAN : 1;
  c->n_units = (uint32_t)(c->unit == 1 ? s->table : spans_of(s->table));
  return true;
}

/* Bytes that codes of the result of so many vectors take at most, with a gap. */
static uint64_t codes_room(uint64_t vectors, uint64_t value_dim) { return vectors * value_dim * 2 + 2048; }

/* Bytes of the partial states for these sizes and all smaller ones, and of codes that may lie there. With
 * chunks for units there are less than ENOUGH blocks with a span each, with spans less than ENOUGH. */
static bool scratch_bytes(const attention_size *s, uint64_t *out) {
  uint64_t vectors, chunks, spans;
  if (__builtin_mul_overflow(s->rows, s->heads, &vectors)) return false;
  if (__builtin_mul_overflow(vectors, s->table, &chunks) || chunks > STATES_OF_CHUNKS)
    chunks = STATES_OF_CHUNKS;
  const uint64_t few = vectors < ENOUGH * VECTORS_MOST ? vectors : ENOUGH * VECTORS_MOST;
  if (__builtin_mul_overflow(few, spans_of(s->table), &spans)) return false;
  const uint64_t states = chunks > spans ? chunks : spans;
  return !__builtin_mul_overflow(states, (s->value_dim + 2) * sizeof(float), out) &&
         !__builtin_add_overflow(*out, codes_room(few, s->value_dim), out);
}

wh_status gpu_claim_attention(const gpu_device *d, const wh_graph *g, const wh_node_info *node,
                              const int64_t *dims, wh_claim *c) {
  (void)d;
  const wh_shape *q = &g->values[node->inputs[0]].shape, *k = &g->values[node->inputs[1]].shape,
                 *v = &g->values[node->inputs[2]].shape, *table = &g->values[node->inputs[5]].shape;
  const attention_size s = {.dtype = k->dtype,
                            .rows = (uint64_t)dims[q->dims[0]],
                            .heads = (uint64_t)dims[q->dims[1]],
                            .kv_heads = (uint64_t)dims[k->dims[1]],
                            .dim = (uint64_t)dims[q->dims[2]],
                            .value_dim = (uint64_t)dims[v->dims[3]],
                            .table = (uint64_t)dims[table->dims[1]]};
  attention_cut cut;
  c->supported = cut_attention(&s, &cut) && s.value_dim < INT32_MAX;
  if (!c->supported)
    (void)snprintf(c->reason, sizeof c->reason, "heads of %llu elements do not fit into shared memory",
                   (unsigned long long)s.dim);
  else if (!scratch_bytes(&s, &c->scratch_bytes))
    return WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
  return WH_OK;
}

/* By type of cache, vectors of a warp (1, 4) and dims of a lane (2, 4, 8). */
static gpu_kernel kernel_of(wh_dtype dtype, const attention_cut *c) {
#define OF_TYPE(t)                                                                            \
  {                                                                                           \
    GPU_K_attention_##t##_v1_d2, GPU_K_attention_##t##_v1_d4, GPU_K_attention_##t##_v1_d8,    \
        GPU_K_attention_##t##_v4_d2, GPU_K_attention_##t##_v4_d4, GPU_K_attention_##t##_v4_d8 \
  }
  static const gpu_kernel kernels[3][6] = {OF_TYPE(f32), OF_TYPE(f16), OF_TYPE(q8)};
#undef OF_TYPE
  const int type = dtype == WH_DTYPE_F32 ? 0 : dtype == WH_DTYPE_F16 ? 1 : 2;
  return kernels[type][(c->vectors == 1 ? 0 : 3) + (c->dims == 2 ? 0 : c->dims == 4 ? 1 : 2)];
}

/* Blocks of 64 vectors along the grid's x, where attention_tile takes it: there are enough of them, and what
 * a block keeps fits. 0: it does not. */
static uint32_t tile_blocks(const gpu_device *d, const attention_size *s) {
  const uint32_t blocks = gpu_blocks(s->rows * (s->heads / s->kv_heads), ATTENTION_TILE_VECTORS);
  const bool fits = s->dtype == WH_DTYPE_F16 && s->dim % 8 == 0 && s->value_dim % 8 == 0 &&
                    s->value_dim <= ATTENTION_TILE_DIMS && s->dim < SHARED_MOST &&
                    attention_tile_bytes(s->dim, s->value_dim) + STATIC_BYTES <= d->shared_per_block;
  return fits && blocks * s->kv_heads >= ENOUGH ? blocks : 0;
}

static wh_status attention_args(const gpu_step *s, gpu_attention_args *a) {
  const gpu_operand *q = &s->in[0], *keys = &s->in[1], *values = &s->in[2];
  *a = (gpu_attention_args){.q = q->address,
                            .keys = keys->address,
                            .values = values->address,
                            .y = s->out->address,
                            .partial = s->scratch,
                            .fault = s->fault,
                            .node = s->index,
                            .scale = wh_node_f(s->node, WH_ATTR_SCALE),
                            .softcap = wh_node_f(s->node, WH_ATTR_SOFTCAP)};
  WH_TRY(gpu_places_of(s, &s->in[3], keys->dims[0], &a->places));
  WH_TRY(gpu_size(q->dims[1], "heads", &a->heads));
  WH_TRY(gpu_size(keys->dims[1], "heads", &a->kv_heads));
  WH_TRY(gpu_size(q->dims[2], "elements of a head", &a->dim));
  return gpu_size(values->dims[3], "elements of a head", &a->value_dim);
}

/* ---- the combination of units, and codes of its result ---- */

size_t gpu_attention_joined(const wh_block *block, size_t first) {
  const wh_step *s = &block->steps[first];
  const wh_node_info *nodes = block->graph->nodes;
  if (first + 1 == block->n_steps || nodes[s->node].op != WH_OP_ATTENTION ||
      nodes[s[1].node].op != WH_OP_QUANTIZE_ACT)
    return 1;
  return block->args[s->first_arg + s->n_inputs].slot == block->args[s[1].first_arg].slot ? 2 : 1;
}

/* Heads of a block that are a group of codes; 0: none are. */
static uint32_t heads_of_group(const gpu_attention_args *a) {
  const uint32_t heads = a->value_dim ? GPU_Q8A_GROUP / a->value_dim : 0;
  return heads && heads <= GPU_COMBINE_HEADS && heads * a->value_dim == GPU_Q8A_GROUP && a->heads % heads == 0
             ? heads
             : 0;
}

static bool is_apart(const gpu_operand *o, uint64_t at, uint64_t end) {
  return at >= o->address + o->n_bytes || end <= o->address;
}

/* Where codes are of a later phase, their memory may be the scratch, and the states lie behind it. False:
 * they are quantised by a launch of their own. */
static bool take_codes(const gpu_step *s, const gpu_step *codes, uint64_t need, gpu_combine_args *c) {
  const uint32_t heads = heads_of_group(&c->attention);
  const uint64_t floats = attention_combine_floats(c->attention.unit, c->attention.places.table) * heads;
  const gpu_q8a form =
      gpu_q8a_of(c->attention.places.rows, (uint64_t)c->attention.heads * c->attention.value_dim);
  const uint64_t at = codes->out->address, end = (at + form.n_bytes + 15) / 16 * 16;
  const uint64_t partial = at < s->scratch + need && s->scratch < end ? end : s->scratch;
  for (int i = 3; i <= 5; i++) /* places, which the combination reads: this may be their last reader */
    if (!is_apart(&s->in[i], at, end)) return false;
  /* rows of whole groups have the same form however the heads are cut into rows */
  if (!heads || gpu_row_length(&codes->in[0]) % GPU_Q8A_GROUP ||
      floats > SHARED_MOST / sizeof(float) - GPU_Q8A_GROUP || partial + need > s->scratch + s->scratch_bytes)
    return false;
  c->attention.partial = partial;
  c->codes = at;
  c->form = form;
  c->heads = heads;
  return true;
}

/* `codes`: the step that quantises the result, which is done where *is_coded says so; NULL: there is none. */
static wh_status emit_attention(gpu_emit *e, const gpu_step *s, const gpu_step *codes, bool *is_coded) {
  gpu_attention_args a;
  attention_cut c;
  WH_TRY(attention_args(s, &a));
  const attention_size size = {s->in[1].dtype, a.places.rows, a.heads,       a.kv_heads,
                               a.dim,          a.value_dim,   a.places.table};
  if (a.places.rows == 0) return WH_OK;
  if ((uint64_t)a.places.rows * a.heads >= INT32_MAX)
    return WH_FAIL(ERR_LIMIT, "%u rows of %u heads are too many for a GPU", a.places.rows, a.heads);
  /* A block goes through its sequences one by one, so rows of one each, as decoding has them, are not for it.
   */
  const uint32_t tiles = a.places.rows > a.places.slots ? tile_blocks(e->d, &size) : 0;
  if (tiles) {
    const gpu_grid grid = {tiles + 1, a.kv_heads, 1, ATTENTION_TILE_THREADS,
                           (uint32_t)attention_tile_bytes(a.dim, a.value_dim)};
    return gpu_launch(e, a.value_dim <= 64 ? GPU_K_attention_tile_d4 : GPU_K_attention_tile_d8, grid, &a,
                      sizeof a);
  }
  if (!cut_attention(&size, &c)) return WH_FAIL(ERR_INTERNAL, "heads do not fit into shared memory");
  a.unit = c.unit;
  a.n_units = c.n_units;
  const gpu_kernel kernel = kernel_of(size.dtype, &c);
  if (!c.unit) /* the last block looks for rows outside */
    return gpu_launch(e, kernel, (gpu_grid){c.x + 1, c.y, 1, c.warps * WARP, c.shared_bytes}, &a, sizeof a);
  const uint64_t vectors = (uint64_t)a.places.rows * a.heads,
                 need = vectors * c.n_units * (a.value_dim + 2) * sizeof(float);
  if (need > s->scratch_bytes) return WH_FAIL(ERR_INTERNAL, "attention has less scratch than it claimed");
  gpu_combine_args all = {.attention = a, .heads = 1};
  *is_coded = codes && take_codes(s, codes, need, &all);
  const gpu_grid units = {c.x, c.y, c.n_units, c.warps * WARP, c.shared_bytes};
  WH_TRY(gpu_launch(e, kernel, units, &all.attention, sizeof all.attention));
  const uint64_t floats =
      attention_combine_floats(c.unit, a.places.table) * all.heads + (*is_coded ? GPU_Q8A_GROUP : 0);
  const gpu_grid heads = {(uint32_t)(vectors / all.heads) + 1, 1, 1, GPU_COMBINE_THREADS * all.heads,
                          (uint32_t)(floats * sizeof(float))};
  return gpu_launch(e, GPU_K_attention_combine, heads, &all, sizeof all);
}

wh_status gpu_emit_attention(gpu_emit *e, const gpu_step *s) {
  bool is_coded = false;
  return emit_attention(e, s, NULL, &is_coded);
}

wh_status gpu_emit_attention_codes(gpu_emit *e, const gpu_step *steps) {
  bool is_coded = false;
  WH_TRY(emit_attention(e, &steps[0], &steps[1], &is_coded));
  return is_coded ? WH_OK : gpu_emit_quantize_act(e, &steps[1]);
}
