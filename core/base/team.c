/* team.c - OpenMP starts and ends the region; inside it, a sense-counting barrier and a step counter of our
 * own, since an OpenMP barrier costs several times as much. */
#define _GNU_SOURCE
#include "core/base/team.h"

#include <omp.h>
#include <sched.h>
#include <stdatomic.h>

/* libgomp is not built for ThreadSanitizer, so tell it what fork and join order. */
#if defined(__SANITIZE_THREAD__)
#define WH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WH_TSAN 1
#endif
#endif
#ifdef WH_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define ORDER_RELEASE(p) __tsan_release(p)
#define ORDER_ACQUIRE(p) __tsan_acquire(p)
#else
#define ORDER_RELEASE(p) ((void)(p))
#define ORDER_ACQUIRE(p) ((void)(p))
#endif

#define SPINS_BEFORE_YIELD 4096

struct wh_team {
  const wh_allocator *alloc;
  int n_threads;
  int *cpus;
  _Alignas(64) atomic_uint arrived;
  _Alignas(64) atomic_uint generation;
  _Alignas(64) _Atomic uint64_t next; /* step in the high half, items handed out in the low half */
  _Alignas(64) char fork_order, join_order;
};

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

static void bind_to(int cpu) {
  static _Thread_local int bound = -1;
  if (cpu == bound || cpu < 0 || cpu >= CPU_SETSIZE) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((size_t)cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) == 0) bound = cpu; /* a refusal costs speed, not the answer */
}

void wh_team_run(wh_team *t, wh_team_fn fn, void *arg) {
  atomic_store_explicit(&t->next, 0, memory_order_relaxed);
  if (t->n_threads == 1) {
    wh_worker w = {0, 1, t};
    fn(arg, &w);
    return;
  }
  ORDER_RELEASE(&t->fork_order);
#pragma omp parallel num_threads(t->n_threads)
  {
    ORDER_ACQUIRE(&t->fork_order);
    wh_worker w = {omp_get_thread_num(), omp_get_num_threads(), t};
    if (t->cpus && w.index > 0) bind_to(t->cpus[w.index]); /* the caller's own thread is left alone */
    fn(arg, &w);
    ORDER_RELEASE(&t->join_order);
  }
  ORDER_ACQUIRE(&t->join_order);
}

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
