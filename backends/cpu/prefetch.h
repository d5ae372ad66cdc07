/* prefetch.h - how products ask for weights that are read once (few rows: decoding), which is what depends on
 * the processor's make. Non-temporal prefetches pass the outer caches by, whose evictions cost bandwidth; but
 * some processors drop them or fetch less of them at a time, and read at half their speed. No instruction
 * says which kind a processor is, so a table does, with its evidence. Results cannot depend on it. */
#ifndef WH_CPU_PREFETCH_H
#define WH_CPU_PREFETCH_H

#include <stdbool.h>
#include <stdint.h>

typedef struct wh_cpu_make {
  char vendor[13];        /* "GenuineIntel"; empty: unknown */
  uint32_t family, model; /* with their extended parts */
} wh_cpu_make;

/* From CPUID leaf 0's ebx, edx and ecx, and leaf 1's eax. */
wh_cpu_make wh_cpu_make_decode(const uint32_t vendor[3], uint32_t leaf1_eax);
/* This processor's; unknown where there is no CPUID. */
wh_cpu_make wh_cpu_make_detect(void);

/* Whether weights that are read once pass the outer caches by. `why`: the table's words, static. Makes that
 * are not in the table: no, which costs at most little where it is wrong. */
bool wh_cpu_prefetch_past_caches(const wh_cpu_make *make, const char **why);

#endif
