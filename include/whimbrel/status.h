/* status.h - what every fallible call returns, and the record that says why it failed.
 *
 * A call that can fail returns wh_status. On failure its outputs are untouched and the calling thread's
 * error record holds the code, the place and one sentence for the user. The record is fixed-size and
 * thread-local: reporting an error never allocates, and no thread sees another's.
 *
 * Models, devices and sessions count references: creating one gives the caller a reference, wh_X_retain gives
 * another (and returns its argument), wh_X_destroy takes one back, and the object goes with the last. What an
 * object uses it holds references to, so that a program may destroy its own in any order. Both functions may
 * be called on any thread.
 *
 * In every header, unless a function says otherwise: an argument that is NULL is ERR_INVALID_ARGUMENT, and
 * the sentence names it; a destroy function does nothing for NULL; a function that returns no status answers
 * NULL, 0 or nothing. A struct with a struct_size is initialised with its ..._INIT macro; a struct_size that
 * no version had, such as 0, is ERR_INVALID_ARGUMENT; a smaller one of an earlier version works, and options
 * past it take their defaults. Functions that only wrong arguments make fail are not WH_NODISCARD. */
#ifndef WHIMBREL_STATUS_H
#define WHIMBREL_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WH_API __attribute__((visibility("default")))
#define WH_NODISCARD __attribute__((warn_unused_result))
#define WH_PRINTF(fmt_index, arg_index) __attribute__((format(printf, fmt_index, arg_index)))
#else
#define WH_API
#define WH_NODISCARD
#define WH_PRINTF(fmt_index, arg_index)
#endif

/* name, number (never reused), text */
#define WH_STATUS_LIST(X)                        \
  X(OK, 0, "ok")                                 \
  X(ERR_INVALID_ARGUMENT, 1, "invalid argument") \
  X(ERR_OUT_OF_MEMORY, 2, "out of memory")       \
  X(ERR_NOT_FOUND, 3, "not found")               \
  X(ERR_UNSUPPORTED, 4, "unsupported")           \
  X(ERR_CORRUPT, 5, "corrupt input")             \
  X(ERR_LIMIT, 6, "limit exceeded")              \
  X(ERR_IO, 7, "input/output error")             \
  X(ERR_DEVICE, 8, "device error")               \
  X(ERR_UNAVAILABLE, 9, "unavailable")           \
  X(ERR_CANCELLED, 10, "cancelled")              \
  X(ERR_INTERNAL, 11, "internal error")

typedef enum wh_status {
#define WH_STATUS_ENUM(name, number, text) WH_##name = number,
  WH_STATUS_LIST(WH_STATUS_ENUM)
#undef WH_STATUS_ENUM
      WH_STATUS_FORCE_32 = 0x7fffffff
} wh_status;

#define WH_ERROR_MESSAGE_BYTES 512

typedef struct wh_error_record {
  wh_status status;
  int line;
  const char *file; /* source file that raised it, static storage */
  char message[WH_ERROR_MESSAGE_BYTES];
} wh_error_record;

/* Short English text of a status; never NULL. */
WH_API const char *wh_status_name(wh_status status);

/* The calling thread's last error; never NULL. Valid until the thread's next failing call. */
WH_API const wh_error_record *wh_last_error(void);

#ifdef __cplusplus
}
#endif
#endif
