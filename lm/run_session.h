/* lm/run_session.h - a language model's program with its KV state: batches in, logits out.
 * Knows the graph's input and output names, not what made the graph. */
#ifndef WH_LM_RUN_SESSION_H
#define WH_LM_RUN_SESSION_H

#include "core/exec/run.h"
#include "whimbrel/session.h"

typedef struct wh_run_session wh_run_session;

typedef struct wh_run_session_options {
  const wh_allocator *alloc;
  uint32_t context, max_batch, max_outputs, max_sequences; /* all set */
  /* LongRoPE: a sequence longer than this is computed with the second set of rotary frequencies, from its
   * first position on (long_rope.h); 0: the graph has one set and no input "rope_sets" */
  uint32_t long_rope_border;
  wh_progress_sink progress; /* of creation */
} wh_run_session_options;

#define WH_LM_MAX_SYMBOLS 16

/* Bounds of the graph's symbols for these options: symbols[n_symbols]. ERR_UNSUPPORTED for a graph that is no
 * language model: one has inputs tokens, positions, sequences, output_rows, page_table and perhaps rope_sets
 * (i32), output logits, and symbols tokens, outputs, pages, slots, table. */
WH_NODISCARD wh_status wh_run_session_symbols(const wh_graph *g, const wh_run_session_options *options,
                                              int64_t symbols[WH_LM_MAX_SYMBOLS]);
/* The program is retained, and loaded where it was not. */
WH_NODISCARD wh_status wh_run_session_create(wh_program *program, const wh_run_session_options *options,
                                             wh_run_session **out);
void wh_run_session_destroy(wh_run_session *s);

WH_NODISCARD wh_status wh_run_session_run(wh_run_session *s, const wh_batch *batch);
/* Logits are those of a run that succeeded, or there are none: a run begins with this. */
void wh_run_session_drop_logits(wh_run_session *s);
const float *wh_run_session_logits(const wh_run_session *s, uint32_t output);
uint32_t wh_run_session_length(const wh_run_session *s, uint32_t sequence);
WH_NODISCARD wh_status wh_run_session_truncate(wh_run_session *s, uint32_t sequence, uint32_t length);
void wh_run_session_set_trace(wh_run_session *s, wh_run_trace_fn fn, void *ctx);
void wh_run_session_set_interrupt(wh_run_session *s, wh_interrupt_fn fn, void *ctx);
/* Memory that is not the program's and grows with the context. */
size_t wh_run_session_own_bytes(const wh_run_session *s);
wh_run *wh_run_session_run_of(wh_run_session *s);

#endif
