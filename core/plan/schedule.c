/* schedule.c - see schedule.h. */
#include "core/plan/schedule.h"

#include "core/plan/place.h"

static uint16_t device(const uint16_t *device_of, size_t n) { return device_of ? device_of[n] : 0; }

/* The node that makes operand i, or NULL. */
static const wh_value_info *made_operand(const wh_graph *g, const wh_node_info *node, unsigned i) {
  const wh_value_info *v = &g->values[node->inputs[i]];
  return node->inputs[i] && v->kind == WH_VALUE_NODE ? v : NULL;
}

/* Nodes whose outputs another device reads. */
static void find_travelling(const wh_graph *g, const uint16_t *device_of, bool *travels) {
  for (size_t n = 0; n < g->n_nodes; n++)
    for (unsigned i = 0; i < g->nodes[n].n_inputs; i++) {
      const wh_value_info *v = made_operand(g, &g->nodes[n], i);
      if (v && device(device_of, v->producer) != device(device_of, n)) travels[v->producer] = true;
    }
}

static uint32_t stage_of(const wh_graph *g, const bool *travels, const uint32_t *stage, size_t n) {
  uint32_t s = 0;
  for (unsigned i = 0; i < g->nodes[n].n_inputs; i++) {
    const wh_value_info *v = made_operand(g, &g->nodes[n], i);
    if (!v) continue;
    uint32_t after = stage[v->producer] + travels[v->producer];
    if (after > s) s = after;
  }
  return s;
}

/* Within the node's block. */
static uint32_t phase_of(const wh_graph *g, const uint32_t *block, const uint32_t *phase, size_t n) {
  uint32_t p = 0;
  for (unsigned i = 0; i < g->nodes[n].n_inputs; i++) {
    const wh_value_info *v = made_operand(g, &g->nodes[n], i);
    if (!v || block[v->producer] != block[n]) continue;
    uint32_t after = phase[v->producer] + (wh_node_is_view(&g->nodes[n]) ? 0 : 1);
    if (after > p) p = after;
  }
  return p;
}

/* Blocks by number, stage * WH_PLAN_MAX_DEVICES + device, with the nodes and phases of each. */
typedef struct block_count {
  uint32_t n_phases, index; /* index among those that have work */
} block_count;

static wh_status order_nodes(const wh_graph *g, wh_schedule *s, block_count *counts, size_t n_counts,
                             const wh_allocator *alloc) {
  size_t *begin = wh_alloc_array(alloc, g->n_nodes + 2, sizeof *begin); /* counting sort by phase, stable */
  s->blocks = wh_alloc_array(alloc, n_counts + 1, sizeof *s->blocks);
  if (!begin || !s->blocks) {
    wh_free(alloc, begin);
    return WH_OOM("schedule");
  }
  for (size_t c = 0; c < n_counts; c++) {
    counts[c].index = (uint32_t)s->n_blocks;
    if (!counts[c].n_phases) continue; /* only views */
    s->blocks[s->n_blocks++] =
        (wh_schedule_block){.first_phase = s->n_phases, .device = (uint16_t)(c % WH_PLAN_MAX_DEVICES)};
    s->n_phases += counts[c].n_phases;
  }
  for (size_t n = 0; n < g->n_nodes; n++) {
    uint32_t b = counts[s->block_of[n]].index;
    s->block_of[n] = b;
    s->phase[n] += b < s->n_blocks ? s->blocks[b].first_phase : s->n_phases;
    if (wh_node_is_view(&g->nodes[n])) continue;
    begin[s->phase[n] + 1]++;
    s->blocks[b].n++;
    s->n++;
  }
  for (size_t b = 1; b < s->n_blocks; b++) s->blocks[b].first = s->blocks[b - 1].first + s->blocks[b - 1].n;
  for (size_t p = 1; p <= s->n_phases; p++) begin[p] += begin[p - 1];
  for (size_t n = 0; n < g->n_nodes; n++)
    if (!wh_node_is_view(&g->nodes[n])) s->order[begin[s->phase[n]]++] = (wh_node)n;
  wh_free(alloc, begin);
  return WH_OK;
}

wh_status wh_schedule_create(const wh_graph *g, const uint16_t *device_of, const wh_allocator *alloc,
                             wh_schedule *out) {
  wh_schedule s = {0};
  s.order = wh_alloc_array(alloc, g->n_nodes + 1, sizeof *s.order);
  s.phase = wh_alloc_array(alloc, g->n_nodes + 1, sizeof *s.phase);
  s.block_of = wh_alloc_array(alloc, g->n_nodes + 1, sizeof *s.block_of);
  bool *travels = wh_alloc_array(alloc, g->n_nodes + 1, sizeof *travels);
  uint32_t n_stages = 0;
  if (travels) find_travelling(g, device_of, travels);
  if (s.phase && travels)
    for (size_t n = 0; n < g->n_nodes; n++) { /* stages stand in `phase` until blocks are numbered */
      s.phase[n] = stage_of(g, travels, s.phase, n);
      if (s.phase[n] + 1 > n_stages) n_stages = s.phase[n] + 1;
    }
  const size_t n_counts = (size_t)n_stages * WH_PLAN_MAX_DEVICES;
  block_count *counts = wh_alloc_array(alloc, n_counts + 1, sizeof *counts);
  wh_status st = s.order && s.phase && s.block_of && counts && travels ? WH_OK : WH_OOM("schedule");
  for (size_t n = 0; st == WH_OK && n < g->n_nodes; n++)
    s.block_of[n] = s.phase[n] * WH_PLAN_MAX_DEVICES + device(device_of, n);
  for (size_t n = 0; st == WH_OK && n < g->n_nodes; n++) {
    s.phase[n] = phase_of(g, s.block_of, s.phase, n);
    block_count *c = &counts[s.block_of[n]];
    if (!wh_node_is_view(&g->nodes[n]) && s.phase[n] + 1 > c->n_phases) c->n_phases = s.phase[n] + 1;
  }
  if (st == WH_OK) st = order_nodes(g, &s, counts, n_counts, alloc);
  wh_free(alloc, travels);
  wh_free(alloc, counts);
  if (st != WH_OK) {
    wh_schedule_deinit(&s, alloc);
    return st;
  }
  *out = s;
  return WH_OK;
}

void wh_schedule_deinit(wh_schedule *s, const wh_allocator *alloc) {
  wh_free(alloc, s->order);
  wh_free(alloc, s->phase);
  wh_free(alloc, s->block_of);
  wh_free(alloc, s->blocks);
  *s = (wh_schedule){0};
}
