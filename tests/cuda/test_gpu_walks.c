/* test_gpu_walks.c - division by multipliers, and how operands become walks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* clang-format off */
#include "backends/gpu/walks.h"
#include <cmocka.h>
/* clang-format on */

static uint64_t random_below(uint64_t *state, uint64_t below) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (*state >> 16) % below;
}

static void check(int64_t n, uint64_t i) {
  const gpu_divisor d = gpu_divisor_of(n);
  if (gpu_quotient(&d, i) != i / (uint64_t)n)
    fail_msg("%llu / %lld is not %llu", (unsigned long long)i, (long long)n,
             (unsigned long long)gpu_quotient(&d, i));
}

static void test_division(void **state) {
  uint64_t random = 7;
  (void)state;
  for (int64_t n = 1; n <= 1000; n++)
    for (uint64_t i = 0; i <= 3000; i++) check(n, i);
  for (int b = 0; b < 40; b++)
    for (int64_t n = ((int64_t)1 << b) - 1; n <= ((int64_t)1 << b) + 1; n++)
      for (int k = 0; n > 0 && k < 2000; k++) {
        const uint64_t i = random_below(&random, (uint64_t)1 << (k % 45 + 1));
        check(n, i);
        const uint64_t near = i / (uint64_t)n * (uint64_t)n;
        check(n, near);
        if (near) check(n, near - 1);
      }
  for (int k = 0; k < 200000; k++) {
    const int64_t n = (int64_t)random_below(&random, INT32_MAX) + 1;
    check(n, INT32_MAX);
    check(n, random_below(&random, (uint64_t)INT32_MAX + 5));
  }
}

static void test_broadcast(void **state) {
  const gpu_operand in[2] = {{.dtype = WH_DTYPE_F32, .rank = 3, .dims = {4, 5, 6}},
                             {.dtype = WH_DTYPE_F32, .rank = 2, .dims = {5, 1}}},
                    out = {.dtype = WH_DTYPE_F32, .rank = 3, .dims = {4, 5, 6}};
  const wh_nd nd = gpu_broadcast(in, 2, &out), alone = gpu_broadcast(in, 1, &out);
  const gpu_walk w = gpu_walk_of(&nd);
  (void)state;
  assert_int_equal(alone.rank, 1); /* neighbours are joined */
  assert_int_equal(alone.dims[0], 120);
  assert_int_equal(w.rank, 3);
  assert_int_equal(w.dims[1].n, 5);
  assert_int_equal(w.stride[0][1], 6);
  assert_int_equal(w.stride[1][0], 0);
  assert_int_equal(w.stride[1][1], 1);
  assert_int_equal(w.stride[1][2], 0);
}

static void test_grids(void **state) {
  (void)state;
  assert_int_equal(gpu_flat_grid(0).x, 0);
  for (int64_t n = 1; n < 2000; n++) {
    const gpu_grid g = gpu_flat_grid(n);
    assert_true(g.threads % 32 == 0 && g.threads <= 256);
    assert_true((int64_t)g.x * g.threads >= n && (int64_t)(g.x - 1) * g.threads < n);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_division), cmocka_unit_test(test_broadcast),
                                     cmocka_unit_test(test_grids)};
  return cmocka_run_group_tests_name("gpu_walks", tests, NULL, NULL);
}
