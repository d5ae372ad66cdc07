/* base/memory_budget.h - how much more memory this process may take before the system refuses it or ends the
 * process.
 *
 * Pages of mapped files count as free: the system drops them when it needs room. */
#ifndef WH_BASE_MEMORY_BUDGET_H
#define WH_BASE_MEMORY_BUDGET_H

#include "core/base/allocator.h"

typedef struct wh_memory_budget {
  uint64_t available; /* bytes; UINT64_MAX: nobody says */
  char limit[96];     /* what sets it, for a message: "the control group's limit of 2.0 GiB" */
} wh_memory_budget;

/* The least of what control groups (versions 1 and 2, with the groups above), the resource limits of address
 * space and data, and the machine (free memory, what it can reclaim, swap) leave. What the system does not
 * tell counts as no limit: the only failure is ERR_OUT_OF_MEMORY. A few small files, well under a
 * millisecond. */
WH_NODISCARD wh_status wh_memory_budget_read(const wh_allocator *alloc, wh_memory_budget *out);

/* The same for a file tree in front of /proc and /sys, and given resource limits (UINT64_MAX: none). */
typedef struct wh_memory_rlimits {
  uint64_t address_space, data;
} wh_memory_rlimits;
WH_NODISCARD wh_status wh_memory_budget_read_from(const char *root, const wh_memory_rlimits *limits,
                                                  const wh_allocator *alloc, wh_memory_budget *out);

#define WH_BYTES_TEXT 24
/* "93.8 MiB". Returns `out`. */
const char *wh_bytes_text(uint64_t n_bytes, char out[WH_BYTES_TEXT]);

#endif
