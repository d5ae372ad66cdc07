/* reference_chain.c - formulas: every step by the reference of its op, over operands that were broadcast
 * before. */
#include <assert.h>
#include <math.h>
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

void ref_matmul_chain(ref_node *n) {
  ref_value in[WH_FORMULA_INPUTS];
  ref_matmul(n);
  in[0] = spread(&n->out, &n->out);
  for (uint32_t i = 2; i < n->node->n_inputs; i++) in[i - 1] = spread(&n->in[i], &n->out);
  run_formula(n, in, wh_formula_matmul_inputs(n->node->n_inputs));
}

/* ---- attention ---- */

static ref_value of_shape(int rank, const int64_t *dims) {
  ref_value v = {.dtype = WH_DTYPE_F32, .rank = rank};
  memcpy(v.dims, dims, (size_t)rank * sizeof *dims);
  v.data = calloc((size_t)ref_elements(&v) + 1, sizeof(float));
  assert(v.data);
  return v;
}

/* x with its axes in the order `perm`, and each of its heads as often as it has users. */
static ref_value matrices_of(const ref_value *x, const int64_t *perm, int64_t heads) {
  int64_t dims[WH_MAX_RANK], to[WH_MAX_RANK], from[WH_MAX_RANK];
  for (int d = 0; d < x->rank; d++) dims[d] = x->dims[perm[d]];
  const int head = x->rank - 3;
  const int64_t shared = head >= 0 ? heads / dims[head] : 1;
  if (head >= 0) dims[head] = heads;
  ref_value y = of_shape(x->rank, dims);
  for (int64_t i = 0; i < ref_elements(&y); i++) {
    ref_coordinates(&y, i, to);
    if (head >= 0) to[head] /= shared;
    for (int d = 0; d < x->rank; d++) from[perm[d]] = to[d];
    ref_copy(&y, i, x, ref_flat(x, from));
  }
  return y;
}

void ref_matmul_attention(ref_node *n) {
  const int rank = n->out.rank;
  const int64_t *perm = wh_node_attr(n->node, WH_ATTR_PERM)->ints,
                heads = rank > 2 ? n->in[0].dims[perm[rank - 3]] : 1;
  ref_value x[3], in[WH_FORMULA_INPUTS];
  int64_t dims[WH_MAX_RANK];
  for (int i = 0; i < 3; i++) x[i] = matrices_of(&n->in[i], perm + i * rank, heads);
  memcpy(dims, x[0].dims, sizeof dims);
  dims[rank - 1] = x[1].dims[rank - 1];
  ref_node scores = {.node = n->node, .in = {x[0], x[1]}, .out = of_shape(rank, dims)}, weights = scores;
  ref_matmul(&scores);
  if (wh_node_attr(n->node, WH_ATTR_FORMULA)->n) {
    in[0] = spread(&scores.out, &scores.out);
    for (uint32_t i = 3; i < n->node->n_inputs; i++) in[i - 2] = spread(&n->in[i], &scores.out);
    run_formula(&scores, in, wh_formula_attention_inputs(n->node->n_inputs));
  }
  weights.in[0] = scores.out;
  weights.out = of_shape(rank, dims);
  if (dims[rank - 1]) reference_of(WH_OP_SOFTMAX)(&weights);
  dims[rank - 1] = x[2].dims[rank - 1];
  ref_node y = {.node = n->node, .in = {weights.out, x[2]}, .out = of_shape(rank, dims)};
  ref_matmul(&y);
  for (int64_t i = 0; i < ref_elements(&n->out); i++) {
    int64_t to[WH_MAX_RANK], from[WH_MAX_RANK];
    ref_coordinates(&n->out, i, to);
    for (int d = 0; d < rank; d++) from[perm[3 * rank + d]] = to[d];
    ref_copy(&n->out, i, &y.out, ref_flat(&y.out, from));
  }
  for (int i = 0; i < 3; i++) free(x[i].data);
  free(scores.out.data);
  free(weights.out.data);
  free(y.out.data);
}

/* ---- codes ---- */

/* Any number as f32. */
static ref_value as_float(const ref_value *x) {
  ref_value v = *x;
  const int64_t n = ref_elements(x);
  v.dtype = WH_DTYPE_F32;
  v.data = calloc((size_t)n + 1, sizeof(float));
  assert(v.data);
  for (int64_t i = 0; i < n; i++)
    ((float *)v.data)[i] =
        x->dtype == WH_DTYPE_F32 ? ((const float *)x->data)[i] : (float)(int32_t)ref_integer(x, i);
  return v;
}

static void set_code(ref_value *y, int64_t i, float v) {
  const bool is_signed = y->dtype == WH_DTYPE_I8;
  const float low = is_signed ? -128.0f : 0.0f, high = is_signed ? 127.0f : 255.0f;
  if (y->dtype == WH_DTYPE_F32) {
    ((float *)y->data)[i] = v;
    return;
  }
  const float kept = v != v || v < low ? low : v > high ? high : v;
  ref_set_integer(y, i, (__int128)nearbyintf(kept));
}

/* The formula over `sums`, unless they are absent, and the node's inputs from `first` on. */
static void run_codes(ref_node *n, const ref_value *sums, uint32_t first) {
  ref_node floats = *n;
  ref_value in[WH_FORMULA_INPUTS];
  uint32_t n_in = 0;
  floats.out.dtype = WH_DTYPE_F32;
  floats.out.data = calloc((size_t)ref_elements(&n->out) + 1, sizeof(float));
  assert(floats.out.data);
  if (sums) in[n_in++] = as_float(sums);
  for (uint32_t i = first; i < n->node->n_inputs; i++) {
    ref_value x = as_float(&n->in[i]);
    in[n_in++] = spread(&x, &floats.out);
    free(x.data);
  }
  run_formula(&floats, in, n_in);
  for (int64_t i = 0; i < ref_elements(&n->out); i++)
    set_code(&n->out, i, ((const float *)floats.out.data)[i]);
  free(floats.out.data);
}

void ref_chain_codes(ref_node *n) { run_codes(n, NULL, 0); }

static void product_of_codes(ref_node *n, reference_fn product) {
  ref_node sums = *n;
  sums.out.dtype = WH_DTYPE_I32;
  sums.out.data = calloc((size_t)ref_elements(&n->out) + 1, sizeof(int32_t));
  assert(sums.out.data);
  product(&sums);
  run_codes(n, &sums.out, 4);
  free(sums.out.data);
}

void ref_conv_codes(ref_node *n) { product_of_codes(n, ref_conv_integer); }
void ref_matmul_codes(ref_node *n) { product_of_codes(n, ref_matmul_integer); }
