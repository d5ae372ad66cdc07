/* progress.c - see progress.h. */
#define _POSIX_C_SOURCE 200809L
#include "core/base/progress.h"

#include <time.h>

const char *wh_stage_name(wh_stage stage) {
  switch (stage) {
#define WH_STAGE_CASE(name, number, text) \
  case WH_STAGE_##name:                   \
    return text;
    WH_STAGE_LIST(WH_STAGE_CASE)
#undef WH_STAGE_CASE
    case WH_STAGE_FORCE_32:
      break;
  }
  return "?";
}

wh_status wh_progress_report(const wh_progress_sink *sink, wh_stage stage, uint64_t done_bytes,
                             uint64_t total_bytes) {
  if (!sink->fn) return WH_OK;
  const wh_progress p = {sizeof p, stage, done_bytes, total_bytes};
  if (sink->fn(sink->ctx, &p))
    return WH_FAIL(ERR_CANCELLED, "the progress callback ended the call while %s", wh_stage_name(stage));
  return WH_OK;
}

static int64_t now_ns(void) {
  struct timespec t;
  if (clock_gettime(CLOCK_MONOTONIC, &t) != 0) return INT64_MAX; /* then every look is due */
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t wh_progress_deadline(const wh_progress_sink *sink) {
  if (!sink->fn) return INT64_MAX;
  const int64_t now = now_ns();
  return now > INT64_MAX - 1 - WH_PROGRESS_INTERVAL_NS ? 0 : now + WH_PROGRESS_INTERVAL_NS;
}

bool wh_progress_is_due(int64_t deadline) { return deadline != INT64_MAX && now_ns() >= deadline; }
