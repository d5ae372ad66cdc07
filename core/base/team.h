/* base/team.h - a thread team: one OpenMP parallel region per program, our own barrier inside it. Regions of
 * one team follow each other, whichever threads ask for them: the barrier and the counters are the team's. */
#ifndef WH_BASE_TEAM_H
#define WH_BASE_TEAM_H

#include "core/base/thread_binding.h"

#define WH_TEAM_MAX_THREADS 1024

typedef struct wh_team wh_team;

/* What a function running on the team sees. Lives on the worker's stack. */
typedef struct wh_worker {
  int32_t index, count; /* 0 <= index < count */
  wh_team *team;
} wh_worker;

typedef void (*wh_team_fn)(void *arg, const wh_worker *worker);

/* n_threads >= 1. cpus: n_threads logical processors to bind to, or NULL to leave that to the system. */
WH_NODISCARD wh_status wh_team_create(int n_threads, const int *cpus, const wh_allocator *alloc,
                                      wh_team **out);
/* As many workers as the binding has, each bound as it says while a region runs: between regions the
 * caller's own thread is as it was. */
WH_NODISCARD wh_status wh_team_create_bound(const wh_thread_binding *binding, const wh_allocator *alloc,
                                            wh_team **out);
void wh_team_destroy(wh_team *team);
int wh_team_size(const wh_team *team);
int wh_team_nodes(const wh_team *team); /* of memory, whose shares claims keep apart */

/* Runs fn once on every worker and returns when all have returned. Callers from several threads take turns in
 * the order in which they came; fn must not call it for the same team. */
void wh_team_run(wh_team *team, wh_team_fn fn, void *arg);

/* Runs fn on the calling thread as the only worker, in its turn: for what is over before others have woken.
 */
void wh_team_run_alone(wh_team *team, wh_team_fn fn, void *arg);

/* As wh_team_run, for a function that only wants to know which part of how many it is. */
typedef void (*wh_team_part_fn)(void *arg, int index, int count);
void wh_team_run_parts(wh_team *team, wh_team_part_fn fn, void *arg);

/* Every worker of the region must call it. Spins briefly, then yields: threads may share a processor. */
void wh_team_barrier(const wh_worker *worker);

/* A shared counter for handing out work inside one step of a region: the first caller of a step gets 0, the
 * next 1 ... A worker leaves a step only when its items are used up; no barrier is needed between steps.
 * Steps start at 1 and grow along the region; a worker that comes late to a step which others have left gets
 * INT64_MAX. */
int64_t wh_team_next(const wh_worker *worker, uint32_t step);

/* The same for a known number of items, each memory node first on its own: the items are split over the nodes
 * as wh_worker_range splits them over the workers, and a node whose share is used up helps the others.
 * INT64_MAX when nothing is left. A step uses one of these functions. */
int64_t wh_team_claim(const wh_worker *worker, uint32_t step, int64_t n_items);

/* The same for items of which neighbours are best done by one worker, as its caches have what they read:
 * every worker has a share of `per_share` items, and helps the others when that is used up. Of large teams
 * neighbours have one share together. False: nothing is left. */
#define WH_TEAM_SHARES 8
static inline int wh_team_shares(const wh_worker *w) {
  return w->count < WH_TEAM_SHARES ? w->count : WH_TEAM_SHARES;
}
typedef struct wh_team_item {
  int64_t share, item; /* 0 <= item < per_share */
} wh_team_item;
bool wh_team_claim_near(const wh_worker *worker, uint32_t step, int64_t per_share, wh_team_item *out);

/* Splits n items evenly: [*begin, *end) for this worker; contiguous, the same for the same n. */
static inline void wh_worker_range(const wh_worker *w, int64_t n, int64_t *begin, int64_t *end) {
  *begin = n * w->index / w->count;
  *end = n * (w->index + 1) / w->count;
}

#endif
