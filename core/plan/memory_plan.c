/* memory_plan.c - see memory_plan.h. Quadratic in the number of buffers that overlap in time; graphs have
 * hundreds. */
#include "core/plan/memory_plan.h"

#include <stdlib.h>

static int by_size_then_time(const void *pa, const void *pb) {
  const wh_plan_buffer *a = *(wh_plan_buffer *const *)pa, *b = *(wh_plan_buffer *const *)pb;
  if (a->size != b->size) return a->size < b->size ? 1 : -1;
  if (a->first != b->first) return a->first < b->first ? -1 : 1;
  return a < b ? -1 : a > b; /* the array's order: the plan is a function of its input */
}

/* What the sweep looks at, side by side. */
typedef struct placed_buffer {
  size_t offset, end;
  uint32_t first, last;
} placed_buffer;

/* placed[] is kept in order of offset, so gaps are found in one sweep */
static size_t best_offset(const wh_plan_buffer *b, const placed_buffer *placed, size_t n_placed) {
  const uint32_t first = b->first, last = b->last;
  size_t best = SIZE_MAX, best_gap = SIZE_MAX, end = 0;
  for (size_t i = 0; i < n_placed; i++) {
    const placed_buffer *p = &placed[i];
    if ((first > p->last) | (p->first > last))
      continue; /* not at the same time; one jump, which is foreseen */
    if (p->offset > end && p->offset - end >= b->size && p->offset - end < best_gap) {
      best_gap = p->offset - end;
      best = end;
    }
    if (p->end > end) end = p->end;
  }
  return best != SIZE_MAX ? best : end;
}

wh_status wh_plan_memory(wh_plan_buffer *buffers, size_t n, const wh_allocator *alloc, wh_memory_plan *out) {
  wh_memory_plan plan = {0, 0, 0};
  uint32_t n_steps = 0;
  for (size_t i = 0; i < n; i++) {
    if (!wh_align_size(buffers[i].size, WH_PLAN_ALIGN, &buffers[i].size) ||
        !wh_add_size(plan.unshared_bytes, buffers[i].size, &plan.unshared_bytes))
      return WH_FAIL(ERR_LIMIT, "activations need more memory than can be addressed");
    if (buffers[i].last + 1 > n_steps) n_steps = buffers[i].last + 1;
  }
  wh_plan_buffer **order = wh_alloc_array(alloc, n + 1, sizeof(wh_plan_buffer *));
  placed_buffer *placed = wh_alloc_array(alloc, n + 1, sizeof *placed);
  size_t *live = wh_alloc_array(alloc, (size_t)n_steps + 1, sizeof *live);
  if (!order || !placed || !live) {
    wh_free(alloc, order);
    wh_free(alloc, placed);
    wh_free(alloc, live);
    return WH_OOM("memory plan");
  }
  for (size_t i = 0; i < n; i++) {
    order[i] = &buffers[i];
    for (uint32_t s = buffers[i].first; s <= buffers[i].last; s++) {
      live[s] += buffers[i].size;
      if (live[s] > plan.lower_bound_bytes) plan.lower_bound_bytes = live[s];
    }
  }
  qsort(order, n, sizeof *order, by_size_then_time);
  for (size_t i = 0; i < n; i++) {
    wh_plan_buffer *b = order[i];
    b->offset = best_offset(b, placed, i);
    size_t at = i;
    for (; at > 0 && placed[at - 1].offset > b->offset; at--) placed[at] = placed[at - 1];
    placed[at] = (placed_buffer){b->offset, b->offset + b->size, b->first, b->last};
    if (b->offset + b->size > plan.arena_bytes) plan.arena_bytes = b->offset + b->size;
  }
  wh_free(alloc, order);
  wh_free(alloc, placed);
  wh_free(alloc, live);
  *out = plan;
  return WH_OK;
}
