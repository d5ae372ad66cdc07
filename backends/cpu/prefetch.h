/* prefetch.h - how products ask for weights that are read once (few rows: decoding), which is what depends on
 * the processor's make. Non-temporal prefetches pass the outer caches by, whose evictions cost bandwidth; but
 * some processors drop them or fetch less of them at a time, and read at half their speed. Others foresee a
 * forward stream so well that asking only takes up what they would fetch with. No instruction says which kind
 * a processor is, so a table does, with its evidence. Results cannot depend on it. */
#ifndef WH_CPU_PREFETCH_H
#define WH_CPU_PREFETCH_H

#include <stdint.h>

typedef struct wh_cpu_make {
  char vendor[13];        /* "GenuineIntel"; empty: unknown */
  uint32_t family, model; /* with their extended parts */
} wh_cpu_make;

/* From CPUID leaf 0's ebx, edx and ecx, and leaf 1's eax. */
wh_cpu_make wh_cpu_make_decode(const uint32_t vendor[3], uint32_t leaf1_eax);
/* This processor's; unknown where there is no CPUID. */
wh_cpu_make wh_cpu_make_detect(void);

typedef enum wh_cpu_fetch {
  WH_CPU_FETCH = 0,         /* into all caches */
  WH_CPU_FETCH_PAST_CACHES, /* past the outer ones */
  WH_CPU_FETCH_NOT,  /* left to the processor by the kernels that gain from it; others as WH_CPU_FETCH */
  WH_CPU_FETCH_NEAR, /* into all caches; few rows of quantised weights near before their use, with
                      AVX-512 several panels side by side */
} wh_cpu_fetch;

/* `why`: the table's words, static. Makes that are not in the table: into all caches. */
wh_cpu_fetch wh_cpu_fetch_of(const wh_cpu_make *make, const char **why);

#endif
