/* test_pack_late.c - weights that are packed while the model runs: the same bits at every moment, at every
 * level and in every company; damage is found by the first run that reads it. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/base/failing_allocator.h"
#include "tests/base/temp_folder.h"
#include "tests/e2e/small_model.h"
#include "whimbrel/whimbrel.h"

enum { N_RUNS = 9, N_TOKENS = 4, VOCAB_MAX = 96 }; /* weights are packed before the second */

typedef struct place {
  temp_folder folder, cache;
  temp_path model;
} place;

static place place_create(small_model *m) {
  place p = {.folder = temp_folder_create(), .cache = temp_folder_create()};
  p.model = temp_path_of(&p.folder, "small.gguf");
  small_model_write(m, p.model.text);
  return p;
}

static void place_remove(place *p) {
  temp_folder_remove(&p->folder);
  temp_folder_remove(&p->cache);
}

typedef struct engine {
  wh_device *device;
  wh_model *model;
  wh_session *session;
} engine;

static wh_status engine_open(engine *e, const place *p, bool late, const char *isa, const char *cache,
                             const wh_allocator *alloc) {
  wh_device_options d = WH_DEVICE_OPTIONS_INIT;
  wh_model_options m = WH_MODEL_OPTIONS_INIT;
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  *e = (engine){0};
  d.allocator = m.allocator = s.allocator = alloc;
  d.n_threads = alloc ? 1 : 2;
  d.isa = isa;
  s.context = 64;
  s.max_batch = 8;
  s.pack_cache = cache;
  s.pack_while_running = late;
  wh_status st = wh_device_create(&d, &e->device);
  if (st == WH_OK) st = wh_model_open(p->model.text, &m, &e->model);
  if (st == WH_OK) st = wh_session_create(e->model, e->device, &s, &e->session);
  return st;
}

static void engine_close(engine *e) {
  wh_session_destroy(e->session);
  wh_model_destroy(e->model);
  wh_device_destroy(e->device);
}

static wh_status run_step(wh_session *s, int step) {
  int32_t tokens[N_TOKENS];
  wh_batch b = WH_BATCH_INIT;
  for (int i = 0; i < N_TOKENS; i++) tokens[i] = (step * 11 + i * 5 + 1) % SMALL_N_VOCAB;
  b.n_tokens = step == 0 ? N_TOKENS : 1; /* a prompt, then an answer */
  b.tokens = tokens;
  b.n_outputs = 1;
  return wh_session_run(s, &b);
}

static void same_steps(wh_session *a, wh_session *b, size_t n_vocab, const char *what) {
  for (int step = 0; step < N_RUNS; step++) {
    assert_int_equal(run_step(a, step), WH_OK);
    assert_int_equal(run_step(b, step), WH_OK);
    if (memcmp(wh_session_logits(a, 0), wh_session_logits(b, 0), n_vocab * sizeof(float)) != 0)
      fail_msg("%s, step %d: other logits before all is packed", what, step);
  }
}

static const wh_dtype types[] = {WH_DTYPE_Q4_0,  WH_DTYPE_Q8_0, WH_DTYPE_Q4_K, WH_DTYPE_Q6_K,
                                 WH_DTYPE_MXFP4, WH_DTYPE_F16,  WH_DTYPE_BF16, WH_DTYPE_F32};

static void the_same_bits_before_and_after_packing(void **state) {
  (void)state;
  for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
    const bool tied =
        types[t] == WH_DTYPE_Q8_0 || types[t] == WH_DTYPE_F16; /* the table is read from panels, too */
    small_model *m =
        tied ? small_model_create_tied(types[t], 256, VOCAB_MAX) : small_model_create(types[t], 256);
    place p = place_create(m);
    engine first, late;
    wh_session_packing packing = WH_SESSION_PACKING_INIT;
    assert_int_equal(engine_open(&first, &p, false, NULL, NULL, NULL), WH_OK);
    char levels[96];
    wh_device_info info = WH_DEVICE_INFO_INIT;
    assert_int_equal(wh_device_get_info(first.device, &info), WH_OK);
    (void)snprintf(levels, sizeof levels, "%s", info.isa_levels);
    engine_close(&first);
    for (char *rest = levels, *level; (level = strtok_r(rest, " ", &rest));) {
      assert_int_equal(engine_open(&first, &p, false, level, NULL, NULL), WH_OK);
      assert_int_equal(engine_open(&late, &p, true, level, NULL, NULL), WH_OK);
      same_steps(first.session, late.session, tied ? VOCAB_MAX : SMALL_N_VOCAB, level);
      assert_int_equal(wh_session_get_packing(late.session, &packing), WH_OK);
      engine_close(&first);
      engine_close(&late);
    }
    small_model_destroy(m);
    place_remove(&p);
  }
}

static void damage_is_found_by_the_first_run(void **state) {
  (void)state;
  const wh_dtype damaged[] = {WH_DTYPE_Q8_0, WH_DTYPE_F16};
  for (size_t t = 0; t < 2; t++) {
    small_model *m = small_model_create(damaged[t], 256);
    for (size_t i = 0; i < m->n_weights; i++) {
      if (m->weights[i].rank < 2 || strcmp(m->names[i], "token_embd.weight") == 0) continue;
      small_model_damage(m, i, 0, true, SMALL_NAN);
      place p = place_create(m);
      engine e;
      assert_int_equal(engine_open(&e, &p, true, NULL, NULL, NULL), WH_OK); /* nothing has looked at it yet */
      assert_int_equal(run_step(e.session, 0), WH_ERR_CORRUPT);
      assert_non_null(strstr(wh_last_error()->message, m->names[i]));
      engine_close(&e);
      place_remove(&p);
      small_model_damage(m, i, 0, true, SMALL_SOUND);
    }
    small_model_destroy(m);
  }
}

/* What was not packed when the weights are kept is packed then; the next start finds all. */
static void keeping_packs_what_is_left(void **state) {
  (void)state;
  for (int n_before = 0; n_before < 4; n_before++) {
    small_model *m = small_model_create(WH_DTYPE_Q4_0, 256);
    place p = place_create(m);
    engine first, late, kept;
    wh_session_packing packing = WH_SESSION_PACKING_INIT;
    assert_int_equal(engine_open(&first, &p, false, NULL, NULL, NULL), WH_OK);
    assert_int_equal(engine_open(&late, &p, true, NULL, p.cache.path, NULL), WH_OK);
    for (int i = 0; i < n_before; i++) {
      assert_int_equal(run_step(late.session, i), WH_OK);
      assert_int_equal(wh_session_truncate(late.session, 0, 0), WH_OK);
    }
    assert_int_equal(wh_session_keep_packed(late.session), WH_OK);
    assert_int_equal(wh_session_get_packing(late.session, &packing), WH_OK);
    assert_int_equal(packing.stored, 1);
    same_steps(first.session, late.session, SMALL_N_VOCAB, "kept");
    engine_close(&late);
    assert_int_equal(engine_open(&kept, &p, true, NULL, p.cache.path, NULL), WH_OK);
    assert_int_equal(wh_session_get_packing(kept.session, &packing), WH_OK);
    assert_int_equal(packing.n_packed, 0);
    assert_true(packing.n_cached > 0);
    for (uint32_t s = 0; s < 2; s++)
      assert_int_equal(wh_session_truncate(s ? kept.session : first.session, 0, 0), WH_OK);
    same_steps(first.session, kept.session, SMALL_N_VOCAB, "from the cache");
    engine_close(&first);
    engine_close(&kept);
    small_model_destroy(m);
    place_remove(&p);
  }
}

static int end_when_told(void *ctx, const wh_progress *p) {
  const bool *told = ctx;
  return *told && p->stage == WH_STAGE_PACK;
}

/* Ended within packing, keeping can be asked for again: what it writes is whole. */
static void keeping_that_was_ended_keeps_later(void **state) {
  (void)state;
  small_model *m = small_model_create(WH_DTYPE_Q8_0, 256);
  place p = place_create(m);
  engine first, late, kept;
  bool told = false;
  wh_session_packing packing = WH_SESSION_PACKING_INIT;
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  assert_int_equal(engine_open(&first, &p, false, NULL, NULL, NULL), WH_OK);
  late = first;
  s.context = 64;
  s.max_batch = 8;
  s.pack_cache = p.cache.path;
  s.pack_while_running = 1;
  s.progress = end_when_told;
  s.progress_ctx = &told;
  wh_device_options d = WH_DEVICE_OPTIONS_INIT;
  d.n_threads = 2;
  assert_int_equal(wh_device_create(&d, &late.device), WH_OK);
  assert_int_equal(wh_model_open(p.model.text, NULL, &late.model), WH_OK);
  assert_int_equal(wh_session_create(late.model, late.device, &s, &late.session), WH_OK);
  assert_int_equal(run_step(late.session, 0), WH_OK);
  told = true;
  assert_int_equal(wh_session_keep_packed(late.session), WH_ERR_CANCELLED);
  told = false;
  assert_int_equal(wh_session_keep_packed(late.session), WH_OK);
  engine_close(&late);
  assert_int_equal(engine_open(&kept, &p, false, NULL, p.cache.path, NULL), WH_OK);
  assert_int_equal(wh_session_get_packing(kept.session, &packing), WH_OK);
  assert_int_equal(packing.n_packed, 0);
  same_steps(first.session, kept.session, SMALL_N_VOCAB, "kept after an end");
  engine_close(&first);
  engine_close(&kept);
  small_model_destroy(m);
  place_remove(&p);
}

typedef struct user {
  wh_session *session;
  float logits[N_RUNS][SMALL_N_VOCAB];
} user;

static void *use(void *arg) {
  user *u = arg;
  for (int step = 0; step < N_RUNS; step++) {
    if (run_step(u->session, step) != WH_OK) return u;
    memcpy(u->logits[step], wh_session_logits(u->session, 0), sizeof u->logits[step]);
  }
  return NULL;
}

/* Sessions share the weights: one packs what the other reads as the file has it. */
static void sessions_share_what_is_being_packed(void **state) {
  (void)state;
  small_model *m = small_model_create(WH_DTYPE_Q8_0, 256);
  place p = place_create(m);
  engine first, late;
  user users[3] = {{0}}, *alone = &users[2];
  pthread_t threads[2];
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  assert_int_equal(engine_open(&first, &p, false, NULL, NULL, NULL), WH_OK);
  alone->session = first.session;
  assert_null(use(alone));
  assert_int_equal(engine_open(&late, &p, true, NULL, NULL, NULL), WH_OK);
  s.context = 64;
  s.max_batch = 8;
  s.pack_while_running = 1;
  users[0].session = late.session;
  assert_int_equal(wh_session_create(late.model, late.device, &s, &users[1].session), WH_OK);
  for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, use, &users[i]), 0);
  for (int i = 0; i < 2; i++) {
    void *failed = NULL;
    assert_int_equal(pthread_join(threads[i], &failed), 0);
    assert_null(failed);
    assert_memory_equal(users[i].logits, alone->logits, sizeof alone->logits);
  }
  wh_session_destroy(users[1].session);
  engine_close(&first);
  engine_close(&late);
  small_model_destroy(m);
  place_remove(&p);
}

/* Whatever allocation fails, the session ends in a clean error and nothing leaks. */
static void every_allocation_may_fail(void **state) {
  (void)state;
  small_model *m = small_model_create(WH_DTYPE_Q4_0, 64);
  place p = place_create(m);
  wh_status st = WH_ERR_OUT_OF_MEMORY;
  for (size_t at = 1; st != WH_OK; at += 1 + at / 16) {
    failing_allocator a;
    engine e;
    st = engine_open(&e, &p, true, NULL, NULL, failing_allocator_init(&a, at));
    for (int step = 0; step < N_RUNS && st == WH_OK; step++) st = run_step(e.session, step);
    engine_close(&e);
    if (st != WH_OK) assert_int_equal(st, WH_ERR_OUT_OF_MEMORY);
    assert_int_equal(a.n_live, 0);
  }
  small_model_destroy(m);
  place_remove(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_bits_before_and_after_packing),
                                     cmocka_unit_test(damage_is_found_by_the_first_run),
                                     cmocka_unit_test(keeping_packs_what_is_left),
                                     cmocka_unit_test(keeping_that_was_ended_keeps_later),
                                     cmocka_unit_test(sessions_share_what_is_being_packed),
                                     cmocka_unit_test(every_allocation_may_fail)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
