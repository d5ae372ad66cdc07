/* test_measure.c - the roofline is the best of its loops, whichever is best; every way of reading is among
 * them. */
#define _DEFAULT_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "backends/cpu/measure.h"

static void sleep_us(long us) {
  const struct timespec t = {0, us * 1000};
  (void)nanosleep(&t, NULL);
}

/* Loops at the speed of sleeping. A busy machine can wake the fast one late: a few attempts. */
#define ATTEMPTS 5

static uint64_t slow_read(const void *p, size_t n_bytes) {
  (void)p, (void)n_bytes;
  sleep_us(20000);
  return 1;
}
static uint64_t fast_read(const void *p, size_t n_bytes) {
  (void)p, (void)n_bytes;
  sleep_us(100);
  return 1;
}
static double slow_peak(int64_t n) {
  sleep_us(20000);
  return (double)n;
}
static double fast_peak(int64_t n) {
  sleep_us(100);
  return (double)n;
}

#define N 5
static void check_winner(wh_team *team, int fast, bool peak) {
  static char buffer[1 << 20] __attribute__((aligned(64)));
  wh_measure_loop loops[N];
  wh_measured m = {0};
  for (int i = 0; i < N; i++) {
    loops[i] = (wh_measure_loop){.name = i == fast ? "fast" : "slow"};
    if (peak)
      loops[i].peak = i == fast ? fast_peak : slow_peak;
    else
      loops[i].read = i == fast ? fast_read : slow_read;
  }
  for (int i = 0; i < ATTEMPTS && (!m.loop || strcmp(m.loop, "fast") != 0); i++)
    m = wh_measure_best(team, loops, N, peak ? NULL : buffer, peak ? 0 : sizeof buffer, 0.05);
  assert_string_equal(m.loop, "fast");
  assert_true(m.rate > 0);
  assert_true(m.n_threads >= 1 && m.n_threads <= wh_team_size(team));
}

static void test_the_fastest_loop_counts(void **state) {
  (void)state;
  for (int threads = 1; threads <= 3; threads++) {
    wh_team *team = NULL;
    assert_int_equal(wh_team_create(threads, NULL, NULL, &team), WH_OK);
    for (int fast = 0; fast < N; fast++) check_winner(team, fast, fast % 2 == 0);
    wh_team_destroy(team);
  }
}

/* Threads in each other's way: one alone does in 0.2 ms what takes each of two 8 ms. */
static int n_inside;
static uint64_t crowded_read(const void *p, size_t n_bytes) {
  (void)p, (void)n_bytes;
  const bool crowded = __atomic_add_fetch(&n_inside, 1, __ATOMIC_SEQ_CST) > 1;
  sleep_us(crowded ? 8000 : 200);
  (void)__atomic_sub_fetch(&n_inside, 1, __ATOMIC_SEQ_CST);
  return 1;
}

static void test_fewer_threads_are_tried(void **state) {
  (void)state;
  static char buffer[1 << 20] __attribute__((aligned(64)));
  wh_team *team = NULL;
  assert_int_equal(wh_team_create(2, NULL, NULL, &team), WH_OK);
  const wh_measure_loop crowded = {.name = "crowded", .read = crowded_read};
  int n_threads = 2;
  for (int i = 0; i < ATTEMPTS && n_threads > 1; i++)
    n_threads = wh_measure_best(team, &crowded, 1, buffer, sizeof buffer, 0.2).n_threads;
  assert_int_equal(n_threads, 1);
  wh_team_destroy(team);
}

static bool has(const wh_measure_loop *loops, int n, const char *word) {
  for (int i = 0; i < n; i++)
    if (strstr(loops[i].name, word)) return true;
  return false;
}

static void test_every_way_of_reading_is_tried_at_every_level(void **state) {
  (void)state;
  wh_measure_loop loops[WH_MEASURE_LOOPS_MAX];
  for (int i = 0; wh_cpu_level_at(i); i++) {
    uint64_t mask;
    assert_int_equal(wh_cpu_level_mask(wh_cpu_level_at(i), ~UINT64_C(0), &mask), WH_OK);
    const int n = wh_measure_loops(mask, WH_MEASURE_READ, loops);
    assert_true(has(loops, n, "plain") && has(loops, n, " temporal") && has(loops, n, "non-temporal"));
    assert_true(has(loops, n, "4 streams"));
    assert_true(wh_measure_loops(mask, WH_MEASURE_INT8, loops) >= 1);
    assert_true(wh_measure_loops(mask, WH_MEASURE_F32, loops) >= 1);
  }
}

/* Every line of the memory is read, once: bits that only one line has reach the result. */
static void test_reads_are_complete(void **state) {
  (void)state;
  enum { BYTES = 8192 };
  static _Alignas(64) uint8_t memory[BYTES + 16384]; /* prefetches may reach further */
  wh_measure_loop loops[WH_MEASURE_LOOPS_MAX];
  const uint64_t available = wh_cpu_features_usable();
  for (int i = 0; wh_cpu_level_at(i); i++) {
    uint64_t mask;
    if (wh_cpu_level_mask(wh_cpu_level_at(i), available, &mask) != WH_OK) continue;
    const int n = wh_measure_loops(mask, WH_MEASURE_READ, loops);
    for (int l = 0; l < n; l++)
      for (size_t at = 0; at < sizeof memory; at += 16) {
        memory[at] = 1;
        const uint64_t bits = loops[l].read(memory, BYTES);
        memory[at] = 0;
        if ((bits != 0) != (at < BYTES)) fail_msg("%s: byte %zu", loops[l].name, at);
      }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_fastest_loop_counts),
                                     cmocka_unit_test(test_fewer_threads_are_tried),
                                     cmocka_unit_test(test_every_way_of_reading_is_tried_at_every_level),
                                     cmocka_unit_test(test_reads_are_complete)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
