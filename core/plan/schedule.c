/* schedule.c - see schedule.h. */
#include "core/plan/schedule.h"

static uint32_t node_phase(const wh_graph *g, const uint32_t *phase, size_t n) {
  const wh_node_info *node = &g->nodes[n];
  uint32_t p = 0;
  for (unsigned i = 0; i < node->n_inputs; i++) {
    const wh_value_info *v = &g->values[node->inputs[i]];
    if (!node->inputs[i] || v->kind != WH_VALUE_NODE) continue;
    uint32_t after = phase[v->producer] + (wh_node_is_view(node) ? 0 : 1);
    if (after > p) p = after;
  }
  return p;
}

wh_status wh_schedule_create(const wh_graph *g, const wh_allocator *alloc, wh_schedule *out) {
  wh_schedule s = {0};
  s.order = wh_alloc_array(alloc, g->n_nodes + 1, sizeof *s.order);
  s.phase = wh_alloc_array(alloc, g->n_nodes + 1, sizeof *s.phase);
  size_t *begin = wh_alloc_array(alloc, g->n_nodes + 2, sizeof *begin); /* counting sort by phase, stable */
  if (!s.order || !s.phase || !begin) {
    wh_free(alloc, begin);
    wh_schedule_deinit(&s, alloc);
    return WH_OOM("schedule");
  }
  for (size_t n = 0; n < g->n_nodes; n++) {
    s.phase[n] = node_phase(g, s.phase, n);
    if (wh_node_is_view(&g->nodes[n])) continue;
    if (s.phase[n] + 1 > s.n_phases) s.n_phases = s.phase[n] + 1;
    begin[s.phase[n] + 1]++;
    s.n++;
  }
  for (size_t p = 1; p <= s.n_phases; p++) begin[p] += begin[p - 1];
  for (size_t n = 0; n < g->n_nodes; n++)
    if (!wh_node_is_view(&g->nodes[n])) s.order[begin[s.phase[n]]++] = (wh_node)n;
  wh_free(alloc, begin);
  *out = s;
  return WH_OK;
}

void wh_schedule_deinit(wh_schedule *s, const wh_allocator *alloc) {
  wh_free(alloc, s->order);
  wh_free(alloc, s->phase);
  *s = (wh_schedule){0};
}
