/* program.c - from a graph to blocks of steps: placement, schedule, layouts of weights, slots, code. */
#include "core/plan/program.h"

#include <string.h>

#include "core/plan/parts.h"
#include "core/plan/schedule.h"

/* The layouts in which every user of a constant on one device can read it, best first. */
typedef struct weight_choice {
  bool is_used, is_open; /* open: some layout suits all users so far */
  uint32_t n;
  wh_weight_layout list[WH_CLAIM_MAX_LAYOUTS]; /* `input` is not used */
} weight_choice;

/* Everything that only lives while a program is built. */
typedef struct build {
  wh_program *p;
  const wh_program_options *o;
  wh_schedule schedule;
  wh_claim *claims;       /* by node */
  wh_value *roots;        /* by value: the one whose memory it shares, itself if none */
  weight_choice *choices; /* by device and value */
  uint32_t *slot_of;      /* by device and root value */
  uint32_t *weight_of;    /* by argument: index of a want of the step's device, or WH_NO_SLOT */
  wh_weight_want *wants;  /* of one device */
  size_t slots_capacity, copies_capacity;
} build;

static size_t at_device(const build *b, uint16_t device, wh_value v) {
  return (size_t)device * b->p->graph->n_values + v;
}

/* ---- constants ---- */

/* How node `n` reads constant operand `i`: its claim's entries, or as the model has it. */
static uint32_t layouts_of(const wh_claim *c, unsigned input, wh_weight_layout *out) {
  uint32_t n = 0;
  for (uint32_t k = 0; k < c->n_layouts && k < WH_CLAIM_MAX_LAYOUTS; k++)
    if (c->layouts[k].input == input) out[n++] = c->layouts[k];
  return n;
}

static bool allows_model_form(const wh_claim *c, unsigned input, uint32_t id) {
  for (uint32_t k = 0; k < c->n_layouts && k < WH_CLAIM_MAX_LAYOUTS; k++)
    if (c->layouts[k].input == input && c->layouts[k].id == id) return c->from_model >> k & 1;
  return false;
}

static bool lists(const wh_weight_layout *list, uint32_t n, uint32_t id) {
  for (uint32_t i = 0; i < n; i++)
    if (list[i].id == id) return true;
  return false;
}

static void narrow(weight_choice *c, const wh_weight_layout *list, uint32_t n) {
  if (!c->is_used) {
    *c = (weight_choice){.is_used = true, .is_open = true, .n = n};
    memcpy(c->list, list, n * sizeof *list);
    return;
  }
  uint32_t kept = 0;
  for (uint32_t i = 0; i < c->n; i++)
    if (lists(list, n, c->list[i].id)) c->list[kept++] = c->list[i];
  c->is_open = c->is_open && kept;
  if (kept) c->n = kept;
}

static const wh_value_info *const_operand(const wh_graph *g, const wh_node_info *node, unsigned i) {
  const wh_value_info *v = &g->values[node->inputs[i]];
  return node->inputs[i] && v->kind == WH_VALUE_CONST ? v : NULL;
}

/* One layout per constant and device, where its users have one in common. */
static void choose_layouts(build *b) {
  const wh_graph *g = b->p->graph;
  for (size_t k = 0; k < b->schedule.n; k++) {
    const wh_node n = b->schedule.order[k];
    for (unsigned i = 0; i < g->nodes[n].n_inputs; i++) {
      const wh_value_info *v = const_operand(g, &g->nodes[n], i);
      wh_weight_layout list[WH_CLAIM_MAX_LAYOUTS] = {{i, 0, 0}};
      if (!v) continue;
      uint32_t count = layouts_of(&b->claims[n], i, list);
      narrow(&b->choices[at_device(b, b->p->device_of[n], g->nodes[n].inputs[i])], list, count ? count : 1);
    }
  }
}

/* The layout in which step's node reads operand i. */
static wh_weight_want wanted(const build *b, wh_node n, unsigned i) {
  const wh_graph *g = b->p->graph;
  const wh_value value = g->nodes[n].inputs[i];
  const weight_choice *c = &b->choices[at_device(b, b->p->device_of[n], value)];
  wh_weight_layout own[WH_CLAIM_MAX_LAYOUTS];
  const uint32_t n_own = layouts_of(&b->claims[n], i, own);
  wh_weight_want w = {.value = value, .n_bytes = g->values[value].n_bytes, .node = n};
  w.any_address = b->claims[n].any_address >> i & 1;
  if (!n_own) return w;
  uint32_t k = 0;
  while (c->is_open && k + 1 < n_own && own[k].id != c->list[0].id) k++;
  w.layout = own[k].id;
  w.check = own[k].id == 0 && n_own == 1;
  w.from_model = own[k].id && allows_model_form(&b->claims[n], i, own[k].id);
  if (own[k].id) w.n_bytes = own[k].n_bytes;
  return w;
}

static size_t find_want(const build *b, size_t n, const wh_weight_want *w) {
  size_t i = 0;
  while (i < n && (b->wants[i].value != w->value || b->wants[i].layout != w->layout)) i++;
  return i;
}

/* Lists what the device's steps read, gives each a slot, and finds or makes the set. */
static wh_status list_weights(build *b, uint16_t device, uint32_t *last_want) {
  wh_program *p = b->p;
  const wh_graph *g = p->graph;
  wh_program_device *d = &p->devices[device];
  size_t n = 0;
  memset(last_want, 0, g->n_values * sizeof *last_want); /* by value: index + 1 of its last want */
  for (size_t s = 0; s < p->n_steps; s++) {
    const wh_step *step = &p->steps[s];
    if (p->device_of[step->node] != device) continue;
    for (unsigned i = 0; i < step->n_inputs; i++) {
      if (!const_operand(g, &g->nodes[step->node], i)) continue;
      const wh_weight_want w = wanted(b, step->node, i);
      size_t k = last_want[w.value] ? last_want[w.value] - 1 : n;
      if (k < n && b->wants[k].layout != w.layout) k = find_want(b, n, &w); /* in several layouts: rare */
      if (k == n) b->wants[n++] = w;
      b->wants[k].check = b->wants[k].check || w.check;
      b->wants[k].from_model = b->wants[k].from_model && w.from_model;
      b->wants[k].any_address = b->wants[k].any_address && w.any_address;
      last_want[w.value] = (uint32_t)k + 1;
      b->weight_of[step->first_arg + i] = (uint32_t)k;
      p->args[step->first_arg + i].layout = w.layout;
    }
  }
  for (size_t i = 0; i < p->n_outputs; i++) { /* a constant may be an output */
    const wh_value v = b->roots[p->outputs[i].value];
    const wh_weight_want w = {.value = v, .n_bytes = g->values[v].n_bytes, .node = WH_NO_NODE};
    if (device != 0 || g->values[v].kind != WH_VALUE_CONST) continue;
    const size_t k = find_want(b, n, &w);
    if (k == n) b->wants[n++] = w;
    b->wants[k].any_address = false;
  }
  d->n_weights = (uint32_t)n;
  if (!n) return WH_OK;
  wh_weight_set *shared = b->o->weights ? b->o->weights[device] : NULL;
  if (shared && wh_weight_set_fits(shared, g, b->wants, n)) {
    wh_weight_set_retain(shared);
    d->weights = shared;
    return WH_OK;
  }
  const wh_weight_options o = {.device = d->device,
                               .alloc = p->alloc,
                               .weight_done = b->o->weight_done,
                               .weight_done_ctx = b->o->weight_done_ctx,
                               .any_vectors = b->o->any_vectors,
                               .pack_cache = device == 0 ? b->o->pack_cache : NULL,
                               .pack_while_running = b->o->pack_while_running,
                               .progress = b->o->progress,
                               .lenders = b->o->lenders,
                               .n_lenders = device == 0 ? b->o->n_lenders : 0};
  return wh_weight_set_create(g, b->wants, n, &o, &d->weights);
}

/* ---- slots ---- */

static wh_status add_slot(build *b, wh_slot slot, uint32_t *out) {
  wh_program *p = b->p;
  if (!wh_grow_array(p->alloc, (void **)&p->slots, &b->slots_capacity, p->n_slots, p->n_slots + 1,
                     sizeof *p->slots))
    return WH_OOM("program slots");
  p->slots[p->n_slots] = slot;
  *out = p->n_slots++;
  return WH_OK;
}

static wh_status weight_slots(build *b) {
  wh_program *p = b->p;
  uint32_t slot;
  uint32_t *last_want = wh_alloc_array(p->alloc, p->graph->n_values, sizeof *last_want);
  wh_status st = last_want ? WH_OK : WH_OOM("program");
  for (uint16_t d = 0; d < p->n_devices && st == WH_OK; d++) {
    p->devices[d].first_weight = p->n_slots;
    st = list_weights(b, d, last_want);
    for (uint32_t i = 0; i < p->devices[d].n_weights && st == WH_OK; i++) {
      st = add_slot(
          b,
          (wh_slot){WH_SLOT_WEIGHT, d, b->wants[i].value, WH_NO_NODE, 0, 0, .n_bytes = b->wants[i].n_bytes},
          &slot);
      if (st == WH_OK && b->wants[i].layout == 0) b->slot_of[at_device(b, d, b->wants[i].value)] = slot;
    }
  }
  wh_free(p->alloc, last_want);
  return st;
}

/* The slot of a root value that is no constant, on a device; made at the first call. */
static wh_status value_slot(build *b, uint16_t device, wh_value root, uint32_t phase, uint32_t *out) {
  wh_program *p = b->p;
  const wh_value_info *v = &p->graph->values[root];
  uint32_t *known = &b->slot_of[at_device(b, device, root)];
  if (*known == WH_NO_SLOT) {
    const bool is_state = v->kind == WH_VALUE_STATE;
    /* inputs are written before the run */
    const uint32_t first = v->kind == WH_VALUE_INPUT ? 0 : phase;
    WH_TRY(add_slot(
        b,
        (wh_slot){is_state ? WH_SLOT_STATE : WH_SLOT_ARENA, device, root, WH_NO_NODE, first, .last = first},
        known));
  }
  if (phase > p->slots[*known].last) p->slots[*known].last = phase;
  *out = *known;
  return WH_OK;
}

/* A block reads a root value that another device made: a copy, once per device. */
static wh_status copy_in(build *b, wh_program_block *block, wh_value root, uint16_t maker, uint32_t *out) {
  wh_program *p = b->p;
  const uint32_t begin = b->schedule.blocks[block - p->blocks].first_phase;
  wh_program_copy copy = {.value = root};
  if (p->graph->values[root].kind == WH_VALUE_STATE ||
      wh_dtype_is(p->graph->values[root].shape.dtype, WH_CLASS_OPAQUE))
    return WH_FAIL(ERR_UNSUPPORTED, "'%s' is read by another device than the one that writes it",
                   p->graph->values[root].name);
  copy.maker = b->schedule.block_of[p->graph->values[root].producer];
  WH_TRY(value_slot(b, maker, root, begin, &copy.from));
  WH_TRY(value_slot(b, block->device, root, begin, &copy.to));
  if (!wh_grow_array(p->alloc, (void **)&p->copies, &b->copies_capacity, p->n_copies, p->n_copies + 1,
                     sizeof *p->copies))
    return WH_OOM("program copies");
  p->copies[p->n_copies++] = copy;
  block->n_copies++;
  *out = copy.to;
  return WH_OK;
}

static wh_status operand_slot(build *b, wh_program_block *block, const wh_step *step, unsigned i,
                              uint32_t *out) {
  wh_program *p = b->p;
  const wh_graph *g = p->graph;
  const wh_value root = b->roots[g->nodes[step->node].inputs[i]];
  const wh_value_info *v = &g->values[root];
  if (v->kind == WH_VALUE_CONST) { /* a view of a constant reads it as the model has it */
    const uint32_t w = b->weight_of[step->first_arg + i];
    if (w == WH_NO_SLOT)
      return WH_FAIL(ERR_INTERNAL, "node '%s' reads a view of a constant", g->nodes[step->node].name);
    *out = p->devices[block->device].first_weight + w;
    return WH_OK;
  }
  const uint16_t maker = v->kind == WH_VALUE_NODE ? p->device_of[v->producer] : block->device;
  if (maker != block->device && b->slot_of[at_device(b, block->device, root)] == WH_NO_SLOT)
    WH_TRY(copy_in(b, block, root, maker, out)); /* and it stays until the step has read it */
  return value_slot(b, block->device, root, step->phase, out);
}

static wh_status step_slots(build *b, wh_program_block *block, wh_step *step) {
  const wh_program *p = b->p;
  const wh_node_info *node = &p->graph->nodes[step->node];
  wh_arg *args = &p->args[step->first_arg];
  for (unsigned i = 0; i < step->n_inputs; i++)
    if (args[i].value) WH_TRY(operand_slot(b, block, step, i, &args[i].slot));
  for (unsigned i = 0; i < step->n_outputs; i++)
    WH_TRY(value_slot(b, block->device, b->roots[wh_node_output(node, i)], step->phase,
                      &args[step->n_inputs + i].slot));
  if (b->claims[step->node].no_scratch) return WH_OK;
  return add_slot(b, (wh_slot){WH_SLOT_ARENA, block->device, 0, step->node, step->phase, .last = step->phase},
                  &step->scratch);
}

static wh_status block_slots(build *b) {
  wh_program *p = b->p;
  for (size_t k = 0; k < p->n_blocks; k++) {
    wh_program_block *block = &p->blocks[k];
    for (size_t s = 0; s < block->block.n_steps; s++)
      WH_TRY(step_slots(b, block, &p->steps[block->first_step + s]));
  }
  const wh_program_copy *at = p->copies; /* they do not move any more */
  for (size_t k = 0; k < p->n_blocks; k++) {
    p->blocks[k].copies = at;
    if (at) at += p->blocks[k].n_copies;
  }
  return WH_OK;
}

/* Inputs that nobody reads have a place as well; outputs live to the end. */
static wh_status port_slots(build *b) {
  wh_program *p = b->p;
  const uint32_t last = p->n_phases ? p->n_phases - 1 : 0;
  uint32_t slot;
  for (size_t i = 0; i < p->n_outputs; i++) {
    const wh_value root = b->roots[p->outputs[i].value];
    const wh_value_info *v = &p->graph->values[root];
    uint16_t device = v->kind == WH_VALUE_NODE ? p->device_of[v->producer] : 0;
    for (uint16_t d = 0; v->kind == WH_VALUE_STATE && d < p->n_devices; d++)
      if (b->slot_of[at_device(b, d, root)] != WH_NO_SLOT) device = d;
    if (v->kind == WH_VALUE_CONST)
      slot = b->slot_of[at_device(b, device, root)];
    else
      WH_TRY(value_slot(b, device, root, last, &slot));
    p->outputs[i].slots[device] = slot;
  }
  for (size_t i = 0; i < p->n_inputs; i++) {
    bool is_read = false;
    for (uint16_t d = 0; d < p->n_devices; d++) {
      p->inputs[i].slots[d] = b->slot_of[at_device(b, d, p->inputs[i].value)];
      is_read = is_read || p->inputs[i].slots[d] != WH_NO_SLOT;
    }
    if (!is_read) WH_TRY(value_slot(b, 0, p->inputs[i].value, 0, &p->inputs[i].slots[0]));
  }
  for (uint16_t d = 0; d < p->n_devices; d++)
    WH_TRY(add_slot(b, (wh_slot){WH_SLOT_ARENA, d, 0, WH_NO_NODE, 0, .last = last}, &p->devices[d].fault));
  return WH_OK;
}

/* ---- steps ---- */

/* Bytes that a step reads of a weight of `bytes` when it runs for one token. */
static uint64_t bytes_read(const wh_graph *g, const wh_node_info *node, unsigned input, uint64_t bytes) {
  if (!wh_op_has(node->op, WH_TRAIT_INDEXES_BIT) || input != wh_op_table_input(node->op)) return bytes;
  const wh_shape *table = &g->values[node->inputs[input]].shape,
                 *index = &g->values[node->inputs[wh_op_index_input(node->op)]].shape;
  uint64_t rows = (uint64_t)wh_dim_get(&g->dims, table->dims[0])->value, read = 1;
  for (int d = 1; d < index->rank; d++) read *= (uint64_t)wh_dim_get(&g->dims, index->dims[d])->max;
  return rows ? bytes / rows * (read < rows ? read : rows) : 0;
}

static void find_roots(build *b) {
  const wh_graph *g = b->p->graph;
  for (wh_value v = 0; v < g->n_values; v++) b->roots[v] = v;
  for (size_t n = 0; n < g->n_nodes; n++)
    if (wh_op_has(g->nodes[n].op, WH_TRAIT_VIEW | WH_TRAIT_WRITES))
      b->roots[wh_node_output(&g->nodes[n], 0)] = b->roots[g->nodes[n].inputs[0]];
}

static wh_status list_steps(build *b) {
  wh_program *p = b->p;
  const wh_graph *g = p->graph;
  const wh_schedule *s = &b->schedule;
  for (size_t k = 0; k < s->n; k++) {
    const wh_node_info *node = &g->nodes[s->order[k]];
    p->n_args += node->n_inputs + wh_node_n_outputs(node);
  }
  p->n_steps = s->n;
  p->n_blocks = s->n_blocks;
  p->n_phases = s->n_phases;
  p->steps = wh_alloc_array(p->alloc, p->n_steps + 1, sizeof *p->steps);
  p->args = wh_alloc_array(p->alloc, p->n_args + 1, sizeof *p->args);
  p->blocks = wh_alloc_array(p->alloc, p->n_blocks + 1, sizeof *p->blocks);
  p->weight_bytes = wh_alloc_array(p->alloc, p->n_steps + 1, sizeof *p->weight_bytes);
  b->weight_of = wh_alloc_array(p->alloc, p->n_args + 1, sizeof *b->weight_of);
  b->wants = wh_alloc_array(p->alloc, p->n_args + p->n_outputs + 1, sizeof *b->wants);
  if (!p->steps || !p->args || !p->blocks || !p->weight_bytes || !b->weight_of || !b->wants)
    return WH_OOM("program");
  uint32_t at = 0;
  for (size_t k = 0; k < s->n; k++) {
    const wh_node_info *node = &g->nodes[s->order[k]];
    wh_step *step = &p->steps[k];
    *step = (wh_step){.node = s->order[k],
                      .first_arg = at,
                      .n_inputs = (uint16_t)node->n_inputs,
                      .n_outputs = (uint16_t)wh_node_n_outputs(node),
                      .scratch = WH_NO_SLOT,
                      .phase = s->phase[s->order[k]]};
    for (unsigned i = 0; i < step->n_inputs; i++, at++)
      p->args[at] = (wh_arg){node->inputs[i], WH_NO_SLOT, 0};
    for (unsigned i = 0; i < step->n_outputs; i++, at++)
      p->args[at] = (wh_arg){wh_node_output(node, i), WH_NO_SLOT, 0};
  }
  for (size_t k = 0; k < p->n_args; k++) b->weight_of[k] = WH_NO_SLOT;
  for (size_t k = 0; k < s->n_blocks; k++)
    p->blocks[k] = (wh_program_block){.device = s->blocks[k].device,
                                      .first_step = s->blocks[k].first,
                                      .block = {.n_steps = s->blocks[k].n}};
  return WH_OK;
}

static void count_weight_bytes(build *b) {
  wh_program *p = b->p;
  const wh_graph *g = p->graph;
  for (size_t s = 0; s < p->n_steps; s++) {
    const wh_step *step = &p->steps[s];
    for (unsigned i = 0; i < step->n_inputs; i++)
      if (const_operand(g, &g->nodes[step->node], i))
        p->weight_bytes[s] += bytes_read(g, &g->nodes[step->node], i, wanted(b, step->node, i).n_bytes);
  }
}

static wh_status compile_blocks(wh_program *p) {
  for (size_t k = 0; k < p->n_blocks; k++) {
    wh_program_block *b = &p->blocks[k];
    const wh_plan_device *d = &p->devices[b->device].device;
    b->block.graph = p->graph;
    b->block.steps = &p->steps[b->first_step];
    b->block.args = p->args;
    b->block.n_slots = p->n_slots;
    WH_TRY(d->backend->compile(d->dev, &b->block, &b->code));
  }
  return WH_OK;
}

/* ---- making one ---- */

static wh_status list_ports(wh_program *p) {
  const wh_graph *g = p->graph;
  for (wh_value v = 1; v < g->n_values; v++) p->n_inputs += g->values[v].kind == WH_VALUE_INPUT;
  p->n_outputs = g->n_outputs;
  p->inputs = wh_alloc_array(p->alloc, p->n_inputs + 1, sizeof *p->inputs);
  p->outputs = wh_alloc_array(p->alloc, p->n_outputs + 1, sizeof *p->outputs);
  if (!p->inputs || !p->outputs) return WH_OOM("program");
  size_t n = 0;
  for (wh_value v = 1; v < g->n_values; v++)
    if (g->values[v].kind == WH_VALUE_INPUT) p->inputs[n++] = (wh_program_port){g->values[v].name, v, {0}};
  for (size_t i = 0; i < g->n_outputs; i++)
    p->outputs[i] = (wh_program_port){g->outputs[i].name, g->outputs[i].value, {0}};
  for (size_t d = 0; d < WH_PLAN_MAX_DEVICES; d++) {
    for (size_t i = 0; i < p->n_inputs; i++) p->inputs[i].slots[d] = WH_NO_SLOT;
    for (size_t i = 0; i < p->n_outputs; i++) p->outputs[i].slots[d] = WH_NO_SLOT;
  }
  return WH_OK;
}

static wh_status check_graph(const wh_program *p, const wh_program_options *o) {
  const wh_graph *g = p->graph;
  if (o->place.n_devices < 1 || o->place.n_devices > WH_PLAN_MAX_DEVICES)
    return WH_FAIL(ERR_LIMIT, "a program runs on 1 to %d devices, not %zu", WH_PLAN_MAX_DEVICES,
                   o->place.n_devices);
  if (g->n_regions > 1)
    return WH_FAIL(ERR_UNSUPPORTED, "graph '%s' has branches or loops, which no program runs yet", g->name);
  for (size_t n = 0; n < g->n_nodes; n++)
    if (g->nodes[n].dead)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "graph '%s' is not compact: node '%s' is dead", g->name,
                     g->nodes[n].name);
  return wh_graph_check_symbols(g, o->symbols);
}

static wh_status build_program(build *b) {
  wh_program *p = b->p;
  const wh_program_options *o = b->o;
  const wh_graph *g = p->graph;
  WH_TRY(check_graph(p, o));
  p->n_devices = (uint32_t)o->place.n_devices;
  for (size_t d = 0; d < p->n_devices; d++) p->devices[d].device = o->place.devices[d];
  int64_t *dims = wh_alloc_array(p->alloc, g->dims.n + 1, sizeof *dims);
  const size_t n_places = p->n_devices * g->n_values;
  p->device_of = wh_alloc_array(p->alloc, g->n_nodes + 1, sizeof *p->device_of);
  b->claims = wh_alloc_array(p->alloc, g->n_nodes + 1, sizeof *b->claims);
  b->roots = wh_alloc_array(p->alloc, g->n_values, sizeof *b->roots);
  b->choices = wh_alloc_array(p->alloc, n_places, sizeof *b->choices);
  b->slot_of = wh_alloc_array(p->alloc, n_places, sizeof *b->slot_of);
  wh_status st =
      dims && p->device_of && b->claims && b->roots && b->choices && b->slot_of ? WH_OK : WH_OOM("program");
  if (st == WH_OK) {
    for (size_t i = 0; i < n_places; i++) b->slot_of[i] = WH_NO_SLOT;
    wh_dim_values(&g->dims, o->symbols, dims);
    st = wh_place_nodes(g, &o->place, dims, p->alloc, p->device_of, b->claims);
  }
  wh_free(p->alloc, dims);
  WH_TRY(st);
  WH_TRY(wh_schedule_create(g, p->device_of, p->alloc, &b->schedule));
  find_roots(b);
  choose_layouts(b);
  WH_TRY(list_ports(p));
  WH_TRY(list_steps(b));
  WH_TRY(weight_slots(b));
  WH_TRY(block_slots(b));
  WH_TRY(port_slots(b));
  wh_parts_find(p);
  count_weight_bytes(b);
  return compile_blocks(p);
}

wh_status wh_program_create(wh_graph *graph, const wh_program_options *options, wh_program **out) {
  wh_program *p = wh_alloc_zeroed(options->alloc, sizeof *p);
  if (!p) {
    wh_graph_destroy(graph);
    return WH_OOM("program");
  }
  atomic_init(&p->n_refs, 1);
  (void)pthread_mutex_init(&p->mutex, NULL);
  p->alloc = options->alloc;
  p->many_shapes = options->many_shapes;
  p->graph = graph;
  build b = {.p = p, .o = options};
  wh_status st = build_program(&b);
  wh_schedule_deinit(&b.schedule, p->alloc);
  wh_free(p->alloc, b.claims);
  wh_free(p->alloc, b.roots);
  wh_free(p->alloc, b.choices);
  wh_free(p->alloc, b.slot_of);
  wh_free(p->alloc, b.weight_of);
  wh_free(p->alloc, b.wants);
  if (st != WH_OK) {
    wh_program_release(p);
    return st;
  }
  *out = p;
  return WH_OK;
}

void wh_program_retain(wh_program *p) { atomic_fetch_add_explicit(&p->n_refs, 1, memory_order_relaxed); }

void wh_program_release(wh_program *p) {
  if (!p || atomic_fetch_sub_explicit(&p->n_refs, 1, memory_order_acq_rel) != 1) return;
  for (size_t k = 0; p->blocks && k < p->n_blocks; k++) {
    const wh_plan_device *d = &p->devices[p->blocks[k].device].device;
    if (p->blocks[k].code) d->backend->code_destroy(d->dev, p->blocks[k].code);
  }
  for (size_t i = 0; i < WH_PROGRAM_LAYOUTS; i++) wh_layout_release(p->layouts[i]);
  for (size_t d = 0; d < p->n_devices; d++) wh_weight_set_release(p->devices[d].weights);
  (void)pthread_mutex_destroy(&p->mutex);
  wh_free(p->alloc, p->slots);
  wh_free(p->alloc, p->steps);
  wh_free(p->alloc, p->args);
  wh_free(p->alloc, p->weight_bytes);
  wh_free(p->alloc, p->device_of);
  wh_free(p->alloc, p->blocks);
  wh_free(p->alloc, p->copies);
  wh_free(p->alloc, p->inputs);
  wh_free(p->alloc, p->outputs);
  wh_graph_destroy(p->graph);
  wh_free(p->alloc, p);
}

wh_status wh_program_load(wh_program *p, const wh_progress_sink *progress) {
  for (size_t d = 0; d < p->n_devices; d++)
    if (p->devices[d].weights) WH_TRY(wh_weight_set_load(p->devices[d].weights, p->graph, progress));
  return WH_OK;
}

wh_status wh_program_get_layout(wh_program *p, const int64_t *symbols, wh_layout **out) {
  wh_layout *found = NULL;
  wh_status st = WH_OK;
  (void)pthread_mutex_lock(&p->mutex);
  size_t i = 0;
  while (i < WH_PROGRAM_LAYOUTS && p->layouts[i] &&
         memcmp(p->layouts[i]->symbols, symbols, p->graph->dims.n_symbols * sizeof *symbols) != 0)
    i++;
  if (i < WH_PROGRAM_LAYOUTS && p->layouts[i]) {
    found = p->layouts[i];
  } else {
    st = wh_layout_create(p, symbols, p->many_shapes ? p->layouts[0] : NULL, p->alloc, &found);
    if (i == WH_PROGRAM_LAYOUTS && st == WH_OK) wh_layout_release(p->layouts[--i]);
  }
  if (st == WH_OK) {
    memmove(&p->layouts[1], &p->layouts[0], i * sizeof p->layouts[0]);
    p->layouts[0] = found;
    wh_layout_retain(found);
    *out = found;
  }
  (void)pthread_mutex_unlock(&p->mutex);
  return st;
}

static int find_port(const wh_program_port *ports, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++)
    if (strcmp(ports[i].name, name) == 0) return (int)i;
  return -1;
}
int wh_program_find_input(const wh_program *p, const char *name) {
  return find_port(p->inputs, p->n_inputs, name);
}
int wh_program_find_output(const wh_program *p, const char *name) {
  return find_port(p->outputs, p->n_outputs, name);
}

void wh_program_describe(const wh_program *p, size_t step, wh_program_step_info *out) {
  size_t k = 0;
  while (step >= p->blocks[k].first_step + p->blocks[k].block.n_steps) k++;
  const wh_program_block *b = &p->blocks[k];
  const wh_plan_device *d = &p->devices[b->device].device;
  wh_step_info info = {.struct_size = sizeof info, .kernel = "", .reason = ""};
  d->backend->describe(d->dev, b->code, step - b->first_step, &info);
  *out = (wh_program_step_info){.node = &p->graph->nodes[p->steps[step].node],
                                .kernel = info.kernel,
                                .reason = info.reason,
                                .device = wh_plan_device_name(d),
                                .barrier = step > 0 && p->steps[step].phase != p->steps[step - 1].phase,
                                .weight_bytes = p->weight_bytes[step]};
}
