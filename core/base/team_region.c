/* team_region.c - OpenMP starts and ends the region.
 *
 * libgomp is not built for ThreadSanitizer, which therefore cannot see that a fork orders what comes before
 * it and a join what comes after, nor how the compiler hands the region its variables. In that build this
 * file alone is compiled without the sanitizer (core/CMakeLists.txt) and tells it the order by hand. */
#define _GNU_SOURCE
#include <omp.h>
#include <sched.h>

#include "core/base/team_internal.h"

#ifdef WH_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
#define ORDER_RELEASE(p) __tsan_release(p)
#define ORDER_ACQUIRE(p) __tsan_acquire(p)
#else
#define ORDER_RELEASE(p) ((void)(p))
#define ORDER_ACQUIRE(p) ((void)(p))
#endif

/* Threads outlive regions and teams: each remembers whom it is bound for, and what it was allowed before. */
static _Thread_local uint64_t bound_for; /* a team's serial; 0: not bound */
static _Thread_local int32_t bound_as;   /* which of its workers */
static _Thread_local cpu_set_t allowed;

static void unbind(void) {
  if (bound_for && sched_setaffinity(0, sizeof allowed, &allowed) == 0) bound_for = 0;
}

/* A refusal costs speed, not the answer. */
static void bind_worker(const wh_team *t, int32_t index) {
  if (t->cpus ? bound_for == t->serial && bound_as == index : bound_for == 0) return;
  unbind();
  if (!t->cpus || bound_for || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int i = t->set_begin[index]; i < t->set_begin[index + 1]; i++)
    if (t->cpus[i] >= 0 && t->cpus[i] < CPU_SETSIZE) CPU_SET((size_t)t->cpus[i], &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) return;
  bound_for = t->serial;
  bound_as = index;
}

static void run_worker(wh_team *t, wh_team_fn fn, void *arg, int32_t index, int32_t count) {
  wh_worker w = {index, count, t};
  bind_worker(t, index);
  fn(arg, &w);
}

static void reset_counters(wh_team *t) {
  atomic_store_explicit(&t->all.next, 0, memory_order_relaxed);
  for (int i = 0; i < WH_TEAM_SHARES; i++) atomic_store_explicit(&t->near[i].next, 0, memory_order_relaxed);
  for (int i = 0; i < t->n_nodes; i++) atomic_store_explicit(&t->counters[i].next, 0, memory_order_relaxed);
}

static void run_region(wh_team *t, wh_team_fn fn, void *arg) {
  reset_counters(t);
  if (t->n_threads == 1) {
    run_worker(t, fn, arg, 0, 1);
  } else {
    ORDER_RELEASE(&t->fork_order);
#pragma omp parallel num_threads(t->n_threads)
    {
      ORDER_ACQUIRE(&t->fork_order);
      run_worker(t, fn, arg, omp_get_thread_num(), omp_get_num_threads());
      ORDER_RELEASE(&t->join_order);
    }
    ORDER_ACQUIRE(&t->join_order);
  }
  unbind(); /* the caller's thread is the caller's; the others stay where they are */
}

void wh_team_run(wh_team *t, wh_team_fn fn, void *arg) {
  wh_turn_begin(&t->turn);
  run_region(t, fn, arg);
  wh_turn_end(&t->turn);
}

void wh_team_run_alone(wh_team *t, wh_team_fn fn, void *arg) {
  wh_turn_begin(&t->turn);
  reset_counters(t);
  fn(arg, &(wh_worker){0, 1, t});
  wh_turn_end(&t->turn);
}
