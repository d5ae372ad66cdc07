/* test_reduce.c - the largest and smallest elements of rows of any length and any cut into runs, at every
 * level of this machine: as docs/NUMERICS.md has minimum and maximum, wherever a NaN, an infinity or a zero
 * stands. */
#include "tests/kernels/guarded.h" /* first */

#include <math.h>

#include "backends/cpu/reduce.h"
#include "core/base/exact_elements.h"
#include "tests/kernels/levels.h"

#define MOST 131

static float reduced(uint64_t mask, wh_reduce op, const float *x, int64_t runs, int64_t n) {
  wh_reduction r;
  float y = 0.5f;
  const wh_nd walk = {.rank = 1, .n_operands = 1, .dims = {runs}, .stride = {{n}}};
  assert_true(wh_reduce_select(mask, op, WH_DTYPE_F32, &r));
  r.rows(&(wh_reduce_run){.walk = &walk, .n_runs = runs, .n = n, .x = x, .y = &y});
  return y;
}

static float defined(wh_reduce op, const float *x, int64_t n) {
  float y = op == WH_REDUCE_max ? -INFINITY : INFINITY;
  for (int64_t i = 0; i < n; i++) y = op == WH_REDUCE_max ? wh_max_f32(y, x[i]) : wh_min_f32(y, x[i]);
  return y;
}

static void check_rows(int64_t runs, int64_t n, float ordinary, float special, int64_t at) {
  guarded g;
  float *x = guarded_new(&g, (size_t)(runs * n) * sizeof *x, 0xff);
  for (int64_t i = 0; i < runs * n; i++) x[i] = ordinary;
  x[at] = special;
  for (int l = 0; l < n_levels; l++)
    for (int op = 0; op < 2; op++) {
      const wh_reduce which = op ? WH_REDUCE_max : WH_REDUCE_min;
      const float want = defined(which, x, runs * n), got = reduced(levels[l].mask, which, x, runs, n);
      if (isnan(want) ? !isnan(got) : wh_f32_bits(want) != wh_f32_bits(got))
        fail_msg("%s, op %d, %lld runs of %lld, %g at %lld among %g: %g, not %g", levels[l].name, op,
                 (long long)runs, (long long)n, (double)special, (long long)at, (double)ordinary, (double)got,
                 (double)want);
    }
  assert_true(guarded_free(&g));
}

static void test_extremes(void **state) {
  (void)state;
  const float ordinary[] = {1.5f, 0.0f, -0.0f, INFINITY, -INFINITY},
              special[] = {NAN, 2.0f, -3.0f, 0.0f, -0.0f, INFINITY, -INFINITY};
  const int64_t lengths[] = {1, 7, 8, 9, 31, 32, 33, 64, 71, MOST};
  for (size_t o = 0; o < sizeof ordinary / sizeof *ordinary; o++)
    for (size_t s = 0; s < sizeof special / sizeof *special; s++)
      for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++)
        for (int64_t at = 0; at < lengths[k]; at++) check_rows(1, lengths[k], ordinary[o], special[s], at);
  for (int64_t at = 0; at < 3 * 45; at++) check_rows(3, 45, 1.0f, NAN, at);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_extremes)};
  return cmocka_run_group_tests(tests, find_levels, NULL);
}
