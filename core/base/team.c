/* team.c - a team's life, its barrier and its step counter. An OpenMP barrier costs several times as much as
 * this one. The region itself is in team_region.c. */
#define _GNU_SOURCE
#include "core/base/team_internal.h"

#include <sched.h>
#include <string.h>

#define SPINS_BEFORE_YIELD 4096

/* Copies the lists; the team is the caller's to destroy, also on failure. */
static wh_status take_binding(wh_team *t, const int *set_begin, const int *cpus, const int *node_of,
                              int n_nodes) {
  size_t n = (size_t)t->n_threads;
  t->n_nodes = n_nodes;
  t->counters = wh_alloc_uninit(t->alloc, (size_t)n_nodes * sizeof *t->counters, _Alignof(team_counter));
  if (!t->counters) return WH_OOM("thread team");
  for (int i = 0; i < n_nodes; i++) atomic_init(&t->counters[i].next, 0);
  if (set_begin) {
    t->set_begin = wh_alloc_array(t->alloc, n + 1, sizeof *t->set_begin);
    t->cpus = wh_alloc_array(t->alloc, (size_t)set_begin[n], sizeof *t->cpus);
    if (!t->set_begin || !t->cpus) return WH_OOM("thread team");
    memcpy(t->set_begin, set_begin, (n + 1) * sizeof *set_begin);
    memcpy(t->cpus, cpus, (size_t)set_begin[n] * sizeof *cpus);
  }
  if (n_nodes > 1) {
    t->node_of = wh_alloc_array(t->alloc, n, sizeof *t->node_of);
    if (!t->node_of) return WH_OOM("thread team");
    memcpy(t->node_of, node_of, n * sizeof *node_of);
  }
  return WH_OK;
}

static wh_status create(int n_threads, const int *set_begin, const int *cpus, const int *node_of, int n_nodes,
                        const wh_allocator *alloc, wh_team **out) {
  static _Atomic uint64_t last_serial;
  if (n_threads < 1 || n_threads > WH_TEAM_MAX_THREADS)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%d threads: must be 1 to %d", n_threads, WH_TEAM_MAX_THREADS);
  wh_team *t = wh_alloc_uninit(alloc, sizeof *t, _Alignof(wh_team));
  if (!t) return WH_OOM("thread team");
  memset(t, 0, sizeof *t);
  t->alloc = alloc;
  t->n_threads = n_threads;
  t->serial = atomic_fetch_add(&last_serial, 1) + 1;
  wh_turn_init(&t->turn);
  atomic_init(&t->arrived, 0);
  atomic_init(&t->generation, 0);
  atomic_init(&t->all.next, 0);
  for (int i = 0; i < WH_TEAM_SHARES; i++) atomic_init(&t->near[i].next, 0);
  wh_status st = take_binding(t, set_begin, cpus, node_of, n_nodes);
  if (st != WH_OK) {
    wh_team_destroy(t);
    return st;
  }
  *out = t;
  return WH_OK;
}

wh_status wh_team_create(int n_threads, const int *cpus, const wh_allocator *alloc, wh_team **out) {
  if (!cpus || n_threads < 1 || n_threads > WH_TEAM_MAX_THREADS)
    return create(n_threads, NULL, NULL, NULL, 1, alloc, out);
  int *set_begin = wh_alloc_array(alloc, (size_t)n_threads + 1, sizeof *set_begin);
  if (!set_begin) return WH_OOM("thread team");
  for (int i = 0; i <= n_threads; i++) set_begin[i] = i;
  wh_status st = create(n_threads, set_begin, cpus, NULL, 1, alloc, out);
  wh_free(alloc, set_begin);
  return st;
}

wh_status wh_team_create_bound(const wh_thread_binding *p, const wh_allocator *alloc, wh_team **out) {
  return create(p->n_workers, p->set_begin, p->set_cpus, p->node_of, p->n_nodes, alloc, out);
}

void wh_team_destroy(wh_team *t) {
  if (!t) return;
  wh_turn_deinit(&t->turn);
  wh_free(t->alloc, t->counters);
  wh_free(t->alloc, t->set_begin);
  wh_free(t->alloc, t->cpus);
  wh_free(t->alloc, t->node_of);
  wh_free(t->alloc, t);
}

int wh_team_size(const wh_team *t) { return t->n_threads; }
int wh_team_nodes(const wh_team *t) { return t->n_nodes; }

void wh_team_barrier(const wh_worker *w) {
  if (w->count == 1) return;
  wh_team *t = w->team;
  unsigned gen = atomic_load_explicit(&t->generation, memory_order_acquire);
  if (atomic_fetch_add_explicit(&t->arrived, 1, memory_order_acq_rel) + 1 == (unsigned)w->count) {
    atomic_store_explicit(&t->arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&t->generation, gen + 1, memory_order_release);
    return;
  }
  for (int spins = 0; atomic_load_explicit(&t->generation, memory_order_acquire) == gen; spins++) {
    if (spins < SPINS_BEFORE_YIELD) {
#if defined(__x86_64__) || defined(__i386__)
      __builtin_ia32_pause();
#endif
    } else {
      (void)sched_yield();
    }
  }
}

static int64_t take(team_counter *counter, uint32_t step) {
  _Atomic uint64_t *next = &counter->next;
  uint64_t old = atomic_load_explicit(next, memory_order_relaxed), want;
  do {
    uint32_t current = (uint32_t)(old >> 32);
    if (current > step) return INT64_MAX; /* another worker has left this step: its items are all taken */
    want = current == step ? old + 1 : ((uint64_t)step << 32 | 1);
  } while (
      !atomic_compare_exchange_weak_explicit(next, &old, want, memory_order_relaxed, memory_order_relaxed));
  return (int64_t)(want & 0xffffffffu) - 1;
}

int64_t wh_team_next(const wh_worker *w, uint32_t step) { return take(&w->team->all, step); }

/* The first worker of a node; n_threads past the last node. */
static int64_t first_worker(const wh_team *t, int node) {
  int w = 0;
  while (w < t->n_threads && t->node_of[w] < node) w++;
  return w;
}

int64_t wh_team_claim(const wh_worker *w, uint32_t step, int64_t n_items) {
  wh_team *t = w->team;
  if (!t->node_of || w->count != t->n_threads) { /* the system gave fewer threads: shares would not fit */
    int64_t item = take(&t->counters[0], step);
    return item < n_items ? item : INT64_MAX;
  }
  for (int k = 0; k < t->n_nodes; k++) {
    int node = (t->node_of[w->index] + k) % t->n_nodes;
    int64_t begin = n_items * first_worker(t, node) / w->count,
            end = n_items * first_worker(t, node + 1) / w->count;
    if (begin == end) continue;
    int64_t item = take(&t->counters[node], step);
    if (item < end - begin) return begin + item;
  }
  return INT64_MAX;
}

bool wh_team_claim_near(const wh_worker *w, uint32_t step, int64_t per_share, wh_team_item *out) {
  const int n = wh_team_shares(w), own = (int)((int64_t)w->index * n / w->count);
  for (int k = 0; k < n; k++) {
    out->share = (own + k) % n;
    out->item = take(&w->team->near[out->share], step);
    if (out->item < per_share) return true;
  }
  return false;
}

typedef struct part_job {
  wh_team_part_fn fn;
  void *arg;
} part_job;

static void run_part(void *arg, const wh_worker *worker) {
  const part_job *job = arg;
  job->fn(job->arg, worker->index, worker->count);
}

void wh_team_run_parts(wh_team *team, wh_team_part_fn fn, void *arg) {
  part_job job = {fn, arg};
  wh_team_run(team, run_part, &job);
}
