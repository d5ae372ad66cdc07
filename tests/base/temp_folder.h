/* temp_folder.h - a folder for the files of one test. */
#ifndef WH_TESTS_TEMP_FOLDER_H
#define WH_TESTS_TEMP_FOLDER_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct temp_folder {
  char path[64];
} temp_folder;

typedef struct temp_path {
  char text[400];
} temp_path;

static inline temp_folder temp_folder_create(void) {
  temp_folder f = {"/tmp/whimbrel-test-XXXXXX"};
  if (!mkdtemp(f.path)) abort();
  return f;
}

/* By value, so that `temp_path_of(&f, "x").text` can stand among arguments. */
static inline temp_path temp_path_of(const temp_folder *f, const char *name) {
  temp_path p;
  if (snprintf(p.text, sizeof p.text, "%s/%s", f->path, name) >= (int)sizeof p.text) abort();
  return p;
}

/* Number of files in the folder. */
static inline int temp_folder_count(const temp_folder *f) {
  DIR *dir = opendir(f->path);
  if (!dir) abort();
  int n = 0;
  for (struct dirent *e; (e = readdir(dir));) n += e->d_name[0] != '.';
  (void)closedir(dir);
  return n;
}

/* Mappings and open files of this process that name the folder. */
static inline int temp_folder_traces(const temp_folder *folder) {
  char line[1024];
  int n = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  while (maps && fgets(line, sizeof line, maps)) n += strstr(line, folder->path) != NULL;
  if (maps) (void)fclose(maps);
  for (int fd = 0; fd < 256; fd++) {
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, line, sizeof line - 1);
    if (len <= 0) continue;
    line[len] = '\0';
    n += strstr(line, folder->path) != NULL;
  }
  return n;
}

static inline void temp_folder_remove(const temp_folder *f) {
  DIR *dir = opendir(f->path);
  if (!dir) return;
  for (struct dirent *e; (e = readdir(dir));)
    if (e->d_name[0] != '.') (void)unlink(temp_path_of(f, e->d_name).text);
  (void)closedir(dir);
  (void)rmdir(f->path);
}

#endif
