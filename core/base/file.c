/* file.c - read-only mappings of POSIX files. Sizes come from fstat after open, so that the checked file is
 * the mapped one. */
#define _GNU_SOURCE
#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct wh_file {
  const wh_allocator *alloc;
  char *path;
  void *data;
  size_t size;
};

wh_status wh_file_open(const char *path, const wh_allocator *alloc, wh_file **out) {
  if (!path || !*path) return WH_FAIL(ERR_INVALID_ARGUMENT, "no file name given");
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
  if (fd < 0)
    return errno == ENOENT ? WH_FAIL(ERR_NOT_FOUND, "%s: no such file", path)
                           : WH_FAIL(ERR_IO, "%s: cannot open: %s", path, strerror(errno));
  struct stat st;
  wh_status status = WH_OK;
  void *data = MAP_FAILED;
  wh_file *f = NULL;
  if (fstat(fd, &st) != 0)
    status = WH_FAIL(ERR_IO, "%s: cannot stat: %s", path, strerror(errno));
  else if (S_ISDIR(st.st_mode))
    status = WH_FAIL(ERR_INVALID_ARGUMENT, "%s: is a directory; give the model file inside it", path);
  else if (!S_ISREG(st.st_mode))
    status = WH_FAIL(ERR_INVALID_ARGUMENT, "%s: not a regular file", path);
  else if (st.st_size == 0)
    status = WH_FAIL(ERR_CORRUPT, "%s: file is empty", path);
  if (status == WH_OK) {
    data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) status = WH_FAIL(ERR_IO, "%s: cannot map: %s", path, strerror(errno));
  }
  (void)close(fd);
  if (status == WH_OK) {
    f = wh_alloc_zeroed(alloc, sizeof *f);
    char *copy = f ? wh_alloc_string(alloc, path, strlen(path)) : NULL;
    if (!copy) {
      wh_free(alloc, f);
      status = WH_OOM("file object");
    } else {
      *f = (wh_file){alloc, copy, data, (size_t)st.st_size};
    }
  }
  if (status != WH_OK) {
    if (data != MAP_FAILED) (void)munmap(data, (size_t)st.st_size);
    return status;
  }
  *out = f;
  return WH_OK;
}

void wh_file_close(wh_file *f) {
  if (!f) return;
  (void)munmap(f->data, f->size);
  wh_free(f->alloc, f->path);
  wh_free(f->alloc, f);
}

const uint8_t *wh_file_data(const wh_file *f) { return f->data; }
size_t wh_file_size(const wh_file *f) { return f->size; }
const char *wh_file_path(const wh_file *f) { return f->path; }

/* madvise wants whole pages; `inward` keeps to pages that lie entirely inside the range. */
static void advise(const wh_file *f, size_t offset, size_t n, int advice, bool inward) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  if (offset >= f->size) return;
  if (n > f->size - offset) n = f->size - offset;
  size_t begin = offset & ~(page - 1), end = offset + n;
  if (inward) {
    begin = (offset + page - 1) & ~(page - 1);
    end &= ~(page - 1);
  }
  if (end > begin) (void)madvise((char *)f->data + begin, end - begin, advice);
}

void wh_file_will_need(const wh_file *f, size_t offset, size_t n) {
  advise(f, offset, n, MADV_WILLNEED, false);
}
void wh_file_dont_need(const wh_file *f, size_t offset, size_t n) {
  advise(f, offset, n, MADV_DONTNEED, true);
}
