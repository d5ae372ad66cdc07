/* test_timing.c - what the kernel benches make of a timing and its limit: a share above one cannot be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bench/timing.h"

typedef struct fake {
  double limit;
} fake;

/* At least a millisecond of work. */
static void run(void *arg) {
  (void)arg;
  const double begin = timing_now();
  while (timing_now() - begin < 1e-3) continue;
}
static double limit(void *arg) { return ((fake *)arg)->limit; }

static timing measure(double limit_value, bool is_peer) {
  fake f = {limit_value};
  return timing_measure(&(timing_task){run, limit, &f, 1.0, 1e-4, 5, is_peer});
}

static void test_below_the_limit(void **state) {
  (void)state;
  char note[TIMING_NOTE_BYTES];
  const timing t = measure(1e6, false); /* the work runs at most 1000 times a second */
  assert_int_equal(t.kept, 5);
  assert_int_equal(t.raised, 0);
  assert_true(t.limit == 1e6 && t.share > 0 && t.share < 2e-3);
  assert_string_equal(timing_note(&t, note), "");
}

static void test_work_that_beats_its_limit_raises_it(void **state) {
  (void)state;
  char note[TIMING_NOTE_BYTES];
  const timing t = measure(1e-3, false); /* once in 1000 s */
  assert_int_equal(t.kept, 5);
  assert_int_equal(t.raised, 5);
  assert_true(t.share == 1 && t.share_max == 1 && t.share_min == 1);
  assert_true(t.limit == t.rate);
  assert_string_equal(timing_note(&t, note), " (limit raised 5 times)");
}

static void test_another_program_may_be_passed(void **state) {
  (void)state;
  const timing t = measure(1e-3, true);
  assert_int_equal(t.raised, 0);
  assert_true(t.share > 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_below_the_limit),
                                     cmocka_unit_test(test_work_that_beats_its_limit_raises_it),
                                     cmocka_unit_test(test_another_program_may_be_passed)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
