/* ports.c - what a graph takes and gives, as programs read it: names, types, dims with their symbols. */
#include "api/api_internal.h"

static const char *keep(wh_ports *p, wh_text_buffer *b) {
  return b->oom ? NULL : wh_arena_string(&p->arena, b->data ? b->data : "", b->len);
}

static wh_status describe(wh_ports *p, const wh_graph *g, const char *name, wh_value v, wh_port_info *out) {
  const wh_shape *s = &g->values[v].shape;
  wh_text_buffer all, one;
  wh_text_buffer_init(&all, g->alloc);
  wh_text_buffer_init(&one, g->alloc);
  *out = (wh_port_info)WH_PORT_INFO_INIT;
  out->dtype = s->dtype;
  out->rank = s->rank;
  out->name = wh_arena_string(&p->arena, name, strlen(name));
  bool whole = out->name != NULL;
  wh_text_buffer_printf(&all, "%s[", wh_dtype_name(s->dtype));
  for (int i = 0; i < s->rank; i++) {
    const wh_dim_expr *e = wh_dim_get(&g->dims, s->dims[i]);
    wh_text_buffer_clear(&one);
    wh_dim_print(&g->dims, s->dims[i], &one);
    out->dims[i] = (wh_axis){keep(p, &one), e->min, e->max};
    whole = whole && out->dims[i].text;
    wh_text_buffer_printf(&all, "%s%s", i ? ", " : "", whole ? out->dims[i].text : "");
  }
  wh_text_buffer_puts(&all, "]");
  out->text = keep(p, &all);
  wh_text_buffer_deinit(&all);
  wh_text_buffer_deinit(&one);
  return whole && out->text ? WH_OK : WH_OOM("description of a graph");
}

/* Whether the dim is, or is made from, the symbol. */
static bool depends(const wh_dim_table *t, wh_dim d, wh_dim symbol) {
  const wh_dim_expr *e = wh_dim_get(t, d);
  if (d == symbol) return true;
  return e->kind != WH_DIM_CONST && e->kind != WH_DIM_SYMBOL &&
         (depends(t, e->a, symbol) || depends(t, e->b, symbol));
}

static bool needs_bound(const wh_graph *g, wh_dim symbol) {
  bool is_input_dim = false;
  for (wh_value v = 1; v < g->n_values; v++) {
    const wh_value_info *x = &g->values[v];
    for (int i = 0; i < x->shape.rank; i++) {
      if (x->kind == WH_VALUE_STATE && depends(&g->dims, x->shape.dims[i], symbol)) return true;
      if (x->kind == WH_VALUE_INPUT && x->shape.dims[i] == symbol) is_input_dim = true;
    }
  }
  return !is_input_dim;
}

static wh_status fill(wh_ports *p, const wh_graph *g) {
  for (wh_value v = 1; v < g->n_values; v++) p->n_inputs += g->values[v].kind == WH_VALUE_INPUT;
  p->n_outputs = g->n_outputs;
  p->n_symbols = g->dims.n_symbols;
  p->inputs = wh_arena_array(&p->arena, p->n_inputs + 1, sizeof *p->inputs);
  p->outputs = wh_arena_array(&p->arena, p->n_outputs + 1, sizeof *p->outputs);
  p->symbols = wh_arena_array(&p->arena, p->n_symbols + 1, sizeof *p->symbols);
  if (!p->inputs || !p->outputs || !p->symbols) return WH_OOM("description of a graph");
  wh_port_info *input = p->inputs;
  for (wh_value v = 1; v < g->n_values; v++)
    if (g->values[v].kind == WH_VALUE_INPUT) WH_TRY(describe(p, g, g->values[v].name, v, input++));
  for (size_t i = 0; i < p->n_outputs; i++)
    WH_TRY(describe(p, g, g->outputs[i].name, g->outputs[i].value, &p->outputs[i]));
  for (size_t i = 0; i < p->n_symbols; i++) {
    const wh_dim d = g->dims.symbol_dims[i];
    const char *name = g->dims.symbols[i];
    p->symbols[i] = (wh_symbol_info){.struct_size = sizeof(wh_symbol_info),
                                     .needs_bound = needs_bound(g, d),
                                     .name = wh_arena_string(&p->arena, name, strlen(name)),
                                     .min = wh_dim_get(&g->dims, d)->min,
                                     .max = wh_dim_get(&g->dims, d)->max};
    if (!p->symbols[i].name) return WH_OOM("description of a graph");
  }
  return WH_OK;
}

/* ---- of an ONNX model ---- */

static wh_status describe_info(wh_ports *p, const wh_onnx_value_info *info, const wh_allocator *alloc,
                               wh_port_info *out) {
  const wh_onnx_type *t = &info->type;
  wh_text_buffer all, one;
  wh_text_buffer_init(&all, alloc);
  wh_text_buffer_init(&one, alloc);
  *out = (wh_port_info)WH_PORT_INFO_INIT;
  out->dtype = t->dtype;
  out->rank = t->has_shape ? t->rank : -1;
  out->name = wh_arena_string(&p->arena, info->name.data, info->name.len);
  bool whole = out->name != NULL;
  if (t->kind != WH_ONNX_TENSOR && t->kind != WH_ONNX_NO_TYPE)
    wh_text_buffer_puts(&all, t->kind == WH_ONNX_SEQUENCE   ? "sequence"
                              : t->kind == WH_ONNX_OPTIONAL ? "optional"
                                                            : "map");
  else
    wh_text_buffer_printf(&all, "%s%s", t->dtype == WH_DTYPE_FORCE_32 ? "any" : wh_dtype_name(t->dtype),
                          t->has_shape ? "[" : "");
  for (int i = 0; i < out->rank; i++) {
    const wh_onnx_dim *d = &t->dims[i];
    wh_text_buffer_clear(&one);
    if (d->value >= 0)
      wh_text_buffer_printf(&one, "%lld", (long long)d->value);
    else if (d->param.len)
      wh_text_buffer_printf(&one, WH_STR_FMT, WH_STR_ARG(d->param));
    else
      wh_text_buffer_puts(&one, "?");
    out->dims[i] =
        (wh_axis){keep(p, &one), d->value >= 0 ? d->value : 0, d->value >= 0 ? d->value : WH_DIM_LIMIT};
    whole = whole && out->dims[i].text;
    wh_text_buffer_printf(&all, "%s%s", i ? ", " : "", whole ? out->dims[i].text : "");
  }
  if (t->has_shape) wh_text_buffer_puts(&all, "]");
  out->text = keep(p, &all);
  wh_text_buffer_deinit(&all);
  wh_text_buffer_deinit(&one);
  return whole && out->text ? WH_OK : WH_OOM("description of a graph");
}

static wh_status fill_onnx(wh_ports *p, const wh_model *m) {
  p->n_inputs = wh_onnx_net_n_inputs(m->net);
  p->n_outputs = wh_onnx_net_n_outputs(m->net);
  p->inputs = wh_arena_array(&p->arena, p->n_inputs + 1, sizeof *p->inputs);
  p->outputs = wh_arena_array(&p->arena, p->n_outputs + 1, sizeof *p->outputs);
  if (!p->inputs || !p->outputs) return WH_OOM("description of a graph");
  for (size_t i = 0; i < p->n_inputs; i++)
    WH_TRY(describe_info(p, wh_onnx_net_input(m->net, i), m->alloc, &p->inputs[i]));
  for (size_t i = 0; i < p->n_outputs; i++)
    WH_TRY(describe_info(p, wh_onnx_net_output(m->net, i), m->alloc, &p->outputs[i]));
  return WH_OK;
}

static wh_status create_onnx_ports(const wh_model *m, wh_ports **out) {
  wh_ports *p = wh_alloc_zeroed(m->alloc, sizeof *p);
  if (!p) return WH_OOM("description of a graph");
  wh_arena_init(&p->arena, m->alloc, 4096);
  wh_status st = fill_onnx(p, m);
  if (st != WH_OK) {
    wh_ports_destroy(p);
    return st;
  }
  *out = p;
  return WH_OK;
}

wh_status wh_ports_create(const wh_graph *g, const wh_allocator *alloc, wh_ports **out) {
  wh_ports *p = wh_alloc_zeroed(alloc, sizeof *p);
  if (!p) return WH_OOM("description of a graph");
  wh_arena_init(&p->arena, alloc, 4096);
  wh_status st = fill(p, g);
  if (st != WH_OK) {
    wh_ports_destroy(p);
    return st;
  }
  *out = p;
  return WH_OK;
}

void wh_ports_destroy(wh_ports *p) {
  if (!p) return;
  const wh_allocator *alloc = p->arena.alloc;
  wh_arena_deinit(&p->arena);
  wh_free(alloc, p);
}

static wh_status build_ports(const wh_model *m, void **out) {
  wh_ports *p = NULL;
  wh_status st = m->net ? create_onnx_ports(m, &p) : wh_ports_create(m->graph, m->alloc, &p);
  *out = p;
  return st;
}

wh_status wh_model_ports(const wh_model *m, const wh_ports **out) {
  void *object = NULL;
  WH_TRY(wh_model_lazy(m, &wh_model_changing(m)->ports, build_ports, &object));
  *out = object;
  return WH_OK;
}

/* ---- the public face ---- */

wh_status wh_model_get_graph_info(const wh_model *m, wh_graph_info *info) {
  const wh_ports *p;
  WH_WANT(m, "model");
  WH_WANT_INFO(info, "info", WH_GRAPH_INFO_INIT);
  WH_TRY(wh_model_ports(m, &p));
  wh_graph_info full = WH_GRAPH_INFO_INIT;
  full.n_inputs = (uint32_t)p->n_inputs;
  full.n_outputs = (uint32_t)p->n_outputs;
  full.n_symbols = (uint32_t)p->n_symbols;
  WH_WRITE_INFO(info, full);
  return WH_OK;
}

wh_status wh_model_get_input(const wh_model *m, size_t i, wh_port_info *info) {
  const wh_ports *p;
  WH_WANT(m, "model");
  WH_WANT_INFO(info, "info", WH_PORT_INFO_INIT);
  WH_TRY(wh_model_ports(m, &p));
  if (i >= p->n_inputs) return WH_FAIL(ERR_NOT_FOUND, "no input %zu", i);
  WH_WRITE_INFO(info, p->inputs[i]);
  return WH_OK;
}

wh_status wh_model_get_output(const wh_model *m, size_t i, wh_port_info *info) {
  const wh_ports *p;
  WH_WANT(m, "model");
  WH_WANT_INFO(info, "info", WH_PORT_INFO_INIT);
  WH_TRY(wh_model_ports(m, &p));
  if (i >= p->n_outputs) return WH_FAIL(ERR_NOT_FOUND, "no output %zu", i);
  WH_WRITE_INFO(info, p->outputs[i]);
  return WH_OK;
}

wh_status wh_model_get_symbol(const wh_model *m, size_t i, wh_symbol_info *info) {
  const wh_ports *p;
  WH_WANT(m, "model");
  WH_WANT_INFO(info, "info", WH_SYMBOL_INFO_INIT);
  WH_TRY(wh_model_ports(m, &p));
  if (i >= p->n_symbols) return WH_FAIL(ERR_NOT_FOUND, "no symbol %zu", i);
  WH_WRITE_INFO(info, p->symbols[i]);
  return WH_OK;
}
