/* usable_features.h - the features that tests of kernels may choose from. */
#ifndef WH_TESTS_USABLE_FEATURES_H
#define WH_TESTS_USABLE_FEATURES_H

#include "backends/cpu/features.h"
#include "tests/kernels/amx_trap.h"

/* What kernels may use here, with AMX where it has to be trapped, and with the kernels that only some makes
 * gain from. To be called in each test that runs kernels: cmocka takes SIGILL for itself at the beginning of
 * every one. */
static inline uint64_t test_features(void) {
  static uint64_t usable;
  if (!usable) usable = wh_cpu_features_usable();
  if (usable & WH_CPU_AVX512VNNI) usable |= WH_CPU_SHARED_PORTS;
  const bool trap = usable & WH_CPU_AVX512VNNI && !(usable & WH_CPU_AMX) && amx_trap_install();
  return trap ? usable | WH_CPU_AMX : usable;
}

#endif
