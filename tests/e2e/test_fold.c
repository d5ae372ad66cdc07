/* test_fold.c - constant folding with the CPU backend's kernels: what is folded has the bits of what is
 * computed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backends/cpu/cpu_backend.h"
#include "core/base/exact_math.h"
#include "core/passes/passes.h"
#include "core/plan/fold_evaluator.h"

#define N 6
static const float a_data[N] = {-2.0f, -0.5f, 0.0f, 0.25f, 1.0f, 3.0f};
static const float b_data[N] = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f};

static void ok(wh_status st) {
  if (st != WH_OK) fail_msg("%s", wh_last_error()->message);
}

/* x[n] + reshape(silu(a) * b), n symbolic or not: everything right of the plus is constant */
static void test_constants_are_folded(void **state) {
  (void)state;
  wh_graph *g = NULL;
  wh_value x, a, b, act, product, flat, sum;
  wh_shape shape = {.dtype = WH_DTYPE_F32, .rank = 1};
  ok(wh_graph_create("fold", NULL, &g));
  ok(wh_dim_const(&g->dims, N, &shape.dims[0]));
  ok(wh_graph_add_input(g, "x", &shape, &x));
  ok(wh_graph_add_f32(g, "a", a_data, N, &a));
  ok(wh_graph_add_f32(g, "b", b_data, N, &b));
  ok(wh_graph_add_node(g, WH_OP_SILU, "act", &a, 1, NULL, 0, &act));
  ok(wh_graph_add_node(g, WH_OP_MUL, "product", (wh_value[]){act, b}, 2, NULL, 0, &product));
  wh_attr to = {.key = WH_ATTR_SHAPE, .rank = 1, .dims = {shape.dims[0]}};
  ok(wh_graph_add_node(g, WH_OP_RESHAPE, "flat", &product, 1, &to, 1, &flat));
  ok(wh_graph_add_node(g, WH_OP_ADD, "sum", (wh_value[]){x, flat}, 2, NULL, 0, &sum));
  ok(wh_graph_add_output(g, "y", sum));

  wh_device_options options = WH_DEVICE_OPTIONS_INIT;
  options.n_threads = 2;
  wh_fold_device device = {&wh_backend_cpu, NULL};
  ok(wh_backend_cpu.open(0, &options, &device.device));
  const wh_fold_evaluator fold = {&device, wh_fold_eval};
  ok(wh_passes_run(g, &fold));

  assert_int_equal(g->n_nodes, 1); /* the sum */
  const wh_value_info *folded = wh_graph_value(g, g->nodes[0].inputs[1]);
  assert_int_equal(folded->kind, WH_VALUE_CONST);
  float want[N];
  for (int i = 0; i < N; i++) want[i] = wh_silu_f32(a_data[i]) * b_data[i];
  assert_memory_equal(folded->data, want, sizeof want);
  wh_backend_cpu.close(device.device);
  wh_graph_destroy(g);
}

/* gather(a, ids): folded, unless an index lies outside, which a run has to report. */
static void test_faults_are_left_to_the_run(void **state) {
  (void)state;
  static const int32_t inside[2] = {1, -1}, outside[2] = {1, N};
  for (int bad = 0; bad < 2; bad++) {
    wh_graph *g = NULL;
    wh_value a, ids, y;
    wh_shape shape = {.dtype = WH_DTYPE_I32, .rank = 1};
    ok(wh_graph_create("fold", NULL, &g));
    ok(wh_dim_const(&g->dims, 2, &shape.dims[0]));
    ok(wh_graph_add_f32(g, "a", a_data, N, &a));
    ok(wh_graph_add_const(g, "ids", &shape, bad ? outside : inside, sizeof inside, NULL, &ids));
    const wh_attr axis = {.key = WH_ATTR_AXIS};
    ok(wh_graph_add_node(g, WH_OP_GATHER, "gather", (wh_value[]){a, ids}, 2, &axis, 1, &y));
    ok(wh_graph_add_output(g, "y", y));
    wh_device_options options = WH_DEVICE_OPTIONS_INIT;
    wh_fold_device device = {&wh_backend_cpu, NULL};
    ok(wh_backend_cpu.open(0, &options, &device.device));
    const wh_fold_evaluator fold = {&device, wh_fold_eval};
    ok(wh_passes_run(g, &fold));
    assert_int_equal(g->n_nodes, bad);
    if (!bad) {
      const float want[2] = {a_data[1], a_data[N - 1]};
      assert_memory_equal(wh_graph_value(g, g->outputs[0].value)->data, want, sizeof want);
    }
    wh_backend_cpu.close(device.device);
    wh_graph_destroy(g);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_constants_are_folded),
                                     cmocka_unit_test(test_faults_are_left_to_the_run)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
