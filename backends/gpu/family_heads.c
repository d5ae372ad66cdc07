/* family_heads.c - rope, and keys and values on their way into a state. What a layer does to its heads is one
 * launch: queries turn, keys turn and are appended, values are appended. */
#include "backends/gpu/family_lm.h"
#include "backends/gpu/kernels/cache.h"

#define WARP 32u
#define WARPS 4u /* of a block */

wh_status gpu_places_of(const gpu_step *s, const gpu_operand *positions, int64_t pages, gpu_places *p) {
  const gpu_operand *table = positions + 2;
  *p = (gpu_places){.positions = positions[0].address,
                    .sequences = positions[1].address,
                    .page_table = table->address,
                    .attends = s->node->op == WH_OP_ATTENTION};
  WH_TRY(gpu_size(positions->dims[0], "rows", &p->rows));
  WH_TRY(gpu_size(table->dims[0], "sequences", &p->slots));
  WH_TRY(gpu_size(table->dims[1], "pages of a sequence", &p->table));
  WH_TRY(gpu_size(pages, "pages", &p->pages));
  if (p->table >= INT32_MAX / GPU_KV_CHUNK)
    return WH_FAIL(ERR_LIMIT, "%u pages of a sequence are too many for a GPU", p->table);
  if (!p->attends) return WH_OK;
  const int64_t window = wh_node_i(s->node, WH_ATTR_WINDOW);
  p->window = window > 0 && window < INT32_MAX ? (uint32_t)window : 0; /* wider than any position: none */
  return WH_OK;
}

/* ---- which steps are one launch ---- */

static bool is_made(const wh_graph *g, wh_value v) { return v && g->values[v].kind == WH_VALUE_NODE; }

/* Whether two rows of appends stand at the same places of states of one form. */
static bool appends_alike(const wh_graph *g, const wh_node_info *a, const wh_node_info *b) {
  const wh_shape *sa = &g->values[a->inputs[0]].shape, *sb = &g->values[b->inputs[0]].shape;
  bool alike = sa->dtype == sb->dtype && sa->dims[0] == sb->dims[0];
  for (int i = 2; i <= 4; i++) alike = alike && a->inputs[i] == b->inputs[i];
  return alike;
}

/* Of the steps [first, i), the rope that makes what step i appends; NULL: none. */
static const wh_step *turned_by(const wh_block *block, size_t first, size_t i) {
  const wh_graph *g = block->graph;
  for (size_t k = first; k < i; k++) {
    const wh_node_info *node = &g->nodes[block->steps[k].node];
    if (node->op == WH_OP_ROPE && node->outputs[0] == g->nodes[block->steps[i].node].inputs[1])
      return &block->steps[k];
  }
  return NULL;
}

/* A value of the launch has one state: whether what step i appends was appended by one of the steps [first,
 * i). */
static bool is_appended(const wh_block *block, size_t first, size_t i) {
  const wh_graph *g = block->graph;
  const wh_value x = g->nodes[block->steps[i].node].inputs[1];
  for (size_t k = first; k < i; k++) {
    const wh_node_info *node = &g->nodes[block->steps[k].node];
    if (node->op == WH_OP_KV_APPEND && node->inputs[1] == x) return true;
  }
  return false;
}

/* A step that appends what a rope of the launch made may be of a later phase, if that is all it waits for. */
static bool may_append(const wh_block *block, size_t first, size_t i) {
  const wh_graph *g = block->graph;
  const wh_node_info *node = &g->nodes[block->steps[i].node];
  if (block->steps[i].phase == block->steps[first].phase) return true;
  for (int k = 0; k <= 4; k++)
    if (k != 1 && is_made(g, node->inputs[k])) return false;
  return turned_by(block, first, i) != NULL;
}

size_t gpu_heads_joined(const wh_block *block, size_t first) {
  const wh_graph *g = block->graph;
  const wh_node_info *append = NULL;
  wh_dim rows = 0;
  size_t n = 0, n_values = 0;
  for (; n < GPU_MOST_JOINED && first + n < block->n_steps; n++) {
    const wh_node_info *node = &g->nodes[block->steps[first + n].node];
    const bool turns = node->op == WH_OP_ROPE;
    if (!turns && node->op != WH_OP_KV_APPEND) break;
    if (turns ? block->steps[first + n].phase != block->steps[first].phase
              : !may_append(block, first, first + n))
      break;
    if (!turns && append && !appends_alike(g, append, node)) break;
    if (!turns && is_appended(block, first, first + n)) break;
    const wh_dim of_node = g->values[node->inputs[turns ? 0 : 1]].shape.dims[0];
    if (n == 0) rows = of_node;
    if (of_node != rows) break;
    n_values += turns || !turned_by(block, first, first + n);
    if (n_values > GPU_HEADS_VALUES) break;
    if (!turns) append = node;
  }
  return n > 1 ? n : 1;
}

/* ---- launches ---- */

static wh_status set_rope(const gpu_step *s, gpu_heads_args *a, gpu_heads_value *v) {
  const gpu_operand *x = &s->in[0];
  v->x = x->address;
  v->y = s->out->address;
  v->table = s->in[1].address;
  v->neox = wh_node_i(s->node, WH_ATTR_NEOX) != 0;
  v->n = (uint32_t)s->in[1].dims[2];
  WH_TRY(gpu_size(x->dims[0], "rows", &a->rows));
  WH_TRY(gpu_size(x->dims[1], "heads", &v->heads));
  return gpu_size(x->dims[2], "elements of a head", &v->dim);
}

/* `v` is new, or what a rope of the launch made. */
static wh_status set_append(const gpu_step *s, gpu_heads_args *a, gpu_heads_value *v) {
  const gpu_operand *state = &s->in[0], *x = &s->in[1];
  if (!v->table) v->x = x->address;
  v->cache = state->address;
  v->is_key = wh_node_i(s->node, WH_ATTR_KEY) != 0;
  WH_TRY(gpu_places_of(s, &s->in[2], state->dims[0], &a->places));
  WH_TRY(gpu_size(x->dims[1], "heads", &v->heads));
  WH_TRY(gpu_size(x->dims[2], "elements of a head", &v->dim));
  a->rows = a->places.rows;
  a->fault = s->fault;
  if (!a->appends || s->index < a->node) a->node = s->index;
  a->appends = 1;
  return WH_OK;
}

wh_status gpu_emit_heads(gpu_emit *e, const gpu_step *steps, size_t n) {
  gpu_heads_args a = {.rows = 0};
  gpu_kernel kernel = GPU_K_heads_f32;
  wh_value made[GPU_HEADS_VALUES] = {0}; /* by ropes */
  size_t n_values = 0;
  for (size_t i = 0; i < n; i++) {
    const gpu_step *s = &steps[i];
    size_t at = n_values;
    for (size_t k = 0; k < n_values && s->node->op == WH_OP_KV_APPEND; k++)
      if (made[k] && made[k] == s->node->inputs[1]) at = k;
    if (at == n_values && n_values++ == GPU_HEADS_VALUES)
      return WH_FAIL(ERR_INTERNAL, "too many values of heads");
    if (s->node->op == WH_OP_ROPE) {
      WH_TRY(set_rope(s, &a, &a.values[at]));
      made[at] = s->node->outputs[0];
      continue;
    }
    WH_TRY(set_append(s, &a, &a.values[at]));
    kernel = s->in[0].dtype == WH_DTYPE_F32   ? GPU_K_heads_f32
             : s->in[0].dtype == WH_DTYPE_F16 ? GPU_K_heads_f16
                                              : GPU_K_heads_q8;
  }
  uint64_t heads = 0;
  for (size_t i = 0; i < GPU_HEADS_VALUES; i++) {
    a.values[i].first = i < n_values ? (uint32_t)heads : GPU_NO_HEAD;
    if (i < n_values) heads += a.values[i].heads;
  }
  WH_TRY(gpu_size((int64_t)heads, "heads", &a.heads));
  if (a.rows == 0 || heads == 0) return WH_OK;
  const uint32_t blocks = gpu_blocks((uint64_t)a.rows * a.heads, WARPS);
  return gpu_launch(e, kernel, (gpu_grid){blocks + a.appends, 1, 1, WARPS * WARP, 0}, &a, sizeof a);
}

wh_status gpu_emit_head(gpu_emit *e, const gpu_step *s) { return gpu_emit_heads(e, s, 1); }
