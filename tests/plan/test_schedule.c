/* test_schedule.c - phases: operands always earlier, no later than needed, order kept. */
#include "core/plan/schedule.h"
#include "tests/base/failing_allocator.h"
#include "tests/ir/random_graph.h"

static void random_graphs_are_scheduled(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 60; seed++) {
    wh_graph *g = random_graph(seed, 80);
    wh_schedule s;
    assert_ok(wh_schedule_create(g, NULL, NULL, &s));
    size_t n_run = 0;
    uint32_t n_phases = 0;
    for (size_t n = 0; n < g->n_nodes; n++) {
      const wh_node_info *node = &g->nodes[n];
      bool view = wh_node_is_view(node);
      uint32_t need = 0; /* the earliest phase that operands allow */
      for (unsigned i = 0; i < node->n_inputs; i++) {
        const wh_value_info *v = &g->values[node->inputs[i]];
        if (!node->inputs[i] || v->kind != WH_VALUE_NODE) continue;
        assert_true(view ? s.phase[v->producer] <= s.phase[n] : s.phase[v->producer] < s.phase[n]);
        uint32_t after = s.phase[v->producer] + !view;
        if (after > need) need = after;
      }
      assert_int_equal(s.phase[n], need);
      n_run += !view;
      if (!view && s.phase[n] + 1 > n_phases) n_phases = s.phase[n] + 1;
    }
    assert_int_equal(s.n, n_run);
    assert_int_equal(s.n_phases, n_phases);
    for (size_t i = 0; i < s.n; i++) {
      assert_false(wh_node_is_view(&g->nodes[s.order[i]]));
      if (i == 0) continue;
      uint32_t before = s.phase[s.order[i - 1]], now = s.phase[s.order[i]];
      assert_true(before < now || (before == now && s.order[i - 1] < s.order[i]));
    }
    wh_schedule_deinit(&s, NULL);
    wh_graph_destroy(g);
  }
}

static void independent_nodes_share_a_phase(void **state) {
  (void)state;
  wh_graph *g = graph_from_text(
      "graph \"g\" { symbol t 1..8 %1 = input \"x\" f32[t, 4]\n"
      "%2 = neg(%1) \"a\" : f32[t, 4] %3 = exp(%2) \"b\" : f32[t, 4] %4 = tanh(%1) \"c\" : f32[t, 4]\n"
      "%5 = reshape(%4) {shape = [t, 2, 2]} \"view\" : f32[t, 2, 2] %6 = exp(%5) \"d\" : f32[t, 2, 2]\n"
      "%7 = silu(%1) \"e\" : f32[t, 4] output \"b\" %3 output \"d\" %6 output \"e\" %7 }");
  wh_schedule s;
  assert_ok(wh_schedule_create(g, NULL, NULL, &s));
  static const char *const order[] = {"a", "c", "e", "b", "d"};
  assert_int_equal(s.n, 5);
  assert_int_equal(s.n_phases, 2);
  for (size_t i = 0; i < 5; i++) assert_string_equal(g->nodes[s.order[i]].name, order[i]);
  wh_schedule_deinit(&s, NULL);
  for (size_t fail_at = 1; fail_at <= 3; fail_at++) {
    failing_allocator a;
    assert_int_equal(wh_schedule_create(g, NULL, failing_allocator_init(&a, fail_at), &s),
                     WH_ERR_OUT_OF_MEMORY);
    assert_int_equal(a.n_live, 0);
  }
  wh_graph_destroy(g);
}

/* What another device reads ends its block: the devices begin together, and neither waits for more than it
 * reads. */
static void devices_stay_in_step(void **state) {
  (void)state;
  wh_graph *g = graph_from_text(
      "graph \"g\" { symbol t 1..8 %1 = input \"x\" f32[t, 4]\n"
      "%2 = neg(%1) \"start\" : f32[t, 4] %3 = exp(%2) \"a0\" : f32[t, 4] %4 = exp(%2) \"b0\" : f32[t, 4]\n"
      "%5 = add(%3, %4) \"a1\" : f32[t, 4] %6 = add(%3, %4) \"b1\" : f32[t, 4]\n"
      "output \"a\" %5 output \"b\" %6 }");
  const uint16_t device_of[] = {0, 0, 1, 0, 1};
  static const uint32_t blocks[] = {0, 1, 2, 3, 4}; /* start; a0 beside b0; a1 beside b1 */
  wh_schedule s;
  assert_ok(wh_schedule_create(g, device_of, NULL, &s));
  assert_int_equal(s.n_blocks, 5);
  for (size_t n = 0; n < 5; n++) {
    assert_int_equal(s.block_of[n], blocks[n]);
    assert_int_equal(s.blocks[blocks[n]].device, device_of[n]);
  }
  wh_schedule_deinit(&s, NULL);
  wh_graph_destroy(g);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_graphs_are_scheduled),
      cmocka_unit_test(independent_nodes_share_a_phase),
      cmocka_unit_test(devices_stay_in_step),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
