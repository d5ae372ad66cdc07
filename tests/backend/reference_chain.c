/* reference_chain.c - formulas: every step by the reference of its op, over operands that were broadcast before. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/ir/formula.h"
#include "tests/backend/reference_elements.h"
#include "tests/backend/reference_nn.h"

/* x over the shape of y, in memory that the caller frees. */
static ref_value spread(const ref_value *x, const ref_value *y) {
  ref_value v = *y;
  v.data = calloc((size_t)ref_elements(y) + 1, sizeof(float));
  assert(v.data);
  for (int64_t i = 0; i < ref_elements(y); i++) ref_copy(&v, i, x, ref_broadcast(y, i, x));
  return v;
}

/* The formula over `in`, which is freed, into n->out. */
static void run_formula(ref_node *n, ref_value *in, uint32_t n_inputs) {
  const wh_attr *a = wh_node_attr(n->node, WH_ATTR_FORMULA);
  ref_value values[WH_FORMULA_INPUTS + WH_FORMULA_STEPS];
  wh_formula f;
  const wh_status st = wh_formula_parse(a->text, a->n, n_inputs, &f);
  assert(st == WH_OK);
  (void)st;
  memcpy(values, in, n_inputs * sizeof *in);
  for (uint32_t s = 0; s < f.n_steps; s++) {
    const wh_node_info node = {.op = f.steps[s].op, .n_inputs = f.steps[s].n_in};
    ref_node step = {.node = &node, .out = n->out};
    for (unsigned i = 0; i < f.steps[s].n_in; i++) step.in[i] = values[f.steps[s].in[i]];
    step.out.data = calloc((size_t)ref_elements(&n->out) + 1, sizeof(float));
    assert(step.out.data);
    reference_of(node.op)(&step);
    values[n_inputs + s] = step.out;
  }
  memcpy(n->out.data, values[n_inputs + f.n_steps - 1].data, (size_t)ref_elements(&n->out) * sizeof(float));
  for (uint32_t i = 0; i < n_inputs + f.n_steps; i++) free(values[i].data);
}

void ref_chain(ref_node *n) {
  ref_value in[WH_FORMULA_INPUTS];
  for (uint32_t i = 0; i < n->node->n_inputs; i++) in[i] = spread(&n->in[i], &n->out);
  run_formula(n, in, n->node->n_inputs);
}

void ref_conv_chain(ref_node *n) {
  ref_value in[WH_FORMULA_INPUTS];
  ref_node conv = *n;
  for (uint32_t i = 3; i < REFERENCE_MAX_INPUTS; i++) conv.in[i] = (ref_value){.data = NULL};
  ref_conv(&conv);
  in[0] = spread(&n->out, &n->out);
  for (uint32_t i = 3; i < n->node->n_inputs; i++) in[i - 2] = spread(&n->in[i], &n->out);
  run_formula(n, in, wh_formula_conv_inputs(n->node->n_inputs));
}
