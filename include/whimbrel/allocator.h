/* allocator.h - the caller's memory and log hooks. */
#ifndef WHIMBREL_ALLOCATOR_H
#define WHIMBREL_ALLOCATOR_H

#include <stddef.h>
#include <stdint.h>

#include "whimbrel/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Both functions must be safe to call from several threads if objects created with it are used by several.
 * Borrowed by every object created with it: it must outlive them. Has no struct_size and does not grow. */
typedef struct wh_allocator {
  void *ctx;
  /* `size` > 0 bytes at `align` (a power of two, at most 2 MiB), contents undefined; NULL when there is no
   * memory. */
  void *(*alloc)(void *ctx, size_t size, size_t align);
  void (*free)(void *ctx, void *ptr); /* ptr is never NULL */
} wh_allocator;

/* The process heap. Static storage. */
WH_API const wh_allocator *wh_allocator_default(void);

/* Texts that functions give to their caller (char **out): each knows its allocator, which must still be
 * there. NULL is fine. */
WH_API void wh_string_destroy(char *text);

typedef enum wh_log_level {
  WH_LOG_DEBUG = 0,
  WH_LOG_INFO = 1,
  WH_LOG_WARNING = 2,
  WH_LOG_ERROR = 3
} wh_log_level;

/* A sink for messages; without one the library is silent. What makes a call fail is its status and is not
 * logged; what it went on without is: a pack cache that cannot be used. `message` is one line without
 * newline, valid for the call. `write` is called on the thread that made the call, so on several at the same
 * time if several threads make calls. Has no struct_size and does not grow. */
typedef struct wh_log {
  void *ctx;
  wh_log_level min_level;
  void (*write)(void *ctx, wh_log_level level, const char *message);
} wh_log;

#ifdef __cplusplus
}
#endif
#endif
