/* test_backends.c - the registry: what does not fit is refused with a sentence, names are found, and a shared
 * object that is no backend is not taken for one. */
#include "core/backends.h"

#include "core/base/hash.h"
#include "tests/ir/graph_fixture.h"
#include "tests/plan/fake_backend.h"

#define OPS_VERSION 7u
#define OPS_HASH "2fb93909cc2e7c3d1d667d929438cacc"

static const wh_backend *const linked[] = {&fake_backend};

static void what_does_not_fit_is_refused(void **state) {
  (void)state;
  wh_backend b = fake_backend;
  assert_ok(wh_backend_check(&b, "fake"));
  b.abi_version = WH_BACKEND_ABI_VERSION + 1;
  assert_int_equal(wh_backend_check(&b, "other.so"), WH_ERR_UNSUPPORTED);
  assert_error_says("other.so: made for version 8 of the backend interface; this is version 7");
  b = fake_backend;
  b.struct_size--;
  assert_int_equal(wh_backend_check(&b, "short.so"), WH_ERR_UNSUPPORTED);
  assert_error_says("short.so: its backend struct has");
  b.struct_size = 0;
  assert_int_equal(wh_backend_check(&b, "empty.so"), WH_ERR_UNSUPPORTED);
  b = fake_backend;
  b.struct_size += 64; /* a later one, with fields appended */
  assert_ok(wh_backend_check(&b, "later.so"));
  b = fake_backend;
  b.submit = NULL;
  assert_int_equal(wh_backend_check(&b, "half.so"), WH_ERR_UNSUPPORTED);
  assert_error_says("half.so: a function of its backend is missing");
  b = fake_backend;
  b.measure = NULL;
  assert_int_equal(wh_backend_check(&b, "dumb.so"), WH_ERR_UNSUPPORTED);
  b = fake_backend;
  b.parallel = NULL; /* the one that may be */
  assert_ok(wh_backend_check(&b, "serial.so"));
  assert_int_equal(wh_backend_check(NULL, "none.so"), WH_ERR_UNSUPPORTED);
}

/* Objects of another build take an op for what its number says. */
static void the_version_belongs_to_the_ops(void **state) {
  (void)state;
  char names[WH_OP_COUNT * 32] = "", text[WH_HASH_TEXT_BYTES];
  size_t n = 0;
  for (int op = 0; op < WH_OP_COUNT; op++)
    n += (size_t)snprintf(names + n, sizeof names - n, "%s ", wh_op_get((wh_op)op)->name);
  wh_hash_format(wh_hash_bytes(names, n), text);
  if (strcmp(text, OPS_HASH) != 0)
    fail_msg("the ops have changed: raise WH_BACKEND_ABI_VERSION, then put that version and %s here", text);
  assert_int_equal(WH_BACKEND_ABI_VERSION, OPS_VERSION);
}

static void backends_are_found_by_name(void **state) {
  (void)state;
  const wh_backend *b = NULL;
  assert_ok(wh_backend_find("fake", linked, 1, NULL, &b));
  assert_ptr_equal(b, &fake_backend);
  static const char *const wrong[] = {"abacus", "", "../fake", "fake/", "a name", "Fake"};
  for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
    b = NULL;
    assert_int_equal(wh_backend_find(wrong[i], linked, 1, "/nowhere", &b), WH_ERR_INVALID_ARGUMENT);
    assert_error_says("known: fake");
    assert_null(b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(what_does_not_fit_is_refused),
                                     cmocka_unit_test(the_version_belongs_to_the_ops),
                                     cmocka_unit_test(backends_are_found_by_name)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
