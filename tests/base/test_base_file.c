/* test_base_file.c - mappings, and writes that happen whole or not at all. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "core/base/file.h"
#include "tests/base/failing_allocator.h"
#include "tests/base/temp_folder.h"

static temp_folder folder;

static int set_up(void **state) {
  (void)state;
  folder = temp_folder_create();
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  temp_folder_remove(&folder);
  return 0;
}

static void holds(const char *path, const void *bytes, size_t n) {
  wh_file *f;
  assert_int_equal(wh_file_open(path, NULL, &f), WH_OK);
  assert_int_equal(wh_file_size(f), n);
  assert_memory_equal(wh_file_data(f), bytes, n);
  assert_string_equal(wh_file_path(f), path);
  wh_file_close(f);
}

static void not_opened(const char *path, wh_status status, const char *part) {
  wh_file *f = NULL;
  assert_int_equal(wh_file_open(path, NULL, &f), status);
  assert_null(f);
  assert_non_null(strstr(wh_last_error()->message, part));
  if (path && *path) assert_non_null(strstr(wh_last_error()->message, path));
}

static void what_is_no_file_is_refused(void **state) {
  (void)state;
  temp_path path = temp_path_of(&folder, "x");
  not_opened(NULL, WH_ERR_INVALID_ARGUMENT, "no file name");
  not_opened("", WH_ERR_INVALID_ARGUMENT, "no file name");
  not_opened(path.text, WH_ERR_NOT_FOUND, "no such file");
  not_opened(folder.path, WH_ERR_INVALID_ARGUMENT, "is a directory");
  not_opened("/dev/null", WH_ERR_INVALID_ARGUMENT, "not a regular file");
  assert_int_equal(mkfifo(path.text, 0600), 0);
  not_opened(path.text, WH_ERR_INVALID_ARGUMENT, "not a regular file"); /* and does not wait for a writer */
  (void)remove(path.text);
  assert_int_equal(wh_file_write(path.text, "", 0, NULL), WH_OK);
  not_opened(path.text, WH_ERR_CORRUPT, "file is empty");
  wh_file_close(NULL);
}

static void a_write_replaces_the_file(void **state) {
  (void)state;
  temp_path path = temp_path_of(&folder, "x");
  assert_int_equal(wh_file_write(path.text, "old and long", 12, NULL), WH_OK);
  wh_file *old;
  assert_int_equal(wh_file_open(path.text, NULL, &old), WH_OK);
  assert_int_equal(wh_file_write(path.text, "new", 3, NULL), WH_OK);
  holds(path.text, "new", 3);
  assert_memory_equal(wh_file_data(old), "old and long", 12); /* who has the old one keeps it */
  wh_file_close(old);
  struct stat st;
  assert_int_equal(stat(path.text, &st), 0);
  assert_int_equal(st.st_mode & 0777, 0644);
  assert_int_equal(temp_folder_count(&folder), 1);
}

static void advice_outside_the_file_is_harmless(void **state) {
  (void)state;
  static uint8_t bytes[20000];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 31);
  temp_path path = temp_path_of(&folder, "x");
  assert_int_equal(wh_file_write(path.text, bytes, sizeof bytes, NULL), WH_OK);
  wh_file *f;
  assert_int_equal(wh_file_open(path.text, NULL, &f), WH_OK);
  static const size_t ranges[][2] = {{0, 20000},        {1, 4096},  {19999, 1},
                                     {19999, SIZE_MAX}, {20000, 1}, {SIZE_MAX, 1}};
  for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
    wh_file_dont_need(f, ranges[i][0], ranges[i][1]);
  }
  assert_memory_equal(wh_file_data(f), bytes, sizeof bytes);
  wh_file_close(f);
}

static wh_file_identity identity_of(const char *path) {
  wh_file *f;
  assert_int_equal(wh_file_open(path, NULL, &f), WH_OK);
  wh_file_prefault(f, 0, wh_file_size(f));
  wh_file_prefault(f, 1, SIZE_MAX);    /* clipped, as other advice is */
  assert_false(wh_file_is_settled(f)); /* written just now */
  wh_file_identity id = wh_file_get_identity(f);
  assert_int_equal(id.size, wh_file_size(f));
  wh_file_close(f);
  return id;
}

static void identities_tell_files_apart(void **state) {
  (void)state;
  temp_path x = temp_path_of(&folder, "x"), y = temp_path_of(&folder, "y");
  assert_int_equal(wh_file_write(x.text, "same", 4, NULL), WH_OK);
  assert_int_equal(wh_file_write(y.text, "same", 4, NULL), WH_OK);
  wh_file_identity a = identity_of(x.text), b = identity_of(y.text), again = identity_of(x.text);
  assert_memory_equal(&a, &again, sizeof a);
  assert_int_equal(a.device, b.device);
  assert_int_not_equal(a.inode, b.inode);
  const struct timespec past[2] = {{1, 0}, {1, 5}};
  assert_int_equal(utimensat(AT_FDCWD, x.text, past, 0), 0);
  wh_file_identity old = identity_of(x.text); /* not settled: its attributes changed just now */
  assert_int_equal(old.modified_ns, 1000000005);
  assert_true(old.changed_ns >= a.changed_ns);
}

static void folders_are_made_once(void **state) {
  (void)state;
  temp_path x = temp_path_of(&folder, "x"), below = temp_path_of(&folder, "no/such");
  assert_int_equal(wh_folder_create(x.text), WH_OK);
  assert_int_equal(wh_folder_create(x.text), WH_OK);
  assert_int_equal(rmdir(x.text), 0);
  assert_int_equal(wh_folder_create(below.text), WH_ERR_IO);
  assert_non_null(strstr(wh_last_error()->message, below.text));
  assert_int_equal(wh_file_write(x.text, "a file", 6, NULL), WH_OK);
  assert_int_equal(wh_folder_create(x.text), WH_ERR_IO);
  assert_int_equal(wh_folder_create(""), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_folder_create(NULL), WH_ERR_INVALID_ARGUMENT);
}

static void appends_of_any_size_arrive_in_order(void **state) {
  (void)state;
  static uint8_t bytes[300000];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 2654435761u >> 13);
  static const size_t steps[] = {1, 7, 65535, 65536, 65537, 100000, 3, 0, 40000};
  temp_path path = temp_path_of(&folder, "x");
  wh_file_writer *w;
  assert_int_equal(wh_file_writer_begin(path.text, NULL, &w), WH_OK);
  size_t at = 0;
  for (size_t i = 0; at < sizeof bytes; i++) {
    size_t n = i < 9 ? steps[i] : 1000;
    if (n > sizeof bytes - at) n = sizeof bytes - at;
    assert_int_equal(wh_file_writer_append(w, bytes + at, n), WH_OK);
    at += n;
    assert_int_equal(wh_file_writer_size(w), at);
  }
  assert_int_equal(temp_folder_count(&folder), 1);
  assert_int_equal(access(path.text, F_OK), -1); /* not there before the commit */
  assert_int_equal(wh_file_writer_commit(w), WH_OK);
  holds(path.text, bytes, sizeof bytes);
  assert_int_equal(temp_folder_count(&folder), 1);
}

static void an_abort_leaves_nothing(void **state) {
  (void)state;
  temp_path path = temp_path_of(&folder, "x");
  wh_file_writer *w;
  assert_int_equal(wh_file_writer_begin(path.text, NULL, &w), WH_OK);
  assert_int_equal(wh_file_writer_append(w, "abc", 3), WH_OK);
  wh_file_writer_abort(w);
  wh_file_writer_abort(NULL);
  assert_int_equal(temp_folder_count(&folder), 0);
}

static void impossible_targets_are_refused(void **state) {
  (void)state;
  temp_path path = temp_path_of(&folder, "no/such/folder");
  assert_int_equal(wh_file_write(path.text, "x", 1, NULL), WH_ERR_IO);
  assert_non_null(strstr(wh_last_error()->message, "cannot create"));
  assert_int_equal(wh_file_write("", "x", 1, NULL), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_file_write("/dev/full", "x", 1, NULL), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_file_write(folder.path, "x", 1, NULL), WH_ERR_INVALID_ARGUMENT);
  struct stat st;
  assert_int_equal(stat("/dev/full", &st), 0);
  assert_true(S_ISCHR(st.st_mode)); /* still the device */
}

static void a_full_disk_keeps_the_old_file(void **state) {
  (void)state;
  static const uint8_t bytes[200000];
  temp_path path = temp_path_of(&folder, "x");
  struct rlimit before, limited;
  assert_int_equal(wh_file_write(path.text, "old", 3, NULL), WH_OK);
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  void (*old_handler)(int) = signal(SIGXFSZ, SIG_IGN); /* write() then fails with EFBIG */
  limited = before;
  limited.rlim_cur = 100000;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limited), 0);
  wh_status whole = wh_file_write(path.text, bytes, sizeof bytes, NULL);
  wh_file_writer *w;
  wh_status begun = wh_file_writer_begin(path.text, NULL, &w), append = WH_OK;
  for (int i = 0; i < 200 && append == WH_OK; i++) append = wh_file_writer_append(w, bytes, 1000);
  wh_status again = wh_file_writer_append(w, bytes, 1), commit = wh_file_writer_commit(w);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  (void)signal(SIGXFSZ, old_handler);
  assert_int_equal(whole, WH_ERR_IO);
  assert_int_equal(begun, WH_OK);
  assert_int_equal(append, WH_ERR_IO);
  assert_int_equal(again, WH_ERR_IO);  /* a failure sticks ... */
  assert_int_equal(commit, WH_ERR_IO); /* ... and nothing incomplete takes the target's place */
  assert_non_null(strstr(wh_last_error()->message, strerror(EFBIG)));
  holds(path.text, "old", 3);
  assert_int_equal(temp_folder_count(&folder), 1);
}

static void failed_allocations_leave_nothing(void **state) {
  (void)state;
  temp_path path = temp_path_of(&folder, "x");
  failing_allocator a;
  size_t k = 1;
  for (; wh_file_write(path.text, "x", 1, failing_allocator_init(&a, k)) != WH_OK; k++) {
    assert_int_equal(wh_last_error()->status, WH_ERR_OUT_OF_MEMORY);
    assert_int_equal(a.n_live, 0);
    assert_int_equal(temp_folder_count(&folder), 0);
  }
  assert_int_equal(k, 4); /* writer and two paths */
  wh_file *f = NULL;
  for (k = 1; wh_file_open(path.text, failing_allocator_init(&a, k), &f) != WH_OK; k++) {
    assert_int_equal(wh_last_error()->status, WH_ERR_OUT_OF_MEMORY);
    assert_int_equal(a.n_live, 0);
    assert_null(f);
  }
  wh_file_close(f);
  assert_int_equal(k, 3);
  assert_int_equal(a.n_live, 0);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      T(what_is_no_file_is_refused),
      T(a_write_replaces_the_file),
      T(advice_outside_the_file_is_harmless),
      T(identities_tell_files_apart),
      T(folders_are_made_once),
      T(appends_of_any_size_arrive_in_order),
      T(an_abort_leaves_nothing),
      T(impossible_targets_are_refused),
      T(a_full_disk_keeps_the_old_file),
      T(failed_allocations_leave_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
