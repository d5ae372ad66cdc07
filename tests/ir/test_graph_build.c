/* test_graph_build.c - what the builders refuse: attributes, constants, regions; then what wh_graph_verify
 * finds in graphs that were damaged on purpose. The shape rules: test_graph_shapes.c. */
#include <math.h>

#include "tests/ir/graph_fixture.h"

typedef struct small_graph {
  wh_graph *g;
  wh_shape matrix; /* f32[t, 64] */
  wh_value x, y;   /* input, neg(x) */
} small_graph;

static void small_graph_create(small_graph *s) {
  assert_ok(wh_graph_create("small", NULL, &s->g));
  s->matrix = (wh_shape){.dtype = WH_DTYPE_F32, .rank = 2};
  assert_ok(wh_dim_symbol(&s->g->dims, "t", 1, 8, &s->matrix.dims[0]));
  assert_ok(wh_dim_const(&s->g->dims, 64, &s->matrix.dims[1]));
  assert_ok(wh_graph_add_input(s->g, "x", &s->matrix, &s->x));
  assert_ok(wh_graph_add_node(s->g, WH_OP_NEG, "y", &s->x, 1, NULL, 0, &s->y));
}

static void shapes_are_checked(void **state) {
  (void)state;
  small_graph s;
  small_graph_create(&s);
  wh_value v = 99;
  wh_shape shape = s.matrix;
  shape.dtype = (wh_dtype)15;
  assert_int_equal(wh_graph_add_input(s.g, "in", &shape, &v), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("'in': no such dtype");
  shape = s.matrix;
  shape.rank = WH_MAX_RANK + 1;
  assert_int_equal(wh_graph_add_state(s.g, "in", &shape, &v), WH_ERR_LIMIT);
  shape.rank = -1;
  assert_int_equal(wh_graph_add_state(s.g, "in", &shape, &v), WH_ERR_LIMIT);
  shape = s.matrix;
  shape.dims[1] = (wh_dim)s.g->dims.n;
  assert_int_equal(wh_graph_add_input(s.g, "in", &shape, &v), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("'in': dimension 1 is undefined");
  assert_int_equal(v, 99);
  assert_int_equal(s.g->n_values, 3);
  wh_graph_destroy(s.g);
}

static void constants_have_exactly_their_bytes(void **state) {
  (void)state;
  small_graph s;
  small_graph_create(&s);
  static const float data[64] = {1};
  wh_value v = 99;
  wh_shape shape = {.dtype = WH_DTYPE_F32, .rank = 1, .dims = {s.matrix.dims[1]}};
  assert_int_equal(wh_graph_add_const(s.g, "c", &shape, data, sizeof data - 1, NULL, &v),
                   WH_ERR_INVALID_ARGUMENT);
  assert_error_says("constant 'c' has 255 bytes, its shape needs 256");
  assert_int_equal(wh_graph_add_const(s.g, "c", &s.matrix, data, sizeof data, NULL, &v),
                   WH_ERR_INVALID_ARGUMENT);
  assert_error_says("constant 'c' has a symbolic dimension");
  shape.dtype = WH_DTYPE_Q4_K; /* blocks of 256 */
  assert_int_equal(wh_graph_add_const_shape(s.g, "c", &shape, &v), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("constant 'c': its q4_k shape has no whole number of bytes");
  shape.dtype = WH_DTYPE_Q8A;
  assert_int_equal(wh_graph_add_const_shape(s.g, "c", &shape, &v), WH_ERR_INVALID_ARGUMENT);
  wh_shape huge = {.dtype = WH_DTYPE_F64, .rank = 4};
  for (int i = 0; i < 4; i++) assert_ok(wh_dim_const(&s.g->dims, WH_DIM_LIMIT, &huge.dims[i]));
  assert_int_equal(wh_graph_add_const_shape(s.g, "c", &huge, &v), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(v, 99);
  assert_int_equal(s.g->n_values, 3);
  shape.dtype = WH_DTYPE_F32;
  assert_ok(wh_graph_add_const(s.g, "c", &shape, data, sizeof data, &s, &v));
  assert_ptr_equal(wh_graph_value(s.g, v)->data, data);
  assert_ptr_equal(wh_graph_value(s.g, v)->origin, &s);
  wh_graph_destroy(s.g);
}

static void attributes_are_checked(void **state) {
  (void)state;
  small_graph s;
  small_graph_create(&s);
  wh_value v = 99;
  static const float not_finite[] = {NAN, INFINITY, -INFINITY};
  for (size_t i = 0; i < 3; i++) {
    wh_attr alpha = {.key = WH_ATTR_ALPHA, .f = not_finite[i]};
    assert_int_equal(wh_graph_add_node(s.g, WH_OP_SCALE, "n", &s.x, 1, &alpha, 1, &v),
                     WH_ERR_INVALID_ARGUMENT);
    assert_error_says("node 'n': attribute alpha is not finite");
  }
  wh_attr attr = {.key = WH_ATTR_EPS};
  assert_int_equal(wh_graph_add_node(s.g, WH_OP_SCALE, "n", &s.x, 1, &attr, 1, &v), WH_ERR_INVALID_ARGUMENT);
  attr.key = (wh_attr_key)WH_ATTR_COUNT;
  assert_int_equal(wh_graph_add_node(s.g, WH_OP_SCALE, "n", &s.x, 1, &attr, 1, &v), WH_ERR_INVALID_ARGUMENT);
  attr = (wh_attr){.key = WH_ATTR_SHAPE, .rank = WH_MAX_RANK + 1};
  assert_int_equal(wh_graph_add_node(s.g, WH_OP_RESHAPE, "n", &s.x, 1, &attr, 1, &v),
                   WH_ERR_INVALID_ARGUMENT);
  attr = (wh_attr){.key = WH_ATTR_SHAPE, .rank = 1, .dims = {UINT32_MAX}};
  assert_int_equal(wh_graph_add_node(s.g, WH_OP_RESHAPE, "n", &s.x, 1, &attr, 1, &v),
                   WH_ERR_INVALID_ARGUMENT);
  assert_error_says("attribute shape is no shape");
  assert_int_equal(wh_graph_add_node(s.g, (wh_op)WH_OP_COUNT, "n", &s.x, 1, NULL, 0, &v),
                   WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(v, 99);
  assert_int_equal(s.g->n_nodes, 1);
  wh_graph_destroy(s.g);
}

/* What a concatenation of many parts, or a split into them, needs. */
static void nodes_have_many_operands(void **state) {
  (void)state;
  enum { N = 3000 };
  small_graph s;
  small_graph_create(&s);
  wh_value *in = malloc(N * sizeof *in), *outs = malloc(N * sizeof *outs);
  wh_shape *shapes = malloc(N * sizeof *shapes);
  int64_t *ints = malloc(N * sizeof *ints);
  assert_true(in && outs && shapes && ints);
  for (int i = 0; i < N; i++) {
    in[i] = i % 3 ? s.y : 0;
    shapes[i] = s.matrix;
    ints[i] = -i;
  }
  in[N - 1] = s.y;
  const wh_attr attrs[] = {{.key = WH_ATTR_NAME, .text = "all", .n = 3},
                           {.key = WH_ATTR_INTS, .ints = ints, .n = N},
                           {.key = WH_ATTR_FLOATS},
                           {.key = WH_ATTR_TENSOR, .dtype = WH_DTYPE_F32, .rank = 0, .data = "1234", .n = 4}};
  const wh_node_def def = {.op = WH_OP_CUSTOM,
                           .name = "many",
                           .inputs = in,
                           .n_inputs = N,
                           .attrs = attrs,
                           .n_attrs = 4,
                           .shapes = shapes,
                           .n_outputs = N};
  assert_ok(wh_graph_add(s.g, &def, outs));
  ints[1] = 99; /* what the builder was given is the caller's */
  in[1] = 0;
  wh_graph *copy, *back;
  assert_ok(wh_graph_add_output(s.g, "last", outs[N - 1]));
  assert_ok(wh_graph_clone(s.g, &copy));
  char *text = graph_text(s.g);
  wh_graph_destroy(s.g);
  assert_graph_text(copy, text);
  const wh_node_info *n = &copy->nodes[1];
  assert_int_equal(n->n_inputs, N);
  assert_int_equal(wh_node_n_outputs(n), N);
  assert_int_equal(n->inputs[1], s.y);
  assert_int_equal(wh_node_attr(n, WH_ATTR_INTS)->ints[1], -1);
  assert_int_equal(wh_graph_value(copy, wh_node_output(n, 7))->output, 7);
  assert_int_equal(wh_graph_value(copy, wh_node_output(n, 7))->producer, 1);
  assert_ok(wh_graph_verify(copy));
  back = graph_from_text(text);
  assert_graph_text(back, text);
  wh_graph_destroy(copy);
  wh_graph_destroy(back);
  free(text);
  free(in);
  free(outs);
  free(shapes);
  free(ints);
}

static void lists_and_tensors_are_checked(void **state) {
  (void)state;
  small_graph s;
  small_graph_create(&s);
  static const float bad_floats[] = {1, NAN};
  wh_value v = 99;
  const wh_attr good[] = {{.key = WH_ATTR_NAME, .text = "n", .n = 1},
                          {.key = WH_ATTR_INTS},
                          {.key = WH_ATTR_FLOATS},
                          {.key = WH_ATTR_TENSOR,
                           .dtype = WH_DTYPE_U8,
                           .rank = 1,
                           .dims = {s.matrix.dims[1]},
                           .data = bad_floats,
                           .n = 64}};
  const struct {
    wh_attr attr;
    const char *error;
  } bad[] = {
      {{.key = WH_ATTR_NAME, .text = "a\0b", .n = 3}, "attribute name has a byte 0"},
      {{.key = WH_ATTR_NAME, .n = 3}, "attribute name has no data"},
      {{.key = WH_ATTR_INTS, .n = SIZE_MAX / 8 + 1}, "attribute ints is too long"},
      {{.key = WH_ATTR_FLOATS, .floats = bad_floats, .n = 2}, "attribute floats is not finite"},
      {{.key = WH_ATTR_TENSOR, .dtype = WH_DTYPE_U8, .rank = 9}, "attribute tensor is no shape"},
      {{.key = WH_ATTR_TENSOR, .dtype = WH_DTYPE_U8, .rank = 1, .dims = {UINT32_MAX}}, "is no shape"},
      {{.key = WH_ATTR_TENSOR, .dtype = WH_DTYPE_U8, .rank = 1, .dims = {s.matrix.dims[0]}},
       "symbolic dimension"},
      {{.key = WH_ATTR_TENSOR, .dtype = WH_DTYPE_U8, .rank = 1, .dims = {s.matrix.dims[1]}}, "another size"},
      {{.key = WH_ATTR_TENSOR, .dtype = (wh_dtype)15, .rank = 0}, "another size"},
      {{.key = WH_ATTR_TENSOR, .dtype = WH_DTYPE_Q8A, .rank = 0}, "another size"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    wh_attr attrs[4];
    memcpy(attrs, good, sizeof attrs);
    for (int k = 0; k < 4; k++)
      if (attrs[k].key == bad[i].attr.key) attrs[k] = bad[i].attr;
    const wh_node_def def = {
        .op = WH_OP_CUSTOM, .name = "n", .attrs = attrs, .n_attrs = 4, .shapes = &s.matrix, .n_outputs = 1};
    assert_int_equal(wh_graph_add(s.g, &def, &v), WH_ERR_INVALID_ARGUMENT);
    assert_error_says(bad[i].error);
  }
  wh_node_def def = {
      .op = WH_OP_CUSTOM, .name = "n", .attrs = good, .n_attrs = 3, .shapes = &s.matrix, .n_outputs = 1};
  assert_int_equal(wh_graph_add(s.g, &def, &v), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("custom lacks an attribute");
  def.n_attrs = 4;
  def.n_outputs = 0;
  assert_int_equal(wh_graph_add(s.g, &def, &v), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("custom has 1 to 65535 outputs, not 0");
  wh_shape shape = s.matrix;
  shape.dims[0] = UINT32_MAX;
  def.n_outputs = 1;
  def.shapes = &shape;
  assert_int_equal(wh_graph_add(s.g, &def, &v), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("node 'n' (custom): output 0 has no shape");
  assert_int_equal(v, 99);
  assert_int_equal(s.g->n_nodes, 1);
  wh_graph_destroy(s.g);
}

/* Chains of replacements end where the last one does, in inputs and outputs. */
static void replacements_are_resolved_once(void **state) {
  (void)state;
  wh_graph *g = graph_from_text(
      "graph \"g\" { %1 = input \"a\" f32[4] %2 = input \"b\" f32[4] %3 = neg(%1) \"c\" : f32[4] %4 = "
      "exp(%3) \"d\" "
      ": f32[4] %5 = add(%4, %3) \"e\" : f32[4] output \"o\" %4 output \"p\" %5 }");
  assert_ok(wh_graph_replace_uses(g, 4, 3));
  assert_ok(wh_graph_replace_uses(g, 3, 2));
  assert_ok(wh_graph_replace_uses(g, 2, 4)); /* 4 is 2 by now */
  assert_int_equal(wh_graph_resolve(g, 4), 2);
  assert_int_equal(wh_graph_resolve(g, 5), 5);
  assert_int_equal(g->nodes[2].inputs[0], 4); /* nothing is touched before ... */
  wh_graph_apply_replacements(g);
  assert_int_equal(g->nodes[2].inputs[0], 2);
  assert_int_equal(g->nodes[2].inputs[1], 2);
  assert_int_equal(g->nodes[1].inputs[0], 2);
  assert_int_equal(g->outputs[0].value, 2);
  assert_int_equal(g->outputs[1].value, 5);
  assert_int_equal(wh_graph_resolve(g, 4), 4); /* ... and nothing is left */
  assert_ok(wh_graph_verify(g));
  wh_graph_destroy(g);
}

/* if and loop: what their regions must take and yield. */
static void region_rules(void **state) {
  (void)state;
#define HEAD \
  "graph \"g\" { symbol n 0..9 %1 = input \"c\" bool[] %2 = input \"x\" f32[4] %3 = input \"k\" i64[]\n"
#define IF(then, otherwise, rest) HEAD "region ^1" then "region ^2" otherwise rest " }"
#define LOOP(body, rest) HEAD "region ^1" body rest " }"
#define TAKES "(%4 : i64[], %5 : bool[], %6 : f32[4]) "
  static const struct {
    const char *text, *error; /* NULL: well-formed */
  } rules[] = {
      {IF("() { yield %2 }", "() { %4 = neg(%2) \"n\" : f32[4] yield %4 }",
          "%5 = if(%1) [^1, ^2] \"i\" : f32[4]"),
       NULL},
      {IF("() { yield %2, %3 }", "() { yield %2, %3 }", "%4, %5 = if(%1) [^1, ^2] \"i\" : f32[4], i64[]"),
       NULL},
      {IF("() { yield %2 }", "() { yield %2 }", "%4 = if(%2) [^1, ^2] \"i\" : f32[4]"),
       "input 0 is f32, not bool"},
      {IF("() { yield %2 }", "() { yield %3 }", "%4 = if(%1) [^1, ^2] \"i\" : f32[4]"),
       "node 'i' (if): region 1 yields other shapes than region 0"},
      {IF("() { yield %2 }", "() { yield %2, %2 }", "%4 = if(%1) [^1, ^2] \"i\" : f32[4]"),
       "region 1 yields another number of values than region 0"},
      {IF("(%4 : f32[]) { yield %2 }", "() { yield %2 }", "%5 = if(%1) [^1, ^2] \"i\" : f32[4]"),
       "region 0 has parameters"},
      {IF("() { yield %2 }", "() { yield %2 }", "%4 = if(%1) [^1] \"i\" : f32[4]"),
       "node 'i': if runs 2 regions, not 1"},
      {IF("() { yield %2 }", "() { yield %2 }", "%4 = if(%1) [^1, ^1] \"i\" : f32[4]"),
       "node 'i': region 1 is not free to be run here"},
      {IF("() { yield %2 }", "() { yield %2 }", "%4 = if(%1) [^1, ^3] \"i\" : f32[4]"),
       "region 1 is not free"},
      {IF("() { yield %2 }", "() { yield %2 }", "%4 = if(%1) [^0, ^2] \"i\" : f32[4]"),
       "region 0 is not free"},
      {IF("() { yield %2 }", "() { yield %2 }", "%4 = if(%1) \"i\" : f32[4]"),
       "node 'i': if runs 2 regions, not 0"},
      {IF("() { yield %2 }", "() { yield %2 }", "%4 = neg(%2) [^1] \"i\" : f32[4]"),
       "node 'i': neg runs 0 regions, not 1"},
      {IF("() { yield %2 }", "() { yield %2 }", ""), "region 1 is run by no node"},
      {IF("() { %4 = neg(%2) \"n\" : f32[4] yield %2 }", "() { yield %4 }", ""),
       "a region yields what it does not see"},
      {IF("() { %4 = neg(%2) \"n\" : f32[4] yield %2 }", "() { yield %2 }", "%5 = neg(%4) \"m\" : f32[4]"),
       "node 'm': input 0 is made in a region that has ended"},
      {IF("() { %4 = neg(%2) \"n\" : f32[4] yield %4 }", "() { yield %2 }",
          "%5 = if(%1) [^1, ^2] \"i\" : f32[4] output \"o\" %4"),
       "output 'o' is made in a region"},
      {IF("() { yield %2 }", "() { region ^3() { yield %2 } %4 = if(%1) [^1, ^3] \"i\" : f32[4] yield %4 }",
          ""),
       "node 'i': region 0 is not free to be run here"},
      {LOOP(TAKES "{ %7 = neg(%6) \"n\" : f32[4] yield %5, %7, %4 }",
            "%8, %9 = loop(%3, _, %2) {trips = [n]} [^1] \"l\" : f32[4], i64[n]"),
       NULL},
      {LOOP("(%4 : i64[], %5 : bool[]) { yield %1, %2 }", "%6 = loop() {trips = [n]} [^1] \"l\" : f32[n, 4]"),
       NULL},
      {LOOP(TAKES "{ yield %5, %6 }", "%7 = loop(%3, %1, %2) {trips = []} [^1] \"l\" : f32[4]"), NULL},
      {LOOP(TAKES "{ yield %5, %6 }", "%7 = loop(%1, %1, %2) {trips = []} [^1] \"l\" : f32[4]"),
       "input 0 is bool, not i64"},
      {LOOP(TAKES "{ yield %5, %6 }", "%7 = loop(%3, %3, %2) {trips = []} [^1] \"l\" : f32[4]"),
       "input 1 is i64, not bool"},
      {LOOP(TAKES "{ yield %5, %6 }", "%7 = loop(%3, %1, _, %2) {trips = []} [^1] \"l\" : f32[4]"),
       "input 2: is missing"},
      {LOOP(TAKES "{ yield %5, %6 }", "%7 = loop(%3, %1) {trips = []} [^1] \"l\" : f32[4]"),
       "region 0 must take the iteration, whether to go on, and what is carried"},
      {LOOP(TAKES "{ yield %5, %6 }", "%7 = loop(%3, %1, %3) {trips = []} [^1] \"l\" : i64[]"),
       "region 0 has a parameter of another shape than it is given"},
      {LOOP("(%4 : i64[4], %5 : bool[], %6 : f32[4]) { yield %5, %6 }",
            "%7 = loop(%3, %1, %2) {trips = []} [^1] \"l\" : f32[4]"),
       "region 0 has a parameter of another shape"},
      {LOOP(TAKES "{ yield %6, %6 }", "%7 = loop(%3, %1, %2) {trips = []} [^1] \"l\" : f32[4]"),
       "region 0 must yield whether to go on, and what is carried"},
      {LOOP(TAKES "{ yield %5, %4 }", "%7 = loop(%3, %1, %2) {trips = []} [^1] \"l\" : i64[]"),
       "region 0 changes the shape of what is carried"},
      {LOOP(TAKES "{ yield %5, %6 }", "%7 = loop(%3, %1, %2) {trips = [n]} [^1] \"l\" : f32[4]"),
       "'trips' is one dimension"},
      {LOOP(TAKES "{ yield %5, %6, %6 }",
            "%7, %8 = loop(%3, %1, %2) {trips = []} [^1] \"l\" : f32[4], f32[4]"),
       "'trips' is one dimension"},
      {LOOP("(%4 : i64[], %5 : bool[]) { yield %5 }", "%6 = loop() {trips = []} [^1] \"l\" : f32[]"),
       "loop has 1 to 65535 outputs, not 0"},
      {HEAD "%4 = state \"s\" f16[9, 2, 64, 16] %5 = input \"h\" f32[1, 2, 16] %6 = input \"p\" "
            "i32[1] %7 = input \"pt\" i32[1, 1]\nregion ^1() { %8 = "
            "kv_append(%4, %5, %6, %6, %7) {key = 1} \"w\" : f16[9, 2, 64, 16] yield %8 } }",
       "node 'w' (kv_append): a region cannot write a state"},
  };
  for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
    wh_graph *g = NULL;
    wh_status st = wh_graph_parse(rules[i].text, strlen(rules[i].text), NULL, &g);
    if ((st == WH_OK) != !rules[i].error)
      fail_msg("%s\n%s", rules[i].text, st == WH_OK ? "was accepted" : wh_last_error()->message);
    if (rules[i].error) assert_error_says(rules[i].error);
    wh_graph_destroy(g);
  }
  wh_graph *g;
  wh_region r;
  assert_ok(wh_graph_create("deep", NULL, &g));
  assert_int_equal(wh_graph_end_region(g, NULL, 0), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("no region is open");
  for (unsigned i = 0; i < WH_MAX_REGION_DEPTH; i++) assert_ok(wh_graph_begin_region(g, NULL, 0, NULL, &r));
  assert_int_equal(wh_graph_begin_region(g, NULL, 0, NULL, &r), WH_ERR_LIMIT);
  assert_int_equal(wh_graph_end_region(g, NULL, 0), WH_ERR_INVALID_ARGUMENT);
  assert_error_says("a region yields 1 to 65535 values, not 0");
  assert_int_equal(wh_graph_verify(g), WH_ERR_INVALID_ARGUMENT);
  wh_graph_destroy(g);
}

/* A graph with a loop in a branch, damaged one field at a time. */
static void verify_finds_damaged_regions(void **state) {
  (void)state;
  static const char *const damages[][2] = {{"owner", "region 1 is run by no node"},
                                           {"parent", "node 'a' does not own its regions"},
                                           {"result", "region 2 is damaged"},
                                           {"no results", "region 1 is damaged"},
                                           {"param", "region 1 is damaged"},
                                           {"open", "region 2 is run by no node"},
                                           {"node's region", "value 'n' has the wrong producer"},
                                           {"regions", "node 'i' does not own its regions"},
                                           {"capture", "node 'e' (exp): input 0 is made in another region"},
                                           {"value's region", "value 'n' has the wrong producer"},
                                           {"nowhere", "value 'n' is made nowhere"},
                                           {"dropped", "node 'n' stands in a region that nothing runs"},
                                           {"output", "output 'o' is not computed"},
                                           {"dead owner", "region 2 is run by no node"}};
  for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
    wh_graph *g =
        graph_from_text(HEAD "region ^1" TAKES
                             "{ %7 = neg(%6) \"n\" : f32[4] yield %5, %7 }\n"
                             "%8 = loop(%3, _, %2) {trips = []} [^1] \"a\" : f32[4]\n"
                             "region ^2() { %9 = exp(%8) \"e\" : f32[4] yield %9 } region ^3() { yield %2 }\n"
                             "%10 = if(%1) [^2, ^3] \"i\" : f32[4] output \"o\" %10 }");
    assert_ok(wh_graph_verify(g));
    const char *what = damages[i][0];
    if (!strcmp(what, "owner")) g->regions[1].owner = WH_NO_NODE;
    if (!strcmp(what, "parent")) g->regions[1].parent = 3;
    if (!strcmp(what, "result")) g->regions[2].results[0] = 7;
    if (!strcmp(what, "no results")) g->regions[1].n_results = 0;
    if (!strcmp(what, "param")) g->regions[1].params[0] = 5;
    if (!strcmp(what, "open")) g->regions[2].is_open = true;
    if (!strcmp(what, "node's region")) g->nodes[0].region = 2;
    if (!strcmp(what, "regions")) g->nodes[3].n_regions = 1;
    if (!strcmp(what, "capture")) g->nodes[2].inputs[0] = 7;
    if (!strcmp(what, "value's region")) g->values[7].region = 0;
    if (!strcmp(what, "nowhere")) g->values[7].region = 99;
    if (!strcmp(what, "dropped")) g->regions[1].dropped = true, g->regions[1].owner = WH_NO_NODE;
    if (!strcmp(what, "output")) g->outputs[0].value = 9;
    if (!strcmp(what, "dead owner")) g->nodes[3].dead = true;
    if (wh_graph_verify(g) == WH_OK) fail_msg("'%s' was not found", what);
    assert_error_says(damages[i][1]);
    wh_graph_destroy(g);
  }
}

static void values_must_exist(void **state) {
  (void)state;
  small_graph s;
  small_graph_create(&s);
  wh_value v = 99, none = 0, future = (wh_value)s.g->n_values;
  assert_int_equal(wh_graph_add_node(s.g, WH_OP_NEG, "n", &none, 1, NULL, 0, &v), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_graph_add_node(s.g, WH_OP_NEG, "n", &future, 1, NULL, 0, &v), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_graph_add_output(s.g, "o", none), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_graph_add_output(s.g, "o", future), WH_ERR_INVALID_ARGUMENT);
  s.g->values[s.y].kind = WH_VALUE_NONE; /* as compaction leaves a value that it drops */
  assert_int_equal(wh_graph_add_node(s.g, WH_OP_NEG, "n", &s.y, 1, NULL, 0, &v), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(wh_graph_add_output(s.g, "o", s.y), WH_ERR_INVALID_ARGUMENT);
  assert_int_equal(v, 99);
  wh_graph_destroy(s.g);
}

static void bytes_of_shapes(void **state) {
  (void)state;
  small_graph s;
  small_graph_create(&s);
  const int64_t t[] = {5};
  size_t bytes = 99;
  wh_shape shape = s.matrix; /* [t, 64] */
  assert_true(wh_shape_bytes(s.g, &shape, t, &bytes));
  assert_int_equal(bytes, 5 * 64 * 4);
  shape.dtype = WH_DTYPE_Q4_0; /* two blocks of 18 bytes a row */
  assert_true(wh_shape_bytes(s.g, &shape, t, &bytes));
  assert_int_equal(bytes, 5 * 36);
  assert_true(wh_shape_bytes(s.g, &(wh_shape){.dtype = WH_DTYPE_F64}, t, &bytes)); /* a scalar */
  assert_int_equal(bytes, 8);
  assert_true(wh_shape_bytes(s.g, &s.matrix, (const int64_t[]){0}, &bytes));
  assert_int_equal(bytes, 0);
  bytes = 99;
  shape.dtype = WH_DTYPE_Q4_K; /* 64 elements are no whole block */
  assert_false(wh_shape_bytes(s.g, &shape, t, &bytes));
  shape.dtype = WH_DTYPE_Q8A;
  assert_false(wh_shape_bytes(s.g, &shape, t, &bytes));
  wh_shape huge = {.dtype = WH_DTYPE_U8, .rank = 2};
  for (int i = 0; i < 2; i++) assert_ok(wh_dim_const(&s.g->dims, WH_DIM_LIMIT, &huge.dims[i]));
  assert_false(wh_shape_bytes(s.g, &huge, t, &bytes));
  assert_int_equal(bytes, 99);
  wh_graph_destroy(s.g);
}

static void bytes_of_values_row_by_row(void **state) {
  (void)state;
  wh_graph *g = graph_from_text(
      "graph \"g\" { symbol t 0..9 %1 = input \"scalar\" f32[] %2 = input \"x\" f32[t, 3, 96] "
      "%3 = quantize_act(%2) \"q\" : q8a[t, 3, 96] %4 = state \"kv\" q8_0[2, t, 3, 64] "
      "%5 = input \"wide\" f32[t, 288] %6 = quantize_act(%5) \"w\" : q8a[t, 288] %7 = input \"half\" q8_0[t, "
      "48] }");
  int64_t dims[16];
  const int64_t t[] = {5};
  size_t bytes = 99;
  assert_true(g->dims.n <= 16);
  for (wh_dim d = 0; d < g->dims.n; d++) dims[d] = wh_dim_eval(&g->dims, d, t);
  const size_t want[] = {
      0, 4, 5 * 3 * 96 * 4, 5 * 3 * (96 + 3 + 4), 2 * 5 * 3 * 2 * 34, 5 * 288 * 4, 5 * (288 + 9 + 2 * 4)};
  for (wh_value v = 1; v <= 6; v++) {
    assert_true(wh_value_row_major_bytes(g, v, dims, &bytes));
    assert_int_equal(bytes, want[v]);
  }
  assert_false(wh_value_row_major_bytes(g, 7, dims, &bytes)); /* no whole blocks */
  for (wh_dim d = 0; d < g->dims.n; d++) dims[d] = WH_DIM_LIMIT;
  assert_false(wh_value_row_major_bytes(g, 2, dims, &bytes));
  assert_false(wh_value_row_major_bytes(g, 3, dims, &bytes));
  assert_int_equal(bytes, want[6]);
  wh_graph_destroy(g);
}

/* x -> a -> b; a const; outputs b. One field is damaged at a time. */
static void verify_finds_damage(void **state) {
  (void)state;
  static const struct {
    const char *what, *error;
  } damages[] = {
      {"op", "node 'b' has no op"},
      {"n_inputs", "node 'b' (rms_norm) has 0 inputs"},
      {"input past the end", "node 'b' (rms_norm): input 0 is no value"},
      {"dropped input", "node 'a' does not own its output"},
      {"own output as input", "node 'b' (rms_norm): input 0 is used before it is made"},
      {"dead producer", "node 'b' (rms_norm): input 0 is used before it is made"},
      {"output of another", "value 'b' has the wrong producer"},
      {"output of another place", "value 'b' has the wrong producer"},
      {"no outputs", "value 'b' has the wrong producer"},
      {"replacements", "graph 'g': uses were replaced and not rewritten"},
      {"producer", "value 'a' has the wrong producer"},
      {"producer of an input", "value 'x' has the wrong producer"},
      {"attribute", "node 'b': wrong attributes for rms_norm"},
      {"no attribute", "node 'b': rms_norm lacks an attribute"},
      {"output shape", "node 'b' (rms_norm): its output has another shape than its operands give"},
      {"operand shape", "node 'b' (rms_norm): input 1 has 64 at axis 0 where t is needed"},
      {"dtype", "value 'x' has no shape"},
      {"dim", "value 'x' has no shape"},
      {"rank", "value 'x' has no shape"},
      {"symbolic constant", "value 'w' has no shape"},
      {"output past the end", "output 'o' is not computed"},
      {"dead output", "output 'o' is not computed"},
  };
  for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
    wh_graph *g = graph_from_text(
        "graph \"g\" { symbol t 1..8 %1 = input \"x\" f32[t, 64] %2 = const \"w\" f32[64]\n"
        "%3 = neg(%1) \"a\" : f32[t, 64] %4 = rms_norm(%3, %2) {eps = 0x1p-10} \"b\" : f32[t, 64] output "
        "\"o\" %4 }");
    assert_ok(wh_graph_verify(g));
    const char *what = damages[i].what;
    wh_node_info *b = &g->nodes[1];
    wh_dim t = g->values[1].shape.dims[0];
    if (!strcmp(what, "op")) b->op = (wh_op)WH_OP_COUNT;
    if (!strcmp(what, "n_inputs")) b->n_inputs = 0;
    if (!strcmp(what, "input past the end")) b->inputs[0] = (wh_value)g->n_values;
    if (!strcmp(what, "dropped input")) g->values[3].kind = WH_VALUE_NONE;
    if (!strcmp(what, "own output as input")) b->inputs[0] = 4;
    if (!strcmp(what, "dead producer")) g->nodes[0].dead = true;
    if (!strcmp(what, "output of another")) b->outputs[0] = 3;
    if (!strcmp(what, "output of another place")) g->values[4].output = 1;
    if (!strcmp(what, "no outputs")) b->n_outputs = 0;
    if (!strcmp(what, "replacements")) assert_ok(wh_graph_replace_uses(g, 3, 1));
    if (!strcmp(what, "producer")) g->values[3].producer = WH_NO_NODE;
    if (!strcmp(what, "producer of an input")) g->values[1].producer = 0;
    if (!strcmp(what, "attribute")) b->attrs[0].key = WH_ATTR_ALPHA;
    if (!strcmp(what, "no attribute")) b->n_attrs = 0;
    if (!strcmp(what, "output shape")) g->values[4].shape.dims[1] = t;
    if (!strcmp(what, "operand shape")) g->values[3].shape.dims[1] = g->values[1].shape.dims[1] = t;
    if (!strcmp(what, "dtype")) g->values[1].shape.dtype = (wh_dtype)1000;
    if (!strcmp(what, "dim")) g->values[1].shape.dims[0] = UINT32_MAX;
    if (!strcmp(what, "rank")) g->values[1].shape.rank = 9;
    if (!strcmp(what, "symbolic constant")) g->values[2].shape.dims[0] = t;
    if (!strcmp(what, "output past the end")) g->outputs[0].value = 77;
    if (!strcmp(what, "dead output")) b->dead = true;
    if (wh_graph_verify(g) == WH_OK) fail_msg("'%s' was not found", what);
    assert_error_says(damages[i].error);
    wh_graph_destroy(g);
  }
}

static void a_written_state_has_one_user(void **state) {
  (void)state;
  static const char text[] =
      "graph \"g\" { symbol t 1..8 symbol c 1..9 %1 = input \"k\" f32[t, 2, 16] %2 = input \"p\" i32[t]\n"
      "%3 = input \"pt\" i32[t, c]\n"
      "%4 = state \"keys\" f16[c, 2, 64, 16] %5 = kv_append(%4, %1, %2, %2, %3) {key = 1} \"append\" : "
      "f16[c, "
      "2, 64, 16]\n";
  static const char *const others[] = {
      "output \"raw\" %4 }", "%6 = kv_append(%4, %1, %2, %2, %3) {key = 1} \"again\" : f16[c, 2, 64, 16] }",
      ("%6 = attention(%1, %4, %5, %2, %2, %3) {scale = 0x1p+0, softcap = 0x0p+0, window = 0} \"attn\" : "
       "f32[t, "
       "2, 16] }")};
  for (size_t i = 0; i < 3; i++) {
    char full[1024];
    wh_graph *g = NULL;
    (void)snprintf(full, sizeof full, "%s%s", text, others[i]);
    assert_int_equal(wh_graph_parse(full, strlen(full), NULL, &g), WH_ERR_INVALID_ARGUMENT);
    assert_error_says("node 'append' (kv_append): its state 'keys' has other uses");
  }
}

static void clones_share_nothing_but_borrowed_data(void **state) {
  (void)state;
  small_graph s;
  small_graph_create(&s);
  static const float borrowed[64] = {1, 2, 3};
  float copied[3] = {4, 5, 6};
  wh_value a, b, sum;
  wh_shape row = {.dtype = WH_DTYPE_F32, .rank = 1, .dims = {s.matrix.dims[1]}};
  assert_ok(wh_graph_add_const(s.g, "borrowed", &row, borrowed, sizeof borrowed, &s, &a));
  assert_ok(wh_graph_add_f32(s.g, "copied", copied, 3, &b));
  copied[0] = 0;
  assert_ok(wh_graph_add_node(s.g, WH_OP_ADD, "sum", (wh_value[]){s.y, a}, 2, NULL, 0, &sum));
  assert_ok(wh_graph_add_output(s.g, "o", sum));
  wh_graph *c = NULL;
  assert_ok(wh_graph_clone(s.g, &c));
  char *text = graph_text(s.g);
  const float *data = wh_graph_value(c, b)->data;
  assert_ptr_not_equal(data, wh_graph_value(s.g, b)->data);
  assert_ptr_equal(wh_graph_value(c, a)->data, borrowed);
  assert_ptr_equal(wh_graph_value(c, a)->origin, &s);
  wh_graph_destroy(s.g); /* the clone must live on: sanitizers watch */
  assert_graph_text(c, text);
  assert_ok(wh_graph_verify(c));
  assert_float_equal(data[0], 4, 0);
  assert_float_equal(data[2], 6, 0);
  wh_value more;
  assert_ok(wh_graph_add_node(c, WH_OP_NEG, "more", &sum, 1, NULL, 0, &more));
  free(text);
  wh_graph_destroy(c);
  wh_graph_destroy(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(shapes_are_checked),
      cmocka_unit_test(constants_have_exactly_their_bytes),
      cmocka_unit_test(attributes_are_checked),
      cmocka_unit_test(nodes_have_many_operands),
      cmocka_unit_test(lists_and_tensors_are_checked),
      cmocka_unit_test(replacements_are_resolved_once),
      cmocka_unit_test(region_rules),
      cmocka_unit_test(verify_finds_damaged_regions),
      cmocka_unit_test(values_must_exist),
      cmocka_unit_test(bytes_of_shapes),
      cmocka_unit_test(bytes_of_values_row_by_row),
      cmocka_unit_test(verify_finds_damage),
      cmocka_unit_test(a_written_state_has_one_user),
      cmocka_unit_test(clones_share_nothing_but_borrowed_data),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
