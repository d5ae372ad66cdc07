/* base/small_file.h - reading the text files of /proc and /sys, which have no size and cannot be mapped. */
#ifndef WH_BASE_SMALL_FILE_H
#define WH_BASE_SMALL_FILE_H

#include "core/base/allocator.h"

#define WH_SMALL_FILE_MAX ((size_t)4 << 20) /* longer ones are cut */

/* The text of `root` + `path`, NUL-terminated, in *out (owned, wh_free); NULL there when it cannot be read,
 * which is not an error. Fails with ERR_OUT_OF_MEMORY only. */
WH_NODISCARD wh_status wh_small_file_read(const char *root, const char *path, const wh_allocator *alloc,
                                          char **out);

#endif
