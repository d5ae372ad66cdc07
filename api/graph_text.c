/* graph_text.c - a model that is given as a graph's text and its constants. */
#include "api/api_internal.h"

#define CONSTANT_ALIGN 64

/* Where in `constants` a constant's bytes begin, given where the last one's end; false on overflow. */
static bool place(size_t *end, size_t n_bytes, size_t *begin) {
  return wh_align_size(*end, CONSTANT_ALIGN, begin) && wh_add_size(*begin, n_bytes, end);
}

static const wh_tensor *find(const wh_constant *constants, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++)
    if (strcmp(constants[i].name, name) == 0) return constants[i].tensor;
  return NULL;
}

static wh_status check_list(const wh_graph *g, const wh_constant *constants, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (!constants[i].name || !constants[i].tensor)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "wh_model_parse: constants[%zu] lacks a name or a tensor", i);
    bool known = false;
    for (wh_value v = 1; v < g->n_values && !known; v++)
      known = g->values[v].kind == WH_VALUE_CONST && strcmp(g->values[v].name, constants[i].name) == 0;
    if (!known)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "graph '%s' has no constant '%s'", g->name, constants[i].name);
  }
  return WH_OK;
}

/* The graph's constants are what the caller gives, each with its dtype and dims. */
static wh_status check_constant(const wh_graph *g, const wh_value_info *c, const wh_tensor *tensor) {
  const wh_shape *want = &c->shape;
  wh_tensor t = WH_TENSOR_INIT;
  char text[2][WH_SHAPE_TEXT];
  int64_t dims[WH_MAX_RANK] = {0};
  for (int i = 0; i < want->rank; i++) dims[i] = wh_dim_get(&g->dims, want->dims[i])->value;
  wh_shape_text(want->dtype, want->rank, dims, text[0]);
  if (!tensor)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "constant '%s' of graph '%s', %s, is not given", c->name, g->name,
                   text[0]);
  WH_READ_OPTIONS(&t, tensor, WH_TENSOR_INIT);
  WH_TRY(wh_check_tensor(&t, "constant", c->name));
  if (t.dtype != want->dtype || t.rank != want->rank ||
      memcmp(t.dims, dims, (size_t)t.rank * sizeof *dims) != 0)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "constant '%s' is %s; the graph wants %s", c->name,
                   wh_shape_text(t.dtype, t.rank, t.dims, text[1]), text[0]);
  return WH_OK;
}

wh_status wh_model_take_constants(wh_model *m, const wh_constant *constants, size_t n) {
  wh_graph *g = m->graph;
  size_t end = 0, begin = 0;
  WH_TRY(check_list(g, constants, n));
  for (wh_value v = 1; v < g->n_values; v++) {
    const wh_value_info *c = &g->values[v];
    if (c->kind != WH_VALUE_CONST) continue;
    WH_TRY(check_constant(g, c, find(constants, n, c->name)));
    if (!place(&end, c->n_bytes, &begin)) return WH_OOM("constants");
  }
  char *bytes = m->constants = wh_alloc_uninit(m->alloc, end ? end : 1, CONSTANT_ALIGN);
  if (!bytes) return WH_OOM("constants");
  end = 0;
  for (wh_value v = 1; v < g->n_values; v++) {
    wh_value_info *c = &g->values[v];
    if (c->kind != WH_VALUE_CONST || !place(&end, c->n_bytes, &begin)) continue;
    const wh_tensor *t = find(constants, n, c->name);
    if (c->n_bytes) memcpy(bytes + begin, t->data, c->n_bytes);
    c->data = c->origin = bytes + begin; /* with an origin, clones of the graph share them */
  }
  return WH_OK;
}

static wh_status read_graph(wh_model *m, const char *text, size_t n_bytes, const wh_constant *constants,
                            size_t n_constants) {
  WH_TRY(wh_graph_parse(text, n_bytes, m->alloc, &m->graph));
  WH_TRY(wh_graph_verify(m->graph));
  m->name = wh_alloc_string(m->alloc, m->graph->name, strlen(m->graph->name));
  if (!m->name) return WH_OOM("model name");
  return wh_model_take_constants(m, constants, n_constants);
}

wh_status wh_model_parse(const char *text, size_t n_bytes, const wh_constant *constants, size_t n_constants,
                         const wh_model_options *options, wh_model **out) {
  wh_model_options o = WH_MODEL_OPTIONS_INIT;
  WH_WANT(text, "text");
  WH_WANT(constants || !n_constants, "constants");
  WH_WANT(out, "out");
  WH_READ_OPTIONS(&o, options, WH_MODEL_OPTIONS_INIT);
  wh_model *m = wh_model_new(o.allocator);
  if (!m) return WH_OOM("model");
  wh_status st = read_graph(m, text, n_bytes, constants, n_constants);
  if (st != WH_OK) {
    wh_model_destroy(m);
    return st;
  }
  *out = m;
  return WH_OK;
}
