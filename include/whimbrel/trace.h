/* trace.h - seeing what each node of a run puts out: wh_session_set_trace, wh_runner_set_trace. */
#ifndef WHIMBREL_TRACE_H
#define WHIMBREL_TRACE_H

#include "whimbrel/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Called after each instruction of a run with its output, on the calling thread. Slows the run down (one
 * submission per instruction); the bits are the same. Values are row-major, whatever the device makes of them
 * (docs/NUMERICS.md, "Values in row-major form"), and valid during the call. A callback's non-zero return
 * cancels the run (ERR_CANCELLED). It may use other sessions and runners, of the same device too, but not the
 * one that runs. */
typedef struct wh_trace_event {
  uint32_t struct_size;
  uint32_t instruction;
  const char *node, *op;
  wh_dtype dtype;
  int32_t rank;
  int64_t dims[WH_MAX_RANK];
  const void *data;
  uint64_t n_bytes;
} wh_trace_event;
typedef int (*wh_trace_fn)(void *ctx, const wh_trace_event *event);

#ifdef __cplusplus
}
#endif
#endif
