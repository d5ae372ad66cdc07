/* test_bench_share.c - the share of the machine's limits: never above one, and said where it would have been.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/bench_share.h"

static const cli_token_cost cost = {.decode_bytes = 1e9, .prefill_int8_ops = 2e9, .prefill_f32_ops = 1e9};

static cli_bench_sample sample_of(double tokens_per_second) {
  return (cli_bench_sample){
      .tokens_per_second = tokens_per_second,
      .before = {.read_bytes_per_s = 9e9, .int8_ops_per_s = 90e9, .f32_ops_per_s = 45e9},
      .after = {.read_bytes_per_s = 11e9, .int8_ops_per_s = 110e9, .f32_ops_per_s = 55e9}};
}

static void test_below_the_limit(void **state) {
  (void)state;
  bool raised = true;
  cli_bench_sample s = sample_of(5);
  assert_true(cli_bench_share(CLI_BENCH_DECODE, &cost, &s, &raised) == 0.5);
  assert_false(raised);
  assert_true(s.before.read_bytes_per_s == 9e9 && s.after.read_bytes_per_s == 11e9);
  s = sample_of(12.5);
  const double share = cli_bench_share(CLI_BENCH_PREFILL, &cost, &s, &raised);
  assert_true(share > 0.4999 && share < 0.5001);
  assert_false(raised);
}

static void test_a_faster_sample_raises_its_limit(void **state) {
  (void)state;
  bool raised = false;
  cli_bench_sample s = sample_of(21.6); /* 216 % of the read bandwidth, as a loop of half the speed gives */
  assert_true(cli_bench_share(CLI_BENCH_DECODE, &cost, &s, &raised) == 1);
  assert_true(raised);
  const double mean = 0.5 * (s.before.read_bytes_per_s + s.after.read_bytes_per_s);
  assert_true(mean > 21.59e9 && mean < 21.61e9);
  assert_true(s.before.int8_ops_per_s == 90e9);
  const double again = cli_bench_share(CLI_BENCH_DECODE, &cost, &s, &raised);
  assert_true(again > 0.9999 && again <= 1);

  s = sample_of(50);
  assert_true(cli_bench_share(CLI_BENCH_PREFILL, &cost, &s, &raised) == 1);
  assert_true(raised);
  assert_true(s.before.int8_ops_per_s > 179e9 && s.before.f32_ops_per_s > 89e9);
  assert_true(s.before.read_bytes_per_s == 9e9);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_below_the_limit),
                                     cmocka_unit_test(test_a_faster_sample_raises_its_limit)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
