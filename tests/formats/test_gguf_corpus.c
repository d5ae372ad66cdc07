/* test_gguf_corpus.c - every file of the fuzzer's corpus through the fuzzer's function, in ordinary builds.
 */
#include "tests/base/corpus.h"

static void every_file_is_read_or_refused(void **state) {
  (void)state;
  corpus_run(WH_TEST_CORPUS_DIR, 13, false); /* the hand-made seeds at least */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_file_is_read_or_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
