/* test_share.c - a graph cut for devices that compute every layer together. */
#include "tests/passes/passes_text.h"

/* The node of that name, which is there. */
static const wh_node_info *node_named(const wh_graph *g, const char *name) {
  for (size_t n = 0; n < g->n_nodes; n++)
    if (strcmp(g->nodes[n].name, name) == 0) return &g->nodes[n];
  fail_msg("there is no node '%s'", name);
  return NULL;
}

static int64_t width_of(const wh_graph *g, wh_value v) {
  return wh_dim_get(&g->dims, g->values[v].shape.dims[1])->value;
}

/* A layer with six heads on three KV heads and a tail of a few outputs, as wh_passes_run leaves it. */
static const char shared_layer[] =
    "graph \"layer\" {\n"
    "  symbol t 1..64 symbol pages 1..8 symbol slots 1..4 symbol table 1..8\n"
    "  %1 = input \"x\" f32[t, 64] %2 = input \"p\" i32[t] %3 = input \"s\" i32[t]\n"
    "  %4 = input \"table\" i32[slots, table]\n"
    "  %5 = const \"wq\" f32[96, 64] %6 = const \"wk\" f32[48, 64] %7 = const \"wo\" f32[64, 96]\n"
    "  %8 = const \"wg\" q8_0[128, 64] %9 = const \"wd\" q8_0[64, 128] %10 = const \"few\" f32[3, 64]\n"
    "  %11 = const \"b\" f32[96] %12 = state \"k\" f16[pages, 3, 64, 16] %13 = state \"v\" f16[pages, 3, 64, "
    "16]\n"
    "  %14 = linear(%1, %5, %11) \"q\" : f32[t, 96] %15 = linear(%1, %6) \"key\" : f32[t, 48]\n"
    "  %16 = reshape(%14) {shape = [t, 6, 16]} \"q3\" : f32[t, 6, 16]\n"
    "  %17 = reshape(%15) {shape = [t, 3, 16]} \"k3\" : f32[t, 3, 16]\n"
    "  %18 = kv_append(%12, %17, %2, %3, %4) {key = 1} \"ka\" : f16[pages, 3, 64, 16]\n"
    "  %19 = kv_append(%13, %17, %2, %3, %4) {key = 0} \"va\" : f16[pages, 3, 64, 16]\n"
    "  %20 = attention(%16, %18, %19, %2, %3, %4) {scale = 0x1p-2, softcap = 0x0p+0, window = 0} \"att\" : "
    "f32[t, 6, 16]\n"
    "  %21 = reshape(%20) {shape = [t, 96]} \"flat\" : f32[t, 96]\n"
    "  %22 = linear(%21, %7, _, %1) \"o\" : f32[t, 64] %23 = rms_norm_quantize(%22) {eps = 0x1p-10} \"norm\" "
    ": "
    "q8a[t, 64]\n"
    "  %24 = linear(%23, %8) \"gate\" : f32[t, 128] %25 = swiglu_quantize(%24, %24) \"h\" : q8a[t, 128]\n"
    "  %26 = linear(%25, %9, _, %22) \"down\" : f32[t, 64] %27 = linear(%26, %10) \"few\" : f32[t, 3]\n"
    "  output \"few\" %27 output \"down\" %26 }\n";

static void a_layer_is_shared_out(void **state) {
  (void)state;
  char data[96 * 64 * 4] = {0};
  wh_graph *g = graph_from_text(shared_layer);
  const char *names[] = {"wq", "wk", "wo", "wg", "wd", "few", "b"};
  for (wh_value v = 1; v < g->n_values; v++)
    for (size_t i = 0; i < 7; i++)
      if (g->values[v].kind == WH_VALUE_CONST && strcmp(g->values[v].name, names[i]) == 0)
        g->values[v].data = data;
  assert_ok(wh_pass_share(g, 2));
  /* heads with their keys: one and two of three; weights where they lie, a row of wq has 256 bytes */
  const wh_node_info *q0 = node_named(g, "share0.q"), *q1 = node_named(g, "share1.q");
  assert_int_equal(width_of(g, q0->outputs[0]), 32);
  assert_int_equal(width_of(g, q1->outputs[0]), 64);
  assert_ptr_equal(g->values[q0->inputs[1]].data, data);
  assert_ptr_equal(g->values[q1->inputs[1]].data, data + 32 * 256);
  assert_ptr_equal(g->values[q1->inputs[2]].data, data + 32 * 4);
  assert_int_equal(width_of(g, node_named(g, "share0.ka")->outputs[0]), 1);
  assert_int_equal(width_of(g, node_named(g, "share1.va")->outputs[0]), 2);
  assert_int_equal(width_of(g, node_named(g, "share1.att")->outputs[0]), 4);
  /* joined on each device, before what needs all of it; the residual is cut as the product is */
  assert_int_equal(node_named(g, "flat")->op, WH_OP_CONCAT);
  assert_int_equal(node_named(g, "share1.flat.all")->op, WH_OP_CONCAT);
  assert_int_equal(g->nodes[g->values[node_named(g, "share1.o")->inputs[3]].producer].op, WH_OP_SLICE);
  assert_int_equal(node_named(g, "share1.down")->inputs[3], node_named(g, "share1.o")->outputs[0]);
  /* gates are quantised when they are joined; what is small is computed once, where it is asked for */
  assert_int_equal(node_named(g, "share1.h")->op, WH_OP_SWIGLU);
  assert_int_equal(node_named(g, "h")->op, WH_OP_QUANTIZE_ACT);
  assert_int_equal(width_of(g, node_named(g, "few")->outputs[0]), 3);
  for (size_t n = 0; n < g->n_nodes; n++) assert_null(strstr(g->nodes[n].name, "few.all"));
  assert_string_equal(g->outputs[1].name, "down");
  assert_int_equal(width_of(g, g->outputs[1].value), 64);
  wh_graph_destroy(g);
}

/* More devices than KV heads: attention stays whole on one of them, with its states. */
static void heads_that_are_too_few_stay(void **state) {
  (void)state;
  char data[96 * 64 * 4] = {0};
  wh_graph *g = graph_from_text(shared_layer);
  for (wh_value v = 1; v < g->n_values; v++)
    if (g->values[v].kind == WH_VALUE_CONST) g->values[v].data = data;
  assert_ok(wh_pass_share(g, 4));
  size_t n_attention = 0, n_states = 0;
  for (size_t n = 0; n < g->n_nodes; n++) n_attention += g->nodes[n].op == WH_OP_ATTENTION;
  for (wh_value v = 1; v < g->n_values; v++) n_states += g->values[v].kind == WH_VALUE_STATE;
  assert_int_equal(n_attention, 1);
  assert_int_equal(n_states, 2);
  assert_int_equal(width_of(g, node_named(g, "share3.down")->outputs[0]), 16);
  wh_graph_destroy(g);
  g = graph_from_text(shared_layer); /* without data there is nothing to cut */
  assert_ok(wh_pass_share(g, 2));
  wh_graph_destroy(g);
  g = graph_from_text(shared_layer);
  assert_int_equal(wh_pass_share(g, 1), WH_ERR_LIMIT);
  assert_int_equal(wh_pass_share(g, WH_SHARE_MAX_DEVICES + 1), WH_ERR_LIMIT);
  wh_graph_destroy(g);
}

/* Parts of a matrix that is no product's are rows: what multiplies by it is computed whole. */
static void matrices_beside_values_stay_whole(void **state) {
  (void)state;
  char data[64 * 64 * 4] = {0};
  wh_graph *g = graph_from_text(
      "graph \"g\" { %1 = input \"x\" f32[64, 64] %2 = const \"w\" f32[64, 64] %3 = const \"c\" f32[64, 64]\n"
      "  %4 = linear(%1, %2) \"p\" : f32[64, 64] %5 = mul(%4, %3) \"y\" : f32[64, 64] output \"y\" %5 }\n");
  for (wh_value v = 1; v < g->n_values; v++)
    if (g->values[v].kind == WH_VALUE_CONST) g->values[v].data = data;
  assert_ok(wh_pass_share(g, 2));
  assert_int_equal(width_of(g, node_named(g, "share1.p")->outputs[0]), 32);
  assert_int_equal(width_of(g, g->outputs[0].value), 64);
  wh_graph_destroy(g);
}

static void sharing_without_memory_leaks_nothing(void **state) {
  (void)state;
  char data[96 * 64 * 4] = {0};
  for (size_t fail_at = 1;; fail_at++) {
    failing_allocator a;
    const wh_allocator *alloc = failing_allocator_init(&a, fail_at);
    wh_graph *g = NULL;
    wh_status st = wh_graph_parse(shared_layer, strlen(shared_layer), alloc, &g);
    if (st == WH_OK) {
      for (wh_value v = 1; v < g->n_values; v++)
        if (g->values[v].kind == WH_VALUE_CONST) g->values[v].data = data;
      st = wh_pass_share(g, 2);
      wh_graph_destroy(g);
    }
    assert_int_equal(a.n_live, 0);
    if (st == WH_OK) break;
    assert_int_equal(st, WH_ERR_OUT_OF_MEMORY);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_layer_is_shared_out),
      cmocka_unit_test(heads_that_are_too_few_stay),
      cmocka_unit_test(matrices_beside_values_stay_whole),
      cmocka_unit_test(sharing_without_memory_leaks_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
