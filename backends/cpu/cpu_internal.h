/* cpu_internal.h - the CPU device, shared by the backend's own files. */
#ifndef WH_CPU_INTERNAL_H
#define WH_CPU_INTERNAL_H

#include "backends/cpu/fast_blas.h"
#include "backends/cpu/features.h"
#include "backends/cpu/rowops.h"
#include "core/backend_abi.h"
#include "core/base/placement.h"
#include "core/base/team.h"
#include "core/base/topology.h"

/* Of the panels that linear_q_pack.c and linear_f.c write: to be raised with every change of their bytes, or
 * pack caches on disk would be read wrongly. tests/kernels/test_pack_version.c notices when it was not. */
#define WH_CPU_PACK_VERSION 1u

typedef struct cpu_device {
  const wh_allocator *alloc;
  uint64_t available, features; /* masks: the machine's, and what may be used */
  wh_numerics numerics;
  wh_team *team;
  wh_rowops rowops;
  wh_fast_blas blas;    /* opened in mode `fast` only */
  wh_cpu_budget budget; /* what a start needs */
  wh_topology topology; /* asked for by reports only: hwloc costs milliseconds */
  bool has_topology;
  wh_placement placement; /* of the team; its lists are the team's own */
  char levels[96];
  bool past_caches;            /* how weights that are read once are asked for: prefetch.h */
  const char *past_caches_why; /* static */
  char reason[96];             /* "highest level in use is avx512vnni" */
  char product_reason[224];    /* the same for products with quantised weights, and how these are asked for */
} cpu_device;

/* nodes.c */
wh_status wh_cpu_claim(void *dev, const wh_graph *g, const wh_node_info *node, const int64_t *symbols_max,
                       wh_claim *out);
wh_status wh_cpu_compile(void *dev, const wh_graph *g, const wh_node_info *node, const int64_t *symbols_max,
                         wh_instr *instr);
void wh_cpu_release(void *dev, wh_instr *instr);
wh_status wh_cpu_pack(void *dev, const wh_graph *g, wh_pack_task *tasks, size_t n_tasks);
wh_status wh_cpu_value_bytes(void *dev, const wh_graph *g, const wh_shape *shape, bool is_state,
                             const int64_t *symbols, size_t *out);

/* cpu_backend.c: the topology, loaded at the first call; when that fails, what the budget knows */
const wh_topology *wh_cpu_topology(cpu_device *d);

/* measure.c */
wh_status wh_cpu_measure(void *dev, double seconds, wh_device_roofline *out);

#endif
