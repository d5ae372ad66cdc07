/* net.c - names of an ONNX model resolved to slots, operators to rows of the table. See net.h. */
#include <inttypes.h>
#include <string.h>

#include "core/base/hash.h"
#include "import/onnx/importer.h"

#define NET_ALIGN 64
/* From here on elements that lie badly in the file are read there nonetheless; smaller weights are copied. */
#define LARGE_BYTES ((size_t)64 << 10)

/* ---- names of one graph ---- */

typedef struct name_slot {
  wh_str name;
  uint32_t slot_plus_1; /* 0: free */
} name_slot;

typedef struct maker {
  struct maker *outer;
  ox_graph *graph;
  name_slot *names;
  size_t n_places; /* a power of two */
  size_t at;       /* the node that is being resolved */
} maker;

typedef struct net_maker {
  wh_onnx_net *net;
  const wh_onnx_opset *opsets;
  size_t n_opsets;
} net_maker;

static name_slot *find_place(const maker *m, wh_str name) {
  size_t i = (size_t)wh_hash_bytes(name.data, name.len).low & (m->n_places - 1);
  while (m->names[i].slot_plus_1 && !wh_str_equal(m->names[i].name, name)) i = (i + 1) & (m->n_places - 1);
  return &m->names[i];
}

static wh_status define(maker *m, wh_str name, uint32_t *out) {
  name_slot *p = find_place(m, name);
  if (p->slot_plus_1) return WH_FAIL(ERR_CORRUPT, "value '" WH_STR_FMT "' is made twice", WH_STR_ARG(name));
  *p = (name_slot){name, ++m->graph->n_slots};
  *out = m->graph->n_slots - 1;
  return WH_OK;
}

/* Absent, or found here or in a graph around; notes that it is needed until the node that is being resolved.
 */
static wh_status refer(maker *m, wh_str name, ox_ref *out) {
  uint32_t up = 0;
  *out = (ox_ref){OX_ABSENT, 0};
  if (name.len == 0) return WH_OK;
  for (maker *at = m; at; at = at->outer, up++) {
    const name_slot *p = find_place(at, name);
    if (!p->slot_plus_1) continue;
    *out = (ox_ref){up, p->slot_plus_1 - 1};
    size_t *last = &at->graph->last_use[out->slot];
    if (*last < at->at + 1) *last = at->at + 1;
    return WH_OK;
  }
  return WH_FAIL(ERR_CORRUPT, "value '" WH_STR_FMT "' is used before anything makes it", WH_STR_ARG(name));
}

/* ---- weights ---- */

static wh_status strings_of(const wh_onnx_tensor *t, wh_datum *d) {
  d->strings = t->strings;
  return WH_OK;
}

/* Elements that take a part of a byte in rows, as core has them, from a run of them. */
static void split_rows(uint8_t *rows, const uint8_t *run, size_t n, size_t row, size_t per_byte) {
  const size_t row_bytes = row / per_byte + (row % per_byte != 0), bits = 8 / per_byte;
  for (size_t i = 0; i < n; i++) {
    const unsigned v = run[i / per_byte] >> bits * (i % per_byte) & ((1u << bits) - 1);
    const size_t r = i / row, k = i % row;
    rows[r * row_bytes + k / per_byte] |= (uint8_t)(v << bits * (k % per_byte));
  }
}

wh_status ox_weight_of(const wh_onnx_tensor *t, wh_arena *arena, wh_datum *out) {
  *out = (wh_datum){.kind = WH_DATUM_TENSOR, .dtype = t->dtype, .rank = t->rank, .n = t->n_elements};
  memcpy(out->dims, t->dims, sizeof out->dims);
  if (!ox_count(t->dims, t->rank, &out->n))
    return WH_FAIL(ERR_LIMIT, "tensor '" WH_STR_FMT "' has dimensions that are too large",
                   WH_STR_ARG(t->name));
  out->is_weight = out->is_kept = true;
  out->is_cheap = t->n_elements <= 1024;
  if (t->dtype == WH_DTYPE_STRING) return strings_of(t, out);
  const size_t per_byte = wh_dtype_get(t->dtype)->block_elems;
  const bool half = per_byte > 1;
  const size_t row = t->rank ? (size_t)t->dims[t->rank - 1] : 1;
  out->data = t->raw.data;
  if (t->raw.data && !half && t->dtype != WH_DTYPE_BOOL && ox_size_of(t->dtype) &&
      (ox_is_aligned(out) || t->n_bytes >= LARGE_BYTES))
    return WH_OK;
  size_t n_bytes = t->n_bytes;
  if (half && row) n_bytes = t->n_elements / row * (row / per_byte + (row % per_byte != 0));
  uint8_t *p = wh_arena_alloc(arena, n_bytes + NET_ALIGN);
  if (!p) return WH_OOM("ONNX weight");
  p += NET_ALIGN - (uintptr_t)p % NET_ALIGN;
  out->data = p;
  if (!half) {
    wh_onnx_tensor_read(t, p);
    for (size_t i = 0; t->dtype == WH_DTYPE_BOOL && i < n_bytes; i++) p[i] = p[i] != 0;
    return WH_OK;
  }
  uint8_t *run = wh_arena_alloc(arena, t->n_bytes + 1);
  if (!run) return WH_OOM("ONNX weight");
  wh_onnx_tensor_read(t, run);
  if (row) split_rows(p, run, t->n_elements, row, per_byte);
  return WH_OK;
}

/* The dense tensor that it stands for. */
wh_status ox_dense_weight(const wh_onnx_sparse *s, wh_arena *arena, wh_datum *out) {
  size_t n, size;
  if (!wh_dtype_row_bytes(s->values.dtype, 1, &size) || wh_dtype_get(s->values.dtype)->block_elems > 1)
    return WH_FAIL(ERR_UNSUPPORTED, "sparse tensor '" WH_STR_FMT "' is of a type that has no bytes",
                   WH_STR_ARG(s->values.name));
  if (!ox_count(s->dims, s->rank, &n) || n > (size_t)1 << 34)
    return WH_FAIL(ERR_LIMIT, "sparse tensor '" WH_STR_FMT "' is too large", WH_STR_ARG(s->values.name));
  const size_t count = s->values.n_elements, width = count ? s->indices.n_elements / count : 1;
  if (width * count != s->indices.n_elements || (width != 1 && width != (size_t)s->rank))
    return WH_FAIL(ERR_CORRUPT, "sparse tensor '" WH_STR_FMT "' has %zu indices for %zu values",
                   WH_STR_ARG(s->values.name), s->indices.n_elements, count);
  uint8_t *dense = wh_arena_alloc(arena, n * size + NET_ALIGN),
          *values = wh_arena_alloc(arena, s->values.n_bytes + 1);
  int64_t *ids = wh_arena_alloc(arena, s->indices.n_bytes + 1);
  if (!dense || !values || !ids) return WH_OOM("ONNX weight");
  dense += NET_ALIGN - (uintptr_t)dense % NET_ALIGN;
  wh_onnx_tensor_read(&s->values, values);
  wh_onnx_tensor_read(&s->indices, ids);
  for (size_t i = 0; i < count; i++) {
    int64_t at = 0;
    bool inside = true;
    for (size_t k = 0; k < width; k++) {
      const int64_t id = ids[i * width + k];
      inside = inside && id >= 0 && (width == 1 ? (size_t)id < n : id < s->dims[k]);
      at = width == 1 ? id : at * s->dims[k] + id;
    }
    if (!inside)
      return WH_FAIL(ERR_CORRUPT, "sparse tensor '" WH_STR_FMT "' has an index outside its shape",
                     WH_STR_ARG(s->values.name));
    memcpy(dense + (size_t)at * size, values + i * size, size);
  }
  *out =
      (wh_datum){.kind = WH_DATUM_TENSOR, .dtype = s->values.dtype, .rank = s->rank, .n = n, .data = dense};
  memcpy(out->dims, s->dims, sizeof out->dims);
  out->is_weight = out->is_kept = true;
  out->is_cheap = n <= 1024;
  return WH_OK;
}

/* ---- graphs ---- */

static int64_t opset_of(const net_maker *n, wh_str domain) {
  for (size_t i = 0; i < n->n_opsets; i++)
    if (wh_str_equal(n->opsets[i].domain, domain)) return n->opsets[i].version;
  return 1;
}

static wh_status make_graph(const net_maker *n, const wh_onnx_graph *g, maker *outer, ox_graph **out);

static wh_status make_node(const net_maker *n, maker *m, const wh_onnx_node *src, ox_node *node) {
  wh_arena *a = &n->net->arena;
  node->src = src;
  node->opset = opset_of(n, src->domain);
  node->row = ox_find_op(src->domain, src->op, node->opset);
  const wh_onnx_file *file = n->net->file;
  for (size_t i = 0; !node->row && i < file->n_functions; i++)
    if (wh_str_equal(file->functions[i].name, src->op) &&
        wh_str_equal(file->functions[i].domain, src->domain))
      node->function = n->net->functions[i];
  node->n_in = src->n_inputs;
  node->n_out = src->n_outputs;
  node->in = wh_arena_array(a, node->n_in + 1, sizeof *node->in);
  node->out = wh_arena_array(a, node->n_out + 1, sizeof *node->out);
  node->graphs = wh_arena_array(a, src->n_attrs + 1, sizeof *node->graphs);
  node->tensors = wh_arena_array(a, src->n_attrs + 1, sizeof *node->tensors);
  if (!node->in || !node->out || !node->graphs || !node->tensors) return WH_OOM("ONNX graph");
  for (size_t i = 0; i < node->n_in; i++) WH_TRY(refer(m, src->inputs[i], &node->in[i]));
  for (size_t i = 0; i < src->n_attrs; i++) {
    const wh_onnx_attr *attr = &src->attrs[i];
    if (attr->type == WH_ONNX_ATTR_GRAPH && attr->n == 1)
      WH_TRY(make_graph(n, attr->graphs, m, &node->graphs[i]));
    if (attr->type == WH_ONNX_ATTR_TENSOR && attr->n == 1)
      WH_TRY(ox_weight_of(attr->tensors, a, &node->tensors[i]));
    if (attr->type == WH_ONNX_ATTR_SPARSE && attr->n == 1)
      WH_TRY(ox_dense_weight(attr->sparse, a, &node->tensors[i]));
  }
  for (size_t i = 0; i < node->n_out; i++) {
    node->out[i] = OX_ABSENT;
    if (src->outputs[i].len) WH_TRY(define(m, src->outputs[i], &node->out[i]));
  }
  return WH_OK;
}

static wh_status begin(const net_maker *n, maker *m, size_t n_names) {
  m->n_places = 16;
  while (m->n_places < 2 * n_names) m->n_places *= 2;
  m->names = wh_alloc_array(n->net->alloc, m->n_places, sizeof *m->names);
  m->graph->last_use = wh_arena_array(&n->net->arena, n_names + 1, sizeof *m->graph->last_use);
  return m->names && m->graph->last_use ? WH_OK : WH_OOM("ONNX graph");
}

static wh_status make_nodes(const net_maker *n, maker *m, const wh_onnx_node *nodes, size_t n_nodes) {
  ox_graph *g = m->graph;
  g->n_nodes = n_nodes;
  g->nodes = wh_arena_array(&n->net->arena, n_nodes + 1, sizeof *g->nodes);
  if (!g->nodes) return WH_OOM("ONNX graph");
  for (m->at = 0; m->at < n_nodes; m->at++)
    if (make_node(n, m, &nodes[m->at], &g->nodes[m->at]) != WH_OK)
      return wh_fail_prefix("node %zu '" WH_STR_FMT "' (" WH_STR_FMT ")", m->at,
                            WH_STR_ARG(nodes[m->at].name), WH_STR_ARG(nodes[m->at].op));
  return WH_OK;
}

static size_t count_names(const wh_onnx_node *nodes, size_t n_nodes) {
  size_t n = 0;
  for (size_t i = 0; i < n_nodes; i++) n += nodes[i].n_outputs;
  return n;
}

static wh_status fill_graph(const net_maker *n, const wh_onnx_graph *src, maker *m) {
  wh_arena *a = &n->net->arena;
  ox_graph *g = m->graph;
  WH_TRY(begin(n, m,
               src->n_inputs + src->n_initializers + src->n_sparse + count_names(src->nodes, src->n_nodes)));
  g->name = src->name;
  g->input_infos = src->inputs;
  g->output_infos = src->outputs;
  g->n_inputs = src->n_inputs;
  g->n_outputs = src->n_outputs;
  g->inputs = wh_arena_array(a, src->n_inputs + 1, sizeof *g->inputs);
  g->outputs = wh_arena_array(a, src->n_outputs + 1, sizeof *g->outputs);
  g->weights = wh_arena_array(a, src->n_initializers + src->n_sparse + 1, sizeof *g->weights);
  g->weight_slots = wh_arena_array(a, src->n_initializers + src->n_sparse + 1, sizeof *g->weight_slots);
  if (!g->inputs || !g->outputs || !g->weights || !g->weight_slots) return WH_OOM("ONNX graph");
  for (size_t i = 0; i < src->n_inputs; i++) WH_TRY(define(m, src->inputs[i].name, &g->inputs[i]));
  for (size_t i = 0; i < src->n_initializers + src->n_sparse; i++) {
    const bool is_sparse = i >= src->n_initializers;
    const wh_str name =
        is_sparse ? src->sparse[i - src->n_initializers].values.name : src->initializers[i].name;
    const name_slot *p = find_place(m, name); /* old files list initialisers among the inputs, too */
    if (p->slot_plus_1 && p->slot_plus_1 <= src->n_inputs)
      g->weight_slots[g->n_weights] = p->slot_plus_1 - 1;
    else
      WH_TRY(define(m, name, &g->weight_slots[g->n_weights]));
    wh_datum *d = &g->weights[g->n_weights++];
    WH_TRY(is_sparse ? ox_dense_weight(&src->sparse[i - src->n_initializers], a, d)
                     : ox_weight_of(&src->initializers[i], a, d));
  }
  WH_TRY(make_nodes(n, m, src->nodes, src->n_nodes));
  for (size_t i = 0; i < src->n_outputs; i++) /* m->at is n_nodes: needed to the end */
    if (refer(m, src->outputs[i].name, &g->outputs[i]) != WH_OK)
      return wh_fail_prefix("output %zu of graph '" WH_STR_FMT "'", i, WH_STR_ARG(g->name));
  return WH_OK;
}

static wh_status make_graph(const net_maker *n, const wh_onnx_graph *src, maker *outer, ox_graph **out) {
  maker m = {.outer = outer, .graph = wh_arena_alloc(&n->net->arena, sizeof(ox_graph))};
  if (!m.graph) return WH_OOM("ONNX graph");
  wh_status st = fill_graph(n, src, &m);
  wh_free(n->net->alloc, m.names);
  *out = m.graph;
  return st;
}

static wh_status fill_function(const net_maker *n, const wh_onnx_function *fn, maker *m) {
  wh_arena *a = &n->net->arena;
  ox_graph *g = m->graph;
  WH_TRY(begin(n, m, fn->n_inputs + count_names(fn->nodes, fn->n_nodes)));
  g->name = fn->name;
  g->source = fn;
  g->n_inputs = fn->n_inputs;
  g->n_outputs = fn->n_outputs;
  g->inputs = wh_arena_array(a, fn->n_inputs + 1, sizeof *g->inputs);
  g->outputs = wh_arena_array(a, fn->n_outputs + 1, sizeof *g->outputs);
  if (!g->inputs || !g->outputs) return WH_OOM("ONNX graph");
  for (size_t i = 0; i < fn->n_inputs; i++) WH_TRY(define(m, fn->inputs[i], &g->inputs[i]));
  WH_TRY(make_nodes(n, m, fn->nodes, fn->n_nodes));
  for (size_t i = 0; i < fn->n_outputs; i++) WH_TRY(refer(m, fn->outputs[i], &g->outputs[i]));
  return WH_OK;
}

static wh_status make_functions(wh_onnx_net *net) {
  const wh_onnx_file *file = net->file;
  net->functions = wh_arena_array(&net->arena, file->n_functions + 1, sizeof *net->functions);
  if (!net->functions) return WH_OOM("ONNX graph");
  for (size_t i = 0; i < file->n_functions; i++) {
    net->functions[i] = wh_arena_alloc(&net->arena, sizeof(ox_graph));
    if (!net->functions[i]) return WH_OOM("ONNX graph");
  }
  for (size_t i = 0; i < file->n_functions; i++) {
    const wh_onnx_function *fn = &file->functions[i];
    const net_maker n = {net, fn->n_opsets ? fn->opsets : file->opsets,
                         fn->n_opsets ? fn->n_opsets : file->n_opsets};
    maker m = {.graph = net->functions[i]};
    wh_status st = fill_function(&n, fn, &m);
    wh_free(net->alloc, m.names);
    if (st != WH_OK) return wh_fail_prefix("function '" WH_STR_FMT "'", WH_STR_ARG(fn->name));
  }
  return WH_OK;
}

static wh_status make_net(wh_onnx_net *net) {
  const net_maker n = {net, net->file->opsets, net->file->n_opsets};
  WH_TRY(make_functions(net));
  WH_TRY(make_graph(&n, &net->file->graph, NULL, &net->main));
  const ox_graph *g = net->main;
  net->inputs = wh_arena_array(&net->arena, g->n_inputs + 1, sizeof *net->inputs);
  if (!net->inputs) return WH_OOM("ONNX graph");
  for (size_t i = 0; i < g->n_inputs; i++) {
    bool is_weight = false;
    for (size_t k = 0; k < g->n_weights && !is_weight; k++) is_weight = g->weight_slots[k] == g->inputs[i];
    if (!is_weight) net->inputs[net->n_inputs++] = (uint32_t)i;
  }
  return WH_OK;
}

wh_status wh_onnx_net_create(const wh_onnx_file *file, const wh_allocator *alloc, wh_onnx_net **out) {
  wh_onnx_net *net = wh_alloc_zeroed(alloc, sizeof *net);
  if (!net) return WH_OOM("ONNX model");
  wh_arena_init(&net->arena, alloc, 0);
  net->alloc = alloc;
  net->file = file;
  wh_status st = ox_derived_create(alloc, &net->derived);
  if (st == WH_OK) st = make_net(net);
  if (st != WH_OK) {
    wh_onnx_net_destroy(net);
    return wh_fail_prefix("%.200s", file->path);
  }
  *out = net;
  return WH_OK;
}

void wh_onnx_net_destroy(wh_onnx_net *net) {
  if (!net) return;
  ox_derived_destroy(net->derived);
  wh_arena_deinit(&net->arena);
  wh_free(net->alloc, net);
}

size_t wh_onnx_net_n_inputs(const wh_onnx_net *net) { return net->n_inputs; }
const wh_onnx_value_info *wh_onnx_net_input(const wh_onnx_net *net, size_t i) {
  return &net->main->input_infos[net->inputs[i]];
}
size_t wh_onnx_net_n_outputs(const wh_onnx_net *net) { return net->main->n_outputs; }
const wh_onnx_value_info *wh_onnx_net_output(const wh_onnx_net *net, size_t i) {
  return &net->main->output_infos[i];
}
