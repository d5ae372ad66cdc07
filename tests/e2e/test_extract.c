/* test_extract.c - a node by itself: its folder gives the bits that the run had; memory that runs out at
 * every possible place, there and while it is found out how many layers fit, is an error that leaves nothing.
 */
#define _GNU_SOURCE
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

static const int32_t tokens[5] = {1, 7, 3, 0, SMALL_N_VOCAB - 1};

/* What a node put out, as a trace saw it last. */
typedef struct seen {
  const char *node;
  char hash[33];
} seen;

static int watch(void *ctx, const wh_trace_event *e) {
  seen *s = ctx;
  if (strcmp(e->node, s->node) == 0) wh_hash_text(e->data, e->n_bytes, s->hash);
  return 0;
}

typedef struct engine {
  wh_device *device, *offload;
  wh_model *model;
  wh_session *session;
} engine;

static wh_status open_engine(engine *e, const char *path, const wh_allocator *alloc) {
  wh_device_options d = WH_DEVICE_OPTIONS_INIT;
  wh_model_options m = WH_MODEL_OPTIONS_INIT;
  wh_session_options s = WH_SESSION_OPTIONS_INIT;
  d.allocator = m.allocator = s.allocator = alloc;
  d.n_threads = 1;
  s.context = 128;
  s.max_batch = 8;
  wh_status st = wh_device_create(&d, &e->device);
  if (st == WH_OK) st = wh_device_create(&d, &e->offload);
  if (st == WH_OK) st = wh_model_open(path, &m, &e->model);
  s.offload = e->offload;
  s.offload_layers = WH_LAYERS_AUTO;
  return st == WH_OK ? wh_session_create(e->model, e->device, &s, &e->session) : st;
}

static void close_engine(engine *e) {
  wh_session_destroy(e->session);
  wh_model_destroy(e->model);
  wh_device_destroy(e->offload);
  wh_device_destroy(e->device);
  *e = (engine){0};
}

static wh_status run_tokens(wh_session *s, uint32_t begin, uint32_t end) {
  wh_batch b = WH_BATCH_INIT;
  b.n_tokens = end - begin;
  b.tokens = tokens + begin;
  b.n_outputs = 1;
  return wh_session_run(s, &b);
}

/* Two runs, of which the second one gives the node. */
static wh_status extract(const char *path, seen *s, const char *folder, const wh_allocator *alloc) {
  engine e = {0};
  wh_status st = open_engine(&e, path, alloc);
  if (st == WH_OK) st = run_tokens(e.session, 0, 3);
  if (st == WH_OK) st = wh_session_extract(e.session, s->node, folder);
  if (st == WH_OK) {
    wh_session_set_trace(e.session, watch, s);
    st = run_tokens(e.session, 3, 5);
  }
  close_engine(&e);
  return st;
}

static wh_status set_inputs(const wh_model *model, wh_runner *runner, const char *folder) {
  wh_graph_info g = WH_GRAPH_INFO_INIT;
  wh_status st = wh_model_get_graph_info(model, &g);
  for (uint32_t i = 0; i < g.n_inputs && st == WH_OK; i++) {
    wh_port_info p = WH_PORT_INFO_INIT;
    wh_npy_file *file = NULL;
    char path[512];
    st = wh_model_get_input(model, i, &p);
    (void)snprintf(path, sizeof path, "%s/%s.npy", folder, p.name ? p.name : "");
    if (st == WH_OK) st = wh_npy_load(path, NULL, &file);
    if (st == WH_OK) st = wh_runner_set_input_at(runner, i, wh_npy_tensor(file));
    wh_npy_destroy(file);
  }
  return st;
}

static wh_status replay(const char *folder, seen *s, const wh_allocator *alloc) {
  wh_device_options d = WH_DEVICE_OPTIONS_INIT;
  wh_model_options m = WH_MODEL_OPTIONS_INIT;
  wh_runner_options o = WH_RUNNER_OPTIONS_INIT;
  wh_device *device = NULL;
  wh_model *model = NULL;
  wh_runner *runner = NULL;
  d.allocator = m.allocator = o.allocator = alloc;
  d.n_threads = 1;
  wh_status st = wh_device_create(&d, &device);
  if (st == WH_OK) st = wh_model_open_folder(folder, &m, &model);
  if (st == WH_OK) st = wh_runner_create(model, device, &o, &runner);
  if (st == WH_OK) st = set_inputs(model, runner, folder);
  wh_runner_set_trace(runner, watch, s);
  if (st == WH_OK) st = wh_runner_run(runner);
  wh_runner_destroy(runner);
  wh_model_destroy(model);
  wh_device_destroy(device);
  return st;
}

/* Calls it with every allocation failing once. */
#define WITH_EVERY_ALLOCATION(call)                                                              \
  do {                                                                                           \
    wh_status st_ = WH_ERR_OUT_OF_MEMORY;                                                        \
    for (size_t n_ = 1; st_ != WH_OK; n_++) {                                                    \
      failing_allocator counts;                                                                  \
      const wh_allocator *alloc = failing_allocator_init(&counts, n_);                           \
      st_ = (call);                                                                              \
      if (st_ != WH_OK && st_ != WH_ERR_OUT_OF_MEMORY)                                           \
        fail_msg("%s, allocation %zu: '%s'", #call, n_, wh_last_error()->message);               \
      if (counts.n_live) fail_msg("%s, allocation %zu: %zu are left", #call, n_, counts.n_live); \
      if (st_ == WH_OK && counts.n_requests >= n_) fail_msg("%s: allocation %zu", #call, n_);    \
    }                                                                                            \
  } while (0)

static void nodes_by_themselves(void **state) {
  (void)state;
  static const struct {
    wh_dtype dtype;
    const char *node;
  } cases[] = {{WH_DTYPE_F32, "blk.1.attn"},     {WH_DTYPE_F32, "blk.0.ffn_norm"},
               {WH_DTYPE_F32, "token_embd"},     {WH_DTYPE_Q4_0, "blk.1.attn_q"},
               {WH_DTYPE_Q4_0, "output"},        {WH_DTYPE_F16, "blk.0.ffn_residual"},
               {WH_DTYPE_Q8_0, "blk.1.ffn_gate"}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    temp_folder folder = temp_folder_create();
    temp_path path = temp_path_of(&folder, "small.gguf");
    small_model_put(path.text, cases[i].dtype, 64);
    seen run = {.node = cases[i].node}, again = run;
    if (extract(path.text, &run, folder.path, NULL) != WH_OK)
      fail_msg("%s: %s", cases[i].node, wh_last_error()->message);
    if (replay(folder.path, &again, NULL) != WH_OK)
      fail_msg("%s again: %s", cases[i].node, wh_last_error()->message);
    assert_int_equal(strlen(run.hash), 32);
    assert_string_equal(run.hash, again.hash);
    temp_folder_remove(&folder);
  }
}

static void what_is_not_there(void **state) {
  (void)state;
  temp_folder folder = temp_folder_create();
  temp_path path = temp_path_of(&folder, "small.gguf");
  small_model_put(path.text, WH_DTYPE_F32, 64);
  seen s = {.node = "blk.7.attn_q"};
  assert_int_equal(extract(path.text, &s, folder.path, NULL), WH_ERR_NOT_FOUND);
  s.node = "blk.0.attn";
  assert_int_equal(extract(path.text, &s, "/nowhere", NULL), WH_ERR_IO);
  temp_folder_remove(&folder);
}

static void every_allocation_may_fail(void **state) {
  (void)state;
  temp_folder folder = temp_folder_create();
  temp_path path = temp_path_of(&folder, "small.gguf");
  small_model_put(path.text, WH_DTYPE_Q4_0, 64);
  static const char *const nodes[] = {"blk.1.attn", "blk.0.ffn_gate"};
  for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
    seen s = {.node = nodes[i]};
    WITH_EVERY_ALLOCATION(extract(path.text, &s, folder.path, alloc));
    WITH_EVERY_ALLOCATION(replay(folder.path, &s, alloc));
  }
  temp_folder_remove(&folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(nodes_by_themselves),
      cmocka_unit_test(what_is_not_there),
      cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests_name("extract", tests, NULL, NULL);
}
