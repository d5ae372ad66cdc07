/* args_chain.c - chains of elementwise ops: their kernels, and how their runs are shared out. */
#include "backends/cpu/cpu_internal.h"
#include "backends/cpu/whole.h"
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

static void run_chain(const cpu_instr *in, const wh_worker *worker) {
  const wh_chain *chain = &in->kernel->chain;
  const int n_in = (int)chain->n_inputs;
  if (wh_cpu_elements(in->out) == 0) return;
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
      x[o] = (wh_chain_input){.x = (const float *)in->in[o].data + at.offset[o],
                              .step = nd.stride[o][nd.rank - 1]};
    wh_chain_run(chain, n, x, (float *)in->out->data + i, worker->team);
    wh_nd_advance(&nd, &at, n);
  }
}

wh_status wh_cpu_select_chain(const cpu_device *d, uint32_t n_inputs, cpu_kernel *k) {
  const wh_attr *a = wh_node_attr(k->node, WH_ATTR_FORMULA);
  wh_formula f;
  WH_TRY(wh_formula_parse(a->text, a->n, n_inputs, &f));
  if (wh_chain_select(d->features, &d->rowops, &f, &k->chain)) return WH_OK;
  return WH_FAIL(ERR_UNSUPPORTED, "node '%s' has a step without a kernel", k->node->name);
}

wh_status wh_cpu_compile_chain(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k) {
  (void)g, (void)args;
  k->run = run_chain;
  k->name = "chain";
  return wh_cpu_select_chain(d, k->node->n_inputs, k);
}
