/* team_internal.h - what team.c and team_region.c share. */
#ifndef WH_BASE_TEAM_INTERNAL_H
#define WH_BASE_TEAM_INTERNAL_H

#include <stdatomic.h>

#include "core/base/team.h"
#include "core/base/turn.h"

/* Step in the high half, items handed out in the low half. */
typedef struct team_counter {
  _Alignas(64) _Atomic uint64_t next;
} team_counter;

struct wh_team {
  const wh_allocator *alloc;
  int n_threads;
  wh_turn turn;                  /* of the callers */
  uint64_t serial;               /* tells teams apart also when one has the memory of another */
  int *set_begin, *cpus;         /* [n_threads + 1]; the processors of each worker; NULL: not bound */
  int n_nodes, *node_of;         /* of each worker; NULL with one node */
  struct team_counter *counters; /* [n_nodes] of wh_team_claim */
  _Alignas(64) atomic_uint arrived;
  _Alignas(64) atomic_uint generation;
  team_counter all; /* of wh_team_next */
  team_counter near[WH_TEAM_SHARES];
  _Alignas(64) char fork_order, join_order;
};

#endif
