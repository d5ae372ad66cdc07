/* long_rope.c - see long_rope.h. */
#include "lm/long_rope.h"

#include <string.h>

struct wh_long_rope {
  int32_t *history; /* [max_sequences][context]: the sequences' tokens */
  uint8_t *set;     /* [max_sequences]: what the first filled[i] positions were computed with */
  uint32_t *filled; /* [max_sequences] */
  /* a step's batch: [max_batch] tokens, and the rows wanted of them with their places in the caller's batch
   */
  int32_t *tokens, *sequences, *rows;
  uint32_t *outputs;
  float *logits; /* [max_outputs][n_vocab_out]: rows of a run of several steps */
};

/* Adjacent tokens of one sequence in a batch. From `middle` on they are computed with set 1. */
typedef struct sequence_run {
  uint32_t begin, middle, end;
  int32_t sequence;
} sequence_run;

static uint64_t n_positions(const wh_run_session *s) {
  return (uint64_t)s->options.context * s->options.max_sequences;
}

wh_status wh_long_rope_create(wh_run_session *s) {
  const wh_run_session_options *o = &s->options;
  wh_long_rope *l = wh_alloc_zeroed(s->alloc, sizeof *l);
  if (!l) return WH_OOM("session");
  s->long_rope = l;
  size_t n_logits;
  if (!wh_mul_size(o->max_outputs, (size_t)s->n_vocab_out, &n_logits)) return WH_OOM("session");
  l->history = wh_alloc_array(s->alloc, (size_t)n_positions(s), sizeof *l->history);
  l->set = wh_alloc_array(s->alloc, o->max_sequences, sizeof *l->set);
  l->filled = wh_alloc_array(s->alloc, o->max_sequences, sizeof *l->filled);
  l->tokens = wh_alloc_array(s->alloc, o->max_batch, sizeof *l->tokens);
  l->sequences = wh_alloc_array(s->alloc, o->max_batch, sizeof *l->sequences);
  l->rows = wh_alloc_array(s->alloc, o->max_outputs, sizeof *l->rows);
  l->outputs = wh_alloc_array(s->alloc, o->max_outputs, sizeof *l->outputs);
  l->logits = wh_alloc_array(s->alloc, n_logits, sizeof *l->logits);
  if (!l->history || !l->set || !l->filled || !l->tokens || !l->sequences || !l->rows || !l->outputs ||
      !l->logits)
    return WH_OOM("session");
  s->filled = l->filled;
  return WH_OK;
}

void wh_long_rope_destroy(wh_run_session *s) {
  wh_long_rope *l = s->long_rope;
  if (!l) return;
  wh_free(s->alloc, l->history);
  wh_free(s->alloc, l->set);
  wh_free(s->alloc, l->filled);
  wh_free(s->alloc, l->tokens);
  wh_free(s->alloc, l->sequences);
  wh_free(s->alloc, l->rows);
  wh_free(s->alloc, l->outputs);
  wh_free(s->alloc, l->logits);
  wh_free(s->alloc, l);
}

size_t wh_long_rope_bytes(const wh_run_session *s) {
  return (size_t)n_positions(s) * sizeof(int32_t) +
         (size_t)s->options.max_outputs * (size_t)s->n_vocab_out * sizeof(float);
}

void wh_long_rope_load(wh_run_session *s, const wh_batch *b) {
  int32_t *sets = wh_run_session_ids(s, s->rope_sets);
  for (uint32_t i = 0; i < b->n_tokens; i++) sets[i] = s->long_rope->set[wh_batch_sequence(b, i)];
}

static int32_t *history_of(const wh_run_session *s, int32_t sequence) {
  return s->long_rope->history + (size_t)sequence * s->options.context;
}

/* ---- what a batch needs ---- */

static bool wants_row_in(const wh_batch *b, uint32_t begin, uint32_t end) {
  for (uint32_t i = 0; i < b->n_outputs; i++) {
    uint32_t row = (uint32_t)wh_batch_row(b, i);
    if (row >= begin && row < end) return true;
  }
  return false;
}

/* The run that begins at token `begin`. Tokens below the border whose rows nobody wants are computed with the
 * set that the sequence will end in. */
static sequence_run run_at(const wh_run_session *s, const wh_batch *b, uint32_t begin) {
  sequence_run r = {.begin = begin, .end = begin, .sequence = wh_batch_sequence(b, begin)};
  while (r.end < b->n_tokens && wh_batch_sequence(b, r.end) == r.sequence) r.end++;
  const uint64_t border = s->options.long_rope_border, length = s->lengths[r.sequence], n = r.end - r.begin;
  const uint64_t n_below = length >= border ? 0 : border - length < n ? border - length : n;
  r.middle = r.begin + (uint32_t)n_below;
  if (length + n + b->n_to_follow > border && !wants_row_in(b, r.begin, r.middle)) r.middle = r.begin;
  return r;
}

/* Whether the states hold the run's sequence in the one set that the run needs. */
static bool is_ready(const wh_run_session *s, const sequence_run *r) {
  const wh_long_rope *l = s->long_rope;
  const bool needs_0 = r->middle > r->begin, needs_1 = r->end > r->middle;
  if (needs_0 && needs_1) return false;
  return l->filled[r->sequence] == s->lengths[r->sequence] &&
         (l->set[r->sequence] == needs_1 || s->lengths[r->sequence] == 0);
}

/* ---- steps ---- */

/* Brings the states to the first n positions of a sequence, computed with `set`. */
static wh_status fill(wh_run_session *s, int32_t sequence, uint8_t set, uint32_t n) {
  wh_long_rope *l = s->long_rope;
  if (l->set[sequence] != set) {
    l->set[sequence] = set;
    l->filled[sequence] = 0;
  }
  while (l->filled[sequence] < n) {
    const uint32_t at = l->filled[sequence], left = n - at, most = s->options.max_batch;
    wh_batch step = WH_BATCH_INIT;
    if (s->interrupt && s->interrupt(s->interrupt_ctx)) return WH_FAIL(ERR_CANCELLED, "the run was ended");
    step.n_tokens = left < most ? left : most;
    step.tokens = history_of(s, sequence) + at;
    step.sequences = l->sequences;
    for (uint32_t i = 0; i < step.n_tokens; i++) l->sequences[i] = sequence;
    WH_TRY(wh_run_session_step(s, &step));
  }
  return WH_OK;
}

/* The batch's tokens of one set in one step, after what it needs before them. */
static wh_status run_set(wh_run_session *s, const wh_batch *b, uint8_t set) {
  wh_long_rope *l = s->long_rope;
  sequence_run r;
  wh_batch step = WH_BATCH_INIT;
  for (uint32_t at = 0; at < b->n_tokens; at = r.end) {
    r = run_at(s, b, at);
    const uint32_t begin = set ? r.middle : r.begin, end = set ? r.end : r.middle;
    if (begin < end) WH_TRY(fill(s, r.sequence, set, s->lengths[r.sequence] + begin - r.begin));
  }
  uint32_t output = 0;
  for (uint32_t at = 0; at < b->n_tokens; at = r.end) {
    r = run_at(s, b, at);
    const uint32_t begin = set ? r.middle : r.begin, end = set ? r.end : r.middle;
    for (uint32_t i = begin; i < end; i++) {
      while (output < b->n_outputs && (uint32_t)wh_batch_row(b, output) < i) output++;
      if (output < b->n_outputs && (uint32_t)wh_batch_row(b, output) == i) {
        l->outputs[step.n_outputs] = output;
        l->rows[step.n_outputs++] = (int32_t)step.n_tokens;
      }
      l->sequences[step.n_tokens] = r.sequence;
      l->tokens[step.n_tokens++] = b->tokens[i];
    }
  }
  if (!step.n_tokens) return WH_OK;
  step.tokens = l->tokens;
  step.sequences = l->sequences;
  step.output_rows = l->rows;
  WH_TRY(wh_run_session_step(s, &step));
  const size_t n = (size_t)s->n_vocab_out;
  for (uint32_t i = 0; i < step.n_outputs; i++)
    memcpy(l->logits + l->outputs[i] * n, wh_run_session_rows(s) + i * n, n * sizeof *l->logits);
  return WH_OK;
}

static wh_status run_in_steps(wh_run_session *s, const wh_batch *b) {
  s->output = s->long_rope->logits;
  WH_TRY(run_set(s, b, 0));
  return run_set(s, b, 1);
}

wh_status wh_long_rope_run(wh_run_session *s, const wh_batch *b) {
  wh_long_rope *l = s->long_rope;
  sequence_run r;
  bool ready = true;
  for (uint32_t at = 0; at < b->n_tokens; at = r.end) {
    r = run_at(s, b, at);
    memcpy(history_of(s, r.sequence) + s->lengths[r.sequence], b->tokens + r.begin,
           (r.end - r.begin) * sizeof *b->tokens);
    if (s->lengths[r.sequence] == 0) l->filled[r.sequence] = 0;
    if (is_ready(s, &r))
      l->set[r.sequence] = r.end > r.middle;
    else
      ready = false;
  }
  const wh_status status = ready ? wh_run_session_step(s, b) : run_in_steps(s, b);
  for (uint32_t at = 0; at < b->n_tokens; at = r.end) {
    r = run_at(s, b, at);
    uint32_t *length = &s->lengths[r.sequence];
    if (status == WH_OK) *length += r.end - r.begin;
    if (l->filled[r.sequence] > *length) l->filled[r.sequence] = *length;
  }
  return status;
}
