/* test_faults.c - the public API when memory runs out at every possible place, and when a weight is not a
 * number. */
#define _GNU_SOURCE
#include <malloc.h>
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

static void assert_says(const char *part) {
  if (!strstr(wh_last_error()->message, part))
    fail_msg("the error '%s' does not say '%s'", wh_last_error()->message, part);
}

typedef struct engine {
  wh_device *device;
  wh_model *model;
  wh_session *session;
} engine;

static wh_status open_engine(engine *e, const char *path, const wh_allocator *alloc) {
  wh_device_options d = WH_DEVICE_OPTIONS_INIT;
  wh_model_options m = WH_MODEL_OPTIONS_INIT;
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  d.allocator = m.allocator = s.allocator = alloc;
  d.n_threads = 1; /* the test's allocator counts without locks */
  s.context = 32;
  s.max_batch = 8;
  s.max_outputs = 2;
  s.max_sequences = 2;
  wh_status st = wh_device_create(&d, &e->device);
  if (st == WH_OK) st = wh_model_open(path, &m, &e->model);
  if (st == WH_OK) st = wh_session_create(e->model, e->device, &s, &e->session);
  return st;
}

static void close_engine(engine *e) {
  wh_session_destroy(e->session);
  wh_model_destroy(e->model);
  wh_device_destroy(e->device);
  *e = (engine){0};
}

static wh_status run_tokens(wh_session *s, const int32_t *tokens, uint32_t n) {
  wh_batch b = WH_BATCH_INIT;
  b.n_tokens = n;
  b.tokens = tokens;
  b.n_outputs = 1;
  return wh_session_run(s, &b);
}

/* Texts that are made on request. */
static wh_status ask_for_texts(const engine *e) {
  char *text = NULL;
  wh_status st = WH_OK;
  for (int optimised = 0; optimised < 2 && st == WH_OK; optimised++) {
    st = wh_model_graph_text(e->model, optimised, &text);
    if (st == WH_OK) wh_string_destroy(text);
  }
  if (st == WH_OK) st = wh_session_plan_text(e->session, &text);
  if (st == WH_OK) wh_string_destroy(text);
  return st;
}

static int ignore_trace(void *ctx, const wh_trace_event *event) {
  *(size_t *)ctx += event->n_bytes;
  return 0;
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  static const struct {
    wh_dtype dtype;
    int64_t width;
    small_model *(*create)(wh_dtype dtype, int64_t width);
  } models[] = {{WH_DTYPE_Q4_0, 64, small_model_create},
                {WH_DTYPE_F16, 64, small_model_create},
                {WH_DTYPE_Q4_K, 256, small_model_create},
                {WH_DTYPE_Q4_0, 64, small_model_create_experts},
                {WH_DTYPE_F16, 64, small_model_create_experts}};
  static const int32_t tokens[5] = {1, 7, 3, 0, SMALL_N_VOCAB - 1};
  temp_folder folder = temp_folder_create();
  temp_path path = temp_path_of(&folder, "small.gguf");
  for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
    small_model *m = models[i].create(models[i].dtype, models[i].width);
    small_model_write(m, path.text);
    small_model_destroy(m);
    engine e = {0};
    float want[SMALL_N_VOCAB];
    assert_int_equal(open_engine(&e, path.text, NULL), WH_OK);
    assert_int_equal(run_tokens(e.session, tokens, 5), WH_OK);
    memcpy(want, wh_session_logits(e.session, 0), sizeof want);
    close_engine(&e);
    wh_status st = WH_ERR_OUT_OF_MEMORY;
    size_t fail_at = 0;
    while (st != WH_OK) {
      failing_allocator a;
      st = open_engine(&e, path.text, failing_allocator_init(&a, ++fail_at));
      if (st == WH_OK) {
        size_t n = 0, requests = 0, traced = 0, heap = 0;
        a.fail_at = 0; /* what could still fail is asked for below */
        for (int round = 0; round < 3;
             round++) { /* all at once, token by token, traced: running allocates nothing */
          if (round == 2) wh_session_set_trace(e.session, ignore_trace, &traced);
          for (uint32_t at = 0, step = round == 1 ? 1 : 5; at < 5; at += step)
            assert_int_equal(run_tokens(e.session, tokens + at, step), WH_OK);
          assert_memory_equal(wh_session_logits(e.session, 0), want, sizeof want);
          assert_int_equal(wh_session_truncate(e.session, 0, 0), WH_OK);
          if (round == 0) n = a.n_requests; /* a device keeps what it made of the program at the first run */
          if (round == 0)
            heap = mallinfo2().uordblks; /* after the first run: the thread library has its own */
          if (round < 2) requests = a.n_requests;
          if (round < 2) /* nothing past the allocator, either; tracing wants a copy of what it shows */
            assert_int_equal(mallinfo2().uordblks, heap);
        }
        assert_int_equal(run_tokens(e.session, (const int32_t[]){SMALL_N_VOCAB}, 1), WH_ERR_INVALID_ARGUMENT);
        assert_true(traced > 0);
        assert_int_equal(requests, n);
        wh_status texts = WH_ERR_OUT_OF_MEMORY;
        for (size_t k = 1; texts != WH_OK; k++) {
          a.fail_at = a.n_requests + k;
          size_t live = a.n_live;
          texts = ask_for_texts(&e);
          if (texts != WH_OK) assert_int_equal(texts, WH_ERR_OUT_OF_MEMORY);
          assert_int_equal(a.n_live, live);
        }
      } else {
        assert_int_equal(st, WH_ERR_OUT_OF_MEMORY);
        assert_says("out of memory");
        assert_null(e.session);
      }
      close_engine(&e);
      assert_int_equal(a.n_live, 0);
    }
    assert_true(fail_at > 50);
    assert_int_equal(temp_folder_traces(&folder), 0);
  }
  temp_folder_remove(&folder);
}

/* Opens, creates a session and runs; a sound model gives WH_OK. */
static wh_status use_model(const char *path, int32_t token) {
  engine e = {0};
  wh_status st = open_engine(&e, path, NULL);
  if (st == WH_OK) st = run_tokens(e.session, &token, 1);
  close_engine(&e);
  return st;
}

static void every_weight_may_be_no_number(void **state) {
  (void)state;
  static const wh_dtype types[] = {WH_DTYPE_F32,  WH_DTYPE_F16,    WH_DTYPE_BF16,   WH_DTYPE_Q4_0,
                                   WH_DTYPE_Q4_1, WH_DTYPE_Q5_0,   WH_DTYPE_Q5_1,   WH_DTYPE_Q8_0,
                                   WH_DTYPE_Q2_K, WH_DTYPE_Q3_K,   WH_DTYPE_Q4_K,   WH_DTYPE_Q5_K,
                                   WH_DTYPE_Q6_K, WH_DTYPE_IQ4_NL, WH_DTYPE_IQ4_XS, WH_DTYPE_MXFP4};
  temp_folder folder = temp_folder_create();
  temp_path path = temp_path_of(&folder, "damaged.gguf");
  unsigned turn = 0;
  const size_t n_types = sizeof types / sizeof types[0];
  for (size_t k = 0; k < 2 * n_types; k++) {
    const size_t t = k % n_types;
    if (k >= n_types && t % 4 != 0) continue; /* with experts: every fourth type */
    small_model *m =
        k < n_types ? small_model_create(types[t], 256) : small_model_create_experts(types[t], 256);
    small_model_write(m, path.text);
    if (use_model(path.text, 5) != WH_OK)
      fail_msg("%s: %s", wh_dtype_name(types[t]), wh_last_error()->message);
    for (size_t i = 0; i < m->n_weights; i++)
      for (size_t field = 0; field < small_model_n_fields(m, i); field++)
        for (int last = 0; last < 2; last++) {
          char tensor[128];
          small_model_damage(m, i, field, last, (small_damage)(SMALL_NAN + turn++ % 3));
          small_model_write(m, path.text);
          wh_status st = use_model(path.text, last ? SMALL_N_VOCAB - 1 : 0);
          (void)snprintf(tensor, sizeof tensor, "tensor '%s' holds a NaN or infinite value", m->names[i]);
          if (st != WH_ERR_CORRUPT)
            fail_msg("%s as %s, field %zu: %s", m->names[i], wh_dtype_name(types[t]), field,
                     wh_status_name(st));
          assert_says(tensor);
          assert_says(path.text);
          small_model_damage(m, i, field, last, SMALL_SOUND);
        }
    small_model_destroy(m);
  }
  temp_folder_remove(&folder);
}

/* A session says what it lacks before it takes any of it, whoever set the limit. */
static void more_than_there_is_is_refused(void **state) {
  (void)state;
  temp_folder folder = temp_folder_create();
  temp_path path = temp_path_of(&folder, "small.gguf");
  small_model_put(path.text, WH_DTYPE_Q4_0, 64);
  failing_allocator a;
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  engine e = {0};
  s.context = 32;
  s.allocator = failing_allocator_init(&a, 0);
  assert_int_equal(wh_device_create(NULL, &e.device), WH_OK);
  assert_int_equal(wh_model_open(path.text, NULL, &e.model), WH_OK);
  s.memory_limit = 1 << 20;
  assert_int_equal(wh_session_create(e.model, e.device, &s, &e.session), WH_ERR_OUT_OF_MEMORY);
  assert_null(e.session);
  assert_int_equal(a.n_live, 0);
  assert_says("of memory are needed");
  assert_says("1.0 MiB are left by the limit that was set");
  static const uint64_t enough[] = {0, 64 << 20, UINT64_MAX};
  for (size_t i = 0; i < sizeof enough / sizeof enough[0]; i++) {
    s.memory_limit = enough[i];
    assert_int_equal(wh_session_create(e.model, e.device, &s, &e.session), WH_OK);
    wh_session_destroy(e.session);
    e.session = NULL;
  }
  s.context = 1 << 20; /* more than any limit here, and the message is about this machine's */
  s.max_sequences = 64;
  s.memory_limit = 0;
  wh_status st = wh_session_create(e.model, e.device, &s, &e.session);
  if (st == WH_ERR_OUT_OF_MEMORY) assert_says("a smaller context needs less");
  close_engine(&e);
  temp_folder_remove(&folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_allocation_may_fail),
      cmocka_unit_test(every_weight_may_be_no_number),
      cmocka_unit_test(more_than_there_is_is_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
