/* runner.c - a program of any graph, and one run of it, as named tensors. See runner.h. */
#include <inttypes.h>
#include <string.h>

#include "api/api_internal.h"
#include "api/onnx_runner.h"
#include "core/base/memory_budget.h"
#include "core/exec/run.h"

/* What was set, kept for this run and later ones. */
typedef struct runner_input {
  wh_tensor tensor; /* its data is `data` */
  void *data;
  size_t capacity;
  bool is_set;
} runner_input;

struct wh_runner {
  atomic_uint n_refs;
  const wh_allocator *alloc;
  wh_model *model; /* references */
  wh_device *device;
  const wh_ports *ports;   /* the model's */
  wh_program *program;     /* the model's; NULL for an ONNX model */
  wh_onnx_runner *onnx;    /* of an ONNX model */
  const wh_tensor **given; /* [ports->n_inputs] likewise, room for a run */
  wh_run *run;
  uint64_t memory_limit;
  wh_progress_sink progress; /* of an ONNX model's runs, asked from time to time */
  int64_t ask_at;
  wh_trace_fn trace;
  void *trace_ctx;
  wh_extraction extraction; /* of the next run */
  runner_input *inputs;     /* [ports->n_inputs] */
  int *input_ports;         /* [ports->n_inputs] the program's; -1: the passes found that nothing reads it */
  int *output_ports;        /* [ports->n_outputs] */
  int64_t *values;          /* [n_symbols of the program's graph] of the next run */
  int64_t *room;            /* what the run has memory for */
  int64_t *limits;          /* the bound where one was given, else the graph's */
  int64_t *owners;          /* in a run: which input gave the value; -1: none */
  bool is_torn;             /* taking more memory failed half-way: it is taken first */
  bool has_outputs;
};

static const wh_graph *graph_of(const wh_runner *r) { return r->program->graph; }

static const wh_shape *shape_of(const wh_runner *r, size_t i) {
  const wh_graph *g = graph_of(r);
  return &g->values[r->program->inputs[r->input_ports[i]].value].shape;
}

/* ---- creation ---- */

static int find_symbol(const wh_ports *p, const char *name) {
  for (size_t i = 0; i < p->n_symbols; i++)
    if (strcmp(p->symbols[i].name, name) == 0) return (int)i;
  return -1;
}

static const wh_bound *find_bound(const wh_runner_options *o, const char *name) {
  for (uint32_t i = 0; i < o->n_bounds; i++)
    if (strcmp(o->bounds[i].symbol, name) == 0) return &o->bounds[i];
  return NULL;
}

static wh_status check_bounds(const wh_ports *p, const wh_runner_options *o) {
  if (o->n_bounds && !o->bounds) return WH_FAIL(ERR_INVALID_ARGUMENT, "wh_runner_create: bounds is NULL");
  for (uint32_t i = 0; i < o->n_bounds; i++) {
    const wh_bound *b = &o->bounds[i];
    if (!b->symbol)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "wh_runner_create: bounds[%u] has no symbol", (unsigned)i);
    const int s = find_symbol(p, b->symbol);
    if (s < 0) return WH_FAIL(ERR_INVALID_ARGUMENT, "the graph has no symbol '%s'", b->symbol);
    const wh_symbol_info *symbol = &p->symbols[s];
    if (b->value < symbol->min || b->value > symbol->max)
      return WH_FAIL(ERR_LIMIT, "symbol '%s' cannot be %" PRId64 ": %" PRId64 " to %" PRId64, b->symbol,
                     b->value, symbol->min, symbol->max);
  }
  for (size_t i = 0; i < p->n_symbols; i++)
    if (p->symbols[i].needs_bound && !find_bound(o, p->symbols[i].name))
      return WH_FAIL(ERR_INVALID_ARGUMENT,
                     "symbol '%s' (%" PRId64 " to %" PRId64
                     ") needs a bound: no input determines it, or a state's size depends on it",
                     p->symbols[i].name, p->symbols[i].min, p->symbols[i].max);
  return WH_OK;
}

/* A state's bytes are in its device's own form, also behind a view. */
static bool is_state(const wh_graph *g, wh_value v) {
  for (;;) {
    const wh_value_info *x = &g->values[v];
    if (x->kind == WH_VALUE_STATE) return true;
    if (x->kind != WH_VALUE_NODE) return false;
    const wh_node_info *n = &g->nodes[x->producer];
    if (wh_op_has(n->op, WH_TRAIT_WRITES)) return true;
    if (!wh_op_has(n->op, WH_TRAIT_VIEW)) return false;
    v = n->inputs[0];
  }
}

/* Before the passes: they keep names, and what outputs are. */
static wh_status check_outputs(const wh_model *m) {
  const wh_graph *g = m->graph;
  wh_status st = WH_OK;
  for (size_t i = 0; i < g->n_outputs && st == WH_OK; i++) {
    const wh_dtype dtype = g->values[g->outputs[i].value].shape.dtype;
    size_t n;
    if (is_state(g, g->outputs[i].value))
      st = WH_FAIL(ERR_UNSUPPORTED, "output '%s' of graph '%s' is a state, whose form is the device's own",
                   g->outputs[i].name, g->name);
    else if (!wh_dtype_row_bytes(dtype, 0, &n))
      st = WH_FAIL(ERR_UNSUPPORTED, "output '%s' of graph '%s' is of type %s, which has no bytes",
                   g->outputs[i].name, g->name, wh_dtype_name(dtype));
  }
  return st;
}

/* The values that the first layout is for: bounds, and the least of symbols that have none. */
static void first_symbols(void *ctx, const wh_graph *g, int64_t *symbols) {
  const wh_runner_options *o = ctx;
  for (uint32_t i = 0; i < g->dims.n_symbols; i++) {
    const wh_bound *b = find_bound(o, g->dims.symbols[i]);
    const wh_dim_expr *e = wh_dim_get(&g->dims, g->dims.symbol_dims[i]);
    symbols[i] = b ? b->value : e->min > 0 || e->max == 0 ? e->min : 1;
  }
}

static wh_status take_program(wh_runner *r, const wh_runner_options *o) {
  const int64_t context = r->model->hparams.context_length;
  const wh_program_key key = {.devices = {r->device},
                              .n_devices = 1,
                              .kv_dtype = WH_DTYPE_F16,
                              .outgrows_rope = wh_model_outgrows_rope(r->model, context)};
  wh_runner_options bounds = *o;
  const wh_program_request request = {.symbols = first_symbols,
                                      .symbols_ctx = &bounds,
                                      .progress = {.fn = o->progress, .ctx = o->progress_ctx}};
  uint32_t rope_border;
  return wh_model_take_program(r->model, &key, &request, &r->program, &rope_border);
}

/* Whether these dims, with the weights unless they are loaded, fit what may be taken. */
static wh_status check_memory(const wh_runner *r, const int64_t *symbols) {
  wh_memory_budget budget = {r->memory_limit, "the limit that was set"};
  wh_layout *layout = NULL;
  if (!r->memory_limit) WH_TRY(wh_memory_budget_read(r->alloc, &budget));
  WH_TRY(wh_program_get_layout(r->program, symbols, &layout));
  wh_status st = wh_program_check_memory(r->program, layout, &budget);
  wh_layout_release(layout);
  return st;
}

static wh_status find_ports(wh_runner *r) {
  const wh_ports *p = r->ports;
  for (size_t i = 0; i < p->n_inputs; i++)
    r->input_ports[i] = wh_program_find_input(r->program, p->inputs[i].name);
  for (size_t i = 0; i < p->n_outputs; i++) {
    r->output_ports[i] = wh_program_find_output(r->program, p->outputs[i].name);
    if (r->output_ports[i] < 0) return WH_FAIL(ERR_INTERNAL, "output '%s' was lost", p->outputs[i].name);
  }
  return WH_OK;
}

static bool is_cancelled(void *ctx) {
  wh_runner *r = ctx;
  if (!wh_progress_is_due(r->ask_at)) return false;
  r->ask_at = wh_progress_deadline(&r->progress);
  return wh_progress_report(&r->progress, WH_STAGE_RUN, 0, 0) != WH_OK;
}

/* An ONNX model's programs are made as it runs, for the inputs that there are. */
static wh_status open_onnx(wh_runner *r, const wh_runner_options *o) {
  const wh_ports *p = r->ports;
  const wh_onnx_limits limits = {.max_iterations = o->max_iterations,
                                 .cancelled = is_cancelled,
                                 .cancel_ctx = r,
                                 .lists_host = o->lists_host_nodes != 0};
  r->progress = (wh_progress_sink){.fn = o->progress, .ctx = o->progress_ctx};
  r->inputs = wh_alloc_array(r->alloc, p->n_inputs + 1, sizeof *r->inputs);
  r->input_ports = wh_alloc_array(r->alloc, p->n_inputs + 1, sizeof *r->input_ports);
  r->given = wh_alloc_array(r->alloc, p->n_inputs + 1, sizeof *r->given);
  if (!r->inputs || !r->input_ports || !r->given) return WH_OOM("runner");
  for (size_t i = 0; i < p->n_inputs; i++) r->input_ports[i] = -1;
  const wh_plan_device device = {.backend = r->device->backend, .dev = r->device->device};
  WH_TRY(wh_onnx_runner_create(r->model->net, &device, r->memory_limit, &limits, r->alloc, &r->onnx));
  wh_onnx_runner_join(r->onnx, &r->model->engines);
  return WH_OK;
}

static wh_status open_runner(wh_runner *r, const wh_runner_options *o) {
  WH_TRY(wh_model_ports(r->model, &r->ports));
  if (r->model->net) {
    WH_TRY(check_bounds(r->ports, o));
    return open_onnx(r, o);
  }
  WH_TRY(check_bounds(r->ports, o));
  WH_TRY(check_outputs(r->model));
  WH_TRY(take_program(r, o));
  const wh_graph *g = graph_of(r);
  const size_t n = g->dims.n_symbols;
  r->inputs = wh_alloc_array(r->alloc, r->ports->n_inputs + 1, sizeof *r->inputs);
  r->input_ports = wh_alloc_array(r->alloc, r->ports->n_inputs + 1, sizeof *r->input_ports);
  r->output_ports = wh_alloc_array(r->alloc, r->ports->n_outputs + 1, sizeof *r->output_ports);
  r->values = wh_alloc_array(r->alloc, n + 1, sizeof *r->values);
  r->room = wh_alloc_array(r->alloc, n + 1, sizeof *r->room);
  r->limits = wh_alloc_array(r->alloc, n + 1, sizeof *r->limits);
  r->owners = wh_alloc_array(r->alloc, n + 1, sizeof *r->owners);
  if (!r->inputs || !r->input_ports || !r->output_ports || !r->values || !r->room || !r->limits || !r->owners)
    return WH_OOM("runner");
  wh_runner_options bounds = *o;
  first_symbols(&bounds, g, r->room);
  memcpy(r->values, r->room, n * sizeof *r->values);
  for (size_t i = 0; i < n; i++) {
    const wh_bound *b = find_bound(o, g->dims.symbols[i]);
    r->limits[i] = b ? b->value : wh_dim_get(&g->dims, g->dims.symbol_dims[i])->max;
  }
  WH_TRY(find_ports(r));
  WH_TRY(check_memory(r, r->room));
  const wh_run_options run = {
      .symbols = r->room, .alloc = r->alloc, .progress = {.fn = o->progress, .ctx = o->progress_ctx}};
  return wh_run_create(r->program, &run, &r->run);
}

wh_status wh_runner_create(const wh_model *model, wh_device *device, const wh_runner_options *options,
                           wh_runner **out) {
  wh_runner_options o = WH_RUNNER_OPTIONS_INIT;
  WH_WANT(model, "model");
  WH_WANT(device, "device");
  WH_WANT(out, "out");
  WH_READ_OPTIONS(&o, options, WH_RUNNER_OPTIONS_INIT);
  wh_runner *r = wh_alloc_zeroed(o.allocator, sizeof *r);
  if (!r) return WH_OOM("runner");
  atomic_init(&r->n_refs, 1);
  r->alloc = o.allocator;
  r->memory_limit = o.memory_limit;
  r->model = wh_model_retain(wh_model_changing(model));
  r->device = wh_device_retain(device);
  wh_status st = open_runner(r, &o);
  if (st == WH_ERR_CORRUPT) st = wh_fail_prefix("%s", wh_model_path(model));
  if (st != WH_OK) {
    wh_runner_destroy(r);
    return st;
  }
  *out = r;
  return WH_OK;
}

wh_runner *wh_runner_retain(wh_runner *r) {
  if (r) wh_refs_add(&r->n_refs);
  return r;
}

void wh_runner_destroy(wh_runner *r) {
  if (!r || !wh_refs_drop(&r->n_refs)) return;
  wh_run_destroy(r->run);
  wh_onnx_runner_destroy(r->onnx);
  wh_extraction_drop(&r->extraction, r->alloc);
  wh_free(r->alloc, r->given);
  if (r->program) wh_model_give_program(r->model, r->program);
  for (size_t i = 0; r->inputs && i < r->ports->n_inputs; i++) wh_free(r->alloc, r->inputs[i].data);
  wh_free(r->alloc, r->inputs);
  wh_free(r->alloc, r->input_ports);
  wh_free(r->alloc, r->output_ports);
  wh_free(r->alloc, r->values);
  wh_free(r->alloc, r->room);
  wh_free(r->alloc, r->limits);
  wh_free(r->alloc, r->owners);
  wh_device_destroy(r->device);
  wh_model_destroy(r->model);
  wh_free(r->alloc, r);
}

/* ---- inputs ---- */

static wh_status find_port(const wh_port_info *ports, size_t n, const char *kind, const char *name,
                           size_t *out) {
  wh_text_buffer known;
  for (size_t i = 0; i < n; i++)
    if (strcmp(ports[i].name, name) == 0) {
      *out = i;
      return WH_OK;
    }
  wh_text_buffer_init(&known, NULL);
  for (size_t i = 0; i < n; i++) wh_text_buffer_printf(&known, "%s%s", i ? ", " : "", ports[i].name);
  wh_status st = WH_FAIL(ERR_NOT_FOUND, "the graph has no %s '%s'; it has %s", kind, name,
                         known.data ? known.data : "none");
  wh_text_buffer_deinit(&known);
  return st;
}

/* What can be told of one tensor by itself: symbols and expressions are for wh_runner_run. */
static wh_status check_input(const wh_runner *r, size_t i, const wh_tensor *t) {
  const wh_port_info *p = &r->ports->inputs[i];
  char text[WH_SHAPE_TEXT];
  WH_TRY(wh_check_tensor(t, "input", p->name));
  wh_shape_text(t->dtype, t->rank, t->dims, text);
  bool fits = (t->dtype == p->dtype || p->dtype == WH_DTYPE_FORCE_32) && (t->rank == p->rank || p->rank < 0);
  for (int32_t d = 0; d < p->rank && fits; d++) {
    const wh_axis *axis = &p->dims[d];
    const wh_dim_expr *e =
        r->input_ports[i] < 0 ? NULL : wh_dim_get(&graph_of(r)->dims, shape_of(r, i)->dims[d]);
    if (e && e->kind == WH_DIM_SYMBOL && t->dims[d] > r->limits[e->value])
      return WH_FAIL(ERR_LIMIT, "input '%s' is %s; the graph wants %s, where '%s' is at most %" PRId64,
                     p->name, text, p->text, graph_of(r)->dims.symbols[e->value], r->limits[e->value]);
    fits = (t->dims[d] >= axis->min || t->dims[d] == 0) && t->dims[d] <= axis->max &&
           (axis->min != axis->max || t->dims[d] == axis->min);
  }
  if (fits) return WH_OK;
  return WH_FAIL(ERR_INVALID_ARGUMENT, "input '%s' is %s; the graph wants %s", p->name, text, p->text);
}

static wh_status set_input(wh_runner *r, size_t i, const wh_tensor *t) {
  runner_input *x = &r->inputs[i];
  WH_TRY(check_input(r, i, t));
  const size_t n = (size_t)t->n_bytes;
  if (!x->data || n > x->capacity) {
    void *data = wh_alloc_uninit(r->alloc, n ? n : 1, 64);
    if (!data) return WH_FAIL(ERR_OUT_OF_MEMORY, "out of memory: input '%s'", r->ports->inputs[i].name);
    wh_free(r->alloc, x->data);
    x->data = data;
    x->capacity = n;
  }
  if (n) memcpy(x->data, t->data, n);
  x->tensor = *t;
  x->tensor.data = x->data;
  x->is_set = true;
  return WH_OK;
}

wh_status wh_runner_set_input(wh_runner *r, const char *name, const wh_tensor *tensor) {
  wh_tensor t = WH_TENSOR_INIT;
  size_t i;
  WH_WANT(r, "runner");
  WH_WANT(name, "name");
  WH_WANT(tensor, "tensor");
  WH_READ_OPTIONS(&t, tensor, WH_TENSOR_INIT);
  WH_TRY(find_port(r->ports->inputs, r->ports->n_inputs, "input", name, &i));
  return set_input(r, i, &t);
}

wh_status wh_runner_set_input_at(wh_runner *r, size_t i, const wh_tensor *tensor) {
  wh_tensor t = WH_TENSOR_INIT;
  WH_WANT(r, "runner");
  WH_WANT(tensor, "tensor");
  WH_READ_OPTIONS(&t, tensor, WH_TENSOR_INIT);
  if (i >= r->ports->n_inputs) return WH_FAIL(ERR_NOT_FOUND, "no input %zu", i);
  return set_input(r, i, &t);
}

/* ---- running ---- */

static wh_status disagree(const wh_runner *r, int64_t a, size_t b, const char *symbol) {
  char text[2][WH_SHAPE_TEXT];
  const wh_tensor *x = &r->inputs[a].tensor, *y = &r->inputs[b].tensor;
  return WH_FAIL(ERR_INVALID_ARGUMENT,
                 "inputs '%s', %s, and '%s', %s, do not agree in '%s': the graph wants %s and %s",
                 r->ports->inputs[a].name, wh_shape_text(x->dtype, x->rank, x->dims, text[0]),
                 r->ports->inputs[b].name, wh_shape_text(y->dtype, y->rank, y->dims, text[1]), symbol,
                 r->ports->inputs[a].text, r->ports->inputs[b].text);
}

/* Values of symbols that inputs determine. */
static wh_status read_symbols(wh_runner *r) {
  const wh_dim_table *t = &graph_of(r)->dims;
  for (uint32_t s = 0; s < t->n_symbols; s++) r->owners[s] = -1;
  for (size_t i = 0; i < r->ports->n_inputs; i++) {
    if (r->input_ports[i] < 0) continue;
    const wh_shape *shape = shape_of(r, i);
    if (!r->inputs[i].is_set)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "input '%s', %s, was never set", r->ports->inputs[i].name,
                     r->ports->inputs[i].text);
    for (int d = 0; d < shape->rank; d++) {
      const wh_dim_expr *e = wh_dim_get(t, shape->dims[d]);
      if (e->kind != WH_DIM_SYMBOL) continue;
      const int64_t s = e->value, value = r->inputs[i].tensor.dims[d];
      if (r->owners[s] >= 0 && r->values[s] != value) return disagree(r, r->owners[s], i, t->symbols[s]);
      r->owners[s] = (int64_t)i;
      r->values[s] = value;
    }
  }
  return WH_OK;
}

/* Dims that are expressions of symbols. */
static wh_status check_expressions(const wh_runner *r) {
  const wh_graph *g = graph_of(r);
  WH_TRY(wh_graph_check_symbols(g, r->values));
  for (size_t i = 0; i < r->ports->n_inputs; i++) {
    if (r->input_ports[i] < 0) continue;
    const wh_shape *shape = shape_of(r, i);
    const wh_tensor *x = &r->inputs[i].tensor;
    int64_t want[WH_MAX_RANK] = {0};
    for (int d = 0; d < shape->rank; d++) want[d] = wh_dim_eval(&g->dims, shape->dims[d], r->values);
    if (memcmp(want, x->dims, (size_t)shape->rank * sizeof *want) == 0) continue;
    char text[2][WH_SHAPE_TEXT];
    return WH_FAIL(ERR_INVALID_ARGUMENT,
                   "input '%s' is %s; the graph wants %s, which is %s beside the others",
                   r->ports->inputs[i].name, wh_shape_text(x->dtype, x->rank, x->dims, text[0]),
                   r->ports->inputs[i].text, wh_shape_text(shape->dtype, shape->rank, want, text[1]));
  }
  return WH_OK;
}

/* Memory for these dims, and for all that there were so far. */
static wh_status make_room(wh_runner *r) {
  const uint32_t n = graph_of(r)->dims.n_symbols;
  bool fits = !r->is_torn;
  for (uint32_t s = 0; s < n && fits; s++) fits = r->values[s] <= r->room[s];
  if (!fits) {
    int64_t *larger = wh_alloc_array(r->alloc, n + 1, sizeof *larger);
    if (!larger) return WH_OOM("runner");
    for (uint32_t s = 0; s < n; s++) larger[s] = r->values[s] > r->room[s] ? r->values[s] : r->room[s];
    wh_status st = check_memory(r, larger);
    if (st == WH_OK) {
      st = wh_run_reshape(r->run, larger);
      r->is_torn = st != WH_OK;
      if (st == WH_OK) memcpy(r->room, larger, n * sizeof *larger);
    }
    wh_free(r->alloc, larger);
    WH_TRY(st);
  }
  return wh_run_bind(r->run, r->values);
}

static wh_status run_once(wh_runner *r) {
  r->has_outputs = false;
  if (r->onnx) {
    r->ask_at = wh_progress_deadline(&r->progress);
    for (size_t i = 0; i < r->ports->n_inputs; i++)
      r->given[i] = r->inputs[i].is_set ? &r->inputs[i].tensor : NULL;
    WH_TRY(wh_onnx_runner_run(r->onnx, r->given));
    r->has_outputs = true;
    return WH_OK;
  }
  WH_TRY(read_symbols(r));
  WH_TRY(check_expressions(r));
  WH_TRY(make_room(r));
  for (size_t i = 0; i < r->ports->n_inputs; i++) {
    if (r->input_ports[i] >= 0) wh_run_give_input(r->run, (size_t)r->input_ports[i], r->inputs[i].data);
  }
  wh_status st = wh_run_execute(r->run);
  if (st == WH_ERR_CORRUPT) st = wh_fail_prefix("%s", wh_model_path(r->model));
  r->has_outputs = st == WH_OK;
  return st;
}

static void set_extract(wh_runner *r, wh_extract *extract) {
  if (r->onnx)
    wh_onnx_runner_set_extract(r->onnx, extract);
  else
    wh_run_set_extract(r->run, extract);
}

wh_status wh_runner_run(wh_runner *r) {
  WH_WANT(r, "runner");
  WH_TRY(run_once(r));
  if (!r->extraction.extract) return WH_OK;
  set_extract(r, NULL);
  return wh_extraction_end(&r->extraction, false, r->alloc);
}

wh_status wh_runner_extract(wh_runner *r, const char *node, const char *folder) {
  WH_WANT(r, "runner");
  WH_WANT(node, "node");
  WH_WANT(folder, "folder");
  WH_TRY(wh_extraction_begin(&r->extraction, node, folder, r->alloc));
  set_extract(r, r->extraction.extract);
  return WH_OK;
}

static int pass_on(void *ctx, const wh_run_trace_event *event) {
  const wh_runner *r = ctx;
  const wh_trace_event e = wh_public_trace_event(event);
  return r->trace(r->trace_ctx, &e);
}

void wh_runner_set_trace(wh_runner *r, wh_trace_fn fn, void *ctx) {
  if (!r) return;
  r->trace = fn;
  r->trace_ctx = ctx;
  if (r->onnx)
    wh_onnx_runner_set_trace(r->onnx, fn ? pass_on : NULL, r);
  else
    wh_run_set_trace(r->run, fn ? pass_on : NULL, r);
}

/* ---- outputs ---- */

static wh_status get_output(const wh_runner *r, size_t i, wh_tensor *tensor) {
  if (!r->has_outputs)
    return WH_FAIL(ERR_NOT_FOUND, "there is no output '%s': no run has made it, or the last one failed",
                   r->ports->outputs[i].name);
  if (r->onnx) {
    wh_tensor made;
    WH_TRY(wh_onnx_runner_output(r->onnx, i, &made));
    WH_WRITE_INFO(tensor, made);
    return WH_OK;
  }
  const wh_run_port port = wh_run_output(r->run, (size_t)r->output_ports[i]);
  wh_tensor full = WH_TENSOR_INIT;
  size_t n = 0;
  full.dtype = port.dtype;
  full.rank = port.rank;
  memcpy(full.dims, port.dims, (size_t)port.rank * sizeof *port.dims);
  if (!wh_tensor_bytes(full.dtype, full.rank, full.dims, &n))
    return WH_FAIL(ERR_INTERNAL, "output '%s' has no bytes", r->ports->outputs[i].name);
  full.n_bytes = n;
  full.data = n ? port.data : NULL;
  WH_WRITE_INFO(tensor, full);
  return WH_OK;
}

wh_status wh_runner_get_output(const wh_runner *r, const char *name, wh_tensor *tensor) {
  size_t i;
  WH_WANT(r, "runner");
  WH_WANT(name, "name");
  WH_WANT_INFO(tensor, "tensor", WH_TENSOR_INIT);
  WH_TRY(find_port(r->ports->outputs, r->ports->n_outputs, "output", name, &i));
  return get_output(r, i, tensor);
}

wh_status wh_runner_get_output_at(const wh_runner *r, size_t i, wh_tensor *tensor) {
  WH_WANT(r, "runner");
  WH_WANT_INFO(tensor, "tensor", WH_TENSOR_INIT);
  if (i >= r->ports->n_outputs) return WH_FAIL(ERR_NOT_FOUND, "no output %zu", i);
  return get_output(r, i, tensor);
}

/* ---- how it runs ---- */

static wh_status find_run(const wh_runner *r, uint32_t program, const wh_run **out) {
  *out = r->onnx ? wh_onnx_runner_run_at(r->onnx, program) : program == 0 ? r->run : NULL;
  return *out ? WH_OK : WH_FAIL(ERR_NOT_FOUND, "no program %u", program);
}

wh_status wh_runner_get_program(const wh_runner *r, uint32_t program, wh_program_info *info) {
  const wh_run *run;
  WH_WANT(r, "runner");
  WH_WANT_INFO(info, "info", WH_PROGRAM_INFO_INIT);
  WH_TRY(find_run(r, program, &run));
  return wh_describe_program(run, info);
}

wh_status wh_runner_get_instruction(const wh_runner *r, uint32_t program, uint32_t i,
                                    wh_instruction_info *info) {
  const wh_run *run;
  WH_WANT(r, "runner");
  WH_WANT_INFO(info, "info", WH_INSTRUCTION_INFO_INIT);
  WH_TRY(find_run(r, program, &run));
  return wh_describe_instruction(wh_run_program(run), i, info);
}

wh_status wh_runner_graph_text(const wh_runner *r, uint32_t program, char **out) {
  const wh_run *run;
  WH_WANT(r, "runner");
  WH_WANT(out, "out");
  WH_TRY(find_run(r, program, &run));
  return wh_describe_graph(wh_run_program(run)->graph, r->alloc, out);
}

wh_status wh_runner_plan_text(const wh_runner *r, uint32_t program, char **out) {
  const wh_run *run;
  WH_WANT(r, "runner");
  WH_WANT(out, "out");
  WH_TRY(find_run(r, program, &run));
  return wh_describe_plan(run, r->alloc, out);
}

wh_status wh_runner_get_host_node(const wh_runner *r, uint32_t i, wh_host_node_info *info) {
  WH_WANT(r, "runner");
  WH_WANT_INFO(info, "info", WH_HOST_NODE_INFO_INIT);
  const wh_onnx_trace *t = r->onnx ? wh_onnx_runner_trace(r->onnx) : NULL;
  if (!t || i >= t->n_host) return WH_FAIL(ERR_NOT_FOUND, "no node %u of the host's", i);
  const wh_onnx_host_node *n = &t->host[i];
  wh_host_node_info full = WH_HOST_NODE_INFO_INIT;
  full.times = n->times;
  full.node = n->node;
  full.op = n->op;
  full.reason = n->reason;
  WH_WRITE_INFO(info, full);
  return WH_OK;
}
