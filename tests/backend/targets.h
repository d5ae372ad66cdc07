/* targets.h - what the suites run on: every registered backend, the CPU at every level that it has. */
#ifndef WH_TESTS_TARGETS_H
#define WH_TESTS_TARGETS_H

#include "tests/backend/executor.h"

#define MAX_TARGETS 16

typedef struct targets {
  suite_target items[MAX_TARGETS];
  char labels[MAX_TARGETS][64];
  size_t n;
} targets;

/* Aborts with a message when a device does not open. */
void targets_open(targets *t);
/* Adds a GPU whose products of many rows run on warpgroups, and which has nothing else of its own. */
#define WARPGROUP_TARGET "cuda emulated sm_90a"
void targets_open_warpgroups(targets *t);
/* Where the emulator is to say what its launches counted (emulator_options.h), before targets are opened;
 * NULL: nowhere. */
void targets_count(const char *path);
/* How many reports the emulator made of kernels: 0 is what a test wants. */
unsigned targets_close(targets *t);
/* One device with the given option string. */
wh_status target_open(const wh_backend *backend, const char *isa, uint32_t n_threads,
                      const wh_allocator *allocator, suite_target *out);

#endif
