/* base/file.h - read-only mappings and all-or-nothing writes. */
#ifndef WH_BASE_FILE_H
#define WH_BASE_FILE_H

#include "core/base/allocator.h"

typedef struct wh_file wh_file;

/* Maps a regular file read-only. An empty file, a directory or a missing file is an error that names `path`.
 * The mapping lives until wh_file_close. */
WH_NODISCARD wh_status wh_file_open(const char *path, const wh_allocator *alloc, wh_file **out);
void wh_file_close(wh_file *file); /* NULL is fine */
const uint8_t *wh_file_data(const wh_file *file);
size_t wh_file_size(const wh_file *file);
const char *wh_file_path(const wh_file *file);

/* Tells the system that [offset, offset+n) will be read soon / need not stay resident; hints only. */
void wh_file_will_need(const wh_file *file, size_t offset, size_t n);
void wh_file_dont_need(const wh_file *file, size_t offset, size_t n);

/* Writes `n` bytes to a temporary file beside `path`, syncs it and renames it over `path`: readers see the old
 * file or the new one, and a full disk leaves nothing behind. */
WH_NODISCARD wh_status wh_file_write(const char *path, const void *data, size_t n, const wh_allocator *alloc);

#endif
