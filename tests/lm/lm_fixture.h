/* lm_fixture.h - a session on a fake device, made as the API does it: bounds of the symbols, program,
 * session. */
#ifndef WH_TESTS_LM_FIXTURE_H
#define WH_TESTS_LM_FIXTURE_H

#include "lm/run_session.h"
#include "tests/plan/fake_backend.h"

/* Takes the graph, also on failure. On success *program is the caller's to release. */
static inline wh_status lm_create(wh_graph *g, fake_device *dev, const wh_run_session_options *o,
                                  wh_program **program, wh_run_session **session) {
  int64_t symbols[WH_LM_MAX_SYMBOLS];
  const wh_plan_device device = {&fake_backend, dev};
  const wh_program_options po = {
      .place = {.devices = &device, .n_devices = 1}, .symbols = symbols, .alloc = o->alloc};
  wh_status st = wh_run_session_symbols(g, o, symbols);
  if (st != WH_OK) {
    wh_graph_destroy(g);
    return st;
  }
  WH_TRY(wh_program_create(g, &po, program));
  return wh_run_session_create(*program, o, session);
}

#endif
