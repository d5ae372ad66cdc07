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

#define WORTH_BYTES (UINT64_C(256) << 20)
#define DISK_BYTES (UINT64_C(64) << 30)

bool cli_pack_worth_keeping(uint64_t weight_bytes, cli_disk disk) {
  return weight_bytes >= WORTH_BYTES && disk.total >= DISK_BYTES && disk.available >= weight_bytes &&
         disk.available - weight_bytes >= disk.total / 5;
}

uint64_t cli_pack_folder_limit(cli_disk disk) { return disk.total / 10; }

static bool read_disk(const char *path, cli_disk *out) {
  struct statvfs s;
  if (statvfs(path, &s) != 0) return false;
  *out = (cli_disk){(uint64_t)s.f_blocks * s.f_frsize, (uint64_t)s.f_bavail * s.f_frsize};
  return true;
}

static bool make_folder(const char *path) { return mkdir(path, 0700) == 0 || errno == EEXIST; }

bool cli_pack_folder(uint64_t weight_bytes, char *path, size_t size) {
  const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  const bool own = cache && cache[0] == '/'; /* the specification ignores relative ones */
  cli_disk disk;
  char base[PATH_MAX];
  if (!own && (!home || home[0] != '/')) return false;
  int n = snprintf(base, sizeof base, "%s%s", own ? cache : home, own ? "" : "/.cache");
  if (n < 0 || (size_t)n >= sizeof base) return false;
  if (!read_disk(base, &disk) && (own || !read_disk(home, &disk))) return false;
  if (!cli_pack_worth_keeping(weight_bytes, disk) || !make_folder(base)) return false; /* else make nothing */
  n = snprintf(path, size, "%s/whimbrel", base);
  if (n < 0 || (size_t)n >= size || !make_folder(path)) return false;
  n = snprintf(path, size, "%s/whimbrel/packed", base);
  return n >= 0 && (size_t)n < size && make_folder(path);
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
