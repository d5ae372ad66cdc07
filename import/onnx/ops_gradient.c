/* ops_gradient.c - Gradient: the derivatives of a value of the graph by others, in reverse mode.
 *
 * The operator names values of its graph: those to differentiate by (xs), others that are given (zs), and y.
 * It takes a tensor for each of xs and zs, which need not be what these names stand for. So the nodes between
 * them and y are lowered once more with these tensors, and then their rules are applied in reverse order.
 * Where y has several elements, the derivatives are those of their sum. */
#include <string.h>

#include "import/onnx/lowerings.h"

/* A node that was lowered, and what has come of it. */
typedef struct step {
  wh_datum *const *in, *y, *dy;
  wh_datum **dx; /* of each input; NULL: none. Of the shape of y, where the inputs broadcast over it */
} step;
#define MOST_INPUTS 8
typedef void (*rule)(ox *o, const step *s);

/* What a slot of the graph stands for here. */
typedef struct slot {
  wh_datum *value, *slope; /* slope: of y by it, so far; NULL: nothing */
  bool is_given, is_needed, varies;
} slot;

static wh_datum *neg(ox *o, wh_datum *x) { return ox_unary(o, WH_OP_NEG, x); }

static void of_identity(ox *o, const step *s) {
  (void)o;
  s->dx[0] = s->dy;
}
static void of_add(ox *o, const step *s) {
  (void)o;
  s->dx[0] = s->dx[1] = s->dy;
}
static void of_sub(ox *o, const step *s) {
  s->dx[0] = s->dy;
  s->dx[1] = neg(o, s->dy);
}
static void of_mul(ox *o, const step *s) {
  s->dx[0] = ox_mul(o, s->dy, s->in[1]);
  s->dx[1] = ox_mul(o, s->dy, s->in[0]);
}
static void of_div(ox *o, const step *s) {
  s->dx[0] = ox_div(o, s->dy, s->in[1]);
  s->dx[1] = neg(o, ox_mul(o, s->dx[0], s->y));
}
static void of_neg(ox *o, const step *s) { s->dx[0] = neg(o, s->dy); }
static void of_exp(ox *o, const step *s) { s->dx[0] = ox_mul(o, s->dy, s->y); }
static void of_log(ox *o, const step *s) { s->dx[0] = ox_div(o, s->dy, s->in[0]); }
static void of_sqrt(ox *o, const step *s) { s->dx[0] = ox_div(o, s->dy, ox_add(o, s->y, s->y)); }
static void of_tanh(ox *o, const step *s) {
  s->dx[0] = ox_mul(o, s->dy, ox_sub(o, ox_num(o, s->y, 1), ox_mul(o, s->y, s->y)));
}
static void of_sigmoid(ox *o, const step *s) {
  s->dx[0] = ox_mul(o, s->dy, ox_mul(o, s->y, ox_sub(o, ox_num(o, s->y, 1), s->y)));
}
static void of_relu(ox *o, const step *s) {
  wh_datum *zero = ox_num(o, s->y, 0);
  s->dx[0] = ox_where(o, ox_binary(o, WH_OP_LESS, zero, s->y), s->dy, zero);
}

static wh_datum *turned(ox *o, wh_datum *x) {
  int64_t perm[WH_MAX_RANK];
  for (int i = 0; i < x->rank; i++) perm[i] = i < x->rank - 2 ? i : 2 * x->rank - 3 - i;
  return ox_transpose(o, x, perm);
}

static void of_matmul(ox *o, const step *s) {
  if (s->in[0]->rank < 2 || s->in[1]->rank < 2) {
    OX_FAIL(o, ERR_UNSUPPORTED, "products of vectors have no derivative here: give them a second axis");
    return;
  }
  s->dx[0] = ox_matmul(o, s->dy, turned(o, s->in[1]));
  s->dx[1] = ox_matmul(o, turned(o, s->in[0]), s->dy);
}

/* Elements keep their order. */
static void of_reshape(ox *o, const step *s) {
  s->dx[0] = ox_reshape(o, s->dy, s->in[0]->rank, s->in[0]->dims);
}

static void of_transpose(ox *o, const step *s) {
  int64_t back[WH_MAX_RANK];
  size_t n;
  const int64_t *perm = ox_attr_ints(o, "perm", &n);
  const int rank = s->dy->rank;
  for (int i = 0; i < rank; i++) back[perm ? perm[i] : rank - 1 - i] = i;
  s->dx[0] = ox_transpose(o, s->dy, back);
}

/* The sum's slope, at each of its terms. */
static wh_datum *at_terms(ox *o, const step *s, double *n_terms) {
  wh_datum *x = s->in[0];
  int64_t kept[WH_MAX_RANK];
  bool none;
  const unsigned axes = ox_reduced_axes(o, x, &none);
  *n_terms = 1;
  for (int i = 0; i < x->rank && o->st == WH_OK; i++) {
    kept[i] = axes >> i & 1 ? 1 : x->dims[i];
    if (axes >> i & 1) *n_terms *= (double)x->dims[i];
  }
  return o->st == WH_OK ? ox_expand(o, ox_reshape(o, s->dy, x->rank, kept), x->rank, x->dims) : s->dy;
}
static void of_sum(ox *o, const step *s) {
  double n;
  s->dx[0] = at_terms(o, s, &n);
}
static void of_mean(ox *o, const step *s) {
  double n;
  wh_datum *each = at_terms(o, s, &n);
  s->dx[0] = ox_div(o, each, ox_num(o, each, n));
}

static const struct {
  const char *op;
  rule apply;
} rules[] = {{"Add", of_add},         {"Sub", of_sub},           {"Mul", of_mul},
             {"Div", of_div},         {"Neg", of_neg},           {"Identity", of_identity},
             {"Exp", of_exp},         {"Log", of_log},           {"Sqrt", of_sqrt},
             {"Tanh", of_tanh},       {"Sigmoid", of_sigmoid},   {"Relu", of_relu},
             {"MatMul", of_matmul},   {"Reshape", of_reshape},   {"Flatten", of_reshape},
             {"Squeeze", of_reshape}, {"Unsqueeze", of_reshape}, {"Transpose", of_transpose},
             {"ReduceSum", of_sum},   {"ReduceMean", of_mean}};

static void refuse(ox *o, const ox_node *node) {
  OX_FAIL(o, ERR_UNSUPPORTED, "'" WH_STR_FMT "' has no derivative here", WH_STR_ARG(node->src->op));
}

static rule rule_of(ox *o, const ox_node *node) {
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
    if (!node->src->domain.len && wh_str_is(node->src->op, rules[i].op)) return rules[i].apply;
  refuse(o, node);
  return NULL;
}

/* The slot of a name that the graph uses, up to the node at work. */
static uint32_t slot_of(ox *o, wh_str name) {
  const ox_graph *g = o->scope->graph;
  for (size_t i = 0; i <= o->scope->at && i < g->n_nodes; i++) {
    const ox_node *node = &g->nodes[i];
    for (size_t k = 0; k < node->n_in; k++)
      if (node->in[k].up == 0 && wh_str_equal(node->src->inputs[k], name)) return node->in[k].slot;
    for (size_t k = 0; k < node->n_out && i < o->scope->at; k++)
      if (node->out[k] != OX_ABSENT && wh_str_equal(node->src->outputs[k], name)) return node->out[k];
  }
  OX_FAIL(o, ERR_CORRUPT, "it names '" WH_STR_FMT "', which nothing before it uses or makes",
          WH_STR_ARG(name));
  return 0;
}

/* Marks what y hangs on, and is not given. */
static void mark_needed(ox *o, slot *slots, bool *runs) {
  const ox_graph *g = o->scope->graph;
  for (size_t i = o->scope->at; i-- > 0;) {
    const ox_node *node = &g->nodes[i];
    for (size_t k = 0; k < node->n_out; k++)
      runs[i] = runs[i] ||
                (node->out[k] != OX_ABSENT && slots[node->out[k]].is_needed && !slots[node->out[k]].is_given);
    for (size_t k = 0; runs[i] && k < node->n_in; k++)
      if (node->in[k].up == 0) slots[node->in[k].slot].is_needed = true;
  }
}

/* Makes the node the one at work, with operands of its own. */
static void enter(ox *o, const ox_node *node, const slot *slots) {
  o->node = node;
  o->in = ox_array(o, node->n_in + 1, sizeof *o->in);
  o->out = ox_array(o, node->n_out + 1, sizeof *o->out);
  for (size_t k = 0; k < node->n_in && o->st == WH_OK; k++) {
    const ox_ref ref = node->in[k];
    if (ref.up == OX_ABSENT) continue;
    if (ref.up == 0) o->in[k] = slots[ref.slot].value;
    if (!o->in[k])
      OX_FAIL(o, ERR_UNSUPPORTED, "y hangs on '" WH_STR_FMT "', which neither xs nor zs name",
              WH_STR_ARG(node->src->inputs[k]));
  }
}

static void forward(ox *o, const ox_node *node, slot *slots) {
  bool varies = false;
  enter(o, node, slots);
  for (size_t k = 0; k < node->n_in; k++) varies |= node->in[k].up == 0 && slots[node->in[k].slot].varies;
  for (size_t k = 0; k < node->src->n_attrs; k++)
    if (node->graphs[k]) refuse(o, node);
  if (varies && !rule_of(o, node)) return;
  /* as before opset 7 */
  const bool places_axes = node->opset < 7 && ox_attr_i(o, "broadcast", 0) && ox_attr(o, "axis");
  if (varies && (node->n_in > MOST_INPUTS || places_axes))
    OX_FAIL(o, ERR_UNSUPPORTED, "this form of '" WH_STR_FMT "' has no derivative here",
            WH_STR_ARG(node->src->op));
  /* Functions, and Gradient: one within the other would take time that doubles with each. */
  if (!node->row || node->row->lower == ox_lower_gradient) refuse(o, node);
  if (o->st == WH_OK) node->row->lower(o);
  for (size_t k = 0; k < node->n_out && o->st == WH_OK; k++) {
    if (node->out[k] == OX_ABSENT || slots[node->out[k]].is_given) continue;
    slots[node->out[k]].value = o->out[k];
    slots[node->out[k]].varies = varies;
  }
}

/* d, which an operand of this shape was broadcast to, summed over its copies. */
static wh_datum *gathered(ox *o, wh_datum *d, const wh_datum *shape) {
  const int more = d->rank - shape->rank;
  unsigned axes = 0;
  for (int i = 0; i < d->rank; i++)
    if (i < more || (shape->dims[i - more] == 1 && d->dims[i] != 1)) axes |= 1u << i;
  if (axes) d = ox_reduce(o, WH_OP_REDUCE_SUM, d, axes, true);
  return ox_cast(o, ox_reshape(o, d, shape->rank, shape->dims), shape->dtype);
}

static void backward(ox *o, const ox_node *node, slot *slots) {
  wh_datum *dx[MOST_INPUTS] = {NULL};
  if (node->n_out == 0 || node->out[0] == OX_ABSENT) return;
  const slot *y = &slots[node->out[0]];
  if (!y->varies || y->is_given || !y->slope) return;
  enter(o, node, slots);
  const rule apply = rule_of(o, node);
  if (o->st != WH_OK) return;
  apply(o, &(step){o->in, y->value, y->slope, dx});
  for (size_t k = 0; k < node->n_in && o->st == WH_OK; k++) {
    if (!dx[k] || node->in[k].up != 0 || !slots[node->in[k].slot].varies) continue;
    slot *x = &slots[node->in[k].slot];
    wh_datum *d = gathered(o, dx[k], o->in[k]);
    x->slope = x->slope ? ox_add(o, x->slope, d) : d;
  }
}

static wh_datum *filled(ox *o, const wh_datum *like, double v) {
  return ox_expand(o, ox_num(o, like, v), like->rank, like->dims);
}

void ox_lower_gradient(ox *o) {
  size_t n_x = 0, n_z = 0;
  const wh_str *xs = ox_attr_strings(o, "xs", &n_x), *zs = ox_attr_strings(o, "zs", &n_z);
  const ox_graph *g = o->scope->graph;
  const ox_node *node = o->node;
  wh_datum **in = o->in, **out = o->out;
  if (n_x == 0 || ox_n_in(o) != n_x + n_z || ox_n_out(o) > n_x)
    OX_FAIL(o, ERR_CORRUPT, "its inputs are not those that xs and zs name");
  const uint32_t y = slot_of(o, ox_attr_s(o, "y", ""));
  slot *slots = ox_array(o, (size_t)g->n_slots + 1, sizeof *slots);
  bool *runs = ox_array(o, g->n_nodes + 1, sizeof *runs);
  uint32_t *places = ox_array(o, n_x + n_z + 1, sizeof *places);
  for (size_t i = 0; i < g->n_weights && o->st == WH_OK; i++)
    slots[g->weight_slots[i]].value = o->scope->values[g->weight_slots[i]];
  for (size_t i = 0; i < n_x + n_z && o->st == WH_OK; i++) {
    places[i] = slot_of(o, i < n_x ? xs[i] : zs[i - n_x]);
    if (o->st == WH_OK) slots[places[i]] = (slot){.value = ox_in(o, i), .is_given = true, .varies = i < n_x};
  }
  if (o->st != WH_OK) return;
  slots[y].is_needed = true;
  mark_needed(o, slots, runs);
  for (size_t i = 0; i < o->scope->at && o->st == WH_OK; i++)
    if (runs[i]) forward(o, &g->nodes[i], slots);
  if (o->st == WH_OK && !slots[y].value) OX_FAIL(o, ERR_CORRUPT, "its y does not hang on xs or zs");
  if (o->st == WH_OK) slots[y].slope = filled(o, slots[y].value, 1);
  for (size_t i = o->scope->at; i-- > 0 && o->st == WH_OK;)
    if (runs[i]) backward(o, &g->nodes[i], slots);
  o->node = node;
  o->in = in;
  o->out = out;
  for (size_t i = 0; i < n_x && o->st == WH_OK; i++) {
    slot *x = &slots[places[i]];
    ox_give(o, i, x->slope ? x->slope : filled(o, x->value, 0));
  }
}
