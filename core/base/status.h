/* base/status.h - raising and passing on errors inside the library. */
#ifndef WH_BASE_STATUS_H
#define WH_BASE_STATUS_H

#include "whimbrel/status.h"

/* Fills the thread's error record and returns `status`. */
wh_status wh_fail_at(const char *file, int line, wh_status status, const char *fmt, ...) WH_PRINTF(4, 5);

/* Puts "<fmt...>: " in front of the current record's message: adds the context that only the caller knows
 * (the file's name, the tensor's). Returns the record's status. */
wh_status wh_fail_prefix(const char *fmt, ...) WH_PRINTF(1, 2);

/* Gives the current record another status and returns it: for a caller that knows better whose fault it is.
 */
wh_status wh_fail_as(wh_status status);

/* Overwrites the calling thread's record, e.g. with one that a worker thread raised. */
void wh_error_set(const wh_error_record *record);

/* For a shared object that has its own copy of this file: whatever enters a record of it from here on is
 * given to `to` as well, on the same thread. Set once, before there are threads. */
void wh_error_forward(void (*to)(const wh_error_record *record));

/* The comma lets the compiler see that a failure is never WH_OK, so that it can follow what is initialised.
 */
#define WH_FAIL(code, ...) (wh_fail_at(__FILE_NAME__, __LINE__, WH_##code, __VA_ARGS__), WH_##code)
#define WH_TRY(expr)                                    \
  do {                                                  \
    wh_status wh_try_status_ = (expr);                  \
    if (wh_try_status_ != WH_OK) return wh_try_status_; \
  } while (0)

#ifndef __FILE_NAME__
#define __FILE_NAME__ __FILE__
#endif

#endif
