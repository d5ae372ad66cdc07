/* status.c - the thread-local error record. Fixed size: reporting never allocates. */
#include "core/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local wh_error_record wh_record;
static void (*wh_forward)(const wh_error_record *record);

static void forward(void) {
  if (wh_forward) wh_forward(&wh_record);
}

void wh_error_forward(void (*to)(const wh_error_record *record)) { wh_forward = to; }

const char *wh_status_name(wh_status status) {
  switch (status) {
#define WH_STATUS_CASE(name, number, text) \
  case WH_##name:                          \
    return text;
    WH_STATUS_LIST(WH_STATUS_CASE)
#undef WH_STATUS_CASE
    case WH_STATUS_FORCE_32:
      break;
  }
  return "unknown status";
}

const wh_error_record *wh_last_error(void) { return &wh_record; }

void wh_error_set(const wh_error_record *record) {
  if (record != &wh_record) wh_record = *record;
  forward();
}

/* Names from files may hold anything: a message stays one line that no terminal acts on. */
static void make_printable(char *message) {
  for (; *message; message++)
    if ((unsigned char)*message < 32 || *message == 127) *message = '?';
}

wh_status wh_fail_at(const char *file, int line, wh_status status, const char *fmt, ...) {
  va_list args;
  va_start(args, fmt);
  char message[WH_ERROR_MESSAGE_BYTES]; /* arguments may point into the record itself */
  (void)vsnprintf(message, sizeof message, fmt, args);
  va_end(args);
  make_printable(message);
  wh_record.status = status;
  wh_record.file = file;
  wh_record.line = line;
  memcpy(wh_record.message, message, sizeof message);
  forward();
  return status;
}

wh_status wh_fail_as(wh_status status) {
  wh_record.status = status;
  forward();
  return status;
}

wh_status wh_fail_prefix(const char *fmt, ...) {
  char message[2 * WH_ERROR_MESSAGE_BYTES];
  va_list args;
  va_start(args, fmt);
  (void)vsnprintf(message, WH_ERROR_MESSAGE_BYTES, fmt, args);
  va_end(args);
  make_printable(message);
  size_t n = strlen(message);
  (void)snprintf(message + n, sizeof message - n, ": %s", wh_record.message);
  message[WH_ERROR_MESSAGE_BYTES - 1] = '\0';
  memcpy(wh_record.message, message, WH_ERROR_MESSAGE_BYTES);
  forward();
  return wh_record.status;
}
