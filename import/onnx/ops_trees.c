/* ops_trees.c - ensembles of decision trees, as tables of the core's `trees`. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "import/onnx/lowerings.h"

#define MOST_WEIGHTS ((int64_t)1 << 28)

typedef enum tree_mode { LEQ, LT, GTE, GT, EQ, NEQ, MEMBER, N_MODES } tree_mode;

/* Nodes of all trees; a leaf is its own child on both sides. */
typedef struct forest {
  size_t n, n_trees;
  int64_t *yes, *no, *feature, *roots;
  double *split;
  uint8_t *mode, *missing, *seen; /* missing: a NaN goes to yes */
  int64_t n_targets;
  int64_t *order; /* the n_reached nodes that trees have, tree after tree, breadth first */
  size_t n_reached;
  double *weights;       /* [n][n_targets] of leaves */
  uint8_t *has;          /* [n_targets] some leaf has a weight for it */
  bool all_positive;     /* weights */
  const double *members; /* sets, each ended by a NaN; NULL: none */
  size_t *set;           /* [n] where a node's begins */
  wh_dtype dtype;        /* what is compared and summed: f32 or f64 */
} forest;

static void make_room(ox *o, forest *f) {
  int64_t n_weights;
  if (f->n_targets < 1 || f->n > (size_t)MOST_WEIGHTS ||
      __builtin_mul_overflow((int64_t)f->n, f->n_targets, &n_weights) || n_weights > MOST_WEIGHTS)
    OX_FAIL(o, ERR_LIMIT, "its trees have too many nodes for %" PRId64 " targets", f->n_targets);
  if (o->st != WH_OK) return;
  f->yes = ox_array(o, f->n, sizeof *f->yes);
  f->no = ox_array(o, f->n, sizeof *f->no);
  f->feature = ox_array(o, f->n, sizeof *f->feature);
  f->split = ox_array(o, f->n, sizeof *f->split);
  f->mode = ox_array(o, f->n, 1);
  f->missing = ox_array(o, f->n, 1);
  f->weights = ox_array(o, (size_t)n_weights, sizeof *f->weights);
  f->has = ox_array(o, (size_t)f->n_targets, 1);
  f->all_positive = true;
}

static void add_weight(ox *o, forest *f, int64_t leaf, int64_t target, double weight) {
  if (target < 0 || target >= f->n_targets)
    OX_FAIL(o, ERR_CORRUPT, "a leaf's target %" PRId64 " is none of %" PRId64, target, f->n_targets);
  if (o->st != WH_OK) return;
  f->weights[leaf * f->n_targets + target] += weight;
  f->has[target] = 1;
  f->all_positive = f->all_positive && weight >= 0;
}

/* Only leaves are their own children. */
static void check_children(ox *o, const forest *f, size_t i) {
  if (f->yes[i] == (int64_t)i || f->no[i] == (int64_t)i)
    OX_FAIL(o, ERR_CORRUPT, "node %zu of its trees is its own child", i);
}

/* Tree after tree, level after level; a node that is reached twice is no tree's. */
static void reach(ox *o, forest *f, int64_t node) {
  if (f->seen[node]) OX_FAIL(o, ERR_CORRUPT, "a node of its trees has two parents");
  if (o->st != WH_OK) return;
  f->seen[node] = 1;
  f->order[f->n_reached++] = node;
}

static void go_through(ox *o, forest *f) {
  f->order = ox_array(o, f->n, sizeof *f->order);
  f->seen = ox_array(o, f->n, 1);
  for (size_t i = 0, at = 0; i < f->n_trees && o->st == WH_OK; i++) {
    const int64_t root = f->roots[i];
    if (root < 0 || root >= (int64_t)f->n) OX_FAIL(o, ERR_CORRUPT, "root %zu of its trees is none", i);
    if (o->st == WH_OK) reach(o, f, root);
    for (; at < f->n_reached && o->st == WH_OK; at++) {
      const int64_t node = f->order[at];
      if (f->yes[node] == node) continue;
      reach(o, f, f->yes[node]);
      if (f->no[node] != f->yes[node]) reach(o, f, f->no[node]); /* alike: a tree of one leaf */
    }
  }
}

/* ---- the form of opsets 1 to 3: nodes by the numbers of their tree and their own ---- */

typedef struct node_index {
  const int64_t *trees, *ids;
  uint32_t *slots; /* 1 + the node */
  size_t n_slots;
} node_index;

static size_t slot_of(const node_index *x, int64_t tree, int64_t id) {
  uint64_t h =
      ((uint64_t)tree * UINT64_C(0x9e3779b97f4a7c15)) ^ ((uint64_t)id * UINT64_C(0xc2b2ae3d27d4eb4f));
  size_t s = (size_t)(h ^ h >> 29) & (x->n_slots - 1);
  while (x->slots[s] && (x->trees[x->slots[s] - 1] != tree || x->ids[x->slots[s] - 1] != id))
    s = (s + 1) & (x->n_slots - 1);
  return s;
}

static int64_t find_node(ox *o, const node_index *x, int64_t tree, int64_t id) {
  const uint32_t at = o->st == WH_OK ? x->slots[slot_of(x, tree, id)] : 1;
  if (!at) OX_FAIL(o, ERR_CORRUPT, "node %" PRId64 " of tree %" PRId64 " does not exist", id, tree);
  return at ? (int64_t)at - 1 : 0;
}

static const int64_t *ints_of(ox *o, const char *name, size_t want, bool needed) {
  size_t n;
  const int64_t *v = ox_attr_ints(o, name, &n);
  if ((v || needed) && n != want)
    OX_FAIL(o, ERR_CORRUPT, "%s has %zu entries where %zu are needed", name, n, want);
  return o->st == WH_OK ? v : NULL;
}

/* Floats as doubles: of the attribute, or of the tensor that is `name`_as_tensor. */
static const double *numbers_of(ox *o, const char *name, size_t *n, bool *is_f64) {
  char tensor[64];
  const size_t len = strlen(name);
  memcpy(tensor, name, len);
  memcpy(tensor + len, "_as_tensor", 11);
  if (ox_attr(o, tensor)) {
    wh_datum *d = ox_attr_tensor(o, tensor);
    *n = d->n;
    *is_f64 = *is_f64 || d->dtype == WH_DTYPE_F64;
    return ox_doubles(o, d);
  }
  const float *v = ox_attr_floats(o, name, n);
  double *d = v ? ox_array(o, *n, sizeof *d) : NULL;
  for (size_t i = 0; d && i < *n; i++) d[i] = (double)v[i];
  return d;
}

static tree_mode mode_of(ox *o, wh_str s, bool *is_leaf) {
  static const char *const names[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE",
                                      "BRANCH_GT",  "BRANCH_EQ", "BRANCH_NEQ"};
  *is_leaf = wh_str_is(s, "LEAF");
  for (int i = 0; i < 6 && !*is_leaf; i++)
    if (wh_str_is(s, names[i])) return (tree_mode)i;
  if (!*is_leaf) OX_FAIL(o, ERR_UNSUPPORTED, "a node's mode '" WH_STR_FMT "' is not known", WH_STR_ARG(s));
  return LEQ;
}

static void read_nodes(ox *o, forest *f, node_index *x, bool *is_f64) {
  size_t n_values, n_modes;
  const double *values = numbers_of(o, "nodes_values", &n_values, is_f64);
  const wh_str *modes = ox_attr_strings(o, "nodes_modes", &n_modes);
  const int64_t *features = ints_of(o, "nodes_featureids", f->n, true),
                *yes = ints_of(o, "nodes_truenodeids", f->n, true),
                *no = ints_of(o, "nodes_falsenodeids", f->n, true),
                *missing = ints_of(o, "nodes_missing_value_tracks_true", f->n, false);
  x->trees = ints_of(o, "nodes_treeids", f->n, true);
  x->ids = ints_of(o, "nodes_nodeids", f->n, true);
  if (n_values != f->n || n_modes != f->n || f->n == 0)
    OX_FAIL(o, ERR_CORRUPT, "its nodes' values, modes and numbers are not as many");
  for (x->n_slots = 16; x->n_slots < 2 * f->n; x->n_slots *= 2) continue;
  x->slots = ox_array(o, x->n_slots, sizeof *x->slots);
  f->roots = ox_array(o, f->n, sizeof *f->roots);
  if (!x->slots || !f->roots || o->st != WH_OK) return;
  for (size_t i = 0; i < f->n && o->st == WH_OK; i++) {
    const size_t slot = slot_of(x, x->trees[i], x->ids[i]);
    if (x->slots[slot])
      OX_FAIL(o, ERR_CORRUPT, "node %" PRId64 " of tree %" PRId64 " exists twice", x->ids[i], x->trees[i]);
    x->slots[slot] = (uint32_t)i + 1;
    if (i == 0 || x->trees[i] != x->trees[i - 1])
      f->roots[f->n_trees++] = (int64_t)i; /* a tree's first node */
  }
  for (size_t i = 0; i < f->n && o->st == WH_OK; i++) {
    bool is_leaf;
    f->mode[i] = (uint8_t)mode_of(o, modes[i], &is_leaf);
    f->split[i] = values[i];
    f->feature[i] = is_leaf ? 0 : features[i];
    f->missing[i] = missing && missing[i] && !is_leaf;
    f->yes[i] = is_leaf ? (int64_t)i : find_node(o, x, x->trees[i], yes[i]);
    f->no[i] = is_leaf ? (int64_t)i : find_node(o, x, x->trees[i], no[i]);
    if (!is_leaf) check_children(o, f, i);
  }
}

/* `kind` is "target" or "class". */
static void read_forest(ox *o, forest *f, const char *kind, int64_t n_targets) {
  const bool classes = strcmp(kind, "class") == 0;
  bool is_f64 = false;
  size_t n_ids, n_weights;
  node_index x = {.n_slots = 0};
  (void)ox_attr_ints(o, "nodes_treeids", &f->n);
  f->n_targets = n_targets;
  make_room(o, f);
  if (o->st == WH_OK) read_nodes(o, f, &x, &is_f64);
  (void)ox_attr_ints(o, classes ? "class_ids" : "target_ids", &n_ids);
  const int64_t *ids = ints_of(o, classes ? "class_ids" : "target_ids", n_ids, true),
                *trees = ints_of(o, classes ? "class_treeids" : "target_treeids", n_ids, true),
                *nodes = ints_of(o, classes ? "class_nodeids" : "target_nodeids", n_ids, true);
  const double *weights = numbers_of(o, classes ? "class_weights" : "target_weights", &n_weights, &is_f64);
  if (n_weights != n_ids) OX_FAIL(o, ERR_CORRUPT, "it has %zu weights for %zu leaves", n_weights, n_ids);
  for (size_t i = 0; i < n_ids && o->st == WH_OK; i++)
    add_weight(o, f, find_node(o, &x, trees[i], nodes[i]), ids[i], weights[i]);
  f->dtype = is_f64 ? WH_DTYPE_F64 : WH_DTYPE_F32;
  if (o->st == WH_OK) go_through(o, f);
}

/* ---- the form of opset 5: nodes and leaves in lists of their own ---- */

static const double *tensor_of(ox *o, const char *name, size_t *n) {
  wh_datum *d = ox_attr_tensor(o, name);
  *n = d ? d->n : 0;
  return d ? ox_doubles(o, d) : NULL;
}

/* Sets, each ended by a NaN, one for each node that wants one in order. */
static void read_members(ox *o, forest *f, size_t n_nodes) {
  size_t n, at = 0;
  f->members = tensor_of(o, "membership_values", &n);
  f->set = ox_array(o, f->n, sizeof *f->set);
  for (size_t i = 0; f->members && f->set && i < n_nodes && o->st == WH_OK; i++) {
    if (f->mode[i] != MEMBER) continue;
    f->set[i] = at;
    while (at < n && !isnan(f->members[at])) at++;
    if (at++ >= n) OX_FAIL(o, ERR_CORRUPT, "a node has no set of members");
  }
}

static int64_t child(ox *o, int64_t id, bool is_leaf, size_t n_nodes, size_t n_leaves) {
  if (id < 0 || id >= (int64_t)(is_leaf ? n_leaves : n_nodes))
    OX_FAIL(o, ERR_CORRUPT, "a node's child %" PRId64 " does not exist", id);
  return o->st == WH_OK ? id + (is_leaf ? (int64_t)n_nodes : 0) : 0;
}

static void read_new_forest(ox *o, forest *f) {
  size_t n_nodes, n_leaves, n_splits, n_modes, n_weights;
  (void)ox_attr_ints(o, "nodes_featureids", &n_nodes);
  (void)ox_attr_ints(o, "leaf_targetids", &n_leaves);
  (void)ox_attr_ints(o, "tree_roots", &f->n_trees);
  const double *splits = tensor_of(o, "nodes_splits", &n_splits),
               *modes = tensor_of(o, "nodes_modes", &n_modes),
               *weights = tensor_of(o, "leaf_weights", &n_weights);
  const int64_t *features = ints_of(o, "nodes_featureids", n_nodes, true),
                *targets = ints_of(o, "leaf_targetids", n_leaves, true),
                *yes = ints_of(o, "nodes_truenodeids", n_nodes, true),
                *no = ints_of(o, "nodes_falsenodeids", n_nodes, true),
                *yes_leaf = ints_of(o, "nodes_trueleafs", n_nodes, true),
                *no_leaf = ints_of(o, "nodes_falseleafs", n_nodes, true),
                *missing = ints_of(o, "nodes_missing_value_tracks_true", n_nodes, false),
                *roots = ints_of(o, "tree_roots", f->n_trees, true);
  f->n = n_nodes + n_leaves;
  f->n_targets = ox_attr_i(o, "n_targets", 0);
  if (n_splits != n_nodes || n_modes != n_nodes || n_weights != n_leaves)
    OX_FAIL(o, ERR_CORRUPT, "its nodes' splits and modes, or its leaves' weights, are not as many");
  make_room(o, f);
  f->roots = ox_array(o, f->n_trees, sizeof *f->roots);
  for (size_t i = 0; i < f->n_trees && o->st == WH_OK; i++) f->roots[i] = roots[i];
  for (size_t i = 0; i < n_nodes && o->st == WH_OK; i++) {
    if (!(modes[i] >= 0 && modes[i] < N_MODES)) OX_FAIL(o, ERR_UNSUPPORTED, "a node's mode is not known");
    if (o->st != WH_OK) return;
    f->mode[i] = (uint8_t)modes[i];
    f->split[i] = splits[i];
    f->feature[i] = features[i];
    f->missing[i] = missing && missing[i];
    f->yes[i] = child(o, yes[i], yes_leaf[i] != 0, n_nodes, n_leaves);
    f->no[i] = child(o, no[i], no_leaf[i] != 0, n_nodes, n_leaves);
    check_children(o, f, i);
  }
  for (size_t i = 0; i < n_leaves && o->st == WH_OK; i++) {
    f->yes[n_nodes + i] = f->no[n_nodes + i] = (int64_t)(n_nodes + i);
    add_weight(o, f, (int64_t)(n_nodes + i), targets[i], weights[i]);
  }
  if (o->st == WH_OK && ox_attr(o, "membership_values")) read_members(o, f, n_nodes);
  f->dtype = ox_in(o, 0)->dtype == WH_DTYPE_F64 ? WH_DTYPE_F64 : WH_DTYPE_F32;
  if (o->st == WH_OK) go_through(o, f);
}

/* ---- tables ---- */

static wh_datum *table(ox *o, wh_dtype dtype, size_t n, int64_t width, const double *v) {
  const int64_t dims[] = {(int64_t)n, width};
  wh_datum *d = ox_new(o, dtype, width ? 2 : 1, dims);
  for (size_t i = 0; o->st == WH_OK && i < d->n; i++) ox_store(dtype, (void *)(uintptr_t)d->data, i, v[i]);
  return d;
}

static size_t members_of(const forest *f, int64_t i, const double **members) {
  size_t n = 0;
  *members = f->members ? f->members + f->set[i] : NULL;
  while (f->members && !isnan((*members)[n])) n++;
  return n;
}

/* Nothing is at most NaN, nor less, more or equal. */
static tree_mode mode_at(const forest *f, int64_t i) {
  const tree_mode mode = (tree_mode)f->mode[i];
  return isnan(f->split[i]) && mode != NEQ && mode != MEMBER ? LEQ : mode;
}

/* Nodes of the table that node i takes. */
static size_t places_of(ox *o, const forest *f, int64_t i) {
  const double *members;
  if (f->yes[i] == i) return 0;
  const tree_mode mode = mode_at(f, i);
  if (mode != MEMBER) return mode == EQ || mode == NEQ ? 2 : 1;
  if (!f->members) OX_FAIL(o, ERR_CORRUPT, "it has nodes with sets, and no sets");
  const size_t n = members_of(f, i, &members);
  return n ? 2 * n : 1;
}

typedef struct node_table {
  int32_t *next;
  wh_dtype dtype;
  int32_t at; /* which node `next` is */
} node_table;

/* x <= threshold, or NaN where `nan` says so: yes. */
static void put(node_table *t, int64_t feature, double threshold, bool nan, int64_t yes, int64_t no) {
  const float narrow = (float)threshold;
  *t->next++ = nan ? ~(int32_t)feature : (int32_t)feature;
  *t->next++ = (int32_t)yes;
  *t->next++ = (int32_t)no;
  if (t->dtype == WH_DTYPE_F64)
    memcpy(t->next, &threshold, sizeof threshold);
  else
    memcpy(t->next, &narrow, sizeof narrow);
  t->next += t->dtype == WH_DTYPE_F64 ? 2 : 1;
  t->at++;
}

/* The number below, so that x < t is x <= below(t); of -inf NaN, which nothing is at most. */
static double below(wh_dtype dtype, double t) {
  if (dtype != WH_DTYPE_F64) t = (double)(float)t; /* as it is stored */
  if (isinf(t) && t < 0) return (double)NAN;
  return dtype == WH_DTYPE_F64 ? nextafter(t, -INFINITY) : (double)nextafterf((float)t, -INFINITY);
}

/* x = value: at most it, and not at most the number below. `nan`: a NaN is equal to it. */
static void put_equal(node_table *t, int64_t feature, double value, bool nan, int64_t yes, int64_t no) {
  put(t, feature, value, nan, t->at + 1, no);
  put(t, feature, below(t->dtype, value), false, no, yes);
}

/* Every comparison by x <= threshold. Of a NaN none holds but "not equal"; then it goes where missing values
 * do. */
static void put_node(const forest *f, node_table *t, int64_t i, int64_t yes, int64_t no) {
  const int64_t feature = f->feature[i];
  const double s = f->split[i], *members;
  const bool nan = f->missing[i];
  switch (mode_at(f, i)) {
    case LEQ:
      put(t, feature, s, nan, yes, no);
      return;
    case LT:
      put(t, feature, below(f->dtype, s), nan, yes, no);
      return;
    case GTE:
      put(t, feature, below(f->dtype, s), !nan, no, yes);
      return;
    case GT:
      put(t, feature, s, !nan, no, yes);
      return;
    case EQ:
      put_equal(t, feature, s, nan, yes, no);
      return;
    case NEQ:
      put_equal(t, feature, s, false, no, yes);
      return;
    default:
      break;
  }
  const size_t n = members_of(f, i, &members);
  if (n == 0) put(t, feature, (double)NAN, nan, yes, no);
  for (size_t k = 0; k < n; k++) put_equal(t, feature, members[k], nan, yes, k + 1 < n ? t->at + 2 : no);
}

/* The nodes that trees have, leaves apart: operands 1 to 3 of `trees`. */
static void make_tables(ox *o, const forest *f, wh_datum *in[4]) {
  int64_t *place = ox_array(o, f->n, sizeof *place); /* of a leaf ~ its number */
  int64_t n_leaves = 0, n_nodes = 0;
  for (size_t k = 0; place && k < f->n_reached && o->st == WH_OK; k++) {
    const int64_t i = f->order[k];
    const bool is_leaf = f->yes[i] == i;
    place[i] = is_leaf ? ~n_leaves : n_nodes;
    n_leaves += is_leaf;
    n_nodes += (int64_t)places_of(o, f, i);
    if (n_nodes >= INT32_MAX || n_leaves >= INT32_MAX || f->feature[i] >= INT32_MAX)
      OX_FAIL(o, ERR_LIMIT, "its trees have too many nodes");
  }
  const int64_t node_dims[] = {n_nodes, f->dtype == WH_DTYPE_F64 ? 5 : 4}, n_roots = (int64_t)f->n_trees,
                leaf_dims[] = {n_leaves, f->n_targets};
  in[1] = ox_new(o, WH_DTYPE_I32, 2, node_dims);
  in[2] = ox_new(o, WH_DTYPE_I32, 1, &n_roots);
  in[3] = ox_new(o, f->dtype, 2, leaf_dims);
  if (o->st != WH_OK) return;
  node_table t = {.next = (void *)(uintptr_t)in[1]->data, .dtype = f->dtype};
  for (size_t k = 0; k < f->n_reached; k++) {
    const int64_t i = f->order[k];
    if (f->yes[i] != i) put_node(f, &t, i, place[f->yes[i]], place[f->no[i]]);
    for (int64_t c = 0; f->yes[i] == i && c < f->n_targets; c++)
      ox_store(f->dtype, (void *)(uintptr_t)in[3]->data, (size_t)(~place[i] * f->n_targets + c),
               f->weights[i * f->n_targets + c]);
  }
  for (size_t k = 0; k < f->n_trees; k++)
    ((int32_t *)(uintptr_t)in[2]->data)[k] = (int32_t)place[f->roots[k]];
}

typedef enum aggregate { SUM, AVERAGE, LEAST, LARGEST } aggregate;

/* Over all trees: [rows, targets]. Of the least and the largest only leaves that have the target count. */
static wh_datum *aggregated(ox *o, const forest *f, wh_datum *x, aggregate how) {
  if ((how == LEAST || how == LARGEST) && f->n_targets > 1)
    OX_FAIL(o, ERR_UNSUPPORTED, "the least and the largest of several targets are not computed");
  wh_datum *in[4] = {x};
  const wh_attr mode = ox_a_i(WH_ATTR_MODE, how == LEAST ? 1 : how == LARGEST ? 2 : 0);
  make_tables(o, f, in);
  wh_datum *y = ox_node1(o, WH_OP_TREES, in, 4, &mode, 1);
  return how == AVERAGE ? ox_div(o, y, ox_num(o, y, (double)f->n_trees)) : y;
}

/* Rows of features, in the type in which they are compared. */
static wh_datum *rows_of(ox *o, forest *f) {
  wh_datum *x = ox_in(o, 0);
  if (x->dtype == WH_DTYPE_F64) f->dtype = WH_DTYPE_F64;
  if (x->rank == 1) x = ox_insert_axes(o, x, 1, 2);
  if (x->rank != 2 || x->n == 0)
    OX_FAIL(o, ERR_CORRUPT, "its input has rank %d and %zu elements", x->rank, x->n);
  for (size_t i = 0; i < f->n && o->st == WH_OK; i++)
    if (f->feature[i] < 0 || f->feature[i] >= x->dims[1])
      OX_FAIL(o, ERR_CORRUPT, "a node looks at feature %" PRId64 " of %" PRId64, f->feature[i], x->dims[1]);
  return o->st == WH_OK ? ox_cast(o, x, f->dtype) : &o->nothing;
}

static wh_datum *with_base(ox *o, wh_datum *y) {
  bool is_f64 = false;
  size_t n = 0;
  const double *v = numbers_of(o, "base_values", &n, &is_f64);
  if (!v || n == 0 || o->st != WH_OK) return y;
  if (n != 1 && (int64_t)n != y->dims[1])
    OX_FAIL(o, ERR_CORRUPT, "it has %zu base values for %" PRId64 " targets", n, y->dims[1]);
  return o->st == WH_OK ? ox_add(o, y, table(o, y->dtype, n, 0, v)) : y;
}

void ox_lower_tree_ensemble_regressor(ox *o) {
  static const char *const names[] = {"SUM", "AVERAGE", "MIN", "MAX"};
  const wh_str how = ox_attr_s(o, "aggregate_function", "SUM");
  int a = 0;
  while (a < 4 && !wh_str_is(how, names[a])) a++;
  if (a == 4) OX_FAIL(o, ERR_UNSUPPORTED, "its aggregate_function is not known");
  forest f = {.n = 0};
  read_forest(o, &f, "target", ox_attr_i(o, "n_targets", 1));
  wh_datum *x = o->st == WH_OK ? rows_of(o, &f) : NULL;
  if (o->st != WH_OK) return;
  wh_datum *y = with_base(o, aggregated(o, &f, x, (aggregate)a));
  ox_give(o, 0, ox_f32(o, ox_post_transform(o, y, ox_attr_s(o, "post_transform", "NONE"))));
}

void ox_lower_tree_ensemble(ox *o) {
  static const char *const posts[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
  const int64_t how = ox_attr_i(o, "aggregate_function", 1), post = ox_attr_i(o, "post_transform", 0);
  const wh_dtype back = ox_in(o, 0)->dtype;
  forest f = {.n = 0};
  const int64_t by_number[] = {AVERAGE, SUM, LEAST, LARGEST};
  if (how < 0 || how > 3 || post < 0 || post > 4)
    OX_FAIL(o, ERR_UNSUPPORTED, "its aggregate_function or post_transform is not known");
  read_new_forest(o, &f);
  wh_datum *x = o->st == WH_OK ? rows_of(o, &f) : NULL;
  if (o->st != WH_OK) return;
  wh_datum *y = aggregated(o, &f, x, (aggregate)by_number[how]);
  ox_give(o, 0, ox_cast(o, ox_post_transform(o, y, wh_str_from(posts[post])), back));
}

void ox_lower_tree_ensemble_classifier(ox *o) {
  size_t n_ints, n_strings;
  (void)ox_attr_longs(o, "classlabels_int64s", &n_ints);
  (void)ox_attr_strings(o, "classlabels_strings", &n_strings);
  const int64_t n_classes = (int64_t)(n_ints + n_strings);
  forest f = {.n = 0};
  read_forest(o, &f, "class", n_classes);
  wh_datum *x = o->st == WH_OK ? rows_of(o, &f) : NULL;
  if (o->st != WH_OK) return;
  wh_datum *y = aggregated(o, &f, x, SUM);
  const bool one_of_two = n_classes == 2 && f.has[0] != f.has[1];
  if (one_of_two) y = ox_part(o, y, 1, f.has[1], 1);
  ox_give_classes(o, with_base(o, y), one_of_two && f.all_positive ? OX_SECOND_IS_SHARE : OX_SECOND_IS_SCORE);
}
