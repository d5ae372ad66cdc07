/* lm/lm.h - a running language model: its program, its pages of attention state, its sequences.
 * Knows the graph's input and output names, not what made the graph.
 *
 * A sequence is its tokens. How many of them are computed (have keys and values in pages) is the model's
 * business: pages can be shared, taken away and computed again, and rows of logits have the same bits. Two
 * ways lead to a run: wh_lm_run computes a batch now (compute.c), wh_lm_step takes what waits in all
 * sequences as far as one run goes (batcher.c). Both fill a step (step.c), which is one run of the program.
 */
#ifndef WH_LM_LM_H
#define WH_LM_LM_H

#include "core/base/hash.h"
#include "core/exec/run.h"
#include "lm/kv_pool.h"
#include "whimbrel/sequence.h"

typedef struct wh_lm wh_lm;

typedef struct wh_lm_options {
  const wh_allocator *alloc;
  uint32_t context;       /* positions of a sequence */
  uint32_t max_batch;     /* tokens of a run */
  uint32_t max_outputs;   /* rows of logits of a run */
  uint32_t max_sequences; /* of a run; also those that wh_lm_run knows by number */
  uint32_t n_pages;       /* of attention state */
  /* LongRoPE: a sequence longer than this is computed with the second set of rotary frequencies, from its
   * first position on (docs/NUMERICS.md); 0: the graph has one set and no input "rope_sets" */
  uint32_t long_rope_border;
  bool numbered_find_prefixes; /* sequences with numbers find and publish pages, as all others do */
  wh_progress_sink progress;   /* of creation */
  void *owner;                 /* wh_lm_owner gives it back */
} wh_lm_options;

#define WH_LM_MAX_SYMBOLS 16

/* Pages of `n` positions. */
static inline uint32_t wh_lm_pages_for(uint32_t n) { return n / WH_KV_PAGE + (n % WH_KV_PAGE != 0); }

/* Bounds of the graph's symbols for these options: symbols[n_symbols]. ERR_UNSUPPORTED for a graph that is no
 * language model: one has inputs tokens, positions, sequences, output_rows, page_table and perhaps rope_sets
 * (i32), output logits, and symbols tokens, outputs, slots, table, pages. */
WH_NODISCARD wh_status wh_lm_symbols(const wh_graph *g, const wh_lm_options *options,
                                     int64_t symbols[WH_LM_MAX_SYMBOLS]);
/* The program is retained, and loaded where it was not. */
WH_NODISCARD wh_status wh_lm_create(wh_program *program, const wh_lm_options *options, wh_lm **out);
void wh_lm_destroy(wh_lm *lm); /* and all sequences that are left */
void *wh_lm_owner(const wh_lm *lm);
const wh_lm_options *wh_lm_get_options(const wh_lm *lm);
int64_t wh_lm_n_vocab(const wh_lm *lm); /* of a row of logits */
wh_run *wh_lm_run_of(wh_lm *lm);
size_t wh_lm_own_bytes(const wh_lm *lm); /* memory that is not the program's */
void wh_lm_set_trace(wh_lm *lm, wh_run_trace_fn fn, void *ctx);
void wh_lm_set_interrupt(wh_lm *lm, wh_interrupt_fn fn, void *ctx);

/* ---- a batch, now ---- */

/* As whimbrel/session.h says of wh_session_run. Sequences are those with numbers. */
WH_NODISCARD wh_status wh_lm_run(wh_lm *lm, const wh_batch *batch);
/* Rows are those of a run that succeeded, or there are none: a run begins with this. */
void wh_lm_drop_rows(wh_lm *lm);
const float *wh_lm_row(wh_lm *lm, uint32_t output);           /* NULL: none */
wh_status wh_lm_row_status(const wh_lm *lm, uint32_t output); /* raises the error that it had */
/* NULL: no such number. They have room for all tokens of the context, so that batches take no memory. */
wh_sequence *wh_lm_numbered(wh_lm *lm, uint32_t sequence);

/* ---- sequences: whimbrel/sequence.h ---- */

WH_NODISCARD wh_status wh_lm_sequence_create(wh_lm *lm, wh_sequence **out);
WH_NODISCARD wh_status wh_lm_sequence_fork(const wh_sequence *s, uint32_t length, wh_sequence **out);
void wh_lm_sequence_destroy(wh_sequence *s); /* one with a number is emptied */
bool wh_lm_sequence_is_numbered(const wh_sequence *s);
wh_lm *wh_lm_of(const wh_sequence *s);
WH_NODISCARD wh_status wh_lm_sequence_append(wh_sequence *s, const int32_t *tokens, size_t n,
                                             uint32_t n_rows);
WH_NODISCARD wh_status wh_lm_sequence_truncate(wh_sequence *s, uint32_t length);
void wh_lm_sequence_evict(wh_sequence *s);
const int32_t *wh_lm_sequence_tokens(const wh_sequence *s, uint32_t *n);
uint32_t wh_lm_sequence_n_computed(const wh_sequence *s);
wh_status wh_lm_sequence_status(const wh_sequence *s); /* raises the error that it met */
const float *wh_lm_sequence_row(const wh_sequence *s, uint32_t row);

/* ---- the largest logits of a row (best.c) ---- */

typedef struct wh_lm_best {
  const float *logits; /* in falling order, of equals the lower ids first */
  const int64_t *ids;
  size_t n;
} wh_lm_best;

/* False: there is the row alone, which costs nothing then, or no such row. */
bool wh_lm_row_best(const wh_lm *lm, uint32_t output, wh_lm_best *out);
bool wh_lm_sequence_row_best(const wh_sequence *s, uint32_t row, wh_lm_best *out);

WH_NODISCARD wh_status wh_lm_step(wh_lm *lm, uint32_t *n_waiting);
wh_kv_pool_counts wh_lm_count_pages(const wh_lm *lm);
uint64_t wh_lm_n_found(const wh_lm *lm); /* positions that were found in pages instead of computed */

/* ---- saved sequences (state_file.c) ---- */

#define WH_LM_DEVICE_BYTES 32

/* What a saved sequence must agree with to be used. */
typedef struct wh_lm_identity {
  wh_hash128 model;                /* of the weights and whatever else decides the logits */
  char device[WH_LM_DEVICE_BYTES]; /* backends, NUL-padded: pages of others are computed again */
  uint32_t pack_version;
} wh_lm_identity;

WH_NODISCARD wh_status wh_lm_save(wh_sequence *s, const wh_lm_identity *id, wh_write_fn write, void *ctx);
/* `name` is what messages call the data: a file's path. */
WH_NODISCARD wh_status wh_lm_load(wh_lm *lm, const wh_lm_identity *id, const void *data, size_t n_bytes,
                                  const char *name, wh_sequence **out);

#endif
