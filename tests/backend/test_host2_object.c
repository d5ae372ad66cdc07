/* test_host2_object.c - host2 as a program meets it: a shared object with an entry symbol, code and error
 * record of its own. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* clang-format off */
#include "tests/backend/small_block.h"
#include "tests/backend/targets.h"
#include <cmocka.h>
/* clang-format on */

typedef const wh_backend *(*entry_fn)(void);
typedef void (*errors_fn)(void (*set)(const wh_error_record *record));

static union { /* ISO C has no conversion from an object's address to a function's */
  void *address;
  entry_fn entry;
  errors_fn errors;
} entry, errors;
static const wh_backend *b;

static int open_object(void **state) {
  (void)state;
  void *object = dlopen(WH_HOST2_OBJECT, RTLD_NOW | RTLD_LOCAL);
  if (!object) print_error("%s\n", dlerror());
  assert_non_null(object);
  entry.address = dlsym(object, "wh_backend_entry");
  errors.address = dlsym(object, "wh_backend_errors");
  assert_non_null(entry.address);
  assert_non_null(errors.address);
  assert_null(dlsym(object, "wh_graph_create")); /* and nothing else */
  b = entry.entry();
  return 0;
}

static void test_version(void **state) {
  (void)state;
  assert_int_equal(b->struct_size, sizeof(wh_backend));
  assert_int_equal(b->abi_version, WH_BACKEND_ABI_VERSION);
  assert_string_equal(b->name, "host2");
  assert_int_equal(b->count(), 1);
}

static void test_errors_arrive(void **state) {
  (void)state;
  suite_target t;
  (void)wh_fail_at("here", 1, WH_ERR_LIMIT, "an older one");
  assert_int_equal(target_open(b, "sneed:1", 1, NULL, &t), WH_ERR_INVALID_ARGUMENT);
  assert_string_equal(wh_last_error()->message, "an older one"); /* the object's is another */
  errors.errors(wh_error_set);
  assert_int_equal(target_open(b, "sneed:1", 1, NULL, &t), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_last_error()->status, WH_ERR_INVALID_ARGUMENT);
  assert_non_null(strstr(wh_last_error()->message, "host2: option 'sneed:1'"));
}

/* An error of work comes from another thread, and back from wait. */
static void test_errors_of_work_arrive(void **state) {
  (void)state;
  suite_target t;
  wh_queue *q = NULL;
  wh_buffer *x = NULL;
  wh_point p = {NULL, 0};
  assert_int_equal(target_open(b, "fail_copy:1", 1, NULL, &t), WH_OK);
  assert_int_equal(b->queue_create(t.dev, &q), WH_OK);
  assert_int_equal(b->buffer_create(t.dev, WH_MEMORY_DEVICE, 10, &x), WH_OK);
  assert_int_equal(b->upload(q, x, 0, "123456789", 10, NULL, 0, &p), WH_OK);
  (void)wh_fail_at("here", 1, WH_ERR_LIMIT, "an older one");
  assert_int_equal(b->wait(p), WH_ERR_DEVICE);
  assert_string_equal(wh_last_error()->message, "an upload failed, as was asked for");
  b->queue_destroy(q);
  b->buffer_destroy(t.dev, x);
  b->close(t.dev);
}

static void test_it_computes(void **state) {
  (void)state;
  suite_target t;
  assert_int_equal(target_open(b, "seed:2", 1, NULL, &t), WH_OK);
  suite s = {.target = &t, .random = 5};
  small_block m = small_block_make(&s, 6, 32);
  int64_t *dims = case_dims(m.c, 6);
  executor *x = NULL;
  small_block_inputs(&m, 0);
  (void)case_compute(m.c);
  assert_int_equal(executor_create(&t, m.c->g, dims, NULL, &x), WH_OK);
  assert_int_equal(small_block_write(&m, x), WH_OK);
  assert_int_equal(executor_run(x, 0, executor_n_steps(x)), WH_OK);
  case_compare(m.c, x, 0, m.logits);
  executor_destroy(x);
  free(dims);
  case_free(m.c);
  b->close(t.dev);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_version),
      cmocka_unit_test(test_errors_arrive),
      cmocka_unit_test(test_errors_of_work_arrive),
      cmocka_unit_test(test_it_computes),
  };
  return cmocka_run_group_tests_name("host2_object", tests, open_object, NULL);
}
