/* family_lm.c - the row ops of language models: norms, quantisation, gates, rows by index, experts' choice.
 * Heads: family_heads.c, family_attention.c. */
#include "backends/gpu/family_lm.h"

#include <stdio.h>

#include "backends/gpu/kernels/lm_args.h"
#include "backends/gpu/weights.h"

#define STAGED_MOST (47u * 1024) /* bytes, dynamic: with the static ones what every kernel has */
#define WARP 32u
#define PIECE_THREADS 128u /* of kernels where warps take pieces of rows */

uint32_t gpu_blocks(uint64_t n, uint32_t per_block) {
  const uint64_t blocks = n / per_block + (n % per_block != 0);
  return blocks < INT32_MAX ? (uint32_t)blocks : INT32_MAX;
}

wh_status gpu_size(int64_t n, const char *what, uint32_t *out) {
  if (n < 0 || n >= INT32_MAX)
    return WH_FAIL(ERR_LIMIT, "%lld %s are too many for a GPU", (long long)n, what);
  *out = (uint32_t)n;
  return WH_OK;
}

/* Threads for a row of n elements, about 8 each; whole warps. */
static uint32_t row_threads(uint32_t n) { return n <= 256 ? WARP : n <= 1024 ? 128 : 256; }

/* ---- norms ---- */

static wh_status emit_norm(gpu_emit *e, const gpu_step *s, gpu_kernel kernel) {
  const wh_attr *eps = wh_node_attr(s->node, WH_ATTR_EPS); /* softmax has none */
  gpu_norm_args a = {.x = s->in[0].address,
                     .w = s->in[1].address,
                     .b = s->in[2].address,
                     .y = s->out->address,
                     .eps = eps ? eps->f : 0.0f};
  uint32_t rows;
  WH_TRY(gpu_size(gpu_rows(&s->in[0]), "rows", &rows));
  WH_TRY(gpu_size(gpu_row_length(&s->in[0]), "elements of a row", &a.n));
  if (s->out->dtype == WH_DTYPE_Q8A) a.form = gpu_q8a_of(rows, a.n);
  a.staged = a.n <= STAGED_MOST / sizeof(float);
  const gpu_grid grid = {a.n ? rows : 0, 1, 1, row_threads(a.n),
                         a.staged ? a.n * (uint32_t)sizeof(float) : 0};
  return gpu_launch(e, kernel, grid, &a, sizeof a);
}
static wh_status emit_rms_norm(gpu_emit *e, const gpu_step *s) { return emit_norm(e, s, GPU_K_rms_norm); }
static wh_status emit_rms_norm_quantize(gpu_emit *e, const gpu_step *s) {
  return emit_norm(e, s, GPU_K_rms_norm_q8a);
}
static wh_status emit_layer_norm(gpu_emit *e, const gpu_step *s) { return emit_norm(e, s, GPU_K_layer_norm); }
static wh_status emit_softmax(gpu_emit *e, const gpu_step *s) { return emit_norm(e, s, GPU_K_softmax); }

/* ---- quantised activations, gates ---- */

static wh_status emit_pieces(gpu_emit *e, const gpu_step *s, gpu_kernel kernel, uint32_t piece) {
  gpu_rows_args a = {.x = s->in[0].address, .u = s->in[1].address, .y = s->out->address};
  WH_TRY(gpu_size(gpu_rows(&s->in[0]), "rows", &a.rows));
  WH_TRY(gpu_size(gpu_row_length(&s->in[0]), "elements of a row", &a.n));
  a.pieces = gpu_blocks(a.n, piece);
  if (s->out->dtype == WH_DTYPE_Q8A)
    a.form.q8a = gpu_q8a_of(a.rows, a.n);
  else
    a.form.q13a = gpu_q13a_of(a.rows, a.n);
  const uint32_t blocks = gpu_blocks((uint64_t)a.rows * a.pieces, PIECE_THREADS / WARP);
  return gpu_launch(e, kernel, (gpu_grid){blocks, 1, 1, PIECE_THREADS, 0}, &a, sizeof a);
}
wh_status gpu_emit_quantize_act(gpu_emit *e, const gpu_step *s) {
  return emit_pieces(e, s, GPU_K_quantize_act, GPU_Q8A_GROUP);
}
static wh_status emit_quantize_wide(gpu_emit *e, const gpu_step *s) {
  return emit_pieces(e, s, GPU_K_quantize_wide, GPU_Q13A_BLOCK);
}
static wh_status emit_swiglu_quantize(gpu_emit *e, const gpu_step *s) {
  return emit_pieces(e, s, GPU_K_swiglu_q8a, GPU_Q8A_GROUP);
}
static wh_status emit_geglu_quantize(gpu_emit *e, const gpu_step *s) {
  return emit_pieces(e, s, GPU_K_geglu_q8a, GPU_Q8A_GROUP);
}

static wh_status emit_gate(gpu_emit *e, const gpu_step *s, gpu_kernel kernel) {
  const gpu_gated_args a = {s->in[0].address, s->in[1].address, s->out->address,
                            (uint64_t)gpu_elements(&s->in[0])};
  return gpu_launch(e, kernel, (gpu_grid){gpu_blocks(a.n, 128), 1, 1, 128, 0}, &a, sizeof a);
}
static wh_status emit_swiglu(gpu_emit *e, const gpu_step *s) { return emit_gate(e, s, GPU_K_swiglu); }
static wh_status emit_geglu(gpu_emit *e, const gpu_step *s) { return emit_gate(e, s, GPU_K_geglu); }

/* ---- rope ---- */

static wh_status emit_rope_table(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *frequencies = &s->in[1];
  gpu_rope_table_args a = {.positions = s->in[0].address,
                           .frequencies = frequencies->address,
                           .y = s->out->address,
                           .mscale = wh_node_f(s->node, WH_ATTR_MSCALE)};
  WH_TRY(gpu_size(s->in[0].dims[0], "rows", &a.rows));
  WH_TRY(gpu_size(gpu_row_length(frequencies), "frequencies", &a.n));
  a.stride = frequencies->rank == 2 ? a.n : 0;
  return gpu_launch(e, GPU_K_rope_table, (gpu_grid){a.rows, gpu_blocks(a.n, 64), 1, 64, 0}, &a, sizeof a);
}

/* ---- rows by index ---- */

/* A table of its own is read as the model has it, and so is one of 16-bit values, whose packed form is
 * rounded; one that a product packs, too, in that form. */
static wh_status claim_gather(const gpu_device *d, const wh_graph *g, const wh_node_info *node,
                              const int64_t *dims, wh_claim *c) {
  (void)d;
  (void)dims;
  const wh_value_info *table = &g->values[node->inputs[0]];
  const wh_dtype dtype = table->shape.dtype;
  const bool wide = dtype == WH_DTYPE_F16 || dtype == WH_DTYPE_BF16;
  gpu_weights w;
  c->supported = wh_dtype_is_quantised(dtype) || dtype == WH_DTYPE_F32 || wide;
  if (!c->supported)
    (void)snprintf(c->reason, sizeof c->reason, "no kernel for a table of type %s", wh_dtype_name(dtype));
  if (!c->supported || wide || table->kind != WH_VALUE_CONST || gpu_weights_of(g, &table->shape, &w) != WH_OK)
    return WH_OK;
  c->layouts[c->n_layouts++] = (wh_weight_layout){0, GPU_LAYOUT_MODEL, table->n_bytes};
  c->layouts[c->n_layouts++] = (wh_weight_layout){0, GPU_LAYOUT_TILES, (size_t)w.n_bytes};
  return WH_OK;
}

static wh_status gather_args(const gpu_step *s, gpu_gather_args *a) {
  const gpu_operand *table = &s->in[0], *ids = &s->in[1];
  size_t row_bytes = 0;
  *a = (gpu_gather_args){.table = table->address,
                         .ids = ids->address,
                         .y = s->out->address,
                         .fault = s->fault,
                         .dtype = table->dtype,
                         .node = s->index};
  WH_TRY(gpu_size(ids->dims[0], "rows", &a->n_ids));
  WH_TRY(gpu_size(table->dims[0], "rows of a table", &a->table_rows));
  WH_TRY(gpu_size(table->dims[1], "elements of a row", &a->n));
  if (!wh_dtype_row_bytes(table->dtype, a->n, &row_bytes))
    return WH_FAIL(ERR_INTERNAL, "rows of the table are not whole blocks");
  a->row_bytes = row_bytes;
  a->pieces = gpu_blocks(a->n, 256);
  return WH_OK;
}

static wh_status emit_gather_rows(gpu_emit *e, const gpu_step *s) {
  gpu_gather_tiles_args a;
  gpu_weights w;
  WH_TRY(gather_args(s, &a.rows));
  if (a.rows.n_ids == 0) return WH_OK;
  /* the last block looks for ids outside */
  const gpu_grid grid = {gpu_blocks((uint64_t)a.rows.n_ids * a.rows.pieces, PIECE_THREADS / WARP) + 1, 1, 1,
                         PIECE_THREADS, 0};
  if (s->in[0].layout == GPU_LAYOUT_MODEL)
    return gpu_launch(e, GPU_K_gather_rows, grid, &a.rows, sizeof a.rows);
  WH_TRY(gpu_weights_of(s->graph, &s->graph->values[s->node->inputs[0]].shape, &w));
  if (s->in[0].layout != GPU_LAYOUT_TILES || s->in[0].n_bytes < w.n_bytes)
    return WH_FAIL(ERR_INTERNAL, "a table in layout %u of %llu bytes", s->in[0].layout,
                   (unsigned long long)s->in[0].n_bytes);
  a.form = gpu_packed_form_of(&w);
  return gpu_launch(e, GPU_K_gather_tiles, grid, &a, sizeof a);
}

/* ---- experts ---- */

static wh_status emit_expert_select(gpu_emit *e, const gpu_step *s) {
  gpu_expert_select_args a = {.scores = s->in[0].address, .selected = s->out->address};
  WH_TRY(gpu_size(s->out->dims[0], "rows", &a.rows));
  a.n = (uint32_t)s->in[0].dims[1];
  a.used = (uint32_t)s->out->dims[1];
  const gpu_grid grid = {gpu_blocks(a.rows, PIECE_THREADS / WARP), 1, 1, PIECE_THREADS, 0};
  return gpu_launch(e, GPU_K_expert_select, grid, &a, sizeof a);
}

static wh_status emit_expert_weights(gpu_emit *e, const gpu_step *s) {
  gpu_expert_weights_args a = {.p = s->in[0].address,
                               .selected = s->in[1].address,
                               .y = s->out->address,
                               .normalise = wh_node_i(s->node, WH_ATTR_NORMALISE) != 0,
                               .scale = wh_node_f(s->node, WH_ATTR_SCALE)};
  WH_TRY(gpu_size(s->out->dims[0], "rows", &a.rows));
  a.n = (uint32_t)s->in[0].dims[1];
  a.used = (uint32_t)s->out->dims[1];
  return gpu_launch(e, GPU_K_expert_weights, (gpu_grid){gpu_blocks(a.rows, WARP), 1, 1, WARP, 0}, &a,
                    sizeof a);
}

static wh_status emit_expert_sum(gpu_emit *e, const gpu_step *s) {
  const gpu_operand *x = &s->in[0];
  gpu_expert_sum_args a = {
      .x = x->address, .weights = s->in[1].address, .residual = s->in[2].address, .y = s->out->address};
  WH_TRY(gpu_size(x->dims[0], "rows", &a.rows));
  WH_TRY(gpu_size(x->dims[2], "elements of a row", &a.n));
  a.slots = (uint32_t)x->dims[1];
  return gpu_launch(e, GPU_K_expert_sum, (gpu_grid){a.rows, gpu_blocks(a.n, 128), 1, 128, 0}, &a, sizeof a);
}

/* ---- all ---- */

const gpu_op gpu_ops_lm[] = {{WH_OP_RMS_NORM, "rms_norm", NULL, emit_rms_norm},
                             {WH_OP_RMS_NORM_QUANTIZE, "rms_norm_q8a", NULL, emit_rms_norm_quantize},
                             {WH_OP_LAYER_NORM, "layer_norm", NULL, emit_layer_norm},
                             {WH_OP_SOFTMAX, "softmax", NULL, emit_softmax},
                             {WH_OP_QUANTIZE_ACT, "quantize_act", NULL, gpu_emit_quantize_act},
                             {WH_OP_QUANTIZE_WIDE, "quantize_wide", NULL, emit_quantize_wide},
                             {WH_OP_SWIGLU, "swiglu", NULL, emit_swiglu},
                             {WH_OP_SWIGLU_QUANTIZE, "swiglu_q8a", NULL, emit_swiglu_quantize},
                             {WH_OP_GEGLU, "geglu", NULL, emit_geglu},
                             {WH_OP_GEGLU_QUANTIZE, "geglu_q8a", NULL, emit_geglu_quantize},
                             {WH_OP_ROPE_TABLE, "rope_table", NULL, emit_rope_table},
                             {WH_OP_ROPE, "rope", NULL, gpu_emit_head},
                             {WH_OP_GATHER_ROWS, "gather_rows", claim_gather, emit_gather_rows},
                             {WH_OP_SELECT_ROWS, "gather_rows", claim_gather, emit_gather_rows},
                             {WH_OP_EXPERT_SELECT, "expert_select", NULL, emit_expert_select},
                             {WH_OP_EXPERT_WEIGHTS, "expert_weights", NULL, emit_expert_weights},
                             {WH_OP_EXPERT_SUM, "expert_sum", NULL, emit_expert_sum},
                             {WH_OP_KV_APPEND, "kv_append", NULL, gpu_emit_head},
                             {WH_OP_ATTENTION, "attention", gpu_claim_attention, gpu_emit_attention},
                             {.emit = NULL}};
