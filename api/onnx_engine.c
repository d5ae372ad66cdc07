/* onnx_engine.c - see onnx_engine.h. */
#include "api/onnx_engine.h"

#include <stdio.h>
#include <string.h>

#include "api/api_internal.h"
#include "backends/cpu/cpu_backend.h"
#include "core/base/memory_budget.h"
#include "core/passes/passes.h"
#include "core/plan/fold_evaluator.h"

#define CONST_ALIGN 64

struct wh_engine_program {
  wh_hash128 key;
  uint64_t serial;
  wh_program *program;
  wh_run *run;
  wh_engine_program *next;
};

struct wh_engine {
  const wh_allocator *alloc;
  wh_plan_device device;
  wh_plan_device host; /* folds constants */
  size_t n_programs;
  uint64_t memory_limit, n_made;
  wh_run_trace_fn trace;
  void *trace_ctx;
  wh_extract *extract;
  wh_engine_program *programs; /* most recently used first */
};

static void drop(wh_engine *e, wh_engine_program *p) {
  wh_run_destroy(p->run);
  if (p->program) wh_program_release(p->program);
  wh_free(e->alloc, p);
}

wh_status wh_engine_create(const wh_plan_device *device, size_t n_programs, uint64_t memory_limit,
                           const wh_allocator *alloc, wh_engine **out) {
  wh_engine *e = wh_alloc_zeroed(alloc, sizeof *e);
  if (!e) return WH_OOM("engine");
  e->alloc = alloc;
  e->device = e->host = *device;
  e->n_programs = n_programs;
  e->memory_limit = memory_limit;
  if (device->backend != &wh_backend_cpu) { /* exact kernels have the same bits everywhere: the host folds */
    wh_device_options o = WH_DEVICE_OPTIONS_INIT;
    o.isa = "ref";
    o.n_threads = 1;
    o.allocator = alloc;
    e->host = (wh_plan_device){&wh_backend_cpu, NULL};
    wh_status st = wh_backend_cpu.open(0, &o, &e->host.dev);
    if (st != WH_OK) {
      wh_free(alloc, e);
      return st;
    }
  }
  *out = e;
  return WH_OK;
}

void wh_engine_destroy(wh_engine *e) {
  if (!e) return;
  for (wh_engine_program *p = e->programs, *next; p; p = next) {
    next = p->next;
    drop(e, p);
  }
  if (e->host.dev != e->device.dev) wh_backend_cpu.close(e->host.dev);
  wh_free(e->alloc, e);
}

/* The text, and the constants: by where they lie when they have an origin, which outlives the engine; else by
 * their bytes. */
static wh_status key_of(const wh_graph *g, wh_hash128 *out) {
  wh_text_buffer b;
  wh_text_buffer_init(&b, g->alloc);
  wh_status st = wh_graph_print(g, &b);
  for (wh_value v = 1; v < g->n_values && st == WH_OK; v++) {
    const wh_value_info *c = &g->values[v];
    if (c->kind != WH_VALUE_CONST) continue;
    const wh_hash128 h =
        c->origin ? wh_hash_bytes(&c->origin, sizeof c->origin) : wh_hash_bytes(c->data, c->n_bytes);
    wh_text_buffer_append(&b, (const char *)&h, sizeof h);
  }
  if (st == WH_OK && b.oom) st = WH_OOM("engine");
  if (st == WH_OK) *out = wh_hash_bytes(b.data, b.len);
  wh_text_buffer_deinit(&b);
  return st;
}

/* Constants of one execution only become the graph's own. */
static wh_status keep_constants(wh_graph *g) {
  for (wh_value v = 1; v < g->n_values; v++) {
    wh_value_info *c = &g->values[v];
    if (c->kind != WH_VALUE_CONST || c->origin || !c->n_bytes) continue;
    uint8_t *p = wh_arena_alloc(&g->arena, c->n_bytes + CONST_ALIGN);
    if (!p) return WH_OOM("constants");
    p += (CONST_ALIGN - (uintptr_t)p % CONST_ALIGN) % CONST_ALIGN;
    memcpy(p, c->data, c->n_bytes);
    c->data = p;
  }
  return WH_OK;
}

static wh_status make(wh_engine *e, wh_graph *g, wh_engine_program *p) {
  wh_fold_device d = {e->host.backend, e->host.dev};
  const wh_fold_evaluator fold = {&d, wh_fold_eval};
  const int64_t none = 0;
  wh_status st = keep_constants(g);
  if (st == WH_OK) st = wh_passes_run(g, &fold);
  if (st == WH_OK && e->device.backend->traits & WH_BACKEND_CHAINS) st = wh_pass_chain(g);
  if (st != WH_OK) {
    wh_graph_destroy(g);
    return st;
  }
  /* With other shapes the weights are the same: they are packed once. */
  wh_weight_set *weights[] = {e->programs ? e->programs->program->devices[0].weights : NULL};
  const wh_program_options o = {.place = {.devices = &e->device, .n_devices = 1},
                                .symbols = &none,
                                .any_vectors = true,
                                .weights = weights,
                                .alloc = e->alloc};
  WH_TRY(wh_program_create(g, &o, &p->program));
  wh_memory_budget budget = {e->memory_limit, "the limit that was set"};
  wh_layout *layout = NULL;
  if (!e->memory_limit) WH_TRY(wh_memory_budget_read(e->alloc, &budget));
  WH_TRY(wh_program_get_layout(p->program, &none, &layout));
  st = wh_program_check_memory(p->program, layout, &budget);
  wh_layout_release(layout);
  WH_TRY(st);
  const wh_run_options run = {.symbols = &none, .alloc = e->alloc};
  return wh_run_create(p->program, &run, &p->run);
}

static void to_front(wh_engine *e, wh_engine_program **at) {
  wh_engine_program *p = *at;
  *at = p->next;
  p->next = e->programs;
  e->programs = p;
}

static void shrink(wh_engine *e) {
  size_t n = 0;
  for (wh_engine_program **at = &e->programs; *at;) {
    wh_engine_program *p = *at;
    if (n++ < e->n_programs) {
      at = &p->next;
    } else {
      *at = p->next;
      drop(e, p);
    }
  }
}

/* The program of the graph, first in the list. Takes the graph. */
static wh_status find_or_make(wh_engine *e, wh_graph *g) {
  wh_hash128 key;
  wh_status st = key_of(g, &key);
  if (st != WH_OK) {
    wh_graph_destroy(g);
    return st;
  }
  for (wh_engine_program **at = &e->programs; *at; at = &(*at)->next) {
    wh_engine_program *p = *at;
    if (memcmp(&p->key, &key, sizeof key) != 0) continue;
    to_front(e, at);
    wh_graph_destroy(g);
    return WH_OK;
  }
  wh_engine_program *p = wh_alloc_zeroed(e->alloc, sizeof *p);
  if (!p) {
    wh_graph_destroy(g);
    return WH_OOM("engine");
  }
  p->key = key;
  p->serial = ++e->n_made;
  st = make(e, g, p);
  if (st != WH_OK) {
    drop(e, p);
    return st;
  }
  p->next = e->programs;
  e->programs = p;
  shrink(e);
  return WH_OK;
}

int wh_engine_input(const wh_engine *e, size_t i) {
  char name[24];
  (void)snprintf(name, sizeof name, "i%zu", i);
  return wh_program_find_input(e->programs->program, name);
}

int wh_engine_output(const wh_engine *e, size_t i) {
  char name[24];
  (void)snprintf(name, sizeof name, "o%zu", i);
  return wh_program_find_output(e->programs->program, name);
}

static wh_status run_graph(void *ctx, wh_graph *g, const void *const *inputs, void *const *outputs) {
  wh_engine *e = ctx;
  const size_t n_outputs = g->n_outputs;
  size_t n_inputs = 0;
  for (wh_value v = 1; v < g->n_values; v++) n_inputs += g->values[v].kind == WH_VALUE_INPUT;
  WH_TRY(find_or_make(e, g));
  const wh_engine_program *p = e->programs;
  for (size_t i = 0; i < n_inputs; i++) {
    const int port = wh_engine_input(e, i);
    if (port < 0) continue;
    wh_copy_into_port(wh_run_input(p->run, (size_t)port), inputs[i]);
  }
  wh_run_set_trace(p->run, e->trace, e->trace_ctx);
  wh_run_set_extract(p->run, e->extract);
  WH_TRY(wh_run_execute(p->run));
  for (size_t i = 0; i < n_outputs; i++) {
    const int port = wh_engine_output(e, i);
    if (port < 0) return WH_FAIL(ERR_INTERNAL, "output %zu was lost", i);
    const wh_run_port out = wh_run_output(p->run, (size_t)port);
    memcpy(outputs[i], out.data, wh_port_bytes(&out));
  }
  return WH_OK;
}

wh_onnx_engine wh_engine_face(wh_engine *e) { return (wh_onnx_engine){e, run_graph}; }

size_t wh_port_bytes(const wh_run_port *port) {
  size_t n = 0;
  return wh_tensor_bytes(port->dtype, port->rank, port->dims, &n) ? n
                                                                  : 0; /* sizes of a program were checked */
}

void wh_copy_into_port(wh_run_port port, const void *data) {
  const size_t n = wh_port_bytes(&port);
  if (n) memcpy(port.data, data, n);
}

void wh_engine_set_trace(wh_engine *e, wh_run_trace_fn fn, void *ctx) {
  e->trace = fn;
  e->trace_ctx = ctx;
}

void wh_engine_set_extract(wh_engine *e, wh_extract *extract) { e->extract = extract; }

wh_engine_program *wh_engine_last(wh_engine *e) { return e->programs; }
uint64_t wh_engine_serial(const wh_engine_program *program) { return program->serial; }
uint64_t wh_engine_n_made(const wh_engine *e) { return e->n_made; }

wh_run *wh_engine_find(wh_engine *e, uint64_t serial) {
  for (wh_engine_program **at = &e->programs; *at; at = &(*at)->next) {
    wh_engine_program *p = *at;
    if (p->serial != serial) continue;
    to_front(e, at);
    wh_run_set_trace(p->run, e->trace, e->trace_ctx);
    wh_run_set_extract(p->run, e->extract);
    return p->run;
  }
  return NULL;
}
