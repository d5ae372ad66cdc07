/* test_stages.c - executions of small ONNX graphs: what is folded, when a stage ends, what is kept for the
 * next run, and graphs that must not run on. */
#include <math.h>

#include "tests/onnx/onnx_structs.h"

/* y = reshape(x, shape) + x0: the shape is an input whose elements decide. */
static void looked_at_inputs_decide(void **state) {
  (void)state;
  static const wh_str in0[] = {S("x"), S("shape")}, out0[] = {S("y")}, in1[] = {S("y"), S("y")},
                      out1[] = {S("z")};
  static const wh_onnx_node nodes[] = {{S(""), S("Reshape"), S(""), 2, 1, 0, in0, out0, NULL},
                                       {S(""), S("Add"), S(""), 2, 1, 0, in1, out1, NULL}};
  static const wh_onnx_value_info ins[] = {PORT("x", WH_DTYPE_F32), PORT("shape", WH_DTYPE_I64)},
                                  outs[] = {PORT("z", WH_DTYPE_F32)};
  const wh_onnx_graph g = GRAPH(nodes, ins, outs);
  running r;
  static float x[] = {1, 2, 3, 4, 5, 6};
  static int64_t shape[] = {2, 3};
  const wh_tensor tx = tensor(WH_DTYPE_F32, 1, 6, 0, x, sizeof x),
                  ts = tensor(WH_DTYPE_I64, 1, 2, 0, shape, sizeof shape);
  const wh_tensor *in[] = {&tx, &ts};
  start(&r, &g);
  for (int i = 0; i < 4; i++) {
    shape[0] = i % 2 ? 3 : 2;
    shape[1] = 6 / shape[0];
    x[0] = (float)i;
    const wh_tensor y = run_of(&r, in);
    assert_int_equal(y.rank, 2);
    assert_int_equal(y.dims[0], shape[0]);
    assert_true(((const float *)y.data)[0] == 2.0f * (float)i);
    assert_true(((const float *)y.data)[5] == 12.0f);
  }
  stop(&r);
}

/* z = nonzero(x + x): its size depends on what the device computed. */
static void a_stage_ends_where_elements_decide(void **state) {
  (void)state;
  static const wh_str in0[] = {S("x"), S("x")}, out0[] = {S("y")}, in1[] = {S("y")}, out1[] = {S("z")};
  static const wh_onnx_node nodes[] = {{S(""), S("Add"), S(""), 2, 1, 0, in0, out0, NULL},
                                       {S(""), S("NonZero"), S(""), 1, 1, 0, in1, out1, NULL}};
  static const wh_onnx_value_info ins[] = {PORT("x", WH_DTYPE_F32)}, outs[] = {PORT("z", WH_DTYPE_I64)};
  const wh_onnx_graph g = GRAPH(nodes, ins, outs);
  running r;
  float x[] = {0, 2, 0, 4};
  const wh_tensor tx = tensor(WH_DTYPE_F32, 1, 4, 0, x, sizeof x), *in[] = {&tx};
  start(&r, &g);
  for (int i = 0; i < 3; i++) {
    x[2] = i == 1 ? 1 : 0;
    const wh_tensor z = run_of(&r, in);
    assert_int_equal(z.dims[1], i == 1 ? 3 : 2);
    assert_int_equal(((const int64_t *)z.data)[0], 1);
    const wh_onnx_trace *t = wh_onnx_runner_trace(r.runner);
    assert_int_equal(t->n_host, 1); /* the addition is the graph's */
    assert_string_equal(t->host[0].op, "NonZero");
    assert_string_equal(t->host[0].node, "z"); /* it has no name of its own */
    assert_non_null(strstr(t->host[0].reason, "ends here"));
    assert_int_equal(t->host[0].times, 1);
  }
  stop(&r);
}

/* w = the elements of x + x that are not 0: what a device left is gathered on the host, in no program. */
static void few_elements_are_gathered_on_the_host(void **state) {
  (void)state;
  static const wh_str in0[] = {S("x"), S("x")}, out0[] = {S("y")}, in1[] = {S("y")}, out1[] = {S("z")},
                      in2[] = {S("y"), S("z")}, out2[] = {S("w")};
  static const wh_onnx_node nodes[] = {{S(""), S("Add"), S(""), 2, 1, 0, in0, out0, NULL},
                                       {S(""), S("NonZero"), S(""), 1, 1, 0, in1, out1, NULL},
                                       {S(""), S("Gather"), S(""), 2, 1, 0, in2, out2, NULL}};
  static const wh_onnx_value_info ins[] = {PORT("x", WH_DTYPE_F32)}, outs[] = {PORT("w", WH_DTYPE_F32)};
  const wh_onnx_graph g = GRAPH(nodes, ins, outs);
  running r;
  static float x[3000];
  const wh_tensor tx = tensor(WH_DTYPE_F32, 1, 3000, 0, x, sizeof x), *in[] = {&tx};
  start(&r, &g);
  for (int i = 1; i <= 3; i++) {
    x[7 * i] = (float)i;
    x[2999] = -3;
    const wh_tensor w = run_of(&r, in);
    assert_int_equal(w.dims[1], i + 1);
    for (int k = 1; k <= i; k++) assert_true(((const float *)w.data)[k - 1] == 2.0f * (float)k);
    assert_true(((const float *)w.data)[i] == -6.0f);
    assert_int_equal(wh_onnx_runner_n_programs(r.runner), 1);
  }
  stop(&r);
}

/* y = x + c: an infinity among a graph's own constants is a value, where in a language model it is damage. */
static void constants_may_be_infinite(void **state) {
  (void)state;
  static const float c[] = {-INFINITY, 1};
  static const wh_onnx_tensor weights[] = {{.name = S("c"),
                                            .dtype = WH_DTYPE_F32,
                                            .rank = 1,
                                            .dims = {2},
                                            .n_elements = 2,
                                            .n_bytes = sizeof c,
                                            .raw = {(const char *)c, sizeof c}}};
  static const wh_str in0[] = {S("x"), S("c")}, out0[] = {S("y")};
  static const wh_onnx_node nodes[] = {{S(""), S("Add"), S(""), 2, 1, 0, in0, out0, NULL}};
  static const wh_onnx_value_info ins[] = {PORT("x", WH_DTYPE_F32)}, outs[] = {PORT("y", WH_DTYPE_F32)};
  wh_onnx_graph g = GRAPH(nodes, ins, outs);
  static const float x[] = {3, 4};
  const wh_tensor tx = tensor(WH_DTYPE_F32, 1, 2, 0, x, sizeof x), *in[] = {&tx};
  running r;
  g.n_initializers = 1;
  g.initializers = weights;
  start(&r, &g);
  const wh_tensor y = run_of(&r, in);
  assert_true(((const float *)y.data)[0] == -INFINITY && ((const float *)y.data)[1] == 5.0f);
  stop(&r);
}

/* ---- weights ---- */

enum { ROWS = 160, COLUMNS = 128 }; /* so many f32 are read where they lie in the file, however that is */

/* p = x u, t = w[ids], v = w, z = w + b; u and w, which are equal, at an address that is no
 * multiple of 4. m = shape(p) k has a
 * constant of its own for each shape of x. */
typedef struct weights_net {
  uint8_t bytes[ROWS * COLUMNS * sizeof(float) + 8];
  wh_onnx_tensor weights[2];
  wh_onnx_graph graph;
  wh_onnx_file file;
  wh_onnx_net *net;
} weights_net;

static float weight_at(int64_t i) { return (float)(i % 251 - 125); }

static void open_weights_net(weights_net *n) {
  static const wh_onnx_attr to_f32 = {
      .name = S("to"), .ref = S(""), .type = WH_ONNX_ATTR_INT, .n = 1, .i = 1};
  static const wh_str xu[] = {S("x"), S("u")}, p[] = {S("p")}, s[] = {S("s")}, f[] = {S("f")},
                      fk[] = {S("f"), S("k")}, m[] = {S("m")}, wi[] = {S("w"), S("ids")}, t[] = {S("t")},
                      w[] = {S("w")}, v[] = {S("v")}, wb[] = {S("w"), S("b")}, z[] = {S("z")};
  static const wh_onnx_node nodes[] = {
      {S(""), S("MatMul"), S(""), 2, 1, 0, xu, p, NULL}, {S(""), S("Shape"), S(""), 1, 1, 0, p, s, NULL},
      {S(""), S("Cast"), S(""), 1, 1, 1, s, f, &to_f32}, {S(""), S("Mul"), S(""), 2, 1, 0, fk, m, NULL},
      {S(""), S("Gather"), S(""), 2, 1, 0, wi, t, NULL}, {S(""), S("Identity"), S(""), 1, 1, 0, w, v, NULL},
      {S(""), S("Add"), S(""), 2, 1, 0, wb, z, NULL},
  };
  static const wh_onnx_value_info ins[] = {PORT("x", WH_DTYPE_F32), PORT("k", WH_DTYPE_F32),
                                           PORT("ids", WH_DTYPE_I64), PORT("b", WH_DTYPE_F32)},
                                  outs[] = {{.name = S("p")},
                                            {.name = S("m")},
                                            {.name = S("t")},
                                            {.name = S("v")},
                                            {.name = S("z")}};
  const size_t n_bytes = sizeof n->bytes - 8;
  uint8_t *data = n->bytes + 1 + (4 - (uintptr_t)n->bytes % 4) % 4;
  for (int64_t i = 0; i < ROWS * COLUMNS; i++) {
    const float value = weight_at(i);
    memcpy(data + i * 4, &value, 4);
  }
  n->weights[0] = (wh_onnx_tensor){.name = S("w"),
                                   .dtype = WH_DTYPE_F32,
                                   .rank = 2,
                                   .dims = {ROWS, COLUMNS},
                                   .n_elements = ROWS * COLUMNS,
                                   .n_bytes = n_bytes,
                                   .raw = {(const char *)data, n_bytes}};
  n->weights[1] = n->weights[0];
  n->weights[1].name = (wh_str)S("u");
  n->graph = (wh_onnx_graph){.name = S("g"),
                             .n_nodes = sizeof nodes / sizeof nodes[0],
                             .nodes = nodes,
                             .n_initializers = 2,
                             .initializers = n->weights,
                             .n_inputs = 4,
                             .inputs = ins,
                             .n_outputs = 5,
                             .outputs = outs};
  n->file = file_of(&n->graph);
  assert_int_equal(wh_onnx_net_create(&n->file, NULL, &n->net), WH_OK);
}

static const float *output_data(const wh_onnx_runner *r, size_t i) {
  wh_tensor t = WH_TENSOR_INIT;
  assert_int_equal(wh_onnx_runner_output(r, i, &t), WH_OK);
  assert_int_equal((uintptr_t)t.data % sizeof(float), 0);
  return t.data;
}

static void run_weights_net(wh_onnx_runner *r, int64_t n) {
  static float x[9 * ROWS];
  static const float k[] = {3, 5}, b[] = {0.5f};
  static const int64_t ids[] = {7, 159};
  const wh_tensor in[] = {tensor(WH_DTYPE_F32, 2, n, ROWS, x, (uint64_t)n * ROWS * sizeof *x),
                          tensor(WH_DTYPE_F32, 1, 2, 0, k, sizeof k),
                          tensor(WH_DTYPE_I64, 1, 2, 0, ids, sizeof ids),
                          tensor(WH_DTYPE_F32, 1, 1, 0, b, sizeof b)},
                  *all[] = {&in[0], &in[1], &in[2], &in[3]};
  for (int64_t i = 0; i < n; i++) x[i * ROWS + i] = 2;
  assert_int_equal(wh_onnx_runner_run(r, all), WH_OK);
  for (int64_t i = 0; i < n * COLUMNS; i++) assert_true(output_data(r, 0)[i] == 2 * weight_at(i));
  assert_true(output_data(r, 1)[0] == 3.0f * (float)n && output_data(r, 1)[1] == 5.0f * COLUMNS);
  for (int64_t i = 0; i < 2 * COLUMNS; i++)
    assert_true(output_data(r, 2)[i] == weight_at(ids[i / COLUMNS] * COLUMNS + i % COLUMNS));
  for (int64_t i = 0; i < ROWS * COLUMNS; i++) {
    assert_true(output_data(r, 3)[i] == weight_at(i));
    assert_true(output_data(r, 4)[i] == weight_at(i) + 0.5f);
  }
  for (int64_t i = 0; i < n; i++) x[i * ROWS + i] = 0;
}

/* What shapes and sessions have in common is packed and copied once. */
static void weights_are_shared(void **state) {
  (void)state;
  static weights_net n;
  wh_onnx_runner *a, *b, *c;
  wh_engine_pool pool;
  const wh_plan_device d = plan_device();
  open_weights_net(&n);
  wh_engine_pool_init(&pool);
  assert_int_equal(wh_onnx_runner_create(n.net, &d, 0, NULL, NULL, &a), WH_OK);
  assert_int_equal(wh_onnx_runner_create(n.net, &d, 0, NULL, NULL, &b), WH_OK);
  assert_int_equal(wh_onnx_runner_create(n.net, &d, 0, NULL, NULL, &c), WH_OK);
  wh_onnx_runner_join(a, &pool);
  wh_onnx_runner_join(b, &pool);
  run_weights_net(a, 2);
  const wh_weight_packing first = wh_onnx_runner_packing(a);
  assert_int_equal(first.n_shared, 0);
  assert_true(first.n_packed == 1 && first.n_own == 2);
  for (int64_t i = 1; i <= 9; i++) {
    run_weights_net(a, i);
    const wh_weight_packing p = wh_onnx_runner_packing(a);
    assert_int_equal(p.n_packed, i == 2 ? first.n_packed : 0);
    assert_int_equal(p.n_shared, i == 2 ? 0 : first.n_own);
  }
  run_weights_net(b, 3); /* another session */
  assert_int_equal(wh_onnx_runner_packing(b).n_shared, first.n_own);
  wh_onnx_runner_destroy(a);
  run_weights_net(b, 3);
  run_weights_net(b, 4);
  assert_int_equal(wh_onnx_runner_packing(b).n_shared, first.n_own);
  run_weights_net(c, 4); /* not in the pool */
  assert_int_equal(wh_onnx_runner_packing(c).n_shared, 0);
  wh_onnx_runner_destroy(b);
  wh_onnx_runner_destroy(c);
  wh_engine_pool_deinit(&pool);
  wh_onnx_net_destroy(n.net);
}

static wh_status no_engine(void *ctx, wh_graph *g, const int64_t *symbols, const void *const *inputs,
                           void *const *outputs) {
  (void)ctx, (void)symbols, (void)inputs, (void)outputs;
  wh_graph_destroy(g);
  return WH_FAIL(ERR_INTERNAL, "a graph was run");
}

/* A loop whose body always asks for more is ended by the limit, and no device is needed for it. */
static void endless_loops_end(void **state) {
  (void)state;
  static const wh_str body_in[] = {S("go")}, body_out[] = {S("more")}, loop_in[] = {S(""), S("")},
                      loop_out[] = {S("s")}, id_in[] = {S("k")}, id_out[] = {S("v")};
  static const wh_onnx_node body_nodes[] = {{S(""), S("Identity"), S(""), 1, 1, 0, body_in, body_out, NULL},
                                            {S(""), S("Identity"), S(""), 1, 1, 0, id_in, id_out, NULL}};
  static const wh_onnx_value_info body_ins[] = {{.name = S("k")}, {.name = S("go")}},
                                  body_outs[] = {{.name = S("more")}, {.name = S("v")}},
                                  outs[] = {{.name = S("s")}};
  static const wh_onnx_graph body = {.name = S("body"),
                                     .n_nodes = 2,
                                     .nodes = body_nodes,
                                     .n_inputs = 2,
                                     .inputs = body_ins,
                                     .n_outputs = 2,
                                     .outputs = body_outs};
  static const wh_onnx_attr attr = {
      .name = S("body"), .ref = S(""), .type = WH_ONNX_ATTR_GRAPH, .n = 1, .graphs = &body};
  static const wh_onnx_node loop = {S("forever"), S("Loop"), S(""), 2, 1, 1, loop_in, loop_out, &attr};
  const wh_onnx_graph g = {.name = S("g"), .n_nodes = 1, .nodes = &loop, .n_outputs = 1, .outputs = outs};
  const wh_onnx_file file = file_of(&g);
  const wh_onnx_engine engine = {.run = no_engine};
  const wh_onnx_limits limits = {.max_iterations = 1000};
  wh_onnx_net *net;
  wh_onnx_result *result = NULL;
  assert_int_equal(wh_onnx_net_create(&file, NULL, &net), WH_OK);
  assert_int_equal(wh_onnx_execute(net, NULL, &engine, &limits, &result), WH_ERR_LIMIT);
  assert_non_null(strstr(wh_last_error()->message, "forever"));
  wh_onnx_net_destroy(net);
}

static wh_status net_status(const wh_onnx_node *nodes, size_t n) {
  static const wh_onnx_value_info ins[] = {{.name = S("x")}}, outs[] = {{.name = S("y")}};
  const wh_onnx_graph g = {.name = S("g"),
                           .n_nodes = n,
                           .nodes = nodes,
                           .n_inputs = 1,
                           .inputs = ins,
                           .n_outputs = 1,
                           .outputs = outs};
  const wh_onnx_file file = file_of(&g);
  wh_onnx_net *net = NULL;
  wh_status st = wh_onnx_net_create(&file, NULL, &net);
  wh_onnx_net_destroy(net);
  return st;
}

static void names_are_checked(void **state) {
  (void)state;
  static const wh_str x[] = {S("x")}, y[] = {S("y")}, missing[] = {S("missing")};
  const wh_onnx_node good = {S("a"), S("Relu"), S(""), 1, 1, 0, x, y, NULL},
                     bad = {S("a"), S("Relu"), S(""), 1, 1, 0, missing, y, NULL}, twice[] = {good, good},
                     itself = {S("a"), S("Relu"), S(""), 1, 1, 0, y, y, NULL};
  assert_int_equal(net_status(&good, 1), WH_OK);
  assert_int_equal(net_status(&bad, 1), WH_ERR_CORRUPT);
  assert_non_null(strstr(wh_last_error()->message, "'missing'"));
  assert_int_equal(net_status(twice, 2), WH_ERR_CORRUPT);
  assert_int_equal(net_status(&itself, 1), WH_ERR_CORRUPT);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(looked_at_inputs_decide),
      cmocka_unit_test(a_stage_ends_where_elements_decide),
      cmocka_unit_test(constants_may_be_infinite),
      cmocka_unit_test(endless_loops_end),
      cmocka_unit_test(names_are_checked),
      cmocka_unit_test(weights_are_shared),
      cmocka_unit_test(few_elements_are_gathered_on_the_host),
  };
  return cmocka_run_group_tests(tests, open_device, close_device);
}
