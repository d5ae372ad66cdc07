/* test_pack_folder.c - which models' packed weights are kept without being asked, where, and what goes when
 * there are too many. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/pack_folder.h"
#include "tests/base/temp_folder.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static void small_models_and_small_disks(void **state) {
  (void)state;
  const cli_disk roomy = {1000 * GIB, 500 * GIB};
  assert_true(cli_pack_worth_keeping(256 * MIB, roomy));
  assert_false(cli_pack_worth_keeping(256 * MIB - 1, roomy));
  assert_true(cli_pack_worth_keeping(300 * GIB, roomy));
  assert_false(cli_pack_worth_keeping(301 * GIB, roomy)); /* less than a fifth would stay free */
  assert_false(cli_pack_worth_keeping(501 * GIB, roomy));
  assert_false(cli_pack_worth_keeping(UINT64_MAX, roomy));
  assert_true(cli_pack_worth_keeping(GIB, (cli_disk){64 * GIB, 32 * GIB}));
  assert_false(cli_pack_worth_keeping(GIB, (cli_disk){64 * GIB - 1, 32 * GIB}));
  assert_false(cli_pack_worth_keeping(GIB, (cli_disk){0, 0}));
  assert_int_equal(cli_pack_folder_limit(roomy), 100 * GIB);
}

static void assert_private_folder(const char *path) {
  struct stat s;
  assert_int_equal(stat(path, &s), 0);
  assert_true(S_ISDIR(s.st_mode));
  assert_int_equal(s.st_mode & 0777, 0700);
}

/* The folders that `path` adds to the test's own, from the innermost up. */
static void remove_below(const temp_folder *f, char *path) {
  for (size_t n = strlen(f->path); strlen(path) > n; *strrchr(path, '/') = '\0')
    assert_int_equal(rmdir(path), 0);
}

static void folders_of_the_user(void **state) {
  (void)state;
  temp_folder f = temp_folder_create();
  char path[512], tiny[8], want[512], missing[512];
  (void)snprintf(missing, sizeof missing, "%s/not/there", f.path);
  assert_int_equal(setenv("HOME", f.path, 1), 0);
  static const char *const caches[] = {"", "not/there", NULL}; /* the last: not set */
  for (size_t i = 0; i < sizeof caches / sizeof caches[0]; i++) {
    const char *rest = caches[i] ? caches[i] : ".cache";
    (void)snprintf(want, sizeof want, "%s%s%s", f.path, *rest ? "/" : "", rest);
    assert_int_equal(caches[i] ? setenv("XDG_CACHE_HOME", want, 1) : setenv("XDG_CACHE_HOME", "relative", 1),
                     0);
    assert_int_equal(cli_pack_folder(MIB, path, sizeof path),
                     CLI_PACK_NOT_WORTH_IT);    /* too small to be kept */
    assert_int_equal(temp_folder_count(&f), 0); /* and nothing is made for it */
    if (cli_pack_folder(256 * MIB, path, sizeof path) == CLI_PACK_NOT_WORTH_IT)
      continue; /* the disk here is small */
    (void)strcat(want, "/whimbrel/packed");
    assert_string_equal(path, want);
    for (char *p = path + strlen(f.path) + 1; (p = strchr(p, '/')); *p++ = '/') {
      *p = '\0';
      assert_private_folder(path);
    }
    assert_private_folder(path);
    assert_int_equal(cli_pack_folder(256 * MIB, path, sizeof path), CLI_PACK_KEEP); /* it is there now */
    assert_int_equal(cli_pack_folder(256 * MIB, tiny, sizeof tiny), CLI_PACK_NOT_WORTH_IT);
    remove_below(&f, path);
  }
  assert_int_equal(setenv("XDG_CACHE_HOME", "/proc/self/none", 1), 0);
  assert_int_not_equal(cli_pack_folder(256 * MIB, path, sizeof path), CLI_PACK_KEEP);
  assert_int_equal(unsetenv("XDG_CACHE_HOME"), 0);
  assert_int_equal(setenv("HOME", missing, 1), 0); /* a home that is not there is not made */
  assert_int_equal(cli_pack_folder(256 * MIB, path, sizeof path), CLI_PACK_NOT_WORTH_IT);
  assert_int_equal(temp_folder_count(&f), 0);
  assert_int_equal(unsetenv("HOME"), 0);
  assert_int_equal(cli_pack_folder(256 * MIB, path, sizeof path), CLI_PACK_NOT_WORTH_IT);
  temp_folder_remove(&f);
}

/* What lies above a folder that is missing says whether it is worth making: on any disk the answer is the
 * same as for a folder that is there. */
static void a_missing_folder_is_no_reason(void **state) {
  (void)state;
  temp_folder f = temp_folder_create();
  char path[512], missing[512];
  (void)snprintf(missing, sizeof missing, "%s/not/there", f.path);
  assert_int_equal(setenv("XDG_CACHE_HOME", f.path, 1), 0);
  cli_pack_choice there = cli_pack_folder(256 * MIB, path, sizeof path);
  if (there == CLI_PACK_KEEP) remove_below(&f, path);
  assert_int_equal(setenv("XDG_CACHE_HOME", missing, 1), 0);
  assert_int_equal(cli_pack_folder(256 * MIB, path, sizeof path), there);
  if (there == CLI_PACK_KEEP) remove_below(&f, path);
  temp_folder_remove(&f);
}

static void put_file(const temp_folder *f, const char *name, off_t bytes, time_t used, time_t written) {
  temp_path path = temp_path_of(f, name);
  const struct timespec times[2] = {{used, 0}, {written, 0}};
  int fd = open(path.text, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(ftruncate(fd, bytes), 0);
  assert_int_equal(close(fd), 0);
  assert_int_equal(utimensat(AT_FDCWD, path.text, times, 0), 0);
}

static bool is_there(const temp_folder *f, const char *name) {
  temp_path path = temp_path_of(f, name);
  return access(path.text, F_OK) == 0;
}

static void the_longest_unused_go(void **state) {
  (void)state;
  temp_folder f = temp_folder_create();
  put_file(&f, "a.pack", 1000, 5000, 1000);
  put_file(&f, "b.pack", 1000, 2000, 2000);
  put_file(&f, "c.pack", 1000, 1000, 3000); /* not read since it was written */
  put_file(&f, "d.stamp", 1000, 1, 1);
  put_file(&f, "model.gguf", 100000, 1, 1); /* nobody's business */
  cli_pack_folder_trim(f.path, 3000);
  assert_int_equal(temp_folder_count(&f), 5);
  cli_pack_folder_trim(f.path, 2999);
  assert_false(is_there(&f, "b.pack"));
  assert_int_equal(temp_folder_count(&f), 4);
  cli_pack_folder_trim(f.path, 1000);
  assert_true(is_there(&f, "a.pack"));
  assert_int_equal(temp_folder_count(&f), 3);
  cli_pack_folder_trim(f.path, 0);
  assert_int_equal(temp_folder_count(&f), 2);
  cli_pack_folder_trim("/no/such/folder", 0);
  temp_folder_remove(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(small_models_and_small_disks),
      cmocka_unit_test(folders_of_the_user),
      cmocka_unit_test(a_missing_folder_is_no_reason),
      cmocka_unit_test(the_longest_unused_go),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
