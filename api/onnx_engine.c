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
#define N_LENT 8 /* sets of weights that later programs look through */
/* What may be taken of the memory that the system had left when it was asked, that part, before it is asked
 * again: asking takes longer than planning. */
#define TRUSTED_PART 64
#define MOST_TRUSTED ((uint64_t)64 << 20)

struct wh_engine_program {
  wh_hash128 key;
  uint64_t serial;
  wh_program *program;
  wh_run *run;
  bool is_torn; /* memory for other dims was not to be had half-way */
  wh_engine_program *next;
};

struct wh_engine {
  const wh_allocator *alloc;
  wh_plan_device device;
  wh_plan_device host; /* folds constants */
  size_t n_programs;
  uint64_t memory_limit, n_made, trusted_bytes;
  wh_run_trace_fn trace;
  void *trace_ctx;
  wh_extract *extract;
  wh_engine_program *programs; /* most recently used first */
  wh_engine_program *holder;   /* of the one arena; NULL: nobody has it */
  /* What other shapes and other engines use as well: sets that have weights of the model, the newest first.
   */
  wh_weight_set *lent[N_LENT];
  wh_engine_pool *pool; /* NULL: alone. Its mutex is `lent`'s */
  wh_engine *next;      /* in the pool */
};

/* ---- weights of one model ---- */

void wh_engine_pool_init(wh_engine_pool *pool) {
  *pool = (wh_engine_pool){.first = NULL};
  (void)pthread_mutex_init(&pool->mutex, NULL);
}

void wh_engine_pool_deinit(wh_engine_pool *pool) { (void)pthread_mutex_destroy(&pool->mutex); }

static void lock(wh_engine *e) {
  if (e->pool) (void)pthread_mutex_lock(&e->pool->mutex);
}
static void unlock(wh_engine *e) {
  if (e->pool) (void)pthread_mutex_unlock(&e->pool->mutex);
}

void wh_engine_join(wh_engine *e, wh_engine_pool *pool) {
  e->pool = pool;
  lock(e);
  e->next = pool->first;
  pool->first = e;
  unlock(e);
}

static void leave(wh_engine *e) {
  lock(e);
  for (wh_engine **at = e->pool ? &e->pool->first : NULL; at && *at; at = &(*at)->next)
    if (*at == e) {
      *at = e->next;
      break;
    }
  unlock(e);
  for (size_t i = 0; i < N_LENT; i++) wh_weight_set_release(e->lent[i]);
}

static size_t lenders_of(const wh_engine *from, size_t n, wh_weight_set *out[N_LENT]) {
  for (size_t i = 0; i < N_LENT && from->lent[i] && n < N_LENT; i++) out[n++] = from->lent[i];
  return n;
}

/* What this engine has, then what others on the device have; retained for the caller. */
static size_t find_lenders(wh_engine *e, wh_weight_set *out[N_LENT]) {
  lock(e);
  size_t n = lenders_of(e, 0, out);
  for (const wh_engine *x = e->pool ? e->pool->first : NULL; x; x = x->next)
    if (x != e && x->device.dev == e->device.dev) n = lenders_of(x, n, out);
  for (size_t i = 0; i < n; i++) wh_weight_set_retain(out[i]);
  unlock(e);
  return n;
}

/* A set that is loaded: the first, and whatever has weights of the model that no other one had. */
static void lend(wh_engine *e, wh_weight_set *set) {
  if (!set || (e->lent[0] && !wh_weight_set_get_packing(set).n_own)) return;
  wh_weight_set_retain(set);
  lock(e);
  wh_weight_set *oldest = e->lent[N_LENT - 1];
  memmove(e->lent + 1, e->lent, (N_LENT - 1) * sizeof e->lent[0]);
  e->lent[0] = set;
  unlock(e);
  wh_weight_set_release(oldest);
}

static void drop(wh_engine *e, wh_engine_program *p) {
  if (e->holder == p) e->holder = NULL;
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
    e->host = (wh_plan_device){.backend = &wh_backend_cpu};
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
  leave(e);
  if (e->host.dev != e->device.dev) wh_backend_cpu.close(e->host.dev);
  wh_free(e->alloc, e);
}

static void put(wh_text_buffer *b, const void *data, size_t n) { wh_text_buffer_append(b, data, n); }
static void put_numbers(wh_text_buffer *b, const uint32_t *numbers, size_t n) {
  put(b, numbers, n * sizeof *numbers);
}

/* Constants by where they lie when they have an origin, which outlives the engine; else by their bytes. */
static void put_value(wh_text_buffer *b, const wh_value_info *v) {
  const uint32_t head[] = {v->kind, v->shape.dtype, (uint32_t)v->shape.rank};
  put_numbers(b, head, 3);
  put_numbers(b, v->shape.dims, (size_t)v->shape.rank);
  if (v->kind != WH_VALUE_CONST) return;
  const wh_hash128 h =
      v->origin ? wh_hash_bytes(&v->origin, sizeof v->origin) : wh_hash_bytes(v->data, v->n_bytes);
  put(b, &h, sizeof h);
}

static void put_attr(wh_text_buffer *b, const wh_attr *a) {
  static const size_t sizes[] = {[WH_TYPE_INTS] = sizeof(int64_t),
                                 [WH_TYPE_FLOATS] = sizeof(float),
                                 [WH_TYPE_STRING] = 1,
                                 [WH_TYPE_TENSOR] = 1};
  const wh_attr_type type = wh_attr_type_of(a->key);
  const bool has_dims = type == WH_TYPE_DIMS || type == WH_TYPE_TENSOR;
  const uint32_t head[] = {a->key, (uint32_t)a->n, has_dims ? (uint32_t)a->rank : 0, a->dtype};
  put_numbers(b, head, 4);
  if (type == WH_TYPE_FLOAT) put(b, &a->f, sizeof a->f);
  if (type == WH_TYPE_INT) put(b, &a->i, sizeof a->i);
  if (has_dims) put_numbers(b, a->dims, (size_t)a->rank);
  if (type < sizeof sizes / sizeof sizes[0] && sizes[type] && a->n) put(b, a->data, a->n * sizes[type]);
}

/* Graphs that an execution builds in the same way are equal. Names do not count, and regions it has none. */
static wh_status key_of(const wh_graph *g, wh_hash128 *out) {
  wh_text_buffer b;
  wh_text_buffer_init(&b, g->alloc);
  for (wh_dim d = 0; d < g->dims.n; d++) {
    const wh_dim_expr *e = wh_dim_get(&g->dims, d);
    const int64_t numbers[] = {e->kind, e->value, e->a, e->b, e->min, e->max};
    put(&b, numbers, sizeof numbers);
  }
  for (wh_value v = 1; v < g->n_values; v++) put_value(&b, &g->values[v]);
  for (size_t n = 0; n < g->n_nodes; n++) {
    const wh_node_info *node = &g->nodes[n];
    const uint32_t head[] = {node->op, node->n_inputs, node->n_outputs, node->n_attrs};
    put_numbers(&b, head, 4);
    put_numbers(&b, node->inputs, node->n_inputs);
    put_numbers(&b, node->outputs, node->n_outputs);
    for (uint32_t i = 0; i < node->n_attrs; i++) put_attr(&b, &node->attrs[i]);
  }
  for (size_t i = 0; i < g->n_outputs; i++) put_numbers(&b, &g->outputs[i].value, 1);
  const wh_status st = b.oom ? WH_OOM("engine") : WH_OK;
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

/* Whether these dims, with the weights unless they are loaded, fit what may be taken. */
static wh_status check_memory(wh_engine *e, const wh_program *p, const wh_layout *layout) {
  wh_memory_budget budget = {e->memory_limit, "the limit that was set"};
  wh_device_memory m;
  if (e->memory_limit) return wh_program_check_memory(p, layout, &budget);
  WH_TRY(wh_program_device_memory(p, layout, 0, &m));
  const uint64_t need = wh_device_memory_need(&m);
  if (!m.is_own && need <= e->trusted_bytes) {
    e->trusted_bytes -= need;
    return WH_OK;
  }
  WH_TRY(wh_memory_budget_read(e->alloc, &budget));
  WH_TRY(wh_program_check_memory(p, layout, &budget));
  const uint64_t left = budget.available > need ? (budget.available - need) / TRUSTED_PART : 0;
  e->trusted_bytes = left < MOST_TRUSTED ? left : MOST_TRUSTED;
  return WH_OK;
}

static wh_status make(wh_engine *e, wh_graph *g, const int64_t *symbols, wh_engine_program *p) {
  wh_fold_device d = {e->host.backend, e->host.dev};
  const wh_fold_evaluator fold = {&d, wh_fold_eval};
  wh_status st = keep_constants(g);
  if (st == WH_OK) st = wh_passes_run(g, &fold);
  const uint32_t traits = e->device.backend->traits;
  if (st == WH_OK && traits & WH_BACKEND_CHAINS)
    st = wh_pass_chain(g, (traits & WH_BACKEND_CODES) != 0, (traits & WH_BACKEND_PRODUCTS) != 0);
  if (st == WH_OK && traits & WH_BACKEND_ATTENTION) st = wh_pass_attention(g);
  if (st != WH_OK) {
    wh_graph_destroy(g);
    return st;
  }
  /* With other shapes the weights are the same: they are packed once. */
  wh_weight_set *lenders[N_LENT];
  const size_t n_lenders = find_lenders(e, lenders);
  const wh_program_options o = {.place = {.devices = &e->device, .n_devices = 1},
                                .symbols = symbols,
                                .any_vectors = true,
                                .many_shapes = true,
                                .lenders = lenders,
                                .n_lenders = n_lenders,
                                .weight_done = e->pool ? e->pool->weight_done : NULL,
                                .weight_done_ctx = e->pool ? e->pool->weight_done_ctx : NULL,
                                .alloc = e->alloc};
  st = wh_program_create(g, &o, &p->program);
  for (size_t i = 0; i < n_lenders; i++) wh_weight_set_release(lenders[i]);
  WH_TRY(st);
  wh_layout *layout = NULL;
  WH_TRY(wh_program_get_layout(p->program, symbols, &layout));
  st = check_memory(e, p->program, layout);
  wh_layout_release(layout);
  WH_TRY(st);
  const wh_run_options run = {
      .symbols = symbols, .alloc = e->alloc, .arena_of = e->holder ? e->holder->run : NULL};
  e->holder = NULL; /* until this has it */
  WH_TRY(wh_run_create(p->program, &run, &p->run));
  e->holder = p;
  lend(e, p->program->devices[0].weights);
  return WH_OK;
}

/* The program's run for these values of its symbols: a layout of these dims, in more memory where they need
 * it.
 */
static wh_status bind(wh_engine *e, wh_engine_program *p, const int64_t *symbols) {
  const size_t n = p->program->graph->dims.n_symbols;
  const wh_layout *have = wh_run_layout(p->run);
  wh_layout *layout = NULL;
  if (e->holder != p) {
    wh_run *from = e->holder ? e->holder->run : NULL;
    e->holder = NULL;
    WH_TRY(wh_run_take_over(p->run, from));
    e->holder = p;
  }
  if (!n || (!p->is_torn && memcmp(have->symbols, symbols, n * sizeof *symbols) == 0)) return WH_OK;
  WH_TRY(wh_program_get_layout(p->program, symbols, &layout));
  wh_status st = WH_OK;
  const uint64_t need = layout->memory[0].arena.arena_bytes, taken = wh_run_arena_bytes(p->run);
  if (p->is_torn || need > taken) st = check_memory(e, p->program, layout);
  wh_layout_release(layout);
  WH_TRY(st);
  st = wh_run_reshape(p->run, symbols);
  p->is_torn = st != WH_OK;
  return st;
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
static wh_status find_or_make(wh_engine *e, wh_graph *g, const int64_t *symbols) {
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
    return bind(e, p, symbols);
  }
  wh_engine_program *p = wh_alloc_zeroed(e->alloc, sizeof *p);
  if (!p) {
    wh_graph_destroy(g);
    return WH_OOM("engine");
  }
  p->key = key;
  p->serial = ++e->n_made;
  st = make(e, g, symbols, p);
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

static wh_status run_graph(void *ctx, wh_graph *g, const int64_t *symbols, const void *const *inputs,
                           void *const *outputs) {
  wh_engine *e = ctx;
  const size_t n_outputs = g->n_outputs;
  size_t n_inputs = 0;
  for (wh_value v = 1; v < g->n_values; v++) n_inputs += g->values[v].kind == WH_VALUE_INPUT;
  const int64_t none = 0;
  WH_TRY(find_or_make(e, g, symbols ? symbols : &none));
  const wh_engine_program *p = e->programs;
  for (size_t i = 0; i < n_inputs; i++) {
    const int port = wh_engine_input(e, i);
    if (port >= 0) wh_run_give_input(p->run, (size_t)port, inputs[i]);
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

wh_onnx_engine wh_engine_face(wh_engine *e) {
  const bool takes_blocks = e->device.backend->traits & WH_BACKEND_BLOCKS;
  return (wh_onnx_engine){.ctx = e, .takes_blocks = takes_blocks, .run = run_graph};
}

size_t wh_port_bytes(const wh_run_port *port) {
  size_t n = 0;
  return wh_tensor_bytes(port->dtype, port->rank, port->dims, &n) ? n
                                                                  : 0; /* sizes of a program were checked */
}

void wh_engine_set_trace(wh_engine *e, wh_run_trace_fn fn, void *ctx) {
  e->trace = fn;
  e->trace_ctx = ctx;
}

void wh_engine_set_extract(wh_engine *e, wh_extract *extract) { e->extract = extract; }

wh_engine_program *wh_engine_last(wh_engine *e) { return e->programs; }
uint64_t wh_engine_serial(const wh_engine_program *program) { return program->serial; }
wh_weight_packing wh_engine_packing(const wh_engine *e) {
  const wh_weight_set *w = e->programs ? e->programs->program->devices[0].weights : NULL;
  return w ? wh_weight_set_get_packing(w) : (wh_weight_packing){0};
}
uint64_t wh_engine_n_made(const wh_engine *e) { return e->n_made; }

const wh_run *wh_engine_run_at(const wh_engine *e, size_t i) {
  for (const wh_engine_program *p = e->programs; p; p = p->next) {
    size_t n_before = 0;
    for (const wh_engine_program *x = e->programs; x; x = x->next) n_before += x->serial < p->serial;
    if (n_before == i) return p->run;
  }
  return NULL;
}

wh_status wh_engine_find(wh_engine *e, uint64_t serial, const int64_t *symbols, wh_run **out) {
  *out = NULL;
  for (wh_engine_program **at = &e->programs; *at; at = &(*at)->next) {
    wh_engine_program *p = *at;
    if (p->serial != serial) continue;
    to_front(e, at);
    WH_TRY(bind(e, p, symbols));
    wh_run_set_trace(p->run, e->trace, e->trace_ctx);
    wh_run_set_extract(p->run, e->extract);
    *out = p->run;
    return WH_OK;
  }
  return WH_OK;
}
