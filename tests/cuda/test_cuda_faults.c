/* test_cuda_faults.c - every call of the driver API that a small program makes, from opening the device to
 * closing it, fails once: a clean error arrives, and nothing is left, of the library's memory or of the
 * device's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
#include "backends/cuda/cuda_backend.h"
#include "core/base/hash.h"
#include "tests/backend/small_block.h"
#include "tests/backend/targets.h"
#include "tests/base/failing_allocator.h"
#include "tests/cuda/emulator_options.h"
#include <cmocka.h>
/* clang-format on */

/* Three runs of the small block, launched, recorded, and as a graph; the hash of what the last one gave. */
static wh_status run(const suite_target *t, wh_hash128 *out) {
  suite s = {.target = t, .random = 5};
  small_block m = small_block_make(&s, 2, 32);
  int64_t *dims = case_dims(m.c, 2);
  executor *x = NULL;
  wh_status st = executor_create(t, m.c->g, dims, NULL, &x);
  small_block_inputs(&m, 0);
  for (int i = 0; i < 3 && st == WH_OK; i++) {
    st = small_block_write(&m, x);
    if (st == WH_OK) st = executor_run(x, 0, executor_n_steps(x));
  }
  if (st == WH_OK) st = executor_read(x, m.logits, m.c->data[m.logits]);
  if (st == WH_OK) *out = wh_hash_bytes(m.c->data[m.logits], m.c->n_bytes[m.logits]);
  executor_destroy(x);
  free(dims);
  case_free(m.c);
  return st;
}

static size_t n_requests; /* allocations of the last run */

/* With the n-th call, or allocation of the library, failing; 0: none. */
static wh_status run_failing(const char *options, size_t fail_alloc, wh_hash128 *out) {
  failing_allocator counts;
  const wh_allocator *alloc = failing_allocator_init(&counts, fail_alloc);
  suite_target t;
  emulator_options(options);
  wh_status st = target_open(&wh_backend_cuda, NULL, 1, alloc, &t);
  if (st == WH_OK) {
    st = run(&t, out);
    const wh_error_record kept = *wh_last_error();
    n_requests = counts.n_requests;
    t.backend->close(t.dev);
    if (st != WH_OK) assert_string_equal(kept.message, wh_last_error()->message);
  }
  if (counts.n_live)
    fail_msg("%s, allocation %zu: %zu pieces of memory are left", options, fail_alloc, counts.n_live);
  if (emulator_take_reports())
    fail_msg("%s, allocation %zu: the emulator found something wrong", options, fail_alloc);
  return st;
}

static void fail_each_call(const char *code, const char *word) {
  wh_hash128 good = {0}, hash = {0};
  assert_int_equal(run_failing("fail=0", 0, &good), WH_OK);
  unsigned n = 1, n_calls = 0;
  for (;; n++) {
    char options[64];
    (void)snprintf(options, sizeof options, "fail=%u%s", n, code);
    const wh_status st = run_failing(options, 0, &hash);
    n_calls = emulator_calls();
    if (st == WH_OK && n > n_calls) break;
    if (st == WH_OK) { /* what is only reported, and recording: then steps are launched as before */
      assert_true(wh_hash_equal(hash, good));
      continue;
    }
    if (st != WH_ERR_DEVICE && st != WH_ERR_OUT_OF_MEMORY)
      fail_msg("call %u: status %d, '%s'", n, st, wh_last_error()->message);
    if (!strstr(wh_last_error()->message, word)) fail_msg("call %u: '%s'", n, wh_last_error()->message);
  }
  print_message("%u calls\n", n_calls);
  assert_true(wh_hash_equal(hash, good));
  assert_true(n > 100);
}

static void test_calls(void **state) {
  (void)state;
  fail_each_call("", "");
}

/* As of a device that fell off its bus: every later call says so too. The next one that is opened works. */
static void test_lost_device(void **state) {
  (void)state;
  wh_hash128 good = {0}, hash = {0};
  assert_int_equal(run_failing("fail=0", 0, &good), WH_OK);
  const unsigned n_calls = emulator_calls();
  unsigned n_lost = 0;
  for (unsigned n = 1; n <= n_calls; n += 11) {
    char options[64];
    (void)snprintf(options, sizeof options, "fail=%u,fail_code=719,lost", n);
    const wh_status st = run_failing(options, 0, &hash);
    if (st == WH_OK) { /* in the last calls, of closing */
      assert_true(wh_hash_equal(hash, good));
      continue;
    }
    n_lost++;
    assert_int_equal(st, WH_ERR_DEVICE);
    assert_non_null(strstr(wh_last_error()->message, "CUDA_ERROR_LAUNCH_FAILED"));
    assert_int_equal(run_failing("fail=0,fail_code=0,lost=0", 0, &hash), WH_OK);
    assert_true(wh_hash_equal(hash, good));
  }
  assert_true(n_lost * 11 > n_calls / 2);
  emulator_options("fail=0,fail_code=0,lost=0");
}

/* Codes that mean nothing to the library. */
static void test_unknown_codes(void **state) {
  (void)state;
  wh_hash128 hash;
  char options[64];
  for (unsigned n = 1; n < 60; n += 7) {
    (void)snprintf(options, sizeof options, "fail=%u,fail_code=719", n);
    const wh_status st = run_failing(options, 0, &hash);
    if (st != WH_OK) assert_int_equal(st, WH_ERR_DEVICE);
  }
  emulator_options("fail=0,fail_code=0");
}

/* One sentence each, and what to do. */
static void test_no_driver_that_fits(void **state) {
  (void)state;
  suite_target t;
  emulator_options("fail=0,version=12020");
  assert_int_equal(target_open(&wh_backend_cuda, NULL, 1, NULL, &t), WH_ERR_UNAVAILABLE);
  assert_non_null(strstr(wh_last_error()->message, "is of version 12.2 and the kernels need"));
  assert_non_null(strstr(wh_last_error()->message, "update the driver"));
  emulator_options("version=13000,fail=1,fail_code=100"); /* CUDA_ERROR_NO_DEVICE */
  assert_int_equal(target_open(&wh_backend_cuda, NULL, 1, NULL, &t), WH_ERR_UNAVAILABLE);
  assert_non_null(strstr(wh_last_error()->message, "finds no GPU"));
  emulator_options("fail=0,fail_code=0");
}

static void test_allocations(void **state) {
  (void)state;
  wh_hash128 good = {0}, hash = {0};
  assert_int_equal(run_failing("fail=0", 0, &good), WH_OK);
  size_t n = 1;
  for (;; n++) {
    const wh_status st = run_failing("fail=0", n, &hash);
    if (st == WH_OK && n > n_requests) break;
    if (st == WH_OK) { /* a graph's */
      assert_true(wh_hash_equal(hash, good));
      continue;
    }
    if (st != WH_ERR_OUT_OF_MEMORY)
      fail_msg("allocation %zu: status %d, '%s'", n, st, wh_last_error()->message);
  }
  print_message("%zu allocations\n", n - 1);
  assert_true(n > 15);
}

/* ---- launches ---- */

static unsigned calls_of(executor *x, size_t first, size_t count) {
  emulator_options("fail=0"); /* counts from here */
  assert_int_equal(executor_run(x, first, count), WH_OK);
  return emulator_calls();
}

/* Products of one x are one launch; those with weights that take another kernel are one of their own. */
static void test_products_of_one_x(void **state) {
  (void)state;
  static const wh_dtype dtypes[] = {WH_DTYPE_Q4_0, WH_DTYPE_Q4_0, WH_DTYPE_Q4_0, WH_DTYPE_Q6_K};
  static const int64_t size[] = {24, 256};
  suite_target t;
  assert_int_equal(target_open(&wh_backend_cuda, NULL, 1, NULL, &t), WH_OK);
  suite s = {.target = &t, .random = 5};
  suite_case *c = case_begin(&s, 1, "products of one x");
  wh_value in[2] = {case_input(c, WH_DTYPE_F32, 2, (const int64_t[]){ROWS, 256}, FILL_PLAIN), 0};
  const wh_value x_of = in[0];
  in[0] = case_node(c, WH_OP_QUANTIZE_ACT, &x_of, 1, NULL, 0);
  for (size_t i = 0; i < 4; i++) {
    in[1] = case_const(c, dtypes[i], 2, size);
    (void)case_node(c, WH_OP_LINEAR, in, 2, NULL, 0);
  }
  int64_t *dims = case_dims(c, 1);
  executor *x = NULL;
  assert_int_equal(executor_create(&t, c->g, dims, NULL, &x), WH_OK);
  assert_int_equal(executor_write(x, x_of, c->data[x_of], c->n_bytes[x_of]), WH_OK);
  for (size_t i = 0; i < 5; i++) assert_int_equal(executor_run(x, i, 1), WH_OK); /* loads the modules */
  const unsigned one = calls_of(x, 0, 1); /* what comes a second time would be a graph */
  assert_int_equal(calls_of(x, 0, 5), one + 2);
  assert_int_equal(calls_of(x, 1, 4), one + 1);
  assert_int_equal(calls_of(x, 2, 2), one); /* part of a run */
  executor_destroy(x);
  free(dims);
  case_free(c);
  t.backend->close(t.dev);
  assert_int_equal(emulator_take_reports(), 0);
}

/* A launch of one session fails; another one on the same device goes on, and so does the first one's
 * successor. */
static void test_others_go_on(void **state) {
  (void)state;
  wh_hash128 good = {0}, hash = {0};
  suite_target t;
  emulator_options("fail=0");
  assert_int_equal(target_open(&wh_backend_cuda, NULL, 1, NULL, &t), WH_OK);
  assert_int_equal(run(&t, &good), WH_OK);
  suite s = {.target = &t, .random = 5};
  small_block other = small_block_make(&s, 2, 32);
  int64_t *dims = case_dims(other.c, 2);
  executor *x = NULL;
  assert_int_equal(executor_create(&t, other.c->g, dims, NULL, &x), WH_OK);
  small_block_inputs(&other, 0);
  assert_int_equal(small_block_write(&other, x), WH_OK);
  emulator_options("fail=0");
  assert_int_equal(run(&t, &hash), WH_OK);
  const unsigned n_calls = emulator_calls();
  for (unsigned i = 1; i < 8; i++) {
    char options[32];
    (void)snprintf(options, sizeof options, "fail=%u", n_calls * i / 8);
    emulator_options(options);
    if (run(&t, &hash) == WH_OK) assert_true(wh_hash_equal(hash, good)); /* recording failed */
    emulator_options("fail=0");
    assert_int_equal(executor_run(x, 0, executor_n_steps(x)), WH_OK);
  }
  assert_int_equal(executor_read(x, other.logits, other.c->data[other.logits]), WH_OK);
  hash = wh_hash_bytes(other.c->data[other.logits], other.c->n_bytes[other.logits]);
  assert_true(wh_hash_equal(hash, good));
  assert_int_equal(run(&t, &hash), WH_OK);
  assert_true(wh_hash_equal(hash, good));
  executor_destroy(x);
  free(dims);
  case_free(other.c);
  t.backend->close(t.dev);
  assert_int_equal(emulator_take_reports(), 0);
}

/* What was wanted and what there is. */
static void test_memory_runs_out(void **state) {
  (void)state;
  suite_target t;
  wh_buffer *b = NULL;
  emulator_options("fail=0");
  assert_int_equal(target_open(&wh_backend_cuda, NULL, 1, NULL, &t), WH_OK);
  assert_int_equal(t.backend->buffer_create(t.dev, WH_MEMORY_WEIGHTS, UINT64_C(96) << 30, &b),
                   WH_ERR_OUT_OF_MEMORY);
  assert_non_null(strstr(wh_last_error()->message, "98304.0 MiB are needed"));
  assert_non_null(strstr(wh_last_error()->message, "are free"));
  assert_int_equal(t.backend->buffer_create(t.dev, WH_MEMORY_DEVICE, UINT64_MAX, &b), WH_ERR_OUT_OF_MEMORY);
  assert_int_equal(t.backend->buffer_create(t.dev, WH_MEMORY_DEVICE, 1000, &b), WH_OK);
  t.backend->buffer_destroy(t.dev, b);
  t.backend->close(t.dev);
  assert_int_equal(emulator_take_reports(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_calls),        cmocka_unit_test(test_unknown_codes),
      cmocka_unit_test(test_lost_device),  cmocka_unit_test(test_no_driver_that_fits),
      cmocka_unit_test(test_allocations),  cmocka_unit_test(test_products_of_one_x),
      cmocka_unit_test(test_others_go_on), cmocka_unit_test(test_memory_runs_out),
  };
  emulator_options("strict,seed=2,memory=256");
  return cmocka_run_group_tests_name("cuda_faults", tests, NULL, NULL);
}
