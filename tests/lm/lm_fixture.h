/* lm_fixture.h - a session on a fake device, made as the API does it: bounds of the symbols, program,
 * session. */
#ifndef WH_TESTS_LM_FIXTURE_H
#define WH_TESTS_LM_FIXTURE_H

#include "lm/lm.h"
#include "tests/plan/fake_backend.h"

/* Takes the graph, also on failure. On success *program is the caller's to release. */
static inline wh_status lm_create(wh_graph *g, fake_device *dev, const wh_lm_options *o, wh_program **program,
                                  wh_lm **session) {
  int64_t symbols[WH_LM_MAX_SYMBOLS];
  const wh_plan_device device = {.backend = &fake_backend, .dev = dev};
  const wh_program_options po = {
      .place = {.devices = &device, .n_devices = 1}, .symbols = symbols, .alloc = o->alloc};
  wh_status st = wh_lm_symbols(g, o, symbols);
  if (st != WH_OK) {
    wh_graph_destroy(g);
    return st;
  }
  WH_TRY(wh_program_create(g, &po, program));
  return wh_lm_create(*program, o, session);
}

/* Of sequences with numbers. */
static inline uint32_t lm_length(wh_lm *lm, uint32_t sequence) {
  uint32_t n = 0;
  const wh_sequence *s = wh_lm_numbered(lm, sequence);
  if (s) (void)wh_lm_sequence_tokens(s, &n);
  return n;
}

static inline wh_status lm_truncate(wh_lm *lm, uint32_t sequence, uint32_t length) {
  wh_sequence *s = wh_lm_numbered(lm, sequence);
  return s ? wh_lm_sequence_truncate(s, length) : WH_ERR_INVALID_ARGUMENT;
}

#endif
