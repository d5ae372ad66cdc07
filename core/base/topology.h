/* base/topology.h - cores, caches and memory nodes that this process may use.
 *
 * hwloc describes the machine, cpu_budget.h says how much of it is ours. hwloc is asked for nothing that must
 * be probed (devices, distances); what is left costs 3 to 4 ms, most of it hwloc opening its plug-ins.
 * Whoever needs only a number of threads can have it from cpu_budget.h at a tenth of that. */
#ifndef WH_BASE_TOPOLOGY_H
#define WH_BASE_TOPOLOGY_H

#include "core/base/cpu_budget.h"

typedef struct wh_topology_core {
  int cpu;        /* its first allowed logical processor: what a thread binds to */
  int n_threads;  /* allowed logical processors */
  int node;       /* index into nodes, -1 when the system does not tell */
  int efficiency; /* hwloc's ranking, larger is faster; 0 when all cores are alike */
} wh_topology_core;

typedef struct wh_topology_node {
  int os_index;
  int n_cpus, *cpus;     /* allowed logical processors near it, ascending; 0 for memory without processors */
  uint64_t memory_bytes; /* 0: unknown */
} wh_topology_node;

typedef struct wh_topology {
  const wh_allocator *alloc;
  int n_cpus, n_cores, n_numa_nodes,
      n_packages;                       /* logical processors, physical cores ... that the process may use */
  wh_topology_core *cores;              /* [n_cores] fastest first, then by processor index */
  wh_topology_node *nodes;              /* [n_numa_nodes] */
  double quota;                         /* processors' worth of time that control groups grant; 0: no limit */
  size_t l1d_bytes, l2_bytes, l3_bytes; /* of cores[0]; 0: none or unknown */
  uint64_t memory_bytes;                /* of the machine; 0: unknown */
  char *model_name;                     /* of the processor; never NULL, "unknown" */
} wh_topology;

/* This machine. The caller owns *out: wh_topology_deinit. Where hwloc fails, there are cores but no caches
 * and nodes: the only failure is ERR_OUT_OF_MEMORY. */
WH_NODISCARD wh_status wh_topology_init(wh_topology *out, const wh_allocator *alloc);

/* A machine made up for a test: an hwloc synthetic description ("package:2 numa:1 l2:4 core:1 pu:2"), of
 * which `budget` (NULL: all) may be used. ERR_INVALID_ARGUMENT for a description that hwloc refuses,
 * ERR_UNAVAILABLE when nothing of it may be used. */
WH_NODISCARD wh_status wh_topology_init_synthetic(wh_topology *out, const char *description,
                                                  const wh_cpu_budget *budget, const wh_allocator *alloc);

/* The same from a topology that the caller has loaded, and keeps. */
struct hwloc_topology;
WH_NODISCARD wh_status wh_topology_init_hwloc(wh_topology *out, struct hwloc_topology *hwloc,
                                              const wh_cpu_budget *budget, const wh_allocator *alloc);

void wh_topology_deinit(wh_topology *topology); /* NULL and a zeroed struct are fine */

#endif
