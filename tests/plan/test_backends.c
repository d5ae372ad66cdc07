/* test_backends.c - the registry: what does not fit is refused with a sentence, names are found, and a shared
 * object that is no backend is not taken for one. */
#include "core/backends.h"
#include "tests/ir/graph_fixture.h"
#include "tests/plan/fake_backend.h"

static const wh_backend *const linked[] = {&fake_backend};

static void what_does_not_fit_is_refused(void **state) {
  (void)state;
  wh_backend b = fake_backend;
  assert_ok(wh_backend_check(&b, "fake"));
  b.abi_version = WH_BACKEND_ABI_VERSION + 1;
  assert_int_equal(wh_backend_check(&b, "other.so"), WH_ERR_UNSUPPORTED);
  assert_error_says("other.so: made for version 4 of the backend interface; this is version 3");
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
                                     cmocka_unit_test(backends_are_found_by_name)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
