/* base/file.h - read-only mappings and all-or-nothing writes. */
#ifndef WH_BASE_FILE_H
#define WH_BASE_FILE_H

#include "core/base/allocator.h"

typedef struct wh_file wh_file;

/* Maps a regular file read-only. An empty file, a directory or a missing file is an error that names `path`.
 * The mapping lives until wh_file_close. Who shortens the file meanwhile makes reads of the lost pages fatal
 * (SIGBUS), as with any mapping; replacing it by rename, as wh_file_write does, is safe. */
WH_NODISCARD wh_status wh_file_open(const char *path, const wh_allocator *alloc, wh_file **out);
void wh_file_close(wh_file *file); /* NULL is fine */
const uint8_t *wh_file_data(const wh_file *file);
size_t wh_file_size(const wh_file *file);
const char *wh_file_path(const wh_file *file);

/* Tells the system that [offset, offset+n) will be read soon / need not stay resident; hints only. */
void wh_file_will_need(const wh_file *file, size_t offset, size_t n);
void wh_file_dont_need(const wh_file *file, size_t offset, size_t n);

/* An all-or-nothing write of unknown length: bytes go to a temporary file beside `path`, which commit syncs
 * and renames over `path`. Readers see the old file or the new one, and a full disk leaves nothing behind.
 * Begin, any number of appends, then commit or abort, which end the writer's life whatever they return.
 * After a failed append only abort is left to do; commit would report the failure again. */
typedef struct wh_file_writer wh_file_writer;
WH_NODISCARD wh_status wh_file_writer_begin(const char *path, const wh_allocator *alloc,
                                            wh_file_writer **out);
WH_NODISCARD wh_status wh_file_writer_append(wh_file_writer *writer, const void *data, size_t n);
uint64_t wh_file_writer_size(const wh_file_writer *writer); /* bytes appended so far */
WH_NODISCARD wh_status wh_file_writer_commit(wh_file_writer *writer);
void wh_file_writer_abort(wh_file_writer *writer); /* NULL is fine */

/* The same for one buffer. */
WH_NODISCARD wh_status wh_file_write(const char *path, const void *data, size_t n, const wh_allocator *alloc);

#endif
