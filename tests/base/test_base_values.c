/* test_base_values.c - the error record, hashes, dtypes, string views, and which numbers are finite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "core/base/dtype.h"
#include "core/base/finite.h"
#include "core/base/hash.h"
#include "core/base/str.h"

/* ---- status ---- */

static void a_failure_fills_the_record(void **state) {
  (void)state;
  assert_int_equal(WH_FAIL(ERR_LIMIT, "%d is too many", 7), WH_ERR_LIMIT);
  const wh_error_record *e = wh_last_error();
  assert_int_equal(e->status, WH_ERR_LIMIT);
  assert_string_equal(e->message, "7 is too many");
  assert_non_null(strstr(e->file, "test_base_values.c"));
  assert_true(e->line > 0);
}

static void arguments_may_be_the_record_itself(void **state) {
  (void)state;
  (void)WH_FAIL(ERR_IO, "disk");
  (void)WH_FAIL(ERR_IO, "again: %s", wh_last_error()->message);
  assert_string_equal(wh_last_error()->message, "again: disk");
  assert_int_equal(wh_fail_prefix("%s", "file"), WH_ERR_IO);
  assert_string_equal(wh_last_error()->message, "file: again: disk");
}

static void long_messages_are_cut(void **state) {
  (void)state;
  char text[2 * WH_ERROR_MESSAGE_BYTES];
  memset(text, 'x', sizeof text);
  text[sizeof text - 1] = '\0';
  (void)WH_FAIL(ERR_IO, "%s", text);
  assert_int_equal(strlen(wh_last_error()->message), WH_ERROR_MESSAGE_BYTES - 1);
  assert_int_equal(wh_fail_prefix("file"), WH_ERR_IO);
  assert_int_equal(strlen(wh_last_error()->message), WH_ERROR_MESSAGE_BYTES - 1);
  assert_int_equal(strncmp(wh_last_error()->message, "file: xxx", 9), 0);
  assert_int_equal(wh_fail_prefix("%s", text), WH_ERR_IO);
  assert_int_equal(strlen(wh_last_error()->message), WH_ERROR_MESSAGE_BYTES - 1);
}

static wh_status passed_on(wh_status status, int *reached) {
  WH_TRY(status);
  *reached = 1;
  return WH_OK;
}

static void try_returns_only_failures(void **state) {
  (void)state;
  int reached = 0;
  assert_int_equal(passed_on(WH_ERR_DEVICE, &reached), WH_ERR_DEVICE);
  assert_int_equal(reached, 0);
  assert_int_equal(passed_on(WH_OK, &reached), WH_OK);
  assert_int_equal(reached, 1);
}

static void *fail_in_thread(void *out) {
  (void)WH_FAIL(ERR_DEVICE, "worker");
  *(wh_error_record *)out = *wh_last_error();
  return NULL;
}

static void each_thread_has_its_record(void **state) {
  (void)state;
  wh_error_record worker;
  pthread_t thread;
  (void)WH_FAIL(ERR_IO, "main");
  assert_int_equal(pthread_create(&thread, NULL, fail_in_thread, &worker), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_string_equal(wh_last_error()->message, "main");
  wh_error_set(&worker);
  assert_int_equal(wh_last_error()->status, WH_ERR_DEVICE);
  assert_string_equal(wh_last_error()->message, "worker");
  wh_error_set(wh_last_error());
  assert_string_equal(wh_last_error()->message, "worker");
}

static void every_status_has_a_name(void **state) {
  (void)state;
  for (int s = WH_OK; s <= WH_ERR_INTERNAL; s++)
    assert_string_not_equal(wh_status_name((wh_status)s), "unknown status");
  assert_string_equal(wh_status_name((wh_status)1000), "unknown status");
}

/* ---- hash ---- */

static void hashes_are_xxh3(void **state) {
  (void)state;
  /* Test vectors of XXH3 128 bits, seed 0. */
  static const struct {
    const char *bytes, *text;
  } known[] = {{"", "99aa06d3014798d86001c324468d497f"}, {"abc", "06b05ab6733a618578af5f94892f3950"}};
  for (size_t i = 0; i < 2; i++) {
    char text[WH_HASH_TEXT_BYTES];
    wh_hash_format(wh_hash_bytes(known[i].bytes, strlen(known[i].bytes)), text);
    assert_string_equal(text, known[i].text);
  }
  assert_true(wh_hash_equal(wh_hash_bytes("a", 1), wh_hash_bytes("a", 1)));
  assert_false(wh_hash_equal(wh_hash_bytes("a", 1), wh_hash_bytes("b", 1)));
}

/* ---- dtype ---- */

static void rows_are_whole_blocks(void **state) {
  (void)state;
  size_t n = 42;
  assert_true(wh_dtype_row_bytes(WH_DTYPE_F32, 3, &n) && n == 12);
  assert_true(wh_dtype_row_bytes(WH_DTYPE_BF16, 0, &n) && n == 0);
  assert_true(wh_dtype_row_bytes(WH_DTYPE_Q4_1, 64, &n) && n == 40);
  assert_true(wh_dtype_row_bytes(WH_DTYPE_Q4_K, 512, &n) && n == 288);
  assert_true(wh_dtype_row_bytes(WH_DTYPE_MXFP4, 32, &n) && n == 17);
  assert_true(wh_dtype_row_bytes(WH_DTYPE_F64, SIZE_MAX / 8, &n) && n == SIZE_MAX - 7);
  n = 42;
  assert_false(wh_dtype_row_bytes(WH_DTYPE_F64, SIZE_MAX / 8 + 1, &n));
  assert_false(wh_dtype_row_bytes(WH_DTYPE_Q4_1, 33, &n));
  assert_false(wh_dtype_row_bytes(WH_DTYPE_Q8A, 32, &n) || wh_dtype_row_bytes(WH_DTYPE_Q13A, 32, &n));
  assert_false(wh_dtype_row_bytes((wh_dtype)15, 32, &n));
  assert_false(wh_dtype_row_bytes((wh_dtype)100000, 32, &n));
  assert_int_equal(n, 42);
}

static void dtypes_are_found_by_name(void **state) {
  (void)state;
  int n = 0;
  for (int d = 0; d < 256; d++) {
    const wh_dtype_info *info = wh_dtype_get((wh_dtype)d);
    wh_dtype back = (wh_dtype)-1;
    if (!info) continue;
    assert_true(wh_dtype_from_name(info->name, strlen(info->name), &back));
    assert_int_equal(back, d);
    assert_string_equal(wh_dtype_name((wh_dtype)d), info->name);
    n++;
  }
  assert_int_equal(n, 41);
  wh_dtype none = WH_DTYPE_I64;
  assert_false(wh_dtype_from_name("q4", 2, &none));
  assert_false(wh_dtype_from_name("q4_00", 5, &none));
  assert_int_equal(none, WH_DTYPE_I64);
  assert_null(wh_dtype_get((wh_dtype)-1));
  assert_string_equal(wh_dtype_name((wh_dtype)15), "?");
}

static void dtypes_have_classes(void **state) {
  (void)state;
  assert_true(wh_dtype_is_float(WH_DTYPE_BF16) && wh_dtype_is_float(WH_DTYPE_F64));
  assert_false(wh_dtype_is_float(WH_DTYPE_I8) || wh_dtype_is_float(WH_DTYPE_Q4_0));
  assert_true(wh_dtype_is_quantised(WH_DTYPE_Q4_0) && wh_dtype_is_quantised(WH_DTYPE_MXFP4));
  assert_false(wh_dtype_is_quantised(WH_DTYPE_BOOL) || wh_dtype_is_quantised(WH_DTYPE_Q8A));
  /* numbers outside the first ranges are classed by the table, too */
  assert_true(wh_dtype_is_float(WH_DTYPE_F8E5M2) && wh_dtype_is_float(WH_DTYPE_F8E4M3FNUZ));
  assert_true(wh_dtype_is(WH_DTYPE_U4, WH_CLASS_UNSIGNED) && wh_dtype_is(WH_DTYPE_I4, WH_CLASS_SIGNED));
  assert_true(wh_dtype_is(WH_DTYPE_C64, WH_CLASS_COMPLEX) && wh_dtype_is(WH_DTYPE_STRING, WH_CLASS_STRING));
  assert_false(wh_dtype_is((wh_dtype)15, WH_CLASS_FLOAT) || wh_dtype_is((wh_dtype)-1, WH_CLASS_FLOAT));
}

/* Numbers are in files and caches: they never change. */
static void dtype_numbers_are_stable(void **state) {
  (void)state;
  static const struct {
    wh_dtype dtype;
    int number;
  } fixed[] = {{WH_DTYPE_F32, 0},     {WH_DTYPE_U8, 8},      {WH_DTYPE_BOOL, 9},      {WH_DTYPE_U16, 10},
               {WH_DTYPE_U64, 12},    {WH_DTYPE_I4, 13},     {WH_DTYPE_Q4_0, 16},     {WH_DTYPE_MXFP4, 28},
               {WH_DTYPE_Q8A, 48},    {WH_DTYPE_Q13A, 49},   {WH_DTYPE_F8E4M3FN, 64}, {WH_DTYPE_C128, 69},
               {WH_DTYPE_STRING, 70}, {WH_DTYPE_F4E2M1, 71}, {WH_DTYPE_F8E8M0, 72},   {WH_DTYPE_I2, 73},
               {WH_DTYPE_U2, 74}};
  for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
    assert_int_equal(fixed[i].dtype, fixed[i].number);
}

static void parts_of_bytes_end_with_their_row(void **state) {
  (void)state;
  static const struct {
    wh_dtype dtype;
    uint64_t n;
    size_t bytes;
  } rows[] = {{WH_DTYPE_I4, 0, 0},         {WH_DTYPE_I4, 1, 1},   {WH_DTYPE_U4, 2, 1},
              {WH_DTYPE_U4, 7, 4},         {WH_DTYPE_U64, 3, 24}, {WH_DTYPE_C128, 2, 32},
              {WH_DTYPE_F8E5M2FNUZ, 5, 5}, {WH_DTYPE_U16, 3, 6},  {WH_DTYPE_F4E2M1, 3, 2},
              {WH_DTYPE_U2, 5, 2},         {WH_DTYPE_I2, 4, 1}};
  size_t bytes;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    assert_true(wh_dtype_row_bytes(rows[i].dtype, rows[i].n, &bytes));
    assert_int_equal(bytes, rows[i].bytes);
  }
  assert_true(wh_dtype_row_bytes(WH_DTYPE_I4, SIZE_MAX, &bytes));
  assert_int_equal(bytes, SIZE_MAX / 2 + 1);
  assert_false(wh_dtype_row_bytes(WH_DTYPE_STRING, 1, &bytes));
  assert_false(wh_dtype_row_bytes(WH_DTYPE_C128, SIZE_MAX / 8, &bytes));
}

/* ---- str ---- */

/* Each of what is not finite is found at every place, also where floats are not aligned; nothing else is. */
static void numbers_that_are_not_finite_are_found(void **state) {
  (void)state;
  static const uint32_t bad[] = {0x7f800000u, 0xff800000u, 0x7f800001u, 0xffc00000u};
  static const uint32_t good[] = {0x7f7fffffu, 0xff7fffffu, 1u, 0x80000000u, 0x007fffffu};
  enum { N = 600 };
  static unsigned char bytes[N * 4 + 1];
  for (size_t offset = 0; offset < 2; offset++) {
    unsigned char *x = bytes + offset;
    for (size_t i = 0; i < N; i++) memcpy(x + i * 4, &good[i % 5], 4);
    assert_true(wh_all_finite(x, N));
    for (size_t i = 0; i < N; i++) {
      memcpy(x + i * 4, &bad[i % 4], 4);
      assert_false(wh_all_finite(x, N));
      assert_false(wh_all_finite(x, i + 1));
      assert_true(wh_all_finite(x, i));
      memcpy(x + i * 4, &good[i % 5], 4);
    }
  }
  assert_true(wh_all_finite(NULL, 0));
}

static void strings_compare_by_bytes(void **state) {
  (void)state;
  wh_str nul = {"a\0b", 3};
  assert_true(wh_str_equal(nul, (wh_str){"a\0b", 3}));
  assert_false(wh_str_equal(nul, (wh_str){"a\0c", 3}));
  assert_false(wh_str_is(nul, "a"));
  assert_true(wh_str_equal((wh_str){NULL, 0}, wh_str_from("")));
  assert_int_equal(wh_str_from(NULL).len, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_failure_fills_the_record),
      cmocka_unit_test(arguments_may_be_the_record_itself),
      cmocka_unit_test(long_messages_are_cut),
      cmocka_unit_test(try_returns_only_failures),
      cmocka_unit_test(each_thread_has_its_record),
      cmocka_unit_test(every_status_has_a_name),
      cmocka_unit_test(hashes_are_xxh3),
      cmocka_unit_test(rows_are_whole_blocks),
      cmocka_unit_test(dtypes_are_found_by_name),
      cmocka_unit_test(dtypes_have_classes),
      cmocka_unit_test(numbers_that_are_not_finite_are_found),
      cmocka_unit_test(dtype_numbers_are_stable),
      cmocka_unit_test(parts_of_bytes_end_with_their_row),
      cmocka_unit_test(strings_compare_by_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
