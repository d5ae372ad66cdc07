/* log.c - formats a message on the stack: logging never allocates. */
#include "core/base/log.h"

#include <stdarg.h>
#include <stdio.h>

void wh_log_write(const wh_log *log, wh_log_level level, const char *fmt, ...) {
  char line[WH_ERROR_MESSAGE_BYTES + 256];
  if (!log || !log->write || level < log->min_level) return;
  va_list args;
  va_start(args, fmt);
  int n = vsnprintf(line, sizeof line, fmt, args);
  va_end(args);
  if (n >= 0) log->write(log->ctx, level, line);
}
