/* base/thread_binding.h - where the workers of a team run: a pure function of the machine and of what was
 * asked for.
 *
 * Binding serves one thing here: a worker finds the memory that it touched first near by. That needs it to
 * stay on its memory node, and no more; so workers are bound to nodes, and only where there are several.
 * Inside a node the system places them, which knows what else runs there: two processes on one machine are
 * never pinned onto the same cores. docs/adr/0007-workers-are-bound-to-nodes.md */
#ifndef WH_BASE_THREAD_BINDING_H
#define WH_BASE_THREAD_BINDING_H

#include <stdbool.h>

#include "core/base/topology.h"
#include "whimbrel/device.h"

typedef struct wh_thread_binding {
  const wh_allocator *alloc;
  wh_binding mode;    /* what it came to: never AUTO */
  const char *reason; /* one phrase, static */
  int n_workers;
  int n_nodes;    /* nodes that have workers; 1 when not bound */
  int *node_of;   /* [n_workers] 0..n_nodes-1, ascending: neighbours in number are neighbours in place */
  int *set_begin; /* [n_workers + 1] into set_cpus; NULL when not bound */
  int *set_cpus;  /* the processors that each worker may use */
} wh_thread_binding;

/* Workers are spread over the nodes in proportion to their cores, on the fastest cores of each. The caller
 * owns *out: wh_thread_binding_deinit. The only failure is ERR_OUT_OF_MEMORY. */
WH_NODISCARD wh_status wh_thread_binding_plan(const wh_topology *topology, int n_workers, wh_binding wanted,
                                              const wh_allocator *alloc, wh_thread_binding *out);
void wh_thread_binding_deinit(wh_thread_binding *binding); /* NULL and a zeroed struct are fine */

#endif
