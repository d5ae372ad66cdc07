/* test_runner.c - graphs as tensors in and out: a graph given as text against values computed here, on the
 * CPU and on a device whose memory the host cannot address; a language model's graph against its session;
 * what is refused, and with which words. */
#define _GNU_SOURCE
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/api/small_engine.h"
#include "tests/base/failing_allocator.h"

#define N_IN 8
#define N_OUT 3

static const char linear_text[] =
    "graph \"head\" {\n"
    "  symbol rows 1..64\n"
    "  %1 = input \"x\" f32[rows, 8]\n"
    "  %2 = const \"w\" f32[3, 8]\n"
    "  %3 = const \"b\" f32[3]\n"
    "  %4 = linear(%1, %2, %3) \"product\" : f32[rows, 3]\n"
    "  %5 = softmax(%4) \"chances\" : f32[rows, 3]\n"
    "  output \"scores\" %4\n"
    "  output \"chances\" %5\n"
    "}\n";

static float weights[N_OUT * N_IN], bias[N_OUT] = {0.5f, -1.0f, 0.25f};

static wh_tensor tensor(wh_dtype dtype, int rank, int64_t a, int64_t b, const void *data, size_t n_bytes) {
  wh_tensor t = WH_TENSOR_INIT;
  t.dtype = dtype;
  t.rank = rank;
  t.dims[0] = a;
  t.dims[1] = b;
  t.data = data;
  t.n_bytes = n_bytes;
  return t;
}

static wh_model *open_head(void) {
  for (int i = 0; i < N_OUT * N_IN; i++) weights[i] = (float)((i * 7) % 11 - 5) / 8;
  const wh_tensor w = tensor(WH_DTYPE_F32, 2, N_OUT, N_IN, weights, sizeof weights),
                  b = tensor(WH_DTYPE_F32, 1, N_OUT, 0, bias, sizeof bias);
  const wh_constant constants[] = {{"b", &b}, {"w", &w}};
  wh_model *m = NULL;
  if (wh_model_parse(linear_text, strlen(linear_text), constants, 2, NULL, &m) != WH_OK)
    fail_msg("%s", wh_last_error()->message);
  return m;
}

static wh_device *open_device(const char *name) {
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  wh_device *d = NULL;
  o.name = name;
  o.n_threads = 1;
  o.backend_folder = WH_BACKEND_FOLDER;
  if (wh_device_create(&o, &d) != WH_OK) fail_msg("%s: %s", name, wh_last_error()->message);
  return d;
}

static void assert_fails(wh_status st, wh_status want, const char *words) {
  const char *message = wh_last_error()->message;
  if (st != want || !strstr(message, words))
    fail_msg("%s: \"%s\"; not \"%s\"", wh_status_name(st), message, words);
}

static void check_rows(const wh_runner *r, const float *x, int64_t rows) {
  wh_tensor scores = WH_TENSOR_INIT, chances = WH_TENSOR_INIT;
  assert_int_equal(wh_runner_get_output(r, "scores", &scores), WH_OK);
  assert_int_equal(wh_runner_get_output_at(r, 1, &chances), WH_OK);
  assert_int_equal(scores.dtype, WH_DTYPE_F32);
  assert_int_equal(scores.rank, 2);
  assert_int_equal(scores.dims[0], rows);
  assert_int_equal(scores.dims[1], N_OUT);
  assert_int_equal(scores.n_bytes, (size_t)rows * N_OUT * sizeof(float));
  const float *y = scores.data, *p = chances.data;
  for (int64_t r_ = 0; r_ < rows; r_++) {
    double want[N_OUT], sum = 0;
    for (int o = 0; o < N_OUT; o++) {
      want[o] = bias[o];
      for (int i = 0; i < N_IN; i++) want[o] += (double)x[r_ * N_IN + i] * weights[o * N_IN + i];
      assert_true(fabs(y[r_ * N_OUT + o] - want[o]) < 1e-5);
      sum += exp(want[o]);
    }
    for (int o = 0; o < N_OUT; o++) assert_true(fabs(p[r_ * N_OUT + o] - exp(want[o]) / sum) < 1e-5);
  }
}

/* What the runner says of its one program. */
static void check_program(const wh_runner *r, const char *device) {
  wh_program_info p = WH_PROGRAM_INFO_INIT;
  wh_instruction_info in = WH_INSTRUCTION_INFO_INIT;
  wh_host_node_info host = WH_HOST_NODE_INFO_INIT;
  char *text = NULL;
  bool has_softmax = false;
  assert_int_equal(wh_runner_get_program(r, 0, &p), WH_OK);
  assert_true(p.n_instructions > 1 && p.activations >= p.activations_lower_bound && p.packed_weights > 0);
  for (uint32_t i = 0; i < p.n_instructions; i++) {
    assert_int_equal(wh_runner_get_instruction(r, 0, i, &in), WH_OK);
    assert_string_equal(in.device, device);
    assert_true(in.kernel && in.reason && in.node);
    has_softmax = has_softmax || strcmp(in.op, "softmax") == 0;
  }
  assert_true(has_softmax);
  assert_int_equal(wh_runner_graph_text(r, 0, &text), WH_OK);
  assert_non_null(strstr(text, "softmax("));
  wh_string_destroy(text);
  assert_int_equal(wh_runner_plan_text(r, 0, &text), WH_OK);
  assert_non_null(strstr(text, "arena+"));
  wh_string_destroy(text);
  assert_fails(wh_runner_get_instruction(r, 0, p.n_instructions, &in), WH_ERR_NOT_FOUND, "no instruction");
  assert_fails(wh_runner_get_program(r, 1, &p), WH_ERR_NOT_FOUND, "no program 1");
  assert_fails(wh_runner_plan_text(r, 1, &text), WH_ERR_NOT_FOUND, "no program 1");
  assert_fails(wh_runner_get_host_node(r, 0, &host), WH_ERR_NOT_FOUND, "no node 0");
}

/* Rows vary from run to run, beyond what the first one had memory for. */
static void a_graph_of_text_computes(void **state) {
  (void)state;
  static const char *const names[] = {"cpu", "host2"};
  static float x[64 * N_IN];
  for (int i = 0; i < 64 * N_IN; i++) x[i] = (float)((i * 5) % 17 - 8) / 4;
  for (size_t d = 0; d < 2; d++) {
    wh_device *device = open_device(names[d]);
    wh_model *model = open_head();
    wh_runner *runner = NULL;
    assert_int_equal(wh_runner_create(model, device, NULL, &runner), WH_OK);
    wh_model_destroy(model); /* the runner holds it */
    wh_device_destroy(device);
    static const int64_t rows[] = {1, 5, 2, 64, 63, 1};
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++) {
      const wh_tensor t = tensor(WH_DTYPE_F32, 2, rows[k], N_IN, x, (size_t)rows[k] * N_IN * sizeof(float));
      assert_int_equal(wh_runner_set_input(runner, "x", &t), WH_OK);
      if (wh_runner_run(runner) != WH_OK) fail_msg("%s", wh_last_error()->message);
      check_rows(runner, x, rows[k]);
      assert_int_equal(wh_runner_run(runner), WH_OK); /* the input stays */
      check_rows(runner, x, rows[k]);
    }
    check_program(runner, names[d]);
    wh_runner_destroy(wh_runner_retain(runner));
    wh_runner_destroy(runner);
  }
}

static void a_model_says_what_it_takes(void **state) {
  (void)state;
  wh_model *model = open_head();
  wh_graph_info g = WH_GRAPH_INFO_INIT;
  wh_port_info p = WH_PORT_INFO_INIT;
  wh_symbol_info s = WH_SYMBOL_INFO_INIT;
  assert_int_equal(wh_model_get_graph_info(model, &g), WH_OK);
  assert_int_equal(g.n_inputs, 1);
  assert_int_equal(g.n_outputs, 2);
  assert_int_equal(g.n_symbols, 1);
  assert_int_equal(wh_model_get_input(model, 0, &p), WH_OK);
  assert_string_equal(p.name, "x");
  assert_string_equal(p.text, "f32[rows, 8]");
  assert_int_equal(p.rank, 2);
  assert_string_equal(p.dims[0].text, "rows");
  assert_int_equal(p.dims[0].min, 1);
  assert_int_equal(p.dims[0].max, 64);
  assert_int_equal(p.dims[1].min, 8);
  assert_int_equal(wh_model_get_output(model, 1, &p), WH_OK);
  assert_string_equal(p.name, "chances");
  assert_int_equal(wh_model_get_symbol(model, 0, &s), WH_OK);
  assert_string_equal(s.name, "rows");
  assert_int_equal(s.needs_bound, 0);
  assert_int_equal(wh_model_get_input(model, 1, &p), WH_ERR_NOT_FOUND);
  assert_int_equal(wh_model_get_output(model, 2, &p), WH_ERR_NOT_FOUND);
  assert_int_equal(wh_model_get_symbol(model, 1, &s), WH_ERR_NOT_FOUND);
  wh_model_info info = WH_MODEL_INFO_INIT;
  assert_int_equal(wh_model_get_info(model, &info), WH_OK);
  assert_string_equal(info.name, "head");
  assert_int_equal(info.n_parameters, N_OUT * N_IN + N_OUT);
  wh_weight_info w = WH_WEIGHT_INFO_INIT;
  assert_int_equal(wh_model_n_weights(model), 2);
  assert_int_equal(wh_model_get_weight(model, 0, &w), WH_OK);
  assert_string_equal(w.name, "w");
  assert_int_equal(wh_model_get_weight(model, 2, &w), WH_ERR_NOT_FOUND);
  char *text = NULL;
  assert_int_equal(wh_model_graph_text(model, false, &text), WH_OK);
  assert_string_equal(text, linear_text);
  wh_string_destroy(text);
  wh_model_destroy(model);
}

/* What asks for a file, a vocabulary or tokens has nothing to ask. */
static void a_graph_is_no_language_model(void **state) {
  (void)state;
  wh_model *model = open_head();
  wh_device *device = open_device("cpu");
  wh_session *session = NULL;
  wh_generator *generator = NULL;
  int32_t ids[4];
  size_t n = 0;
  char *text = NULL, hash[33], key[8], value[8];
  assert_fails(wh_session_create(model, device, NULL, &session), WH_ERR_UNSUPPORTED, "no language model");
  assert_fails(wh_model_tokenize(model, "a", 1, 0, ids, 4, &n), WH_ERR_UNSUPPORTED, "no language model");
  assert_fails(wh_model_render_chat(model, "[]", NULL, &text, &n), WH_ERR_UNSUPPORTED, "no language model");
  assert_fails(wh_generator_create(model, NULL, &generator), WH_ERR_UNSUPPORTED, "no language model");
  assert_fails(wh_model_check_same_vocabulary(model, model), WH_ERR_UNSUPPORTED, "no language model");
  assert_int_equal(wh_model_n_metadata(model), 0);
  assert_int_equal(wh_model_get_metadata(model, 0, key, sizeof key, value, sizeof value), WH_ERR_NOT_FOUND);
  assert_int_equal(wh_model_graph_hash(model, hash), WH_OK);
  assert_int_equal(wh_model_weight_hash(model, 1, hash), WH_OK);
  assert_true(!session && !generator && !text);
  wh_device_destroy(device);
  wh_model_destroy(model);
}

static void wrong_tensors_are_refused_by_name(void **state) {
  (void)state;
  static float x[65 * N_IN];
  wh_model *model = open_head();
  wh_device *device = open_device("cpu");
  wh_runner *runner = NULL;
  wh_tensor out = WH_TENSOR_INIT;
  wh_bound bound = {"rows", 4};
  wh_runner_options o = WH_RUNNER_OPTIONS_INIT;
  o.bounds = &bound;
  o.n_bounds = 1;
  assert_int_equal(wh_runner_create(model, device, &o, &runner), WH_OK);
  assert_fails(wh_runner_run(runner), WH_ERR_INVALID_ARGUMENT, "'x', f32[rows, 8], was never set");
  assert_fails(wh_runner_get_output(runner, "scores", &out), WH_ERR_NOT_FOUND, "'scores'");
  wh_tensor t = tensor(WH_DTYPE_F32, 2, 2, N_IN, x, 2 * N_IN * sizeof *x);
  assert_fails(wh_runner_set_input(runner, "y", &t), WH_ERR_NOT_FOUND, "it has x");
  assert_fails(wh_runner_set_input_at(runner, 1, &t), WH_ERR_NOT_FOUND, "no input 1");
  t.n_bytes--;
  assert_fails(wh_runner_set_input(runner, "x", &t), WH_ERR_INVALID_ARGUMENT, "takes 64 bytes, and has 63");
  t = tensor(WH_DTYPE_F32, 2, 2, 7, x, 56);
  assert_fails(wh_runner_set_input(runner, "x", &t), WH_ERR_INVALID_ARGUMENT,
               "'x' is f32[2, 7]; the graph wants f32[rows, 8]");
  t = tensor(WH_DTYPE_I32, 2, 2, 8, x, 64);
  assert_fails(wh_runner_set_input(runner, "x", &t), WH_ERR_INVALID_ARGUMENT, "'x' is i32[2, 8]");
  t = tensor(WH_DTYPE_F32, 1, 8, 0, x, 32);
  assert_fails(wh_runner_set_input(runner, "x", &t), WH_ERR_INVALID_ARGUMENT, "'x' is f32[8]");
  t = tensor(WH_DTYPE_F32, 2, -1, 8, x, 32);
  assert_fails(wh_runner_set_input(runner, "x", &t), WH_ERR_INVALID_ARGUMENT, "negative");
  t = tensor(WH_DTYPE_F32, 9, 2, 8, x, 64);
  assert_fails(wh_runner_set_input(runner, "x", &t), WH_ERR_INVALID_ARGUMENT, "rank of 9");
  t = tensor((wh_dtype)1000, 2, 2, 8, x, 64);
  assert_fails(wh_runner_set_input(runner, "x", &t), WH_ERR_INVALID_ARGUMENT, "no dtype");
  t = tensor(WH_DTYPE_F32, 2, 2, 8, NULL, 64);
  assert_fails(wh_runner_set_input(runner, "x", &t), WH_ERR_INVALID_ARGUMENT, "NULL");
  t = tensor(WH_DTYPE_F32, 2, INT64_MAX, 8, x, 64);
  assert_fails(wh_runner_set_input(runner, "x", &t), WH_ERR_INVALID_ARGUMENT, "no number of bytes");
  t = tensor(WH_DTYPE_F32, 2, 5, 8, x, 160);
  assert_fails(wh_runner_set_input(runner, "x", &t), WH_ERR_LIMIT, "'rows' is at most 4");
  assert_fails(wh_runner_run(runner), WH_ERR_INVALID_ARGUMENT, "never set");
  t = tensor(WH_DTYPE_F32, 2, 4, 8, x, 128);
  assert_int_equal(wh_runner_set_input(runner, "x", &t), WH_OK);
  assert_int_equal(wh_runner_run(runner), WH_OK);
  assert_fails(wh_runner_get_output(runner, "logits", &out), WH_ERR_NOT_FOUND, "it has scores, chances");
  wh_runner_destroy(runner);

  bound.value = 65;
  assert_fails(wh_runner_create(model, device, &o, &runner), WH_ERR_LIMIT, "'rows' cannot be 65: 1 to 64");
  bound = (wh_bound){"columns", 3};
  assert_fails(wh_runner_create(model, device, &o, &runner), WH_ERR_INVALID_ARGUMENT, "no symbol 'columns'");
  o.n_bounds = 0;
  o.memory_limit = 1;
  assert_fails(wh_runner_create(model, device, &o, &runner), WH_ERR_OUT_OF_MEMORY, "the limit that was set");
  wh_device_destroy(device);
  wh_model_destroy(model);
}

static void constants_are_checked(void **state) {
  (void)state;
  wh_model *m = NULL;
  const wh_tensor w = tensor(WH_DTYPE_F32, 2, N_OUT, N_IN, weights, sizeof weights),
                  b = tensor(WH_DTYPE_F32, 1, N_OUT, 0, bias, sizeof bias),
                  turned = tensor(WH_DTYPE_F32, 2, N_IN, N_OUT, weights, sizeof weights);
  const wh_constant one[] = {{"w", &w}}, other[] = {{"w", &w}, {"c", &b}},
                    wrong[] = {{"w", &turned}, {"b", &b}}, nameless[] = {{NULL, &w}};
  const size_t n = strlen(linear_text);
  assert_fails(wh_model_parse(linear_text, n, one, 1, NULL, &m), WH_ERR_INVALID_ARGUMENT,
               "'b' of graph 'head', f32[3], is not given");
  assert_fails(wh_model_parse(linear_text, n, other, 2, NULL, &m), WH_ERR_INVALID_ARGUMENT,
               "no constant 'c'");
  assert_fails(wh_model_parse(linear_text, n, wrong, 2, NULL, &m), WH_ERR_INVALID_ARGUMENT,
               "'w' is f32[8, 3]; the graph wants f32[3, 8]");
  assert_fails(wh_model_parse(linear_text, n, nameless, 1, NULL, &m), WH_ERR_INVALID_ARGUMENT,
               "constants[0]");
  assert_fails(wh_model_parse(linear_text, n - 3, one, 1, NULL, &m), WH_ERR_CORRUPT, "line");
  assert_null(m);
}

static const char pair_text[] =
    "graph \"pair\" {\n"
    "  symbol n 1..16\n"
    "  symbol \"Two Words\" 1..16\n"
    "  %1 = input \"a\" f32[n, 4]\n"
    "  %2 = input \"b\" f32[n, 4]\n"
    "  %3 = input \"c\" f32[(n + 1), \"Two Words\"]\n"
    "  %4 = add(%1, %2) \"sum\" : f32[n, 4]\n"
    "  %5 = neg(%3) \"minus\" : f32[(n + 1), \"Two Words\"]\n"
    "  output \"sum\" %4\n"
    "  output \"minus\" %5\n"
    "  output \"a again\" %1\n"
    "}\n";

/* The sizes of one run's inputs must fit each other; a run that fails leaves the runner usable. */
static void inputs_must_agree(void **state) {
  (void)state;
  static float x[17 * 16];
  wh_device *device = open_device("cpu");
  wh_model *model = NULL;
  wh_runner *runner = NULL;
  wh_tensor out = WH_TENSOR_INIT;
  for (int i = 0; i < 17 * 16; i++) x[i] = (float)i;
  assert_int_equal(wh_model_parse(pair_text, strlen(pair_text), NULL, 0, NULL, &model), WH_OK);
  assert_int_equal(wh_runner_create(model, device, NULL, &runner), WH_OK);
  wh_tensor a = tensor(WH_DTYPE_F32, 2, 3, 4, x, 48), b = tensor(WH_DTYPE_F32, 2, 2, 4, x, 32),
            c = tensor(WH_DTYPE_F32, 2, 3, 5, x, 60);
  assert_int_equal(wh_runner_set_input(runner, "a", &a), WH_OK);
  assert_int_equal(wh_runner_set_input(runner, "b", &b), WH_OK);
  assert_int_equal(wh_runner_set_input(runner, "c", &c), WH_OK);
  assert_fails(wh_runner_run(runner), WH_ERR_INVALID_ARGUMENT,
               "'a', f32[3, 4], and 'b', f32[2, 4], do not agree in 'n'");
  assert_int_equal(wh_runner_set_input(runner, "b", &a), WH_OK);
  assert_fails(wh_runner_run(runner), WH_ERR_INVALID_ARGUMENT,
               "'c' is f32[3, 5]; the graph wants f32[(n + 1), \"Two Words\"], which is f32[4, 5]");
  c = tensor(WH_DTYPE_F32, 2, 4, 5, x, 80);
  assert_int_equal(wh_runner_set_input(runner, "c", &c), WH_OK);
  if (wh_runner_run(runner) != WH_OK) fail_msg("%s", wh_last_error()->message);
  assert_int_equal(wh_runner_get_output(runner, "sum", &out), WH_OK);
  for (int i = 0; i < 12; i++) assert_true(((const float *)out.data)[i] == 2 * x[i]);
  assert_int_equal(wh_runner_get_output(runner, "minus", &out), WH_OK);
  assert_int_equal(out.n_bytes, 80);
  for (int i = 0; i < 20; i++) assert_true(((const float *)out.data)[i] == -x[i]);
  assert_int_equal(wh_runner_get_output(runner, "a again", &out), WH_OK);
  assert_memory_equal(out.data, x, 48);
  c = tensor(WH_DTYPE_F32, 2, 4, 17, x, 4 * 17 * 4);
  assert_fails(wh_runner_set_input(runner, "c", &c), WH_ERR_LIMIT, "'Two Words' is at most 16");
  wh_runner_destroy(runner);
  wh_model_destroy(model);
  wh_device_destroy(device);
}

/* ---- a language model's graph ---- */

#define N_TOKENS 5

/* By name where the test knows the input; others are numbered from 0, as tables of pages are. */
static void set_ids(wh_runner *r, const wh_port_info *p, size_t i, const int32_t *tokens, int32_t first,
                    int32_t first_page) {
  int32_t ids[64];
  const bool rows = strcmp(p->name, "output_rows") == 0, known = p->rank == 1;
  const int64_t n = rows ? 2 : known ? N_TOKENS : 1;
  assert_int_equal(p->dtype, WH_DTYPE_I32);
  for (int32_t k = 0; k < 64; k++) ids[k] = first_page + k;
  for (int32_t k = 0; k < N_TOKENS; k++) {
    if (strcmp(p->name, "tokens") == 0) ids[k] = tokens[k];
    if (strcmp(p->name, "positions") == 0) ids[k] = first + k;
    if (strcmp(p->name, "sequences") == 0) ids[k] = 0;
  }
  if (rows) ids[0] = 1, ids[1] = N_TOKENS - 1;
  wh_tensor t = tensor(WH_DTYPE_I32, p->rank, n, 1, ids, (size_t)n * sizeof *ids);
  if (wh_runner_set_input_at(r, i, &t) != WH_OK) fail_msg("%s", wh_last_error()->message);
}

static void a_language_models_graph_has_its_sessions_bits(void **state) {
  (void)state;
  static const char *const names[] = {"cpu", "host2"};
  static const int32_t rounds[2][N_TOKENS] = {{3, 9, 4, 17, 5}, {8, 8, 30, 2, 11}};
  small_engine e = small_engine_open(1);
  wh_graph_info g = WH_GRAPH_INFO_INIT;
  wh_bound bounds[16];
  assert_int_equal(wh_model_get_graph_info(e.model, &g), WH_OK);
  assert_true(g.n_symbols <= 16);
  uint32_t n_needed = 0;
  for (uint32_t i = 0; i < g.n_symbols; i++) {
    wh_symbol_info s = WH_SYMBOL_INFO_INIT;
    assert_int_equal(wh_model_get_symbol(e.model, i, &s), WH_OK);
    n_needed += s.needs_bound;
    bounds[i] = (wh_bound){s.name, strcmp(s.name, "tokens") == 0    ? 16
                                   : strcmp(s.name, "context") == 0 ? 64
                                                                    : 2};
  }
  assert_true(n_needed > 0);
  for (size_t d = 0; d < 2; d++) {
    wh_device *device = open_device(names[d]);
    wh_runner_options o = WH_RUNNER_OPTIONS_INIT;
    wh_runner *runner = NULL;
    assert_fails(wh_runner_create(e.model, device, NULL, &runner), WH_ERR_INVALID_ARGUMENT, "needs a bound");
    o.bounds = bounds;
    o.n_bounds = g.n_symbols;
    if (wh_runner_create(e.model, device, &o, &runner) != WH_OK) fail_msg("%s", wh_last_error()->message);
    for (int round = 0; round < 2; round++) {
      for (uint32_t i = 0; i < g.n_inputs; i++) {
        wh_port_info p = WH_PORT_INFO_INIT;
        assert_int_equal(wh_model_get_input(e.model, i, &p), WH_OK);
        set_ids(runner, &p, i, rounds[round], round * N_TOKENS, 0);
      }
      if (wh_runner_run(runner) != WH_OK) fail_msg("%s", wh_last_error()->message);
      static const int32_t rows[] = {1, N_TOKENS - 1};
      wh_batch b = WH_BATCH_INIT;
      b.n_tokens = N_TOKENS;
      b.tokens = rounds[round];
      b.n_outputs = 2;
      b.output_rows = rows;
      assert_int_equal(wh_session_run(e.session, &b), WH_OK);
      wh_tensor logits = WH_TENSOR_INIT;
      assert_int_equal(wh_runner_get_output(runner, "logits", &logits), WH_OK);
      assert_int_equal(logits.dims[0], 2);
      assert_int_equal(logits.dims[1], SMALL_N_VOCAB);
      for (uint32_t row = 0; row < 2; row++)
        assert_memory_equal((const float *)logits.data + row * SMALL_N_VOCAB,
                            wh_session_logits(e.session, row), SMALL_N_VOCAB * sizeof(float));
    }
    assert_int_equal(wh_session_truncate(e.session, 0, 0), WH_OK);
    wh_runner_destroy(runner);
    wh_device_destroy(device);
  }
  small_engine_close(&e);
}

/* An id that no table has is named by its node, and nothing is read outside. */
static void an_index_out_of_range_is_named(void **state) {
  (void)state;
  small_engine e = small_engine_open(1);
  wh_graph_info g = WH_GRAPH_INFO_INIT;
  wh_bound bounds[16];
  wh_runner *runner = NULL;
  wh_runner_options o = WH_RUNNER_OPTIONS_INIT;
  static const struct {
    int32_t tokens[N_TOKENS], first, first_page;
  } bad[] = {{{3, 9, SMALL_N_VOCAB, 17, 5}, 0, 0}, {{3, -1, 4, 17, 5}, 0, 0},
             {{3, 9, 4, 17, 5}, 1 << 20, 0},       {{3, 9, 4, 17, 5}, -3, 0},
             {{3, 9, 4, 17, 5}, 0, 1000},          {{3, 9, 4, 17, 5}, 0, -7}};
  assert_int_equal(wh_model_get_graph_info(e.model, &g), WH_OK);
  for (uint32_t i = 0; i < g.n_symbols; i++) {
    wh_symbol_info s = WH_SYMBOL_INFO_INIT;
    assert_int_equal(wh_model_get_symbol(e.model, i, &s), WH_OK);
    bounds[i] = (wh_bound){s.name, strcmp(s.name, "tokens") == 0 ? 16 : 2};
  }
  o.bounds = bounds;
  o.n_bounds = g.n_symbols;
  assert_int_equal(wh_runner_create(e.model, e.device, &o, &runner), WH_OK);
  for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
    for (uint32_t i = 0; i < g.n_inputs; i++) {
      wh_port_info p = WH_PORT_INFO_INIT;
      assert_int_equal(wh_model_get_input(e.model, i, &p), WH_OK);
      set_ids(runner, &p, i, bad[k].tokens, bad[k].first, bad[k].first_page);
    }
    wh_tensor logits = WH_TENSOR_INIT;
    assert_fails(wh_runner_run(runner), WH_ERR_INVALID_ARGUMENT, "out of range");
    assert_int_equal(wh_runner_get_output(runner, "logits", &logits), WH_ERR_NOT_FOUND);
  }
  wh_runner_destroy(runner);
  small_engine_close(&e);
}

static void a_state_is_no_output(void **state) {
  (void)state;
  static const char text[] =
      "graph \"kept\" {\n"
      "  symbol tokens 1..8\n"
      "  symbol table 1..2\n"
      "  %1 = input \"x\" f32[tokens, 2, 8]\n"
      "  %2 = input \"positions\" i32[tokens]\n"
      "  %3 = input \"sequences\" i32[tokens]\n"
      "  %4 = input \"page_table\" i32[1, table]\n"
      "  %5 = state \"keys\" f16[2, 2, 64, 8]\n"
      "  %6 = kv_append(%5, %1, %2, %3, %4) {key = 1} \"append\" : f16[2, 2, 64, 8]\n"
      "  output \"keys\" %6\n"
      "}\n";
  wh_device *device = open_device("cpu");
  wh_model *model = NULL;
  wh_runner *runner = NULL;
  if (wh_model_parse(text, strlen(text), NULL, 0, NULL, &model) != WH_OK)
    fail_msg("%s", wh_last_error()->message);
  assert_fails(wh_runner_create(model, device, NULL, &runner), WH_ERR_UNSUPPORTED,
               "'keys' of graph 'kept' is a state");
  wh_model_destroy(model);
  wh_device_destroy(device);
}

/* Every request for memory fails once: an error, nothing lost, and the next attempt works. */
static void memory_that_is_not_there(void **state) {
  (void)state;
  static float x[64 * N_IN];
  failing_allocator a;
  wh_device *device = open_device("cpu");
  wh_model *model = open_head();
  wh_runner_options o = WH_RUNNER_OPTIONS_INIT;
  for (size_t fail_at = 1;; fail_at++) {
    wh_runner *runner = NULL;
    o.allocator = failing_allocator_init(&a, fail_at);
    wh_status st = wh_runner_create(model, device, &o, &runner);
    for (int64_t rows = 1; st == WH_OK && rows <= 64; rows *= 8) {
      const wh_tensor t = tensor(WH_DTYPE_F32, 2, rows, N_IN, x, (size_t)rows * N_IN * sizeof *x);
      st = wh_runner_set_input(runner, "x", &t);
      if (st == WH_OK) st = wh_runner_run(runner);
      if (st != WH_OK) { /* the same again, now that there is memory */
        assert_int_equal(st, WH_ERR_OUT_OF_MEMORY);
        assert_int_equal(wh_runner_set_input(runner, "x", &t), WH_OK);
        assert_int_equal(wh_runner_run(runner), WH_OK);
        check_rows(runner, x, rows);
      }
    }
    if (st != WH_OK) assert_int_equal(st, WH_ERR_OUT_OF_MEMORY);
    wh_runner_destroy(runner);
    assert_int_equal(a.n_live, 0);
    if (a.n_requests < fail_at) break;
    assert_true(fail_at < 1000);
  }
  wh_model_destroy(model);
  wh_device_destroy(device);
}

/* What a file of another format may bring: nothing at all, one value twice, nothing in a dim, and types that
 * no buffer holds. Each runs with the least dims, or is refused with a sentence. */
static void graphs_at_the_edges(void **state) {
  (void)state;
  static const struct {
    const char *text, *refused; /* NULL: it runs */
    uint64_t n_bytes;           /* of output 0 */
  } cases[] = {
      {"graph \"g\" { symbol n 1..1099511627776 %1 = input \"x\" f32[n] %2 = neg(%1) \"y\" : f32[n] output "
       "\"y\" "
       "%2 }",
       NULL, 4},
      {"graph \"g\" { symbol n 1..1048576 symbol m 1..1048576 symbol k 1..1048576 %1 = input \"x\" f32[n, m, "
       "k] %2 = "
       "neg(%1) \"y\" : f32[n, m, k] output \"y\" %2 }",
       NULL, 4},
      {"graph \"g\" { symbol m 3..9 %1 = input \"x\" f32[2] %2 = input \"unread\" f32[m] %3 = neg(%1) \"y\" "
       ": f32[2] "
       "output \"y\" %3 }",
       NULL, 8},
      {"graph \"g\" { %1 = input \"x\" f32[2] %2 = neg(%1) \"y\" : f32[2] output \"y\" %2 output \"z\" %2 }",
       NULL, 8},
      {"graph \"g\" { }", NULL, 0},
      {"graph \"g\" { %1 = input \"x\" f32[2] %2 = neg(%1) \"y\" : f32[2] }", NULL, 0},
      {"graph \"g\" { %1 = input \"x\" f32[] %2 = neg(%1) \"y\" : f32[] output \"y\" %2 }", NULL, 4},
      {"graph \"g\" { %1 = input \"x\" f32[0, 3] %2 = neg(%1) \"y\" : f32[0, 3] output \"y\" %2 }", NULL, 0},
      {"graph \"g\" { %1 = input \"x\" i32[3, 3] output \"x\" %1 }", NULL, 36},
      {"graph \"g\" { %1 = input \"x\" f32[2, 64] %2 = quantize_act(%1) \"y\" : q8a[2, 64] output \"y\" %2 }",
       "'y' of graph 'g' is of type q8a", 0},
      {"graph \"g\" { %1 = input \"x\" string[2] output \"x\" %1 }", "'x' of graph 'g' is of type string", 0},
      {"graph \"g\" { %1 = input \"x\" f32[2] %2 = custom(%1) {name = \"f\", ints = [], floats = [], tensor "
       "= u8[1] "
       "\"2a\"} \"y\" : f32[2] output \"y\" %2 }",
       "cannot run 1 of 1 nodes", 0},
  };
  static const char *const names[] = {"cpu", "host2"};
  static float zeros[256];
  for (size_t k = 0; k < 2 * sizeof cases / sizeof cases[0]; k++) {
    const char *text = cases[k / 2].text;
    wh_device *device = open_device(names[k % 2]);
    wh_model *model = NULL;
    wh_runner *runner = NULL;
    wh_graph_info g = WH_GRAPH_INFO_INIT;
    assert_int_equal(wh_model_parse(text, strlen(text), NULL, 0, NULL, &model), WH_OK);
    wh_status st = wh_runner_create(model, device, NULL, &runner);
    if (cases[k / 2].refused) {
      assert_fails(st, WH_ERR_UNSUPPORTED, cases[k / 2].refused);
    } else {
      assert_int_equal(wh_model_get_graph_info(model, &g), WH_OK);
      for (uint32_t i = 0; i < g.n_inputs; i++) {
        wh_port_info p = WH_PORT_INFO_INIT;
        wh_tensor t = WH_TENSOR_INIT;
        assert_int_equal(wh_model_get_input(model, i, &p), WH_OK);
        t.dtype = p.dtype;
        t.rank = p.rank;
        t.n_bytes = 4;
        for (int d = 0; d < p.rank; d++) t.n_bytes *= (uint64_t)(t.dims[d] = p.dims[d].min);
        t.data = zeros;
        assert_int_equal(wh_runner_set_input_at(runner, i, &t), WH_OK);
      }
      if (wh_runner_run(runner) != WH_OK) fail_msg("%s: %s", text, wh_last_error()->message);
      wh_tensor y = WH_TENSOR_INIT;
      assert_int_equal(wh_runner_get_output_at(runner, 0, &y), g.n_outputs ? WH_OK : WH_ERR_NOT_FOUND);
      assert_int_equal(y.n_bytes, cases[k / 2].n_bytes);
      assert_true((y.data != NULL) == (y.n_bytes > 0));
    }
    wh_runner_destroy(runner);
    wh_model_destroy(model);
    wh_device_destroy(device);
  }
}

/* More memory than there may be is refused before it is taken; what fits still runs. */
static void growth_stays_within_the_limit(void **state) {
  (void)state;
  static const char text[] =
      "graph \"g\" { symbol n 1..1073741824 %1 = input \"y\" f32[n] %2 = neg(%1) \"z\" : f32[n] output \"z\" "
      "%2 }";
  const size_t large = (size_t)64 << 20;
  wh_device *device = open_device("cpu");
  wh_model *model = NULL;
  wh_runner *runner = NULL;
  wh_runner_options o = WH_RUNNER_OPTIONS_INIT;
  float one = 3, *many = calloc(large, sizeof *many);
  assert_non_null(many);
  o.memory_limit = (uint64_t)64 << 20;
  assert_int_equal(wh_model_parse(text, strlen(text), NULL, 0, NULL, &model), WH_OK);
  assert_int_equal(wh_runner_create(model, device, &o, &runner), WH_OK);
  wh_tensor t = tensor(WH_DTYPE_F32, 1, (int64_t)large, 0, many, large * sizeof *many), z = WH_TENSOR_INIT;
  assert_int_equal(wh_runner_set_input(runner, "y", &t), WH_OK);
  assert_fails(wh_runner_run(runner), WH_ERR_OUT_OF_MEMORY, "the limit that was set");
  t = tensor(WH_DTYPE_F32, 1, 1, 0, &one, sizeof one);
  assert_int_equal(wh_runner_set_input(runner, "y", &t), WH_OK);
  assert_int_equal(wh_runner_run(runner), WH_OK);
  assert_int_equal(wh_runner_get_output(runner, "z", &z), WH_OK);
  assert_true(*(const float *)z.data == -3);
  free(many);
  wh_runner_destroy(runner);
  wh_model_destroy(model);
  wh_device_destroy(device);
}

#define N_THREADS 4

typedef struct worker {
  const wh_model *model;
  wh_device *device;
  const char *wrong;
} worker;

static void *run_alone(void *arg) {
  worker *w = arg;
  float x[N_IN] = {1, 2, 3, 4, 5, 6, 7, 8}, first[N_OUT] = {0};
  wh_runner *runner = NULL;
  if (wh_runner_create(w->model, w->device, NULL, &runner) != WH_OK) w->wrong = "create";
  for (int i = 0; i < 50 && !w->wrong; i++) {
    wh_tensor t = tensor(WH_DTYPE_F32, 2, 1, N_IN, x, sizeof x), y = WH_TENSOR_INIT;
    if (wh_runner_set_input(runner, "x", &t) != WH_OK || wh_runner_run(runner) != WH_OK ||
        wh_runner_get_output(runner, "chances", &y) != WH_OK)
      w->wrong = "run";
    else if (i == 0)
      memcpy(first, y.data, sizeof first);
    else if (memcmp(first, y.data, sizeof first) != 0)
      w->wrong = "bits";
  }
  wh_runner_destroy(runner);
  return NULL;
}

static void runners_share_a_model_and_a_device(void **state) {
  (void)state;
  wh_model *model = open_head();
  wh_device *device = open_device("cpu");
  pthread_t threads[N_THREADS];
  worker workers[N_THREADS];
  for (int i = 0; i < N_THREADS; i++) {
    workers[i] = (worker){model, device, NULL};
    assert_int_equal(pthread_create(&threads[i], NULL, run_alone, &workers[i]), 0);
  }
  for (int i = 0; i < N_THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  for (int i = 0; i < N_THREADS; i++)
    if (workers[i].wrong) fail_msg("thread %d: %s", i, workers[i].wrong);
  wh_device_destroy(device);
  wh_model_destroy(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_graph_of_text_computes),
      cmocka_unit_test(a_model_says_what_it_takes),
      cmocka_unit_test(a_graph_is_no_language_model),
      cmocka_unit_test(wrong_tensors_are_refused_by_name),
      cmocka_unit_test(constants_are_checked),
      cmocka_unit_test(inputs_must_agree),
      cmocka_unit_test(a_language_models_graph_has_its_sessions_bits),
      cmocka_unit_test(an_index_out_of_range_is_named),
      cmocka_unit_test(a_state_is_no_output),
      cmocka_unit_test(memory_that_is_not_there),
      cmocka_unit_test(graphs_at_the_edges),
      cmocka_unit_test(growth_stays_within_the_limit),
      cmocka_unit_test(runners_share_a_model_and_a_device),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
