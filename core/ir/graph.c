/* graph.c - building graphs. */
#include "core/ir/graph.h"

#include <math.h>
#include <string.h>

#define MAX_VALUES (1u << 22)

static const wh_op_info wh_op_table[WH_OP_COUNT] = {
#define WH_OP(name, text, min_in, max_in, attrs, traits, rule) \
  [WH_OP_##name] = {text, min_in, max_in, attrs, traits},
#include "core/ir/op_list.def"
};

static const struct {
  const char *name;
  char type;
} wh_attr_table[WH_ATTR_COUNT] = {
#define WH_ATTR_ROW(name, type, text) [WH_ATTR_##name] = {text, #type[0]},
    WH_ATTR_LIST(WH_ATTR_ROW)
#undef WH_ATTR_ROW
};

const wh_op_info *wh_op_get(wh_op op) { return &wh_op_table[op]; }
const char *wh_attr_name(wh_attr_key key) { return wh_attr_table[key].name; }
char wh_attr_type(wh_attr_key key) { return wh_attr_table[key].type; }

bool wh_op_from_name(const char *name, size_t n, wh_op *out) {
  for (int i = 0; i < WH_OP_COUNT; i++)
    if (strlen(wh_op_table[i].name) == n && memcmp(wh_op_table[i].name, name, n) == 0) {
      *out = (wh_op)i;
      return true;
    }
  return false;
}

wh_status wh_graph_create(const char *name, const wh_allocator *alloc, wh_graph **out) {
  wh_graph *g = wh_alloc_zeroed(alloc, sizeof *g);
  if (!g) return WH_OOM("graph");
  g->alloc = alloc;
  wh_arena_init(&g->arena, alloc, 0);
  wh_dim_table_init(&g->dims, alloc);
  g->name = wh_arena_string(&g->arena, name, strlen(name));
  if (!g->name || !wh_grow_array(alloc, (void **)&g->values, &g->values_capacity, 0, 64, sizeof *g->values)) {
    wh_graph_destroy(g);
    return WH_OOM("graph");
  }
  g->values[0] = (wh_value_info){.kind = WH_VALUE_NONE, .producer = WH_NO_NODE};
  g->n_values = 1;
  *out = g;
  return WH_OK;
}

void wh_graph_destroy(wh_graph *g) {
  if (!g) return;
  wh_free(g->alloc, g->values);
  wh_free(g->alloc, g->nodes);
  wh_free(g->alloc, g->outputs);
  wh_dim_table_deinit(&g->dims);
  wh_arena_deinit(&g->arena);
  wh_free(g->alloc, g);
}

static wh_status add_value(wh_graph *g, wh_value_info info, const char *name, wh_value *out) {
  if (g->n_values >= MAX_VALUES)
    return WH_FAIL(ERR_LIMIT, "graph '%s' has more than %u values", g->name, MAX_VALUES);
  if (!wh_grow_array(g->alloc, (void **)&g->values, &g->values_capacity, g->n_values, g->n_values + 1,
                     sizeof *g->values))
    return WH_OOM("graph values");
  info.name = wh_arena_string(&g->arena, name, strlen(name));
  if (!info.name) return WH_OOM("graph names");
  g->values[g->n_values] = info;
  *out = (wh_value)g->n_values++;
  return WH_OK;
}

bool wh_shape_equal(const wh_shape *a, const wh_shape *b) {
  return a->dtype == b->dtype && a->rank == b->rank &&
         memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

static wh_status check_shape(const wh_graph *g, const char *name, const wh_shape *shape) {
  if (!wh_dtype_get(shape->dtype)) return WH_FAIL(ERR_INVALID_ARGUMENT, "'%s': no such dtype", name);
  if (shape->rank < 0 || shape->rank > WH_MAX_RANK)
    return WH_FAIL(ERR_LIMIT, "'%s': rank %d, at most %d is supported", name, shape->rank, WH_MAX_RANK);
  for (int i = 0; i < shape->rank; i++)
    if (shape->dims[i] >= g->dims.n)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "'%s': dimension %d is undefined", name, i);
  return WH_OK;
}

wh_status wh_graph_add_input(wh_graph *g, const char *name, const wh_shape *shape, wh_value *out) {
  WH_TRY(check_shape(g, name, shape));
  return add_value(g, (wh_value_info){.kind = WH_VALUE_INPUT, .shape = *shape, .producer = WH_NO_NODE}, name,
                   out);
}

wh_status wh_graph_add_state(wh_graph *g, const char *name, const wh_shape *shape, wh_value *out) {
  WH_TRY(check_shape(g, name, shape));
  return add_value(g, (wh_value_info){.kind = WH_VALUE_STATE, .shape = *shape, .producer = WH_NO_NODE}, name,
                   out);
}

wh_status wh_graph_add_const_shape(wh_graph *g, const char *name, const wh_shape *shape, wh_value *out) {
  WH_TRY(check_shape(g, name, shape));
  for (int i = 0; i < shape->rank; i++)
    if (!wh_dim_is_const(&g->dims, shape->dims[i]))
      return WH_FAIL(ERR_INVALID_ARGUMENT, "constant '%s' has a symbolic dimension", name);
  size_t bytes;
  if (!wh_shape_bytes(g, shape, NULL, &bytes))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "constant '%s': its %s shape has no whole number of bytes", name,
                   wh_dtype_name(shape->dtype));
  return add_value(
      g, (wh_value_info){.kind = WH_VALUE_CONST, .shape = *shape, .producer = WH_NO_NODE, .n_bytes = bytes},
      name, out);
}

wh_status wh_graph_add_const(wh_graph *g, const char *name, const wh_shape *shape, const void *data,
                             size_t n_bytes, const void *origin, wh_value *out) {
  wh_value v;
  WH_TRY(wh_graph_add_const_shape(g, name, shape, &v));
  if (g->values[v].n_bytes != n_bytes) {
    g->n_values--;
    return WH_FAIL(ERR_INVALID_ARGUMENT, "constant '%s' has %zu bytes, its shape needs %zu", name, n_bytes,
                   g->values[v].n_bytes);
  }
  g->values[v].data = data;
  g->values[v].origin = origin;
  *out = v;
  return WH_OK;
}

wh_status wh_graph_add_f32(wh_graph *g, const char *name, const float *data, size_t n, wh_value *out) {
  wh_shape shape = {.dtype = WH_DTYPE_F32, .rank = 1};
  WH_TRY(wh_dim_const(&g->dims, (int64_t)n, &shape.dims[0]));
  float *copy = wh_arena_array(&g->arena, n, sizeof *copy);
  if (!copy) return WH_OOM("graph constant");
  memcpy(copy, data, n * sizeof *copy);
  return wh_graph_add_const(g, name, &shape, copy, n * sizeof *copy, NULL, out);
}

wh_status wh_check_attrs(const wh_graph *g, wh_op op, const char *name, const wh_attr *attrs,
                         size_t n_attrs) {
  const wh_op_info *info = wh_op_get(op);
  uint32_t have = 0;
  if (n_attrs > WH_MAX_ATTRS) return WH_FAIL(ERR_LIMIT, "node '%s': too many attributes", name);
  for (size_t i = 0; i < n_attrs; i++) {
    const wh_attr *a = &attrs[i];
    if ((unsigned)a->key >= WH_ATTR_COUNT || !(info->attrs & 1u << a->key) || have & 1u << a->key)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': wrong attributes for %s", name, info->name);
    have |= 1u << a->key;
    if (wh_attr_type(a->key) == 'f' && !isfinite(a->f))
      return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': attribute %s is not finite", name,
                     wh_attr_name(a->key));
    bool dims_ok = a->rank >= 0 && a->rank <= WH_MAX_RANK;
    for (int d = 0; dims_ok && d < a->rank; d++) dims_ok = a->dims[d] < g->dims.n;
    if (!dims_ok)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': attribute %s is no shape", name, wh_attr_name(a->key));
  }
  if (have != info->attrs)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': %s lacks an attribute", name, info->name);
  return WH_OK;
}

wh_status wh_graph_add_node(wh_graph *g, wh_op op, const char *name, const wh_value *inputs, size_t n_inputs,
                            const wh_attr *attrs, size_t n_attrs, wh_value *out) {
  if ((unsigned)op >= WH_OP_COUNT) return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': no such op", name);
  const wh_op_info *info = wh_op_get(op);
  while (n_inputs > info->min_inputs && inputs[n_inputs - 1] == 0)
    n_inputs--; /* absent optionals at the end */
  if (n_inputs < info->min_inputs || n_inputs > info->max_inputs || n_inputs > WH_MAX_INPUTS)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': %s takes %u to %u inputs, not %zu", name, info->name,
                   info->min_inputs, info->max_inputs, n_inputs);
  WH_TRY(wh_check_attrs(g, op, name, attrs, n_attrs));
  for (size_t i = 0; i < n_inputs; i++) {
    bool optional = i >= info->min_inputs;
    if (inputs[i] == 0 && optional) continue;
    if (inputs[i] >= g->n_values || g->values[inputs[i]].kind == WH_VALUE_NONE)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': input %zu is missing", name, i);
  }
  wh_shape shape;
  WH_TRY(wh_infer_shape(g, op, name, inputs, n_inputs, attrs, n_attrs, &shape));
  if (!wh_grow_array(g->alloc, (void **)&g->nodes, &g->nodes_capacity, g->n_nodes, g->n_nodes + 1,
                     sizeof *g->nodes))
    return WH_OOM("graph nodes");
  wh_value v;
  WH_TRY(add_value(g, (wh_value_info){.kind = WH_VALUE_NODE, .shape = shape, .producer = (wh_node)g->n_nodes},
                   name, &v));
  wh_node_info *n = &g->nodes[g->n_nodes++];
  *n = (wh_node_info){.op = op,
                      .n_inputs = (uint8_t)n_inputs,
                      .n_attrs = (uint8_t)n_attrs,
                      .output = v,
                      .name = g->values[v].name};
  for (size_t i = 0; i < n_inputs; i++) n->inputs[i] = inputs[i];
  for (size_t i = 0; i < n_attrs; i++) n->attrs[i] = attrs[i];
  *out = v;
  return WH_OK;
}

wh_status wh_graph_add_output(wh_graph *g, const char *name, wh_value value) {
  if (value >= g->n_values || g->values[value].kind == WH_VALUE_NONE)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "output '%s' is no value", name);
  if (!wh_grow_array(g->alloc, (void **)&g->outputs, &g->outputs_capacity, g->n_outputs, g->n_outputs + 1,
                     sizeof *g->outputs))
    return WH_OOM("graph outputs");
  const char *copy = wh_arena_string(&g->arena, name, strlen(name));
  if (!copy) return WH_OOM("graph names");
  g->outputs[g->n_outputs++] = (wh_graph_output){copy, value};
  return WH_OK;
}

const wh_attr *wh_node_attr(const wh_node_info *node, wh_attr_key key) {
  for (unsigned i = 0; i < node->n_attrs; i++)
    if (node->attrs[i].key == key) return &node->attrs[i];
  return NULL;
}

void wh_graph_replace_uses(wh_graph *g, wh_value from, wh_value to) {
  for (size_t n = 0; n < g->n_nodes; n++)
    for (unsigned i = 0; i < g->nodes[n].n_inputs; i++)
      if (g->nodes[n].inputs[i] == from) g->nodes[n].inputs[i] = to;
  for (size_t i = 0; i < g->n_outputs; i++)
    if (g->outputs[i].value == from) g->outputs[i].value = to;
}

void wh_graph_count_uses(const wh_graph *g, uint32_t *uses) {
  memset(uses, 0, g->n_values * sizeof *uses);
  for (size_t n = 0; n < g->n_nodes; n++)
    for (unsigned i = 0; !g->nodes[n].dead && i < g->nodes[n].n_inputs; i++) uses[g->nodes[n].inputs[i]]++;
  for (size_t i = 0; i < g->n_outputs; i++) uses[g->outputs[i].value]++;
}

bool wh_shape_bytes(const wh_graph *g, const wh_shape *shape, const int64_t *symbols, size_t *out) {
  size_t rows = 1, row;
  int64_t last = 1;
  for (int i = 0; i < shape->rank; i++) {
    int64_t d = wh_dim_eval(&g->dims, shape->dims[i], symbols);
    if (i == shape->rank - 1)
      last = d;
    else if (!wh_mul_size(rows, (size_t)d, &rows))
      return false;
  }
  return wh_dtype_row_bytes(shape->dtype, (uint64_t)last, &row) && wh_mul_size(rows, row, out);
}

static bool in_arena_copy(const wh_value_info *v) {
  return v->kind == WH_VALUE_CONST && v->data && !v->origin;
}

wh_status wh_graph_clone(const wh_graph *g, wh_graph **out) {
  wh_graph *c = NULL;
  WH_TRY(wh_graph_create(g->name, g->alloc, &c));
  bool ok =
      wh_grow_array(g->alloc, (void **)&c->values, &c->values_capacity, c->n_values, g->n_values,
                    sizeof *c->values) &&
      wh_grow_array(g->alloc, (void **)&c->nodes, &c->nodes_capacity, 0, g->n_nodes + 1, sizeof *c->nodes) &&
      wh_grow_array(g->alloc, (void **)&c->outputs, &c->outputs_capacity, 0, g->n_outputs + 1,
                    sizeof *c->outputs) &&
      wh_dim_table_copy(&g->dims, &c->dims) == WH_OK;
  if (ok) {
    memcpy(c->values, g->values, g->n_values * sizeof *c->values);
    c->n_values = g->n_values;
    if (g->n_nodes) memcpy(c->nodes, g->nodes, g->n_nodes * sizeof *c->nodes);
    c->n_nodes = g->n_nodes;
    if (g->n_outputs) memcpy(c->outputs, g->outputs, g->n_outputs * sizeof *c->outputs);
    c->n_outputs = g->n_outputs;
  }
  for (size_t i = 1; ok && i < c->n_values; i++) {
    wh_value_info *v = &c->values[i];
    v->name = wh_arena_string(&c->arena, v->name, strlen(v->name));
    if (v->producer != WH_NO_NODE) c->nodes[v->producer].name = v->name;
    if (in_arena_copy(v)) {
      void *copy = wh_arena_alloc(&c->arena, v->n_bytes);
      if (copy) memcpy(copy, v->data, v->n_bytes);
      ok = copy != NULL;
      v->data = copy;
    }
    ok = ok && v->name;
  }
  for (size_t i = 0; ok && i < c->n_outputs; i++) {
    c->outputs[i].name = wh_arena_string(&c->arena, c->outputs[i].name, strlen(c->outputs[i].name));
    ok = c->outputs[i].name != NULL;
  }
  if (!ok) {
    wh_graph_destroy(c);
    return WH_OOM("graph copy");
  }
  *out = c;
  return WH_OK;
}
