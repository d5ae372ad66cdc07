/* measure.h - a team's roofline: what its threads can do at most with given features, now.
 *
 * Which loop gets the most out of a processor depends on its make, so several are timed and the best one
 * counts: they race in turns, the slower half of them leaving after each lap, and the winner at last against
 * itself on every second thread. */
#ifndef WH_CPU_MEASURE_H
#define WH_CPU_MEASURE_H

#include <stddef.h>

#include "backends/cpu/features.h"
#include "core/base/team.h"

typedef enum wh_measure_kind {
  WH_MEASURE_READ, /* bytes per second of loads from memory */
  WH_MEASURE_INT8, /* operations per second (2 per multiply-add) on bytes */
  WH_MEASURE_F32   /* ... on floats */
} wh_measure_kind;

/* One of the two functions: `read` reads memory and returns what keeps the loads alive, `peak` computes and
 * returns how many operations that were. */
typedef struct wh_measure_loop {
  const char *name; /* static: "loads with temporal prefetch" */
  uint64_t (*read)(const void *p, size_t n_bytes);
  double (*peak)(int64_t n);
} wh_measure_loop;

#define WH_MEASURE_LOOPS_MAX 24
/* The loops that the features allow, their number the result. */
int wh_measure_loops(uint64_t features, wh_measure_kind kind, wh_measure_loop out[WH_MEASURE_LOOPS_MAX]);

typedef struct wh_measured {
  double rate;
  const char *loop; /* the name of the best one */
  int n_threads;    /* that ran it */
} wh_measured;

/* What reading needs so that caches do not count: cyclic reads of four times the last cache still found a
 * sixth of their lines there. */
size_t wh_measure_buffer_bytes(size_t l3_bytes, uint64_t memory_bytes);

/* The best of `n_loops` (1 to WH_MEASURE_LOOPS_MAX), all workers at once, about `seconds` in all. For reads:
 * `buffer` is 64-byte aligned memory in huge pages that was written to, at least 4096 bytes a worker;
 * otherwise NULL and 0. */
wh_measured wh_measure_best(wh_team *team, const wh_measure_loop *loops, int n_loops, const void *buffer,
                            size_t n_bytes, double seconds);
/* Of all loops that the features allow. */
wh_measured wh_measure_rate(wh_team *team, uint64_t features, wh_measure_kind kind, const void *buffer,
                            size_t n_bytes, double seconds);

#endif
