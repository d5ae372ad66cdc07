/* base/log.h - messages to the caller's sink. */
#ifndef WH_BASE_LOG_H
#define WH_BASE_LOG_H

#include "whimbrel/allocator.h"

/* One line without newline, clipped to a few hundred bytes. Nothing happens without a sink, or below its
 * level. */
void wh_log_write(const wh_log *log, wh_log_level level, const char *fmt, ...) WH_PRINTF(3, 4);

#endif
