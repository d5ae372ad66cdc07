/* file_tree.h - a file tree in place of /proc and /sys: tree_create and tree_remove set a cmocka test up and
 * tear it down. For files that define _XOPEN_SOURCE 700 and include cmocka. */
#ifndef WH_TESTS_FILE_TREE_H
#define WH_TESTS_FILE_TREE_H

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/base/temp_folder.h"

static temp_folder tree;

static inline int tree_remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk) {
  (void)st, (void)type, (void)walk;
  return remove(path);
}
static inline int tree_create(void **state) {
  (void)state;
  tree = temp_folder_create();
  return 0;
}
static inline int tree_remove(void **state) {
  (void)state;
  return nftw(tree.path, tree_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Writes a file of the tree and the folders above it. */
static inline void put(const char *path, const char *text) {
  temp_path full = temp_path_of(&tree, path + 1);
  for (char *p = full.text + strlen(tree.path) + 1; (p = strchr(p, '/')); p++) {
    *p = '\0';
    assert_true(mkdir(full.text, 0700) == 0 || errno == EEXIST);
    *p = '/';
  }
  FILE *f = fopen(full.text, "w");
  assert_non_null(f);
  assert_true(fputs(text, f) >= 0);
  assert_int_equal(fclose(f), 0);
}

#endif
