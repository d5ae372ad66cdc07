/* block_fixture.h - a graph as one block on one device: what core's planner would make of it, in its simplest
 * form. Every value has a slot of its own and nothing is reused, so all values can be looked at afterwards.
 */
#ifndef WH_TESTS_BLOCK_FIXTURE_H
#define WH_TESTS_BLOCK_FIXTURE_H

#include "core/backend_abi.h"
#include "tests/ir/graph_fixture.h"

#define FIXTURE_ALIGN 64u
#define FIXTURE_MAX_SYMBOLS 4

/* What of it does not depend on a run. Slots: one per value, then one per node for scratch, then the fault.
 */
typedef struct fixture_block {
  const wh_backend *backend;
  void *dev;
  wh_graph *g;
  wh_step *steps;
  wh_arg *args;
  size_t n_steps;
  uint32_t *root;   /* per value: the slot that holds it */
  uint32_t *layout; /* per constant: what core chooses */
  wh_buffer **weights;
  uint64_t *weight_bytes;
  uint32_t fault, n_slots;
  wh_code *code;
} fixture_block;

/* A run: memory, and where everything is in it. */
typedef struct fixture_run {
  const fixture_block *b;
  wh_queue *queue;
  wh_buffer *arena;
  wh_buffer **buffers;
  uint64_t *offsets, *n_bytes;
  int64_t *dims;
  wh_frame frame;
} fixture_run;

static inline int64_t *fixture_dims(const wh_graph *g, const int64_t *symbols) {
  int64_t *dims = calloc(g->dims.n + 1, sizeof *dims);
  assert_non_null(dims);
  for (wh_dim d = 0; d < g->dims.n; d++) dims[d] = wh_dim_eval(&g->dims, d, symbols);
  return dims;
}

/* The layout of a constant: the first of its first user's that all users list. */
static inline void fixture_choose_layout(fixture_block *b, const wh_claim *claims, wh_value v) {
  const wh_weight_layout *mine[16];
  uint32_t counts[16], n_users = 0;
  for (size_t n = 0; n < b->g->n_nodes; n++)
    for (unsigned i = 0; i < b->g->nodes[n].n_inputs; i++) {
      if (b->g->nodes[n].inputs[i] != v) continue;
      uint32_t count = 0, first = 0;
      for (uint32_t l = 0; l < claims[n].n_layouts; l++)
        if (claims[n].layouts[l].input == i && count++ == 0) first = l;
      if (!count) continue;
      assert_true(n_users < 16);
      mine[n_users] = &claims[n].layouts[first];
      counts[n_users++] = count;
    }
  for (uint32_t l = 0; n_users && l < counts[0]; l++) {
    uint32_t in_common = 0;
    for (uint32_t u = 0; u < n_users; u++)
      for (uint32_t k = 0; k < counts[u]; k++) in_common += mine[u][k].id == mine[0][l].id;
    if (in_common < n_users) continue;
    b->layout[v] = mine[0][l].id;
    return;
  }
  assert_int_equal(n_users, 0);
}

/* Packs, or takes as it is. */
static inline void fixture_place_weight(fixture_block *b, const wh_claim *claims, wh_value v) {
  const wh_value_info *info = &b->g->values[v];
  if (!b->layout[v]) {
    assert_ok(b->backend->buffer_import(b->dev, info->data, info->n_bytes, &b->weights[v]));
    b->weight_bytes[v] = info->n_bytes;
    return;
  }
  for (size_t n = 0; n < b->g->n_nodes; n++)
    for (uint32_t l = 0; l < claims[n].n_layouts; l++) {
      const wh_weight_layout *w = &claims[n].layouts[l];
      if (b->g->nodes[n].inputs[w->input] != v || w->id != b->layout[v]) continue;
      wh_pack_task task = {.node = (wh_node)n, .weight = v, .layout = w->id, .n_parts = 1};
      assert_ok(b->backend->buffer_create(b->dev, WH_MEMORY_POOL, w->n_bytes, &b->weights[v]));
      b->weight_bytes[v] = w->n_bytes;
      task.dst = b->backend->buffer_host(b->dev, b->weights[v]);
      assert_ok(b->backend->pack(b->dev, b->g, &task, 1));
      assert_true(task.finite);
      return;
    }
  fail_msg("nobody lists layout %u of '%s'", b->layout[v], info->name);
}

static inline uint32_t fixture_scratch_slot(const fixture_block *b, wh_node n) {
  return (uint32_t)b->g->n_values + n;
}

static inline fixture_block fixture_block_new(const wh_backend *backend, void *dev, wh_graph *g,
                                              const int64_t *most) {
  fixture_block b = {.backend = backend, .dev = dev, .g = g};
  int64_t *dims = fixture_dims(g, most);
  wh_claim *claims = calloc(g->n_nodes + 1, sizeof *claims);
  uint32_t *phase = calloc(g->n_values, sizeof *phase); /* of who makes a value, plus one */
  size_t n_args = 0;
  b.steps = calloc(g->n_nodes + 1, sizeof *b.steps);
  b.args = calloc(g->n_nodes * 8 + 1, sizeof *b.args);
  b.root = calloc(g->n_values, sizeof *b.root);
  b.layout = calloc(g->n_values, sizeof *b.layout);
  b.weights = calloc(g->n_values, sizeof *b.weights);
  b.weight_bytes = calloc(g->n_values, sizeof *b.weight_bytes);
  assert_true(claims && phase && b.steps && b.args && b.root && b.layout && b.weights && b.weight_bytes);
  b.fault = fixture_scratch_slot(&b, (wh_node)g->n_nodes);
  b.n_slots = b.fault + 1;
  for (size_t n = 0; n < g->n_nodes; n++) {
    claims[n].struct_size = sizeof claims[n];
    assert_ok(backend->claim(dev, g, (wh_node)n, dims, &claims[n]));
    if (!claims[n].supported) fail_msg("%s: %s", g->nodes[n].name, claims[n].reason);
  }
  for (wh_value v = 1; v < g->n_values; v++) {
    b.root[v] = v;
    if (g->values[v].kind != WH_VALUE_CONST) continue;
    fixture_choose_layout(&b, claims, v);
    fixture_place_weight(&b, claims, v);
  }
  uint32_t last = 0;
  for (size_t n = 0; n < g->n_nodes; n++) {
    const wh_node_info *node = &g->nodes[n];
    const wh_value out = wh_node_output(node, 0);
    uint32_t at = 0;
    for (unsigned i = 0; i < node->n_inputs; i++)
      if (phase[node->inputs[i]] > at) at = phase[node->inputs[i]];
    if (wh_op_has(node->op, WH_TRAIT_VIEW | WH_TRAIT_WRITES)) b.root[out] = b.root[node->inputs[0]];
    if (wh_op_has(node->op, WH_TRAIT_VIEW)) {
      phase[out] = at;
      continue;
    }
    if (at < last) at = last; /* phases ascend: what is ready earlier waits */
    phase[out] = (last = at) + 1;
    b.steps[b.n_steps++] =
        (wh_step){.node = (wh_node)n,
                  .first_arg = (uint32_t)n_args,
                  .n_inputs = node->n_inputs,
                  .n_outputs = 1,
                  .scratch = claims[n].scratch_bytes ? fixture_scratch_slot(&b, (wh_node)n) : WH_NO_SLOT,
                  .phase = at};
    for (unsigned i = 0; i < node->n_inputs; i++) {
      const wh_value v = node->inputs[i];
      b.args[n_args++] = (wh_arg){v, v ? b.root[v] : WH_NO_SLOT, b.layout[v]};
    }
    b.args[n_args++] = (wh_arg){out, b.root[out], 0};
  }
  const wh_block block = {g, b.steps, b.n_steps, b.args, b.n_slots};
  assert_ok(backend->compile(dev, &block, &b.code));
  free(dims);
  free(claims);
  free(phase);
  return b;
}

static inline void fixture_block_free(fixture_block *b) {
  b->backend->code_destroy(b->dev, b->code);
  for (wh_value v = 1; v < b->g->n_values; v++) b->backend->buffer_destroy(b->dev, b->weights[v]);
  free(b->steps);
  free(b->args);
  free(b->root);
  free(b->layout);
  free(b->weights);
  free(b->weight_bytes);
}

static inline void fixture_place(fixture_run *r, uint32_t s, uint64_t *at) {
  const fixture_block *b = r->b;
  uint64_t n = 0;
  r->buffers[s] = r->arena;
  r->offsets[s] = *at;
  if (s == b->fault) {
    n = sizeof(wh_fault);
  } else if (s >= b->g->n_values) {
    wh_claim c = {.struct_size = sizeof c};
    assert_ok(b->backend->claim(b->dev, b->g, s - (uint32_t)b->g->n_values, r->dims, &c));
    n = c.scratch_bytes;
  } else if (b->weights[s]) {
    r->buffers[s] = b->weights[s];
    r->offsets[s] = 0;
    n = b->weight_bytes[s];
  } else if (b->root[s] == s) {
    assert_ok(b->backend->value_bytes(b->dev, b->g, s, r->dims, &n));
  }
  r->n_bytes[s] = n;
  if (r->buffers[s] == r->arena) *at += (n + FIXTURE_ALIGN - 1) / FIXTURE_ALIGN * FIXTURE_ALIGN;
}

/* Where a run has its slots for these symbols; memory is for the largest. */
static inline uint64_t fixture_lay_out(fixture_run *r, const int64_t *symbols) {
  const fixture_block *b = r->b;
  static _Atomic uint64_t last_id;
  uint64_t at = 0;
  free(r->dims);
  r->dims = fixture_dims(b->g, symbols);
  for (int lasting = 1; lasting >= 0;
       lasting--) /* states and the fault first, so that they keep their places */
    for (uint32_t s = 1; s < b->n_slots; s++) {
      const bool state = s < b->g->n_values && b->g->values[s].kind == WH_VALUE_STATE;
      if (lasting == (state || s == b->fault)) fixture_place(r, s, &at);
    }
  r->frame = (wh_frame){++last_id, r->buffers, r->offsets, r->n_bytes, r->dims, b->fault, NULL};
  return at;
}

static inline fixture_run fixture_run_new(const fixture_block *b, const int64_t *most) {
  fixture_run r = {.b = b};
  r.buffers = calloc(b->n_slots, sizeof *r.buffers);
  r.offsets = calloc(b->n_slots, sizeof *r.offsets);
  r.n_bytes = calloc(b->n_slots, sizeof *r.n_bytes);
  assert_true(r.buffers && r.offsets && r.n_bytes);
  assert_ok(b->backend->queue_create(b->dev, &r.queue));
  assert_ok(b->backend->buffer_create(b->dev, WH_MEMORY_DEVICE, fixture_lay_out(&r, most), &r.arena));
  (void)fixture_lay_out(&r, most);
  return r;
}

static inline void fixture_run_free(fixture_run *r) {
  r->b->backend->queue_destroy(r->queue);
  r->b->backend->buffer_destroy(r->b->dev, r->arena);
  free(r->buffers);
  free(r->offsets);
  free(r->n_bytes);
  free(r->dims);
}

/* By a value's name. */
static inline wh_value fixture_value(const wh_graph *g, const char *name) {
  for (wh_value v = 1; v < g->n_values; v++)
    if (strcmp(g->values[v].name, name) == 0) return v;
  fail_msg("no value '%s'", name);
  return 0;
}

static inline void fixture_write(fixture_run *r, const char *name, const void *data, size_t n_bytes) {
  const uint32_t s = r->b->root[fixture_value(r->b->g, name)];
  wh_point done;
  assert_int_equal(n_bytes, r->n_bytes[s]);
  assert_ok(r->b->backend->upload(r->queue, r->buffers[s], r->offsets[s], data, n_bytes, NULL, 0, &done));
  assert_ok(r->b->backend->wait(done));
}

/* Everything at once. */
static inline void fixture_submit(fixture_run *r) {
  wh_point done;
  assert_ok(r->b->backend->submit(r->queue, r->b->code, 0, r->b->n_steps, &r->frame, NULL, 0, &done));
  assert_ok(r->b->backend->wait(done));
}

/* Row-major bytes; free with free(). */
static inline unsigned char *fixture_read(const fixture_run *r, wh_value v, size_t *n_bytes) {
  const uint32_t s = r->b->root[v];
  assert_true(wh_value_row_major_bytes(r->b->g, v, r->dims, n_bytes));
  unsigned char *data = malloc(*n_bytes + 1);
  assert_non_null(data);
  assert_ok(r->b->backend->read_value(r->b->dev, r->b->g, v, r->dims, r->buffers[s], r->offsets[s], data));
  return data;
}

static inline wh_fault fixture_take_fault(fixture_run *r) {
  static const wh_fault none = {0};
  wh_fault f;
  wh_point done;
  const uint32_t s = r->b->fault;
  assert_ok(r->b->backend->download(r->queue, &f, r->buffers[s], r->offsets[s], sizeof f, NULL, 0, &done));
  assert_ok(
      r->b->backend->upload(r->queue, r->buffers[s], r->offsets[s], &none, sizeof none, &done, 1, &done));
  assert_ok(r->b->backend->wait(done));
  return f;
}

#endif
