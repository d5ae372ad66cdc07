/* speculate.c - the speculator: drafts, checks them in one run of the model, and keeps the sequence's tokens.
 *
 * A run takes the token just given and a draft behind it, and gives the logits behind each of them. Row i is
 * shown only when the i tokens before it were given as drafted, so nobody sees a row that a run without
 * drafts would not have made. */
#include <string.h>

#include "core/base/exact_math.h"
#include "lm/lookup.h"
#include "lm/speculate.h"

/* A drafter that failed so often in a row pauses, each time for twice as long. */
#define MISSES_BEFORE_PAUSE 4
#define PAUSE_MAX 32

/* How far a drafter is trusted. */
typedef struct trust {
  uint32_t reach;  /* tokens of the next draft */
  uint32_t misses; /* drafts in a row whose first token was wrong */
  uint32_t pause;  /* tokens to go without drafts */
} trust;

struct wh_lm_speculator {
  const wh_allocator *alloc;
  wh_lm *lm;
  wh_lm_speculator_options options;
  int32_t *tokens; /* [context]: what its sequence holds */
  uint32_t n;      /* of these ... */
  uint32_t ahead;  /* ... the last so many are drafted and not given yet */
  uint32_t row;    /* of the last run: the next logits */
  bool has_logits;
  uint32_t n_expected; /* tokens that the caller will append before it wants logits */
  trust lookup, model;
  trust *drafter;    /* whose draft the last run checked; NULL: it had none */
  uint32_t n_draft;  /* its length */
  int32_t *held;     /* [context of the draft model]: what its sequence holds */
  uint32_t n_held;   /* of these ... */
  uint32_t n_agreed; /* ... the first so many are known to be the first of `tokens` */
  wh_batch batch, draft_batch;
  int32_t *sequences; /* of the batches: the same number over and over */
  wh_speculator_stats stats;
};

/* ---- life ---- */

static const int32_t all_rows[WH_SPECULATE_MAX_DRAFT + 1] = {0, 1,  2,  3,  4,  5,  6,  7, 8,
                                                             9, 10, 11, 12, 13, 14, 15, 16};

static wh_status check_sequence(wh_lm *lm, uint32_t sequence, uint32_t n_rows) {
  const wh_lm_options *o = wh_lm_get_options(lm);
  const wh_sequence *s = wh_lm_numbered(lm, sequence);
  uint32_t n = 0;
  if (sequence >= o->max_sequences)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "no sequence %u: the session has %u", sequence, o->max_sequences);
  if (s) (void)wh_lm_sequence_tokens(s, &n);
  if (n) return WH_FAIL(ERR_INVALID_ARGUMENT, "a speculator wants an empty sequence");
  if (n_rows > o->max_outputs || n_rows > o->max_batch)
    return WH_FAIL(ERR_INVALID_ARGUMENT,
                   "drafts of %u tokens need a session with max_outputs and max_batch of at least %u",
                   n_rows - 1, n_rows);
  return WH_OK;
}

static wh_status check_options(wh_lm *lm, const wh_lm_speculator_options *o) {
  uint32_t most = o->max_lookup > o->max_draft ? o->max_lookup : o->max_draft;
  if (most > WH_SPECULATE_MAX_DRAFT)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "drafts of %u tokens: at most %d", most, WH_SPECULATE_MAX_DRAFT);
  if (!(o->min_probability >= 0 && o->min_probability <= 1))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "min_probability %g: must be 0 to 1", (double)o->min_probability);
  WH_TRY(check_sequence(lm, o->sequence, most + 1));
  if (!o->draft) return WH_OK;
  if (o->draft == lm)
    return WH_FAIL(ERR_INVALID_ARGUMENT, "a session cannot draft for itself; make a second one of the model");
  return check_sequence(o->draft, o->draft_sequence, 1);
}

static bool allocate(wh_lm_speculator *s) {
  const wh_lm_options *o = wh_lm_get_options(s->lm),
                      *d = s->options.draft ? wh_lm_get_options(s->options.draft) : NULL;
  const uint32_t longest = d && d->max_batch > o->max_batch ? d->max_batch : o->max_batch;
  s->tokens = wh_alloc_array(s->alloc, o->context, sizeof *s->tokens);
  s->held = wh_alloc_array(s->alloc, d ? d->context : 0, sizeof *s->held);
  s->sequences = wh_alloc_array(s->alloc, 2 * (size_t)longest, sizeof *s->sequences);
  if (!s->tokens || !s->held || !s->sequences) return false;
  for (uint32_t i = 0; i < longest; i++) {
    s->sequences[i] = (int32_t)s->options.sequence;
    s->sequences[longest + i] = (int32_t)s->options.draft_sequence;
  }
  s->batch = s->draft_batch = (wh_batch)WH_BATCH_INIT;
  s->batch.sequences = s->sequences;
  s->draft_batch.sequences = s->sequences + longest;
  return true;
}

wh_status wh_lm_speculator_create(wh_lm *lm, const wh_lm_speculator_options *options,
                                  wh_lm_speculator **out) {
  wh_lm_speculator_options o = *options;
  if (!o.draft) o.max_draft = 0;
  WH_TRY(check_options(lm, &o));
  const wh_allocator *alloc = wh_lm_get_options(lm)->alloc;
  wh_lm_speculator *s = wh_alloc_zeroed(alloc, sizeof *s);
  if (!s) return WH_OOM("speculator");
  s->alloc = alloc;
  s->lm = lm;
  s->options = o;
  s->lookup.reach = o.max_lookup;
  s->model.reach = o.max_draft;
  s->stats = (wh_speculator_stats)WH_SPECULATOR_STATS_INIT;
  if (!allocate(s)) {
    wh_lm_speculator_destroy(s);
    return WH_OOM("speculator");
  }
  *out = s;
  return WH_OK;
}

void wh_lm_speculator_destroy(wh_lm_speculator *s) {
  if (!s) return;
  wh_free(s->alloc, s->tokens);
  wh_free(s->alloc, s->held);
  wh_free(s->alloc, s->sequences);
  wh_free(s->alloc, s);
}

wh_lm *wh_lm_speculator_lm(const wh_lm_speculator *s) { return s->lm; }
static uint32_t context_of(const wh_lm_speculator *s) { return wh_lm_get_options(s->lm)->context; }
static wh_status truncate(wh_lm *lm, uint32_t sequence, uint32_t length) {
  return wh_lm_sequence_truncate(wh_lm_numbered(lm, sequence), length);
}

/* How many of `most` tokens behind the n of a sequence keep it within the model's border, if it is within.
 * Drafts that are wrong must not make it be computed again. */
static uint32_t within_border(const wh_lm *lm, uint32_t n, uint32_t most) {
  uint32_t border = wh_lm_get_options(lm)->long_rope_border;
  return border == 0 || n > border || most <= border - n ? most : border - n;
}

/* ---- the draft model ---- */

static wh_status run_draft_model(wh_lm_speculator *s, const int32_t *tokens, uint32_t n, bool logits) {
  s->draft_batch.tokens = tokens;
  s->draft_batch.n_tokens = n;
  s->draft_batch.n_outputs = logits;
  WH_TRY(wh_lm_run(s->options.draft, &s->draft_batch));
  memcpy(s->held + s->n_held, tokens, n * sizeof *tokens);
  s->n_held += n;
  s->stats.n_draft_runs++;
  return WH_OK;
}

/* Brings the draft session to the n tokens, with the logits behind the last. Of what it holds, the common
 * beginning stays. */
static wh_status follow(wh_lm_speculator *s, uint32_t n) {
  wh_lm *draft = s->options.draft;
  uint32_t most = wh_lm_get_options(draft)->max_batch;
  while (s->n_agreed < s->n_held && s->n_agreed < n && s->held[s->n_agreed] == s->tokens[s->n_agreed])
    s->n_agreed++;
  if (s->n_agreed == n) s->n_agreed--; /* the last is run again: its logits are gone */
  WH_TRY(truncate(draft, s->options.draft_sequence, s->n_agreed));
  s->n_held = s->n_agreed;
  while (s->n_held < n) {
    uint32_t left = n - s->n_held, count = left < most ? left : most;
    s->draft_batch.n_to_follow = left - count;
    WH_TRY(run_draft_model(s, s->tokens + s->n_held, count, count == left));
  }
  s->n_agreed = n;
  return WH_OK;
}

/* The likeliest token that both models know, and whether it is likely enough. */
static bool pick(const wh_lm_speculator *s, int32_t *out) {
  const float *logits = wh_lm_row(s->options.draft, 0);
  int64_t n = wh_lm_n_vocab(s->options.draft), n_known = wh_lm_n_vocab(s->lm);
  if (n_known > n) n_known = n;
  int32_t best = 0;
  for (int64_t i = 1; i < n_known; i++)
    if (logits[i] > logits[best]) best = (int32_t)i;
  *out = best;
  if (s->options.min_probability <= 0) return true;
  float sum = 0; /* of probabilities, in units of the largest */
  for (int64_t i = 0; i < n; i++) {
    float x = logits[i] - logits[best];
    if (x > -20) sum += wh_exp_f32(x);
  }
  return s->options.min_probability * sum <= 1.0f;
}

static wh_status draft_by_model(wh_lm_speculator *s, uint32_t n, uint32_t most, int32_t *draft,
                                uint32_t *n_draft) {
  uint32_t context = wh_lm_get_options(s->options.draft)->context;
  if (n > context) return WH_OK;
  WH_TRY(follow(s, n));
  most = 1 + within_border(s->options.draft, n, most - 1); /* the last is not run */
  for (uint32_t i = 0; i < most; i++) {
    int32_t token;
    if (!pick(s, &token)) break;
    draft[i] = token;
    *n_draft = i + 1;
    if (i + 1 == most || s->n_held == context) break;
    WH_TRY(run_draft_model(s, &draft[i], 1, true));
  }
  return WH_OK;
}

/* ---- drafting ---- */

/* What the last draft was worth, once that is known. A draft that was taken whole may be followed by a longer
 * one. */
static void settle(wh_lm_speculator *s) {
  trust *t = s->drafter;
  if (!t) return;
  uint32_t accepted = s->n_draft - s->ahead;
  uint32_t most = t == &s->lookup ? s->options.max_lookup : s->options.max_draft;
  if (accepted == s->n_draft)
    t->reach = 2 * accepted > t->reach ? 2 * accepted : t->reach;
  else
    t->reach = accepted + 1;
  if (t->reach > most) t->reach = most;
  t->misses = accepted ? 0 : t->misses + 1;
  if (t->misses >= MISSES_BEFORE_PAUSE) {
    uint32_t doublings = t->misses - MISSES_BEFORE_PAUSE;
    t->pause = doublings < 5 ? UINT32_C(1) << doublings : PAUSE_MAX;
  }
  s->drafter = NULL;
}

/* How long a draft of this drafter may be now. */
static uint32_t allowed(trust *t, uint32_t most) {
  if (t->pause) {
    t->pause--;
    return 0;
  }
  return t->reach < most ? t->reach : most;
}

/* A draft behind tokens[n - 1], written behind it. */
static wh_status draft(wh_lm_speculator *s, uint32_t n, uint32_t most) {
  s->n_draft = 0;
  if (s->options.max_lookup && most) {
    uint32_t length = allowed(&s->lookup, most);
    s->n_draft = (uint32_t)wh_lookup_draft(s->tokens, n, length, s->tokens + n);
    if (s->n_draft) s->drafter = &s->lookup;
  }
  if (!s->n_draft && s->options.max_draft && most) {
    uint32_t length = allowed(&s->model, most);
    if (length) WH_TRY(draft_by_model(s, n, length, s->tokens + n, &s->n_draft));
    if (s->n_draft) s->drafter = &s->model;
  }
  return WH_OK;
}

/* ---- the sequence ---- */

static uint32_t given(const wh_lm_speculator *s) { return s->n - s->ahead; }

static wh_status forget_draft(wh_lm_speculator *s) {
  if (!s->ahead) return WH_OK;
  WH_TRY(truncate(s->lm, s->options.sequence, given(s)));
  s->n -= s->ahead;
  s->ahead = 0;
  return WH_OK;
}

static wh_status run_model(wh_lm_speculator *s, uint32_t n, uint32_t n_outputs) {
  s->batch.tokens = s->tokens + s->n;
  s->batch.n_tokens = n;
  s->batch.n_outputs = n_outputs;
  s->batch.output_rows = n_outputs > 1 ? all_rows : NULL;
  s->has_logits = false;
  WH_TRY(wh_lm_run(s->lm, &s->batch));
  s->n += n;
  s->row = 0;
  s->has_logits = n_outputs > 0;
  return WH_OK;
}

void wh_lm_speculator_expect(wh_lm_speculator *s, size_t n) {
  s->n_expected = n < context_of(s) ? (uint32_t)n : context_of(s);
}

wh_status wh_lm_speculator_append(wh_lm_speculator *s, const int32_t *tokens, size_t n, bool logits) {
  s->drafter = NULL; /* whether the draft was good is not known */
  WH_TRY(forget_draft(s));
  if (n > context_of(s) - s->n)
    return WH_FAIL(ERR_LIMIT, "%zu tokens behind %u: the context holds %u", n, s->n, context_of(s));
  if (n) memcpy(s->tokens + s->n, tokens, n * sizeof *tokens);
  while (n) {
    uint32_t count =
        n < wh_lm_get_options(s->lm)->max_batch ? (uint32_t)n : wh_lm_get_options(s->lm)->max_batch;
    n -= count;
    s->n_expected -= count < s->n_expected ? count : s->n_expected;
    s->batch.n_to_follow = n > s->n_expected ? (uint32_t)n : s->n_expected;
    WH_TRY(run_model(s, count, logits && n == 0));
  }
  if (logits) s->n_expected = 0;
  return WH_OK;
}

wh_status wh_lm_speculator_advance(wh_lm_speculator *s, int32_t token, uint32_t n_wanted) {
  if (s->ahead && s->tokens[given(s)] == token) {
    s->ahead--;
    s->row++;
    s->stats.n_advanced++;
    s->stats.n_accepted++;
    return WH_OK;
  }
  settle(s);
  WH_TRY(forget_draft(s));
  if (s->n == context_of(s)) return WH_FAIL(ERR_LIMIT, "the context of %u tokens is full", context_of(s));
  uint32_t room = context_of(s) - s->n - 1;
  /* a run gives one token more than it drafts */
  uint32_t most = n_wanted == 0 ? 0 : n_wanted - 1 < room ? n_wanted - 1 : room;
  most = within_border(s->lm, s->n + 1, most);
  s->batch.n_to_follow = s->n_expected = 0;
  s->tokens[s->n] = token;
  if (draft(s, s->n + 1, most) != WH_OK) return wh_fail_prefix("draft model");
  wh_status st = run_model(s, 1 + s->n_draft, 1 + s->n_draft);
  if (st != WH_OK && s->n_draft) { /* a token that is never given must not be what ends the answer */
    s->n_draft = 0;
    s->drafter = NULL;
    st = run_model(s, 1, 1);
  }
  WH_TRY(st);
  s->ahead = s->n_draft;
  s->stats.n_advanced++;
  s->stats.n_runs++;
  s->stats.n_drafted += s->n_draft;
  return WH_OK;
}

const float *wh_lm_speculator_logits(const wh_lm_speculator *s) {
  return s->has_logits ? wh_lm_row(s->lm, s->row) : NULL;
}

bool wh_lm_speculator_best(const wh_lm_speculator *s, wh_lm_best *out) {
  return s->has_logits && wh_lm_row_best(s->lm, s->row, out);
}

const int32_t *wh_lm_speculator_tokens(const wh_lm_speculator *s, uint32_t *n) {
  if (n) *n = given(s);
  return s->tokens;
}

wh_status wh_lm_speculator_truncate(wh_lm_speculator *s, uint32_t length) {
  if (length > given(s))
    return WH_FAIL(ERR_INVALID_ARGUMENT, "the sequence holds %u tokens; cannot keep %u", given(s), length);
  WH_TRY(truncate(s->lm, s->options.sequence, length));
  s->n = length;
  s->n_expected = 0;
  s->ahead = 0;
  s->drafter = NULL;
  s->has_logits = false;
  if (s->n_agreed > length) s->n_agreed = length;
  return WH_OK;
}

wh_speculator_stats wh_lm_speculator_get_stats(const wh_lm_speculator *s) { return s->stats; }
