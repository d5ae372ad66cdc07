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
