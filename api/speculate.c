/* speculate.c - the public face of speculation (lm/speculate.c). */
#include "lm/speculate.h"
#include "api/api_internal.h"

struct wh_speculator {
  const wh_allocator *alloc;
  wh_lm_speculator *inner;
  wh_session *session, *draft; /* references; draft: NULL: none */
};

/* A damaged model is named by its file. */
static wh_status name_file(const wh_speculator *s, wh_status st) {
  return wh_session_name_file(wh_lm_owner(wh_lm_speculator_lm(s->inner)), st);
}

wh_status wh_speculator_create(wh_session *session, const wh_speculator_options *options,
                               wh_speculator **out) {
  wh_speculator_options o = WH_SPECULATOR_OPTIONS_INIT;
  WH_WANT(session, "session");
  WH_WANT(out, "out");
  WH_READ_OPTIONS(&o, options, WH_SPECULATOR_OPTIONS_INIT);
  if (o.draft && o.draft != session)
    WH_TRY(wh_model_check_same_vocabulary(wh_session_get_model(session), wh_session_get_model(o.draft)));
  const wh_lm_speculator_options inner = {.sequence = o.sequence,
                                          .max_lookup = o.max_lookup,
                                          .max_draft = o.max_draft,
                                          .draft = o.draft ? wh_session_get_lm(o.draft) : NULL,
                                          .draft_sequence = o.draft_sequence,
                                          .min_probability = o.min_probability};
  const wh_allocator *alloc = wh_session_get_options(session)->allocator;
  wh_speculator *s = wh_alloc_zeroed(alloc, sizeof *s);
  if (!s) return WH_OOM("speculator");
  s->alloc = alloc;
  wh_status st = wh_lm_speculator_create(wh_session_get_lm(session), &inner, &s->inner);
  if (st != WH_OK) {
    wh_free(alloc, s);
    return st;
  }
  s->session = wh_session_retain(session);
  s->draft = wh_session_retain(o.draft);
  *out = s;
  return WH_OK;
}

void wh_speculator_destroy(wh_speculator *s) {
  if (!s) return;
  wh_lm_speculator_destroy(s->inner);
  wh_session_destroy(s->draft);
  wh_session_destroy(s->session);
  wh_free(s->alloc, s);
}

void wh_speculator_expect(wh_speculator *s, size_t n) {
  if (s) wh_lm_speculator_expect(s->inner, n);
}

wh_status wh_speculator_append(wh_speculator *s, const int32_t *tokens, size_t n, bool logits) {
  WH_WANT(s, "speculator");
  WH_WANT(tokens || !n, "tokens");
  return name_file(s, wh_lm_speculator_append(s->inner, tokens, n, logits));
}

wh_status wh_speculator_advance(wh_speculator *s, int32_t token, uint32_t n_wanted) {
  WH_WANT(s, "speculator");
  return name_file(s, wh_lm_speculator_advance(s->inner, token, n_wanted));
}

const float *wh_speculator_logits(const wh_speculator *s) {
  return s ? wh_lm_speculator_logits(s->inner) : NULL;
}

wh_status wh_speculator_sample(const wh_speculator *s, wh_generator *generator, int32_t *token) {
  wh_lm_best best;
  bool decided = false;
  WH_WANT(s, "speculator");
  WH_WANT(generator, "generator");
  WH_WANT(token, "token");
  if (wh_lm_speculator_best(s->inner, &best))
    WH_TRY(wh_generator_sample_best(generator, &best, token, &decided));
  if (decided) return WH_OK;
  const float *logits = wh_lm_speculator_logits(s->inner);
  if (!logits) return WH_FAIL(ERR_NOT_FOUND, "the last run gave no logits");
  return wh_generator_sample(generator, logits, token);
}

const int32_t *wh_speculator_tokens(const wh_speculator *s, uint32_t *n) {
  if (s) return wh_lm_speculator_tokens(s->inner, n);
  if (n) *n = 0;
  return NULL;
}

wh_status wh_speculator_truncate(wh_speculator *s, uint32_t length) {
  WH_WANT(s, "speculator");
  return wh_lm_speculator_truncate(s->inner, length);
}

wh_status wh_speculator_get_stats(const wh_speculator *s, wh_speculator_stats *stats) {
  WH_WANT(s, "speculator");
  WH_WANT_INFO(stats, "stats", WH_SPECULATOR_STATS_INIT);
  const wh_speculator_stats full = wh_lm_speculator_get_stats(s->inner);
  WH_WRITE_INFO(stats, full);
  return WH_OK;
}
