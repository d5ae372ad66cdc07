/* prefetch.c - see prefetch.h. A row is for models that were measured, and says what was seen there. */
#include "backends/cpu/prefetch.h"

#include <stddef.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

wh_cpu_make wh_cpu_make_decode(const uint32_t vendor[3], uint32_t leaf1_eax) {
  wh_cpu_make make = {.family = leaf1_eax >> 8 & 0xf, .model = leaf1_eax >> 4 & 0xf};
  memcpy(make.vendor, vendor, 12);
  if (make.family == 6 || make.family == 15) make.model |= (leaf1_eax >> 16 & 0xf) << 4;
  if (make.family == 15) make.family += leaf1_eax >> 20 & 0xff;
  return make;
}

wh_cpu_make wh_cpu_make_detect(void) {
#if defined(__x86_64__)
  uint32_t eax, vendor[3], ebx, ecx, edx;
  if (__get_cpuid(0, &eax, &vendor[0], &vendor[2], &vendor[1]) && __get_cpuid(1, &eax, &ebx, &ecx, &edx))
    return wh_cpu_make_decode(vendor, eax);
#endif
  return (wh_cpu_make){0};
}

static const struct {
  const char *vendor;
  uint32_t family, model_first, model_last;
  wh_cpu_fetch fetch;
  const char *why;
} MAKES[] = {
    {"AuthenticAMD", 25, 0x00, 0x0f, WH_CPU_FETCH,
     "Zen 3: left to itself it reads one row's 8-bit weights a fifth slower"},
    {"AuthenticAMD", 25, 0x10, 0x1f, WH_CPU_FETCH_NOT,
     "Zen 4: its own prefetching reads one row's 8- and 16-bit weights up to a third faster"},
    {"AuthenticAMD", 26, 0x00, 0xff, WH_CPU_FETCH_PAST_CACHES,
     "Zen 5: decodes up to 2 % faster than with temporal prefetch"},
    {"GenuineIntel", 6, 0x00, 0xff, WH_CPU_FETCH_NEAR,
     "Intel: a Xeon with AMX decodes up to 1.6 times as fast near ahead, 1.1 times that in streams"},
};

wh_cpu_fetch wh_cpu_fetch_of(const wh_cpu_make *make, const char **why) {
  for (size_t i = 0; i < sizeof MAKES / sizeof MAKES[0]; i++) {
    if (strcmp(MAKES[i].vendor, make->vendor) != 0 || MAKES[i].family != make->family) continue;
    if (make->model < MAKES[i].model_first || make->model > MAKES[i].model_last) continue;
    *why = MAKES[i].why;
    return MAKES[i].fetch;
  }
  *why = "not a make that was measured";
  return WH_CPU_FETCH;
}
