/* attention.c - two products with a softmax between them become one `matmul_attention`, with transposes of
 * what they take and give as its orders of axes. It is defined as these ops, so the bits stay. */
#include <string.h>

#include "core/ir/formula.h"
#include "core/passes/fuse.h"

#define MOST_OPERANDS (WH_FORMULA_INPUTS - 1)

/* What is found, from the last op to the first. */
typedef struct attention {
  wh_node_info *members[8]; /* but for the last */
  size_t n_members;
  wh_value inputs[3 + MOST_OPERANDS];
  size_t n_inputs;
  char formula[WH_FORMULA_TEXT + 1];
  size_t formula_length;
  int rank;
  int64_t perm[4 * WH_MAX_RANK];
  bool heads_join;    /* reshapes make rows of one product of heads that share keys: */
  wh_value joined[2]; /* the queries and the weights as these products take them */
} attention;

static const wh_shape *shape_of(const wh_graph *g, wh_value v) { return &g->values[v].shape; }
static wh_value output_of(const wh_node_info *n) { return wh_node_output(n, 0); }

/* The node that makes an input for this user only becomes a member when it is `op`. */
static wh_node_info *only_input(wh_fuse *c, attention *a, const wh_node_info *user, unsigned i, wh_op op) {
  wh_node_info *n = wh_fuse_single_use(c, user, i, op);
  if (n) a->members[a->n_members++] = n;
  return n;
}

/* ---- from the second product to the scores ---- */

static bool take_plain_scores(wh_fuse *c, attention *a, const wh_node_info *softmax) {
  wh_node_info *product = only_input(c, a, softmax, 0, WH_OP_MATMUL);
  if (!product) product = only_input(c, a, softmax, 0, WH_OP_MATMUL_CHAIN);
  if (!product || shape_of(c->g, output_of(product))->dtype != WH_DTYPE_F32) return false;
  memcpy(a->inputs, product->inputs, 2 * sizeof *a->inputs);
  for (uint32_t i = 2; i < product->n_inputs; i++) a->inputs[a->n_inputs++] = product->inputs[i];
  if (product->op == WH_OP_MATMUL) return true;
  const wh_attr *formula = wh_node_attr(product, WH_ATTR_FORMULA);
  memcpy(a->formula, formula->text, formula->n);
  a->formula_length = formula->n;
  return true;
}

/* Scores whose heads are apart again before a mask is added, or nothing. */
static bool take_joined_scores(wh_fuse *c, attention *a, const wh_node_info *softmax) {
  wh_graph *g = c->g;
  const wh_value scores = softmax->inputs[0];
  wh_node_info *apart = only_input(c, a, softmax, 0, WH_OP_RESHAPE);
  if (!apart) {
    wh_formula f;
    if (g->values[scores].kind != WH_VALUE_NODE || c->uses[scores] != 1) return false;
    const wh_node end = g->values[scores].producer;
    wh_node_info *n = &g->nodes[end];
    uint32_t at = 0;
    while (at < n->n_inputs && !wh_fuse_single_use(c, n, at, WH_OP_RESHAPE)) at++;
    if (n->region != softmax->region || at == n->n_inputs || n->n_inputs > WH_FORMULA_INPUTS ||
        !wh_fuse_formula(g, end, at, &f) || !wh_shape_equal(shape_of(g, n->inputs[at]), shape_of(g, scores)))
      return false;
    a->members[a->n_members++] = n;
    apart = only_input(c, a, n, at, WH_OP_RESHAPE);
    for (uint32_t i = 0; i < n->n_inputs; i++)
      if (i != at) a->inputs[a->n_inputs++] = n->inputs[i];
    a->formula_length = wh_formula_print(&f, a->formula);
  }
  wh_node_info *product = only_input(c, a, apart, 0, WH_OP_MATMUL);
  if (!product || g->values[product->inputs[0]].kind != WH_VALUE_NODE) return false;
  const wh_node_info *join = &g->nodes[g->values[product->inputs[0]].producer];
  if (join->dead || join->op != WH_OP_RESHAPE) return false;
  a->inputs[0] = join->inputs[0];
  a->inputs[1] = product->inputs[1];
  a->joined[0] = product->inputs[0];
  return true;
}

/* Whether the matrices go together as the op wants it, before any transpose is taken in; and the second
 * product's result is `y`. */
static bool fits(const wh_graph *g, const attention *a, const wh_shape *scores, wh_value y) {
  const wh_shape *q = shape_of(g, a->inputs[0]), *k = shape_of(g, a->inputs[1]),
                 *v = shape_of(g, a->inputs[2]), *out = shape_of(g, y);
  const int row = a->rank - 2, column = row + 1;
  for (size_t i = 3; i < a->n_inputs; i++)
    if (shape_of(g, a->inputs[i])->dtype != WH_DTYPE_F32) return false;
  for (int i = 0; i < 3; i++)
    if (shape_of(g, a->inputs[i])->rank != a->rank || shape_of(g, a->inputs[i])->dtype != WH_DTYPE_F32)
      return false;
  if (a->rank < 2 || scores->rank != a->rank || out->rank != a->rank) return false;
  for (int d = 0; d < row; d++) {
    for (int i = 0; i < 2 && a->heads_join; i++) { /* with equal batches the rows are those of neighbours */
      const wh_shape *s = shape_of(g, a->joined[i]);
      if (s->rank != a->rank || s->dims[d] != k->dims[d]) return false;
    }
    const wh_dim_expr *all = wh_dim_get(&g->dims, q->dims[d]), *some = wh_dim_get(&g->dims, k->dims[d]);
    const bool may_share = a->heads_join && d == row - 1 && all->min == all->max && some->min == some->max &&
                           some->min > 0 && all->min % some->min == 0;
    if ((q->dims[d] != k->dims[d] && !may_share) || v->dims[d] != k->dims[d] ||
        scores->dims[d] != q->dims[d] || out->dims[d] != q->dims[d])
      return false;
  }
  return scores->dims[row] == q->dims[row] && scores->dims[column] == k->dims[column] &&
         k->dims[column] == v->dims[row] && out->dims[row] == q->dims[row] &&
         out->dims[column] == v->dims[column];
}

/* ---- transposes ---- */

static bool columns_are_last(const attention *a, int which, const int64_t *perm) {
  return perm[a->rank - 1] == a->rank - 1 || (which == 1 && perm[a->rank - 2] == a->rank - 1);
}

/* Transposes that only this matrix is made by. */
static void take_transposes(wh_fuse *c, attention *a, int which) {
  const wh_graph *g = c->g;
  int64_t *perm = a->perm + which * a->rank, order[WH_MAX_RANK], found[WH_MAX_RANK];
  wh_value v = a->inputs[which];
  memcpy(order, perm, (size_t)a->rank * sizeof *perm);
  while (g->values[v].kind == WH_VALUE_NODE && c->uses[v] == 1) {
    const wh_node_info *n = &g->nodes[g->values[v].producer];
    if (n->dead || n->op != WH_OP_TRANSPOSE) return;
    const int64_t *turn = wh_node_attr(n, WH_ATTR_PERM)->ints;
    for (int d = 0; d < a->rank; d++) found[d] = turn[order[d]];
    memcpy(order, found, (size_t)a->rank * sizeof *perm);
    v = n->inputs[0];
    if (!columns_are_last(a, which, order)) continue;
    memcpy(perm, order, (size_t)a->rank * sizeof *perm);
    a->inputs[which] = v;
  }
}

/* The only user of a value; WH_NO_NODE: it has none or several. */
static wh_node *find_users(const wh_graph *g, const uint32_t *uses) {
  wh_node *users = wh_alloc_array(g->alloc, g->n_values, sizeof *users);
  if (!users) return NULL;
  for (size_t v = 0; v < g->n_values; v++) users[v] = WH_NO_NODE;
  for (size_t n = 0; n < g->n_nodes; n++) {
    const wh_node_info *node = &g->nodes[n];
    for (unsigned i = 0; i < node->n_inputs && !node->dead; i++)
      if (node->inputs[i] && uses[node->inputs[i]] == 1) users[node->inputs[i]] = (wh_node)n;
  }
  return users;
}

static wh_node_info *user_of(wh_graph *g, const wh_node *users, const wh_node_info *n, wh_op op) {
  const wh_node user = users[output_of(n)];
  if (user == WH_NO_NODE) return NULL;
  wh_node_info *u = &g->nodes[user];
  return !u->dead && u->op == op && u->region == n->region ? u : NULL;
}

/* ---- the op ---- */

static wh_status become(wh_graph *g, attention *a, wh_node_info *root) {
  const wh_attr attrs[] = {{.key = WH_ATTR_FORMULA, .n = a->formula_length, .text = a->formula},
                           {.key = WH_ATTR_PERM, .n = 4 * (size_t)a->rank, .ints = a->perm}};
  wh_attr *kept;
  WH_TRY(wh_copy_attrs(g, attrs, 2, &kept));
  WH_TRY(wh_node_set_inputs(g, root, a->inputs, a->n_inputs));
  for (size_t i = 0; i < a->n_members; i++) a->members[i]->dead = true;
  root->op = WH_OP_MATMUL_ATTENTION;
  root->attrs = kept;
  root->n_attrs = 2;
  return WH_OK;
}

static wh_status make_attention(wh_fuse *c, const wh_node *users, wh_node_info *last) {
  wh_graph *g = c->g;
  attention a = {.n_inputs = 3};
  if (last->dead || last->op != WH_OP_MATMUL) return WH_OK;
  wh_node_info *join = only_input(c, &a, last, 0, WH_OP_RESHAPE),
               *softmax = only_input(c, &a, join ? join : last, 0, WH_OP_SOFTMAX), *root = last;
  if (!softmax) return WH_OK;
  a.heads_join = join != NULL;
  if (!(join ? take_joined_scores : take_plain_scores)(c, &a, softmax)) return WH_OK;
  a.inputs[2] = last->inputs[1];
  a.rank = shape_of(g, a.inputs[0])->rank;
  if (join) {
    a.members[a.n_members++] = last;
    a.joined[1] = output_of(join);
    root = user_of(g, users, last, WH_OP_RESHAPE);
  }
  for (int i = 1; i < 3; i++) /* of constants panels are kept */
    if (g->values[a.inputs[i]].kind == WH_VALUE_CONST) return WH_OK;
  if (!root || !fits(g, &a, shape_of(g, output_of(softmax)), output_of(root))) return WH_OK;
  for (int i = 0; i < 4; i++)
    for (int d = 0; d < a.rank; d++) a.perm[i * a.rank + d] = d;
  for (int i = 0; i < 3; i++) take_transposes(c, &a, i);
  wh_node_info *turn = user_of(g, users, root, WH_OP_TRANSPOSE);
  const int64_t *perm = turn ? wh_node_attr(turn, WH_ATTR_PERM)->ints : NULL;
  if (perm && columns_are_last(&a, 3, perm)) {
    memcpy(a.perm + 3 * a.rank, perm, (size_t)a.rank * sizeof *perm);
    a.members[a.n_members++] = root;
    root = turn;
  }
  return become(g, &a, root);
}

wh_status wh_pass_attention(wh_graph *g) {
  wh_fuse c = {.g = g, .uses = wh_alloc_array(g->alloc, g->n_values, sizeof *c.uses)};
  if (!c.uses) return WH_OOM("attention pass");
  wh_graph_count_uses(g, c.uses);
  wh_node *users = find_users(g, c.uses);
  wh_status st = users ? WH_OK : WH_OOM("attention pass");
  for (size_t n = 0; n < g->n_nodes && st == WH_OK; n++) st = make_attention(&c, users, &g->nodes[n]);
  wh_free(g->alloc, users);
  wh_free(g->alloc, c.uses);
  WH_TRY(st);
  WH_TRY(wh_pass_dce(g));
  return wh_pass_compact(g);
}
