/* corpus.h - a fuzzer's corpus through the fuzzer's function, in ordinary builds. */
#ifndef WH_TESTS_CORPUS_H
#define WH_TESTS_CORPUS_H

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

/* Runs every file of the folder, and the beginnings of it, too, if `cut`; there are at least n_files. */
static inline void corpus_run(const char *folder, int n_files, bool cut) {
  DIR *dir = opendir(folder);
  assert_non_null(dir);
  for (struct dirent *e; (e = readdir(dir));) {
    char path[1024];
    wh_file *file;
    if (e->d_name[0] == '.') continue;
    (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
    assert_int_equal(wh_file_open(path, NULL, &file), WH_OK);
    const size_t n = wh_file_size(file);
    uint8_t *exact = wh_alloc_uninit(NULL, n, 64); /* ends where the file ends: sanitizers see an over-read */
    assert_non_null(exact);
    memcpy(exact, wh_file_data(file), n);
    for (size_t end = cut ? 0 : n; end <= n; end++) assert_int_equal(LLVMFuzzerTestOneInput(exact, end), 0);
    wh_free(NULL, exact);
    wh_file_close(file);
    n_files--;
  }
  (void)closedir(dir);
  assert_true(n_files <= 0);
}

#endif
