/* test_gradient.c - Gradient next to differences of what it differentiates, and what it refuses. */
#include <math.h>

#include "tests/onnx/onnx_structs.h"

#define NODE(op, ins, outs, n_attrs, attrs) \
  { S(""), S(op), S(""), COUNT_OF(ins), COUNT_OF(outs), n_attrs, ins, outs, attrs }
#define F32(name) PORT(name, WH_DTYPE_F32)

static const wh_str training = S("ai.onnx.preview.training");
static const wh_onnx_opset opsets[] = {{{"", 0}, 13}, {S("ai.onnx.preview.training"), 1}};

static wh_onnx_attr strings_attr(const char *name, const wh_str *values, size_t n) {
  return (wh_onnx_attr){
      .name = wh_str_from(name), .ref = S(""), .type = WH_ONNX_ATTR_STRINGS, .n = n, .strings = values};
}

/* `names` follow xs; values: what is given for them. */
static wh_status run(const wh_onnx_graph *g, const wh_tensor *const *inputs, running *r) {
  const wh_plan_device d = plan_device();
  *r = (running){.file = file_of(g)};
  r->file.n_opsets = COUNT_OF(opsets);
  r->file.opsets = opsets;
  assert_int_equal(wh_onnx_net_create(&r->file, NULL, &r->net), WH_OK);
  assert_int_equal(wh_onnx_runner_create(r->net, &d, 0, NULL, NULL, &r->runner), WH_OK);
  return wh_onnx_runner_run(r->runner, inputs);
}

/* Sums of f's elements; f = mean over axis 1 of q, with q = t^T * e and
 * t = tanh(x w + b), s = sigmoid(t / c) - sqrt(exp(x) w), e = relu(s^T) + log(c) broadcast over it. */
enum { ROWS = 3, K = 4, COLUMNS = 5, N_X = 4 };
static const wh_str mm_in[] = {S("x"), S("w")}, mm[] = {S("xw")}, add_in[] = {S("xw"), S("b")},
                    a[] = {S("a")}, t[] = {S("t")}, div_in[] = {S("t"), S("c")}, d[] = {S("d")},
                    s0[] = {S("s0")}, x_in[] = {S("x")}, ex[] = {S("ex")}, emm_in[] = {S("ex"), S("w")},
                    ew[] = {S("ew")}, root[] = {S("root")}, sub_in[] = {S("s0"), S("root")}, s[] = {S("s")},
                    st[] = {S("st")}, r[] = {S("r")}, c_in[] = {S("c")}, lc[] = {S("lc")},
                    flat_in[] = {S("lc"), S("shape")}, lcr[] = {S("lcr")}, e_in[] = {S("r"), S("lcr")},
                    e[] = {S("e")}, tt[] = {S("tt")}, q_in[] = {S("tt"), S("e")}, q[] = {S("q")},
                    f[] = {S("f")}, n_in[] = {S("f")}, y[] = {S("y")};
static const int64_t axis_1[] = {1}, shape_1[] = {1};
static const wh_onnx_attr mean_axes = {
    .name = S("axes"), .ref = S(""), .type = WH_ONNX_ATTR_INTS, .n = 1, .ints = axis_1};
static const wh_str xs[] = {S("x"), S("w"), S("b"), S("c")}, slopes[] = {S("dx"), S("dw"), S("db"), S("dc")};
static const wh_onnx_node formula[] = {NODE("MatMul", mm_in, mm, 0, NULL),
                                       NODE("Add", add_in, a, 0, NULL),
                                       NODE("Tanh", a, t, 0, NULL),
                                       NODE("Div", div_in, d, 0, NULL),
                                       NODE("Sigmoid", d, s0, 0, NULL),
                                       NODE("Exp", x_in, ex, 0, NULL),
                                       NODE("MatMul", emm_in, ew, 0, NULL),
                                       NODE("Sqrt", ew, root, 0, NULL),
                                       NODE("Sub", sub_in, s, 0, NULL),
                                       NODE("Transpose", s, st, 0, NULL),
                                       NODE("Relu", st, r, 0, NULL),
                                       NODE("Log", c_in, lc, 0, NULL),
                                       NODE("Reshape", flat_in, lcr, 0, NULL),
                                       NODE("Add", e_in, e, 0, NULL),
                                       NODE("Transpose", t, tt, 0, NULL),
                                       NODE("Mul", q_in, q, 0, NULL),
                                       NODE("ReduceMean", q, f, 1, &mean_axes),
                                       NODE("Neg", n_in, y, 0, NULL)};
static const wh_onnx_tensor shape_weight = {.name = S("shape"),
                                            .dtype = WH_DTYPE_I64,
                                            .rank = 1,
                                            .dims = {1},
                                            .n_elements = 1,
                                            .n_bytes = sizeof shape_1,
                                            .raw = {(const char *)shape_1, sizeof shape_1}};

static void slopes_are_those_of_differences(void **state) {
  (void)state;
  const wh_onnx_attr attrs[] = {
      strings_attr("xs", xs, N_X),
      {.name = S("y"), .ref = S(""), .type = WH_ONNX_ATTR_STRING, .n = 1, .s = S("y")}};
  wh_onnx_node nodes[COUNT_OF(formula) + 1];
  memcpy(nodes, formula, sizeof formula);
  nodes[COUNT_OF(formula)] = (wh_onnx_node){S(""), S("Gradient"), training, N_X, N_X, 2, xs, slopes, attrs};
  const wh_onnx_value_info ins[] = {F32("x"), F32("w"), F32("b"), F32("c")},
                           outs[] = {F32("y"), F32("dx"), F32("dw"), F32("db"), F32("dc")};
  wh_onnx_graph g = GRAPH(nodes, ins, outs);
  g.n_initializers = 1;
  g.initializers = &shape_weight;
  float x[ROWS * K], w[K * COLUMNS], b[COLUMNS], c[1] = {0.75f};
  float *const values[] = {x, w, b, c};
  const size_t sizes[] = {COUNT_OF(x), COUNT_OF(w), COUNT_OF(b), 1};
  for (size_t i = 0; i < COUNT_OF(x); i++) x[i] = (float)(i * 7 % 11) / 11 - 0.4f;
  for (size_t i = 0; i < COUNT_OF(w); i++) w[i] = (float)(i * 5 % 13 + 1) / 40;
  for (size_t i = 0; i < COUNT_OF(b); i++) b[i] = (float)i / 8 - 0.2f;
  const wh_tensor tensors[] = {
      tensor(WH_DTYPE_F32, 2, ROWS, K, x, sizeof x), tensor(WH_DTYPE_F32, 2, K, COLUMNS, w, sizeof w),
      tensor(WH_DTYPE_F32, 1, COLUMNS, 0, b, sizeof b), tensor(WH_DTYPE_F32, 1, 1, 0, c, sizeof c)};
  const wh_tensor *const in[] = {&tensors[0], &tensors[1], &tensors[2], &tensors[3]};
  running n;
  float got[N_X][ROWS * K + K * COLUMNS];
  assert_int_equal(run(&g, in, &n), WH_OK);
  for (size_t i = 0; i < N_X; i++) {
    wh_tensor out = WH_TENSOR_INIT;
    assert_int_equal(wh_onnx_runner_output(n.runner, i + 1, &out), WH_OK);
    assert_int_equal(out.n_bytes, sizes[i] * sizeof(float));
    assert_int_equal(out.rank, tensors[i].rank);
    memcpy(got[i], out.data, out.n_bytes);
  }
  int n_clear = 0;
  for (size_t i = 0; i < N_X; i++)
    for (size_t k = 0; k < sizes[i]; k++) {
      const float was = values[i][k], h = 1.0f / 256;
      double sums[2] = {0, 0};
      for (int side = 0; side < 2; side++) {
        values[i][k] = was + (side ? h : -h);
        const wh_tensor out = run_of(&n, in);
        for (size_t j = 0; j < out.n_bytes / sizeof(float); j++)
          sums[side] += (double)((const float *)out.data)[j];
      }
      values[i][k] = was;
      const double want = (sums[1] - sums[0]) / (2 * (double)h);
      if (fabs(want - (double)got[i][k]) > 2e-3)
        fail_msg("slope %zu of %s: %g, by differences %g", k, xs[i].data, (double)got[i][k], want);
      n_clear += fabs(want) > 0.02;
    }
  assert_true(n_clear > 20); /* not zeros next to zeros */
  stop(&n);
}

/* dy/dx at a tensor of its own: y = x * z. */
static void other_tensors_may_be_given(void **state) {
  (void)state;
  static const wh_str in[] = {S("x"), S("z")}, out[] = {S("y")}, x_name[] = {S("x")}, z_name[] = {S("z")},
                      given[] = {S("u"), S("v")}, made[] = {S("dx")};
  const wh_onnx_attr attrs[] = {
      strings_attr("xs", x_name, 1),
      strings_attr("zs", z_name, 1),
      {.name = S("y"), .ref = S(""), .type = WH_ONNX_ATTR_STRING, .n = 1, .s = S("y")}};
  const wh_onnx_node nodes[] = {NODE("Mul", in, out, 0, NULL),
                                {S(""), S("Gradient"), training, 2, 1, 3, given, made, attrs}};
  const wh_onnx_value_info ins[] = {F32("x"), F32("z"), F32("u"), F32("v")}, outs[] = {F32("dx"), F32("y")};
  const wh_onnx_graph g = GRAPH(nodes, ins, outs);
  static const float v[4][2] = {{1, 2}, {3, 4}, {5, 6}, {7, 8}};
  wh_tensor t4[4];
  const wh_tensor *inputs[4];
  for (int i = 0; i < 4; i++) {
    t4[i] = tensor(WH_DTYPE_F32, 1, 2, 0, v[i], sizeof v[i]);
    inputs[i] = &t4[i];
  }
  running n;
  assert_int_equal(run(&g, inputs, &n), WH_OK);
  const wh_tensor dx = run_of(&n, inputs);
  assert_true(((const float *)dx.data)[0] == 7 && ((const float *)dx.data)[1] == 8);
  stop(&n);
}

static void refusals_say_why(void **state) {
  (void)state;
  static const wh_str in[] = {S("x")}, out[] = {S("y")}, x_name[] = {S("x")}, no_name[] = {S("nobody")},
                      made[] = {S("dx")};
  static const struct {
    const char *op, *y, *says;
    const wh_str *xs;
  } cases[] = {{"Floor", "y", "'Floor' has no derivative", x_name},
               {"Exp", "nobody", "'nobody'", x_name},
               {"Exp", "y", "'nobody'", no_name},
               {"Exp", "y", "neither xs nor zs", NULL}};
  for (size_t i = 0; i < COUNT_OF(cases); i++) {
    static const wh_str other[] = {S("z")};
    const wh_onnx_attr attrs[] = {
        strings_attr("xs", cases[i].xs ? cases[i].xs : other, 1),
        {.name = S("y"), .ref = S(""), .type = WH_ONNX_ATTR_STRING, .n = 1, .s = wh_str_from(cases[i].y)}};
    const wh_onnx_node nodes[] = {
        {S(""), wh_str_from(cases[i].op), S(""), 1, 1, 0, in, out, NULL},
        {S(""), S("Gradient"), training, 1, 1, 2, cases[i].xs ? in : other, made, attrs}};
    const wh_onnx_value_info ins[] = {F32("x"), F32("z")}, outs[] = {F32("dx")};
    const wh_onnx_graph g = GRAPH(nodes, ins, outs);
    static const float v[] = {1, 2};
    const wh_tensor tv = tensor(WH_DTYPE_F32, 1, 2, 0, v, sizeof v), *inputs[] = {&tv, &tv};
    running n;
    assert_int_not_equal(run(&g, inputs, &n), WH_OK);
    if (!strstr(wh_last_error()->message, cases[i].says))
      fail_msg("case %zu: %s", i, wh_last_error()->message);
    stop(&n);
  }
}

/* Each would lower all those before it once more. */
static void gradients_of_gradients_are_refused(void **state) {
  (void)state;
  static const wh_str x[] = {S("x")}, g1[] = {S("g1")}, g2[] = {S("g2")};
  const wh_onnx_attr first[] = {
      strings_attr("xs", x, 1),
      {.name = S("y"), .ref = S(""), .type = WH_ONNX_ATTR_STRING, .n = 1, .s = S("y")}};
  const wh_onnx_attr second[] = {
      strings_attr("xs", x, 1),
      {.name = S("y"), .ref = S(""), .type = WH_ONNX_ATTR_STRING, .n = 1, .s = S("g1")}};
  const wh_onnx_node nodes[] = {NODE("Exp", x, y, 0, NULL),
                                {S(""), S("Gradient"), training, 1, 1, 2, x, g1, first},
                                {S(""), S("Gradient"), training, 1, 1, 2, x, g2, second}};
  const wh_onnx_value_info ins[] = {F32("x")}, outs[] = {F32("g2")};
  const wh_onnx_graph g = GRAPH(nodes, ins, outs);
  static const float v[] = {1, 2};
  const wh_tensor tv = tensor(WH_DTYPE_F32, 1, 2, 0, v, sizeof v), *inputs[] = {&tv};
  running n;
  assert_int_equal(run(&g, inputs, &n), WH_ERR_UNSUPPORTED);
  assert_non_null(strstr(wh_last_error()->message, "'Gradient' has no derivative"));
  stop(&n);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(slopes_are_those_of_differences),
      cmocka_unit_test(other_tensors_may_be_given),
      cmocka_unit_test(refusals_say_why),
      cmocka_unit_test(gradients_of_gradients_are_refused),
  };
  return cmocka_run_group_tests_name("onnx gradient", tests, open_device, close_device);
}
