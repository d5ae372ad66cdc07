/* test_host2_faults.c - every allocation, buffer, copy and submit of a run fails once: the error arrives, is
 * what was asked for, and leaves nothing behind. And 20 seeds of delays give the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
#include "backends/host2/host2_backend.h"
#include "core/base/hash.h"
#include "tests/backend/small_block.h"
#include "tests/backend/targets.h"
#include "tests/base/failing_allocator.h"
#include <cmocka.h>
/* clang-format on */

/* Two runs of the small block on a device of its own; the hash of what they gave. */
static wh_status run(const suite_target *t, wh_hash128 *out) {
  suite s = {.target = t, .random = 5};
  small_block m = small_block_make(&s, 6, 32);
  int64_t *most = case_dims(m.c, 6), *one = case_dims(m.c, 1);
  executor *x = NULL;
  wh_status st = executor_create(t, m.c->g, most, NULL, &x);
  for (int round = 0; round < 2 && st == WH_OK; round++) {
    case_set_rows(m.c, round ? 1 : 6);
    small_block_inputs(&m, round ? 6 : 0);
    if (round) st = executor_bind(x, one);
    if (st == WH_OK) st = small_block_write(&m, x);
    if (st == WH_OK) st = executor_run(x, 0, executor_n_steps(x) / 2);
    if (st == WH_OK)
      st = executor_run(x, executor_n_steps(x) / 2, executor_n_steps(x) - executor_n_steps(x) / 2);
    if (st == WH_OK) st = executor_read(x, m.logits, m.c->data[m.logits]);
    if (st == WH_OK) *out = wh_hash_bytes(m.c->data[m.logits], m.c->n_bytes[m.logits]);
  }
  executor_destroy(x);
  free(most);
  free(one);
  case_free(m.c);
  return st;
}

/* With the n-th thing of a kind failing. */
static wh_status run_failing(const char *what, unsigned n, size_t fail_at, wh_hash128 *out) {
  char options[64];
  failing_allocator counts;
  const wh_allocator *alloc = failing_allocator_init(&counts, fail_at);
  suite_target t;
  (void)snprintf(options, sizeof options, "delay:0,%s:%u", what, n);
  wh_status st = target_open(&wh_backend_host2, options, 1, alloc, &t);
  if (st == WH_OK) {
    st = run(&t, out);
    t.backend->close(t.dev);
  }
  if (counts.n_live)
    fail_msg("%s %u, allocation %zu: %zu pieces of memory are left", what, n, fail_at, counts.n_live);
  return st;
}

static void fail_each(const char *what, wh_status want, const char *sentence, unsigned least) {
  wh_hash128 good = {0}, hash = {0};
  assert_int_equal(run_failing("seed", 1, 0, &good), WH_OK);
  unsigned n = 1;
  for (;; n++) {
    wh_status st = run_failing(what, n, 0, &hash);
    if (st == WH_OK) break;
    if (st != want || !strstr(wh_last_error()->message, sentence))
      fail_msg("%s %u: status %d, '%s'", what, n, st, wh_last_error()->message);
  }
  assert_true(wh_hash_equal(hash, good));
  print_message("%s: %u failures\n", what, n - 1);
  assert_true(n > least);
}

static void test_buffers(void **state) {
  (void)state;
  fail_each("fail_alloc", WH_ERR_OUT_OF_MEMORY, "a buffer was refused", 10);
}
static void test_copies(void **state) {
  (void)state;
  fail_each("fail_copy", WH_ERR_DEVICE, "failed, as was asked for", 15);
  fail_each("refuse_copy", WH_ERR_DEVICE, "a copy was refused", 15);
}
static void test_submits(void **state) {
  (void)state;
  fail_each("fail_submit", WH_ERR_DEVICE, "a submit failed, as was asked for", 4);
  fail_each("refuse_submit", WH_ERR_DEVICE, "a submit was refused", 4);
}

static void test_allocations(void **state) {
  (void)state;
  wh_hash128 good = {0}, hash = {0};
  assert_int_equal(run_failing("seed", 1, 0, &good), WH_OK);
  size_t n = 1;
  for (;; n++) {
    wh_status st = run_failing("seed", 1, n, &hash);
    if (st == WH_OK) break;
    if (st != WH_ERR_OUT_OF_MEMORY)
      fail_msg("allocation %zu: status %d, '%s'", n, st, wh_last_error()->message);
  }
  print_message("%zu allocations\n", n - 1);
  assert_true(wh_hash_equal(hash, good));
  assert_true(n > 50);
}

static void test_delays(void **state) {
  (void)state;
  wh_hash128 first = {0};
  for (int seed = 0; seed < 20; seed++) {
    char options[64];
    wh_hash128 hash = {0};
    suite_target t;
    (void)snprintf(options, sizeof options, "seed:%d,delay:300", seed);
    assert_int_equal(target_open(&wh_backend_host2, options, 1, NULL, &t), WH_OK);
    assert_int_equal(run(&t, &hash), WH_OK);
    t.backend->close(t.dev);
    if (seed == 0) first = hash;
    assert_true(wh_hash_equal(hash, first));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_buffers),     cmocka_unit_test(test_copies), cmocka_unit_test(test_submits),
      cmocka_unit_test(test_allocations), cmocka_unit_test(test_delays),
  };
  return cmocka_run_group_tests_name("host2_faults", tests, NULL, NULL);
}
