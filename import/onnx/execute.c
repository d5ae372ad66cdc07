/* execute.c - going through the nodes: scopes, stages, what lives across them. See net.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "import/onnx/importer.h"

#define OX_ALIGN 64
#define OX_MAX_SCOPES 200u /* graphs within graphs, and functions that call functions */

struct wh_onnx_result {
  ox o;
  wh_datum **outputs;
  wh_onnx_trace trace;
};

/* ---- memory ---- */

void *ox_alloc(ox *o, size_t n_bytes) {
  if (o->st != WH_OK) return NULL;
  if (n_bytes > o->limits.max_bytes || o->bytes > o->limits.max_bytes - n_bytes) {
    OX_FAIL(o, ERR_LIMIT, "values on the host take more than %" PRIu64 " bytes", o->limits.max_bytes);
    return NULL;
  }
  o->bytes += n_bytes;
  uint8_t *p = wh_arena_alloc(&o->arena, n_bytes + OX_ALIGN);
  if (!p) {
    if (o->st == WH_OK) o->st = WH_OOM("value of an ONNX graph");
    return NULL;
  }
  return p + (OX_ALIGN - (uintptr_t)p % OX_ALIGN) % OX_ALIGN;
}

void *ox_array(ox *o, size_t n, size_t size) {
  size_t bytes;
  if (!wh_mul_size(n + 1, size, &bytes)) {
    OX_FAIL(o, ERR_LIMIT, "a size overflows");
    return NULL;
  }
  return ox_alloc(o, bytes);
}

/* ---- stages ---- */

static void mark(ox *o, wh_datum *d, wh_datum **list, size_t *n) {
  if (!d) return;
  for (size_t i = 0; i < d->n_items; i++) mark(o, d->items[i], list, n);
  if (d->kind != WH_DATUM_BUILT || d->stage != o->stage || d->marked == o->stage + 1) return;
  d->marked = o->stage + 1;
  list[(*n)++] = d;
}

static size_t count_marks(const ox *o) {
  size_t n = o->n_built;
  return n;
}

/* Built data that something may still look at. */
static size_t find_live(ox *o, wh_datum **list) {
  size_t n = 0;
  for (const ox_scope *s = o->scope; s; s = s->parent) {
    for (uint32_t i = 0; i < s->graph->n_slots; i++)
      if (s->values[i] && s->graph->last_use[i] > s->at) mark(o, s->values[i], list, &n);
    for (size_t i = 0; i < s->n_pins; i++) mark(o, s->pins[i], list, &n);
  }
  for (size_t i = o->scope ? o->scope->first_temp : 0; i < o->n_built; i++) mark(o, o->built[i], list, &n);
  return n;
}

static void become_known(wh_datum *d, const void *data) {
  d->kind = WH_DATUM_TENSOR;
  d->value = 0;
  d->data = data;
}

/* Rows of parts of a byte end with one. */
static size_t bytes_of(ox *o, const wh_datum *d) {
  size_t row = d->rank ? (size_t)ox_dim_now(o, d->dims[d->rank - 1]) : 1, n = 0;
  if (row && (!wh_dtype_row_bytes(d->dtype, row, &n) || !wh_mul_size(n, d->n / row, &n)))
    OX_FAIL(o, ERR_LIMIT, "a value's size overflows");
  return n;
}

/* Says in the error whose value it is about. */
static void name_maker(ox *o, wh_value v) {
  const wh_value_info *x = &o->g->values[v];
  if (x->kind != WH_VALUE_NODE) return;
  const char *name = o->g->nodes[x->producer].name, *dot = strchr(name, '.'); /* "12.name" */
  o->st = wh_fail_prefix("what node '%s' makes", dot ? dot + 1 : name);
}

void ox_end_stage(ox *o) {
  if (o->st != WH_OK || !o->g) return;
  if (o->symbols && !o->is_last) {
    OX_FAIL(o, ERR_UNSUPPORTED, "elements decide, and dims are open");
    return;
  }
  wh_datum **live = ox_array(o, count_marks(o), sizeof *live);
  if (!live) return;
  size_t n = find_live(o, live), n_out = 0;
  void **outputs = ox_array(o, n, sizeof *outputs);
  const void **inputs = ox_array(o, o->n_feeds, sizeof *inputs);
  if (!outputs || !inputs) return;
  for (size_t i = 0; i < n && o->st == WH_OK; i++) {
    char name[24];
    if (live[i]->data) continue; /* the host knows it already */
    (void)snprintf(name, sizeof name, "o%zu", n_out);
    ox_try(o, wh_graph_add_output(o->g, name, live[i]->value));
    outputs[n_out] = ox_alloc(o, bytes_of(o, live[i]) + 1);
    if (!outputs[n_out++]) name_maker(o, live[i]->value);
  }
  for (size_t i = 0; i < o->n_feeds; i++) inputs[i] = o->feeds[i]->data;
  for (size_t i = 0; i < n && o->symbols; i++) /* the graph goes, and its dims */
    for (int d = 0; d < live[i]->rank; d++) live[i]->dims[d] = ox_dim_now(o, live[i]->dims[d]);
  if (o->st != WH_OK) return;
  wh_graph *g = o->g;
  o->g = NULL;
  if (n_out) {
    o->n_runs++;
    ox_try(o, o->engine->run(o->engine->ctx, g, o->symbols ? o->symbols->values : NULL, inputs, outputs));
  } else {
    wh_graph_destroy(g);
  }
  if (o->st != WH_OK) return;
  n_out = 0;
  for (size_t i = 0; i < n; i++) {
    if (live[i]->data) {
      become_known(live[i], live[i]->data);
    } else {
      become_known(live[i], outputs[n_out++]);
      live[i]->depends = OX_ALL_INPUTS;
    }
  }
  o->stage++;
  o->n_built = o->n_feeds = 0;
  for (ox_scope *s = o->scope; s; s = s->parent) s->first_temp = 0;
}

bool ox_go_on(ox *o) {
  if (o->st == WH_OK && ++o->iterations > o->limits.max_iterations)
    OX_FAIL(o, ERR_LIMIT, "loops went through %" PRIu64 " iterations, which is the limit",
            o->limits.max_iterations);
  return o->st == WH_OK;
}

/* ---- nodes ---- */

static wh_datum *look_up(const ox_scope *s, ox_ref ref) {
  if (ref.up == OX_ABSENT) return NULL;
  for (uint32_t i = 0; i < ref.up; i++) s = s->outer;
  return s->values[ref.slot];
}

static void name_node(ox *o, const ox_node *node) {
  const wh_onnx_node *src = node->src;
  const wh_str name = src->name.len || !src->n_outputs ? src->name : src->outputs[0];
  o->st = wh_fail_prefix("node '" WH_STR_FMT "' (" WH_STR_FMT ")", WH_STR_ARG(name), WH_STR_ARG(src->op));
}

static void call_function(ox *o, const ox_node *node) {
  wh_datum **outputs = ox_array(o, node->function->n_outputs, sizeof *outputs);
  wh_datum **inputs = ox_array(o, node->function->n_inputs, sizeof *inputs);
  if (!outputs || !inputs) return;
  for (size_t i = 0; i < node->n_in && i < node->function->n_inputs; i++) inputs[i] = o->in[i];
  ox_run_graph(o, node->function, inputs, node->function->n_inputs, outputs, NULL, 0);
  for (size_t i = 0; i < node->n_out && i < node->function->n_outputs; i++) ox_give(o, i, outputs[i]);
}

static void lower(ox *o, const ox_node *node) {
  if (node->row)
    node->row->lower(o);
  else if (node->function)
    call_function(o, node);
  else
    OX_FAIL(o, ERR_UNSUPPORTED, "opset %" PRId64 " of '" WH_STR_FMT "' has no such operator here",
            node->opset, WH_STR_ARG(node->src->domain.len ? node->src->domain : wh_str_from("ai.onnx")));
}

/* Of a node with nodes of its own it is one of those that ends a stage. */
static bool ends_within(const ox_node *node) {
  bool any = node->function != NULL;
  for (size_t i = 0; i < node->src->n_attrs; i++) any = any || node->src->attrs[i].graphs;
  return any;
}

static void run_node(ox *o, ox_scope *s, const ox_node *node) {
  const ox_node *outer_node = o->node;
  wh_datum **outer_in = o->in, **outer_out = o->out;
  wh_datum *few[16] = {NULL};
  const size_t n = node->n_in + node->n_out;
  wh_datum **data = n <= 16 ? few : ox_array(o, n, sizeof *data);
  if (!data) return;
  o->node = node;
  o->in = data;
  o->out = data + node->n_in;
  s->node = node;
  s->first_temp = o->n_built;
  for (size_t i = 0; i < node->n_in; i++) o->in[i] = look_up(s, node->in[i]);
  ox_check_open(o, node);
  if (o->limits.cancelled && o->limits.cancelled(o->limits.cancel_ctx))
    OX_FAIL(o, ERR_CANCELLED, "cancelled");
  const uint32_t stage = o->stage;
  if (o->st == WH_OK) lower(o, node);
  if (o->limits.lists_host) ox_note_host(o, node, ends_within(node) ? o->stage : stage);
  for (size_t i = 0; i < node->n_out && o->st == WH_OK; i++) {
    if (node->out[i] == OX_ABSENT) continue;
    if (!o->out[i] && s->graph->last_use[node->out[i]])
      OX_FAIL(o, ERR_UNSUPPORTED, "its output %zu is not made", i);
    s->values[node->out[i]] = o->out[i];
  }
  if (o->st != WH_OK) name_node(o, node);
  o->node = outer_node;
  o->in = outer_in;
  o->out = outer_out;
}

static void run_nodes(ox *o, ox_scope *s) {
  const ox_graph *g = s->graph;
  for (s->at = 0; s->at < g->n_nodes && o->st == WH_OK; s->at++) run_node(o, s, &g->nodes[s->at]);
}

static ox_scope *outer_of(const ox *o, const ox_graph *g) { return g->source ? NULL : o->scope; }

void ox_run_graph(ox *o, const ox_graph *g, wh_datum *const *inputs, size_t n_inputs, wh_datum **outputs,
                  wh_datum **pins, size_t n_pins) {
  ox_scope s = {.parent = o->scope, .outer = outer_of(o, g), .graph = g, .first_temp = o->n_built};
  if (o->depth == OX_MAX_SCOPES)
    OX_FAIL(o, ERR_LIMIT, "graphs and functions are nested more than %u deep", OX_MAX_SCOPES);
  if (n_inputs > g->n_inputs)
    OX_FAIL(o, ERR_CORRUPT, "graph '" WH_STR_FMT "' takes %zu inputs and is given %zu", WH_STR_ARG(g->name),
            g->n_inputs, n_inputs);
  s.values = ox_array(o, g->n_slots, sizeof *s.values);
  if (!s.values) return;
  if (g->source) {
    s.call = o->node;
    s.call_scope = o->scope;
  } else if (o->scope) {
    s.call = o->scope->call;
    s.call_scope = o->scope->call_scope;
  }
  s.pins = pins;
  s.n_pins = n_pins;
  for (size_t i = 0; i < g->n_weights; i++) s.values[g->weight_slots[i]] = ox_copy(o, &g->weights[i]);
  for (size_t i = 0; i < n_inputs; i++) s.values[g->inputs[i]] = inputs[i];
  o->scope = &s;
  o->depth++;
  run_nodes(o, &s);
  o->depth--;
  for (size_t i = 0; i < g->n_outputs; i++)
    outputs[i] = o->st == WH_OK ? look_up(&s, g->outputs[i]) : &o->nothing;
  for (size_t i = 0; i < g->n_outputs && !g->source; i++) /* a function's may be absent */
    if (!outputs[i]) {
      OX_FAIL(o, ERR_CORRUPT, "output %zu of graph '" WH_STR_FMT "' is not made", i, WH_STR_ARG(g->name));
      outputs[i] = &o->nothing;
    }
  o->scope = s.parent;
}

/* ---- executions ---- */

static void check_input(ox *o, size_t i, const wh_datum *d) {
  const wh_onnx_value_info *info = wh_onnx_net_input(o->net, i);
  const wh_onnx_type *t = &info->type;
  if (!d || t->kind != WH_ONNX_TENSOR || d->kind != WH_DATUM_TENSOR) return;
  if (t->dtype != WH_DTYPE_FORCE_32 && d->dtype != t->dtype)
    OX_FAIL(o, ERR_INVALID_ARGUMENT, "input '" WH_STR_FMT "' is %s; the model wants %s",
            WH_STR_ARG(info->name), wh_dtype_name(d->dtype), wh_dtype_name(t->dtype));
}

static void mark_input(ox *o, wh_datum *d, size_t i) {
  d->input = (uint32_t)i + 1;
  d->depends = UINT64_C(1) << (i < 63 ? i : 63);
  const wh_dtype_info *t = wh_dtype_get(d->dtype);
  d->is_cheap =
      d->n <= 64 && t &&
      (t->class_of == WH_CLASS_SIGNED || t->class_of == WH_CLASS_UNSIGNED || t->class_of == WH_CLASS_BOOL);
  if (d->kind != WH_DATUM_TENSOR || d->dtype == WH_DTYPE_STRING) o->is_odd = true;
  for (int k = 0; o->symbols && k < d->rank; k++) {
    const int8_t s = o->symbols->of[i][k];
    if (s < 0) continue;
    d->dims[k] = ox_symbol_dim(o, s);
    d->is_cheap = false;
  }
}

/* An execution with symbols has one graph, whose first dims they are. */
static void begin_symbols(ox *o) {
  ox_try(o, wh_graph_create("onnx", o->alloc, &o->g));
  for (uint32_t i = 0; i < o->symbols->n && o->st == WH_OK; i++) {
    char name[16];
    wh_dim d;
    (void)snprintf(name, sizeof name, "s%u", (unsigned)i);
    ox_try(o, wh_dim_symbol(&o->g->dims, name, WH_ONNX_LEAST_DIM, o->symbols->max[i], &d));
  }
}

static void run_main(ox *o, const wh_datum *const *inputs, wh_datum **outputs) {
  const ox_graph *g = o->net->main;
  wh_datum **all = ox_array(o, g->n_inputs, sizeof *all);
  ox_scope s = {.graph = g, .values = ox_array(o, g->n_slots, sizeof *s.values)};
  if (!all || !s.values) return;
  if (o->symbols) begin_symbols(o);
  for (size_t i = 0; i < o->net->n_inputs && o->st == WH_OK; i++) {
    const uint32_t slot = g->inputs[o->net->inputs[i]];
    check_input(o, i, inputs[i]);
    if (inputs[i]) {
      s.values[slot] = ox_copy(o, inputs[i]);
      mark_input(o, s.values[slot], i);
    } else if (g->last_use[slot]) {
      OX_FAIL(o, ERR_INVALID_ARGUMENT, "input '" WH_STR_FMT "' was never set",
              WH_STR_ARG(wh_onnx_net_input(o->net, i)->name));
    }
  }
  for (size_t i = 0; i < g->n_weights; i++) s.values[g->weight_slots[i]] = ox_copy(o, &g->weights[i]);
  o->scope = &s;
  run_nodes(o, &s);
  for (size_t i = 0; i < g->n_outputs && o->st == WH_OK; i++) {
    outputs[i] = look_up(&s, g->outputs[i]);
    if (!outputs[i])
      OX_FAIL(o, ERR_INVALID_ARGUMENT, "output '" WH_STR_FMT "' is not made",
              WH_STR_ARG(g->output_infos[i].name));
    else if (!ox_is_aligned(outputs[i]))
      ox_need(o, outputs[i]);
  }
  s.at = g->n_nodes;
}

/* What there is to say of the last stage before it runs. */
static wh_status begin_trace(wh_onnx_result *r) {
  ox *o = &r->o;
  const size_t n_out = o->net->main->n_outputs;
  uint32_t *feeds = wh_arena_array(&o->arena, o->n_feeds + 1, sizeof *feeds),
           *outputs = wh_arena_array(&o->arena, n_out + 1, sizeof *outputs);
  if (!feeds || !outputs) return WH_OOM("trace");
  bool repeatable = o->stage == 0 && o->n_runs == 0 && o->g && !o->is_odd;
  for (size_t i = 0; i < o->n_feeds; i++) {
    repeatable = repeatable && o->feeds[i]->input;
    feeds[i] = o->feeds[i]->input - 1;
  }
  uint32_t n = 0;
  for (size_t i = 0; i < n_out; i++) {
    wh_datum *d = r->outputs[i];
    outputs[i] = UINT32_MAX;
    if (ox_has_open_elements(o, d) || (ox_has_open_dims(o, d) && d->kind != WH_DATUM_BUILT))
      return WH_FAIL(ERR_UNSUPPORTED, "an output is known, but for dims that are open");
    if (d->kind == WH_DATUM_SEQUENCE || d->kind == WH_DATUM_OPTIONAL) repeatable = false;
    if (d->kind == WH_DATUM_BUILT && !d->data) {
      for (size_t k = 0; k < i && outputs[i] == UINT32_MAX; k++)
        if (r->outputs[k] == d) outputs[i] = outputs[k];
      if (outputs[i] == UINT32_MAX) outputs[i] = n++;
    } else {
      o->looked |= d->depends; /* as it is in this result */
    }
  }
  const wh_onnx_host_node *host = ox_host_nodes(o);
  if (!host) return WH_OOM("trace");
  r->trace = (wh_onnx_trace){.looked = o->looked,
                             .n_host = o->n_host,
                             .host = host,
                             .repeatable = repeatable,
                             .n_feeds = o->n_feeds,
                             .n_outputs = n_out,
                             .feeds = feeds,
                             .outputs = outputs};
  return WH_OK;
}

/* Nothing but the outputs is needed any more. */
static void last_stage(ox *o, wh_datum **outputs, size_t n) {
  ox_graph g = {.n_slots = 0};
  ox_scope s = {.graph = &g, .pins = outputs, .n_pins = n, .first_temp = o->n_built};
  o->scope = &s;
  o->is_last = true;
  ox_end_stage(o);
  o->scope = NULL;
}

wh_status wh_onnx_execute(const wh_onnx_net *net, const wh_datum *const *inputs, const wh_onnx_engine *engine,
                          const wh_onnx_limits *limits, wh_onnx_result **out) {
  return wh_onnx_execute_open(net, inputs, NULL, engine, limits, out);
}

wh_status wh_onnx_execute_open(const wh_onnx_net *net, const wh_datum *const *inputs,
                               wh_onnx_symbols *symbols, const wh_onnx_engine *engine,
                               const wh_onnx_limits *limits, wh_onnx_result **out) {
  wh_onnx_result *r = wh_alloc_zeroed(net->alloc, sizeof *r);
  if (!r) return WH_OOM("ONNX execution");
  ox *o = &r->o;
  o->net = net;
  o->alloc = net->alloc;
  o->engine = engine;
  o->symbols = symbols;
  if (limits) o->limits = *limits;
  if (!o->limits.max_iterations) o->limits.max_iterations = UINT64_C(1) << 20;
  if (!o->limits.max_bytes) o->limits.max_bytes = UINT64_C(64) << 30;
  wh_arena_init(&o->arena, net->alloc, 0);
  static const float zero = 0.0f;
  o->nothing = (wh_datum){.kind = WH_DATUM_TENSOR, .n = 1, .data = &zero, .is_weight = true};
  r->outputs = ox_array(o, net->main->n_outputs, sizeof *r->outputs);
  if (r->outputs) run_main(o, inputs, r->outputs);
  if (o->st == WH_OK) o->st = begin_trace(r);
  if (o->st == WH_OK) last_stage(o, r->outputs, net->main->n_outputs);
  r->trace.n_stages = o->n_runs;
  wh_graph_destroy(o->g);
  o->g = NULL;
  o->scope = NULL;
  wh_free(o->alloc, o->built);
  wh_free(o->alloc, o->feeds);
  o->built = o->feeds = NULL;
  o->symbols = NULL;
  if (o->st != WH_OK) {
    const wh_status st = o->st;
    if (symbols) symbols->refused = o->n_runs == 0 && st != WH_ERR_CANCELLED && st != WH_ERR_OUT_OF_MEMORY;
    wh_onnx_result_destroy(r);
    return st;
  }
  *out = r;
  return WH_OK;
}

const wh_datum *wh_onnx_result_output(const wh_onnx_result *r, size_t i) { return r->outputs[i]; }
wh_status wh_onnx_result_settle(wh_onnx_result *r) {
  ox *o = &r->o;
  for (size_t i = 0; i < o->net->main->n_outputs; i++) {
    wh_datum *d = r->outputs[i];
    if (!d->input || d->kind != WH_DATUM_TENSOR || !d->data) continue;
    const size_t n = bytes_of(o, d);
    void *copy = ox_alloc(o, n + 1);
    if (!copy) return o->st;
    memcpy(copy, d->data, n);
    d->data = copy;
    d->input = 0;
  }
  return WH_OK;
}

const wh_onnx_trace *wh_onnx_result_trace(const wh_onnx_result *r) { return &r->trace; }

void wh_onnx_result_destroy(wh_onnx_result *r) {
  if (!r) return;
  wh_arena_deinit(&r->o.arena);
  wh_free(r->o.alloc, r);
}
