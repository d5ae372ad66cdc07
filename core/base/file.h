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

/* What the system knew of the file when it was opened. While all of it stays the same, so does the content,
 * unless the file changed twice within the clock's grain: see wh_file_is_settled. */
typedef struct wh_file_identity {
  uint64_t device, inode, size;
  int64_t modified_ns, changed_ns; /* content; content or attributes */
} wh_file_identity;
wh_file_identity wh_file_get_identity(const wh_file *file);
/* The last change lies so far back that the next one cannot bear the same time. */
bool wh_file_is_settled(const wh_file *file);

/* Tells the system that [offset, offset+n) need not stay resident; a hint only. */
void wh_file_dont_need(const wh_file *file, size_t offset, size_t n);
/* Brings the range into memory and into the page table now, in large pages where the system has them. */
void wh_file_prefault(const wh_file *file, size_t offset, size_t n);
/* The same of memory that may be mapped from a file, which reads it now. */
void wh_pages_prefault(const void *p, size_t n);

/* Makes the folder unless it is there; its parent must be. */
WH_NODISCARD wh_status wh_folder_create(const char *path);

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
