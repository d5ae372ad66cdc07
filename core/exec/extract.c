/* extract.c - see extract.h. */
#include "core/exec/extract.h"

#include <stdio.h>
#include <string.h>

#include "core/base/exact_math.h"

#define MOST_INPUTS 64
#define NAME_BYTES 128

/* The value of an input, as the run had it. */
typedef struct taken_value {
  wh_value value; /* of the program's graph */
  void *data;
  size_t n_bytes;
  char name[NAME_BYTES]; /* in the graph of the node */
} taken_value;

/* RESTORED: a kv_append that other nodes read the state of; in the graph it writes all that the state held.
 */
typedef enum role { LEFT_OUT, WANTED, RESTORED } role;

struct wh_extract {
  const wh_allocator *alloc;
  char *node;
  const wh_graph *from; /* NULL: the execution does not have the node */
  uint8_t *wanted;      /* by node of `from`: role */
  wh_node end;          /* the last of them */
  taken_value taken[MOST_INPUTS];
  size_t n_taken;
  wh_graph *graph; /* made: nothing is wanted any more */
  bool reads_states;
};

wh_status wh_extract_create(const char *node, const wh_allocator *alloc, wh_extract **out) {
  wh_extract *x = wh_alloc_zeroed(alloc, sizeof *x);
  if (!x) return WH_OOM("extract");
  x->alloc = alloc;
  x->node = wh_alloc_string(alloc, node, strlen(node));
  if (!x->node) {
    wh_extract_destroy(x);
    return WH_OOM("extract");
  }
  *out = x;
  return WH_OK;
}

static void forget(wh_extract *x) {
  for (size_t i = 0; i < x->n_taken; i++) wh_free(x->alloc, x->taken[i].data);
  wh_free(x->alloc, x->wanted);
  x->n_taken = 0;
  x->wanted = NULL;
  x->from = NULL;
}

void wh_extract_destroy(wh_extract *x) {
  if (!x) return;
  forget(x);
  wh_graph_destroy(x->graph);
  wh_free(x->alloc, x->node);
  wh_free(x->alloc, x);
}

/* ---- which nodes ---- */

static bool is_state(const wh_graph *g, wh_value v) {
  for (;;) {
    const wh_value_info *info = &g->values[v];
    if (info->kind != WH_VALUE_NODE) return info->kind == WH_VALUE_STATE;
    const wh_node_info *n = &g->nodes[info->producer];
    if (!wh_op_has(n->op, WH_TRAIT_WRITES | WH_TRAIT_VIEW)) return false;
    v = n->inputs[0];
  }
}

/* In a form that only its device knows. */
static bool is_opaque(const wh_graph *g, wh_value v) {
  return wh_dtype_is(g->values[v].shape.dtype, WH_CLASS_OPAQUE) || is_state(g, v);
}

static bool is_taken(const wh_graph *g, wh_value v) {
  const wh_value_kind kind = g->values[v].kind;
  return kind == WH_VALUE_INPUT || (kind == WH_VALUE_NODE && !is_opaque(g, v));
}

static wh_node find_node(const wh_graph *g, const char *name) {
  for (wh_node n = 0; n < g->n_nodes; n++)
    if (strcmp(g->nodes[n].name, name) == 0 && !wh_op_has(g->nodes[n].op, WH_TRAIT_VIEW)) return n;
  return WH_NO_NODE;
}

static wh_node find_reader(const wh_graph *g, wh_value v) {
  for (wh_node n = g->values[v].producer + 1; n < g->n_nodes; n++)
    for (unsigned i = 0; i < g->nodes[n].n_inputs; i++)
      if (g->nodes[n].inputs[i] == v) return n;
  return WH_NO_NODE;
}

/* Keys and values of q8_0 are not restored: what they were quantised from is gone. */
static role role_of_maker(wh_extract *x, wh_node n) {
  const wh_node_info *node = &x->from->nodes[n];
  if (node->op != WH_OP_KV_APPEND) return WANTED;
  const wh_dtype dtype = x->from->values[node->inputs[0]].shape.dtype;
  if (dtype == WH_DTYPE_F16 || dtype == WH_DTYPE_F32) return RESTORED;
  x->reads_states = true;
  return WANTED;
}

/* Nodes stand behind those whose values they read. */
static void want_makers(wh_extract *x) {
  for (wh_node n = x->end + 1; n-- > 0;) {
    const wh_node_info *node = &x->from->nodes[n];
    for (unsigned i = 0; x->wanted[n] == WANTED && i < node->n_inputs; i++) {
      const wh_value_info *v = &x->from->values[node->inputs[i]];
      if (node->inputs[i] && v->kind == WH_VALUE_NODE && !is_taken(x->from, node->inputs[i]))
        x->wanted[v->producer] = (uint8_t)role_of_maker(x, v->producer);
    }
  }
}

wh_status wh_extract_begin(wh_extract *x, const wh_program *p) {
  if (x->graph) return WH_OK;
  forget(x);
  const wh_node n = find_node(p->graph, x->node);
  if (n == WH_NO_NODE) return WH_OK;
  x->end = n;
  while (wh_dtype_is(p->graph->values[wh_node_output(&p->graph->nodes[x->end], 0)].shape.dtype,
                     WH_CLASS_OPAQUE)) {
    x->end = find_reader(p->graph, wh_node_output(&p->graph->nodes[x->end], 0));
    if (x->end == WH_NO_NODE) return WH_FAIL(ERR_UNSUPPORTED, "nothing reads what node '%s' makes", x->node);
  }
  x->wanted = wh_alloc_array(x->alloc, p->graph->n_nodes, sizeof *x->wanted);
  if (!x->wanted) return WH_OOM("extract");
  x->from = p->graph;
  x->wanted[n] = x->wanted[x->end] = WANTED;
  x->reads_states = false;
  want_makers(x);
  return WH_OK;
}

/* ---- values ---- */

static taken_value *find_taken(wh_extract *x, wh_value v) {
  for (size_t i = 0; i < x->n_taken; i++)
    if (x->taken[i].value == v) return &x->taken[i];
  return NULL;
}

/* What a wanted node reads and none of them makes, and what restored states hold. */
static bool takes(const wh_extract *x, wh_node node, wh_value v) {
  const wh_value_info *info = &x->from->values[v];
  const bool is_made = info->kind == WH_VALUE_NODE && x->wanted[info->producer] != LEFT_OUT;
  if (x->wanted[node] == RESTORED) return is_made && info->producer == node;
  return x->wanted[node] == WANTED && is_taken(x->from, v) && !is_made;
}

wh_status wh_extract_place(wh_extract *x, wh_node node, wh_value v, const int64_t *dims, void **out) {
  taken_value t = {.value = v};
  *out = NULL;
  if (!x->from || !takes(x, node, v) || find_taken(x, v)) return WH_OK;
  const wh_value_info *info = &x->from->values[v];
  if (x->n_taken == MOST_INPUTS)
    return WH_FAIL(ERR_UNSUPPORTED, "node '%s' has more than %d inputs", x->node, MOST_INPUTS);
  if (!wh_value_row_major_bytes(x->from, v, dims, &t.n_bytes))
    return WH_FAIL(ERR_LIMIT, "'%s' is too large", info->name);
  t.data = *out = wh_alloc_uninit(x->alloc, t.n_bytes ? t.n_bytes : 1, WH_ALIGN_SIMD);
  if (!t.data) return WH_OOM("an input of a node");
  x->taken[x->n_taken++] = t;
  return WH_OK;
}

/* ---- the graph ---- */

typedef struct copying {
  wh_extract *x;
  const wh_graph *from;
  wh_graph *to;
  const int64_t *dims;
  wh_value *values; /* by value of `from`; 0: not there yet */
  /* of restored states of so many pages: all positions, sequence 0 of each, its pages in their order */
  int64_t n_pages;
  wh_value places[3];
} copying;

static wh_status number_dims(const copying *c, const wh_dim *from, int rank, wh_dim *to) {
  for (int i = 0; i < rank; i++) WH_TRY(wh_dim_const(&c->to->dims, c->dims[from[i]], &to[i]));
  return WH_OK;
}

static bool is_named(const wh_graph *g, const char *name) {
  for (wh_value v = 1; v < g->n_values; v++)
    if (g->values[v].kind != WH_VALUE_NODE && strcmp(g->values[v].name, name) == 0) return true;
  return false;
}

/* The name as one of a file, too: letters, digits, '.', '_' and '-'; no other value has it. */
static void name_of(const wh_graph *to, const char *name, char out[NAME_BYTES]) {
  char plain[NAME_BYTES - 16];
  size_t n = 0;
  for (; name[n] && n + 1 < sizeof plain; n++) {
    const char c = name[n];
    const bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == '-' || (c == '.' && n);
    plain[n] = c;
    if (!kept) plain[n] = '_';
  }
  plain[n] = '\0';
  (void)snprintf(out, NAME_BYTES, "%s", n ? plain : "_");
  for (unsigned i = 2; is_named(to, out); i++) (void)snprintf(out, NAME_BYTES, "%s.%u", plain, i);
}

/* What a wanted node reads and no wanted node makes. */
static wh_status copy_source(copying *c, wh_value v) {
  const wh_value_info *info = &c->from->values[v];
  wh_shape shape = {.dtype = info->shape.dtype, .rank = info->shape.rank};
  char name[NAME_BYTES];
  if (c->values[v]) return WH_OK;
  name_of(c->to, info->name, name);
  WH_TRY(number_dims(c, info->shape.dims, shape.rank, shape.dims));
  if (info->kind == WH_VALUE_CONST)
    return wh_graph_add_const(c->to, name, &shape, info->data, info->n_bytes, NULL, &c->values[v]);
  if (info->kind == WH_VALUE_STATE) return wh_graph_add_state(c->to, name, &shape, &c->values[v]);
  taken_value *t = find_taken(c->x, v);
  if (!t) return WH_FAIL(ERR_INTERNAL, "the run did not have '%s'", info->name);
  memcpy(t->name, name, sizeof name);
  return wh_graph_add_input(c->to, name, &shape, &c->values[v]);
}

/* An input that the run did not have; *data has room for its elements of 4 bytes. */
static wh_status add_input(copying *c, const char *name, wh_dtype dtype, const int64_t *dims, int rank,
                           void **data, wh_value *out) {
  wh_shape shape = {.dtype = dtype, .rank = rank};
  taken_value t = {.n_bytes = 4};
  for (int i = 0; i < rank; i++) {
    WH_TRY(wh_dim_const(&c->to->dims, dims[i], &shape.dims[i]));
    if (!wh_mul_size(t.n_bytes, (size_t)dims[i], &t.n_bytes))
      return WH_FAIL(ERR_LIMIT, "'%s' is too large", name);
  }
  if (c->x->n_taken == MOST_INPUTS)
    return WH_FAIL(ERR_UNSUPPORTED, "node '%s' has more than %d inputs", c->x->node, MOST_INPUTS);
  name_of(c->to, name, t.name);
  t.data = *data = wh_alloc_uninit(c->x->alloc, t.n_bytes ? t.n_bytes : 1, WH_ALIGN_SIMD);
  if (!t.data) return WH_OOM("an input of a node");
  c->x->taken[c->x->n_taken++] = t;
  return wh_graph_add_input(c->to, t.name, &shape, out);
}

/* Where rows go that fill a state: position p is in page p / 64. */
static wh_status add_places(copying *c, int64_t n_pages) {
  const int64_t n_rows = n_pages * WH_KV_PAGE, table[2] = {1, n_pages};
  void *data;
  if (c->n_pages == n_pages) return WH_OK;
  WH_TRY(add_input(c, "state.positions", WH_DTYPE_I32, &n_rows, 1, &data, &c->places[0]));
  for (int64_t i = 0; i < n_rows; i++) ((int32_t *)data)[i] = (int32_t)i;
  WH_TRY(add_input(c, "state.sequences", WH_DTYPE_I32, &n_rows, 1, &data, &c->places[1]));
  memset(data, 0, (size_t)n_rows * sizeof(int32_t));
  WH_TRY(add_input(c, "state.page_table", WH_DTYPE_I32, table, 2, &data, &c->places[2]));
  for (int64_t i = 0; i < n_pages; i++) ((int32_t *)data)[i] = (int32_t)i;
  c->n_pages = n_pages;
  return WH_OK;
}

/* The state's rows, position by position, from its row-major form [pages, heads, 64, dim]. */
static void rows_of_state(const void *state, wh_dtype dtype, const int64_t *dims, float *rows) {
  const int64_t heads = dims[1], dim = dims[3];
  for (int64_t i = 0; i < dims[0] * WH_KV_PAGE; i++)
    for (int64_t h = 0; h < heads; h++)
      for (int64_t k = 0; k < dim; k++) {
        const int64_t at = ((i / WH_KV_PAGE * heads + h) * WH_KV_PAGE + i % WH_KV_PAGE) * dim + k;
        rows[(i * heads + h) * dim + k] = dtype == WH_DTYPE_F16
                                              ? wh_f32_from_f16(((const uint16_t *)state)[at])
                                              : ((const float *)state)[at];
      }
}

/* The inputs of a kv_append that writes what the state held; by value of its output. */
static wh_status add_rows(copying *c, const wh_node_info *node, wh_value *rows) {
  const wh_value made = wh_node_output(node, 0);
  const wh_value_info *state = &c->from->values[node->inputs[0]];
  const taken_value *t = find_taken(c->x, made);
  int64_t dims[4];
  char name[NAME_BYTES];
  void *data;
  if (!t) return WH_FAIL(ERR_INTERNAL, "the run did not have '%s'", node->name);
  const void *held = t->data;
  for (int i = 0; i < 4; i++) dims[i] = c->dims[state->shape.dims[i]];
  if (dims[0] > INT32_MAX / WH_KV_PAGE) return WH_FAIL(ERR_LIMIT, "'%s' is too large", state->name);
  WH_TRY(add_places(c, dims[0]));
  (void)snprintf(name, sizeof name, "%.100s.rows", state->name);
  const int64_t shape[3] = {dims[0] * WH_KV_PAGE, dims[1], dims[3]};
  WH_TRY(add_input(c, name, WH_DTYPE_F32, shape, 3, &data, rows));
  rows_of_state(held, state->shape.dtype, dims, data);
  return WH_OK;
}

static wh_status copy_attrs(const copying *c, const wh_node_info *node, wh_attr *attrs) {
  for (unsigned i = 0; i < node->n_attrs; i++) {
    attrs[i] = node->attrs[i];
    const wh_attr_type type = wh_attr_type_of(attrs[i].key);
    if (type == WH_TYPE_DIMS || type == WH_TYPE_TENSOR)
      WH_TRY(number_dims(c, node->attrs[i].dims, attrs[i].rank, attrs[i].dims));
  }
  return WH_OK;
}

static wh_status restore_state(copying *c, const wh_node_info *node) {
  wh_attr attrs[WH_ATTR_COUNT];
  const wh_value made = wh_node_output(node, 0), rows = c->values[made]; /* as copy_sources left it */
  const wh_value inputs[] = {c->values[node->inputs[0]], rows, c->places[0], c->places[1], c->places[2]};
  WH_TRY(copy_attrs(c, node, attrs));
  return wh_graph_add_node(c->to, node->op, node->name, inputs, 5, attrs, node->n_attrs, &c->values[made]);
}

static wh_status copy_node(copying *c, const wh_node_info *node) {
  wh_attr attrs[WH_ATTR_COUNT];
  const unsigned n_outputs = wh_node_n_outputs(node);
  if (node->n_regions || node->n_attrs > WH_ATTR_COUNT)
    return WH_FAIL(ERR_UNSUPPORTED, "node '%s' runs other nodes", node->name);
  WH_TRY(copy_attrs(c, node, attrs));
  wh_value *values = wh_alloc_array(c->x->alloc, (size_t)node->n_inputs + n_outputs + 1, sizeof *values);
  wh_shape *shapes = wh_alloc_array(c->x->alloc, n_outputs + 1, sizeof *shapes);
  wh_status st = values && shapes ? WH_OK : WH_OOM("extract");
  for (unsigned i = 0; i < node->n_inputs && st == WH_OK; i++) {
    if (node->inputs[i]) st = copy_source(c, node->inputs[i]);
    if (st == WH_OK && node->inputs[i]) values[i] = c->values[node->inputs[i]];
  }
  for (unsigned i = 0; i < n_outputs && st == WH_OK; i++) {
    const wh_shape *shape = &c->from->values[wh_node_output(node, i)].shape;
    shapes[i] = (wh_shape){.dtype = shape->dtype, .rank = shape->rank};
    st = number_dims(c, shape->dims, shape->rank, shapes[i].dims);
  }
  const wh_node_def def = {.op = node->op,
                           .name = node->name,
                           .inputs = values,
                           .n_inputs = node->n_inputs,
                           .attrs = attrs,
                           .n_attrs = node->n_attrs,
                           .shapes = shapes,
                           .n_outputs = n_outputs};
  if (st == WH_OK) st = wh_graph_add(c->to, &def, values ? &values[node->n_inputs] : NULL);
  for (unsigned i = 0; i < n_outputs && st == WH_OK; i++)
    c->values[wh_node_output(node, i)] = values[node->n_inputs + i];
  wh_free(c->x->alloc, values);
  wh_free(c->x->alloc, shapes);
  return st;
}

static wh_status copy_sources(copying *c, wh_node n) {
  const wh_extract *x = c->x;
  const wh_node_info *node = &c->from->nodes[n];
  if (x->wanted[n] == RESTORED) {
    WH_TRY(copy_source(c, node->inputs[0]));
    return add_rows(c, node, &c->values[wh_node_output(node, 0)]);
  }
  for (unsigned i = 0; x->wanted[n] && i < node->n_inputs; i++) {
    const wh_value_info *v = &c->from->values[node->inputs[i]];
    if (node->inputs[i] && !(v->kind == WH_VALUE_NODE && x->wanted[v->producer]))
      WH_TRY(copy_source(c, node->inputs[i]));
  }
  return WH_OK;
}

/* Sources come first in the text of a graph, so they do here. */
static wh_status copy_all(copying *c) {
  const wh_extract *x = c->x;
  for (wh_node n = 0; n <= x->end; n++) WH_TRY(copy_sources(c, n));
  for (wh_node n = 0; n <= x->end; n++) {
    if (x->wanted[n] == WANTED) WH_TRY(copy_node(c, &c->from->nodes[n]));
    if (x->wanted[n] == RESTORED) WH_TRY(restore_state(c, &c->from->nodes[n]));
  }
  const wh_node_info *last = &c->from->nodes[x->end];
  for (unsigned i = 0; i < wh_node_n_outputs(last); i++) {
    const wh_value v = wh_node_output(last, i);
    char name[32];
    (void)snprintf(name, sizeof name, "out%u", i);
    if (!is_opaque(c->from, v)) WH_TRY(wh_graph_add_output(c->to, name, c->values[v]));
  }
  return wh_graph_verify(c->to);
}

wh_status wh_extract_end(wh_extract *x, const int64_t *dims) {
  if (!x->from || x->graph) return WH_OK;
  copying c = {.x = x, .from = x->from, .dims = dims};
  c.values = wh_alloc_array(x->alloc, x->from->n_values, sizeof *c.values);
  wh_status st = c.values ? wh_graph_create(x->node, x->alloc, &c.to) : WH_OOM("extract");
  if (st == WH_OK) st = copy_all(&c);
  wh_free(x->alloc, c.values);
  if (st != WH_OK) {
    wh_graph_destroy(c.to);
    return st;
  }
  x->graph = c.to;
  return WH_OK;
}

const wh_graph *wh_extract_graph(const wh_extract *x) { return x->graph; }
bool wh_extract_reads_states(const wh_extract *x) { return x->reads_states; }

const void *wh_extract_input(const wh_extract *x, const char *name, size_t *n_bytes) {
  for (size_t i = 0; i < x->n_taken; i++) {
    if (strcmp(x->taken[i].name, name) != 0) continue;
    *n_bytes = x->taken[i].n_bytes;
    return x->taken[i].data;
  }
  return NULL;
}
