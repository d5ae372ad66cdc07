/* chain.c - elementwise ops of f32 that follow each other become one `chain`, which goes over memory once, and one that
 * follows a convolution becomes its end. Every step stays the op that it was, so the bits do. */
#include <stdlib.h>
#include <string.h>

#include "core/ir/formula.h"
#include "core/passes/passes.h"

#define MOST_ENDS (WH_FORMULA_INPUTS - 1) /* operands of a convolution's formula */

typedef struct chain_ctx {
  wh_graph *g;
  uint32_t *uses; /* per value */
} chain_ctx;

/* Nodes that become one. */
typedef struct group {
  wh_node nodes[WH_FORMULA_STEPS];
  uint32_t n_nodes;
  wh_value inputs[WH_FORMULA_INPUTS];
  uint32_t n_inputs;
} group;

static wh_value output_of(const wh_graph *g, wh_node n) { return wh_node_output(&g->nodes[n], 0); }
static const wh_shape *shape_of(const wh_graph *g, wh_value v) { return &g->values[v].shape; }

static bool is_step(const wh_graph *g, wh_node n) {
  const wh_node_info *node = &g->nodes[n];
  if (node->dead || !wh_formula_operands(node->op)) return false;
  for (unsigned i = 0; i < node->n_inputs; i++)
    if (!node->inputs[i] || shape_of(g, node->inputs[i])->dtype != WH_DTYPE_F32) return false;
  return true;
}

/* ---- squares ---- */

static double number_at(const wh_value_info *c) {
  switch (c->shape.dtype) {
    case WH_DTYPE_F32:
      return (double)*(const float *)c->data;
    case WH_DTYPE_F64:
      return *(const double *)c->data;
    case WH_DTYPE_I32:
      return *(const int32_t *)c->data;
    case WH_DTYPE_I64:
      return (double)*(const int64_t *)c->data;
    default:
      return 0.0;
  }
}

/* pow(x, 2) is x * x by definition. */
static void square(const wh_graph *g, wh_node_info *n) {
  if (n->dead || n->op != WH_OP_POW) return;
  const wh_value_info *e = &g->values[n->inputs[1]];
  const wh_shape *x = shape_of(g, n->inputs[0]);
  if (e->kind != WH_VALUE_CONST || !e->data || x->dtype != WH_DTYPE_F32 ||
      !wh_shape_equal(x, shape_of(g, wh_node_output(n, 0))))
    return;
  for (int d = 0; d < e->shape.rank; d++)
    if (wh_dim_get(&g->dims, e->shape.dims[d])->max != 1) return;
  if (!e->n_bytes || number_at(e) != 2.0) return;
  n->op = WH_OP_MUL;
  n->inputs[1] = n->inputs[0];
}

/* ---- groups ---- */

static bool is_member(const group *s, wh_node n) {
  for (uint32_t i = 0; i < s->n_nodes; i++)
    if (s->nodes[i] == n) return true;
  return false;
}

/* The members' operands that no member makes; false: too many. */
static bool find_inputs(const wh_graph *g, group *s) {
  s->n_inputs = 0;
  for (uint32_t m = 0; m < s->n_nodes; m++) {
    const wh_node_info *node = &g->nodes[s->nodes[m]];
    for (unsigned i = 0; i < node->n_inputs; i++) {
      const wh_value v = node->inputs[i];
      uint32_t k = 0;
      if (g->values[v].kind == WH_VALUE_NODE && is_member(s, g->values[v].producer)) continue;
      while (k < s->n_inputs && s->inputs[k] != v) k++;
      if (k < s->n_inputs) continue;
      if (s->n_inputs == WH_FORMULA_INPUTS) return false;
      s->inputs[s->n_inputs++] = v;
    }
  }
  return true;
}

static uint32_t uses_within(const wh_graph *g, const group *s, wh_value v) {
  uint32_t n = 0;
  for (uint32_t m = 0; m < s->n_nodes; m++)
    for (unsigned i = 0; i < g->nodes[s->nodes[m]].n_inputs; i++) n += g->nodes[s->nodes[m]].inputs[i] == v;
  return n;
}

/* Whether the node that makes v can join: a step over the same shape that only members use. */
static bool may_join(const chain_ctx *c, const group *s, wh_value v) {
  const wh_value_info *info = &c->g->values[v];
  const wh_node root = s->nodes[0];
  return info->kind == WH_VALUE_NODE && info->region == c->g->nodes[root].region &&
         is_step(c->g, info->producer) &&
         wh_shape_equal(&info->shape, shape_of(c->g, output_of(c->g, root))) &&
         c->uses[v] == uses_within(c->g, s, v);
}

/* Takes in one more node; false: none can join. */
static bool grow(const chain_ctx *c, group *s) {
  if (s->n_nodes == WH_FORMULA_STEPS) return false;
  for (uint32_t i = 0; i < s->n_inputs; i++) {
    c->g->work++;
    if (!may_join(c, s, s->inputs[i])) continue;
    group more = *s;
    more.nodes[more.n_nodes++] = c->g->values[s->inputs[i]].producer;
    if (!find_inputs(c->g, &more)) continue;
    *s = more;
    return true;
  }
  return false;
}

static int by_index(const void *a, const void *b) {
  const wh_node x = *(const wh_node *)a, y = *(const wh_node *)b;
  return x < y ? -1 : x > y;
}

static wh_formula formula_of(const wh_graph *g, const group *s) {
  wh_formula f = {.n_inputs = s->n_inputs, .n_steps = s->n_nodes};
  for (uint32_t m = 0; m < s->n_nodes; m++) {
    const wh_node_info *node = &g->nodes[s->nodes[m]];
    f.steps[m] = (wh_formula_step){.op = node->op, .n_in = (uint8_t)node->n_inputs};
    for (unsigned i = 0; i < node->n_inputs; i++) {
      uint32_t at = 0;
      while (at < s->n_inputs && s->inputs[at] != node->inputs[i]) at++;
      for (uint32_t k = 0; at >= s->n_inputs && k < m; k++)
        if (output_of(g, s->nodes[k]) == node->inputs[i]) at = s->n_inputs + k;
      f.steps[m].in[i] = (uint8_t)at;
    }
  }
  return f;
}

static wh_status become(wh_graph *g, wh_node_info *n, wh_op op, const wh_value *inputs, size_t n_inputs,
                        const wh_attr *attrs, size_t n_attrs, const wh_formula *f) {
  char text[WH_FORMULA_TEXT + 1];
  wh_attr all[8] = {{.key = WH_ATTR_FORMULA, .n = wh_formula_print(f, text), .text = text}};
  for (size_t i = 0; i < n_attrs; i++) all[1 + i] = attrs[i];
  wh_attr *kept;
  WH_TRY(wh_copy_attrs(g, all, 1 + n_attrs, &kept));
  WH_TRY(wh_node_set_inputs(g, n, inputs, n_inputs));
  n->op = op;
  n->attrs = kept;
  n->n_attrs = (uint32_t)(1 + n_attrs);
  return WH_OK;
}

/* The chain that ends in `root`, of two nodes at least. */
static wh_status make_chain(chain_ctx *c, wh_node root) {
  wh_graph *g = c->g;
  group s = {.nodes = {root}, .n_nodes = 1};
  if (!is_step(g, root) || !find_inputs(g, &s)) return WH_OK;
  while (grow(c, &s)) {
  }
  if (s.n_nodes < 2) return WH_OK;
  qsort(s.nodes, s.n_nodes, sizeof s.nodes[0], by_index);
  const wh_formula f = formula_of(g, &s);
  for (uint32_t m = 0; m < s.n_nodes; m++) g->nodes[s.nodes[m]].dead = s.nodes[m] != root;
  return become(g, &g->nodes[root], WH_OP_CHAIN, s.inputs, s.n_inputs, NULL, 0, &f);
}

/* ---- ends of convolutions ---- */

/* Whether an operand's space is all or one element of the output's, as conv_chain wants it. */
static bool fits_end(const wh_graph *g, wh_value v, const wh_shape *y) {
  const wh_shape *s = shape_of(g, v);
  bool all = s->rank >= y->rank - 2, one = true;
  if (s->rank > y->rank) return false;
  for (int d = 0; d < s->rank; d++) {
    const int at = y->rank - s->rank + d;
    if (at < 2) continue;
    one = one && wh_dim_get(&g->dims, s->dims[d])->max == 1;
    all = all && s->dims[d] == y->dims[at];
  }
  return one || all;
}

static bool formula_at(const wh_graph *g, wh_node n, wh_formula *out) {
  const wh_node_info *node = &g->nodes[n];
  group s = {.nodes = {n}, .n_nodes = 1};
  if (!node->dead && node->op == WH_OP_CHAIN) {
    const wh_attr *a = wh_node_attr(node, WH_ATTR_FORMULA);
    return wh_formula_parse(a->text, a->n, node->n_inputs, out) == WH_OK;
  }
  if (!is_step(g, n) || !find_inputs(g, &s) || s.n_inputs != node->n_inputs) return false;
  *out = formula_of(g, &s);
  return true;
}

/* The input that a convolution makes for this node only and over its shape; n_inputs: none. */
static uint32_t find_convolution(const chain_ctx *c, const wh_node_info *node) {
  const wh_graph *g = c->g;
  const wh_shape *y = shape_of(g, wh_node_output(node, 0));
  for (uint32_t i = 0; i < node->n_inputs; i++) {
    const wh_value_info *v = &g->values[node->inputs[i]];
    if (v->kind != WH_VALUE_NODE || v->region != node->region || c->uses[node->inputs[i]] != 1) continue;
    const wh_node_info *conv = &g->nodes[v->producer];
    if (conv->dead || conv->op != WH_OP_CONV || conv->n_inputs > 3 || !wh_shape_equal(&v->shape, y)) continue;
    bool fits = node->n_inputs - 1 <= MOST_ENDS;
    for (uint32_t k = 0; k < node->n_inputs; k++) fits = fits && (k == i || fits_end(g, node->inputs[k], y));
    if (fits) return i;
  }
  return node->n_inputs;
}

static wh_status end_convolution(chain_ctx *c, wh_node n) {
  wh_graph *g = c->g;
  wh_node_info *node = &g->nodes[n];
  wh_formula f;
  if (!formula_at(g, n, &f)) return WH_OK;
  const uint32_t at = find_convolution(c, node);
  if (at == node->n_inputs) return WH_OK;
  wh_node_info *conv = &g->nodes[g->values[node->inputs[at]].producer];
  wh_value inputs[3 + MOST_ENDS] = {conv->inputs[0], conv->inputs[1], conv->n_inputs > 2 ? conv->inputs[2] : 0};
  size_t n_inputs = 3;
  for (uint32_t i = 0; i < node->n_inputs; i++)
    if (i != at) inputs[n_inputs++] = node->inputs[i];
  for (uint32_t s = 0; s < f.n_steps; s++) /* the convolution comes first, the others behind it */
    for (unsigned i = 0; i < f.steps[s].n_in; i++) {
      uint8_t *in = &f.steps[s].in[i];
      *in = *in == at ? 0 : *in < at ? (uint8_t)(*in + 1) : *in;
    }
  if (n_inputs == 3 && !inputs[2]) n_inputs = 2;
  conv->dead = true;
  return become(g, node, WH_OP_CONV_CHAIN, inputs, n_inputs, conv->attrs, conv->n_attrs, &f);
}

wh_status wh_pass_chain(wh_graph *g) {
  chain_ctx c = {.g = g, .uses = wh_alloc_array(g->alloc, g->n_values, sizeof *c.uses)};
  if (!c.uses) return WH_OOM("chain pass");
  wh_status st = WH_OK;
  for (size_t n = 0; n < g->n_nodes; n++) square(g, &g->nodes[n]);
  wh_graph_count_uses(g, c.uses);
  for (size_t n = g->n_nodes; n-- > 0 && st == WH_OK;) st = make_chain(&c, (wh_node)n);
  wh_graph_count_uses(g, c.uses);
  for (size_t n = 0; n < g->n_nodes && st == WH_OK; n++) st = end_convolution(&c, (wh_node)n);
  wh_free(g->alloc, c.uses);
  WH_TRY(st);
  return wh_pass_compact(g);
}
