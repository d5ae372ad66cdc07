/* team_internal.h - what team.c and team_region.c share. */
#ifndef WH_BASE_TEAM_INTERNAL_H
#define WH_BASE_TEAM_INTERNAL_H

#include <stdatomic.h>

#include "core/base/team.h"

struct wh_team {
  const wh_allocator *alloc;
  int n_threads;
  int *cpus;
  _Alignas(64) atomic_uint arrived;
  _Alignas(64) atomic_uint generation;
  _Alignas(64) _Atomic uint64_t next; /* step in the high half, items handed out in the low half */
  _Alignas(64) char fork_order, join_order;
};

#endif
