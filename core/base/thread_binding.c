/* thread_binding.c - see thread_binding.h. */
#include "core/base/thread_binding.h"

#include <stdlib.h>
#include <string.h>

void wh_thread_binding_deinit(wh_thread_binding *p) {
  if (!p) return;
  wh_free(p->alloc, p->node_of);
  wh_free(p->alloc, p->set_begin);
  wh_free(p->alloc, p->set_cpus);
  *p = (wh_thread_binding){0};
}

static int n_nodes_with_cores(const wh_topology *t) {
  int n = 0;
  for (int node = 0; node < t->n_numa_nodes; node++) n += t->nodes[node].n_cpus > 0;
  return n;
}

static bool every_core_has_a_node(const wh_topology *t) {
  for (int i = 0; i < t->n_cores; i++)
    if (t->cores[i].node < 0) return false;
  return t->n_cores > 0;
}

static wh_binding decide(const wh_topology *t, int n_workers, wh_binding wanted, const char **reason) {
  *reason = "asked for";
  if (wanted == WH_BINDING_NONE) return wanted;
  if (!t->cores || t->n_cores < 1) {
    *reason = "the cores are not known";
    return WH_BINDING_NONE;
  }
  if (wanted == WH_BINDING_CORES) return wanted;
  if (!every_core_has_a_node(t)) {
    *reason = "the memory nodes are not known";
    return WH_BINDING_NONE;
  }
  if (wanted == WH_BINDING_NODES) return wanted;
  if (n_nodes_with_cores(t) < 2) {
    *reason = "one memory node";
    return WH_BINDING_NONE;
  }
  if (t->quota > 0 && t->quota < t->n_cores) { /* its share of time may come from any processor */
    *reason = "the processor quota is smaller than the machine";
    return WH_BINDING_NONE;
  }
  if (n_workers < 2) {
    *reason = "one thread";
    return WH_BINDING_NONE;
  }
  *reason = "several memory nodes";
  return WH_BINDING_NODES;
}

static int node_of_core(const wh_topology *t, int core) {
  return t->cores[core].node < 0 ? 0 : t->cores[core].node;
}

/* Picks a core for each worker: each time from the node whose cores are taken the least, there the fastest.
 * When all cores are taken, another round begins. `taken` and `total` count per node. */
static void choose_cores(const wh_topology *t, int n_workers, int *core_of, int *uses, int *taken,
                         int *total) {
  int n_nodes = t->n_numa_nodes > 0 ? t->n_numa_nodes : 1;
  for (int i = 0; i < t->n_cores; i++) total[node_of_core(t, i)]++;
  for (int w = 0; w < n_workers; w++) {
    int node = -1, best = -1;
    for (int n = 0; n < n_nodes; n++)
      if (total[n] && (node < 0 || (int64_t)taken[n] * total[node] < (int64_t)taken[node] * total[n]))
        node = n;
    for (int i = 0; i < t->n_cores; i++) /* fastest first, as topology sorts them */
      if (node_of_core(t, i) == node && (best < 0 || uses[i] < uses[best])) best = i;
    core_of[w] = best;
    uses[best]++;
    taken[node]++;
  }
}

typedef struct seat {
  int node, core;
} seat;

static int compare_seats(const void *pa, const void *pb) {
  const seat *a = pa, *b = pb;
  if (a->node != b->node) return a->node < b->node ? -1 : 1;
  return (a->core > b->core) - (a->core < b->core);
}

static int n_cpus_of(const wh_topology *t, wh_binding mode, const seat *s) {
  return mode == WH_BINDING_CORES ? 1 : t->nodes[s->node].n_cpus;
}

static wh_status fill(wh_thread_binding *p, const wh_topology *t, const seat *seats) {
  size_t n = (size_t)p->n_workers, n_cpus = 0;
  for (size_t w = 0; w < n; w++) n_cpus += (size_t)n_cpus_of(t, p->mode, &seats[w]);
  p->node_of = wh_alloc_array(p->alloc, n, sizeof *p->node_of);
  p->set_begin = wh_alloc_array(p->alloc, n + 1, sizeof *p->set_begin);
  p->set_cpus = wh_alloc_array(p->alloc, n_cpus, sizeof *p->set_cpus);
  if (!p->node_of || !p->set_begin || !p->set_cpus) return WH_OOM("binding of threads");
  p->n_nodes = 0;
  for (size_t w = 0; w < n; w++) {
    const seat *s = &seats[w];
    int count = n_cpus_of(t, p->mode, s);
    const int *cpus = p->mode == WH_BINDING_CORES ? &t->cores[s->core].cpu : t->nodes[s->node].cpus;
    p->n_nodes += w == 0 || s->node != seats[w - 1].node;
    p->node_of[w] = p->n_nodes - 1;
    memcpy(p->set_cpus + p->set_begin[w], cpus, (size_t)count * sizeof *cpus);
    p->set_begin[w + 1] = p->set_begin[w] + count;
  }
  return WH_OK;
}

wh_status wh_thread_binding_plan(const wh_topology *t, int n_workers, wh_binding wanted,
                                 const wh_allocator *alloc, wh_thread_binding *out) {
  wh_thread_binding p = {.alloc = alloc, .n_workers = n_workers, .n_nodes = 1};
  p.mode = decide(t, n_workers, wanted, &p.reason);
  if (p.mode == WH_BINDING_NONE) {
    *out = p;
    return WH_OK;
  }
  size_t n_nodes = t->n_numa_nodes > 0 ? (size_t)t->n_numa_nodes : 1;
  seat *seats = wh_alloc_array(alloc, (size_t)n_workers, sizeof *seats);
  int *core_of = wh_alloc_array(alloc, (size_t)n_workers, sizeof *core_of);
  int *uses = wh_alloc_array(alloc, (size_t)t->n_cores, sizeof *uses);
  int *taken = wh_alloc_array(alloc, n_nodes, sizeof *taken),
      *total = wh_alloc_array(alloc, n_nodes, sizeof *total);
  wh_status st = seats && core_of && uses && taken && total ? WH_OK : WH_OOM("binding of threads");
  if (st == WH_OK) {
    choose_cores(t, n_workers, core_of, uses, taken, total);
    for (int w = 0; w < n_workers; w++) seats[w] = (seat){node_of_core(t, core_of[w]), core_of[w]};
    qsort(seats, (size_t)n_workers, sizeof *seats, compare_seats);
    st = fill(&p, t, seats);
  }
  wh_free(alloc, seats);
  wh_free(alloc, core_of);
  wh_free(alloc, uses);
  wh_free(alloc, taken);
  wh_free(alloc, total);
  if (st == WH_OK)
    *out = p;
  else
    wh_thread_binding_deinit(&p);
  return st;
}
