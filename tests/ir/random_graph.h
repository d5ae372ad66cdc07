/* random_graph.h - seeded well-formed graphs over all ops: operands are drawn until the builder accepts them.
 */
#ifndef WH_TESTS_RANDOM_GRAPH_H
#define WH_TESTS_RANDOM_GRAPH_H

#include "tests/ir/graph_fixture.h"
#include "tests/ir/random_nn.h"

static inline wh_dim random_graph_const(wh_graph *g, int64_t value) {
  wh_dim d = 0;
  assert_ok(wh_dim_const(&g->dims, value, &d));
  return d;
}

static inline wh_attr random_attr(test_rng *r, wh_graph *g, wh_attr_key key, wh_dim t) {
  wh_attr a = {.key = key};
  if (wh_attr_type_of(key) == WH_TYPE_FLOAT) {
    uint32_t bits = (uint32_t)rng_next(r); /* any finite float, denormals and -0 too */
    memcpy(&a.f, &bits, sizeof a.f);
    if ((bits & 0x7f800000u) == 0x7f800000u) a.f = 0.0f;
  } else if (wh_attr_type_of(key) == WH_TYPE_INT) {
    a.i = rng_below(r, 4) ? rng_below(r, 2) : (int64_t)rng_next(r);
  } else if (wh_attr_type_of(key) == WH_TYPE_DIMS) {
    a.rank = 1 + (int)rng_below(r, 3);
    a.dims[0] = t;
    a.dims[1] = random_graph_const(g, a.rank == 2 ? 64 : 4);
    a.dims[2] = random_graph_const(g, 16);
  } else {
    static const int64_t ints[] = {-1, 0, INT64_MAX, INT64_MIN, 7}, some[] = {1, 0, 2, 0}, ones[] = {1, 1},
                         zeros[] = {0, 0};
    static const float floats[] = {-0.0f, 0.0f, 0x1p-149f, -1.5f, 3.0f};
    a.n = rng_below(r, 6);
    if (wh_attr_type_of(key) == WH_TYPE_INTS) a.ints = ints;
    if (wh_attr_type_of(key) == WH_TYPE_INTS && key != WH_ATTR_INTS && rng_below(r, 4)) {
      a.n = key == WH_ATTR_PADS ? 4 : key == WH_ATTR_AXES ? 1 : 2; /* what fits a matrix */
      a.ints = key == WH_ATTR_STEPS ? ones : key == WH_ATTR_STARTS ? zeros : some;
    }
    if (wh_attr_type_of(key) == WH_TYPE_FLOATS) a.floats = floats;
    if (wh_attr_type_of(key) == WH_TYPE_STRING) a.text = "\xff\"\\x \n";
    if (wh_attr_type_of(key) == WH_TYPE_TENSOR) {
      a.dtype = rng_below(r, 2) ? WH_DTYPE_U8 : WH_DTYPE_I4;
      a.rank = 1;
      a.dims[0] = random_graph_const(g, a.dtype == WH_DTYPE_U8 ? (int64_t)a.n : 2 * (int64_t)a.n);
      a.data = "\0\1\x7f\xff\xa5";
    }
  }
  if (key == WH_ATTR_FORMULA) {
    a.text = "abs 0; relu 0";
    a.n = strlen(a.text);
  }
  return a;
}

/* One to three outputs of any types. */
static inline wh_value random_custom(test_rng *r, wh_graph *g, const char *name, wh_dim t) {
  wh_value in[4], outs[3];
  wh_attr attrs[4];
  wh_node_def def = {.op = WH_OP_CUSTOM, .name = name, .inputs = in, .attrs = attrs};
  wh_shape shapes[3];
  for (int key = 0; key < WH_ATTR_COUNT; key++)
    if (wh_op_get(def.op)->attrs & (uint64_t)1 << key)
      attrs[def.n_attrs++] = random_attr(r, g, (wh_attr_key)key, t);
  def.n_inputs = rng_below(r, 5);
  for (size_t i = 0; i < def.n_inputs; i++) do
      in[i] = rng_below(r, (uint32_t)g->n_values);
    while (g->values[in[i]].kind == WH_VALUE_STATE || !wh_graph_sees(g, g->at, in[i]));
  def.n_outputs = 1 + rng_below(r, 3);
  for (size_t i = 0; i < def.n_outputs; i++)
    shapes[i] = (wh_shape){i ? WH_DTYPE_STRING : WH_DTYPE_F32, 2, {t, random_graph_const(g, 64)}};
  def.shapes = shapes;
  assert_ok(wh_graph_add(g, &def, outs));
  return outs[rng_below(r, (uint32_t)def.n_outputs)];
}

/* An if with a nested loop, or a loop; bodies use values from outside. */
static inline wh_value random_regions(test_rng *r, wh_graph *g, const char *name, wh_value cond, wh_dim t) {
  const wh_shape params[] = {{.dtype = WH_DTYPE_I64}, {.dtype = WH_DTYPE_BOOL}, g->values[2].shape};
  const bool branch = rng_below(r, 2), scan = rng_below(r, 2);
  wh_region regions[2], body;
  wh_value p[3], v, carried, outs[2];
  if (branch) assert_ok(wh_graph_begin_region(g, NULL, 0, NULL, &regions[0]));
  assert_ok(wh_graph_begin_region(g, params, 3, p, &body));
  assert_ok(wh_graph_add_node(g, WH_OP_ADD, name, (wh_value[]){p[2], 2}, 2, NULL, 0, &carried));
  if (rng_below(r, 2)) assert_ok(wh_graph_add_node(g, WH_OP_SILU, name, &carried, 1, NULL, 0, &carried));
  (void)random_custom(r, g, name, t); /* which nobody may need */
  assert_ok(wh_graph_end_region(g, (wh_value[]){p[1], carried, p[0]}, scan ? 3 : 2));
  const wh_attr trips = {.key = WH_ATTR_TRIPS, .rank = scan, .dims = {scan ? t : 0}};
  const wh_node_def loop = {.op = WH_OP_LOOP,
                            .name = name,
                            .inputs = (wh_value[]){0, cond, 2},
                            .n_inputs = 3,
                            .attrs = &trips,
                            .n_attrs = 1,
                            .regions = &body,
                            .n_regions = 1};
  assert_ok(wh_graph_add(g, &loop, outs));
  if (!branch) return outs[0];
  assert_ok(wh_graph_end_region(g, outs, 1));
  assert_ok(wh_graph_begin_region(g, NULL, 0, NULL, &regions[1]));
  assert_ok(wh_graph_add_node(g, WH_OP_NEG, name, (wh_value[]){2}, 1, NULL, 0, &v));
  assert_ok(wh_graph_end_region(g, &v, 1));
  const wh_node_def choice = {
      .op = WH_OP_IF, .name = name, .inputs = &cond, .n_inputs = 1, .regions = regions, .n_regions = 2};
  assert_ok(wh_graph_add(g, &choice, outs));
  return outs[0];
}

static inline bool random_top_level(const wh_graph *g, wh_value v) {
  return v == 0 || wh_graph_sees(g, 0, v);
}

/* `n_nodes` nodes, every op likely; the last node and a few others are outputs. */
static inline wh_graph *random_graph_of(uint64_t seed, size_t n_nodes, bool with_regions) {
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
  const wh_shape flag = {.dtype = WH_DTYPE_BOOL};
  wh_value cond;
  assert_ok(wh_graph_add_input(g, "cond", &flag, &cond));
  const wh_shape pages = {WH_DTYPE_I32, 2, {s, c}};
  wh_value table;
  assert_ok(wh_graph_add_input(g, "pages", &pages, &table));
  const wh_value first_small = (wh_value)g->n_values; /* small matrices, for what chance would seldom fit */
  const wh_dtype small[] = {WH_DTYPE_F32, WH_DTYPE_I32, WH_DTYPE_U8, WH_DTYPE_BOOL};
  for (int i = 0; i < 4; i++) {
    const wh_shape matrix = {small[i], 2, {d2, d2}};
    assert_ok(wh_graph_add_input(g, names[i], &matrix, &v));
  }
  while (g->n_nodes < n_nodes) {
    wh_op op = (wh_op)rng_below(&r, WH_OP_COUNT);
    const wh_op_info *info = wh_op_get(op);
    for (int attempt = 0; attempt < 50; attempt++) {
      wh_value in[8] = {0}, outs[8];
      wh_attr attrs[8];
      if (wh_op_n_regions(op)) {
        if (with_regions) last = random_regions(&r, g, names[rng_below(&r, 6)], cond, t);
        break;
      }
      if (op == WH_OP_CUSTOM) {
        last = random_custom(&r, g, names[rng_below(&r, 6)], t);
        break;
      }
      if (random_nn(&r, g, op, names[rng_below(&r, 6)], t, &last)) break;
      const uint32_t most = info->max_inputs < 8 ? info->max_inputs : 8;
      size_t n = info->min_inputs + rng_below(&r, most - info->min_inputs + 1u), n_attrs = 0;
      const bool of_small = rng_below(&r, 2);
      for (size_t i = 0; i < n; i++) {
        do in[i] = of_small ? first_small + rng_below(&r, 4) : 1 + rng_below(&r, (uint32_t)g->n_values - 1);
        while (g->values[in[i]].kind == WH_VALUE_STATE || !random_top_level(g, in[i]));
        if (i >= info->min_inputs && rng_below(&r, 3) == 0) in[i] = 0;
      }
      for (int key = 0; key < WH_ATTR_COUNT; key++)
        if (info->attrs & (uint64_t)1 << key) attrs[n_attrs++] = random_attr(&r, g, (wh_attr_key)key, t);
      size_t before = g->n_values;
      if (op == WH_OP_KV_APPEND) { /* its own state, used by nothing else */
        const wh_shape kv = {WH_DTYPE_F16, 4, {c, d2, d64, d16}};
        if (attempt) break;
        assert_ok(wh_graph_add_state(g, "kv", &kv, &in[0]));
        in[1] = 4;
        in[2] = in[3] = 1;
        in[4] = table;
      }
      if (op == WH_OP_ATTENTION) { /* chance would not find its operands */
        const wh_shape kv = {rng_below(&r, 2) ? WH_DTYPE_F16 : WH_DTYPE_F32, 4, {c, d2, d64, d16}};
        if (attempt) break;
        assert_ok(wh_graph_add_state(g, "keys", &kv, &in[1]));
        assert_ok(wh_graph_add_state(g, "values", &kv, &in[2]));
        in[0] = 4;
        in[3] = in[4] = 1;
        in[5] = table;
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
      if (wh_graph_add_node(g, op, names[rng_below(&r, 6)], in, n, attrs, n_attrs, outs) == WH_OK) {
        last = outs[0];
        break;
      }
      if (op != WH_OP_KV_APPEND && op != WH_OP_ATTENTION && !is_expert) assert_int_equal(g->n_values, before);
    }
  }
  assert_ok(wh_graph_add_output(g, "last", last));
  for (int i = 0; i < 3; i++) {
    do v = g->nodes[rng_below(&r, (uint32_t)g->n_nodes)].outputs[0];
    while (!random_top_level(g, v));
    assert_ok(wh_graph_add_output(g, names[i], v));
  }
  return g;
}

static inline wh_graph *random_graph(uint64_t seed, size_t n_nodes) {
  return random_graph_of(seed, n_nodes, false);
}
static inline wh_graph *random_graph_with_regions(uint64_t seed, size_t n_nodes) {
  return random_graph_of(seed, n_nodes, true);
}

#endif
