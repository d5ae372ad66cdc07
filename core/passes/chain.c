/* chain.c - elementwise ops of f32 that follow each other become one `chain`, which goes over memory once,
 * and one that follows a convolution or a product becomes its end. Every step stays the op that it was, so
 * the bits do. For backends that compute them, casts from integers, dequantisations and the quantisation
 * behind all join, too: `chain_codes`, and after integer products conv_codes and matmul_codes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/ir/formula.h"
#include "core/passes/fuse.h"

#define MOST_ENDS (WH_FORMULA_INPUTS - 1) /* operands of a convolution's formula */

typedef struct chain_ctx {
  wh_graph *g;
  uint32_t *uses; /* per value */
  bool codes;
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

static bool is_term(wh_dtype d) {
  return d == WH_DTYPE_F32 || d == WH_DTYPE_I32 || d == WH_DTYPE_I8 || d == WH_DTYPE_U8;
}

/* From or to codes of 8 bits, with one scale and one zero point. */
static bool is_quantisation(const wh_graph *g, const wh_node_info *node) {
  const wh_value codes = node->op == WH_OP_QUANTIZE_LINEAR ? wh_node_output(node, 0) : node->inputs[0];
  const wh_dtype d = shape_of(g, codes)->dtype;
  for (unsigned i = 1; i < node->n_inputs; i++)
    if (node->inputs[i] && (!wh_shape_is_one(g, shape_of(g, node->inputs[i])) ||
                            shape_of(g, node->inputs[i])->rank > shape_of(g, node->inputs[0])->rank))
      return false;
  return (d == WH_DTYPE_I8 || d == WH_DTYPE_U8) && !wh_node_i(node, WH_ATTR_BLOCK);
}

/* Whether a quantisation has a zero point: a constant 0 changes nothing. */
static bool has_zero(const wh_graph *g, const wh_node_info *node) {
  if (node->n_inputs <= 2 || !node->inputs[2]) return false;
  const wh_value_info *zero = &g->values[node->inputs[2]];
  return zero->kind != WH_VALUE_CONST || !zero->data || zero->n_bytes != 1 ||
         *(const uint8_t *)zero->data != 0;
}

/* How many steps of a formula the node is; -1: it is none. */
static int steps_of(const chain_ctx *c, wh_node n) {
  const wh_graph *g = c->g;
  const wh_node_info *node = &g->nodes[n];
  if (node->dead) return -1;
  if (wh_formula_operands(node->op)) {
    for (unsigned i = 0; i < node->n_inputs; i++)
      if (!node->inputs[i] || shape_of(g, node->inputs[i])->dtype != WH_DTYPE_F32) return -1;
    return 1;
  }
  if (!c->codes) return -1;
  switch (node->op) {
    case WH_OP_CAST: /* what an input of a formula is in any case */
      return shape_of(g, output_of(g, n))->dtype == WH_DTYPE_F32 &&
                     shape_of(g, node->inputs[0])->dtype != WH_DTYPE_F32 &&
                     is_term(shape_of(g, node->inputs[0])->dtype)
                 ? 0
                 : -1;
    case WH_OP_DEQUANTIZE_LINEAR:
      return is_quantisation(g, node) ? 1 + has_zero(g, node) : -1;
    case WH_OP_QUANTIZE_LINEAR:
      return is_quantisation(g, node) ? 2 + has_zero(g, node) : -1;
    default:
      return -1;
  }
}

static bool is_step(const chain_ctx *c, wh_node n) { return steps_of(c, n) >= 0; }

/* ---- squares ---- */

/* pow(x, 2) is x * x by definition. */
static void square(const wh_graph *g, wh_node_info *n) {
  if (n->dead || n->op != WH_OP_POW) return;
  const wh_shape *x = shape_of(g, n->inputs[0]);
  double e;
  if (x->dtype != WH_DTYPE_F32 || !wh_shape_equal(x, shape_of(g, wh_node_output(n, 0))) ||
      !wh_fuse_number(g, n->inputs[1], &e) || e != 2.0)
    return;
  n->op = WH_OP_MUL;
  n->inputs[1] = n->inputs[0];
}

/* relu(x) is max(x, +0) by definition, and a formula has room for another operand. */
static wh_status rectify(wh_graph *g, wh_node_info *n) {
  if (n->dead || n->op != WH_OP_MAX) return WH_OK;
  const wh_shape *y = shape_of(g, wh_node_output(n, 0));
  if (y->dtype != WH_DTYPE_F32) return WH_OK;
  for (int i = 0; i < 2; i++) {
    double bound;
    const wh_value x = n->inputs[1 - i];
    if (!wh_fuse_number(g, n->inputs[i], &bound) || bound != 0.0 || signbit(bound) ||
        !wh_shape_equal(shape_of(g, x), y))
      continue;
    n->op = WH_OP_RELU;
    return wh_node_set_inputs(g, n, &x, 1);
  }
  return WH_OK;
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
      if (!v || (i == 2 && !has_zero(g, node))) continue; /* of quantisations */
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

static bool same_dims(const wh_shape *a, const wh_shape *b) {
  return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof a->dims[0]) == 0;
}

/* Whether the node that makes v can join: a step over the same shape that only members use. */
static bool may_join(const chain_ctx *c, const group *s, wh_value v) {
  const wh_value_info *info = &c->g->values[v];
  const wh_node root = s->nodes[0];
  return info->kind == WH_VALUE_NODE && info->region == c->g->nodes[root].region &&
         is_step(c, info->producer) && c->g->nodes[info->producer].op != WH_OP_QUANTIZE_LINEAR &&
         same_dims(&info->shape, shape_of(c->g, output_of(c->g, root))) &&
         c->uses[v] == uses_within(c->g, s, v);
}

static int all_steps(const chain_ctx *c, const group *s) {
  int n = 0;
  for (uint32_t m = 0; m < s->n_nodes; m++) n += steps_of(c, s->nodes[m]);
  return n;
}

/* Takes in one more node; false: none can join. */
static bool grow(const chain_ctx *c, group *s) {
  if (s->n_nodes == WH_FORMULA_STEPS) return false;
  for (uint32_t i = 0; i < s->n_inputs; i++) {
    c->g->work++;
    if (!may_join(c, s, s->inputs[i])) continue;
    group more = *s;
    more.nodes[more.n_nodes++] = c->g->values[s->inputs[i]].producer;
    if (!find_inputs(c->g, &more) || all_steps(c, &more) > (int)WH_FORMULA_STEPS) continue;
    *s = more;
    return true;
  }
  return false;
}

static int by_index(const void *a, const void *b) {
  const wh_node x = *(const wh_node *)a, y = *(const wh_node *)b;
  return x < y ? -1 : x > y;
}

static uint8_t add_step(wh_formula *f, wh_op op, uint8_t a, uint8_t b) {
  f->steps[f->n_steps] = (wh_formula_step){.op = op, .n_in = (uint8_t)wh_formula_operands(op), .in = {a}};
  if (f->steps[f->n_steps].n_in > 1) f->steps[f->n_steps].in[1] = b;
  return (uint8_t)(f->n_inputs + f->n_steps++);
}

/* The steps of a node over values of the formula; the last one's number. */
static uint8_t add_node(wh_formula *f, const wh_graph *g, const wh_node_info *node, const uint8_t *in) {
  switch (node->op) {
    case WH_OP_CAST:
      return in[0];
    case WH_OP_DEQUANTIZE_LINEAR: /* the difference is exact in f32, too */
      return add_step(f, WH_OP_MUL, has_zero(g, node) ? add_step(f, WH_OP_SUB, in[0], in[2]) : in[0], in[1]);
    case WH_OP_QUANTIZE_LINEAR: {
      const uint8_t q = add_step(f, WH_OP_ROUND, add_step(f, WH_OP_DIV, in[0], in[1]), 0);
      return has_zero(g, node) ? add_step(f, WH_OP_ADD, q, in[2]) : q;
    }
    default:
      return add_step(f, node->op, in[0], in[1]);
  }
}

static wh_formula formula_of(const wh_graph *g, const group *s) {
  wh_formula f = {.n_inputs = s->n_inputs};
  uint8_t results[WH_FORMULA_STEPS]; /* by member */
  for (uint32_t m = 0; m < s->n_nodes; m++) {
    const wh_node_info *node = &g->nodes[s->nodes[m]];
    uint8_t in[3] = {0};
    for (unsigned i = 0; i < node->n_inputs; i++) {
      uint32_t at = 0;
      while (at < s->n_inputs && s->inputs[at] != node->inputs[i]) at++;
      in[i] = (uint8_t)at;
      for (uint32_t k = 0; at >= s->n_inputs && k < m; k++)
        if (output_of(g, s->nodes[k]) == node->inputs[i]) in[i] = results[k];
    }
    results[m] = add_node(&f, g, node, in);
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

/* Whether some of it is not f32. */
static bool makes_codes(const wh_graph *g, const group *s) {
  bool floats = true;
  for (uint32_t i = 0; i < s->n_inputs; i++)
    floats = floats && shape_of(g, s->inputs[i])->dtype == WH_DTYPE_F32;
  for (uint32_t m = 0; m < s->n_nodes; m++)
    floats = floats && shape_of(g, output_of(g, s->nodes[m]))->dtype == WH_DTYPE_F32;
  return !floats;
}

/* The chain that ends in `root`, of two nodes at least. */
static wh_status make_chain(chain_ctx *c, wh_node root) {
  wh_graph *g = c->g;
  group s = {.nodes = {root}, .n_nodes = 1};
  if (!is_step(c, root) || !find_inputs(g, &s)) return WH_OK;
  while (grow(c, &s)) {
  }
  if (s.n_nodes < 2 || all_steps(c, &s) < 1) return WH_OK;
  qsort(s.nodes, s.n_nodes, sizeof s.nodes[0], by_index);
  const wh_formula f = formula_of(g, &s);
  for (uint32_t m = 0; m < s.n_nodes; m++) g->nodes[s.nodes[m]].dead = s.nodes[m] != root;
  const wh_attr to = {.key = WH_ATTR_TO, .i = shape_of(g, output_of(g, root))->dtype};
  const bool codes = makes_codes(g, &s);
  return become(g, &g->nodes[root], codes ? WH_OP_CHAIN_CODES : WH_OP_CHAIN, s.inputs, s.n_inputs, &to, codes,
                &f);
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

static bool formula_at(const chain_ctx *c, wh_node n, wh_formula *out) {
  const wh_graph *g = c->g;
  const wh_node_info *node = &g->nodes[n];
  group s = {.nodes = {n}, .n_nodes = 1};
  if (!node->dead && (node->op == WH_OP_CHAIN || node->op == WH_OP_CHAIN_CODES)) {
    const wh_attr *a = wh_node_attr(node, WH_ATTR_FORMULA);
    return wh_formula_parse(a->text, a->n, node->n_inputs, out) == WH_OK;
  }
  if (wh_formula_operands(node->op) != 1 && wh_formula_operands(node->op) != 2) return false;
  if (!is_step(c, n) || !find_inputs(g, &s) || s.n_inputs != node->n_inputs) return false;
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

/* Input `at` becomes input 0, the others come behind it. */
static void sums_first(wh_formula *f, uint32_t at) {
  for (uint32_t s = 0; s < f->n_steps; s++)
    for (unsigned i = 0; i < f->steps[s].n_in; i++) {
      uint8_t *in = &f->steps[s].in[i];
      *in = *in == at ? 0 : *in < at ? (uint8_t)(*in + 1) : *in;
    }
}

bool wh_fuse_formula(wh_graph *g, wh_node n, uint32_t at, wh_formula *out) {
  const chain_ctx c = {.g = g};
  if (!formula_at(&c, n, out)) return false;
  sums_first(out, at);
  return true;
}

static wh_status end_convolution(chain_ctx *c, wh_node n) {
  wh_graph *g = c->g;
  wh_node_info *node = &g->nodes[n];
  wh_formula f;
  if (!formula_at(c, n, &f)) return WH_OK;
  const uint32_t at = find_convolution(c, node);
  if (at == node->n_inputs) return WH_OK;
  wh_node_info *conv = &g->nodes[g->values[node->inputs[at]].producer];
  wh_value inputs[3 + MOST_ENDS] = {conv->inputs[0], conv->inputs[1],
                                    conv->n_inputs > 2 ? conv->inputs[2] : 0};
  size_t n_inputs = 3;
  for (uint32_t i = 0; i < node->n_inputs; i++)
    if (i != at) inputs[n_inputs++] = node->inputs[i];
  sums_first(&f, at);
  if (n_inputs == 3 && !inputs[2]) n_inputs = 2;
  conv->dead = true;
  return become(g, node, WH_OP_CONV_CHAIN, inputs, n_inputs, conv->attrs, conv->n_attrs, &f);
}

/* ---- ends of integer products ---- */

/* Steps that a product takes along while its sums are at hand; longer ones pay off over longer pieces. */
static bool is_short(const wh_formula *f) {
  for (uint32_t s = 0; s < f->n_steps; s++) switch (f->steps[s].op) {
      case WH_OP_ADD:
      case WH_OP_SUB:
      case WH_OP_MUL:
      case WH_OP_DIV:
      case WH_OP_MIN:
      case WH_OP_MAX:
      case WH_OP_RELU:
      case WH_OP_NEG:
      case WH_OP_ABS:
      case WH_OP_ROUND:
        break;
      default:
        return false;
    }
  return true;
}

/* Whether an operand has a row of elements per row of y's or one, and of columns all or one. */
static bool fits_product(const wh_graph *g, wh_value v, const wh_shape *y) {
  const wh_shape *s = shape_of(g, v);
  bool all = true, one = true;
  if (s->rank > y->rank) return false;
  for (int to = 0; to < y->rank - 1; to++) {
    const int d = to - (y->rank - s->rank);
    const bool single = d < 0 || wh_dim_get(&g->dims, s->dims[d])->max == 1;
    all = all && ((d >= 0 && s->dims[d] == y->dims[to]) || wh_dim_get(&g->dims, y->dims[to])->max == 1);
    one = one && single;
  }
  return one || all;
}

static wh_status end_codes(chain_ctx *c, wh_node n) {
  wh_graph *g = c->g;
  wh_node_info *node = &g->nodes[n];
  const wh_value out = wh_node_output(node, 0);
  const wh_shape *y = shape_of(g, out);
  wh_formula f;
  if (!formula_at(c, n, &f) || !is_short(&f)) return WH_OK;
  for (uint32_t at = 0; at < node->n_inputs; at++) {
    const wh_value sums = node->inputs[at];
    const wh_value_info *v = &g->values[sums];
    if (v->kind != WH_VALUE_NODE || v->region != node->region || c->uses[sums] != 1) continue;
    wh_node_info *product = &g->nodes[v->producer];
    const bool conv = product->op == WH_OP_CONV_INTEGER;
    if (product->dead || (!conv && product->op != WH_OP_MATMUL_INTEGER) || !same_dims(y, &v->shape)) continue;
    bool fits = true;
    for (uint32_t k = 0; k < node->n_inputs; k++)
      fits = fits && (k == at || (conv ? fits_end : fits_product)(g, node->inputs[k], y));
    if (!fits) continue;
    wh_value inputs[4 + MOST_ENDS] = {0};
    size_t n_inputs = 4;
    memcpy(inputs, product->inputs, product->n_inputs * sizeof *inputs);
    for (uint32_t i = 0; i < node->n_inputs; i++)
      if (i != at) inputs[n_inputs++] = node->inputs[i];
    while (n_inputs > 2 && !inputs[n_inputs - 1]) n_inputs--;
    sums_first(&f, at);
    wh_attr attrs[8] = {{.key = WH_ATTR_TO, .i = y->dtype}};
    memcpy(attrs + 1, product->attrs, product->n_attrs * sizeof *attrs);
    product->dead = true;
    return become(g, node, conv ? WH_OP_CONV_CODES : WH_OP_MATMUL_CODES, inputs, n_inputs, attrs,
                  1 + product->n_attrs, &f);
  }
  return WH_OK;
}

/* ---- ends of products of f32 ---- */

static bool is_symmetric(wh_op op) {
  return op == WH_OP_ADD || op == WH_OP_MUL || op == WH_OP_MIN || op == WH_OP_MAX;
}

static wh_status end_product(chain_ctx *c, wh_node n) {
  wh_graph *g = c->g;
  wh_node_info *node = &g->nodes[n];
  wh_formula f;
  if (!formula_at(c, n, &f) || node->n_inputs > WH_FORMULA_INPUTS) return WH_OK;
  const wh_shape *y = shape_of(g, wh_node_output(node, 0));
  for (uint32_t at = 0; at < node->n_inputs; at++) {
    const wh_value sums = node->inputs[at];
    const wh_value_info *v = &g->values[sums];
    if (v->kind != WH_VALUE_NODE || v->region != node->region || c->uses[sums] != 1) continue;
    wh_node_info *product = &g->nodes[v->producer];
    if (product->dead || product->op != WH_OP_MATMUL || !wh_shape_equal(y, &v->shape)) continue;
    wh_value inputs[2 + MOST_ENDS] = {product->inputs[0], product->inputs[1]};
    size_t n_inputs = 2;
    for (uint32_t i = 0; i < node->n_inputs; i++)
      if (i != at) inputs[n_inputs++] = node->inputs[i];
    sums_first(&f, at);
    wh_formula_step *first = &f.steps[0]; /* what finds the sums in registers need not load them */
    if (is_symmetric(first->op) && first->in[1] == 0) {
      first->in[1] = first->in[0];
      first->in[0] = 0;
    }
    product->dead = true;
    return become(g, node, WH_OP_MATMUL_CHAIN, inputs, n_inputs, NULL, 0, &f);
  }
  return WH_OK;
}

static wh_status make_end(chain_ctx *c, wh_node n, bool products) {
  if (c->g->nodes[n].op == WH_OP_CHAIN_CODES) return end_codes(c, n);
  WH_TRY(end_convolution(c, n));
  return products && c->g->nodes[n].op != WH_OP_CONV_CHAIN ? end_product(c, n) : WH_OK;
}

wh_status wh_pass_chain(wh_graph *g, bool codes, bool products) {
  chain_ctx c = {.g = g, .codes = codes, .uses = wh_alloc_array(g->alloc, g->n_values, sizeof *c.uses)};
  if (!c.uses) return WH_OOM("chain pass");
  wh_status st = WH_OK;
  for (size_t n = 0; n < g->n_nodes && st == WH_OK; n++) {
    square(g, &g->nodes[n]);
    st = rectify(g, &g->nodes[n]);
  }
  wh_graph_count_uses(g, c.uses);
  for (size_t n = g->n_nodes; n-- > 0 && st == WH_OK;) st = make_chain(&c, (wh_node)n);
  wh_graph_count_uses(g, c.uses);
  for (size_t n = 0; n < g->n_nodes && st == WH_OK; n++) st = make_end(&c, (wh_node)n, products);
  wh_free(g->alloc, c.uses);
  WH_TRY(st);
  return wh_pass_compact(g);
}
