/* task_cut.h - tasks that workers claim one after the other, the last ones in parts: workers, of which any
 * may be slower for a while, then end nearly together. */
#ifndef WH_CPU_TASK_CUT_H
#define WH_CPU_TASK_CUT_H

#include "backends/cpu/whole.h"
#include "core/base/team.h"

#define WH_TASK_PARTS 4

/* Items are whole tasks, then parts of one task of each worker. */
typedef struct wh_task_cut {
  int64_t n_whole, n_items;
} wh_task_cut;

typedef struct wh_task_part {
  int64_t task, part, of;
} wh_task_part;

/* Not where memory nodes have shares of the items, which would have to be of one size. */
static inline wh_task_cut wh_cut_tasks(int64_t n_tasks, const wh_worker *worker) {
  const bool cuts = worker->count > 1 && wh_team_nodes(worker->team) == 1;
  const int64_t cut = cuts ? min_i64(n_tasks, worker->count) : 0;
  return (wh_task_cut){n_tasks - cut, n_tasks - cut + cut * WH_TASK_PARTS};
}

static inline wh_task_part wh_task_part_at(const wh_task_cut *c, int64_t item) {
  const int64_t behind = item - c->n_whole;
  if (behind < 0) return (wh_task_part){item, 0, 1};
  return (wh_task_part){c->n_whole + behind / WH_TASK_PARTS, behind % WH_TASK_PARTS, WH_TASK_PARTS};
}

/* The same for the two workers of a team, which take whole tasks each from its own end, and the parts of
 * those that are left in the middle: of ordered tasks each has much the same ones in every step. `taken`: how
 * many whole ones it had so far. */
static inline wh_task_part wh_task_part_from_end(const wh_task_cut *c, int64_t item, const wh_worker *worker,
                                                 int64_t *taken) {
  wh_task_part part = wh_task_part_at(c, item);
  if (part.of == 1) {
    const int64_t n_tasks = c->n_whole + (c->n_items - c->n_whole) / WH_TASK_PARTS, nth = (*taken)++;
    part.task = worker->index ? n_tasks - 1 - nth : nth;
  } else {
    part.task += (worker->index ? c->n_whole - *taken : *taken) - c->n_whole;
  }
  return part;
}

/* The part's share of [*begin, *end), in units; may be none. */
static inline void wh_task_share(const wh_task_part *p, int64_t unit, int64_t *begin, int64_t *end) {
  const int64_t first = *begin, units = ceil_div(*end - first, unit);
  *begin = first + units * p->part / p->of * unit;
  *end = min_i64(*end, first + units * (p->part + 1) / p->of * unit);
}

#endif
