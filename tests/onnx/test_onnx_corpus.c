/* test_onnx_corpus.c - what fuzzing has found, through the fuzzer's function, in ordinary builds. */
#include "tests/base/corpus.h"

static void every_file_is_run_or_refused(void **state) {
  (void)state;
  corpus_run(WH_TEST_CORPUS_DIR, 1, false);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_file_is_run_or_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
