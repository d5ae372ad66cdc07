/* lm/run_session_internal.h - a session's insides, for the files of this folder. */
#ifndef WH_LM_RUN_SESSION_INTERNAL_H
#define WH_LM_RUN_SESSION_INTERNAL_H

#include "lm/run_session.h"

typedef struct wh_long_rope wh_long_rope;

struct wh_run_session {
  const wh_allocator *alloc;
  wh_run_session_options options;
  wh_run *run;
  const wh_graph *g;
  int64_t symbols[WH_LM_MAX_SYMBOLS];
  int sym_tokens, sym_outputs;
  int tokens, positions, sequences, output_rows; /* inputs of the program */
  int page_table;
  int rope_sets; /* -1: the model has one set of rotary frequencies */
  int logits;    /* an output */
  int64_t n_vocab_in, n_vocab_out;
  uint32_t *lengths; /* positions in use, per sequence */
  /* Positions that the states hold, per sequence: `lengths` itself, unless a long_rope has fewer of them
   * computed for now. */
  uint32_t *filled;
  uint32_t *added;         /* scratch of a run: tokens per sequence */
  uint32_t n_outputs;      /* of the last run ... */
  const float *output;     /* ... and where they lie, [n_outputs][n_vocab_out] */
  wh_long_rope *long_rope; /* NULL without rope_sets */
  wh_run_trace_fn trace;
  void *trace_ctx;
  wh_interrupt_fn interrupt;
  void *interrupt_ctx;
};

/* Runs the program once over a batch that was checked. Its tokens go behind `filled`, which grows when the
 * run succeeds; rows of logits lie in s->logits. */
WH_NODISCARD wh_status wh_run_session_step(wh_run_session *s, const wh_batch *b);

/* Input i as the host writes it, and the logits as it reads them. */
static inline int32_t *wh_run_session_ids(const wh_run_session *s, int i) {
  return wh_run_input(s->run, (size_t)i).data;
}
static inline const float *wh_run_session_rows(const wh_run_session *s) {
  return wh_run_output(s->run, (size_t)s->logits).data;
}

static inline int32_t wh_batch_sequence(const wh_batch *b, uint32_t i) {
  return b->sequences ? b->sequences[i] : 0;
}
static inline int32_t wh_batch_row(const wh_batch *b, uint32_t i) {
  return b->output_rows ? b->output_rows[i] : (int32_t)b->n_tokens - 1;
}

#endif
