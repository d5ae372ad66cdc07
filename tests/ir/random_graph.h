/* random_graph.h - seeded well-formed graphs over all ops: operands are drawn until the builder accepts them.
 */
#ifndef WH_TESTS_RANDOM_GRAPH_H
#define WH_TESTS_RANDOM_GRAPH_H

#include "tests/ir/graph_fixture.h"

static inline wh_dim random_graph_const(wh_graph *g, int64_t value) {
  wh_dim d = 0;
  assert_ok(wh_dim_const(&g->dims, value, &d));
  return d;
}

static inline wh_attr random_attr(test_rng *r, wh_graph *g, wh_attr_key key, wh_dim t) {
  wh_attr a = {.key = key};
  if (wh_attr_type(key) == 'f') {
    uint32_t bits = (uint32_t)rng_next(r); /* any finite float, denormals and -0 too */
    memcpy(&a.f, &bits, sizeof a.f);
    if ((bits & 0x7f800000u) == 0x7f800000u) a.f = 0.0f;
  } else if (wh_attr_type(key) == 'i') {
    a.i = rng_below(r, 4) ? rng_below(r, 2) : (int64_t)rng_next(r);
  } else {
    a.rank = 1 + (int)rng_below(r, 3);
    a.dims[0] = t;
    a.dims[1] = random_graph_const(g, a.rank == 2 ? 64 : 4);
    a.dims[2] = random_graph_const(g, 16);
  }
  return a;
}

/* `n_nodes` nodes, every op likely; the last node and a few others are outputs. */
static inline wh_graph *random_graph(uint64_t seed, size_t n_nodes) {
  static const char *const names[] = {"blk.0.attn", "a \"quoted\" name", "back\\slash", "\xc3\xa9t\xc3\xa9",
                                      "",           "\n\x01\x7f"};
  test_rng r = {seed};
  wh_graph *g = NULL;
  wh_dim t, s, c, d64, d32, d16, d2;
  wh_value v, last = 0;
  assert_ok(wh_graph_create(names[rng_below(&r, 6)], NULL, &g));
  d64 = random_graph_const(g, 64); /* before the symbols: the text must not show it */
  assert_ok(wh_dim_symbol(&g->dims, "t", 1, 512, &t));
  assert_ok(wh_dim_symbol(&g->dims, "s", 0, 4, &s));
  assert_ok(wh_dim_symbol(&g->dims, "c", 1, 4096, &c));
  d32 = random_graph_const(g, 32);
  d16 = random_graph_const(g, 16);
  d2 = random_graph_const(g, 2);
  wh_dim sum;
  assert_ok(wh_dim_binary(&g->dims, WH_DIM_ADD, d64, t, &sum));
  assert_ok(wh_dim_binary(&g->dims, WH_DIM_MIN, sum, c, &sum));
  const wh_shape inputs[] = {{WH_DTYPE_I32, 1, {t}},      {WH_DTYPE_F32, 2, {t, d64}},
                             {WH_DTYPE_F32, 2, {t, d32}}, {WH_DTYPE_F32, 3, {t, d2, d16}},
                             {WH_DTYPE_F32, 0, {0}},      {WH_DTYPE_F32, 2, {sum, d64}}};
  const wh_shape consts[] = {{WH_DTYPE_F32, 1, {d64}},           {WH_DTYPE_F32, 1, {d32}},
                             {WH_DTYPE_Q4_0, 2, {d64, d64}},     {WH_DTYPE_F16, 2, {d32, d64}},
                             {WH_DTYPE_Q8_0, 2, {d64, d32}},     {WH_DTYPE_F32, 1, {d2}},
                             {WH_DTYPE_Q4_0, 3, {d64, d32, d64}}};
  for (int i = 0; i < 6; i++) assert_ok(wh_graph_add_input(g, names[i], &inputs[i], &v));
  for (int i = 0; i < 7; i++) assert_ok(wh_graph_add_const_shape(g, names[i % 6], &consts[i], &v));
  while (g->n_nodes < n_nodes) {
    wh_op op = (wh_op)rng_below(&r, WH_OP_COUNT);
    const wh_op_info *info = wh_op_get(op);
    for (int attempt = 0; attempt < 50; attempt++) {
      wh_value in[WH_MAX_INPUTS] = {0};
      wh_attr attrs[WH_MAX_ATTRS];
      size_t n = info->min_inputs + rng_below(&r, info->max_inputs - info->min_inputs + 1u), n_attrs = 0;
      for (size_t i = 0; i < n; i++) {
        do in[i] = 1 + rng_below(&r, (uint32_t)g->n_values - 1);
        while (g->values[in[i]].kind == WH_VALUE_STATE);
        if (i >= info->min_inputs && rng_below(&r, 3) == 0) in[i] = 0;
      }
      for (int key = 0; key < WH_ATTR_COUNT; key++)
        if (info->attrs & 1u << key) attrs[n_attrs++] = random_attr(&r, g, (wh_attr_key)key, t);
      size_t before = g->n_values;
      if (op == WH_OP_KV_APPEND) { /* its own state, used by nothing else */
        const wh_shape kv = {WH_DTYPE_F16, 4, {s, c, d2, d16}};
        if (attempt) break;
        assert_ok(wh_graph_add_state(g, "kv", &kv, &in[0]));
        in[1] = 4;
        in[2] = in[3] = 1;
      }
      if (op == WH_OP_ATTENTION) { /* chance would not find its five operands */
        const wh_shape kv = {rng_below(&r, 2) ? WH_DTYPE_F16 : WH_DTYPE_F32, 4, {s, c, d2, d16}};
        if (attempt) break;
        assert_ok(wh_graph_add_state(g, "keys", &kv, &in[1]));
        assert_ok(wh_graph_add_state(g, "values", &kv, &in[2]));
        in[0] = 4;
        in[3] = in[4] = 1;
      }
      bool is_expert = op == WH_OP_EXPERT_WEIGHTS || op == WH_OP_EXPERT_LINEAR || op == WH_OP_EXPERT_SUM;
      if (is_expert) { /* nor choices */
        const wh_attr used = {.key = WH_ATTR_USED, .i = 2};
        const wh_attr weighing[] = {{.key = WH_ATTR_NORMALISE}, {.key = WH_ATTR_SCALE}};
        wh_value selected;
        if (attempt) break;
        in[0] = 2;
        assert_ok(wh_graph_add_node(g, WH_OP_EXPERT_SELECT, "select", in, 1, &used, 1, &selected));
        in[1] = op == WH_OP_EXPERT_LINEAR ? 13 : selected;
        in[2] = selected;
        if (op == WH_OP_EXPERT_SUM) {
          assert_ok(wh_graph_add_node(g, WH_OP_EXPERT_WEIGHTS, "weights", in, 2, weighing, 2, &in[1]));
          in[0] = 4;
          in[2] = 0;
        }
      }
      if (wh_graph_add_node(g, op, names[rng_below(&r, 6)], in, n, attrs, n_attrs, &v) == WH_OK) {
        last = v;
        break;
      }
      if (op != WH_OP_KV_APPEND && op != WH_OP_ATTENTION && !is_expert) assert_int_equal(g->n_values, before);
    }
  }
  assert_ok(wh_graph_add_output(g, "last", last));
  for (int i = 0; i < 3; i++)
    assert_ok(wh_graph_add_output(g, names[i], g->nodes[rng_below(&r, (uint32_t)g->n_nodes)].output));
  return g;
}

#endif
