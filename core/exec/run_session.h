/* exec/run_session.h - a language model's program with its KV state: batches in, logits out.
 * Knows the graph's input and output names, not what made the graph. */
#ifndef WH_EXEC_RUN_SESSION_H
#define WH_EXEC_RUN_SESSION_H

#include "core/plan/program.h"
#include "whimbrel/session.h"

typedef struct wh_run_session wh_run_session;

typedef struct wh_run_session_options {
  const wh_backend *backend;
  void *device;
  const wh_allocator *alloc;
  uint32_t context, max_batch, max_outputs, max_sequences; /* all set */
  void (*weight_done)(void *ctx, const void *origin);
  void *weight_done_ctx;
  const wh_pack_cache_options *pack_cache; /* for creation; may be NULL */
  const wh_memory_budget *memory;          /* the same */
} wh_run_session_options;

/* `g` has inputs tokens, positions, sequences, output_rows (i32), output logits, and symbols tokens, outputs,
 * context, slots. It is borrowed and must outlive the session. */
WH_NODISCARD wh_status wh_run_session_create(wh_graph *g, const wh_run_session_options *options,
                                             wh_run_session **out);
void wh_run_session_destroy(wh_run_session *s);

WH_NODISCARD wh_status wh_run_session_run(wh_run_session *s, const wh_batch *batch);
const float *wh_run_session_logits(const wh_run_session *s, uint32_t output);
uint32_t wh_run_session_length(const wh_run_session *s, uint32_t sequence);
WH_NODISCARD wh_status wh_run_session_truncate(wh_run_session *s, uint32_t sequence, uint32_t length);
void wh_run_session_set_trace(wh_run_session *s, wh_trace_fn fn, void *ctx);
const wh_program *wh_run_session_program(const wh_run_session *s);
/* As wh_program_keep_packed. */
WH_NODISCARD wh_status wh_run_session_keep_packed(wh_run_session *s);

#endif
