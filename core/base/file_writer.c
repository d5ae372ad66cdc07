/* file_writer.c - all-or-nothing files: a temporary file beside the target, renamed over it at the end.
 *
 * The temporary file lies in the target's folder because a rename is atomic only within one file system. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/file.h"

#define BUFFER_BYTES 65536 /* appends of a few bytes are common: one system call for many */

struct wh_file_writer {
  const wh_allocator *alloc;
  char *path, *tmp_path;
  int fd;
  int failed_errno; /* of the first failed write; 0 while all is well */
  uint64_t n_bytes;
  size_t n_buffered;
  char buffer[BUFFER_BYTES];
};

static void end(wh_file_writer *w) {
  wh_free(w->alloc, w->path);
  wh_free(w->alloc, w->tmp_path);
  wh_free(w->alloc, w);
}

wh_status wh_file_writer_begin(const char *path, const wh_allocator *alloc, wh_file_writer **out) {
  static const char suffix[] = ".tmpXXXXXX";
  if (!path || !*path) return WH_FAIL(ERR_INVALID_ARGUMENT, "no file name given");
  struct stat st;
  if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) /* a rename would replace a device by a file */
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%s: exists and is not a regular file", path);
  wh_file_writer *w = wh_alloc_uninit(alloc, sizeof *w, WH_ALIGN_DEFAULT);
  if (!w) return WH_OOM("file writer");
  size_t len = strlen(path);
  w->alloc = alloc;
  w->failed_errno = 0;
  w->n_bytes = 0;
  w->n_buffered = 0;
  w->path = wh_alloc_string(alloc, path, len);
  w->tmp_path = wh_alloc_uninit(alloc, len + sizeof suffix, 1);
  if (!w->path || !w->tmp_path) {
    end(w);
    return WH_OOM("file name");
  }
  memcpy(w->tmp_path, path, len);
  memcpy(w->tmp_path + len, suffix, sizeof suffix);
  w->fd = mkostemp(w->tmp_path, O_CLOEXEC);
  if (w->fd < 0) {
    wh_status status = WH_FAIL(ERR_IO, "%s: cannot create: %s", path, strerror(errno));
    end(w);
    return status;
  }
  *out = w;
  return WH_OK;
}

static wh_status write_failure(const wh_file_writer *w) {
  return WH_FAIL(ERR_IO, "%s: cannot write: %s", w->path, strerror(w->failed_errno));
}

static wh_status write_all(wh_file_writer *w, const char *p, size_t n) {
  while (n && !w->failed_errno) {
    ssize_t written = write(w->fd, p, n);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      w->failed_errno = written < 0 ? errno : ENOSPC;
    } else {
      p += written;
      n -= (size_t)written;
    }
  }
  return w->failed_errno ? write_failure(w) : WH_OK;
}

static wh_status flush(wh_file_writer *w) {
  size_t n = w->n_buffered;
  w->n_buffered = 0;
  return write_all(w, w->buffer, n);
}

wh_status wh_file_writer_append(wh_file_writer *w, const void *data, size_t n) {
  if (w->failed_errno) return write_failure(w);
  if (n > BUFFER_BYTES - w->n_buffered) WH_TRY(flush(w));
  if (n > BUFFER_BYTES) {
    WH_TRY(write_all(w, data, n));
  } else if (n) {
    memcpy(w->buffer + w->n_buffered, data, n);
    w->n_buffered += n;
  }
  w->n_bytes += n;
  return WH_OK;
}

uint64_t wh_file_writer_size(const wh_file_writer *w) { return w->n_bytes; }

wh_status wh_file_writer_commit(wh_file_writer *w) {
  wh_status status = flush(w);
  /* mkostemp makes the file private to its owner; a model is not a secret */
  if (status == WH_OK && fchmod(w->fd, 0644) != 0)
    status = WH_FAIL(ERR_IO, "%s: cannot set permissions: %s", w->path, strerror(errno));
  if (status == WH_OK && fsync(w->fd) != 0)
    status = WH_FAIL(ERR_IO, "%s: cannot sync: %s", w->path, strerror(errno));
  if (close(w->fd) != 0 && status == WH_OK)
    status = WH_FAIL(ERR_IO, "%s: cannot close: %s", w->path, strerror(errno));
  if (status == WH_OK && rename(w->tmp_path, w->path) != 0)
    status = WH_FAIL(ERR_IO, "%s: cannot rename: %s", w->path, strerror(errno));
  if (status != WH_OK) (void)unlink(w->tmp_path);
  end(w);
  return status;
}

void wh_file_writer_abort(wh_file_writer *w) {
  if (!w) return;
  (void)close(w->fd);
  (void)unlink(w->tmp_path);
  end(w);
}

wh_status wh_file_write(const char *path, const void *data, size_t n, const wh_allocator *alloc) {
  wh_file_writer *w;
  WH_TRY(wh_file_writer_begin(path, alloc, &w));
  wh_status status = wh_file_writer_append(w, data, n);
  if (status == WH_OK) return wh_file_writer_commit(w);
  wh_file_writer_abort(w);
  return status;
}
