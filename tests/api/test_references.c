/* test_references.c - objects hold what they use: a program may destroy its references in any order, and the
 * last one frees everything. An allocator counts what is live; use after free is what sanitizers see. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/api/small_engine.h"
#include "tests/base/failing_allocator.h"

typedef struct engine {
  temp_folder folder;
  failing_allocator models, devices, sessions;
  wh_model *model;
  wh_device *device;
  wh_session *session;
} engine;

static void open_engine(engine *e) {
  wh_model_options m = WH_MODEL_OPTIONS_INIT;
  wh_device_options d = WH_DEVICE_OPTIONS_INIT;
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  e->folder = temp_folder_create();
  const temp_path path = temp_path_of(&e->folder, "small.gguf");
  small_model *file = small_model_create(WH_DTYPE_Q4_0, 64);
  small_model_write_with_text(file, path.text);
  small_model_destroy(file);
  m.allocator = failing_allocator_init(&e->models, 0);
  d.allocator = failing_allocator_init(&e->devices, 0);
  s.allocator = failing_allocator_init(&e->sessions, 0);
  d.n_threads = 1;
  s.context = 64;
  s.max_batch = 16;
  s.max_outputs = 4;
  assert_int_equal(wh_model_open(path.text, &m, &e->model), WH_OK);
  assert_int_equal(wh_device_create(&d, &e->device), WH_OK);
  assert_int_equal(wh_session_create(e->model, e->device, &s, &e->session), WH_OK);
}

static void close_engine(engine *e) {
  assert_int_equal(e->models.n_live, 0);
  assert_int_equal(e->devices.n_live, 0);
  assert_int_equal(e->sessions.n_live, 0);
  temp_folder_remove(&e->folder);
}

static void run_one(wh_session *session) {
  const int32_t token = 3;
  assert_int_equal(small_engine_run(session, &token, 1), WH_OK);
  assert_non_null(wh_session_logits(session, 0));
}

static void a_session_keeps_its_model_and_device(void **state) {
  (void)state;
  engine e;
  open_engine(&e);
  wh_model_destroy(e.model);
  wh_device_destroy(e.device);
  assert_true(e.models.n_live > 0 && e.devices.n_live > 0);
  run_one(e.session);
  wh_session_destroy(e.session);
  close_engine(&e);
}

static void each_reference_counts(void **state) {
  (void)state;
  engine e;
  open_engine(&e);
  assert_ptr_equal(wh_session_retain(e.session), e.session);
  assert_ptr_equal(wh_model_retain(e.model), e.model);
  assert_ptr_equal(wh_device_retain(e.device), e.device);
  wh_session_destroy(e.session);
  run_one(e.session);
  wh_session_destroy(e.session);
  assert_int_equal(e.sessions.n_live, 0);
  wh_model_info info = WH_MODEL_INFO_INIT;
  wh_model_destroy(e.model);
  assert_int_equal(wh_model_get_info(e.model, &info), WH_OK);
  wh_model_destroy(e.model);
  assert_int_equal(e.models.n_live, 0);
  wh_device_destroy(e.device);
  assert_true(e.devices.n_live > 0);
  wh_device_destroy(e.device);
  close_engine(&e);
}

static void speculators_streams_and_generators_keep_what_they_use(void **state) {
  (void)state;
  static const int32_t tokens[] = {3, 4, 5};
  engine e;
  open_engine(&e);
  wh_speculator *speculator = NULL;
  wh_text_stream *stream = NULL;
  wh_generator *generator = NULL;
  wh_session *draft = NULL;
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  s.allocator = &e.sessions.base;
  s.context = 64;
  assert_int_equal(wh_session_create(e.model, e.device, &s, &draft), WH_OK);
  wh_speculator_options o = WH_SPECULATOR_OPTIONS_INIT;
  o.draft = draft;
  o.max_draft = 3;
  assert_int_equal(wh_speculator_create(e.session, &o, &speculator), WH_OK);
  assert_int_equal(wh_text_stream_create(e.model, NULL, 0, false, &stream), WH_OK);
  assert_int_equal(wh_generator_create(e.model, NULL, &generator), WH_OK);
  wh_model_destroy(e.model);
  wh_device_destroy(e.device);
  wh_session_destroy(e.session);
  wh_session_destroy(draft);
  assert_int_equal(wh_speculator_append(speculator, tokens, 3, true), WH_OK);
  int32_t token = 0;
  const char *text = NULL;
  size_t n = 0;
  bool stopped = false;
  assert_int_equal(wh_generator_sample(generator, wh_speculator_logits(speculator), &token), WH_OK);
  assert_int_equal(wh_speculator_advance(speculator, token, 8), WH_OK);
  wh_speculator_destroy(speculator);
  assert_int_equal(e.sessions.n_live, 0);
  assert_int_equal(wh_text_stream_push(stream, token, &text, &n, &stopped), WH_OK);
  wh_text_stream_destroy(stream);
  wh_generator_destroy(generator);
  close_engine(&e);
}

static void a_session_that_fails_keeps_nothing(void **state) {
  (void)state;
  engine e;
  open_engine(&e);
  wh_session *none = NULL;
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  s.memory_limit = 1;
  s.offload = e.device;
  assert_int_equal(wh_session_create(e.model, e.device, &s, &none), WH_ERR_OUT_OF_MEMORY);
  assert_null(none);
  wh_session_destroy(e.session);
  wh_model_destroy(e.model);
  wh_device_destroy(e.device);
  close_engine(&e);
}

typedef struct saved {
  size_t n;
  char bytes[1024];
} saved;

static int keep_bytes(void *ctx, const void *data, size_t n_bytes) {
  saved *s = ctx;
  if (n_bytes > sizeof s->bytes - s->n) return 1;
  memcpy(s->bytes + s->n, data, n_bytes);
  s->n += n_bytes;
  return 0;
}

static saved save_nothing(wh_session *session) {
  saved s = {0};
  wh_sequence *sequence = NULL;
  assert_int_equal(wh_sequence_create(session, &sequence), WH_OK);
  assert_int_equal(wh_sequence_save_to(sequence, keep_bytes, &s), WH_OK);
  wh_sequence_destroy(sequence);
  return s;
}

/* Pages of states that are shared out by heads are not those of states by layers, wherever all layers are;
 * but they are of the same model. */
static void saved_sequences_know_how_states_are_split(void **state) {
  (void)state;
  engine e;
  open_engine(&e);
  wh_device *other = NULL;
  wh_device_options d = WH_DEVICE_OPTIONS_INIT;
  d.n_threads = 1;
  assert_int_equal(wh_device_create(&d, &other), WH_OK);
  wh_session *by_layers = NULL, *by_heads = NULL;
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  s.offload = other; /* of which it has none */
  assert_int_equal(wh_session_create(e.model, e.device, &s, &by_layers), WH_OK);
  s.offload = NULL;
  s.peers = &other;
  s.n_peers = 1;
  s.split_mode = WH_SPLIT_TENSORS;
  assert_int_equal(wh_session_create(e.model, e.device, &s, &by_heads), WH_OK);
  const saved a = save_nothing(by_layers), b = save_nothing(by_heads), again = save_nothing(by_heads);
  assert_memory_equal(&b, &again, sizeof b);
  assert_memory_not_equal(&a, &b, sizeof a);
  wh_sequence *loaded = NULL;
  assert_int_equal(wh_sequence_load_bytes(by_heads, a.bytes, a.n, &loaded), WH_OK);
  wh_sequence_destroy(loaded);
  wh_session_destroy(by_layers);
  wh_session_destroy(by_heads);
  wh_device_destroy(other);
  wh_session_destroy(e.session);
  wh_model_destroy(e.model);
  wh_device_destroy(e.device);
  close_engine(&e);
}

/* Devices that work together: the session holds all of them, also those that it turns out not to need; lists
 * that make no sense are refused. */
static void a_session_holds_its_peers(void **state) {
  (void)state;
  engine e;
  open_engine(&e);
  wh_session *none = NULL;
  wh_device *others[WH_SESSION_DEVICES] = {NULL};
  wh_device_options d = WH_DEVICE_OPTIONS_INIT;
  d.n_threads = 1;
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  s.n_peers = 1;
  assert_int_equal(wh_session_create(e.model, e.device, &s, &none), WH_ERR_INVALID_ARGUMENT); /* no list */
  s.peers = others;
  assert_int_equal(wh_session_create(e.model, e.device, &s, &none), WH_ERR_INVALID_ARGUMENT); /* NULL in it */
  others[0] = e.device;
  assert_int_equal(wh_session_create(e.model, e.device, &s, &none), WH_ERR_INVALID_ARGUMENT); /* the same */
  s.n_peers = WH_SESSION_DEVICES - 1;
  assert_int_equal(wh_session_create(e.model, e.device, &s, &none), WH_ERR_LIMIT);
  assert_int_equal(wh_device_create(&d, &others[0]), WH_OK);
  s.n_peers = 1;
  s.split_mode = 7;
  assert_int_equal(wh_session_create(e.model, e.device, &s, &none), WH_ERR_INVALID_ARGUMENT);
  s.split_mode = WH_SPLIT_TENSORS;
  s.offload = e.device;
  assert_int_equal(wh_session_create(e.model, e.device, &s, &none), WH_ERR_UNSUPPORTED);
  assert_null(none);
  s.offload = NULL;
  wh_session *sessions[2] = {NULL};
  for (uint32_t mode = 0; mode < 2; mode++) {
    s.split_mode = mode;
    assert_int_equal(wh_session_create(e.model, e.device, &s, &sessions[mode]), WH_OK);
  }
  wh_device_destroy(others[0]);
  for (uint32_t mode = 0; mode < 2; mode++) {
    const int32_t token = 1;
    wh_batch batch = WH_BATCH_INIT;
    batch.n_tokens = batch.n_outputs = 1;
    batch.tokens = &token;
    assert_int_equal(wh_session_run(sessions[mode], &batch), WH_OK);
  }
  assert_memory_equal(wh_session_logits(sessions[0], 0), wh_session_logits(sessions[1], 0),
                      8 * sizeof(float));
  wh_session_destroy(sessions[0]);
  wh_session_destroy(sessions[1]);
  wh_session_destroy(e.session);
  wh_model_destroy(e.model);
  wh_device_destroy(e.device);
  close_engine(&e);
}

/* A text outlives the object that made it; its allocator does not count as one. */
static void texts_are_nobodys_but_their_owners(void **state) {
  (void)state;
  engine e;
  open_engine(&e);
  char *graph = NULL, *plan = NULL;
  assert_int_equal(wh_model_graph_text(e.model, true, &graph), WH_OK);
  assert_int_equal(wh_session_plan_text(e.session, &plan), WH_OK);
  wh_session_destroy(e.session);
  wh_model_destroy(e.model);
  wh_device_destroy(e.device);
  assert_int_equal(e.models.n_live, 1);
  assert_int_equal(e.sessions.n_live, 1);
  assert_non_null(strstr(graph, "output \"logits\""));
  assert_true(strlen(plan) > 100);
  wh_string_destroy(graph);
  wh_string_destroy(plan);
  close_engine(&e);
}

#define N_THREADS 4
#define N_TURNS 2000

static void *take_and_give(void *arg) {
  engine *e = arg;
  for (int i = 0; i < N_TURNS; i++) {
    wh_model *model = wh_model_retain(e->model);
    wh_device *device = wh_device_retain(e->device);
    wh_session_destroy(wh_session_retain(e->session));
    wh_device_destroy(device);
    wh_model_destroy(model);
  }
  wh_model_destroy(e->model); /* one of those that were taken for the threads */
  return NULL;
}

static void threads_may_take_and_give(void **state) {
  (void)state;
  engine e;
  pthread_t threads[N_THREADS];
  open_engine(&e);
  for (int i = 0; i < N_THREADS; i++) (void)wh_model_retain(e.model);
  for (int i = 0; i < N_THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &e), 0);
  for (int i = 0; i < N_THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  run_one(e.session);
  wh_session_destroy(e.session);
  wh_device_destroy(e.device);
  assert_true(e.models.n_live > 0);
  wh_model_destroy(e.model);
  close_engine(&e);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_session_keeps_its_model_and_device),
      cmocka_unit_test(each_reference_counts),
      cmocka_unit_test(speculators_streams_and_generators_keep_what_they_use),
      cmocka_unit_test(a_session_that_fails_keeps_nothing),
      cmocka_unit_test(a_session_holds_its_peers),
      cmocka_unit_test(saved_sequences_know_how_states_are_split),
      cmocka_unit_test(texts_are_nobodys_but_their_owners),
      cmocka_unit_test(threads_may_take_and_give),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
