/* batcher.c - one run for all sequences that wait: who takes part, with how many tokens, and whose pages are
 * taken when there are none left.
 *
 * Sequences that need few tokens (answers being written) go first, so that a long prompt does not hold them
 * up; it takes what they leave of the run. Pages go to the older sequence: one may take them from those that
 * wait for nothing, then from younger ones. So the oldest always gets on, and each is the oldest some day. */
#include "lm/lm_internal.h"

/* ---- pages ---- */

/* Whether v's pages would go before w's. */
static bool goes_before(const wh_sequence *v, const wh_sequence *w) {
  if (v->waiting != w->waiting) return !v->waiting;
  return v->waiting ? v->age > w->age : v->last_use < w->last_use;
}

static wh_sequence *find_victim(const wh_sequence *s) {
  wh_sequence *victim = NULL;
  for (wh_sequence *v = s->lm->sequences; v; v = v->next) {
    if (v == s || wh_lm_is_in_step(v) || !v->n_pages) continue;
    if (v->waiting && s->waiting && v->age < s->age) continue;
    if (!victim || goes_before(v, victim)) victim = v;
  }
  return victim;
}

wh_status wh_lm_reserve(wh_sequence *s, uint32_t n, bool *reserved) {
  for (;;) {
    WH_TRY(wh_lm_sequence_reserve(s, n, reserved));
    if (*reserved) return WH_OK;
    wh_sequence *victim = find_victim(s);
    if (!victim) break;
    wh_lm_sequence_evict(victim);
  }
  wh_lm_sequence_cut(s, s->n_computed); /* others may have what is not enough for this one */
  return WH_OK;
}

/* ---- the step ---- */

static uint32_t n_missing(const wh_sequence *s) { return s->n_tokens - s->n_computed; }
static uint32_t n_wanted(const wh_sequence *s) { return s->n_tokens - s->first_row; }

/* All rows that a sequence waits for are in one step, with its last tokens. */
static wh_status add(wh_lm *lm, wh_sequence *s, bool *lacks_pages) {
  const uint32_t rows = n_wanted(s), room = wh_lm_step_room(lm);
  uint32_t n = n_missing(s), n_rows = rows;
  bool reserved;
  if (n > room ||
      lm->n_rows + rows > lm->options.max_outputs) { /* only what comes before the rows, for now */
    n_rows = 0;
    n = n - rows < room ? n - rows : room;
  }
  if (!n) return WH_OK;
  WH_TRY(wh_lm_reserve(s, s->n_computed + n, &reserved));
  *lacks_pages = *lacks_pages || !reserved;
  if (!reserved) return WH_OK;
  for (uint32_t i = 0; i < n_rows; i++) lm->positions[i] = s->first_row + i;
  s->rows_at = lm->n_rows;
  s->n_rows = n_rows;
  wh_lm_step_add(lm, s, n, lm->positions, n_rows);
  return WH_OK;
}

static wh_status fill(wh_lm *lm, bool *lacks_pages) {
  wh_lm_step_begin(lm);
  for (wh_sequence *s = lm->sequences; s && wh_lm_step_room(lm); s = s->next) {
    if (!s->waiting) continue;
    wh_lm_prepare(s, wh_lm_set_at(lm, s->first_row), s->first_row);
    if (n_missing(s) == n_wanted(s)) WH_TRY(add(lm, s, lacks_pages));
  }
  for (wh_sequence *s = lm->sequences; s && wh_lm_step_room(lm); s = s->next)
    if (s->waiting && !wh_lm_is_in_step(s)) WH_TRY(add(lm, s, lacks_pages));
  return WH_OK;
}

/* Nobody could be added, though the oldest may take the pages of all others: it needs more than there are. */
static void fail_oldest(const wh_lm *lm) {
  wh_sequence *s = lm->sequences;
  while (!s->waiting) s = s->next;
  (void)WH_FAIL(
      ERR_LIMIT,
      "%u tokens of a sequence take %u pages of attention state, but the session has %u: it needs more "
      "of them",
      s->n_tokens, wh_lm_pages_for(s->n_tokens), lm->options.n_pages);
  s->failure = wh_lm_failure_now(WH_ERR_LIMIT);
  s->waiting = false;
}

static void settle(wh_lm *lm) {
  for (uint32_t i = 0; i < lm->n_parts; i++) {
    const wh_lm_part *part = &lm->parts[i];
    wh_sequence *s = part->sequence;
    if (part->failure.status != WH_OK) {
      s->failure = part->failure;
      s->waiting = false;
    } else if (part->n_rows) {
      s->rows_step = lm->step;
      s->waiting = false;
    }
  }
}

wh_status wh_lm_step(wh_lm *lm, uint32_t *n_waiting) {
  bool lacks_pages = false;
  wh_lm_drop_rows(lm);
  WH_TRY(fill(lm, &lacks_pages));
  if (lm->n_parts) {
    WH_TRY(wh_lm_step_run(lm));
    settle(lm);
  } else if (lacks_pages) {
    fail_oldest(lm);
  }
  if (n_waiting) {
    *n_waiting = 0;
    for (const wh_sequence *s = lm->sequences; s; s = s->next) *n_waiting += s->waiting;
  }
  return WH_OK;
}

bool wh_lm_sequence_has_row(const wh_sequence *s, uint32_t row) {
  return s->rows_step && s->rows_step == s->lm->step && row < s->n_rows;
}

const float *wh_lm_sequence_row(const wh_sequence *s, uint32_t row) {
  if (!wh_lm_sequence_has_row(s, row) || wh_lm_step_fetch_rows(s->lm) != WH_OK) return NULL;
  return wh_lm_step_row(s->lm, s->rows_at + row);
}
