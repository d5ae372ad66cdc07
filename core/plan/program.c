/* program.c - from a graph to an instruction array: claims, liveness, placement, packing, instructions. */
#include "core/plan/program.h"

#include <stdio.h>
#include <string.h>

#include "core/plan/schedule.h"
#include "core/plan/weights.h"

/* Where a value's bytes are. Views (reshape, kv_append) share their root's. */
typedef struct value_place {
  wh_value root;  /* the value that owns the bytes */
  int32_t buffer; /* arena buffer of a root, or -1 */
  size_t bytes;   /* of a root, for the largest dims */
  void *data;     /* resolved; of a constant: as the model has it */
  bool mapped;    /* a constant that lies in the model's file, until some kernel is seen to read it there */
} value_place;

/* A dim that the binding decides. */
typedef struct dim_patch {
  int64_t *where;
  wh_dim dim;
} dim_patch;

struct wh_program {
  const wh_allocator *alloc;
  wh_program_options options;
  wh_graph *g;
  wh_instr *instrs;
  size_t n_instrs;
  wh_operand *io; /* graph inputs, then outputs */
  wh_value *inputs;
  size_t n_inputs;
  dim_patch *patches;
  size_t n_patches, patches_capacity;
  int64_t bound[WH_MAX_SYMBOLS], max[WH_MAX_SYMBOLS]; /* symbol values: now; at most */
  bool is_bound, has_run;
  void *arena, *states;
  wh_weights *weights;
  wh_program_memory memory;
};

/* Everything that only lives while a program is built. */
typedef struct build {
  wh_program *p;
  value_place *places;
  wh_claim *claims;
  wh_plan_buffer *buffers;
  size_t n_buffers, first_scratch;
  uint32_t *first, *last; /* per value: phases in which a root is live */
  wh_schedule schedule;
} build;

/* The value whose memory a node's output shares, or 0. */
static wh_value view_root(const wh_node_info *n) {
  return wh_op_has(n->op, WH_TRAIT_VIEW | WH_TRAIT_WRITES) ? n->inputs[0] : 0;
}

static wh_status claim_nodes(build *b) {
  wh_program *p = b->p;
  wh_graph *g = p->g;
  wh_text_buffer refused;
  wh_text_buffer_init(&refused, p->alloc);
  size_t n_refused = 0;
  wh_status st = WH_OK;
  for (size_t n = 0; n < g->n_nodes && st == WH_OK; n++) {
    b->claims[n] = (wh_claim){.struct_size = sizeof(wh_claim), .packed_input = -1};
    st = p->options.backend->claim(p->options.device, g, &g->nodes[n], p->options.symbols_max, &b->claims[n]);
    if (st == WH_OK && !b->claims[n].supported && n_refused++ < 8)
      wh_text_buffer_printf(&refused, "; %s (%s): %s", g->nodes[n].name, wh_op_get(g->nodes[n].op)->name,
                            b->claims[n].reason);
  }
  if (st == WH_OK && n_refused)
    st = WH_FAIL(ERR_UNSUPPORTED, "device '%s' cannot run %zu of %zu nodes%s", p->options.backend->name,
                 n_refused, g->n_nodes, refused.data ? refused.data : "");
  wh_text_buffer_deinit(&refused);
  return st;
}

static wh_status place_values(build *b) {
  wh_program *p = b->p;
  wh_graph *g = p->g;
  const int64_t *max = p->options.symbols_max;
  for (wh_value v = 1; v < g->n_values; v++) {
    const wh_value_info *info = &g->values[v];
    b->places[v] = (value_place){.root = v, .buffer = -1};
    if (info->kind == WH_VALUE_NONE) continue;
    if (info->kind == WH_VALUE_NODE) continue; /* below, in node order */
    if (info->kind == WH_VALUE_CONST) {
      b->places[v].bytes = info->n_bytes;
      if (!info->data) return WH_FAIL(ERR_INVALID_ARGUMENT, "constant '%s' has no data", info->name);
      continue;
    }
    WH_TRY(p->options.backend->value_bytes(p->options.device, g, &info->shape, info->kind == WH_VALUE_STATE,
                                           max, &b->places[v].bytes));
  }
  for (size_t n = 0; n < g->n_nodes; n++) {
    const wh_node_info *node = &g->nodes[n];
    wh_value root = view_root(node);
    if (root) {
      b->places[wh_node_output(node, 0)].root = b->places[root].root;
    } else {
      WH_TRY(p->options.backend->value_bytes(p->options.device, g, &g->values[wh_node_output(node, 0)].shape,
                                             false, max, &b->places[wh_node_output(node, 0)].bytes));
    }
  }
  return WH_OK;
}

static void extend(build *b, wh_value v, uint32_t phase) {
  wh_value root = b->places[v].root;
  if (phase < b->first[root]) b->first[root] = phase;
  if (phase > b->last[root]) b->last[root] = phase;
}

/* Live ranges of arena values and of scratch, in phases; then the plan. */
static wh_status plan_arena(build *b) {
  wh_program *p = b->p;
  wh_graph *g = p->g;
  const wh_schedule *s = &b->schedule;
  for (size_t v = 0; v < g->n_values; v++) b->first[v] = UINT32_MAX;
  for (size_t n = 0; n < g->n_nodes; n++) {
    extend(b, wh_node_output(&g->nodes[n], 0), s->phase[n]);
    for (unsigned i = 0; !wh_node_is_view(&g->nodes[n]) && i < g->nodes[n].n_inputs; i++)
      if (g->nodes[n].inputs[i]) extend(b, g->nodes[n].inputs[i], s->phase[n]);
  }
  for (size_t i = 0; i < g->n_outputs; i++) extend(b, g->outputs[i].value, s->n_phases ? s->n_phases - 1 : 0);
  for (wh_value v = 1; v < g->n_values; v++) {
    const wh_value_info *info = &g->values[v];
    bool in_arena = info->kind == WH_VALUE_INPUT || info->kind == WH_VALUE_NODE;
    if (!in_arena || b->places[v].root != v) continue;
    if (info->kind == WH_VALUE_INPUT || b->first[v] == UINT32_MAX)
      b->first[v] = 0; /* written before the run */
    b->places[v].buffer = (int32_t)b->n_buffers;
    b->buffers[b->n_buffers++] =
        (wh_plan_buffer){.size = b->places[v].bytes, .first = b->first[v], .last = b->last[v]};
  }
  b->first_scratch = b->n_buffers; /* then one buffer per node that wants scratch, in schedule order */
  for (size_t i = 0; i < s->n; i++) {
    size_t bytes = b->claims[s->order[i]].scratch_bytes;
    uint32_t phase = s->phase[s->order[i]];
    if (bytes) b->buffers[b->n_buffers++] = (wh_plan_buffer){.size = bytes, .first = phase, .last = phase};
  }
  WH_TRY(wh_plan_memory(b->buffers, b->n_buffers, p->alloc, &p->memory.plan));
  p->arena = wh_alloc_huge(p->alloc, p->memory.plan.arena_bytes);
  if (!p->arena)
    return WH_FAIL(ERR_OUT_OF_MEMORY, "out of memory: %zu bytes of activations", p->memory.plan.arena_bytes);
  p->memory.arena_bytes = wh_huge_bytes(p->memory.plan.arena_bytes);
  memset(p->arena, 0, p->memory.arena_bytes); /* every page is taken now, none while running */
  for (wh_value v = 1; v < g->n_values; v++)
    if (b->places[v].buffer >= 0)
      b->places[v].data = (char *)p->arena + b->buffers[b->places[v].buffer].offset;
  return WH_OK;
}

static wh_status place_states(build *b) {
  wh_program *p = b->p;
  wh_graph *g = p->g;
  size_t total = 0, bytes;
  for (wh_value v = 1; v < g->n_values; v++)
    if (g->values[v].kind == WH_VALUE_STATE)
      if (!wh_align_size(b->places[v].bytes, WH_PLAN_ALIGN, &bytes) || !wh_add_size(total, bytes, &total))
        return WH_FAIL(ERR_LIMIT, "the KV state does not fit in memory; use a smaller context");
  p->memory.state_bytes = total ? wh_huge_bytes(total) : 0;
  if (!total) return WH_OK;
  p->states = wh_alloc_huge(p->alloc, total);
  if (!p->states)
    return WH_FAIL(ERR_OUT_OF_MEMORY, "out of memory: %zu bytes of KV state; use a smaller context", total);
  memset(p->states, 0, p->memory.state_bytes);
  size_t at = 0;
  for (wh_value v = 1; v < g->n_values; v++)
    if (g->values[v].kind == WH_VALUE_STATE) {
      b->places[v].data = (char *)p->states + at;
      (void)wh_align_size(b->places[v].bytes, WH_PLAN_ALIGN, &bytes);
      at += bytes;
    }
  return WH_OK;
}

/* Constants are read-only to kernels; operands are not typed by direction. */
static void *only_read(const void *data) {
  union {
    const void *in;
    void *out;
  } pointer = {data};
  return pointer.out;
}

static wh_status place_constants(build *b) {
  wh_program *p = b->p;
  WH_TRY(wh_weights_create(p->g, b->claims, &p->options, &p->weights));
  wh_weights_get_memory(p->weights, &p->memory);
  for (wh_value v = 1; v < p->g->n_values; v++)
    if (p->g->values[v].kind == WH_VALUE_CONST)
      b->places[v].data = only_read(wh_weights_plain(p->weights, v, &b->places[v].mapped));
  return WH_OK;
}

static wh_status add_patch(wh_program *p, int64_t *where, wh_dim dim) {
  if (wh_dim_is_const(&p->g->dims, dim)) {
    *where = wh_dim_get(&p->g->dims, dim)->value;
    return WH_OK;
  }
  if (!wh_grow_array(p->alloc, (void **)&p->patches, &p->patches_capacity, p->n_patches, p->n_patches + 1,
                     sizeof *p->patches))
    return WH_OOM("program");
  p->patches[p->n_patches++] = (dim_patch){where, dim};
  return WH_OK;
}

static wh_status set_operand(build *b, wh_operand *o, wh_value v) {
  wh_program *p = b->p;
  const wh_value_info *info = &p->g->values[v];
  *o = (wh_operand){
      .data = b->places[b->places[v].root].data, .dtype = info->shape.dtype, .rank = info->shape.rank};
  for (int i = 0; i < info->shape.rank; i++) WH_TRY(add_patch(p, &o->dims[i], info->shape.dims[i]));
  return WH_OK;
}

/* Bytes that a step reads of a weight of `bytes` when it runs for one token. */
static uint64_t bytes_read(const wh_graph *g, const wh_node_info *node, unsigned input, size_t bytes) {
  if (!wh_op_has(node->op, WH_TRAIT_INDEXES_BIT) || input != wh_op_table_input(node->op)) return bytes;
  const wh_shape *table = &g->values[node->inputs[input]].shape,
                 *index = &g->values[node->inputs[wh_op_index_input(node->op)]].shape;
  uint64_t rows = (uint64_t)wh_dim_get(&g->dims, table->dims[0])->value, read = 1;
  for (int d = 1; d < index->rank; d++) read *= (uint64_t)wh_dim_get(&g->dims, index->dims[d])->max;
  return rows ? bytes / rows * (read < rows ? read : rows) : 0;
}

static wh_status emit(build *b) {
  wh_program *p = b->p;
  wh_graph *g = p->g;
  const wh_schedule *s = &b->schedule;
  size_t scratch_index = b->first_scratch;
  for (size_t k = 0; k < s->n; k++) {
    const wh_node_info *node = &g->nodes[s->order[k]];
    const wh_claim *c = &b->claims[s->order[k]];
    wh_instr *in = &p->instrs[p->n_instrs++];
    in->node = node;
    in->step = (uint32_t)(2 * k + 1);
    in->barrier = k > 0 && s->phase[s->order[k]] != s->phase[s->order[k - 1]];
    in->scratch_bytes = c->scratch_bytes;
    if (c->scratch_bytes) in->scratch = (char *)p->arena + b->buffers[scratch_index++].offset;
    for (unsigned i = 0; i < node->n_inputs; i++) {
      if (!node->inputs[i]) continue;
      WH_TRY(set_operand(b, &in->in[i], node->inputs[i]));
      const wh_value_info *v = &g->values[node->inputs[i]];
      if (v->kind != WH_VALUE_CONST) continue;
      if ((int)i == c->packed_input && c->packed_bytes) {
        size_t n_bytes = 0;
        in->in[i].data =
            only_read(wh_weights_packed(p->weights, node->inputs[i], c->packed_layout, &n_bytes));
        in->weight_bytes += bytes_read(g, node, i, n_bytes);
      } else {
        if (b->places[node->inputs[i]].mapped) p->memory.mapped_bytes += v->n_bytes;
        b->places[node->inputs[i]].mapped = false;
        in->weight_bytes += bytes_read(g, node, i, v->n_bytes);
      }
    }
    WH_TRY(set_operand(b, &in->out, wh_node_output(node, 0)));
    WH_TRY(p->options.backend->compile(p->options.device, g, node, p->options.symbols_max, in));
  }
  for (size_t i = 0; i < p->n_inputs; i++) WH_TRY(set_operand(b, &p->io[i], p->inputs[i]));
  for (size_t i = 0; i < g->n_outputs; i++)
    WH_TRY(set_operand(b, &p->io[p->n_inputs + i], g->outputs[i].value));
  return WH_OK;
}

static wh_status alloc_tables(build *b) {
  wh_program *p = b->p;
  wh_graph *g = p->g;
  for (size_t n = 0; n < g->n_nodes; n++)
    if (g->nodes[n].dead)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "graph '%s' is not compact: node '%s' is dead", g->name,
                     g->nodes[n].name);
  for (wh_value v = 1; v < g->n_values; v++) p->n_inputs += g->values[v].kind == WH_VALUE_INPUT;
  b->places = wh_alloc_array(p->alloc, g->n_values, sizeof *b->places);
  b->first = wh_alloc_array(p->alloc, g->n_values, sizeof *b->first);
  b->last = wh_alloc_array(p->alloc, g->n_values, sizeof *b->last);
  b->claims = wh_alloc_array(p->alloc, g->n_nodes + 1, sizeof *b->claims);
  b->buffers = wh_alloc_array(p->alloc, g->n_values + g->n_nodes, sizeof *b->buffers);
  p->instrs = wh_alloc_array(p->alloc, g->n_nodes + 1, sizeof *p->instrs);
  p->io = wh_alloc_array(p->alloc, p->n_inputs + g->n_outputs + 1, sizeof *p->io);
  p->inputs = wh_alloc_array(p->alloc, p->n_inputs + 1, sizeof *p->inputs);
  if (!b->places || !b->first || !b->last || !b->claims || !b->buffers || !p->instrs || !p->io || !p->inputs)
    return WH_OOM("program");
  size_t k = 0;
  for (wh_value v = 1; v < g->n_values; v++)
    if (g->values[v].kind == WH_VALUE_INPUT) p->inputs[k++] = v;
  p->memory.other_bytes = (g->n_nodes + 1) * sizeof *p->instrs;
  return WH_OK;
}

static wh_status check_symbols(const wh_graph *g, const int64_t *values, const int64_t *max) {
  for (uint32_t i = 0; i < g->dims.n_symbols; i++) {
    int64_t most = max ? max[i] : wh_dim_get(&g->dims, g->dims.symbol_dims[i])->max;
    if (values[i] < 0 || values[i] > most)
      return WH_FAIL(ERR_LIMIT, "dimension '%s' of graph '%s' cannot be %lld: at most %lld",
                     g->dims.symbols[i], g->name, (long long)values[i], (long long)most);
  }
  return WH_OK;
}

wh_status wh_program_create(wh_graph *g, const wh_program_options *options, wh_program **out) {
  wh_program *p = wh_alloc_zeroed(options->alloc, sizeof *p);
  if (!p) return WH_OOM("program");
  p->alloc = options->alloc;
  p->options = *options;
  p->g = g;
  build b = {.p = p};
  wh_status st = check_symbols(g, options->symbols_max, NULL);
  if (st == WH_OK) memcpy(p->max, options->symbols_max, g->dims.n_symbols * sizeof p->max[0]);
  if (st == WH_OK) st = alloc_tables(&b);
  if (st == WH_OK) st = wh_schedule_create(g, p->alloc, &b.schedule);
  if (st == WH_OK) st = claim_nodes(&b);
  if (st == WH_OK) st = place_values(&b);
  if (st == WH_OK) st = plan_arena(&b);
  if (st == WH_OK) st = place_states(&b);
  if (st == WH_OK) st = place_constants(&b);
  if (st == WH_OK) st = emit(&b);
  wh_free(p->alloc, b.places);
  wh_free(p->alloc, b.first);
  wh_free(p->alloc, b.last);
  wh_free(p->alloc, b.claims);
  wh_free(p->alloc, b.buffers);
  wh_schedule_deinit(&b.schedule, p->alloc);
  p->options.symbols_max = NULL; /* the caller's, for creation only */
  p->options.pack_cache = NULL;
  if (st != WH_OK) {
    wh_program_destroy(p);
    return st;
  }
  *out = p;
  return WH_OK;
}

void wh_program_destroy(wh_program *p) {
  if (!p) return;
  for (size_t i = 0; i < p->n_instrs; i++) p->options.backend->release(p->options.device, &p->instrs[i]);
  wh_free(p->alloc, p->instrs);
  wh_free(p->alloc, p->io);
  wh_free(p->alloc, p->inputs);
  wh_free(p->alloc, p->patches);
  wh_free(p->alloc, p->arena);
  wh_free(p->alloc, p->states);
  wh_weights_destroy(p->weights);
  wh_free(p->alloc, p);
}

wh_status wh_program_bind(wh_program *p, const int64_t *symbols) {
  size_t n = p->g->dims.n_symbols;
  if (p->is_bound && memcmp(p->bound, symbols, n * sizeof *symbols) == 0) return WH_OK;
  WH_TRY(check_symbols(p->g, symbols, p->max));
  for (size_t i = 0; i < p->n_patches; i++)
    *p->patches[i].where = wh_dim_eval(&p->g->dims, p->patches[i].dim, symbols);
  memcpy(p->bound, symbols, n * sizeof *symbols);
  p->is_bound = true;
  return WH_OK;
}

/* From the second run on: the first one is what somebody waits for. */
static void move_weights(wh_program *p) {
  const bool first_run = !p->has_run;
  p->has_run = true;
  if (first_run || !wh_weights_move(p->weights)) return;
  for (size_t i = 0; i < p->n_instrs; i++)
    for (unsigned k = 0; k < p->instrs[i].node->n_inputs; k++)
      p->instrs[i].in[k].data = only_read(wh_weights_moved(p->weights, p->instrs[i].in[k].data));
}

wh_status wh_program_run_part(wh_program *p, size_t first, size_t count) {
  if (!p->is_bound) return WH_FAIL(ERR_INTERNAL, "program run before it was bound");
  if (first == 0) move_weights(p);
  return p->options.backend->run(p->options.device, p->instrs, first, count);
}

wh_status wh_program_run(wh_program *p) { return wh_program_run_part(p, 0, p->n_instrs); }

wh_operand *wh_program_input(wh_program *p, const char *name) {
  for (size_t i = 0; i < p->n_inputs; i++)
    if (strcmp(p->g->values[p->inputs[i]].name, name) == 0) return &p->io[i];
  return NULL;
}

const wh_operand *wh_program_output(const wh_program *p, const char *name) {
  for (size_t i = 0; i < p->g->n_outputs; i++)
    if (strcmp(p->g->outputs[i].name, name) == 0) return &p->io[p->n_inputs + i];
  return NULL;
}

size_t wh_program_n_instrs(const wh_program *p) { return p->n_instrs; }
const wh_instr *wh_program_instr(const wh_program *p, size_t i) { return &p->instrs[i]; }

size_t wh_program_output_bytes(const wh_program *p, size_t i) {
  const wh_value_info *v = &p->g->values[wh_node_output(p->instrs[i].node, 0)];
  size_t bytes = 0;
  bool is_state = wh_op_has(p->instrs[i].node->op, WH_TRAIT_WRITES);
  if (p->options.backend->value_bytes(p->options.device, p->g, &v->shape, is_state, p->bound, &bytes) !=
      WH_OK)
    return 0;
  return bytes;
}

void wh_program_get_memory(const wh_program *p, wh_program_memory *out) { *out = p->memory; }
wh_program_packing wh_program_get_packing(const wh_program *p) { return wh_weights_get_packing(p->weights); }
wh_status wh_program_keep_packed(wh_program *p) { return wh_weights_keep(p->weights); }

static void print_operand(const wh_program *p, const wh_operand *o, wh_text_buffer *out) {
  const char *d = o->data, *arena = p->arena, *states = p->states;
  if (!d) {
    wh_text_buffer_puts(out, "_");
    return;
  }
  if (d >= arena && d < arena + p->memory.plan.arena_bytes)
    wh_text_buffer_printf(out, "arena+%zu", (size_t)(d - arena));
  else if (states && d >= states && d < states + p->memory.state_bytes)
    wh_text_buffer_printf(out, "state+%zu", (size_t)(d - states));
  else if (!wh_weights_print_place(p->weights, d, out))
    wh_text_buffer_puts(out, "mapped");
  wh_text_buffer_printf(out, ":%s[", wh_dtype_name(o->dtype));
  for (int i = 0; i < o->rank; i++) wh_text_buffer_printf(out, "%s%lld", i ? "," : "", (long long)o->dims[i]);
  wh_text_buffer_puts(out, "]");
}

void wh_program_print(const wh_program *p, wh_text_buffer *out) {
  for (size_t i = 0; i < p->n_instrs; i++) {
    const wh_instr *in = &p->instrs[i];
    wh_text_buffer_printf(out, "%4zu %s %-28s %-32s ", i, in->barrier ? "|" : " ", in->node->name,
                          in->kernel);
    print_operand(p, &in->out, out);
    wh_text_buffer_puts(out, " <-");
    for (unsigned k = 0; k < in->node->n_inputs; k++) {
      wh_text_buffer_puts(out, " ");
      print_operand(p, &in->in[k], out);
    }
    if (in->scratch) wh_text_buffer_printf(out, " scratch %zu", in->scratch_bytes);
    wh_text_buffer_puts(out, "\n");
  }
}
