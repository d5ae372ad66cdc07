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

/* The next task of a worker's share, which are neighbours (wh_team_claim_near), its last ones in parts;
 * false: none is left. */
static inline bool wh_claim_near(const wh_worker *w, uint32_t step, int64_t n_tasks, int64_t parts,
                                 wh_task_part *out) {
  const int64_t shares = wh_team_shares(w), workers = ceil_div(w->count, shares),
                per_share = ceil_div(n_tasks, shares) + workers * (parts - 1);
  for (wh_team_item i; wh_team_claim_near(w, step, per_share, &i);) {
    const int64_t begin = n_tasks * i.share / shares, end = n_tasks * (i.share + 1) / shares,
                  whole = end - begin - min_i64(workers, end - begin), part = i.item - whole;
    *out = part < 0 ? (wh_task_part){begin + i.item, 0, 1}
                    : (wh_task_part){begin + whole + part / parts, part % parts, parts};
    if (out->task < end) return true;
  }
  return false;
}

/* The part's share of [*begin, *end), in units; may be none. */
static inline void wh_task_share(const wh_task_part *p, int64_t unit, int64_t *begin, int64_t *end) {
  const int64_t first = *begin, units = ceil_div(*end - first, unit);
  *begin = first + units * p->part / p->of * unit;
  *end = min_i64(*end, first + units * (p->part + 1) / p->of * unit);
}

#endif
