/* base/progress.h - telling the caller how far a long call is, and asking whether to go on. */
#ifndef WH_BASE_PROGRESS_H
#define WH_BASE_PROGRESS_H

#include <stdbool.h>

#include "core/base/status.h"
#include "whimbrel/progress.h"

/* Between two reports of work that can be cut anywhere. */
#define WH_PROGRESS_INTERVAL_NS INT64_C(50000000)

/* The caller's function; NULL: nobody asks. */
typedef struct wh_progress_sink {
  wh_progress_fn fn;
  void *ctx;
} wh_progress_sink;

/* ERR_CANCELLED when the caller's function says so. For the thread that made the long call, outside regions.
 */
WH_NODISCARD wh_status wh_progress_report(const wh_progress_sink *sink, wh_stage stage, uint64_t done_bytes,
                                          uint64_t total_bytes);

/* When work that has begun now is to be interrupted for a report: nanoseconds; INT64_MAX: nobody asks. Any
 * thread may look whether that time has come. */
int64_t wh_progress_deadline(const wh_progress_sink *sink);
bool wh_progress_is_due(int64_t deadline);

#endif
