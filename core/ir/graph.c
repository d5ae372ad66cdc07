/* graph.c - building graphs. */
#include "core/ir/graph.h"

#include <string.h>

static const wh_op_info wh_op_table[WH_OP_COUNT] = {
#define WH_OP(name, text, min_in, max_in, n_out, attrs, traits, rule) \
  [WH_OP_##name] = {text, min_in, max_in, n_out, traits, attrs},
#include "core/ir/op_list.def"
};

const wh_op_info *wh_op_get(wh_op op) { return &wh_op_table[op]; }

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
  if (!g->name || !wh_grow_array(alloc, (void **)&g->values, &g->values_capacity, 0, 64, sizeof *g->values) ||
      !wh_grow_array(alloc, (void **)&g->regions, &g->regions_capacity, 0, 1, sizeof *g->regions)) {
    wh_graph_destroy(g);
    return WH_OOM("graph");
  }
  g->values[0] = (wh_value_info){.kind = WH_VALUE_NONE, .producer = WH_NO_NODE};
  g->n_values = 1;
  g->regions[0] = (wh_region_info){.owner = WH_NO_NODE};
  g->n_regions = 1;
  *out = g;
  return WH_OK;
}

void wh_graph_destroy(wh_graph *g) {
  if (!g) return;
  wh_free(g->alloc, g->values);
  wh_free(g->alloc, g->nodes);
  wh_free(g->alloc, g->outputs);
  wh_free(g->alloc, g->replaced);
  wh_free(g->alloc, g->regions);
  wh_dim_table_deinit(&g->dims);
  wh_arena_deinit(&g->arena);
  wh_free(g->alloc, g);
}

static wh_status room_for_values(wh_graph *g, size_t n) {
  if (n > WH_MAX_VALUES - g->n_values)
    return WH_FAIL(ERR_LIMIT, "graph '%s' has more than %u values", g->name, WH_MAX_VALUES);
  if (!wh_grow_array(g->alloc, (void **)&g->values, &g->values_capacity, g->n_values, g->n_values + n,
                     sizeof *g->values))
    return WH_OOM("graph values");
  return WH_OK;
}

/* There is room. */
static wh_value put_value(wh_graph *g, wh_value_info info) {
  g->values[g->n_values] = info;
  return (wh_value)g->n_values++;
}

static wh_status add_value(wh_graph *g, wh_value_info info, const char *name, wh_value *out) {
  WH_TRY(room_for_values(g, 1));
  info.name = wh_arena_string(&g->arena, name, strlen(name));
  if (!info.name) return WH_OOM("graph names");
  *out = put_value(g, info);
  return WH_OK;
}

bool wh_shape_equal(const wh_shape *a, const wh_shape *b) {
  return a->dtype == b->dtype && a->rank == b->rank &&
         memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

bool wh_shape_is_one(const wh_graph *g, const wh_shape *s) {
  for (int d = 0; d < s->rank; d++) {
    const wh_dim_expr *e = wh_dim_get(&g->dims, s->dims[d]);
    if (e->min != 1 || e->max != 1) return false;
  }
  return true;
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

static wh_status check_inputs(const wh_graph *g, const wh_node_def *def) {
  const wh_op_info *info = wh_op_get(def->op);
  if (def->n_inputs < info->min_inputs || def->n_inputs > info->max_inputs)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': %s takes %u to %u inputs, not %zu", def->name,
                   info->name, info->min_inputs, info->max_inputs, def->n_inputs);
  for (size_t i = 0; i < def->n_inputs; i++) {
    const wh_value v = def->inputs[i];
    if (v == 0 && i >= info->min_inputs) continue;
    if (v == 0 || v >= g->n_values || g->values[v].kind == WH_VALUE_NONE)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': input %zu is missing", def->name, i);
    if (!wh_graph_sees(g, g->at, v))
      return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': input %zu is made in a region that has ended",
                     def->name, i);
  }
  if (g->at && wh_op_has(def->op, WH_TRAIT_WRITES))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s' (%s): a region cannot write a state", def->name,
                   info->name);
  return WH_OK;
}

static wh_status check_regions(const wh_graph *g, const wh_node_def *def) {
  const unsigned want = wh_op_n_regions(def->op);
  if (def->n_regions != want)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': %s runs %u regions, not %zu", def->name,
                   wh_op_get(def->op)->name, want, def->n_regions);
  for (size_t i = 0; i < def->n_regions; i++) {
    const wh_region r = def->regions[i];
    const wh_region_info *info = r && r < g->n_regions ? &g->regions[r] : NULL;
    bool ok = info && !info->is_open && !info->dropped && info->owner == WH_NO_NODE && info->parent == g->at;
    for (size_t k = 0; k < i; k++) ok = ok && def->regions[k] != r;
    if (!ok)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': region %zu is not free to be run here", def->name, i);
  }
  return WH_OK;
}

/* The node and its values, once all is known; g is as it was on failure. */
static wh_status append_node(wh_graph *g, const wh_node_def *def, const wh_shape *shapes, size_t n_outputs,
                             wh_value *outs) {
  wh_node_info n = {.op = def->op,
                    .n_inputs = (uint32_t)def->n_inputs,
                    .n_outputs = (uint32_t)n_outputs,
                    .n_attrs = (uint32_t)def->n_attrs,
                    .n_regions = (uint32_t)def->n_regions,
                    .region = g->at,
                    .regions = wh_arena_array(&g->arena, def->n_regions, sizeof *n.regions),
                    .inputs = wh_arena_array(&g->arena, def->n_inputs, sizeof *n.inputs),
                    .outputs = wh_arena_array(&g->arena, n_outputs, sizeof *n.outputs),
                    .name = wh_arena_string(&g->arena, def->name, strlen(def->name))};
  if (!n.inputs || !n.outputs || !n.regions || !n.name) return WH_OOM("graph nodes");
  WH_TRY(wh_copy_attrs(g, def->attrs, def->n_attrs, &n.attrs));
  if (!wh_grow_array(g->alloc, (void **)&g->nodes, &g->nodes_capacity, g->n_nodes, g->n_nodes + 1,
                     sizeof *g->nodes))
    return WH_OOM("graph nodes");
  WH_TRY(room_for_values(g, n_outputs));
  for (size_t i = 0; i < n_outputs; i++)
    n.outputs[i] = put_value(g, (wh_value_info){.kind = WH_VALUE_NODE,
                                                .shape = shapes[i],
                                                .producer = (wh_node)g->n_nodes,
                                                .output = (uint32_t)i,
                                                .region = g->at,
                                                .name = n.name});
  if (def->n_inputs) memcpy(n.inputs, def->inputs, def->n_inputs * sizeof *n.inputs);
  memcpy(outs, n.outputs, n_outputs * sizeof *outs);
  for (size_t i = 0; i < def->n_regions; i++) {
    n.regions[i] = def->regions[i];
    g->regions[def->regions[i]].owner = (wh_node)g->n_nodes;
  }
  g->nodes[g->n_nodes++] = n;
  return WH_OK;
}

wh_status wh_graph_add(wh_graph *g, const wh_node_def *given, wh_value *outs) {
  wh_node_def def = *given;
  if ((unsigned)def.op >= WH_OP_COUNT)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': no such op", def.name);
  while (def.n_inputs > wh_op_get(def.op)->min_inputs && def.inputs[def.n_inputs - 1] == 0)
    def.n_inputs--; /* absent optionals at the end */
  WH_TRY(check_inputs(g, &def));
  WH_TRY(check_regions(g, &def));
  WH_TRY(wh_check_attrs(g, def.op, def.name, def.attrs, def.n_attrs));
  const size_t n_outputs = wh_node_def_n_outputs(g, &def);
  if (n_outputs < 1 || n_outputs > WH_MAX_NODE_OUTPUTS)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s': %s has 1 to %u outputs, not %zu", def.name,
                   wh_op_get(def.op)->name, WH_MAX_NODE_OUTPUTS, n_outputs);
  wh_shape *shapes = wh_alloc_array(g->alloc, n_outputs, sizeof *shapes);
  if (!shapes) return WH_OOM("graph nodes");
  wh_status st = wh_infer_shapes(g, &def, shapes);
  if (st == WH_OK) st = append_node(g, &def, shapes, n_outputs, outs);
  wh_free(g->alloc, shapes);
  return st;
}

wh_status wh_graph_add_node(wh_graph *g, wh_op op, const char *name, const wh_value *inputs, size_t n_inputs,
                            const wh_attr *attrs, size_t n_attrs, wh_value *outs) {
  const wh_node_def def = {
      .op = op, .name = name, .inputs = inputs, .n_inputs = n_inputs, .attrs = attrs, .n_attrs = n_attrs};
  return wh_graph_add(g, &def, outs);
}

bool wh_graph_sees(const wh_graph *g, wh_region region, wh_value v) {
  const wh_region made = g->values[v].region;
  while (region != made && region != 0) region = g->regions[region].parent;
  return region == made;
}

wh_status wh_graph_begin_region(wh_graph *g, const wh_shape *shapes, size_t n_params, wh_value *params,
                                wh_region *out) {
  const uint32_t depth = g->regions[g->at].depth + 1;
  if (g->n_regions >= WH_MAX_REGIONS || depth > WH_MAX_REGION_DEPTH || n_params > WH_MAX_NODE_INPUTS)
    return WH_FAIL(ERR_LIMIT, "graph '%s': at most %u regions, %u deep, with %u parameters", g->name,
                   WH_MAX_REGIONS, WH_MAX_REGION_DEPTH, WH_MAX_NODE_INPUTS);
  for (size_t i = 0; i < n_params; i++) WH_TRY(check_shape(g, "a region's parameter", &shapes[i]));
  wh_region_info r = {.parent = g->at,
                      .depth = depth,
                      .owner = WH_NO_NODE,
                      .is_open = true,
                      .n_params = (uint32_t)n_params,
                      .params = wh_arena_array(&g->arena, n_params, sizeof *r.params)};
  if (!r.params || !wh_grow_array(g->alloc, (void **)&g->regions, &g->regions_capacity, g->n_regions,
                                  g->n_regions + 1, sizeof *g->regions))
    return WH_OOM("graph regions");
  WH_TRY(room_for_values(g, n_params));
  for (size_t i = 0; i < n_params; i++)
    params[i] = r.params[i] = put_value(g, (wh_value_info){.kind = WH_VALUE_PARAM,
                                                           .shape = shapes[i],
                                                           .producer = WH_NO_NODE,
                                                           .output = (uint32_t)i,
                                                           .region = (wh_region)g->n_regions,
                                                           .name = "parameter"});
  g->regions[g->n_regions] = r;
  *out = g->at = (wh_region)g->n_regions++;
  return WH_OK;
}

wh_status wh_graph_end_region(wh_graph *g, const wh_value *results, size_t n_results) {
  wh_region_info *r = &g->regions[g->at];
  if (g->at == 0) return WH_FAIL(ERR_INVALID_ARGUMENT, "graph '%s': no region is open", g->name);
  if (n_results < 1 || n_results > WH_MAX_NODE_OUTPUTS)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "a region yields 1 to %u values, not %zu", WH_MAX_NODE_OUTPUTS,
                   n_results);
  for (size_t i = 0; i < n_results; i++)
    if (results[i] == 0 || results[i] >= g->n_values || g->values[results[i]].kind == WH_VALUE_NONE ||
        !wh_graph_sees(g, g->at, results[i]))
      return WH_FAIL(ERR_INVALID_ARGUMENT, "a region yields what it does not see");
  r->results = wh_arena_array(&g->arena, n_results, sizeof *r->results);
  if (!r->results) return WH_OOM("graph regions");
  memcpy(r->results, results, n_results * sizeof *results);
  r->n_results = (uint32_t)n_results;
  r->is_open = false;
  g->at = r->parent;
  return WH_OK;
}

wh_status wh_node_set_inputs(wh_graph *g, wh_node_info *node, const wh_value *inputs, size_t n_inputs) {
  if (n_inputs > node->n_inputs) {
    wh_value *span = wh_arena_array(&g->arena, n_inputs, sizeof *span);
    if (!span) return WH_OOM("graph nodes");
    node->inputs = span;
  }
  memmove(node->inputs, inputs, n_inputs * sizeof *inputs);
  node->n_inputs = (uint32_t)n_inputs;
  return WH_OK;
}

wh_status wh_graph_add_output(wh_graph *g, const char *name, wh_value value) {
  if (value >= g->n_values || g->values[value].kind == WH_VALUE_NONE)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "output '%s' is no value", name);
  if (!wh_graph_sees(g, 0, value))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "output '%s' is made in a region", name);
  if (!wh_grow_array(g->alloc, (void **)&g->outputs, &g->outputs_capacity, g->n_outputs, g->n_outputs + 1,
                     sizeof *g->outputs))
    return WH_OOM("graph outputs");
  const char *copy = wh_arena_string(&g->arena, name, strlen(name));
  if (!copy) return WH_OOM("graph names");
  g->outputs[g->n_outputs++] = (wh_graph_output){copy, value};
  return WH_OK;
}

wh_value wh_graph_resolve(const wh_graph *g, wh_value v) {
  while (v < g->replaced_capacity && g->replaced[v]) v = g->replaced[v];
  return v;
}

wh_status wh_graph_replace_uses(wh_graph *g, wh_value from, wh_value to) {
  const size_t old = g->replaced_capacity;
  if (!wh_grow_array(g->alloc, (void **)&g->replaced, &g->replaced_capacity, old, g->n_values,
                     sizeof *g->replaced))
    return WH_OOM("graph replacements");
  if (g->replaced_capacity > old)
    memset(g->replaced + old, 0, (g->replaced_capacity - old) * sizeof *g->replaced);
  from = wh_graph_resolve(g, from);
  to = wh_graph_resolve(g, to);
  if (from == to) return WH_OK;
  g->replaced[from] = to;
  g->n_replaced++;
  return WH_OK;
}

void wh_graph_apply_replacements(wh_graph *g) {
  if (g->n_replaced == 0) return;
  for (size_t v = 0; v < g->replaced_capacity; v++) { /* each chain is walked once */
    const wh_value end = wh_graph_resolve(g, (wh_value)v);
    for (wh_value at = (wh_value)v; at != end;) {
      const wh_value next = g->replaced[at];
      g->replaced[at] = end;
      at = next;
    }
  }
  for (size_t n = 0; n < g->n_nodes; n++) {
    g->work += 1 + g->nodes[n].n_inputs;
    for (unsigned i = 0; i < g->nodes[n].n_inputs; i++)
      g->nodes[n].inputs[i] = wh_graph_resolve(g, g->nodes[n].inputs[i]);
  }
  for (size_t r = 1; r < g->n_regions; r++)
    for (unsigned i = 0; i < g->regions[r].n_results; i++)
      g->regions[r].results[i] = wh_graph_resolve(g, g->regions[r].results[i]);
  for (size_t i = 0; i < g->n_outputs; i++) g->outputs[i].value = wh_graph_resolve(g, g->outputs[i].value);
  memset(g->replaced, 0, g->replaced_capacity * sizeof *g->replaced);
  g->n_replaced = 0;
}

void wh_graph_count_uses(const wh_graph *g, uint32_t *uses) {
  memset(uses, 0, g->n_values * sizeof *uses);
  for (size_t n = 0; n < g->n_nodes; n++)
    for (unsigned i = 0; !g->nodes[n].dead && i < g->nodes[n].n_inputs; i++) uses[g->nodes[n].inputs[i]]++;
  for (size_t r = 1; r < g->n_regions; r++)
    for (unsigned i = 0; !g->regions[r].dropped && i < g->regions[r].n_results; i++)
      uses[g->regions[r].results[i]]++;
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

/* q8a: a row's codes, a shift per block of 32, an fp32 scale per group of 256. */
static bool q8a_row_bytes(uint64_t k, size_t *out) {
  size_t blocks = (size_t)(k / 32 + (k % 32 != 0)), groups = (size_t)(k / 256 + (k % 256 != 0)), bytes;
  return wh_mul_size(groups, sizeof(float), &bytes) && wh_add_size(bytes, blocks, &bytes) &&
         wh_add_size(bytes, (size_t)k, out);
}

/* q13a: a row's codes, an fp32 scale per block of 128. */
static bool q13a_row_bytes(uint64_t k, size_t *out) {
  size_t codes, scales;
  return wh_mul_size((size_t)k, sizeof(int16_t), &codes) &&
         wh_mul_size((size_t)(k / 128 + (k % 128 != 0)), sizeof(float), &scales) &&
         wh_add_size(codes, scales, out);
}

bool wh_value_row_major_bytes(const wh_graph *g, wh_value v, const int64_t *dims, size_t *out) {
  const wh_shape *s = &g->values[v].shape;
  const uint64_t last = s->rank ? (uint64_t)dims[s->dims[s->rank - 1]] : 1;
  size_t n = 1, row;
  for (int i = 0; i + 1 < s->rank; i++)
    if (!wh_mul_size(n, (size_t)dims[s->dims[i]], &n)) return false;
  const bool known = s->dtype == WH_DTYPE_Q8A    ? q8a_row_bytes(last, &row)
                     : s->dtype == WH_DTYPE_Q13A ? q13a_row_bytes(last, &row)
                                                 : wh_dtype_row_bytes(s->dtype, last, &row);
  return known && wh_mul_size(n, row, out);
}

static bool in_arena_copy(const wh_value_info *v) {
  return v->kind == WH_VALUE_CONST && v->data && !v->origin;
}

static void *copy_span(wh_graph *g, const void *from, size_t n, size_t elem_size) {
  void *to = wh_arena_array(&g->arena, n, elem_size);
  if (to && n) memcpy(to, from, n * elem_size);
  return to;
}

static wh_status clone_nodes(const wh_graph *g, wh_graph *c) {
  if (!wh_grow_array(g->alloc, (void **)&c->nodes, &c->nodes_capacity, 0, g->n_nodes + 1, sizeof *c->nodes))
    return WH_OOM("graph copy");
  for (; c->n_nodes < g->n_nodes; c->n_nodes++) {
    const wh_node_info *from = &g->nodes[c->n_nodes];
    wh_node_info *to = &c->nodes[c->n_nodes];
    *to = *from;
    to->inputs = copy_span(c, from->inputs, from->n_inputs, sizeof *from->inputs);
    to->outputs = copy_span(c, from->outputs, from->n_outputs, sizeof *from->outputs);
    to->regions = copy_span(c, from->regions, from->n_regions, sizeof *from->regions);
    to->name = wh_arena_string(&c->arena, from->name, strlen(from->name));
    if (!to->inputs || !to->outputs || !to->regions || !to->name) return WH_OOM("graph copy");
    WH_TRY(wh_copy_attrs(c, from->attrs, from->n_attrs, &to->attrs));
  }
  return WH_OK;
}

/* After the nodes: their outputs have their names. */
static wh_status clone_values(const wh_graph *g, wh_graph *c) {
  if (!wh_grow_array(g->alloc, (void **)&c->values, &c->values_capacity, c->n_values, g->n_values,
                     sizeof *c->values))
    return WH_OOM("graph copy");
  for (; c->n_values < g->n_values; c->n_values++) {
    wh_value_info *v = &c->values[c->n_values];
    *v = g->values[c->n_values];
    v->name = v->producer != WH_NO_NODE ? c->nodes[v->producer].name
                                        : wh_arena_string(&c->arena, v->name, strlen(v->name));
    if (in_arena_copy(v)) v->data = copy_span(c, v->data, v->n_bytes, 1);
    if (!v->name || (v->kind == WH_VALUE_CONST && v->n_bytes && !v->data != !g->values[c->n_values].data))
      return WH_OOM("graph copy");
  }
  return WH_OK;
}

static wh_status clone_regions(const wh_graph *g, wh_graph *c) {
  if (!wh_grow_array(g->alloc, (void **)&c->regions, &c->regions_capacity, c->n_regions, g->n_regions,
                     sizeof *c->regions))
    return WH_OOM("graph copy");
  for (; c->n_regions < g->n_regions; c->n_regions++) {
    const wh_region_info *from = &g->regions[c->n_regions];
    wh_region_info *to = &c->regions[c->n_regions];
    *to = *from;
    to->params = copy_span(c, from->params, from->n_params, sizeof *from->params);
    to->results = copy_span(c, from->results, from->n_results, sizeof *from->results);
    if (!to->params || !to->results) return WH_OOM("graph copy");
  }
  c->at = g->at;
  return WH_OK;
}

static wh_status clone_outputs(const wh_graph *g, wh_graph *c) {
  if (!wh_grow_array(g->alloc, (void **)&c->outputs, &c->outputs_capacity, 0, g->n_outputs + 1,
                     sizeof *c->outputs))
    return WH_OOM("graph copy");
  for (; c->n_outputs < g->n_outputs; c->n_outputs++) {
    const wh_graph_output *o = &g->outputs[c->n_outputs];
    const char *name = wh_arena_string(&c->arena, o->name, strlen(o->name));
    if (!name) return WH_OOM("graph copy");
    c->outputs[c->n_outputs] = (wh_graph_output){name, o->value};
  }
  return WH_OK;
}

wh_status wh_graph_clone(const wh_graph *g, wh_graph **out) {
  wh_graph *c = NULL;
  WH_TRY(wh_graph_create(g->name, g->alloc, &c));
  wh_status st = wh_dim_table_copy(&g->dims, &c->dims);
  if (st == WH_OK) st = clone_nodes(g, c);
  if (st == WH_OK) st = clone_values(g, c);
  if (st == WH_OK) st = clone_regions(g, c);
  if (st == WH_OK) st = clone_outputs(g, c);
  if (st != WH_OK) {
    wh_graph_destroy(c);
    return st;
  }
  *out = c;
  return WH_OK;
}
