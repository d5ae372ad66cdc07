/* test_prefetch.c - makes of processors from CPUID's registers, and what was measured on each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backends/cpu/prefetch.h"

/* CPUID leaf 0 in the order ebx, edx, ecx. */
static const uint32_t AMD[3] = {0x68747541, 0x69746e65, 0x444d4163},
                      INTEL[3] = {0x756e6547, 0x49656e69, 0x6c65746e};

static const struct {
  const char *name;
  const uint32_t *vendor;
  uint32_t leaf1_eax, family, model;
  wh_cpu_fetch fetch;
  const char *why; /* words of the reason */
} CASES[] = {
    {"EPYC 9004 (Zen 4)", AMD, 0x00a10f11, 25, 0x11, WH_CPU_FETCH_NOT, "Zen 4"},
    {"EPYC 7003 (Zen 3)", AMD, 0x00a00f11, 25, 0x01, WH_CPU_FETCH, "Zen 3"},
    {"Ryzen 5000 (Zen 3)", AMD, 0x00a20f12, 25, 0x21, WH_CPU_FETCH, "not a make"},
    {"EPYC 9005 (Zen 5)", AMD, 0x00b00f21, 26, 0x02, WH_CPU_FETCH_PAST_CACHES, "Zen 5"},
    {"Ryzen 9000 (Zen 5)", AMD, 0x00b40f40, 26, 0x44, WH_CPU_FETCH_PAST_CACHES, "Zen 5"},
    {"Xeon (Emerald Rapids)", INTEL, 0x000c06f2, 6, 0xcf, WH_CPU_FETCH_NEAR, "Intel"},
    {"Xeon (Sapphire Rapids)", INTEL, 0x000806f8, 6, 0x8f, WH_CPU_FETCH_NEAR, "Intel"},
    {"Pentium 4", INTEL, 0x00000f29, 15, 2, WH_CPU_FETCH, "not a make"},
};

static void test_makes(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    const wh_cpu_make make = wh_cpu_make_decode(CASES[i].vendor, CASES[i].leaf1_eax);
    const char *why = NULL;
    assert_string_equal(make.vendor, CASES[i].vendor == AMD ? "AuthenticAMD" : "GenuineIntel");
    assert_int_equal(make.family, CASES[i].family);
    assert_int_equal(make.model, CASES[i].model);
    if (wh_cpu_fetch_of(&make, &why) != CASES[i].fetch || !strstr(why, CASES[i].why))
      fail_msg("%s: %s", CASES[i].name, why);
  }
}

static void test_unknown_makes_read_through_the_caches(void **state) {
  (void)state;
  const wh_cpu_make none = {{0}, 0, 0}, other = {"AuthenticAMD", 99, 1}, foreign = {"HygonGenuine", 26, 2};
  const char *why = NULL;
  assert_int_equal(wh_cpu_fetch_of(&none, &why), WH_CPU_FETCH);
  assert_int_equal(wh_cpu_fetch_of(&other, &why), WH_CPU_FETCH);
  assert_int_equal(wh_cpu_fetch_of(&foreign, &why), WH_CPU_FETCH);
  assert_string_equal(why, "not a make that was measured");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_makes),
                                     cmocka_unit_test(test_unknown_makes_read_through_the_caches)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
