/* claim.c - what the CPU can run, and what it needs for that: scratch, and forms of weights to choose from.
 */
#include <stdio.h>
#include <string.h>

#include "backends/cpu/cpu_internal.h"

static int64_t dim_at(const wh_shape *s, int axis, const int64_t *dims) { return dims[s->dims[axis]]; }

static void refuse(wh_claim *c, const char *why) {
  c->supported = false;
  (void)snprintf(c->reason, sizeof c->reason, "%.*s", (int)sizeof c->reason - 1, why);
}

/* ---- weights ---- */

int wh_cpu_weight_input(const wh_node_info *node) {
  if (node->op == WH_OP_LINEAR || wh_cpu_is_matmul(node) || wh_cpu_is_conv(node) || node->op == WH_OP_RNN ||
      node->op == WH_OP_GRU || node->op == WH_OP_LSTM)
    return 1;
  return wh_op_has(node->op, WH_TRAIT_INDEXES_BIT) ? (int)wh_op_table_input(node->op) : -1;
}

wh_status wh_cpu_weight_layout(const cpu_device *d, const wh_graph *g, const wh_shape *w,
                               wh_expert_layout *out) {
  int64_t size[3] = {1, 0, 0}; /* experts, rows, columns */
  if (w->rank != 2 && w->rank != 3) return WH_FAIL(ERR_UNSUPPORTED, "weights of rank %d", w->rank);
  for (int i = 0; i < w->rank; i++) {
    if (!wh_dim_is_const(&g->dims, w->dims[i]))
      return WH_FAIL(ERR_UNSUPPORTED, "weights of a size that is not constant");
    size[i + 3 - w->rank] = wh_dim_get(&g->dims, w->dims[i])->value;
  }
  /* OpenBLAS takes rows as the model has them */
  const bool blas = d->blas.library && w->dtype == WH_DTYPE_F32 && w->rank == 2;
  return wh_expert_linear_layout(blas ? 0 : d->features, w->dtype, size[0], size[1], size[2], out);
}

static void list_layout(wh_claim *c, int input, uint32_t id, size_t n_bytes, bool from_model) {
  if (from_model) c->from_model |= 1u << c->n_layouts;
  c->layouts[c->n_layouts++] = (wh_weight_layout){(uint32_t)input, id, n_bytes};
}

bool wh_cpu_packs_as_it_goes(const wh_node_info *node, const wh_linear_layout *l) {
  return l->id && l->dtype != WH_DTYPE_F32 && node->op != WH_OP_EXPERT_LINEAR;
}

/* ---- products ---- */

/* Bytes of one worker: its own, or its part of what the team shares. */
static wh_status linear_scratch(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                                const wh_expert_layout *layout, const int64_t *dims, size_t *out) {
  bool fits = true;
  *out = 0;
  if (node->op == WH_OP_EXPERT_LINEAR) {
    const wh_shape *selected = &g->values[node->inputs[2]].shape;
    int64_t tokens = dim_at(selected, 0, dims), slots = dim_at(selected, 1, dims);
    fits = slots > 0 && tokens <= INT32_MAX / slots &&
           wh_expert_linear_scratch_bytes(d->features, layout, tokens * slots, out);
  } else if (layout->matrix.dtype == WH_DTYPE_F32) {
    *out = wh_linear_f_scratch_bytes(d->features, &layout->matrix,
                                     dim_at(&g->values[node->inputs[0]].shape, 0, dims));
    fits = *out != SIZE_MAX;
  } else {
    const int64_t rows = dim_at(&g->values[node->inputs[0]].shape, 0, dims);
    const size_t shared = wh_linear_h_has(layout->matrix.dtype)
                              ? wh_linear_h_scratch_bytes(d->features, &layout->matrix, rows)
                              : wh_linear_q_scratch_bytes(d->features, &layout->matrix, rows);
    size_t part = 0;
    fits = !shared || wh_align_size(shared / (size_t)wh_team_size(d->team) + 1, 64, &part);
    const size_t room =
        wh_cpu_packs_as_it_goes(node, &layout->matrix) ? wh_linear_panel_room(&layout->matrix) : 0;
    fits = fits && wh_add_size(room, part, out);
  }
  return fits ? WH_OK : WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
}

wh_status wh_cpu_claim_linear(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                              const int64_t *dims, wh_claim *c) {
  const wh_value_info *x = &g->values[node->inputs[0]], *w = &g->values[node->inputs[1]];
  const bool narrow = wh_dtype_is_quantised(w->shape.dtype), wide = wh_linear_h_has(w->shape.dtype);
  if (w->kind != WH_VALUE_CONST) {
    refuse(c, "weights must be constants");
    return WH_OK;
  }
  if (narrow != (x->shape.dtype == WH_DTYPE_Q8A) || wide != (x->shape.dtype == WH_DTYPE_Q13A)) {
    refuse(c, "quantised and 16-bit weights take quantised activations (the legalisation pass adds them)");
    return WH_OK;
  }
  wh_expert_layout layout;
  wh_status st = wh_cpu_weight_layout(d, g, &w->shape, &layout);
  if (st == WH_ERR_UNSUPPORTED) {
    refuse(c, wh_last_error()->message);
    return WH_OK;
  }
  WH_TRY(st);
  list_layout(c, 1, layout.matrix.id, layout.matrix.id ? layout.n_bytes : w->n_bytes,
              wh_cpu_packs_as_it_goes(node, &layout.matrix));
  size_t per_worker, total;
  WH_TRY(linear_scratch(d, g, node, &layout, dims, &per_worker));
  if (!wh_mul_size(per_worker, (size_t)wh_team_size(d->team), &total))
    return WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
  c->scratch_bytes = total;
  return WH_OK;
}

/* ---- attention ---- */

wh_status wh_cpu_claim_attention(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                                 const int64_t *dims, wh_claim *c) {
  const wh_shape *q = &g->values[node->inputs[0]].shape, *k = &g->values[node->inputs[1]].shape,
                 *v = &g->values[node->inputs[2]].shape, *table = &g->values[node->inputs[5]].shape;
  const size_t bytes = wh_attention_scratch_bytes(dim_at(q, 0, dims), dim_at(q, 1, dims), dim_at(k, 1, dims),
                                                  dim_at(q, 2, dims), dim_at(v, 3, dims),
                                                  dim_at(table, 1, dims), wh_team_size(d->team));
  if (bytes == SIZE_MAX) return WH_FAIL(ERR_LIMIT, "node '%s' needs too much memory", node->name);
  c->scratch_bytes = bytes;
  return WH_OK;
}

/* ---- row ops ---- */

/* What a family's inputs hold: f f32, i i32, t a table of any type that can be dequantised. */
static const char *input_types(wh_op op) {
  static const char *const norm = "fff", *const norm_q8a = "ff", *const quantize_act = "f",
                           *const quantize_wide = "f", *const rope_table = "if", *const rope = "ff",
                           *const gated = "ff", *const gated_q8a = "ff", *const gather_rows = "ti",
                           *const binary = "ff", *const unary = "f", *const softmax = "f",
                           *const expert_select = "f", *const expert_weights = "fi",
                           *const expert_sum = "fff";
  switch (op) {
#define WH_ROWOP(op, name, family, levels) \
  case WH_OP_##op:                         \
    return family;
#define WH_ROWOP_ALSO(op, name, family) WH_ROWOP(op, name, family, )
#include "backends/cpu/kernels_rowops.def"
    default:
      return "";
  }
}

static bool is_of_type(const wh_shape *s, char type) {
  float none;
  switch (type) {
    case 'f':
      return s->dtype == WH_DTYPE_F32;
    case 'i':
      return s->dtype == WH_DTYPE_I32;
    default:
      return wh_dequantize_row(s->dtype, NULL, &none, 0);
  }
}

/* A table that a product packs as well is read from its panels: kept in the file's form too, its pages would
 * stay in memory. A table of its own is read in place, and so is one of 16-bit values, whose panels are
 * rounded: of its pages those stay whose rows are asked for. */
static void list_table(const cpu_device *d, const wh_graph *g, const wh_value_info *table, int input,
                       wh_claim *c) {
  wh_expert_layout layout;
  if (table->kind != WH_VALUE_CONST || wh_linear_h_has(table->shape.dtype)) return;
  if (wh_cpu_weight_layout(d, g, &table->shape, &layout) != WH_OK) return;
  if (!layout.matrix.id) return;
  list_layout(c, input, 0, table->n_bytes, false);
  list_layout(c, input, layout.matrix.id, layout.n_bytes, true);
}

/* Whether b is one element, or its dims are the last of a's. */
static bool repeats(const wh_graph *g, const wh_shape *a, const wh_shape *b) {
  if (b->rank > a->rank) return false;
  if (b->rank == 0 || (b->rank == 1 && wh_dim_get(&g->dims, b->dims[0])->max == 1)) return true;
  return memcmp(b->dims, a->dims + a->rank - b->rank, (size_t)b->rank * sizeof b->dims[0]) == 0;
}

static bool is_binary(wh_op op) {
  return op == WH_OP_ADD || op == WH_OP_SUB || op == WH_OP_MUL || op == WH_OP_DIV;
}

static bool has_map(wh_op op) {
  switch (op) {
#define WH_MAP_OP(op, name)
#define WH_MAP_OP_TOO(op, name) case WH_OP_##op:
#include "backends/cpu/ops_map.def"
    return true;
    default:
      return false;
  }
}

/* The first input of another type than the row op takes, or n_inputs. */
static unsigned input_of_other_type(const wh_graph *g, const wh_node_info *node) {
  const char *types = input_types(node->op);
  unsigned i = 0;
  while (i < node->n_inputs && (!node->inputs[i] || is_of_type(&g->values[node->inputs[i]].shape, types[i])))
    i++;
  return i;
}

bool wh_cpu_rowop_takes(const wh_graph *g, const wh_node_info *node) {
  return input_of_other_type(g, node) == node->n_inputs &&
         (!is_binary(node->op) ||
          repeats(g, &g->values[node->inputs[0]].shape, &g->values[node->inputs[1]].shape));
}

wh_status wh_cpu_claim_rowop(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                             const int64_t *dims, wh_claim *c) {
  const unsigned other = input_of_other_type(g, node);
  c->no_scratch = true;
  if (has_map(node->op) && !wh_cpu_rowop_takes(g, node)) return wh_cpu_claim_map(d, g, node, dims, c);
  if (other < node->n_inputs) {
    c->supported = false;
    (void)snprintf(c->reason, sizeof c->reason, "no kernel for input %u of type %s", other,
                   wh_dtype_name(g->values[node->inputs[other]].shape.dtype));
    return WH_OK;
  }
  const int table = wh_cpu_weight_input(node);
  if (table < 0) return WH_OK;
  list_table(d, g, &g->values[node->inputs[table]], table, c);
  c->any_address = 1u << table;
  return WH_OK;
}

/* ---- all ---- */

wh_status wh_cpu_claim(void *dev, const wh_graph *g, wh_node n, const int64_t *dims, wh_claim *c) {
  const cpu_device *d = dev;
  const wh_node_info *node = &g->nodes[n];
  const cpu_op *op = &wh_cpu_ops[node->op];
  c->supported = true;
  c->scratch_bytes = 0;
  c->n_layouts = c->from_model = c->any_address = 0;
  c->no_scratch = !op->claim;
  if (wh_op_has(node->op, WH_TRAIT_VIEW)) return WH_OK; /* nothing runs */
  if (!op->compile) refuse(c, "no kernel");
  return op->claim ? op->claim(d, g, node, dims, c) : WH_OK;
}

bool wh_cpu_is_state(const wh_graph *g, wh_value v) {
  const wh_value_info *info = &g->values[v];
  return info->kind == WH_VALUE_STATE ||
         (info->kind == WH_VALUE_NODE && wh_op_has(g->nodes[info->producer].op, WH_TRAIT_WRITES));
}

wh_status wh_cpu_value_bytes(void *dev, const wh_graph *g, wh_value v, const int64_t *dims, uint64_t *out) {
  (void)dev;
  const wh_shape *s = &g->values[v].shape;
  size_t bytes = 0;
  bool ok;
  if (wh_dtype_is(s->dtype, WH_CLASS_OPAQUE)) {
    int64_t m = 1, k = dim_at(s, s->rank - 1, dims);
    for (int i = 0; i + 1 < s->rank; i++)
      if (__builtin_mul_overflow(m, dim_at(s, i, dims), &m)) m = INT64_MAX;
    ok = m < INT32_MAX && k < INT32_MAX;
    if (ok) bytes = s->dtype == WH_DTYPE_Q8A ? wh_q8a_bytes(m, k) : wh_q13a_bytes(m, k);
  } else if (wh_cpu_is_state(g, v)) {
    ok = wh_kv_cache_bytes(s->dtype, dim_at(s, 0, dims), dim_at(s, 1, dims), dim_at(s, 3, dims), &bytes);
  } else {
    ok = wh_value_row_major_bytes(g, v, dims, &bytes);
  }
  if (!ok) return WH_FAIL(ERR_LIMIT, "'%s' is too large to be addressed", g->values[v].name);
  *out = bytes;
  return WH_OK;
}
