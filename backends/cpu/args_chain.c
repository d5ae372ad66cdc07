/* args_chain.c - chains of elementwise ops: their kernels, and how their runs are shared out. */
#include "backends/cpu/cpu_internal.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"
#include "core/base/nd.h"

/* Elements that a worker takes at a time at least. */
#define PIECE 1024

/* The operands as they broadcast over the output. */
static wh_nd walk_of(const cpu_instr *in, int n_in) {
  const cpu_operand *y = in->out;
  wh_nd nd = {.rank = y->rank, .n_operands = n_in};
  for (int d = 0; d < y->rank; d++) nd.dims[d] = y->dims[d];
  for (int o = 0; o < n_in; o++) {
    const cpu_operand *x = &in->in[o];
    int64_t stride = 1;
    for (int d = x->rank - 1, to = y->rank - 1; d >= 0; d--, to--) {
      nd.stride[o][to] = x->dims[d] == 1 ? 0 : stride;
      stride *= x->dims[d];
    }
  }
  wh_nd_collapse(&nd);
  return nd;
}

const float *wh_cpu_chain_input(const wh_chain *c, uint32_t i, const cpu_operand *x, float *one) {
  if (!(c->ones >> i & 1)) return x->data;
  *one = x->dtype == WH_DTYPE_I32  ? (float)*(const int32_t *)x->data
         : x->dtype == WH_DTYPE_I8 ? (float)*(const int8_t *)x->data
                                   : (float)*(const uint8_t *)x->data;
  return one;
}

void wh_cpu_run_chain(const cpu_instr *in, const wh_worker *worker) {
  const wh_chain *chain = &in->kernel->chain;
  const int n_in = (int)chain->n_inputs;
  const int64_t y_bytes = chain->to ? 1 : (int64_t)sizeof(float);
  const float *base[WH_FORMULA_INPUTS];
  float ones[WH_FORMULA_INPUTS];
  if (wh_cpu_elements(in->out) == 0) return;
  for (int o = 0; o < n_in; o++) base[o] = wh_cpu_chain_input(chain, (uint32_t)o, &in->in[o], &ones[o]);
  const wh_nd nd = walk_of(in, n_in);
  const int64_t total = wh_nd_elements(&nd);
  int64_t begin, end, n;
  wh_worker_range(worker, ceil_div(total, PIECE), &begin, &end);
  begin *= PIECE;
  end = min_i64(end * PIECE, total);
  if (begin >= end) return;
  wh_nd_at at = wh_nd_seek(&nd, begin);
  for (int64_t i = begin; i < end; i += n) {
    wh_chain_input x[WH_FORMULA_INPUTS];
    n = wh_nd_run(&nd, &at, end - i);
    for (int o = 0; o < n_in; o++)
      x[o] = (wh_chain_input){
          .x = (const float *)(const void *)((const char *)base[o] + at.offset[o] * chain->bytes[o]),
          .step = nd.stride[o][nd.rank - 1]};
    wh_chain_run(chain, n, x, (float *)(void *)((char *)in->out->data + i * y_bytes), worker->team);
    wh_nd_advance(&nd, &at, n);
  }
}

wh_status wh_cpu_select_chain(const cpu_device *d, const wh_dtype *types, uint32_t n_inputs, wh_dtype to,
                              cpu_kernel *k) {
  const wh_attr *a = wh_node_attr(k->node, WH_ATTR_FORMULA);
  wh_formula f;
  WH_TRY(wh_formula_parse(a->text, a->n, n_inputs, &f));
  if (wh_chain_select(d->features, &d->rowops, &f, types, to, &k->chain)) return WH_OK;
  return WH_FAIL(ERR_UNSUPPORTED, "node '%s' has a step without a kernel", k->node->name);
}

wh_status wh_cpu_select_codes(const cpu_device *d, const wh_graph *g, uint32_t first, cpu_kernel *k) {
  wh_dtype types[WH_FORMULA_INPUTS];
  uint32_t n = 0, ones = 0;
  if (first) types[n++] = WH_DTYPE_I32;
  for (uint32_t i = first; i < k->node->n_inputs; i++, n++) {
    const wh_shape *s = &g->values[k->node->inputs[i]].shape;
    types[n] = s->dtype;
    if (s->dtype == WH_DTYPE_F32 || !wh_shape_is_one(g, s)) continue;
    types[n] = WH_DTYPE_F32;
    ones |= 1u << n;
  }
  WH_TRY(wh_cpu_select_chain(d, types, n, g->values[wh_node_output(k->node, 0)].shape.dtype, k));
  k->chain.ones = ones;
  return WH_OK;
}

void wh_cpu_run_codes(const cpu_instr *in, void *sums, const wh_worker *worker) {
  cpu_operand operands[WH_FORMULA_INPUTS];
  cpu_instr chain = *in;
  operands[0] = *in->out;
  operands[0].data = sums;
  for (uint32_t i = 1; i < in->kernel->chain.n_inputs; i++) operands[i] = in->in[3 + i];
  chain.in = operands;
  wh_team_barrier(worker);
  wh_cpu_run_chain(&chain, worker);
}

bool wh_cpu_sum_bytes(const wh_graph *g, const wh_node_info *node, const int64_t *dims, size_t *out) {
  const wh_shape *y = &g->values[wh_node_output(node, 0)].shape;
  *out = sizeof(int32_t);
  for (int i = 0; i < y->rank; i++)
    if (!wh_mul_size(*out, (size_t)dims[y->dims[i]], out)) return false;
  return wh_align_size(*out, 64, out);
}

wh_status wh_cpu_compile_chain(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k) {
  (void)args;
  k->run = wh_cpu_run_chain;
  k->name = wh_op_get(k->node->op)->name;
  return wh_cpu_select_codes(d, g, 0, k);
}
