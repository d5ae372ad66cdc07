/* timing.h - the speed of a piece of work, each repetition between two measurements of the machine's limit.
 *
 * Shared machines change speed from second to second. A repetition whose two limits differ by more than
 * TIMING_DRIFT is dropped and run again, at most TIMING_ATTEMPTS times as often as asked; shares are medians
 * of the pairs. Nothing is faster than the machine: a repetition that beats both its limits has shown a
 * higher one, which counts, and `raised` says how often that was. */
#ifndef WH_BENCH_TIMING_H
#define WH_BENCH_TIMING_H

#include <stdbool.h>
#include <stddef.h>

#define TIMING_REPS_MAX 101
#define TIMING_DRIFT 1.15
#define TIMING_ATTEMPTS 3

typedef struct timing_task {
  void (*run)(void *arg);     /* the work, once */
  double (*limit)(void *arg); /* what the machine can do now, in units of `amount` per second */
  void *arg;
  double amount;      /* of work in one run: operations, bytes */
  double min_seconds; /* a repetition runs the work until this has passed */
  int reps;           /* 1 to TIMING_REPS_MAX */
  bool is_peer;       /* `limit` is another program's speed, which may be passed */
} timing_task;

typedef struct timing {
  double seconds, rate, limit, share; /* medians; share = rate / limit of the same repetition */
  double share_min, share_max;
  int kept;   /* repetitions; 0: the machine never stood still, all else is 0 */
  int raised; /* of these, how many were faster than the limit that was measured: its loops are at fault */
} timing;

timing timing_measure(const timing_task *task);

/* " (limit raised 2 times)", or nothing; a report's line ends with it. */
#define TIMING_NOTE_BYTES 48
const char *timing_note(const timing *t, char text[TIMING_NOTE_BYTES]);

double timing_now(void); /* seconds, monotonic */

/* Of n > 0 values, which it sorts. */
double timing_median(double *values, size_t n);

/* Zeroed memory in huge pages where the system has them, as weights are. Ends the program when there is none.
 */
void *timing_alloc(size_t bytes);

#endif
