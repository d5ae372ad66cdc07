/* test_tokenizer_corpus.c - every file of the fuzzer's corpus through the fuzzer's function, in ordinary
 * builds. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes);

static void every_file_is_tokenized(void **state) {
  (void)state;
  DIR *dir = opendir(WH_TEST_CORPUS_DIR);
  assert_non_null(dir);
  int n_files = 0;
  for (struct dirent *e; (e = readdir(dir));) {
    char path[1024];
    if (e->d_name[0] == '.') continue;
    (void)snprintf(path, sizeof path, "%s/%s", WH_TEST_CORPUS_DIR, e->d_name);
    wh_file *file;
    assert_int_equal(wh_file_open(path, NULL, &file), WH_OK);
    size_t n = wh_file_size(file);
    uint8_t *exact = wh_alloc_uninit(NULL, n, 1); /* ends where the file ends: sanitizers see an over-read */
    assert_non_null(exact);
    memcpy(exact, wh_file_data(file), n);
    for (size_t end = 0; end <= n; end++) assert_int_equal(LLVMFuzzerTestOneInput(exact, end), 0);
    wh_free(NULL, exact);
    wh_file_close(file);
    n_files++;
  }
  (void)closedir(dir);
  assert_true(n_files >= 29); /* one for each kind of tokenizer */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_file_is_tokenized)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
