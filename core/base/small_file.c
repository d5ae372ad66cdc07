/* small_file.c - see small_file.h. */
#define _POSIX_C_SOURCE 200809L
#include "core/base/small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static char *join(const wh_allocator *alloc, const char *a, const char *b) {
  size_t na = strlen(a), nb = strlen(b), n = 0;
  char *s = wh_add_size(na, nb, &n) && wh_add_size(n, 1, &n) ? wh_alloc_uninit(alloc, n, 1) : NULL;
  if (!s) return NULL;
  memcpy(s, a, na);
  memcpy(s + na, b, nb + 1);
  return s;
}

wh_status wh_small_file_read(const char *root, const char *path, const wh_allocator *alloc, char **out) {
  char *name = join(alloc, root, path);
  if (!name) return WH_OOM("file name");
  int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  wh_free(alloc, name);
  if (fd < 0) {
    *out = NULL;
    return WH_OK;
  }
  void *text = NULL;
  size_t capacity = 0, used = 0;
  ssize_t got = 0;
  bool room = true;
  do {
    used += (size_t)got;
    room = wh_grow_array(alloc, &text, &capacity, used, used + 1024, 1);
    if (!room) break;
    do got = read(fd, (char *)text + used, 1023);
    while (got < 0 && errno == EINTR);
  } while (got > 0 && used < WH_SMALL_FILE_MAX);
  (void)close(fd);
  if (!room || got < 0) { /* a directory, say, opens but cannot be read */
    wh_free(alloc, text);
    if (!room) return WH_OOM("text of a system file");
    *out = NULL;
    return WH_OK;
  }
  ((char *)text)[used] = '\0';
  *out = text;
  return WH_OK;
}
