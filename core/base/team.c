/* team.c - a team's life, its barrier and its step counter. An OpenMP barrier costs several times as much as
 * this one. The region itself is in team_region.c. */
#define _GNU_SOURCE
#include "core/base/team_internal.h"

#include <sched.h>

#define SPINS_BEFORE_YIELD 4096

wh_status wh_team_create(int n_threads, const int *cpus, const wh_allocator *alloc, wh_team **out) {
  if (n_threads < 1 || n_threads > WH_TEAM_MAX_THREADS)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%d threads: must be 1 to %d", n_threads, WH_TEAM_MAX_THREADS);
  wh_team *t = wh_alloc_uninit(alloc, sizeof *t, _Alignof(wh_team));
  int *copy = cpus ? wh_alloc_array(alloc, (size_t)n_threads, sizeof *copy) : NULL;
  if (!t || (cpus && !copy)) {
    wh_free(alloc, t);
    wh_free(alloc, copy);
    return WH_OOM("thread team");
  }
  for (int i = 0; cpus && i < n_threads; i++) copy[i] = cpus[i];
  t->alloc = alloc;
  t->n_threads = n_threads;
  t->cpus = copy;
  atomic_init(&t->arrived, 0);
  atomic_init(&t->generation, 0);
  atomic_init(&t->next, 0);
  *out = t;
  return WH_OK;
}

void wh_team_destroy(wh_team *t) {
  if (!t) return;
  wh_free(t->alloc, t->cpus);
  wh_free(t->alloc, t);
}

int wh_team_size(const wh_team *t) { return t->n_threads; }

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

int64_t wh_team_next(const wh_worker *w, uint32_t step) {
  _Atomic uint64_t *next = &w->team->next;
  uint64_t old = atomic_load_explicit(next, memory_order_relaxed), want;
  do {
    uint32_t current = (uint32_t)(old >> 32);
    if (current > step) return INT64_MAX; /* another worker has left this step: its items are all taken */
    want = current == step ? old + 1 : ((uint64_t)step << 32 | 1);
  } while (
      !atomic_compare_exchange_weak_explicit(next, &old, want, memory_order_relaxed, memory_order_relaxed));
  return (int64_t)(want & 0xffffffffu) - 1;
}
