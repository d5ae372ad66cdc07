/* executor.c - see executor.h. */
#include "tests/backend/executor.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN 64
#define GAP 64 /* behind every slot of the arena */
#define FILL 0xa5

struct executor {
  const suite_target *t;
  const wh_graph *g;
  uint32_t n_layouts;
  uint32_t *slot_of;   /* by value */
  uint32_t *layout_of; /* by value, of constants */
  uint64_t *layout_bytes;
  uint64_t *claimed; /* scratch, by node */
  wh_step *steps;
  wh_arg *args;
  size_t n_steps;
  wh_block block;
  wh_code *code;
  wh_queue *queue;
  wh_buffer *arena;
  uint64_t arena_bytes;
  wh_buffer **own;     /* by slot: buffers of constants and states */
  wh_buffer **buffers; /* by slot */
  uint64_t *offsets, *n_bytes, *room;
  int64_t *dims;
  wh_frame frame;
};

static void *zeroed(size_t n, size_t size) {
  void *p = calloc(n + 1, size);
  if (!p) abort();
  return p;
}

/* Views and state writers hold their first input's bytes. */
static wh_value root_of(const wh_graph *g, wh_value v) {
  while (g->values[v].kind == WH_VALUE_NODE) {
    const wh_node_info *n = &g->nodes[g->values[v].producer];
    if (!wh_op_has(n->op, WH_TRAIT_VIEW | WH_TRAIT_WRITES)) break;
    v = n->inputs[0];
  }
  return v;
}

/* ---- claims, layouts, steps ---- */

/* The forms of a constant that all its users can read. */
typedef struct common {
  bool used;
  uint32_t n;
  wh_weight_layout layouts[WH_CLAIM_MAX_LAYOUTS];
} common;

static void keep_common(common *all, const wh_claim *c, uint32_t input) {
  common mine = {.used = true};
  for (uint32_t k = 0; k < c->n_layouts; k++)
    if (c->layouts[k].input == input) mine.layouts[mine.n++] = c->layouts[k];
  if (!all->used) *all = mine;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < all->n; i++)
    for (uint32_t k = 0; k < mine.n; k++)
      if (mine.layouts[k].id == all->layouts[i].id) {
        all->layouts[kept++] = all->layouts[i];
        break;
      }
  all->n = kept;
}

static wh_status claim_nodes(executor *x, const int64_t *dims, common *of) {
  const wh_graph *g = x->g;
  for (wh_node n = 0; n < g->n_nodes; n++) {
    wh_claim c = {.struct_size = sizeof c};
    WH_TRY(x->t->backend->claim(x->t->dev, g, n, dims, &c));
    if (!c.supported) return WH_FAIL(ERR_UNSUPPORTED, "node '%s': %s", g->nodes[n].name, c.reason);
    x->claimed[n] = c.scratch_bytes;
    for (unsigned i = 0; i < g->nodes[n].n_inputs; i++) keep_common(&of[g->nodes[n].inputs[i]], &c, i);
  }
  return WH_OK;
}

static wh_status claim_all(executor *x, const int64_t *dims, const executor_options *o) {
  common *of = zeroed(x->g->n_values, sizeof *of);
  wh_status st = claim_nodes(x, dims, of);
  for (wh_value v = 1; v < x->g->n_values && st == WH_OK; v++) {
    if (!of[v].n) continue;
    const wh_weight_layout *l = &of[v].layouts[o->layout < of[v].n ? o->layout : of[v].n - 1];
    x->layout_of[v] = l->id;
    x->layout_bytes[v] = l->n_bytes;
    if (of[v].n > x->n_layouts) x->n_layouts = of[v].n;
  }
  free(of);
  return st;
}

/* Whether the node takes what a step of that phase, the last one so far, gives, itself or through views. */
static bool uses_phase(const executor *x, const wh_node_info *node, uint32_t phase) {
  const wh_graph *g = x->g;
  for (size_t i = x->n_steps; i-- > 0 && x->steps[i].phase == phase;) {
    const wh_node_info *other = &g->nodes[x->steps[i].node];
    for (unsigned k = 0; k < node->n_inputs; k++)
      for (unsigned o = 0; o < other->n_outputs; o++)
        if (node->inputs[k] && x->slot_of[node->inputs[k]] == x->slot_of[other->outputs[o]]) return true;
  }
  return false;
}

static void list_steps(executor *x) {
  const wh_graph *g = x->g;
  size_t n_args = 0;
  uint32_t phase = 0;
  for (wh_node n = 0; n < g->n_nodes; n++) {
    const wh_node_info *node = &g->nodes[n];
    if (node->dead || wh_op_has(node->op, WH_TRAIT_VIEW)) continue;
    wh_step *s = &x->steps[x->n_steps];
    if (uses_phase(x, node, phase)) phase++;
    *s = (wh_step){.node = n,
                   .first_arg = (uint32_t)n_args,
                   .n_inputs = node->n_inputs,
                   .n_outputs = (uint16_t)node->n_outputs,
                   .scratch = x->claimed[n] ? (uint32_t)(g->n_values + n) : WH_NO_SLOT,
                   .phase = phase};
    for (unsigned i = 0; i < node->n_inputs + node->n_outputs; i++) {
      const wh_value v = i < node->n_inputs ? node->inputs[i] : node->outputs[i - node->n_inputs];
      x->args[n_args++] = (wh_arg){v, v ? x->slot_of[v] : WH_NO_SLOT, v ? x->layout_of[v] : 0};
    }
    x->n_steps++;
  }
}

/* ---- memory ---- */

static wh_status slot_bytes(const executor *x, uint32_t slot, const int64_t *dims, uint64_t *out) {
  *out = 0;
  if (slot >= x->g->n_values) {
    const wh_node n = (wh_node)(slot - x->g->n_values);
    if (n == x->g->n_nodes) {
      *out = sizeof(wh_fault);
      return WH_OK;
    }
    wh_claim c = {.struct_size = sizeof c};
    WH_TRY(x->t->backend->claim(x->t->dev, x->g, n, dims, &c));
    *out = c.scratch_bytes;
    return WH_OK;
  }
  if (slot == 0 || root_of(x->g, slot) != slot) return WH_OK;
  if (x->layout_of[slot]) {
    *out = x->layout_bytes[slot];
    return WH_OK;
  }
  return x->t->backend->value_bytes(x->t->dev, x->g, slot, dims, out);
}

static wh_status upload(executor *x, wh_buffer *b, uint64_t at, const void *src, uint64_t n) {
  wh_point done = {0};
  WH_TRY(x->t->backend->upload(x->queue, b, at, src, n, NULL, 0, &done));
  return x->t->backend->wait(done);
}

static wh_status own_buffer(executor *x, uint32_t slot) {
  const wh_value_info *v = &x->g->values[slot];
  const bool state = v->kind == WH_VALUE_STATE;
  const wh_backend *b = x->t->backend;
  if (!state && x->layout_of[slot] == 0 && v->n_bytes) { /* read in place where that can be */
    wh_status st = b->buffer_import(x->t->dev, v->data, v->n_bytes, &x->own[slot]);
    if (st != WH_ERR_UNSUPPORTED) return st;
  }
  WH_TRY(
      b->buffer_create(x->t->dev, state ? WH_MEMORY_POOL : WH_MEMORY_DEVICE, x->room[slot], &x->own[slot]));
  if (state || x->layout_of[slot] || !v->n_bytes) return WH_OK;
  return upload(x, x->own[slot], 0, v->data, v->n_bytes);
}

static wh_status place_all(executor *x, const int64_t *dims) {
  const uint32_t n_slots = x->block.n_slots;
  for (uint32_t s = 1; s < n_slots; s++) {
    WH_TRY(slot_bytes(x, s, dims, &x->room[s]));
    if (s < x->g->n_values && root_of(x->g, s) != s) continue;
    const wh_value_kind kind = s < x->g->n_values ? x->g->values[s].kind : WH_VALUE_NODE;
    if (kind == WH_VALUE_CONST || kind == WH_VALUE_STATE) {
      WH_TRY(own_buffer(x, s));
      x->buffers[s] = x->own[s];
      continue;
    }
    x->offsets[s] = x->arena_bytes;
    x->arena_bytes += (x->room[s] + ALIGN - 1) / ALIGN * ALIGN + GAP;
  }
  WH_TRY(x->t->backend->buffer_create(x->t->dev, WH_MEMORY_DEVICE, x->arena_bytes, &x->arena));
  for (uint32_t s = 1; s < n_slots; s++)
    if (!x->buffers[s] && (s >= x->g->n_values || root_of(x->g, s) == s)) x->buffers[s] = x->arena;
  void *fill = zeroed(x->arena_bytes, 1);
  memset(fill, FILL, x->arena_bytes);
  wh_status st = upload(x, x->arena, 0, fill, x->arena_bytes);
  free(fill);
  return st;
}

/* Twice, into memory that held different bytes: packing is a function of the weight alone. */
static wh_status pack_weight(executor *x, const wh_step *step, const wh_arg *arg) {
  const size_t n = (size_t)x->layout_bytes[arg->value];
  char *dst[2];
  wh_status st = WH_OK;
  for (int i = 0; i < 2; i++) {
    dst[i] = aligned_alloc(ALIGN, (n + ALIGN - 1) / ALIGN * ALIGN + ALIGN);
    if (!dst[i]) abort();
    memset(dst[i], i ? 0xff : 0, n);
    wh_pack_task task = {step->node, arg->value, arg->layout, dst[i], true, 0, 1};
    if (st == WH_OK) st = x->t->backend->pack(x->t->dev, x->g, &task, 1);
    if (st == WH_OK && !task.finite) st = WH_FAIL(ERR_CORRUPT, "a finite weight is said not to be");
  }
  if (st == WH_OK && memcmp(dst[0], dst[1], n) != 0)
    st = WH_FAIL(ERR_INTERNAL, "'%s' packs to other bytes a second time", x->g->values[arg->value].name);
  if (st == WH_OK) st = upload(x, x->own[arg->slot], 0, dst[0], n);
  free(dst[0]);
  free(dst[1]);
  return st;
}

static wh_status pack_all(executor *x) {
  for (size_t i = 0; i < x->n_steps; i++)
    for (unsigned k = 0; k < x->steps[i].n_inputs; k++) {
      const wh_arg *arg = &x->args[x->steps[i].first_arg + k];
      if (arg->value && arg->layout) WH_TRY(pack_weight(x, &x->steps[i], arg));
    }
  return WH_OK;
}

/* ---- all ---- */

static wh_status create(executor *x, const int64_t *dims, const executor_options *o) {
  WH_TRY(claim_all(x, dims, o));
  for (wh_value v = 1; v < x->g->n_values; v++) x->slot_of[v] = root_of(x->g, v);
  list_steps(x);
  x->block = (wh_block){x->g, x->steps, x->n_steps, x->args, (uint32_t)(x->g->n_values + x->g->n_nodes + 1)};
  WH_TRY(x->t->backend->queue_create(x->t->dev, &x->queue));
  WH_TRY(place_all(x, dims));
  WH_TRY(pack_all(x));
  WH_TRY(x->t->backend->compile(x->t->dev, &x->block, &x->code));
  return executor_bind(x, dims);
}

wh_status executor_create(const suite_target *t, const wh_graph *g, const int64_t *dims,
                          const executor_options *options, executor **out) {
  static const executor_options first = {0};
  executor *x = zeroed(1, sizeof *x);
  const size_t n_slots = g->n_values + g->n_nodes + 1;
  *x = (executor){.t = t, .g = g};
  x->slot_of = zeroed(g->n_values, sizeof *x->slot_of);
  x->layout_of = zeroed(g->n_values, sizeof *x->layout_of);
  x->layout_bytes = zeroed(g->n_values, sizeof *x->layout_bytes);
  x->claimed = zeroed(g->n_nodes, sizeof *x->claimed);
  x->steps = zeroed(g->n_nodes, sizeof *x->steps);
  size_t n_args = 0;
  for (wh_node n = 0; n < g->n_nodes; n++) n_args += g->nodes[n].n_inputs + g->nodes[n].n_outputs;
  x->args = zeroed(n_args, sizeof *x->args);
  x->own = zeroed(n_slots, sizeof *x->own);
  x->buffers = zeroed(n_slots, sizeof *x->buffers);
  x->offsets = zeroed(n_slots, sizeof *x->offsets);
  x->n_bytes = zeroed(n_slots, sizeof *x->n_bytes);
  x->room = zeroed(n_slots, sizeof *x->room);
  x->dims = zeroed(g->dims.n, sizeof *x->dims);
  wh_status st = create(x, dims, options ? options : &first);
  if (st != WH_OK) {
    executor_destroy(x);
    return st;
  }
  *out = x;
  return WH_OK;
}

void executor_destroy(executor *x) {
  if (!x) return;
  const wh_backend *b = x->t->backend;
  b->queue_destroy(x->queue);
  b->code_destroy(x->t->dev, x->code);
  for (size_t s = 0; s < x->g->n_values + x->g->n_nodes + 1; s++) b->buffer_destroy(x->t->dev, x->own[s]);
  b->buffer_destroy(x->t->dev, x->arena);
  void *all[] = {x->slot_of, x->layout_of, x->layout_bytes, x->claimed, x->steps, x->args,
                 x->own,     x->buffers,   x->offsets,      x->n_bytes, x->room,  x->dims};
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) free(all[i]);
  free(x);
}

uint32_t executor_n_layouts(const executor *x) { return x->n_layouts; }
size_t executor_n_steps(const executor *x) { return x->n_steps; }
wh_queue *executor_queue(executor *x) { return x->queue; }
wh_code *executor_code(executor *x) { return x->code; }
wh_frame *executor_frame(executor *x) { return &x->frame; }

wh_status executor_bind(executor *x, const int64_t *dims) {
  memcpy(x->dims, dims, x->g->dims.n * sizeof *dims);
  for (uint32_t s = 1; s < x->block.n_slots; s++)
    if (x->buffers[s]) WH_TRY(slot_bytes(x, s, x->dims, &x->n_bytes[s]));
  x->frame = (wh_frame){.id = x->frame.id + 1,
                        .buffers = x->buffers,
                        .offsets = x->offsets,
                        .n_bytes = x->n_bytes,
                        .dims = x->dims,
                        .fault = x->block.n_slots - 1};
  const wh_fault none = {0};
  return upload(x, x->arena, x->offsets[x->frame.fault], &none, sizeof none);
}

void executor_overlay(executor *x, wh_value v, wh_value on) {
  const uint32_t slot = x->slot_of[v], other = x->slot_of[on];
  if (x->room[slot] > x->room[other] || x->buffers[slot] != x->buffers[other]) abort();
  x->offsets[slot] = x->offsets[other];
}

wh_status executor_write(executor *x, wh_value v, const void *row_major, size_t n_bytes) {
  return upload(x, x->buffers[v], x->offsets[v], row_major, n_bytes);
}

wh_status executor_run(executor *x, size_t first, size_t count) {
  wh_point done = {0};
  WH_TRY(x->t->backend->submit(x->queue, x->code, first, count, &x->frame, NULL, 0, &done));
  return x->t->backend->wait(done);
}

wh_status executor_read(executor *x, wh_value v, void *row_major) {
  const uint32_t s = x->slot_of[v];
  return x->t->backend->read_value(x->t->dev, x->g, v, x->dims, x->buffers[s], x->offsets[s], row_major);
}

static wh_status download(executor *x, void *dst, wh_buffer *b, uint64_t at, uint64_t n) {
  wh_point done = {0};
  WH_TRY(x->t->backend->download(x->queue, dst, b, at, n, NULL, 0, &done));
  return x->t->backend->wait(done);
}

wh_status executor_fault(executor *x, wh_fault *out) {
  return download(x, out, x->arena, x->offsets[x->frame.fault], sizeof *out);
}

wh_status executor_check_gaps(executor *x, bool *intact) {
  unsigned char *all = zeroed(x->arena_bytes, 1);
  wh_status st = download(x, all, x->arena, 0, x->arena_bytes);
  *intact = true;
  for (uint32_t s = 1; s < x->block.n_slots && st == WH_OK; s++) {
    if (x->buffers[s] != x->arena) continue;
    const uint64_t end = x->offsets[s] + (x->room[s] + ALIGN - 1) / ALIGN * ALIGN + GAP;
    for (uint64_t i = x->offsets[s] + x->n_bytes[s]; i < end; i++) *intact &= all[i] == FILL;
  }
  free(all);
  return st;
}
