/* compute.c - a batch, computed now: in one run of the program, or in as many as it takes where tokens before
 * it have to be computed again (pages that were taken away; LongRoPE).
 *
 * LongRoPE: a row of logits at position p needs everything up to p computed with the set of rotary
 * frequencies that p + 1 tokens have. Where a batch wants rows on both sides of the border its sequence is
 * computed twice. */
#include "lm/lm_internal.h"

static int32_t sequence_of(const wh_batch *b, uint32_t i) { return b->sequences ? b->sequences[i] : 0; }
static uint32_t row_of(const wh_batch *b, uint32_t i) {
  return b->output_rows ? (uint32_t)b->output_rows[i] : b->n_tokens - 1;
}

void wh_lm_drop_rows(wh_lm *lm) { lm->n_outputs = 0; }

const float *wh_lm_row(wh_lm *lm, uint32_t i) {
  if (i >= lm->n_outputs || (!lm->kept_rows && wh_lm_step_fetch_rows(lm) != WH_OK)) return NULL;
  return lm->outputs[i];
}

wh_sequence *wh_lm_numbered(wh_lm *lm, uint32_t i) {
  return i < lm->options.max_sequences ? lm->numbered[i] : NULL;
}

/* ---- what a batch must be ---- */

static wh_status check_batch(const wh_lm *lm, const wh_batch *b) {
  const wh_lm_options *o = &lm->options;
  if (b->n_tokens == 0 || b->n_tokens > o->max_batch)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "a batch of %u tokens: must be 1 to %u", b->n_tokens, o->max_batch);
  if (b->n_outputs > o->max_outputs)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "%u rows of logits wanted: at most %u", b->n_outputs,
                   o->max_outputs);
  if (!b->tokens) return WH_FAIL(ERR_INVALID_ARGUMENT, "a batch without tokens");
  if (b->n_outputs > 1 && !b->output_rows) return WH_FAIL(ERR_INVALID_ARGUMENT, "output rows are not given");
  for (uint32_t i = 0; i < b->n_tokens; i++)
    if (sequence_of(b, i) < 0 || (uint32_t)sequence_of(b, i) >= o->max_sequences)
      return WH_FAIL(ERR_INVALID_ARGUMENT, "sequence %d at %u: the session has %u", sequence_of(b, i), i,
                     o->max_sequences);
  for (uint32_t i = 0; b->output_rows && i < b->n_outputs; i++)
    if (b->output_rows[i] < 0 || (uint32_t)b->output_rows[i] >= b->n_tokens ||
        (i && b->output_rows[i] <= b->output_rows[i - 1]))
      return WH_FAIL(ERR_INVALID_ARGUMENT, "output row %d: rows must ascend within the batch",
                     b->output_rows[i]);
  return WH_OK;
}

/* Cuts the batch into its sequences. */
static wh_status find_targets(wh_lm *lm, const wh_batch *b) {
  uint32_t output = 0;
  lm->n_targets = 0;
  for (uint32_t begin = 0, end; begin < b->n_tokens; begin = end) {
    const int32_t number = sequence_of(b, begin);
    wh_lm_target t = {.first_token = begin, .begin_output = output, .next_output = output};
    end = begin;
    while (end < b->n_tokens && sequence_of(b, end) == number) end++;
    while (output < b->n_outputs && row_of(b, output) < end) output++;
    t.end_output = output;
    t.sequence = lm->numbered[number];
    for (uint32_t k = 0; k < lm->n_targets; k++)
      if (lm->targets[k].sequence == t.sequence)
        return WH_FAIL(ERR_INVALID_ARGUMENT, "the tokens of sequence %d are not adjacent", number);
    WH_TRY(wh_lm_sequence_check(t.sequence, b->tokens + begin, end - begin));
    t.start = t.sequence->n_tokens;
    t.n_tokens = end - begin;
    lm->targets[lm->n_targets++] = t;
  }
  return WH_OK;
}

/* ---- steps ---- */

void wh_lm_prepare(wh_sequence *s, uint8_t set, uint32_t first_row) {
  if (s->set != set) {
    wh_lm_sequence_cut(s, 0);
    s->set = set;
  }
  wh_lm_sequence_find_pages(s, first_row);
}

static uint32_t position_of(const wh_lm_target *t, const wh_batch *b, uint32_t output) {
  return t->start + row_of(b, output) - t->first_token;
}

/* Adds what the step has room for of a target. */
static wh_status add_target(wh_lm *lm, wh_lm_target *t, const wh_batch *b) {
  wh_sequence *s = t->sequence;
  const bool wants = t->next_output < t->end_output;
  const uint64_t last = (uint64_t)s->n_tokens + b->n_to_follow - 1;
  const uint32_t first_row = wants ? position_of(t, b, t->next_output) : s->n_tokens;
  const uint8_t set = wh_lm_set_at(lm, wants ? first_row : last);
  const uint32_t border = set == 0 ? lm->options.long_rope_border : 0;
  /* what lies beyond the border is for the other set */
  const uint32_t end = border && s->n_tokens > border ? border : s->n_tokens;
  wh_lm_prepare(s, set, first_row);
  uint32_t n = end - s->n_computed;
  bool reserved;
  if (n > wh_lm_step_room(lm)) n = wh_lm_step_room(lm);
  if (!n) return WH_OK;
  WH_TRY(wh_lm_reserve(s, s->n_computed + n, &reserved));
  if (!reserved)
    return WH_FAIL(
        ERR_LIMIT,
        "all %u pages of attention state are in use: sequences have to end first, or the session needs "
        "more of them",
        lm->options.n_pages);
  uint32_t n_rows = 0;
  while (t->next_output < t->end_output && position_of(t, b, t->next_output) < s->n_computed + n) {
    lm->row_outputs[lm->n_rows + n_rows] = t->next_output;
    lm->positions[n_rows++] = position_of(t, b, t->next_output++);
  }
  wh_lm_step_add(lm, s, n, lm->positions, n_rows);
  t->n_added = n;
  return WH_OK;
}

static bool is_done(const wh_lm_target *t) {
  return t->failure.status != WH_OK || t->done ||
         (t->next_output == t->end_output && t->sequence->n_computed + t->n_added == t->sequence->n_tokens);
}

static wh_status fill_step(wh_lm *lm, const wh_batch *b, bool *last) {
  wh_lm_step_begin(lm);
  *last = true;
  for (uint32_t i = 0; i < lm->n_targets; i++) {
    wh_lm_target *t = &lm->targets[i];
    t->n_added = 0;
    if (!is_done(t)) WH_TRY(add_target(lm, t, b));
    *last = *last && is_done(t);
  }
  return WH_OK;
}

/* Rows of logits of a batch of several steps are copied: the next step writes where they lie. */
wh_status wh_lm_make_room_for_rows(wh_lm *lm) {
  size_t floats;
  if (lm->kept) return WH_OK;
  if (!wh_mul_size(lm->options.max_outputs, (size_t)lm->n_vocab_out, &floats))
    return WH_OOM("rows of logits");
  lm->kept = wh_alloc_array(lm->alloc, floats, sizeof *lm->kept);
  return lm->kept ? WH_OK : WH_OOM("rows of logits");
}

/* What the step gave goes to its targets. A sequence that failed holds what it held before the batch. */
static wh_status settle_step(wh_lm *lm, bool copy) {
  if (copy) WH_TRY(wh_lm_step_fetch_rows(lm));
  lm->kept_rows = copy;
  const size_t width = (size_t)lm->n_vocab_out;
  uint32_t row = 0, i = 0;
  for (uint32_t k = 0; k < lm->n_parts; k++) {
    const wh_lm_part *part = &lm->parts[k];
    for (uint32_t end = row + part->n_rows; row < end; row++) {
      const uint32_t output = lm->row_outputs[row];
      const float *from = wh_lm_step_row(lm, row);
      if (copy) from = memcpy(lm->kept + output * width, from, width * sizeof *from);
      lm->outputs[output] = from;
    }
    while (lm->targets[i].sequence != part->sequence) i++;
    wh_lm_target *t = &lm->targets[i];
    t->n_added = 0;
    t->failure = part->failure;
    t->done = is_done(t);
  }
  return WH_OK;
}

static wh_status run_steps(wh_lm *lm, const wh_batch *b) {
  bool last = false;
  for (bool first = true; !last; first = false) {
    WH_TRY(fill_step(lm, b, &last));
    const bool several = !first || !last;
    if (several && lm->interrupt && lm->interrupt(lm->interrupt_ctx))
      return WH_FAIL(ERR_CANCELLED, "the run was ended");
    if (several) WH_TRY(wh_lm_make_room_for_rows(lm));
    if (!lm->n_parts && !last) return WH_FAIL(ERR_INTERNAL, "a batch that cannot go on");
    if (!lm->n_parts) break; /* all of it was found in pages */
    WH_TRY(wh_lm_step_run(lm));
    WH_TRY(settle_step(lm, several));
  }
  return WH_OK;
}

wh_status wh_lm_run(wh_lm *lm, const wh_batch *b) {
  wh_lm_drop_rows(lm);
  WH_TRY(check_batch(lm, b));
  WH_TRY(find_targets(lm, b));
  wh_status st = WH_OK;
  for (uint32_t i = 0; i < lm->n_targets && st == WH_OK; i++)
    st = wh_lm_sequence_extend(lm->targets[i].sequence, b->tokens + lm->targets[i].first_token,
                               lm->targets[i].n_tokens);
  if (st == WH_OK) st = run_steps(lm, b);
  for (uint32_t i = 0; i < lm->n_targets; i++) {
    wh_lm_target *t = &lm->targets[i];
    const bool failed = t->failure.status != WH_OK;
    if (st != WH_OK || failed) wh_lm_sequence_shorten(t->sequence, t->start);
    if (failed && lm->n_targets == 1) st = wh_lm_raise(&t->failure);
    if (failed)
      memset(lm->outputs + t->begin_output, 0, (t->end_output - t->begin_output) * sizeof *lm->outputs);
  }
  if (st == WH_OK) lm->n_outputs = b->n_outputs;
  return st;
}

wh_status wh_lm_row_status(const wh_lm *lm, uint32_t output) {
  if (output >= lm->n_outputs) return WH_FAIL(ERR_NOT_FOUND, "the last run gave no row of logits %u", output);
  for (uint32_t i = 0; i < lm->n_targets; i++)
    if (output >= lm->targets[i].begin_output && output < lm->targets[i].end_output)
      return wh_lm_raise(&lm->targets[i].failure);
  return WH_OK;
}
