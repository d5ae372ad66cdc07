/* lm/lm_internal.h - insides, for the files of this folder. */
#ifndef WH_LM_LM_INTERNAL_H
#define WH_LM_LM_INTERNAL_H

#include <string.h>

#include "lm/lm.h"

#define WH_LM_MESSAGE_BYTES 240

/* What a sequence that failed says of it. */
typedef struct wh_lm_failure {
  wh_status status; /* WH_OK: none */
  char message[WH_LM_MESSAGE_BYTES];
} wh_lm_failure;

struct wh_sequence {
  wh_lm *lm;
  bool is_numbered;
  bool is_private;              /* neither finds nor publishes pages */
  wh_sequence *previous, *next; /* of the model's */
  int32_t *tokens;
  size_t tokens_capacity;
  uint32_t n_tokens;
  uint32_t n_computed; /* the first so many have keys and values in pages */
  uint8_t set;         /* of rotary frequencies, that those were computed with */
  uint32_t *pages;
  size_t pages_capacity;
  uint32_t n_pages;   /* enough for n_computed, or more */
  uint32_t n_named;   /* the first so many are full and published */
  uint32_t first_row; /* rows of logits are wanted from this position on; n_tokens: none */
  bool waiting;       /* for rows of logits: the batcher's */
  uint64_t age;       /* ascends along the list of the model's sequences */
  uint64_t last_use;  /* the last step that it took part in */
  uint64_t rows_step; /* the step that gave its rows of logits; 0: none did */
  uint32_t rows_at, n_rows;
  wh_lm_failure failure;
};

/* Adjacent tokens of one sequence in a step, the next that it has to compute. */
typedef struct wh_lm_part {
  wh_sequence *sequence;
  uint32_t n_tokens, n_rows;
  wh_lm_failure failure; /* of this step: a row of logits was not finite */
} wh_lm_part;

/* A sequence of a batch (compute.c). */
typedef struct wh_lm_target {
  wh_sequence *sequence;
  uint32_t first_token, n_tokens;                 /* of the batch */
  uint32_t begin_output, next_output, end_output; /* of the batch; from next_output on still wanted */
  uint32_t start;                                 /* what the sequence held before */
  uint32_t n_added;                               /* tokens in the step being filled */
  bool done;
  wh_lm_failure failure;
} wh_lm_target;

/* Inputs and outputs of the program, by index. */
typedef struct wh_lm_ports {
  int tokens, positions, sequences, page_table, output_rows;
  int rope_sets; /* -1: the model has one set of rotary frequencies */
  int logits;
} wh_lm_ports;

struct wh_lm {
  const wh_allocator *alloc;
  wh_lm_options options;
  wh_run *run;
  const wh_graph *g;
  int64_t symbols[WH_LM_MAX_SYMBOLS];
  int sym_tokens, sym_outputs;
  wh_lm_ports ports;
  int64_t n_vocab_in, n_vocab_out, table; /* table: entries of a row of the page table */
  wh_kv_pool *pool;
  wh_sequence *sequences, *newest; /* all, in the order in which they were made */
  wh_sequence **numbered;          /* [max_sequences] */
  uint64_t last_age;
  uint64_t n_found; /* positions */

  /* the step that is filled, or was run last */
  uint64_t step;
  wh_lm_part *parts; /* [max_sequences] */
  int32_t *rows;     /* [max_outputs] rows of its batch */
  uint32_t n_parts, n_tokens, n_rows;

  /* the batch of wh_lm_run */
  wh_lm_target *targets; /* [max_sequences] */
  uint32_t n_targets;
  uint32_t n_outputs;
  const float **outputs; /* [max_outputs] NULL: failed */
  uint32_t *positions;   /* scratch [max_outputs] */
  uint32_t *row_outputs; /* [max_outputs] which output a row of the step is */
  float *kept;           /* [max_outputs][n_vocab_out] rows of a batch of several steps; made when needed */
  bool kept_rows;        /* the batch's rows lie there */

  wh_run *best;      /* over the logits, where they lie; NULL: the host addresses them */
  bool rows_fetched; /* the step's rows are where the host has them */

  wh_run_trace_fn trace;
  void *trace_ctx;
  wh_interrupt_fn interrupt;
  void *interrupt_ctx;
};

/* Input i as the host writes it. */
static inline int32_t *wh_lm_ids(const wh_lm *lm, int i) { return wh_run_input(lm->run, (size_t)i).data; }

/* The current error record. */
wh_lm_failure wh_lm_failure_now(wh_status status);
wh_status wh_lm_raise(const wh_lm_failure *f);

/* Takes part in the step that is being filled. */
static inline bool wh_lm_is_in_step(const wh_sequence *s) { return s->last_use == s->lm->step; }

/* ---- sequence.c ---- */

/* With room for n tokens and their pages. */
WH_NODISCARD wh_status wh_lm_sequence_create_roomy(wh_lm *lm, uint32_t n, wh_sequence **out);
/* Whether `n` more tokens are ids and fit into the context. */
WH_NODISCARD wh_status wh_lm_sequence_check(const wh_sequence *s, const int32_t *tokens, size_t n);
/* Puts checked tokens behind; nothing is computed. */
WH_NODISCARD wh_status wh_lm_sequence_extend(wh_sequence *s, const int32_t *tokens, size_t n);
/* Forgets tokens from `length` on, what was wanted of them, and a failure; not longer than it is. */
void wh_lm_sequence_shorten(wh_sequence *s, uint32_t length);
/* Gives back the pages behind the first n computed positions. */
void wh_lm_sequence_cut(wh_sequence *s, uint32_t n_computed);
/* Uses pages that hold its next tokens already, up to position `end`. */
void wh_lm_sequence_find_pages(wh_sequence *s, uint32_t end);
/* Publishes what is full. */
void wh_lm_sequence_publish(wh_sequence *s);
/* Pages that it alone may write for positions n_computed to n. False: there are no pages left; taking them
 * from others is the batcher's business. Copies a page that others use as well. */
WH_NODISCARD wh_status wh_lm_sequence_reserve(wh_sequence *s, uint32_t n, bool *reserved);

/* ---- step.c ---- */

void wh_lm_step_begin(wh_lm *lm);
/* Tokens that one part could still have. */
uint32_t wh_lm_step_room(const wh_lm *lm);
/* The next n tokens of a sequence that has pages for them, with rows of logits for `positions`, ascending,
 * among them. */
void wh_lm_step_add(wh_lm *lm, wh_sequence *s, uint32_t n, const uint32_t *positions, uint32_t n_positions);
/* Runs it. The tokens of parts without failure are computed then. On an error of the run itself none are. */
WH_NODISCARD wh_status wh_lm_step_run(wh_lm *lm);
/* Where the host has row i of those that were asked for, once they are fetched. */
const float *wh_lm_step_row(const wh_lm *lm, uint32_t i);
WH_NODISCARD wh_status wh_lm_step_fetch_rows(wh_lm *lm);

/* ---- best.c ---- */

WH_NODISCARD wh_status wh_lm_best_open(wh_lm *lm);
WH_NODISCARD wh_status wh_lm_best_find(wh_lm *lm); /* of the step that was run */
bool wh_lm_best_finite(const wh_lm *lm, uint32_t row);

/* ---- batcher.c ---- */

bool wh_lm_sequence_has_row(const wh_sequence *s, uint32_t row);

/* As wh_lm_sequence_reserve; pages are taken from sequences that are not in the step: those that wait for
 * nothing first, then those that came later than `s`. Their tokens are computed again when they are wanted.
 */
WH_NODISCARD wh_status wh_lm_reserve(wh_sequence *s, uint32_t n, bool *reserved);

/* ---- compute.c ---- */

/* For rows of a batch that takes several steps. */
WH_NODISCARD wh_status wh_lm_make_room_for_rows(wh_lm *lm);

/* Which set of rotary frequencies the row of logits at a position needs. */
static inline uint8_t wh_lm_set_at(const wh_lm *lm, uint64_t position) {
  return lm->options.long_rope_border && position >= lm->options.long_rope_border;
}
/* Drops what was computed with another set than `set`, and uses pages that hold tokens before `first_row`
 * already. */
void wh_lm_prepare(wh_sequence *s, uint8_t set, uint32_t first_row);

#endif
