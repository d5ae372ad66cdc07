/* base/cpu_budget.h - which processors this process may use, and how much of their time.
 *
 * Read at every start, so it takes one system call and a few small files (well under a millisecond). Caches
 * and NUMA nodes are topology.h's, which asks hwloc and costs more. */
#ifndef WH_BASE_CPU_BUDGET_H
#define WH_BASE_CPU_BUDGET_H

#include "core/base/allocator.h"

typedef struct wh_cpu_budget {
  const wh_allocator *alloc;
  int n_cpus;     /* logical processors in the affinity mask, at least 1 */
  int n_cores;    /* physical cores they belong to */
  int *cpus;      /* [n_cpus] system indices, ascending */
  int *core_cpus; /* [n_cores] the first allowed processor of each core, ascending */
  double quota;   /* processors' worth of time that the control groups grant; 0: no limit */
  int n_nodes;    /* memory nodes of the machine that have processors; 1 when the system does not tell */
} wh_cpu_budget;

/* The calling thread's affinity mask and its control groups' limits. What the system does not tell counts as
 * no limit: the only failure is ERR_OUT_OF_MEMORY. The caller owns *out: wh_cpu_budget_deinit. */
WH_NODISCARD wh_status wh_cpu_budget_read(const wh_allocator *alloc, wh_cpu_budget *out);

/* The same for given processors (ascending, n >= 1) and a file tree: `root` goes in front of /proc and /sys,
 * and in front of the mount points that the tree's mountinfo names. */
WH_NODISCARD wh_status wh_cpu_budget_read_from(const char *root, const int *cpus, int n,
                                               const wh_allocator *alloc, wh_cpu_budget *out);
void wh_cpu_budget_deinit(wh_cpu_budget *budget); /* NULL and a zeroed struct are fine */

/* One thread per physical core, but no more than the quota pays for; at least 1. */
int wh_cpu_budget_threads(const wh_cpu_budget *budget);
int wh_cpu_threads_within(int n_cores, double quota);

/* The part of it that control groups limit: processors' worth of time, 0 for no limit. */
WH_NODISCARD wh_status wh_cgroup_cpu_quota(const char *root, const wh_allocator *alloc, double *out);

#endif
