/* file.c - read-only mappings of POSIX files. Sizes come from fstat after open, so that the checked file is
 * the mapped one. */
#define _GNU_SOURCE
#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct wh_file {
  const wh_allocator *alloc;
  char *path;
  void *data;
  size_t size;
  wh_file_identity identity;
};

/* Wraps for years past 2262, which a file may claim. */
static int64_t nanoseconds(struct timespec t) {
  return (int64_t)((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
}

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
      *f = (wh_file){.alloc = alloc, .path = copy, .data = data, .size = (size_t)st.st_size};
      f->identity = (wh_file_identity){(uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size,
                                       nanoseconds(st.st_mtim), nanoseconds(st.st_ctim)};
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
wh_file_identity wh_file_get_identity(const wh_file *f) { return f->identity; }

bool wh_file_is_settled(const wh_file *f) {
  const int64_t grain_ns = 2100000000; /* FAT counts in steps of two seconds; nothing in use is coarser */
  struct timespec now;
  if (clock_gettime(CLOCK_REALTIME, &now) != 0) return false;
  int64_t limit = nanoseconds(now) - grain_ns;
  return f->identity.modified_ns < limit && f->identity.changed_ns < limit;
}

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

void wh_file_dont_need(const wh_file *f, size_t offset, size_t n) {
  advise(f, offset, n, MADV_DONTNEED, true);
}
void wh_file_prefault(const wh_file *f, size_t offset, size_t n) {
#ifdef MADV_HUGEPAGE
  advise(f, offset, n, MADV_HUGEPAGE, false); /* makes the system read ahead in large pages */
#endif
#ifdef MADV_POPULATE_READ
  advise(f, offset, n, MADV_POPULATE_READ, false);
#else
  advise(f, offset, n, MADV_WILLNEED, false);
#endif
}

void wh_pages_prefault(const void *p, size_t n) {
#ifdef MADV_POPULATE_READ
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)p & ~(page - 1);
  if (n) (void)madvise((void *)begin, (uintptr_t)p + n - begin, MADV_POPULATE_READ);
#else
  (void)p;
  (void)n;
#endif
}

wh_status wh_folder_create(const char *path) {
  struct stat st;
  if (!path || !*path) return WH_FAIL(ERR_INVALID_ARGUMENT, "no folder name given");
  if (mkdir(path, 0777) == 0) return WH_OK;
  int reason = errno;
  if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) return WH_OK;
  return WH_FAIL(ERR_IO, "%s: cannot make the folder: %s", path, strerror(reason));
}
