/* timing.c - repetitions between two measurements of the limit, and their medians. */
#define _GNU_SOURCE
#include "bench/timing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

double timing_now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double timing_median(double *values, size_t n) {
  qsort(values, n, sizeof *values, compare_doubles);
  return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

static double seconds_per_run(const timing_task *task) {
  double begin = timing_now(), passed;
  int runs = 0;
  do {
    task->run(task->arg);
    runs++;
    passed = timing_now() - begin;
  } while (passed < task->min_seconds);
  return passed / runs;
}

timing timing_measure(const timing_task *task) {
  double seconds[TIMING_REPS_MAX], rate[TIMING_REPS_MAX], limit[TIMING_REPS_MAX], share[TIMING_REPS_MAX];
  timing out = {0};
  for (int left = TIMING_ATTEMPTS * task->reps; left > 0 && out.kept < task->reps; left--) {
    double before = task->limit(task->arg), s = seconds_per_run(task), after = task->limit(task->arg);
    if (before > TIMING_DRIFT * after || after > TIMING_DRIFT * before) continue;
    seconds[out.kept] = s;
    rate[out.kept] = task->amount / s;
    limit[out.kept] = 0.5 * (before + after);
    if (rate[out.kept] > limit[out.kept] && !task->is_peer) {
      limit[out.kept] = rate[out.kept];
      out.raised++;
    }
    share[out.kept] = rate[out.kept] / limit[out.kept];
    out.kept++;
  }
  if (out.kept == 0) return out;
  size_t n = (size_t)out.kept;
  out.seconds = timing_median(seconds, n);
  out.rate = timing_median(rate, n);
  out.limit = timing_median(limit, n);
  out.share = timing_median(share, n);
  out.share_min = share[0];
  out.share_max = share[n - 1];
  return out;
}

const char *timing_note(const timing *t, char text[TIMING_NOTE_BYTES]) {
  text[0] = '\0';
  if (t->raised)
    (void)snprintf(text, TIMING_NOTE_BYTES, " (limit raised %d time%s)", t->raised,
                   t->raised == 1 ? "" : "s");
  return text;
}

void *timing_alloc(size_t bytes) {
  const size_t huge = (size_t)2 << 20, rounded = (bytes + huge - 1) / huge * huge;
  void *p = rounded < bytes ? NULL : aligned_alloc(huge, rounded);
  if (!p) {
    (void)fprintf(stderr, "out of memory (%zu bytes)\n", bytes);
    exit(1);
  }
  (void)madvise(p, rounded, MADV_HUGEPAGE);
  memset(p, 0, rounded);
  return p;
}
