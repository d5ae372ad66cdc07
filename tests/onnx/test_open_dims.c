/* test_open_dims.c - ONNX graphs whose dims stay open: one program for many shapes, with the bits of one for
 * each. */
#include "tests/onnx/onnx_structs.h"

#define I64_WEIGHT(text, count, values)                                                      \
  {                                                                                          \
    .name = S(text), .dtype = WH_DTYPE_I64, .rank = 1, .dims = {count}, .n_elements = count, \
    .n_bytes = sizeof(values), .raw = {                                                      \
      (const char *)(values),                                                                \
      sizeof(values)                                                                         \
    }                                                                                        \
  }

static const wh_onnx_value_info open_input = {S("x"),
                                              {.kind = WH_ONNX_TENSOR,
                                               .dtype = WH_DTYPE_F32,
                                               .has_shape = true,
                                               .rank = 3,
                                               .dims = {{-1, S("n")}, {-1, S("t")}, {4, {"", 0}}}}};

/* y = transpose(reshape(x + table[:t], [0, -1, 2, 2])), m = mean of y over t */
static const wh_onnx_graph *open_graph(void) {
  static float table[16 * 4];
  static const int64_t zero[] = {0}, one[] = {1}, two[] = {2}, shape[] = {0, -1, 2, 2}, perm[] = {0, 2, 1, 3};
  static const wh_onnx_attr
      by_perm = {.name = S("perm"), .ref = S(""), .type = WH_ONNX_ATTR_INTS, .n = 4, .ints = perm},
      over = {.name = S("axes"), .ref = S(""), .type = WH_ONNX_ATTR_INTS, .n = 1, .ints = two};
  static const wh_onnx_tensor weights[] = {{.name = S("table"),
                                            .dtype = WH_DTYPE_F32,
                                            .rank = 2,
                                            .dims = {16, 4},
                                            .n_elements = 64,
                                            .n_bytes = sizeof table,
                                            .raw = {(const char *)table, sizeof table}},
                                           I64_WEIGHT("0", 1, zero),
                                           I64_WEIGHT("1", 1, one),
                                           I64_WEIGHT("2", 1, two),
                                           I64_WEIGHT("shape", 4, shape)};
  static const wh_str x[] = {S("x")}, s[] = {S("s")}, cut[] = {S("s"), S("1"), S("2")}, t[] = {S("t")},
                      part[] = {S("table"), S("0"), S("t"), S("0")}, rows[] = {S("rows")},
                      sum[] = {S("x"), S("rows")}, a[] = {S("a")}, as[] = {S("a"), S("shape")},
                      b[] = {S("b")}, y[] = {S("y")}, m[] = {S("m")};
  static const wh_onnx_node nodes[] = {{S(""), S("Shape"), S(""), 1, 1, 0, x, s, NULL},
                                       {S(""), S("Slice"), S(""), 3, 1, 0, cut, t, NULL},
                                       {S(""), S("Slice"), S(""), 4, 1, 0, part, rows, NULL},
                                       {S(""), S("Add"), S(""), 2, 1, 0, sum, a, NULL},
                                       {S(""), S("Reshape"), S(""), 2, 1, 0, as, b, NULL},
                                       {S(""), S("Transpose"), S(""), 1, 1, 1, b, y, &by_perm},
                                       {S(""), S("ReduceMean"), S(""), 1, 1, 1, y, m, &over}};
  static const wh_onnx_value_info outs[] = {{.name = S("y")}, {.name = S("m")}};
  static const wh_onnx_graph g = {.name = S("g"),
                                  .n_nodes = sizeof nodes / sizeof nodes[0],
                                  .nodes = nodes,
                                  .n_initializers = 5,
                                  .initializers = weights,
                                  .n_inputs = 1,
                                  .inputs = &open_input,
                                  .n_outputs = 2,
                                  .outputs = outs};
  for (int i = 0; i < 64; i++) table[i] = (float)i / 7;
  return &g;
}

/* y = x * size(x): how many elements there are is no dim, but computed of dims. */
static const wh_onnx_graph *sized_graph(void) {
  static const wh_onnx_attr to_f32 = {
      .name = S("to"), .ref = S(""), .type = WH_ONNX_ATTR_INT, .n = 1, .i = 1};
  static const wh_str x[] = {S("x")}, s[] = {S("s")}, f[] = {S("f")}, xf[] = {S("x"), S("f")}, y[] = {S("y")};
  static const wh_onnx_node nodes[] = {{S(""), S("Size"), S(""), 1, 1, 0, x, s, NULL},
                                       {S(""), S("Cast"), S(""), 1, 1, 1, s, f, &to_f32},
                                       {S(""), S("Mul"), S(""), 2, 1, 0, xf, y, NULL}};
  static const wh_onnx_value_info outs[] = {{.name = S("y")}};
  static const wh_onnx_graph g = {.name = S("g"),
                                  .n_nodes = 3,
                                  .nodes = nodes,
                                  .n_inputs = 1,
                                  .inputs = &open_input,
                                  .n_outputs = 1,
                                  .outputs = outs};
  return &g;
}

/* y = tile(x, shape(x)): how often is no dim. */
static const wh_onnx_graph *closed_graph(void) {
  static const wh_str x[] = {S("x")}, s[] = {S("s")}, xs[] = {S("x"), S("s")}, y[] = {S("y")};
  static const wh_onnx_node nodes[] = {{S(""), S("Shape"), S(""), 1, 1, 0, x, s, NULL},
                                       {S(""), S("Tile"), S(""), 2, 1, 0, xs, y, NULL}};
  static const wh_onnx_value_info outs[] = {{.name = S("y")}};
  static const wh_onnx_graph g = {.name = S("g"),
                                  .n_nodes = 2,
                                  .nodes = nodes,
                                  .n_inputs = 1,
                                  .inputs = &open_input,
                                  .n_outputs = 1,
                                  .outputs = outs};
  return &g;
}

/* y = x + (each mean of two neighbours, twice): the last axis is to be a multiple of two. */
static const wh_onnx_graph *halved_graph(void) {
  static const wh_onnx_value_info image = {S("x"),
                                           {.kind = WH_ONNX_TENSOR,
                                            .dtype = WH_DTYPE_F32,
                                            .has_shape = true,
                                            .rank = 3,
                                            .dims = {{-1, S("n")}, {2, {"", 0}}, {-1, S("w")}}}};
  static const int64_t two[] = {2};
  static const float scales[] = {1, 1, 2};
  static const wh_onnx_attr window[] = {
      {.name = S("kernel_shape"), .ref = S(""), .type = WH_ONNX_ATTR_INTS, .n = 1, .ints = two},
      {.name = S("strides"), .ref = S(""), .type = WH_ONNX_ATTR_INTS, .n = 1, .ints = two}};
  static const wh_onnx_attr asymmetric[] = {
      {.name = S("coordinate_transformation_mode"),
       .ref = S(""),
       .type = WH_ONNX_ATTR_STRING,
       .s = S("asymmetric")},
      {.name = S("nearest_mode"), .ref = S(""), .type = WH_ONNX_ATTR_STRING, .s = S("floor")}};
  static const wh_onnx_tensor weights[] = {{.name = S("scales"),
                                            .dtype = WH_DTYPE_F32,
                                            .rank = 1,
                                            .dims = {3},
                                            .n_elements = 3,
                                            .n_bytes = sizeof scales,
                                            .raw = {(const char *)scales, sizeof scales}}};
  static const wh_str x[] = {S("x")}, h[] = {S("h")}, up[] = {S("h"), S(""), S("scales")}, u[] = {S("u")},
                      sum[] = {S("x"), S("u")}, y[] = {S("y")};
  static const wh_onnx_node nodes[] = {{S(""), S("AveragePool"), S(""), 1, 1, 2, x, h, window},
                                       {S(""), S("Resize"), S(""), 3, 1, 2, up, u, asymmetric},
                                       {S(""), S("Add"), S(""), 2, 1, 0, sum, y, NULL}};
  static const wh_onnx_value_info outs[] = {{.name = S("y")}};
  static const wh_onnx_graph g = {.name = S("g"),
                                  .n_nodes = 3,
                                  .nodes = nodes,
                                  .n_initializers = 1,
                                  .initializers = weights,
                                  .n_inputs = 1,
                                  .inputs = &image,
                                  .n_outputs = 1,
                                  .outputs = outs};
  return &g;
}

/* kept = concat(past, x), y = x + table[past length : length of both], z = kept * mask */
static const wh_onnx_graph *cached_graph(void) {
#define STEPS(name, symbol)                                                                  \
  {                                                                                          \
    S(name), {                                                                               \
      .kind = WH_ONNX_TENSOR, .dtype = WH_DTYPE_F32, .has_shape = true, .rank = 3, .dims = { \
        {1, {"", 0}},                                                                        \
        {-1, S(symbol)},                                                                     \
        {4, {"", 0}}                                                                         \
      }                                                                                      \
    }                                                                                        \
  }
  static const wh_onnx_value_info ins[] = {STEPS("x", "s"), STEPS("past", "p"), STEPS("mask", "t")};
#undef STEPS
  static float table[64 * 4];
  static const int64_t zero[] = {0}, one[] = {1}, two[] = {2};
  static const wh_onnx_attr along = {
      .name = S("axis"), .ref = S(""), .type = WH_ONNX_ATTR_INT, .n = 1, .i = 1};
  static const wh_onnx_tensor weights[] = {{.name = S("table"),
                                            .dtype = WH_DTYPE_F32,
                                            .rank = 2,
                                            .dims = {64, 4},
                                            .n_elements = 256,
                                            .n_bytes = sizeof table,
                                            .raw = {(const char *)table, sizeof table}},
                                           I64_WEIGHT("0", 1, zero),
                                           I64_WEIGHT("1", 1, one),
                                           I64_WEIGHT("2", 1, two)};
  static const wh_str past[] = {S("past")}, ps[] = {S("ps")}, cut_p[] = {S("ps"), S("1"), S("2")},
                      p[] = {S("p")}, both[] = {S("past"), S("x")}, kept[] = {S("kept")}, ks[] = {S("ks")},
                      cut_k[] = {S("ks"), S("1"), S("2")}, k[] = {S("k")},
                      part[] = {S("table"), S("p"), S("k"), S("0")}, rows[] = {S("rows")},
                      sum[] = {S("x"), S("rows")}, y[] = {S("y")}, masked[] = {S("kept"), S("mask")},
                      z[] = {S("z")};
  static const wh_onnx_node nodes[] = {{S(""), S("Shape"), S(""), 1, 1, 0, past, ps, NULL},
                                       {S(""), S("Slice"), S(""), 3, 1, 0, cut_p, p, NULL},
                                       {S(""), S("Concat"), S(""), 2, 1, 1, both, kept, &along},
                                       {S(""), S("Shape"), S(""), 1, 1, 0, kept, ks, NULL},
                                       {S(""), S("Slice"), S(""), 3, 1, 0, cut_k, k, NULL},
                                       {S(""), S("Slice"), S(""), 4, 1, 0, part, rows, NULL},
                                       {S(""), S("Add"), S(""), 2, 1, 0, sum, y, NULL},
                                       {S(""), S("Mul"), S(""), 2, 1, 0, masked, z, NULL}};
  static const wh_onnx_value_info outs[] = {{.name = S("y")}, {.name = S("kept")}, {.name = S("z")}};
  static const wh_onnx_graph g = {.name = S("g"),
                                  .n_nodes = sizeof nodes / sizeof nodes[0],
                                  .nodes = nodes,
                                  .n_initializers = 4,
                                  .initializers = weights,
                                  .n_inputs = 3,
                                  .inputs = ins,
                                  .n_outputs = 3,
                                  .outputs = outs};
  for (int i = 0; i < 256; i++) table[i] = (float)i / 9;
  return &g;
}

/* y = reshape(x, [3, 20]): of other inputs than those of 60 elements there is no such shape. */
static const wh_onnx_graph *fixed_graph(void) {
  static const int64_t shape[] = {3, 20};
  static const wh_onnx_tensor weights[] = {I64_WEIGHT("shape", 2, shape)};
  static const wh_str xs[] = {S("x"), S("shape")}, y[] = {S("y")};
  static const wh_onnx_node nodes[] = {{S(""), S("Reshape"), S(""), 2, 1, 0, xs, y, NULL}};
  static const wh_onnx_value_info outs[] = {{.name = S("y")}};
  static const wh_onnx_graph g = {.name = S("g"),
                                  .n_nodes = 1,
                                  .nodes = nodes,
                                  .n_initializers = 1,
                                  .initializers = weights,
                                  .n_inputs = 1,
                                  .inputs = &open_input,
                                  .n_outputs = 1,
                                  .outputs = outs};
  return &g;
}

/* y = x with a row before axis 1, which is empty, and an element behind axis 2. */
static const wh_onnx_graph *padded_graph(void) {
  static const wh_onnx_value_info in = {S("x"),
                                        {.kind = WH_ONNX_TENSOR,
                                         .dtype = WH_DTYPE_F32,
                                         .has_shape = true,
                                         .rank = 3,
                                         .dims = {{-1, S("a")}, {0, {"", 0}}, {-1, S("n")}}}};
  static const int64_t pads[] = {0, 1, 0, 0, 0, 1};
  static const wh_onnx_tensor weights[] = {I64_WEIGHT("pads", 6, pads)};
  static const wh_str xp[] = {S("x"), S("pads")}, y[] = {S("y")};
  static const wh_onnx_node nodes[] = {{S(""), S("Pad"), S(""), 2, 1, 0, xp, y, NULL}};
  static const wh_onnx_value_info outs[] = {{.name = S("y")}};
  static const wh_onnx_graph g = {.name = S("g"),
                                  .n_nodes = 1,
                                  .nodes = nodes,
                                  .n_initializers = 1,
                                  .initializers = weights,
                                  .n_inputs = 1,
                                  .inputs = &in,
                                  .n_outputs = 1,
                                  .outputs = outs};
  return &g;
}

/* Inputs [a, b, c] of f32, one after the other. */
typedef struct shapes {
  size_t n;
  int64_t dims[3][3];
} shapes;

static shapes one_of(int64_t a, int64_t b, int64_t c) { return (shapes){1, {{a, b, c}}}; }

static float elements[3][2 * 9000 * 4];

static void fill(const shapes *s, wh_tensor *tensors, wh_datum *data) {
  for (size_t i = 0; i < s->n; i++) {
    const int64_t *d = s->dims[i];
    const size_t count = (size_t)(d[0] * d[1] * d[2]);
    assert_true(count <= sizeof elements[i] / sizeof elements[i][0]);
    for (size_t k = 0; k < count; k++) elements[i][k] = (float)((k * 37 + (size_t)d[1] + i) % 101) / 3;
    tensors[i] = tensor(WH_DTYPE_F32, 3, d[0], d[1], elements[i], count * sizeof(float));
    tensors[i].dims[2] = d[2];
    data[i] = (wh_datum){.kind = WH_DATUM_TENSOR,
                         .dtype = WH_DTYPE_F32,
                         .rank = 3,
                         .dims = {d[0], d[1], d[2]},
                         .n = count,
                         .data = elements[i]};
  }
}

/* Runs, and compares with an execution by numbers, bit by bit. */
static wh_status run_shapes(wh_onnx_runner *r, const wh_onnx_net *net, const shapes *s) {
  wh_tensor tensors[3];
  wh_datum data[3];
  const wh_tensor *in[] = {&tensors[0], &tensors[1], &tensors[2]};
  const wh_datum *in_data[] = {&data[0], &data[1], &data[2]};
  fill(s, tensors, data);
  WH_TRY(wh_onnx_runner_run(r, in));
  const wh_plan_device device_of = plan_device();
  wh_engine *engine;
  wh_onnx_result *result;
  assert_int_equal(wh_engine_create(&device_of, 1, 0, NULL, &engine), WH_OK);
  const wh_onnx_engine face = wh_engine_face(engine);
  assert_int_equal(wh_onnx_execute(net, in_data, &face, NULL, &result), WH_OK);
  for (size_t i = 0; i < wh_onnx_net_n_outputs(net); i++) {
    const wh_datum *want = wh_onnx_result_output(result, i);
    wh_tensor got = WH_TENSOR_INIT;
    assert_int_equal(wh_onnx_runner_output(r, i, &got), WH_OK);
    assert_int_equal(got.rank, want->rank);
    assert_memory_equal(got.dims, want->dims, (size_t)want->rank * sizeof *want->dims);
    assert_int_equal(got.n_bytes, want->n * sizeof(float));
    assert_memory_equal(got.data, want->data, want->n * sizeof(float));
  }
  wh_onnx_result_destroy(result);
  wh_engine_destroy(engine);
  return WH_OK;
}

/* Runs the graph with one shape after the other, and says how many programs there are after each. */
typedef struct shape_run {
  shapes s;
  uint64_t n_programs;
  wh_status status;
} shape_run;

static void run_all(const wh_onnx_graph *g, const shape_run *runs, size_t n) {
  const wh_onnx_file file = file_of(g);
  const wh_plan_device d = plan_device();
  wh_onnx_net *net;
  wh_onnx_runner *r;
  assert_int_equal(wh_onnx_net_create(&file, NULL, &net), WH_OK);
  assert_int_equal(wh_onnx_runner_create(net, &d, 0, NULL, NULL, &r), WH_OK);
  for (size_t i = 0; i < n; i++) {
    assert_int_equal(run_shapes(r, net, &runs[i].s), runs[i].status);
    assert_int_equal(wh_onnx_runner_n_programs(r), runs[i].n_programs);
  }
  wh_onnx_runner_destroy(r);
  wh_onnx_net_destroy(net);
}

#define RUN_ALL(graph, runs) run_all(graph, runs, sizeof(runs) / sizeof(runs)[0])
#define ONE(a, b, c) \
  {                  \
    1, {             \
      { a, b, c }    \
    }                \
  }
#define CACHED(x, past, mask)                 \
  {                                           \
    3, {                                      \
      {1, x, 4}, {1, past, 4}, { 1, mask, 4 } \
    }                                         \
  }

/* One program serves all dims that are not said and no number: those of one element are numbers, and so is
 * what lies outside a table's rows. */
static void dims_stay_open(void **state) {
  (void)state;
  static const shape_run runs[] = {{ONE(3, 5, 4), 1, WH_OK},
                                   {ONE(2, 7, 4), 1, WH_OK},
                                   {ONE(8, 2, 4), 1, WH_OK},
                                   {ONE(2, 16, 4), 1, WH_OK},
                                   {ONE(3, 5, 4), 1, WH_OK},
                                   {ONE(1, 5, 4), 2, WH_OK},
                                   {ONE(1, 9, 4), 2, WH_OK},
                                   {ONE(4, 1, 4), 3, WH_OK},
                                   {ONE(6, 1, 4), 3, WH_OK},
                                   {ONE(5, 12, 4), 3, WH_OK},
                                   {ONE(3, 17, 4), 3, WH_ERR_INVALID_ARGUMENT},
                                   {ONE(7, 3, 4), 3, WH_OK}};
  RUN_ALL(open_graph(), runs);
}

/* What is computed of dims is computed by the graph. Dims that are none, or very many, are numbers. */
static void dims_are_computed_with(void **state) {
  (void)state;
  static const shape_run runs[] = {{ONE(2, 5, 4), 1, WH_OK},    {ONE(3, 40, 4), 1, WH_OK},
                                   {ONE(2, 8192, 4), 1, WH_OK}, {ONE(2, 8193, 4), 2, WH_OK},
                                   {ONE(2, 9000, 4), 3, WH_OK}, {ONE(7, 9000 / 7, 4), 3, WH_OK}};
  RUN_ALL(sized_graph(), runs);
}

/* Sizes that are halved and doubled are open where they are multiples. */
static void multiples_stay_open(void **state) {
  (void)state;
  static const shape_run runs[] = {{ONE(3, 2, 64), 1, WH_OK},  {ONE(3, 2, 96), 1, WH_OK},
                                   {ONE(2, 2, 320), 1, WH_OK}, {ONE(2, 2, 12), 2, WH_OK},
                                   {ONE(5, 2, 36), 2, WH_OK},  {ONE(2, 2, 7), 2, WH_ERR_INVALID_ARGUMENT},
                                   {ONE(4, 2, 128), 2, WH_OK}};
  RUN_ALL(halved_graph(), runs);
}

/* A length that has to be the sum of two others is; what does not add up is an error, and not computed. */
static void lengths_follow_from_others(void **state) {
  (void)state;
  static const shape_run runs[] = {
      {CACHED(1, 4, 5), 1, WH_OK},   {CACHED(1, 5, 6), 1, WH_OK},
      {CACHED(1, 62, 63), 1, WH_OK}, {CACHED(3, 4, 7), 2, WH_OK},
      {CACHED(1, 9, 10), 2, WH_OK},  {CACHED(1, 9, 11), 2, WH_ERR_INVALID_ARGUMENT},
      {CACHED(1, 20, 21), 2, WH_OK}};
  RUN_ALL(cached_graph(), runs);
}

static void shapes_of_numbers_are_proven(void **state) {
  (void)state;
  static const shape_run runs[] = {{ONE(3, 5, 4), 0, WH_OK},
                                   {ONE(2, 5, 4), 0, WH_ERR_CORRUPT},
                                   {ONE(5, 3, 4), 0, WH_OK},
                                   {ONE(7, 40, 4), 0, WH_ERR_CORRUPT}};
  RUN_ALL(fixed_graph(), runs);
}

static void open_dims_grow(void **state) {
  (void)state;
  static const shape_run runs[] = {{ONE(3, 0, 5), 1, WH_OK}, {ONE(2, 0, 7), 1, WH_OK}};
  RUN_ALL(padded_graph(), runs);
}

/* Where a dim decides something, every shape has a program; so many as are kept, and their results. */
static void dims_that_decide_are_numbers(void **state) {
  (void)state;
  shape_run runs[2 * 39];
  for (int64_t i = 0; i < 78; i++)
    runs[i] = (shape_run){one_of(2, 2 + i % 39, 4), (uint64_t)(i < 39 ? i + 1 : 39), WH_OK};
  RUN_ALL(closed_graph(), runs);
}

/* Elements that were looked at are of as many places as then, and so is every dim of their name: z = b + b
 * beside c = zeros of shape b and w = a * a, where a and b share a dim. */
static void elements_that_were_looked_at_keep_their_dim(void **state) {
  (void)state;
  static const wh_onnx_value_info ins[] = {{S("a"),
                                            {.kind = WH_ONNX_TENSOR,
                                             .dtype = WH_DTYPE_F32,
                                             .has_shape = true,
                                             .rank = 2,
                                             .dims = {{-1, S("n")}, {4, {"", 0}}}}},
                                           {S("b"),
                                            {.kind = WH_ONNX_TENSOR,
                                             .dtype = WH_DTYPE_I64,
                                             .has_shape = true,
                                             .rank = 1,
                                             .dims = {{-1, S("n")}}}}};
  static const wh_str b[] = {S("b")}, bb[] = {S("b"), S("b")}, aa[] = {S("a"), S("a")}, c[] = {S("c")},
                      z[] = {S("z")}, w[] = {S("w")};
  static const wh_onnx_node nodes[] = {{S(""), S("ConstantOfShape"), S(""), 1, 1, 0, b, c, NULL},
                                       {S(""), S("Add"), S(""), 2, 1, 0, bb, z, NULL},
                                       {S(""), S("Mul"), S(""), 2, 1, 0, aa, w, NULL}};
  static const wh_onnx_value_info outs[] = {{.name = S("z")}, {.name = S("w")}, {.name = S("c")}};
  static const wh_onnx_graph g = GRAPH(nodes, ins, outs);
  static const int64_t shape[] = {3, 4};
  running r;
  start(&r, &g);
  for (int64_t n = 2; n < 6; n++) {
    const wh_tensor of_a = tensor(WH_DTYPE_F32, 2, n, 4, elements[0], (uint64_t)n * 4 * sizeof(float)),
                    of_b = tensor(WH_DTYPE_I64, 1, 2, 0, shape, sizeof shape), *in[] = {&of_a, &of_b};
    const wh_tensor y = run_of(&r, in);
    assert_int_equal(y.dims[0], 2);
    assert_int_equal(y.n_bytes, sizeof shape);
    assert_int_equal(((const int64_t *)y.data)[1], 8);
  }
  stop(&r);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(dims_stay_open),
                                     cmocka_unit_test(dims_are_computed_with),
                                     cmocka_unit_test(multiples_stay_open),
                                     cmocka_unit_test(lengths_follow_from_others),
                                     cmocka_unit_test(shapes_of_numbers_are_proven),
                                     cmocka_unit_test(open_dims_grow),
                                     cmocka_unit_test(dims_that_decide_are_numbers),
                                     cmocka_unit_test(elements_that_were_looked_at_keep_their_dim)};
  return cmocka_run_group_tests(tests, open_device, close_device);
}
