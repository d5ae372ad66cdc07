/* pack_folder.c - see pack_folder.h. */
#include "cli/pack_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DISK_BYTES (UINT64_C(64) << 30)

bool cli_pack_worth_keeping(uint64_t weight_bytes, cli_disk disk) {
  return weight_bytes >= CLI_LARGE_WEIGHTS && disk.total >= DISK_BYTES && disk.available >= weight_bytes &&
         disk.available - weight_bytes >= disk.total / 5;
}

uint64_t cli_pack_folder_limit(cli_disk disk) { return disk.total / 10; }

static bool read_disk(const char *path, cli_disk *out) {
  struct statvfs s;
  if (statvfs(path, &s) != 0) return false;
  *out = (cli_disk){(uint64_t)s.f_blocks * s.f_frsize, (uint64_t)s.f_bavail * s.f_frsize};
  return true;
}

/* Of the folder, or of the nearest one above it that is there. */
static bool read_disk_of_nearest(const char *path, cli_disk *out) {
  char above[PATH_MAX];
  (void)snprintf(above, sizeof above, "%s", path);
  while (!read_disk(above, out)) {
    char *slash = strrchr(above, '/');
    if (errno != ENOENT || !slash || !above[1]) return false;
    slash[slash == above] = '\0'; /* "/" stays */
  }
  return true;
}

/* Makes the folder and those above it. */
static bool make_folders(char *path) {
  for (char *p = path + 1; (p = strchr(p, '/')); ++p) {
    *p = '\0';
    bool made = mkdir(path, 0700) == 0 || errno == EEXIST || access(path, F_OK) == 0;
    *p = '/';
    if (!made) return false;
  }
  return mkdir(path, 0700) == 0 || errno == EEXIST;
}

cli_pack_choice cli_pack_folder(uint64_t weight_bytes, char *path, size_t size) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  const bool own = cache && cache[0] == '/'; /* the specification ignores relative ones */
  cli_disk disk;
  if (!own && (!home || home[0] != '/' || access(home, F_OK) != 0)) return CLI_PACK_NOT_WORTH_IT;
  int n = snprintf(path, size, "%s%s/whimbrel/packed", own ? cache : home, own ? "" : "/.cache");
  if (n < 0 || (size_t)n >= size || (size_t)n >= PATH_MAX) return CLI_PACK_NOT_WORTH_IT;
  if (!read_disk_of_nearest(path, &disk)) return CLI_PACK_NO_FOLDER;
  if (!cli_pack_worth_keeping(weight_bytes, disk)) return CLI_PACK_NOT_WORTH_IT; /* nothing is made */
  return make_folders(path) ? CLI_PACK_KEEP : CLI_PACK_NO_FOLDER;
}

/* A file's last use: reading sets the access time, at least once a day on common mounts. */
static int64_t last_use(const struct stat *s) {
  return (int64_t)(s->st_atime > s->st_mtime ? s->st_atime : s->st_mtime);
}

static bool is_pack_file(int folder, const char *name, struct stat *s) {
  const char *dot = strrchr(name, '.');
  return dot && strcmp(dot, ".pack") == 0 && fstatat(folder, name, s, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(s->st_mode);
}

/* Bytes of all files; the name of the least recently used one. */
static uint64_t look_through(DIR *folder, char oldest[NAME_MAX + 1]) {
  uint64_t total = 0;
  int64_t oldest_use = INT64_MAX;
  struct stat s;
  rewinddir(folder);
  for (const struct dirent *e; (e = readdir(folder));) {
    if (!is_pack_file(dirfd(folder), e->d_name, &s)) continue;
    total += (uint64_t)s.st_size;
    if (last_use(&s) >= oldest_use) continue;
    oldest_use = last_use(&s);
    (void)snprintf(oldest, NAME_MAX + 1, "%s", e->d_name);
  }
  return total;
}

void cli_pack_folder_trim(const char *path, uint64_t limit) {
  char oldest[NAME_MAX + 1];
  DIR *folder = opendir(path);
  while (folder && look_through(folder, oldest) > limit)
    if (unlinkat(dirfd(folder), oldest, 0) != 0) break;
  if (folder) closedir(folder);
}

void cli_pack_folder_trim_to_disk(const char *path) {
  cli_disk disk;
  if (read_disk(path, &disk)) cli_pack_folder_trim(path, cli_pack_folder_limit(disk));
}
