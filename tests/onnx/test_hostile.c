/* test_hostile.c - ONNX files that want too much, through the public API: each ends in one clear error. What
 * the reader refuses by itself (sizes, external data): tests/formats/test_onnx_read.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/formats/onnx_bytes.h"
#include "whimbrel/whimbrel.h"

#define FILE_NAME "hostile_test.onnx"
enum { I64 = 7, BOOL = 9 }; /* ONNX's numbers of types */

static wh_device *device;

static int open_device(void **state) {
  (void)state;
  wh_device_options o = WH_DEVICE_OPTIONS_INIT;
  o.n_threads = 2;
  return wh_device_create(&o, &device) == WH_OK ? 0 : 1;
}
static int close_device(void **state) {
  (void)state;
  wh_device_destroy(device);
  return 0;
}

/* ---- files ---- */

static void add_node(bytes *graph, const char *name, const char *op, const char *const *in, const char *out,
                     const bytes *attr) {
  static bytes node;
  node.n = 0;
  for (; *in; in++) text(&node, 1, *in);
  text(&node, 2, out);
  text(&node, 3, name);
  text(&node, 4, op);
  if (attr) message(&node, 5, attr);
  message(graph, 1, &node);
}

static void add_port(bytes *graph, unsigned field, const char *name) {
  static bytes info;
  info.n = 0;
  text(&info, 1, name);
  message(graph, field, &info);
}

static void add_weight(bytes *graph, const char *name, uint64_t type, uint64_t dim, const void *raw,
                       size_t n) {
  static bytes w;
  tensor(&w, name, type, dim, raw, n);
  message(graph, 5, &w);
}

static wh_status open_graph(const bytes *graph, wh_model **out) {
  static bytes file, opset;
  file.n = opset.n = 0;
  number(&file, 1, 8);
  message(&file, 7, graph);
  number(&opset, 2, 17);
  message(&file, 8, &opset);
  FILE *f = fopen(FILE_NAME, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(file.data, 1, file.n, f), file.n);
  assert_int_equal(fclose(f), 0);
  wh_status st = wh_model_open(FILE_NAME, NULL, out);
  (void)remove(FILE_NAME);
  return st;
}

/* Of a graph without inputs. */
static wh_status run_graph(const bytes *graph, const wh_runner_options *o) {
  wh_model *model = NULL;
  wh_runner *runner = NULL;
  assert_int_equal(open_graph(graph, &model), WH_OK);
  assert_int_equal(wh_runner_create(model, device, o, &runner), WH_OK);
  wh_status st = wh_runner_run(runner);
  wh_runner_destroy(runner);
  wh_model_destroy(model);
  return st;
}

static void assert_says(const char *words) {
  const char *m = wh_last_error()->message;
  if (!strstr(m, words)) fail_msg("'%s' does not say '%s'", m, words);
  assert_null(strchr(m, '\n'));
}

/* ---- loops ---- */

/* A loop whose body asks for one more each time; with a computation in it, or without. */
static void endless(bytes *graph, bool computes) {
  static bytes body, attr;
  static const float one = 1;
  body.n = attr.n = graph->n = 0;
  add_node(&body, "again", "Identity", (const char *[]){"go", NULL}, "more", NULL);
  if (computes) add_node(&body, "work", "Add", (const char *[]){"x", "x", NULL}, "y", NULL);
  add_port(&body, 11, "k");
  add_port(&body, 11, "go");
  if (computes) add_port(&body, 11, "x");
  add_port(&body, 12, "more");
  if (computes) add_port(&body, 12, "y");
  if (!computes) add_port(&body, 12, "k");
  text(&attr, 1, "body");
  message(&attr, 6, &body);
  number(&attr, 20, 5);
  add_weight(graph, "one", 1, 1, &one, sizeof one);
  add_node(graph, "forever", "Loop",
           computes ? (const char *[]){"", "", "one", NULL} : (const char *[]){"", "", NULL}, "out", &attr);
  add_port(graph, 12, "out");
}

static void endless_loops_meet_the_limit(void **state) {
  (void)state;
  static bytes graph;
  for (int computes = 0; computes < 2; computes++) {
    wh_runner_options o = WH_RUNNER_OPTIONS_INIT;
    o.max_iterations = 1000;
    endless(&graph, computes);
    assert_int_equal(run_graph(&graph, &o), WH_ERR_LIMIT);
    assert_says("node 'forever' (Loop)");
    assert_says("1000 iterations");
  }
}

static int end_it(void *ctx, const wh_progress *p) {
  assert_int_equal(p->stage, WH_STAGE_RUN);
  ++*(int *)ctx;
  return 1;
}

static void endless_loops_can_be_cancelled(void **state) {
  (void)state;
  static bytes graph;
  int n_asked = 0;
  wh_runner_options o = WH_RUNNER_OPTIONS_INIT;
  o.max_iterations = UINT64_MAX;
  o.progress = end_it;
  o.progress_ctx = &n_asked;
  endless(&graph, false);
  assert_int_equal(run_graph(&graph, &o), WH_ERR_CANCELLED);
  assert_int_equal(n_asked, 1);
}

/* ---- nesting ---- */

static void deep_graphs_are_refused(void **state) {
  (void)state;
  static bytes graph, attr, node;
  wh_model *model = NULL;
  graph.n = 0;
  text(&graph, 2, "g");
  for (int i = 0; i < 1000; i++) {
    attr.n = node.n = 0;
    text(&attr, 1, "then_branch");
    message(&attr, 6, &graph);
    number(&attr, 20, 5);
    text(&node, 4, "If");
    message(&node, 5, &attr);
    graph.n = 0;
    message(&graph, 1, &node);
  }
  assert_int_equal(open_graph(&graph, &model), WH_ERR_LIMIT);
  assert_says("nested");
}

/* ---- shapes and indices ---- */

/* out = op(data[4] of f32, numbers) */
static wh_status run_op(const char *op, bool computed, const int64_t *numbers, size_t n) {
  static bytes graph;
  static const float data[4] = {1, 2, 3, 4};
  static const int64_t nothing = 0;
  graph.n = 0;
  add_weight(&graph, "data", 1, 4, data, sizeof data);
  add_weight(&graph, "numbers", I64, n, numbers, n * sizeof *numbers);
  add_weight(&graph, "nothing", I64, 1, &nothing, sizeof nothing);
  add_node(&graph, "plus", "Add", (const char *[]){"numbers", "nothing", NULL}, "sum", NULL);
  const char *from = computed ? "sum" : "numbers";
  const bool takes_data = strcmp(op, "ConstantOfShape") != 0;
  add_node(&graph, "it", op, takes_data ? (const char *[]){"data", from, NULL} : (const char *[]){from, NULL},
           "out", NULL);
  add_port(&graph, 12, "out");
  return run_graph(&graph, NULL);
}

static void shapes_that_overflow_are_refused(void **state) {
  (void)state;
  static const int64_t huge[] = {INT64_C(1) << 40, INT64_C(1) << 40}, large[] = {INT64_C(1) << 40},
                       wrap[] = {INT64_C(1) << 33, INT64_C(1) << 33}, negative[] = {-5, 2},
                       most[] = {INT64_MAX, 4};
  static const char *const ops[] = {"ConstantOfShape", "Expand", "Reshape", "Tile"};
  for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
    for (int computed = 0; computed < 2; computed++) {
      const size_t n = strcmp(ops[i], "Tile") == 0 ? 1 : 2;
      assert_int_not_equal(run_op(ops[i], computed, huge, n), WH_OK);
      assert_says("node 'it'");
      assert_int_not_equal(run_op(ops[i], computed, wrap, n), WH_OK);
      assert_int_not_equal(run_op(ops[i], computed, most, n), WH_OK);
      assert_int_not_equal(run_op(ops[i], computed, negative, n), WH_OK);
      assert_int_not_equal(run_op(ops[i], computed, large, 1), WH_OK);
      assert_says("node 'it'");
    }
}

static void indices_out_of_range_are_refused(void **state) {
  (void)state;
  static const int64_t beyond[] = {4}, before[] = {-5}, far[] = {INT64_MAX}, good[] = {3};
  static const int64_t *const wrong[] = {beyond, before, far};
  for (int computed = 0; computed < 2; computed++) {
    assert_int_equal(run_op("Gather", computed, good, 1), WH_OK);
    for (size_t i = 0; i < 3; i++) {
      assert_int_not_equal(run_op("Gather", computed, wrong[i], 1), WH_OK);
      assert_says("it");
      assert_says("range");
    }
  }
}

/* out = op(operands) with a number, or n of them, as its attribute; `image` is [1, 1, 2, 2], `matrix` [2, 2].
 */
static wh_status run_attr(const char *op, const char *const *operands, const char *name, int64_t v,
                          size_t n) {
  static bytes graph, attr;
  static const float data[4] = {1, 2, 3, 4};
  static const int64_t image[] = {1, 1, 2, 2}, matrix[] = {2, 2};
  graph.n = attr.n = 0;
  text(&attr, 1, name);
  for (size_t i = 0; i < (n ? n : 1); i++) number(&attr, n ? 8 : 3, (uint64_t)v);
  number(&attr, 20, n ? 7 : 2);
  add_weight(&graph, "data", 1, 4, data, sizeof data);
  add_weight(&graph, "four", I64, 4, image, sizeof image);
  add_weight(&graph, "two", I64, 2, matrix, sizeof matrix);
  add_node(&graph, "a", "Reshape", (const char *[]){"data", "four", NULL}, "image", NULL);
  add_node(&graph, "b", "Reshape", (const char *[]){"data", "two", NULL}, "matrix", NULL);
  add_node(&graph, "it", op, operands, "out", &attr);
  add_port(&graph, 12, "out");
  return run_graph(&graph, NULL);
}

static void numbers_beyond_all_sizes_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *op, *operands[3], *attr;
    size_t n;
  } cases[] = {{"Conv", {"image", "image"}, "pads", 4},
               {"Conv", {"image", "image"}, "strides", 2},
               {"Conv", {"image", "image"}, "group", 0},
               {"ConvTranspose", {"image", "image"}, "pads", 4},
               {"ConvTranspose", {"image", "image"}, "strides", 2},
               {"ConvTranspose", {"image", "image"}, "dilations", 2},
               {"ConvTranspose", {"image", "image"}, "output_padding", 2},
               {"ConvTranspose", {"image", "image"}, "output_shape", 2},
               {"MaxPool", {"image"}, "kernel_shape", 2},
               {"LRN", {"image"}, "size", 0},
               {"SpaceToDepth", {"image"}, "blocksize", 0},
               {"DepthToSpace", {"image"}, "blocksize", 0},
               {"EyeLike", {"matrix"}, "k", 0},
               {"Concat", {"matrix", "matrix"}, "axis", 0},
               {"Transpose", {"matrix"}, "perm", 2},
               {"ReduceMax", {"matrix"}, "axes", 1}};
  static const int64_t numbers[] = {INT64_MAX, INT64_MIN, (INT64_C(1) << 40) + 1, -(INT64_C(1) << 40) - 1};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
      assert_int_not_equal(run_attr(cases[i].op, cases[i].operands, cases[i].attr, numbers[k], cases[i].n),
                           WH_OK);
      assert_says("node 'it'");
      assert_says(cases[i].attr);
    }
  /* Beyond the end is the end. */
  assert_int_equal(run_attr("Shape", (const char *[]){"matrix", NULL}, "end", INT64_MAX, 0), WH_OK);
  assert_int_equal(run_attr("Shape", (const char *[]){"matrix", NULL}, "start", INT64_MAX, 0), WH_OK);
}

/* A dim of 0 does not hide that the others overflow. */
static void empty_values_have_sizes_too(void **state) {
  (void)state;
  static const int64_t empty[] = {0, INT64_C(1) << 40, INT64_C(1) << 40};
  for (int computed = 0; computed < 2; computed++) {
    assert_int_equal(run_op("ConstantOfShape", computed, empty, 3), WH_ERR_LIMIT);
    assert_says("node 'it'");
    assert_int_equal(run_op("ConstantOfShape", computed, empty, 2), WH_OK);
  }
}

/* As many classes as a dim may have, and no box in any: nothing to look at, however often. */
static void suppression_of_nothing_ends(void **state) {
  (void)state;
  static bytes graph;
  static const int64_t boxes[] = {INT64_C(1) << 36, 0, 4}, scores[] = {INT64_C(1) << 36, 1, 0}, most = 10;
  graph.n = 0;
  add_weight(&graph, "b", I64, 3, boxes, sizeof boxes);
  add_weight(&graph, "s", I64, 3, scores, sizeof scores);
  add_weight(&graph, "most", I64, 1, &most, sizeof most);
  add_node(&graph, "x", "ConstantOfShape", (const char *[]){"b", NULL}, "boxes", NULL);
  add_node(&graph, "y", "ConstantOfShape", (const char *[]){"s", NULL}, "scores", NULL);
  add_node(&graph, "it", "NonMaxSuppression", (const char *[]){"boxes", "scores", "most", NULL}, "out", NULL);
  add_port(&graph, 12, "out");
  assert_int_equal(run_graph(&graph, NULL), WH_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(suppression_of_nothing_ends),
      cmocka_unit_test(numbers_beyond_all_sizes_are_refused),
      cmocka_unit_test(empty_values_have_sizes_too),
      cmocka_unit_test(endless_loops_meet_the_limit),
      cmocka_unit_test(endless_loops_can_be_cancelled),
      cmocka_unit_test(deep_graphs_are_refused),
      cmocka_unit_test(shapes_that_overflow_are_refused),
      cmocka_unit_test(indices_out_of_range_are_refused),
  };
  return cmocka_run_group_tests(tests, open_device, close_device);
}
