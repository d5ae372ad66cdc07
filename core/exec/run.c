/* run.c - see run.h. A device's blocks follow each other; devices work side by side where no data says
 * otherwise. What one device made for another goes from one to the other where they are peers, else through
 * the host. */
#include "core/exec/run.h"

#include <string.h>

/* Inputs of fewer bytes are copied: it takes less than new instructions for another address. */
#define LEAST_LOAN (128 << 10)

typedef struct run_device {
  wh_queue *queue;
  wh_buffer *arena, *states;
  uint64_t arena_bytes;                  /* that were asked for */
  wh_point last;                         /* of its work */
  wh_point read_by[WH_PLAN_MAX_DEVICES]; /* of copies that other devices' queues make of what it made */
  wh_weight_user user;
  wh_buffer *
      *buffers; /* the run's table with what is this device's; the run's own where there is one device */
  wh_frame frame;
} run_device;

/* Where the host reads or writes an input or output: on its device, or in memory that is copied. */
typedef struct run_port {
  wh_shape shape;
  uint32_t slot; /* direct, when `staging` is NULL */
  void *staging;
  bool held;       /* an output that is copied when it is asked for */
  wh_buffer *lent; /* an input that is read where its caller has it, which is `from`; or NULL */
  const void *from;
} run_port;

struct wh_run {
  const wh_allocator *alloc;
  wh_program *p;
  wh_layout *layout;
  int64_t *symbols, *dims; /* as bound */
  wh_buffer **buffers;     /* the frame's tables, by slot */
  uint64_t *offsets;
  bool *as_model;
  run_device devices[WH_PLAN_MAX_DEVICES];
  run_port *inputs, *outputs;
  wh_point *done; /* [n_blocks] of this execution */
  void *copy;     /* of what goes from device to device */
  void *traced;   /* a value in row-major form */
  uint64_t last_frame, copy_bytes, traced_bytes;
  wh_run_trace_fn trace;
  void *trace_ctx;
  wh_extract *extract;
};

static const wh_backend *backend(const wh_run *r, uint16_t d) { return r->p->devices[d].device.backend; }
static void *dev(const wh_run *r, uint16_t d) { return r->p->devices[d].device.dev; }

/* The address of a slot for the host, or NULL. */
static void *host_of(const wh_run *r, uint32_t slot) {
  const uint16_t d = r->p->slots[slot].device;
  char *base = r->buffers[slot] ? backend(r, d)->buffer_host(dev(r, d), r->buffers[slot]) : NULL;
  return base ? base + r->offsets[slot] : NULL;
}

/* n bytes of a slot, from `at` on, from and to the host; waits. */
static wh_status put(wh_run *r, uint32_t slot, uint64_t at, const void *src, uint64_t n) {
  const uint16_t d = r->p->slots[slot].device;
  char *direct = host_of(r, slot);
  wh_point done = {NULL, 0};
  if (!n) return WH_OK;
  if (direct) {
    memcpy(direct + at, src, n);
    return WH_OK;
  }
  WH_TRY(backend(r, d)->upload(r->devices[d].queue, r->buffers[slot], r->offsets[slot] + at, src, n, NULL, 0,
                               &done));
  return backend(r, d)->wait(done);
}

static wh_status get(wh_run *r, uint32_t slot, uint64_t at, void *dst, uint64_t n) {
  const uint16_t d = r->p->slots[slot].device;
  const char *direct = host_of(r, slot);
  wh_point done = {NULL, 0};
  if (!n) return WH_OK;
  if (direct) {
    memcpy(dst, direct + at, n);
    return WH_OK;
  }
  WH_TRY(backend(r, d)->download(r->devices[d].queue, dst, r->buffers[slot], r->offsets[slot] + at, n, NULL,
                                 0, &done));
  return backend(r, d)->wait(done);
}

/* ---- memory ---- */

static wh_status take(wh_run *r, uint16_t d, wh_memory_kind kind, uint64_t n_bytes, const char *what,
                      wh_buffer **out) {
  wh_status st = backend(r, d)->buffer_create(dev(r, d), kind, n_bytes, out);
  return st == WH_ERR_OUT_OF_MEMORY ? wh_fail_prefix("%s", what) : st;
}

/* Other bases or dims: what a queue derived from the frame of before is void. */
static void renew_frames(wh_run *r) {
  r->last_frame++;
  for (uint32_t i = 0; r->p->n_devices > 1 && i < r->p->n_slots; i++)
    r->devices[r->p->slots[i].device].buffers[i] = r->buffers[i];
  for (uint16_t d = 0; d < r->p->n_devices; d++)
    r->devices[d].frame = (wh_frame){.id = r->last_frame,
                                     .buffers = r->devices[d].buffers,
                                     .offsets = r->offsets,
                                     .n_bytes = r->layout->n_bytes,
                                     .dims = r->dims,
                                     .fault = r->p->devices[d].fault,
                                     .as_model = r->as_model};
}

/* In its place, which may move; ERR_UNSUPPORTED: another is to be taken. */
static wh_status grow_arena(wh_run *r, uint16_t d, uint64_t n_bytes) {
  const wh_status st = backend(r, d)->buffer_grow(dev(r, d), r->devices[d].arena, n_bytes);
  if (st == WH_OK) r->devices[d].arena_bytes = n_bytes;
  return st == WH_ERR_OUT_OF_MEMORY ? wh_fail_prefix("activations") : st;
}

static void end_loan(wh_run *r, run_port *port) {
  if (!port->lent) return;
  const uint16_t d = r->p->slots[port->slot].device;
  backend(r, d)->buffer_destroy(dev(r, d), port->lent);
  port->lent = NULL;
}

/* Where values lie, in the memory that the run has now. */
static void place_slots(wh_run *r) {
  for (size_t i = 0; i < r->p->n_inputs; i++) end_loan(r, &r->inputs[i]);
  for (uint32_t i = 0; i < r->p->n_slots; i++) {
    const wh_slot *s = &r->p->slots[i];
    if (s->kind == WH_SLOT_WEIGHT) continue;
    r->buffers[i] = s->kind == WH_SLOT_STATE ? r->devices[s->device].states : r->devices[s->device].arena;
    r->offsets[i] = r->layout->offsets[i];
  }
}

/* Memory for the arenas of `layout`, which becomes the run's; or, when there is none, all is as before. */
static wh_status use_layout(wh_run *r, wh_layout *layout) {
  wh_buffer *larger[WH_PLAN_MAX_DEVICES] = {NULL};
  uint64_t sizes[WH_PLAN_MAX_DEVICES] = {0};
  wh_status st = WH_OK;
  for (uint16_t d = 0; d < r->p->n_devices && st == WH_OK; d++) {
    const uint64_t need = layout->memory[d].arena.arena_bytes, have = r->devices[d].arena_bytes;
    sizes[d] = need;
    if (r->devices[d].arena && need <= have) continue;
    if (r->devices[d].arena && backend(r, d)->buffer_grow) {
      st = grow_arena(r, d, need);
      if (st != WH_ERR_UNSUPPORTED) continue;
    }
    if (r->devices[d].arena && need < have + have / 4) sizes[d] = have + have / 4; /* it may go on growing */
    st = take(r, d, WH_MEMORY_DEVICE, sizes[d], "activations", &larger[d]);
  }
  for (uint16_t d = 0; d < r->p->n_devices; d++) {
    if (!larger[d]) continue;
    backend(r, d)->buffer_destroy(dev(r, d), st == WH_OK ? r->devices[d].arena : larger[d]);
    if (st != WH_OK) continue;
    r->devices[d].arena = larger[d];
    r->devices[d].arena_bytes = sizes[d];
  }
  if (st != WH_OK) {
    if (r->layout) renew_frames(r); /* what has grown may lie elsewhere */
    return st;
  }
  wh_layout_release(r->layout);
  r->layout = layout;
  place_slots(r);
  return WH_OK;
}

uint64_t wh_run_arena_bytes(const wh_run *r) { return r->devices[0].arena_bytes; }

static void take_arenas(wh_run *r, wh_run *from) {
  for (uint16_t d = 0; d < r->p->n_devices; d++) {
    backend(r, d)->buffer_destroy(dev(r, d), r->devices[d].arena);
    r->devices[d].arena = from->devices[d].arena;
    r->devices[d].arena_bytes = from->devices[d].arena_bytes;
    from->devices[d].arena = NULL;
    from->devices[d].arena_bytes = 0;
  }
}

wh_status wh_run_take_over(wh_run *r, wh_run *from) {
  wh_layout *layout = r->layout;
  if (from) take_arenas(r, from);
  if (from) place_slots(r); /* also where there is no more memory: its own arena is gone */
  wh_layout_retain(layout);
  const wh_status st = use_layout(r, layout);
  if (st != WH_OK) wh_layout_release(layout);
  if (st == WH_OK) renew_frames(r);
  return st;
}

static wh_status grow(const wh_run *r, void **memory, uint64_t *have, uint64_t need) {
  if (*memory && need <= *have) return WH_OK;
  void *larger = wh_alloc_uninit(r->alloc, need, WH_ALIGN_SIMD);
  if (!larger) return WH_OOM("values on their way between host and device");
  wh_free(r->alloc, *memory);
  *memory = larger;
  *have = need;
  return WH_OK;
}

/* A port is direct when it is on one device, whose memory the host addresses. */
static wh_status open_port(wh_run *r, const wh_program_port *from, run_port *port) {
  const wh_shape *shape = &r->p->graph->values[from->value].shape;
  uint32_t n_places = 0;
  for (uint16_t d = 0; d < r->p->n_devices; d++)
    if (from->slots[d] != WH_NO_SLOT) {
      port->slot = from->slots[d];
      n_places++;
    }
  port->shape = *shape;
  wh_free(r->alloc, port->staging);
  port->staging = NULL;
  if (n_places == 1 && host_of(r, port->slot)) return WH_OK;
  const uint64_t n = r->layout->n_bytes[port->slot];
  port->staging = wh_alloc_uninit(r->alloc, n ? n : 1, WH_ALIGN_SIMD);
  return port->staging ? WH_OK : WH_OOM("inputs and outputs");
}

static wh_status open_ports(wh_run *r) {
  for (size_t i = 0; i < r->p->n_inputs; i++) WH_TRY(open_port(r, &r->p->inputs[i], &r->inputs[i]));
  for (size_t i = 0; i < r->p->n_outputs; i++) WH_TRY(open_port(r, &r->p->outputs[i], &r->outputs[i]));
  uint64_t most = 1;
  for (size_t i = 0; i < r->p->n_copies; i++)
    if (r->layout->n_bytes[r->p->copies[i].from] > most) most = r->layout->n_bytes[r->p->copies[i].from];
  return grow(r, &r->copy, &r->copy_bytes, most);
}

static void attach(wh_run *r) {
  for (uint16_t d = 0; d < r->p->n_devices; d++)
    if (r->p->devices[d].weights) wh_weight_set_attach(r->p->devices[d].weights, &r->devices[d].user);
}

static wh_status open_run(wh_run *r, const wh_run_options *o) {
  const wh_program *p = r->p;
  const int64_t *symbols = o->symbols;
  uint64_t total = 0;
  wh_layout *layout = NULL;
  r->symbols = wh_alloc_array(r->alloc, p->graph->dims.n_symbols + 1, sizeof *r->symbols);
  r->dims = wh_alloc_array(r->alloc, p->graph->dims.n + 1, sizeof *r->dims);
  r->buffers = wh_alloc_array(r->alloc, p->n_slots + 1, sizeof *r->buffers);
  r->offsets = wh_alloc_array(r->alloc, p->n_slots + 1, sizeof *r->offsets);
  r->as_model = wh_alloc_array(r->alloc, p->n_slots + 1, sizeof *r->as_model);
  r->inputs = wh_alloc_array(r->alloc, p->n_inputs + 1, sizeof *r->inputs);
  r->outputs = wh_alloc_array(r->alloc, p->n_outputs + 1, sizeof *r->outputs);
  r->done = wh_alloc_array(r->alloc, p->n_blocks + 1, sizeof *r->done);
  if (!r->symbols || !r->dims || !r->buffers || !r->offsets || !r->as_model || !r->inputs || !r->outputs ||
      !r->done)
    return WH_OOM("run");
  for (uint16_t d = 0; d < p->n_devices; d++) {
    r->devices[d].buffers =
        p->n_devices == 1 ? r->buffers : wh_alloc_array(r->alloc, p->n_slots + 1, sizeof *r->buffers);
    if (!r->devices[d].buffers) return WH_OOM("run");
  }
  attach(r);
  WH_TRY(wh_program_get_layout(r->p, symbols, &layout));
  for (uint16_t d = 0; d < p->n_devices; d++)
    total += layout->memory[d].arena.arena_bytes + layout->memory[d].state_bytes;
  wh_status st = wh_progress_report(&o->progress, WH_STAGE_MEMORY, 0, total);
  for (uint16_t d = 0; d < p->n_devices && st == WH_OK; d++) {
    st = backend(r, d)->queue_create(dev(r, d), &r->devices[d].queue);
    if (st == WH_OK && layout->memory[d].state_bytes)
      st = take(r, d, WH_MEMORY_POOL, layout->memory[d].state_bytes,
                "KV state (a smaller context needs less)", &r->devices[d].states);
  }
  if (st == WH_OK && o->arena_of) take_arenas(r, o->arena_of);
  if (st == WH_OK) st = use_layout(r, layout);
  if (st != WH_OK) {
    wh_layout_release(layout);
    return st;
  }
  WH_TRY(wh_progress_report(&o->progress, WH_STAGE_MEMORY, total, total));
  WH_TRY(wh_program_load(r->p, &o->progress));
  WH_TRY(open_ports(r));
  return wh_run_bind(r, symbols);
}

wh_status wh_run_create(wh_program *program, const wh_run_options *o, wh_run **out) {
  wh_run *r = wh_alloc_zeroed(o->alloc, sizeof *r);
  if (!r) return WH_OOM("run");
  r->alloc = o->alloc;
  r->p = program;
  wh_program_retain(program);
  wh_status st = open_run(r, o);
  if (st != WH_OK) {
    wh_run_destroy(r);
    return st;
  }
  *out = r;
  return WH_OK;
}

void wh_run_destroy(wh_run *r) {
  if (!r) return;
  for (uint16_t d = 0; d < r->p->n_devices; d++) /* what is under way may read another's memory */
    if (r->devices[d].queue) backend(r, d)->queue_destroy(r->devices[d].queue);
  for (uint16_t d = 0; d < r->p->n_devices; d++) {
    run_device *x = &r->devices[d];
    backend(r, d)->buffer_destroy(dev(r, d), x->arena);
    backend(r, d)->buffer_destroy(dev(r, d), x->states);
    if (r->p->devices[d].weights) wh_weight_set_detach(r->p->devices[d].weights, &x->user);
    if (r->p->n_devices > 1) wh_free(r->alloc, x->buffers);
  }
  for (size_t i = 0; r->inputs && i < r->p->n_inputs; i++) {
    end_loan(r, &r->inputs[i]);
    wh_free(r->alloc, r->inputs[i].staging);
  }
  for (size_t i = 0; r->outputs && i < r->p->n_outputs; i++) wh_free(r->alloc, r->outputs[i].staging);
  wh_layout_release(r->layout);
  wh_free(r->alloc, r->symbols);
  wh_free(r->alloc, r->dims);
  wh_free(r->alloc, r->buffers);
  wh_free(r->alloc, r->offsets);
  wh_free(r->alloc, r->as_model);
  wh_free(r->alloc, r->inputs);
  wh_free(r->alloc, r->outputs);
  wh_free(r->alloc, r->done);
  wh_free(r->alloc, r->copy);
  wh_free(r->alloc, r->traced);
  wh_program_release(r->p);
  wh_free(r->alloc, r);
}

wh_status wh_run_bind(wh_run *r, const int64_t *symbols) {
  const wh_graph *g = r->p->graph;
  const size_t n = g->dims.n_symbols * sizeof *symbols;
  if (r->last_frame && memcmp(r->symbols, symbols, n) == 0) return WH_OK;
  for (uint32_t i = 0; i < g->dims.n_symbols; i++)
    if (symbols[i] < 0 || symbols[i] > r->layout->symbols[i])
      return WH_FAIL(ERR_LIMIT, "dimension '%s' of graph '%s' cannot be %lld: at most %lld",
                     g->dims.symbols[i], g->name, (long long)symbols[i], (long long)r->layout->symbols[i]);
  memcpy(r->symbols, symbols, n);
  wh_dim_values(&g->dims, symbols, r->dims);
  renew_frames(r);
  return WH_OK;
}

wh_status wh_run_reshape(wh_run *r, const int64_t *symbols) {
  wh_layout *layout = NULL;
  WH_TRY(wh_program_get_layout(r->p, symbols, &layout));
  wh_status st = WH_OK;
  for (uint32_t i = 0; i < r->p->n_slots && st == WH_OK; i++)
    if (r->p->slots[i].kind == WH_SLOT_STATE && layout->n_bytes[i] != r->layout->n_bytes[i])
      st = WH_FAIL(ERR_INVALID_ARGUMENT, "state '%s' cannot change its size",
                   r->p->graph->values[r->p->slots[i].value].name);
  if (st == WH_OK) st = use_layout(r, layout);
  if (st != WH_OK) {
    wh_layout_release(layout);
    return st;
  }
  memcpy(r->symbols, symbols, r->p->graph->dims.n_symbols * sizeof *symbols);
  memcpy(r->dims, layout->dims, r->p->graph->dims.n * sizeof *r->dims);
  renew_frames(r); /* places have changed even where dims have not */
  return open_ports(r);
}

/* ---- ports ---- */

static wh_run_port view(const wh_run *r, const run_port *port) {
  wh_run_port v = {.data = port->staging ? port->staging : host_of(r, port->slot),
                   .dtype = port->shape.dtype,
                   .rank = port->shape.rank};
  for (int i = 0; i < v.rank; i++) v.dims[i] = r->dims[port->shape.dims[i]];
  return v;
}

wh_run_port wh_run_input(const wh_run *r, size_t i) { return view(r, &r->inputs[i]); }
wh_run_port wh_run_output(const wh_run *r, size_t i) { return view(r, &r->outputs[i]); }

bool wh_run_output_is_copied(const wh_run *r, size_t i) { return r->outputs[i].staging != NULL; }
void wh_run_hold_output(wh_run *r, size_t i) { r->outputs[i].held = true; }

wh_status wh_run_take_output(wh_run *r, size_t i, const wh_run *from, size_t k) {
  const uint32_t to_slot = r->inputs[i].slot, slot = from->outputs[k].slot;
  const uint16_t d = from->p->slots[slot].device;
  if (r->p->n_devices != 1 || dev(r, 0) != dev(from, d) ||
      r->layout->n_bytes[to_slot] > from->layout->n_bytes[slot])
    return WH_FAIL(ERR_INTERNAL, "an output that cannot be another run's input");
  end_loan(r, &r->inputs[i]);
  r->buffers[to_slot] = from->buffers[slot];
  r->offsets[to_slot] = from->offsets[slot];
  wh_free(r->alloc, r->inputs[i].staging);
  r->inputs[i].staging = NULL;
  renew_frames(r);
  return WH_OK;
}

/* Bytes of a plain value for the dims that are bound. */
static uint64_t live_bytes(const wh_run *r, const wh_shape *shape) {
  size_t n = 0;
  return wh_shape_bytes(r->p->graph, shape, r->symbols, &n) ? n : 0;
}

/* Whether what a slot holds is given out after an execution. */
static bool is_output(const wh_run *r, uint32_t slot) {
  bool found = false;
  for (size_t i = 0; i < r->p->n_outputs; i++) found = found || r->outputs[i].slot == slot;
  return found;
}

/* Reads input i from `data`; false: it is to be copied. No step writes an input, so lending one is safe. */
static bool borrow(wh_run *r, run_port *port, const void *data, uint64_t n_bytes) {
  const uint16_t d = r->p->slots[port->slot].device;
  wh_buffer *lent;
  if (port->staging || n_bytes < LEAST_LOAN || n_bytes != r->layout->n_bytes[port->slot] ||
      (uintptr_t)data % WH_ALIGN_SIMD != 0 || is_output(r, port->slot))
    return false;
  if (port->lent && port->from == data) return true;
  if (backend(r, d)->buffer_import(dev(r, d), data, n_bytes, &lent) != WH_OK) return false;
  end_loan(r, port);
  port->lent = lent;
  port->from = data;
  r->buffers[port->slot] = lent;
  r->offsets[port->slot] = 0;
  renew_frames(r);
  return true;
}

void wh_run_give_input(wh_run *r, size_t i, const void *data) {
  run_port *port = &r->inputs[i];
  const uint64_t n_bytes = live_bytes(r, &port->shape);
  if (borrow(r, port, data, n_bytes)) return;
  if (port->lent) {
    end_loan(r, port);
    r->buffers[port->slot] = r->devices[r->p->slots[port->slot].device].arena;
    r->offsets[port->slot] = r->layout->offsets[port->slot];
    renew_frames(r);
  }
  if (n_bytes) memcpy(view(r, port).data, data, n_bytes);
}

/* ---- execution ---- */

static wh_status send_inputs(wh_run *r) {
  static const wh_fault none = {0, WH_FAULT_NONE, 0};
  for (size_t i = 0; i < r->p->n_inputs; i++) {
    const run_port *port = &r->inputs[i];
    for (uint16_t d = 0; port->staging && d < r->p->n_devices; d++)
      if (r->p->inputs[i].slots[d] != WH_NO_SLOT)
        WH_TRY(put(r, r->p->inputs[i].slots[d], 0, port->staging, live_bytes(r, &port->shape)));
  }
  for (uint16_t d = 0; d < r->p->n_devices; d++)
    WH_TRY(put(r, r->p->devices[d].fault, 0, &none, sizeof none));
  return WH_OK;
}

wh_status wh_run_fetch_output(wh_run *r, size_t i) {
  const run_port *port = &r->outputs[i];
  return port->staging ? get(r, port->slot, 0, port->staging, live_bytes(r, &port->shape)) : WH_OK;
}

static wh_status fetch_outputs(wh_run *r) {
  for (size_t i = 0; i < r->p->n_outputs; i++)
    if (!r->outputs[i].held) WH_TRY(wh_run_fetch_output(r, i));
  return WH_OK;
}

/* A weight was read as the model has it, and is not finite. */
static wh_status bad_weight(const wh_run *r, const wh_node_info *node) {
  const char *name = "?";
  for (uint32_t i = 0; node && i < node->n_inputs; i++) {
    const wh_value_info *v = &r->p->graph->values[node->inputs[i]];
    if (v->kind == WH_VALUE_CONST && v->origin && v->shape.rank > 1) name = v->name;
  }
  return wh_weight_not_finite(name);
}

static wh_status check_faults(wh_run *r) {
  for (uint16_t d = 0; d < r->p->n_devices; d++) {
    wh_fault f;
    WH_TRY(get(r, r->p->devices[d].fault, 0, &f, sizeof f));
    if (!f.node_plus_1) continue;
    const wh_node_info *node =
        f.node_plus_1 <= r->p->graph->n_nodes ? &r->p->graph->nodes[f.node_plus_1 - 1] : NULL;
    if (f.code == WH_FAULT_WEIGHT) return bad_weight(r, node);
    return WH_FAIL(ERR_INVALID_ARGUMENT, "node '%s' (%s): index %lld is out of range",
                   node ? node->name : "?", node ? wh_op_get(node->op)->name : "?", (long long)f.value);
  }
  return WH_OK;
}

/* What the device does next may overwrite what others copy of it: how many points it is to wait for. */
static size_t take_readers(const wh_run *r, run_device *x, wh_point waits[WH_PLAN_MAX_DEVICES]) {
  size_t n_waits = 0;
  for (uint16_t d = 0; d < r->p->n_devices; d++)
    if (x->read_by[d].queue) {
      waits[n_waits++] = x->read_by[d];
      x->read_by[d] = (wh_point){NULL, 0};
    }
  return n_waits;
}

/* Steps [first, first + count) of a block. */
static wh_status submit(wh_run *r, const wh_program_block *b, size_t first, size_t count) {
  run_device *x = &r->devices[b->device];
  wh_point waits[WH_PLAN_MAX_DEVICES];
  const size_t n_waits = take_readers(r, x, waits);
  return backend(r, b->device)->submit(x->queue, b->code, first, count, &x->frame, waits, n_waits, &x->last);
}

/* The first error counts; whatever became of the work, nothing of it is under way any more. */
static wh_status finish(wh_run *r, wh_status st) {
  for (uint16_t d = 0; d < r->p->n_devices; d++) {
    const wh_error_record first = *wh_last_error();
    const wh_status own = r->devices[d].last.queue ? backend(r, d)->wait(r->devices[d].last) : WH_OK;
    if (st != WH_OK) wh_error_set(&first);
    if (st == WH_OK) st = own;
    memset(r->devices[d].read_by, 0, sizeof r->devices[d].read_by);
    r->devices[d].last = (wh_point){NULL, 0};
  }
  return st;
}

static wh_status trace_step(wh_run *r, const wh_program_block *b, size_t i) {
  const wh_step *s = &b->block.steps[i];
  const wh_graph *g = r->p->graph;
  for (unsigned o = 0; o < s->n_outputs; o++) {
    const wh_arg *a = &r->p->args[s->first_arg + s->n_inputs + o];
    const wh_shape *shape = &g->values[a->value].shape;
    size_t n = 0;
    if (!wh_value_row_major_bytes(g, a->value, r->dims, &n))
      return WH_FAIL(ERR_LIMIT, "'%s' is too large", g->values[a->value].name);
    WH_TRY(grow(r, &r->traced, &r->traced_bytes, n ? n : 1));
    WH_TRY(backend(r, b->device)
               ->read_value(dev(r, b->device), g, a->value, r->dims, r->buffers[a->slot], r->offsets[a->slot],
                            r->traced));
    wh_run_trace_event e = {.step = b->first_step + i,
                            .node = &g->nodes[s->node],
                            .value = a->value,
                            .port = {.data = r->traced, .dtype = shape->dtype, .rank = shape->rank},
                            .n_bytes = n};
    for (int k = 0; k < shape->rank; k++) e.port.dims[k] = r->dims[shape->dims[k]];
    if (r->trace(r->trace_ctx, &e)) return WH_FAIL(ERR_CANCELLED, "the trace callback ended the run");
  }
  return WH_OK;
}

/* The operands of a step are as it read them: what it made lies elsewhere, or where an operand lay already
 * (core/plan/parts.h). */
static wh_status extract_step(wh_run *r, const wh_program_block *b, size_t i) {
  const wh_step *s = &b->block.steps[i];
  for (unsigned k = 0; r->extract && k < (unsigned)s->n_inputs + s->n_outputs; k++) {
    const wh_arg *a = &r->p->args[s->first_arg + k];
    void *to = NULL;
    if (!a->value) continue;
    WH_TRY(wh_extract_place(r->extract, s->node, a->value, r->dims, &to));
    if (to)
      WH_TRY(backend(r, b->device)
                 ->read_value(dev(r, b->device), r->p->graph, a->value, r->dims, r->buffers[a->slot],
                              r->offsets[a->slot], to));
  }
  return WH_OK;
}

static bool are_peers(const wh_run *r, uint16_t a, uint16_t b) {
  return backend(r, a) == backend(r, b) && backend(r, a)->traits & WH_BACKEND_PEERS;
}

static wh_status copy_in(wh_run *r, const wh_program_copy *c) {
  const uint16_t from = r->p->slots[c->from].device, to = r->p->slots[c->to].device;
  const uint64_t n = live_bytes(r, &r->p->graph->values[c->value].shape);
  run_device *x = &r->devices[to];
  wh_point waits[WH_PLAN_MAX_DEVICES + 1] = {r->done[c->maker]};
  if (!n) return WH_OK;
  const size_t n_waits = 1 + take_readers(r, x, waits + 1);
  if (!are_peers(r, from, to)) {
    WH_TRY(backend(r, from)->wait(waits[0]));
    for (size_t i = 1; i < n_waits; i++) WH_TRY(backend(r, to)->wait(waits[i]));
    WH_TRY(get(r, c->from, 0, r->copy, n));
    return put(r, c->to, 0, r->copy, n);
  }
  WH_TRY(backend(r, to)->copy(x->queue, r->buffers[c->to], r->offsets[c->to], r->buffers[c->from],
                              r->offsets[c->from], n, waits, n_waits, &x->last));
  r->devices[from].read_by[to] = x->last;
  return WH_OK;
}

static wh_status run_block(wh_run *r, const wh_program_block *b) {
  for (size_t c = 0; c < b->n_copies; c++) WH_TRY(copy_in(r, &b->copies[c]));
  for (size_t i = 0; i < b->block.n_steps && (r->trace || r->extract); i++) {
    WH_TRY(submit(r, b, i, 1));
    WH_TRY(backend(r, b->device)->wait(r->devices[b->device].last));
    WH_TRY(extract_step(r, b, i));
    if (r->trace) WH_TRY(trace_step(r, b, i));
  }
  if (!r->trace && !r->extract) WH_TRY(submit(r, b, 0, b->block.n_steps));
  r->done[b - r->p->blocks] = r->devices[b->device].last;
  return WH_OK;
}

/* Weights that have moved or were packed since the last execution. */
static wh_status follow_weights(wh_run *r) {
  bool changed = false;
  for (uint16_t d = 0; d < r->p->n_devices; d++) {
    const wh_program_device *pd = &r->p->devices[d];
    const uint32_t first = pd->first_weight;
    wh_weight_places places = {&r->buffers[first], &r->offsets[first], &r->as_model[first], false};
    if (!pd->weights) continue;
    WH_TRY(wh_weight_set_begin(pd->weights, &r->devices[d].user, &places));
    changed = changed || places.changed;
  }
  if (changed) renew_frames(r);
  return WH_OK;
}

wh_status wh_run_execute(wh_run *r) {
  WH_TRY(follow_weights(r));
  if (r->extract) WH_TRY(wh_extract_begin(r->extract, r->p));
  WH_TRY(send_inputs(r));
  wh_status st = WH_OK;
  for (size_t k = 0; k < r->p->n_blocks && st == WH_OK; k++) st = run_block(r, &r->p->blocks[k]);
  WH_TRY(finish(r, st));
  WH_TRY(check_faults(r));
  if (r->extract) WH_TRY(wh_extract_end(r->extract, r->dims));
  return fetch_outputs(r);
}

/* ---- rows of states ---- */

/* A slot's bytes per row; 0: it is no state. */
static uint64_t state_row(const wh_run *r, uint32_t slot) {
  const wh_slot *s = &r->p->slots[slot];
  if (s->kind != WH_SLOT_STATE) return 0;
  const int64_t n_rows = r->dims[r->p->graph->values[s->value].shape.dims[0]];
  return n_rows > 0 ? r->layout->n_bytes[slot] / (uint64_t)n_rows : 0;
}

uint64_t wh_run_state_row_bytes(const wh_run *r) {
  uint64_t n = 0;
  for (uint32_t i = 0; i < r->p->n_slots; i++) n += state_row(r, i);
  return n;
}

wh_status wh_run_copy_state_row(wh_run *r, int64_t from, int64_t to) {
  for (uint32_t i = 0; i < r->p->n_slots; i++) {
    const uint64_t n = state_row(r, i);
    const uint16_t d = r->p->slots[i].device;
    wh_point done = {NULL, 0};
    if (!n) continue;
    WH_TRY(backend(r, d)->copy(r->devices[d].queue, r->buffers[i], r->offsets[i] + (uint64_t)to * n,
                               r->buffers[i], r->offsets[i] + (uint64_t)from * n, n, NULL, 0, &done));
    WH_TRY(backend(r, d)->wait(done));
  }
  return WH_OK;
}

wh_status wh_run_read_state_row(wh_run *r, int64_t row, void *dst) {
  char *at = dst;
  for (uint32_t i = 0; i < r->p->n_slots; i++) {
    const uint64_t n = state_row(r, i);
    WH_TRY(get(r, i, (uint64_t)row * n, at, n));
    at += n;
  }
  return WH_OK;
}

wh_status wh_run_write_state_row(wh_run *r, int64_t row, const void *src) {
  const char *at = src;
  for (uint32_t i = 0; i < r->p->n_slots; i++) {
    const uint64_t n = state_row(r, i);
    WH_TRY(put(r, i, (uint64_t)row * n, at, n));
    at += n;
  }
  return WH_OK;
}

void wh_run_set_trace(wh_run *r, wh_run_trace_fn fn, void *ctx) {
  r->trace = fn;
  r->trace_ctx = ctx;
}

void wh_run_set_extract(wh_run *r, wh_extract *extract) { r->extract = extract; }

wh_program *wh_run_program(const wh_run *r) { return r->p; }
const wh_layout *wh_run_layout(const wh_run *r) { return r->layout; }
