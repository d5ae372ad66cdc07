/* memory_file.h - bytes under a path, for readers that take nothing else: fuzzers. Needs _GNU_SOURCE. */
#ifndef WH_TESTS_MEMORY_FILE_H
#define WH_TESTS_MEMORY_FILE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct memory_file {
  int fd;
  char path[40];
} memory_file;

static inline memory_file memory_file_create(const void *data, size_t n) {
  memory_file f = {memfd_create("fuzz", MFD_CLOEXEC), ""};
  if (f.fd < 0 || write(f.fd, data, n) != (ssize_t)n) abort();
  (void)snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
  return f;
}

static inline void memory_file_close(const memory_file *f) { (void)close(f->fd); }

#endif
