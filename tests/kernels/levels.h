/* levels.h - the instruction-set levels that a test of kernels runs at: all that this machine has, and that
 * of AMX on any processor with the other instructions that it needs (amx_trap.h). It says which, and fails
 * where the compiler's own look at the processor sees a level that is not among them. */
#ifndef WH_TESTS_LEVELS_H
#define WH_TESTS_LEVELS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backends/cpu/features.h"
#include "tests/kernels/usable_features.h"

#define MAX_LEVELS 8

typedef struct test_level {
  const char *name;
  uint64_t mask;
} test_level;

static test_level levels[MAX_LEVELS]; /* the reference first */
static int n_levels;

static inline int has_level(const char *name) {
  for (int i = 0; i < n_levels; i++)
    if (strcmp(levels[i].name, name) == 0) return 1;
  return 0;
}

static inline int find_levels_of(uint64_t features) {
  n_levels = 0;
  for (int i = 0; wh_cpu_level_at(i); i++) {
    uint64_t mask;
    const char *name = wh_cpu_level_at(i);
    if (wh_cpu_level_mask(name, features, &mask) != WH_OK) {
      print_message("level %s: not on this machine\n", name);
      continue;
    }
    if (n_levels == MAX_LEVELS) return -1;
    const bool trapped = mask & WH_CPU_AMX & ~wh_cpu_features_usable();
    print_message("level %s: %s\n", name, trapped ? "tested with a trap" : "tested");
    levels[n_levels++] = (test_level){name, mask};
  }
  if (!has_level("ref")) return -1;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && !has_level("avx2")) return -1;
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && !has_level("avx512"))
    return -1;
  if (__builtin_cpu_supports("avx512vnni") && has_level("avx512") && !has_level("avx512vnni")) return -1;
#endif
  return 0;
}

/* cmocka group setups: for tests of kernels, and for tests that open devices, which know of no trap. */
static inline int find_levels(void **state) {
  (void)state;
  return find_levels_of(test_features());
}
static inline int find_device_levels(void **state) {
  (void)state;
  return find_levels_of(wh_cpu_features_usable());
}

#endif
