/* plan/memory_plan.h - gives every buffer an offset inside one arena.
 * Knows nothing of tensors or devices: a buffer is (size, first step, last step). */
#ifndef WH_PLAN_MEMORY_PLAN_H
#define WH_PLAN_MEMORY_PLAN_H

#include "core/base/allocator.h"

typedef struct wh_plan_buffer {
  size_t size;          /* bytes */
  uint32_t first, last; /* steps in which it is live, inclusive */
  size_t offset;        /* result, a multiple of WH_PLAN_ALIGN */
} wh_plan_buffer;

#define WH_PLAN_ALIGN 64

typedef struct wh_memory_plan {
  size_t arena_bytes;
  size_t lower_bound_bytes; /* most bytes live in one step */
  size_t unshared_bytes;    /* sum of all sizes */
} wh_memory_plan;

/* Greedy by size, best fit (Pisarchyk and Lee 2020, "Efficient Memory Management for Deep Neural Net
 * Inference"): buffers from the largest down go to the smallest gap between those already placed that are
 * live at the same time. */
WH_NODISCARD wh_status wh_plan_memory(wh_plan_buffer *buffers, size_t n, const wh_allocator *alloc,
                                      wh_memory_plan *out);

#endif
