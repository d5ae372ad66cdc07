/* test_threads.c - objects that threads share: two sessions of one device and one model, the model's lazily
 * built parts, reports, a pack cache; everything has the answer that it has alone. To be run with
 * ThreadSanitizer, too. A hang is what is looked for first: an alarm ends the program. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/api/small_engine.h"

#define N_THREADS 4
#define N_RUNS 40
#define PROMPT 7
#define HANG_SECONDS 240

/* The assertions of cmocka are for its own thread: others note the first thing that is wrong. */
typedef struct worker {
  const small_engine *engine;
  const char *cache;
  int number, n_runs;
  pthread_barrier_t *start;
  char hashes[N_RUNS][33];
  char wrong[512];
} worker;

#define CHECK(w, condition)                                                                         \
  do {                                                                                              \
    if (!(condition)) {                                                                             \
      (void)snprintf((w)->wrong, sizeof(w)->wrong, "line %d: %.200s; last error: %.200s", __LINE__, \
                     #condition, wh_last_error()->message);                                         \
      return NULL;                                                                                  \
    }                                                                                               \
  } while (0)

static wh_status open_session(const worker *w, wh_session **out) {
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  s.context = 64;
  s.max_batch = 16;
  s.pack_cache = w->cache;
  return wh_session_create(w->engine->model, w->engine->device, &s, out);
}

/* A prompt of its own, then greedy tokens: the hash of each run's logits. */
static void *run_session(void *arg) {
  worker *w = arg;
  wh_session *session = NULL;
  int32_t tokens[PROMPT];
  for (int i = 0; i < PROMPT; i++) tokens[i] = (w->number * 11 + i * 5) % SMALL_N_VOCAB;
  (void)pthread_barrier_wait(w->start);
  CHECK(w, open_session(w, &session) == WH_OK);
  uint32_t n = PROMPT;
  for (int run = 0; run < w->n_runs; run++) {
    CHECK(w, small_engine_run(session, tokens, n) == WH_OK);
    const float *logits = wh_session_logits(session, 0);
    CHECK(w, logits != NULL);
    wh_hash_text(logits, SMALL_N_VOCAB * sizeof *logits, w->hashes[run]);
    tokens[0] = 0;
    for (int32_t i = 1; i < SMALL_N_VOCAB; i++)
      if (logits[i] > logits[tokens[0]]) tokens[0] = i;
    n = 1;
  }
  if (w->cache) CHECK(w, wh_session_keep_packed(session) == WH_OK);
  wh_session_destroy(session);
  return NULL;
}

static void run_workers(worker *workers, int n, void *(*fn)(void *)) {
  pthread_barrier_t start;
  pthread_t threads[N_THREADS];
  assert_int_equal(pthread_barrier_init(&start, NULL, (unsigned)n), 0);
  for (int i = 0; i < n; i++) {
    workers[i].start = &start;
    assert_int_equal(pthread_create(&threads[i], NULL, fn, &workers[i]), 0);
  }
  for (int i = 0; i < n; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_int_equal(pthread_barrier_destroy(&start), 0);
  for (int i = 0; i < n; i++)
    if (workers[i].wrong[0]) fail_msg("thread %d: %s", i, workers[i].wrong);
}

static worker *make_workers(const small_engine *e, const char *cache) {
  worker *w = calloc(N_THREADS, sizeof *w);
  assert_non_null(w);
  for (int i = 0; i < N_THREADS; i++)
    w[i] = (worker){.engine = e, .cache = cache, .number = i, .n_runs = N_RUNS};
  return w;
}

/* Teams of one thread, of two, and of more than most machines that test have processors. */
static void sessions_share_a_device(void **state) {
  (void)state;
  static const uint32_t team_sizes[] = {1, 2, 3};
  for (size_t t = 0; t < sizeof team_sizes / sizeof team_sizes[0]; t++) {
    small_engine e = small_engine_open(team_sizes[t]);
    worker *alone = make_workers(&e, NULL), *together = make_workers(&e, NULL);
    for (int i = 0; i < N_THREADS; i++) run_workers(&alone[i], 1, run_session);
    run_workers(together, N_THREADS, run_session);
    for (int i = 0; i < N_THREADS; i++)
      for (int run = 0; run < N_RUNS; run++)
        assert_string_equal(together[i].hashes[run], alone[i].hashes[run]);
    assert_string_not_equal(alone[0].hashes[0], alone[1].hashes[0]);
    free(alone);
    free(together);
    small_engine_close(&e);
  }
}

/* Two starts write the same file at the same time, later ones read it while it may be replaced. */
static void sessions_share_a_pack_cache(void **state) {
  (void)state;
  small_engine e = small_engine_open(2);
  temp_folder cache = temp_folder_create();
  worker *alone = make_workers(&e, NULL);
  for (int i = 0; i < N_THREADS; i++) {
    alone[i].n_runs = 3;
    run_workers(&alone[i], 1, run_session);
  }
  for (int round = 0; round < 3; round++) {
    worker *together = make_workers(&e, cache.path);
    for (int i = 0; i < N_THREADS; i++) together[i].n_runs = 3;
    run_workers(together, N_THREADS, run_session);
    for (int i = 0; i < N_THREADS; i++)
      for (int run = 0; run < 3; run++) assert_string_equal(together[i].hashes[run], alone[i].hashes[run]);
    free(together);
  }
  free(alone);
  temp_folder_remove(&cache);
  small_engine_close(&e);
}

/* Everything that a model or a device makes at its first use, and each thread's own errors. */
static void *use_shared(void *arg) {
  worker *w = arg;
  const small_engine *e = w->engine;
  (void)pthread_barrier_wait(w->start);
  for (int i = 0; i < 8; i++) {
    wh_device_info info = WH_DEVICE_INFO_INIT;
    wh_session *none = NULL;
    char *text = NULL, want[64], hash[33];
    int32_t ids[16];
    size_t n = 0;
    CHECK(w, wh_model_tokenize(e->model, "abc", 3, WH_TOKENIZE_ADD_SPECIAL, ids, 16, &n) == WH_OK);
    CHECK(w, n == 3 && ids[0] == SMALL_BOS);
    CHECK(w, wh_model_render_chat(e->model, "[{\"content\":\"x\"}]", NULL, &text, &n) == WH_OK);
    CHECK(w, strcmp(text, "<s><|user|>x\n") == 0);
    wh_string_destroy(text);
    CHECK(w, wh_device_get_info(e->device, &info) == WH_OK);
    CHECK(w, info.n_threads == 2 && info.description);
    CHECK(w, wh_model_graph_hash(e->model, hash) == WH_OK);
    wh_session_options s = WH_SESSION_OPTIONS_INIT;
    s.max_sequences = 100000u + (uint32_t)(w->number * 100 + i);
    (void)snprintf(want, sizeof want, "%u sequences", s.max_sequences);
    CHECK(w, wh_session_create(e->model, e->device, &s, &none) == WH_ERR_LIMIT);
    CHECK(w, strstr(wh_last_error()->message, want) != NULL);
  }
  return NULL;
}

static void first_uses_may_coincide(void **state) {
  (void)state;
  for (int round = 0; round < 4; round++) {
    small_engine e = small_engine_open(2);
    worker *w = make_workers(&e, NULL);
    run_workers(w, N_THREADS, use_shared);
    free(w);
    small_engine_close(&e);
  }
}

/* A trace and a progress callback are called without the device's turn: they may use its other sessions. */
typedef struct visitor {
  wh_session *other;
  wh_status status;
  int n_calls;
} visitor;

static int visit_while_tracing(void *ctx, const wh_trace_event *event) {
  static const int32_t token = 3;
  visitor *v = ctx;
  (void)event;
  if (v->n_calls++ % 8 == 0 && v->status == WH_OK) {
    v->status = wh_session_truncate(v->other, 0, 0);
    if (v->status == WH_OK) v->status = small_engine_run(v->other, &token, 1);
  }
  return 0;
}

static int visit_while_creating(void *ctx, const wh_progress *progress) {
  (void)progress;
  return visit_while_tracing(ctx, NULL);
}

static void callbacks_may_use_the_device(void **state) {
  (void)state;
  static const int32_t tokens[] = {3, 4, 5};
  small_engine e = small_engine_open(2);
  wh_session_options o = WH_SESSION_OPTIONS_INIT;
  wh_session *session = NULL;
  visitor v = {e.session, WH_OK, 0};
  o.context = 32;
  o.progress = visit_while_creating;
  o.progress_ctx = &v;
  assert_int_equal(wh_session_create(e.model, e.device, &o, &session), WH_OK);
  assert_true(v.n_calls > 0);
  wh_session_set_trace(session, visit_while_tracing, &v);
  assert_int_equal(small_engine_run(session, tokens, 3), WH_OK);
  assert_int_equal(v.status, WH_OK);
  assert_true(v.n_calls > 20);
  wh_session_destroy(session);
  small_engine_close(&e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(sessions_share_a_device), cmocka_unit_test(sessions_share_a_pack_cache),
      cmocka_unit_test(first_uses_may_coincide), cmocka_unit_test(callbacks_may_use_the_device)};
  (void)alarm(HANG_SECONDS);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
