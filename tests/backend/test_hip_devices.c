/* test_hip_devices.c - HIP's runtime without a GPU says so in a sentence of ours. */
#define _GNU_SOURCE /* setenv */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
#include "backends/hip/hip_backend.h"
#include "tests/backend/targets.h"
#include <cmocka.h>
/* clang-format on */

static void test_no_device(void **state) {
  (void)state;
  suite_target t;
  assert_int_equal(setenv("SIMT", "devices=0", 1), 0); /* before the runtime looks */
  wh_hip_library_path(WH_SIMT);
  assert_int_equal(target_open(&wh_backend_hip, NULL, 1, NULL, &t), WH_ERR_UNAVAILABLE);
  assert_non_null(strstr(wh_last_error()->message, "finds no GPU, or none that this user may open"));
  assert_null(strstr(wh_last_error()->message, "hipError"));
  assert_int_equal(wh_backend_hip.count(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_device)};
  return cmocka_run_group_tests_name("hip_devices", tests, NULL, NULL);
}
