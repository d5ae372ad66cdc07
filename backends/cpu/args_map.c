/* args_map.c - elementwise ops over operands that broadcast: which loop runs, and how its runs are shared
 * out.
 */
#include <stdio.h>

#include "backends/cpu/convert.h"
#include "backends/cpu/cpu_internal.h"
#include "backends/cpu/whole.h"
#include "core/base/nd.h"

/* Elements that a worker takes at a time at least: less is not worth another processor. */
#define PIECE 1024

static bool map_of(const wh_node_info *node, wh_map *out) {
  switch (node->op) {
#define WH_MAP_OP(op, name) \
  case WH_OP_##op:          \
    *out = WH_MAP_##name;   \
    break;
#define WH_MAP_OP_TOO(op, name) WH_MAP_OP(op, name)
#include "backends/cpu/ops_map.def"
    default:
      return false;
  }
  if (*out == WH_MAP_mod && wh_node_i(node, WH_ATTR_FMOD)) *out = WH_MAP_rem;
  return true;
}

static wh_map_fn select_loop(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                             const char **name) {
  wh_map map;
  if (!map_of(node, &map)) return NULL;
  const wh_shape *typed = &g->values[node->inputs[map == WH_MAP_where ? 1 : 0]].shape;
  return wh_map_select(d->features, map, typed->dtype, name);
}

wh_status wh_cpu_claim_map(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                           const int64_t *dims, wh_claim *c) {
  (void)dims;
  c->no_scratch = true;
  c->supported = select_loop(d, g, node, NULL) != NULL;
  if (!c->supported)
    (void)snprintf(c->reason, sizeof c->reason, "no kernel for %s of %s", wh_op_get(node->op)->name,
                   wh_dtype_name(g->values[node->inputs[0]].shape.dtype));
  return WH_OK;
}

/* The operands of an instruction as they broadcast over its output. */
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

static void run_map(const cpu_instr *in, const wh_worker *worker) {
  const wh_node_info *node = in->kernel->node;
  const int n_in = (int)node->n_inputs;
  if (wh_cpu_elements(in->out) == 0) return;
  const wh_nd nd = walk_of(in, n_in);
  const int64_t total = wh_nd_elements(&nd);
  const wh_attr *mode = wh_node_attr(node, WH_ATTR_MODE);
  int64_t begin, end;
  size_t bytes[4];
  wh_worker_range(worker, ceil_div(total, PIECE), &begin, &end);
  begin *= PIECE;
  end = min_i64(end * PIECE, total);
  if (begin >= end) return;
  for (int o = 0; o < n_in; o++) bytes[o] = wh_dtype_get(in->in[o].dtype)->block_bytes;
  bytes[3] = wh_dtype_get(in->out->dtype)->block_bytes;
  wh_map_run r = {.mode = mode ? (int)mode->i : 0, .exponent = in->in[n_in > 1 ? 1 : 0].dtype};
  for (int o = 0; o < n_in; o++) r.step[o] = nd.stride[o][nd.rank - 1];
  wh_nd_at at = wh_nd_seek(&nd, begin);
  for (int64_t i = begin; i < end; i += r.n) {
    r.n = wh_nd_run(&nd, &at, end - i);
    for (int o = 0; o < n_in; o++) r.in[o] = (const char *)in->in[o].data + (size_t)at.offset[o] * bytes[o];
    r.out = (char *)in->out->data + (size_t)i * bytes[3];
    in->kernel->map(&r);
    wh_nd_advance(&nd, &at, r.n);
  }
}

wh_status wh_cpu_compile_map(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k) {
  (void)args;
  k->map = select_loop(d, g, k->node, &k->name);
  if (!k->map) return WH_FAIL(ERR_UNSUPPORTED, "node '%s' has no elementwise loop", k->node->name);
  k->run = run_map;
  return WH_OK;
}

/* ---- casts ---- */

static void run_cast(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0], *y = in->out;
  const wh_dtype_info *from = wh_dtype_get(x->dtype), *to = wh_dtype_get(y->dtype);
  const bool saturate = wh_node_i(in->kernel->node, WH_ATTR_SATURATE) != 0;
  const bool by_rows = from->block_elems > 1 || to->block_elems > 1; /* rows begin with a byte */
  const int64_t n = by_rows ? wh_cpu_row_length(x) : 1, rows = by_rows ? wh_cpu_rows(x) : wh_cpu_elements(x);
  const int64_t piece = n > PIECE ? 1 : PIECE / (n ? n : 1);
  int64_t begin, end;
  size_t x_bytes, y_bytes; /* of a row */
  wh_worker_range(worker, ceil_div(rows, piece), &begin, &end);
  begin *= piece;
  end = min_i64(end * piece, rows);
  if (begin >= end || !wh_dtype_row_bytes(x->dtype, (uint64_t)n, &x_bytes) ||
      !wh_dtype_row_bytes(y->dtype, (uint64_t)n, &y_bytes))
    return;
  const char *src = (const char *)x->data + (size_t)begin * x_bytes;
  char *dst = (char *)y->data + (size_t)begin * y_bytes;
  if (!by_rows) {
    wh_convert(x->dtype, y->dtype, saturate, src, dst, end - begin);
    return;
  }
  for (int64_t i = begin; i < end; i++, src += x_bytes, dst += y_bytes)
    wh_convert(x->dtype, y->dtype, saturate, src, dst, n);
}

wh_status wh_cpu_compile_cast(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k) {
  (void)d, (void)g, (void)args;
  k->run = run_cast;
  k->name = "cast__ref";
  return WH_OK;
}
