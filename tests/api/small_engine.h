/* small_engine.h - one of every object of the public API, over a small model with a tokenizer. */
#ifndef WH_TESTS_SMALL_ENGINE_H
#define WH_TESTS_SMALL_ENGINE_H

#include "tests/base/temp_folder.h"
#include "tests/e2e/small_model.h"
#include "whimbrel/whimbrel.h"

typedef struct small_engine {
  temp_folder folder;
  temp_path path;
  wh_device *device;
  wh_model *model;
  wh_session *session;
} small_engine;

/* Aborts on failure: what is tested comes later. */
static inline small_engine small_engine_open(uint32_t n_threads) {
  small_engine e = {.folder = temp_folder_create()};
  wh_device_options d = WH_DEVICE_OPTIONS_INIT;
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  small_model *m = small_model_create(WH_DTYPE_Q4_0, 64);
  e.path = temp_path_of(&e.folder, "small.gguf");
  small_model_write_with_text(m, e.path.text);
  small_model_destroy(m);
  d.n_threads = n_threads;
  s.context = 64;
  s.max_batch = 16;
  s.max_outputs = 4;
  s.max_sequences = 2;
  if (wh_device_create(&d, &e.device) != WH_OK || wh_model_open(e.path.text, NULL, &e.model) != WH_OK ||
      wh_session_create(e.model, e.device, &s, &e.session) != WH_OK)
    abort();
  return e;
}

static inline void small_engine_close(small_engine *e) {
  wh_session_destroy(e->session);
  wh_model_destroy(e->model);
  wh_device_destroy(e->device);
  temp_folder_remove(&e->folder);
}

static inline wh_status small_engine_run(wh_session *session, const int32_t *tokens, uint32_t n) {
  wh_batch b = WH_BATCH_INIT;
  b.n_tokens = n;
  b.tokens = tokens;
  b.n_outputs = 1;
  return wh_session_run(session, &b);
}

#endif
