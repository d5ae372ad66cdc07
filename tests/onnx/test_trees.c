/* test_trees.c - ensembles of trees against walks as ONNX says them: every comparison, with thresholds and
 * rows of infinities, zeros of both signs and NaN. */
#include <math.h>

#include "tests/onnx/onnx_structs.h"

enum { TREES = 70, NODES = 7, LEAVES = 8, FEATURES = 3, ROWS = 40, MEMBER = 6, N_MODES = 7 };

static const float some[] = {-INFINITY, -2, -1, -0.0f, 0, 1, 2, INFINITY, NAN};
static uint32_t random_below(uint32_t n) {
  static uint64_t s = 1;
  s = s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)(s >> 33) % n;
}
static float any(void) { return some[random_below(COUNT_OF(some))]; }

/* TreeEnsemble's lists: full trees of three levels. */
typedef struct trees {
  int64_t feature[TREES * NODES], yes[TREES * NODES], no[TREES * NODES], yes_leaf[TREES * NODES],
      no_leaf[TREES * NODES], missing[TREES * NODES], target[TREES * LEAVES], roots[TREES];
  float split[TREES * NODES], weight[TREES * LEAVES], members[TREES * NODES * 3];
  uint8_t mode[TREES * NODES];
  int n_members, begin[TREES * NODES]; /* of a node's set, which a NaN ends */
} trees;

static void plant(trees *t, int only) {
  t->n_members = 0;
  for (int i = 0; i < TREES * NODES; i++) {
    const int tree = i / NODES, left = 2 * (i % NODES) + 1;
    const bool leaves = left >= NODES;
    t->feature[i] = random_below(FEATURES);
    t->yes[i] = leaves ? tree * LEAVES + left - NODES : tree * NODES + left;
    t->no[i] = t->yes[i] + 1;
    t->yes_leaf[i] = t->no_leaf[i] = leaves;
    t->missing[i] = random_below(2);
    t->mode[i] = (uint8_t)(only < N_MODES ? only : (int)random_below(N_MODES));
    t->split[i] = any();
    t->begin[i] = t->n_members;
    if (t->mode[i] != MEMBER) continue;
    for (uint32_t n = random_below(3); n > 0; n--) t->members[t->n_members++] = some[random_below(8)];
    t->members[t->n_members++] = NAN;
  }
  for (int i = 0; i < TREES * LEAVES; i++) t->weight[i] = (float)(int)random_below(2001) - 1000;
  for (int i = 0; i < TREES; i++) t->roots[i] = i * NODES;
}

static bool holds(const trees *t, int64_t i, float v) {
  const float s = t->split[i];
  bool member = false;
  for (int k = t->begin[i]; t->mode[i] == MEMBER && !isnan(t->members[k]); k++)
    member = member || v == t->members[k];
  const bool all[] = {v <= s, v<s, v >= s, v> s, v == s, v != s, member};
  return all[t->mode[i]] || (isnan(v) && t->missing[i]);
}

/* Whole numbers, whose sums are exact. */
static float walk(const trees *t, const float *x) {
  float y = 0;
  for (int tree = 0; tree < TREES; tree++) {
    int64_t i = t->roots[tree];
    bool leaf = false;
    while (!leaf) {
      const bool yes = holds(t, i, x[t->feature[i]]);
      leaf = yes ? t->yes_leaf[i] : t->no_leaf[i];
      i = yes ? t->yes[i] : t->no[i];
    }
    y += t->weight[i];
  }
  return y;
}

static void every_comparison_goes_where_it_should(void **state) {
  (void)state;
  static trees t;
  static float x[ROWS * FEATURES];
#define INTS(its_name, list) \
  { .name = S(its_name), .ref = S(""), .type = WH_ONNX_ATTR_INTS, .n = COUNT_OF(list), .ints = list }
#define TENSOR(its_name, its_dtype, list, count)                                                           \
  {                                                                                                        \
    .name = S(its_name), .ref = S(""), .type = WH_ONNX_ATTR_TENSOR, .n = 1, .tensors = &(wh_onnx_tensor) { \
      .name = S(""), .dtype = its_dtype, .rank = 1, .dims = {(int64_t)(count)},                            \
      .n_elements = (size_t)(count), .n_bytes = (size_t)(count) * sizeof(list)[0], .raw = {                \
        (const char *)(list),                                                                              \
        (size_t)(count) * sizeof(list)[0]                                                                  \
      }                                                                                                    \
    }                                                                                                      \
  }
  for (int round = 0; round < 3 * (N_MODES + 1); round++) {
    plant(&t, round % (N_MODES + 1));
    for (int i = 0; i < ROWS * FEATURES; i++) x[i] = any();
    const wh_onnx_attr attrs[] = {
        INTS("nodes_featureids", t.feature),
        INTS("nodes_truenodeids", t.yes),
        INTS("nodes_falsenodeids", t.no),
        INTS("nodes_trueleafs", t.yes_leaf),
        INTS("nodes_falseleafs", t.no_leaf),
        INTS("nodes_missing_value_tracks_true", t.missing),
        INTS("leaf_targetids", t.target),
        INTS("tree_roots", t.roots),
        TENSOR("nodes_splits", WH_DTYPE_F32, t.split, TREES * NODES),
        TENSOR("nodes_modes", WH_DTYPE_U8, t.mode, TREES * NODES),
        TENSOR("leaf_weights", WH_DTYPE_F32, t.weight, TREES * LEAVES),
        {.name = S("n_targets"), .ref = S(""), .type = WH_ONNX_ATTR_INT, .n = 1, .i = 1},
        TENSOR("membership_values", WH_DTYPE_F32, t.members, t.n_members)};
    static const wh_str in0[] = {S("x")}, out0[] = {S("y")};
    const wh_onnx_node nodes[] = {{.name = S(""),
                                   .op = S("TreeEnsemble"),
                                   .domain = S("ai.onnx.ml"),
                                   .n_inputs = 1,
                                   .n_outputs = 1,
                                   .n_attrs = COUNT_OF(attrs) - (t.n_members == 0),
                                   .inputs = in0,
                                   .outputs = out0,
                                   .attrs = attrs}};
    static const wh_onnx_value_info ins[] = {PORT("x", WH_DTYPE_F32)}, outs[] = {PORT("y", WH_DTYPE_F32)};
    const wh_onnx_graph g = GRAPH(nodes, ins, outs);
    static const wh_onnx_opset ml = {S("ai.onnx.ml"), 5};
    const wh_plan_device d = plan_device();
    const wh_tensor tx = tensor(WH_DTYPE_F32, 2, ROWS, FEATURES, x, sizeof x), *in[] = {&tx};
    running r = {.file = file_of(&g)};
    r.file.opsets = &ml;
    assert_int_equal(wh_onnx_net_create(&r.file, NULL, &r.net), WH_OK);
    assert_int_equal(wh_onnx_runner_create(r.net, &d, 0, NULL, NULL, &r.runner), WH_OK);
    const wh_tensor y = run_of(&r, in);
    for (int i = 0; i < ROWS; i++)
      if (((const float *)y.data)[i] != walk(&t, x + i * FEATURES))
        fail_msg("round %d, row %d: %g, not %g", round, i, (double)((const float *)y.data)[i],
                 (double)walk(&t, x + i * FEATURES));
    stop(&r);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_comparison_goes_where_it_should)};
  return cmocka_run_group_tests_name("onnx_trees", tests, open_device, close_device);
}
