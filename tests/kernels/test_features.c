/* test_features.c - detection from register contents, level names, narrowing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backends/cpu/features.h"
#include "backends/cpu/features_decode.h"

/* A processor that has everything, on a system that saves everything. */
static const wh_cpuid full = {
    .leaf1_ecx = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29,
    .leaf7_ebx = 1u << 5 | 1u << 8 | 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31,
    .leaf7_ecx = 1u << 11,
    .leaf7_edx = 1u << 22 | 1u << 24 | 1u << 25,
    .leaf7_1_eax = 1u << 4 | 1u << 5,
    .xcr0 = 0x600e7,
};
#define EVERYTHING \
  (WH_CPU_AVX2 | WH_CPU_AVXVNNI | WH_CPU_AVX512 | WH_CPU_AVX512VNNI | WH_CPU_AVX512BF16 | WH_CPU_AMX)
#define EVERYTHING_ARM (WH_CPU_NEON | WH_CPU_DOTPROD | WH_CPU_I8MM)
#if defined(__aarch64__)
#define EVERYTHING_HERE EVERYTHING_ARM
#else
#define EVERYTHING_HERE EVERYTHING
#endif

static void test_decode(void **state) {
  (void)state;
  wh_cpuid c = full;
  assert_int_equal(wh_cpu_features_decode(&c), EVERYTHING);
  c = (wh_cpuid){0};
  assert_int_equal(wh_cpu_features_decode(&c), 0);
  c = full, c.leaf7_ecx = 0, c.leaf7_1_eax = 0, c.leaf7_edx = 0;
  assert_int_equal(wh_cpu_features_decode(&c), WH_CPU_AVX2 | WH_CPU_AVX512);
  c.l1d_ebx = 7u << 22 | 63; /* 8 ways of lines of 64 bytes */
  assert_int_equal(wh_cpu_features_decode(&c), WH_CPU_AVX2 | WH_CPU_AVX512);
  c.l1d_ebx = 11u << 22 | 63;
  assert_int_equal(wh_cpu_features_decode(&c), WH_CPU_AVX2 | WH_CPU_AVX512 | WH_CPU_MANY_WAYS);
  c = full, memcpy(&c.leaf0_ebx, "GenuineIntel", sizeof c.leaf0_ebx);
  assert_int_equal(wh_cpu_features_decode(&c), EVERYTHING | WH_CPU_SHARED_PORTS);
  memcpy(&c.leaf0_ebx, "AuthenticAMD", sizeof c.leaf0_ebx);
  assert_int_equal(wh_cpu_features_decode(&c), EVERYTHING);
}

static void test_a_level_needs_all_of_its_bundle(void **state) {
  (void)state;
  for (int bit = 0; bit < 32; bit++) {
    wh_cpuid c = full;
    c.leaf1_ecx &= ~(1u << bit);
    uint64_t want = bit == 12 || bit == 28 || bit == 29 ? 0 : EVERYTHING;
    assert_int_equal(wh_cpu_features_decode(&c), want);
    c = full;
    c.leaf7_ebx &= ~(1u << bit);
    want = bit == 5 || bit == 8 ? 0 : full.leaf7_ebx >> bit & 1 ? WH_CPU_AVX2 | WH_CPU_AVXVNNI : EVERYTHING;
    assert_int_equal(wh_cpu_features_decode(&c), want);
  }
}

static void test_registers_that_the_system_does_not_save(void **state) {
  (void)state;
  wh_cpuid c = full;
  c.xcr0 = 0x07; /* no AVX-512 state, as under some hypervisors */
  assert_int_equal(wh_cpu_features_decode(&c), WH_CPU_AVX2 | WH_CPU_AVXVNNI);
  c.xcr0 = 0x67; /* zmm16-31 missing */
  assert_int_equal(wh_cpu_features_decode(&c), WH_CPU_AVX2 | WH_CPU_AVXVNNI);
  c.xcr0 = 0x03; /* sse only */
  assert_int_equal(wh_cpu_features_decode(&c), 0);
  c.xcr0 = 0; /* no xsave at all */
  assert_int_equal(wh_cpu_features_decode(&c), 0);
}

/* Each part that is missing takes AMX away, alone, and is named. */
static void test_tiles(void **state) {
  (void)state;
  wh_cpuid c = full;
  assert_null(wh_cpu_tiles_lack(&c));
  for (int bit = 22; bit < 26; bit++) {
    if (bit == 23) continue;
    c = full, c.leaf7_edx &= ~(1u << bit);
    assert_int_equal(wh_cpu_features_decode(&c), EVERYTHING & ~WH_CPU_AMX);
    assert_non_null(strstr(wh_cpu_tiles_lack(&c), "AMX"));
  }
  for (int bit = 17; bit < 19; bit++) {
    c = full, c.xcr0 &= ~(1ull << bit);
    assert_int_equal(wh_cpu_features_decode(&c), EVERYTHING & ~WH_CPU_AMX);
    assert_non_null(strstr(wh_cpu_tiles_lack(&c), "system"));
  }
  /* What can be used is what there is, but for tiles that the system keeps; the reason is there when they are
   * not. */
  const uint64_t found = wh_cpu_features_detect(), usable = wh_cpu_features_usable();
  assert_int_equal(found & ~WH_CPU_AMX, usable & ~WH_CPU_AMX);
  assert_int_equal(!!(usable & WH_CPU_AMX), wh_cpu_tiles_ask() == NULL && found & WH_CPU_AMX);
  if (!(found & WH_CPU_AMX) && found & WH_CPU_AVX512) assert_non_null(wh_cpu_tiles_ask());
}

static void test_arm_processors(void **state) {
  (void)state;
  const uint64_t asimd = 1u << 1, asimddp = 1u << 20, i8mm = 1u << 13;
  assert_int_equal(wh_cpu_features_decode_arm(0, 0), 0);
  assert_int_equal(wh_cpu_features_decode_arm(asimddp, i8mm), 0); /* there is no vector unit to do it */
  assert_int_equal(wh_cpu_features_decode_arm(asimd, 0), WH_CPU_NEON);
  assert_int_equal(wh_cpu_features_decode_arm(asimd | asimddp, 0), WH_CPU_NEON | WH_CPU_DOTPROD);
  assert_int_equal(wh_cpu_features_decode_arm(asimd | asimddp, i8mm), EVERYTHING_ARM);
  /* bits of the one word are not those of the other, and no other bit counts */
  assert_int_equal(wh_cpu_features_decode_arm(asimd | i8mm, asimddp), WH_CPU_NEON);
  assert_int_equal(wh_cpu_features_decode_arm(~(asimd | asimddp), ~i8mm), 0);
  assert_int_equal(wh_cpu_features_decode_arm(~asimddp, ~i8mm), WH_CPU_NEON);
}

static void test_detection_is_consistent(void **state) {
  (void)state;
  uint64_t mask = wh_cpu_features_detect();
  assert_int_equal(mask, wh_cpu_features_detect());
  if (mask & (WH_CPU_AVXVNNI | WH_CPU_AVX512)) assert_true(mask & WH_CPU_AVX2);
  if (mask & (WH_CPU_AVX512VNNI | WH_CPU_AVX512BF16)) assert_true(mask & WH_CPU_AVX512);
#if defined(__x86_64__) && defined(__GNUC__)
  assert_int_equal(!!(mask & WH_CPU_AVX2), __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                                               __builtin_cpu_supports("bmi2"));
  assert_int_equal(!!(mask & WH_CPU_AVX512),
                   __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                       __builtin_cpu_supports("avx512cd"));
  assert_int_equal(!!(mask & WH_CPU_AVX512VNNI),
                   (mask & WH_CPU_AVX512) && __builtin_cpu_supports("avx512vnni"));
#endif
}

static void test_every_level_names_its_own_mask(void **state) {
  (void)state;
  assert_string_equal(wh_cpu_level_at(0), "ref");
  assert_null(wh_cpu_level_at(-1));
  int n = 0;
  for (uint64_t mask; wh_cpu_level_at(n); n++) {
    assert_int_equal(wh_cpu_level_mask(wh_cpu_level_at(n), EVERYTHING_HERE, &mask), WH_OK);
    assert_string_equal(wh_cpu_level_name(mask), wh_cpu_level_at(n));
    assert_int_equal(mask & ~(uint64_t)EVERYTHING_HERE, 0);
  }
  assert_null(wh_cpu_level_at(n));
  assert_null(wh_cpu_level_at(n + 1000));
#if defined(__x86_64__)
  assert_int_equal(n, 6);
#elif defined(__aarch64__)
  assert_int_equal(n, 4);
#else
  assert_int_equal(n, 1);
#endif
}

static void test_auto_is_what_there_is(void **state) {
  (void)state;
  uint64_t mask = 0;
  assert_int_equal(wh_cpu_level_mask(NULL, WH_CPU_AVX2 | WH_CPU_AVXVNNI, &mask), WH_OK);
  assert_int_equal(mask, WH_CPU_AVX2 | WH_CPU_AVXVNNI);
  assert_int_equal(wh_cpu_level_mask("auto", 0, &mask), WH_OK);
  assert_int_equal(mask, 0);
}

static void test_unknown_names(void **state) {
  (void)state;
  static char flood[5000];
  memset(flood, 'a', sizeof flood - 1);
  const char *names[] = {"", "avx3", "AVX2", "avx2 ", "avx", "none", "Auto", flood};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    uint64_t mask = 42;
    assert_int_equal(wh_cpu_level_mask(names[i], EVERYTHING_HERE, &mask), WH_ERR_INVALID_ARGUMENT);
    assert_int_equal(mask, 42);
    for (int l = 0; wh_cpu_level_at(l); l++)
      assert_non_null(strstr(wh_last_error()->message, wh_cpu_level_at(l)));
  }
}

#if defined(__x86_64__)
static void test_levels_above_the_machine(void **state) {
  (void)state;
  uint64_t mask = 42;
  assert_int_equal(wh_cpu_level_mask("avx2", 0, &mask), WH_ERR_UNAVAILABLE);
  assert_non_null(strstr(wh_last_error()->message, "'ref'"));
  assert_int_equal(wh_cpu_level_mask("avx512", WH_CPU_AVX2 | WH_CPU_AVXVNNI, &mask), WH_ERR_UNAVAILABLE);
  assert_non_null(strstr(wh_last_error()->message, "'avxvnni'"));
  assert_int_equal(wh_cpu_level_mask("avxvnni", WH_CPU_AVX2 | WH_CPU_AVX512, &mask), WH_ERR_UNAVAILABLE);
  assert_int_equal(mask, 42);
}

static void test_narrowing(void **state) {
  (void)state;
  uint64_t mask = 0;
  assert_int_equal(wh_cpu_level_mask("ref", EVERYTHING | WH_CPU_MANY_WAYS, &mask), WH_OK);
  assert_int_equal(mask, 0);
  assert_int_equal(wh_cpu_level_mask("avx512", EVERYTHING, &mask), WH_OK);
  assert_int_equal(mask, WH_CPU_AVX2 | WH_CPU_AVX512);
  /* a processor with AVX-512 VNNI but without its VEX-coded form */
  uint64_t cascade = WH_CPU_AVX2 | WH_CPU_AVX512 | WH_CPU_AVX512VNNI;
  assert_int_equal(wh_cpu_level_mask("avx512vnni", cascade, &mask), WH_OK);
  assert_int_equal(mask, cascade);
  assert_int_equal(wh_cpu_level_mask("avx512vnni", EVERYTHING, &mask), WH_OK);
  assert_int_equal(mask, cascade | WH_CPU_AVXVNNI);
  assert_string_equal(wh_cpu_level_name(cascade), "avx512vnni");
  assert_int_equal(wh_cpu_level_mask("avx512vnni", cascade | WH_CPU_SHARED_PORTS, &mask), WH_OK);
  assert_int_equal(mask, cascade | WH_CPU_SHARED_PORTS);
  assert_int_equal(wh_cpu_level_mask("avx512", cascade | WH_CPU_SHARED_PORTS, &mask), WH_OK);
  assert_int_equal(mask, WH_CPU_AVX2 | WH_CPU_AVX512);
  assert_int_equal(wh_cpu_level_mask("amxint8", EVERYTHING, &mask), WH_OK);
  assert_int_equal(mask, EVERYTHING & ~WH_CPU_AVX512BF16);
  assert_string_equal(wh_cpu_level_name(EVERYTHING), "amxint8");
  assert_string_equal(wh_cpu_level_name(WH_CPU_AVX2 | WH_CPU_AVX512), "avx512");
}
#endif

#if defined(__aarch64__)
static void test_arm_levels(void **state) {
  (void)state;
  uint64_t mask = 42;
  assert_true(wh_cpu_features_detect() & WH_CPU_NEON);
  assert_int_equal(wh_cpu_level_mask("dotprod", WH_CPU_NEON | WH_CPU_I8MM, &mask), WH_ERR_UNAVAILABLE);
  assert_non_null(strstr(wh_last_error()->message, "'neon'"));
  assert_int_equal(mask, 42);
  assert_int_equal(wh_cpu_level_mask("neon", EVERYTHING_ARM, &mask), WH_OK);
  assert_int_equal(mask, WH_CPU_NEON);
  assert_int_equal(wh_cpu_level_mask("dotprod", EVERYTHING_ARM, &mask), WH_OK);
  assert_int_equal(mask, WH_CPU_NEON | WH_CPU_DOTPROD);
  assert_string_equal(wh_cpu_level_name(WH_CPU_NEON | WH_CPU_I8MM), "neon");
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_decode),
    cmocka_unit_test(test_a_level_needs_all_of_its_bundle),
    cmocka_unit_test(test_registers_that_the_system_does_not_save),
    cmocka_unit_test(test_tiles),
    cmocka_unit_test(test_arm_processors),
    cmocka_unit_test(test_detection_is_consistent),
    cmocka_unit_test(test_every_level_names_its_own_mask),
    cmocka_unit_test(test_auto_is_what_there_is),
    cmocka_unit_test(test_unknown_names),
#if defined(__x86_64__)
    cmocka_unit_test(test_levels_above_the_machine),
    cmocka_unit_test(test_narrowing),
#elif defined(__aarch64__)
    cmocka_unit_test(test_arm_levels),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
