/* args_reduce.c - reductions over axes, and ops along one: their kernels, and the walks over their operands.
 */
#include "backends/cpu/cpu_internal.h"
#include "backends/cpu/lines.h"
#include "backends/cpu/whole.h"

/* ---- reductions ---- */

/* The dims of x without those of 1, neighbours that share their fate joined: kept ones, and reduced ones. */
typedef struct reduce_dims {
  int rank;
  bool reduced[WH_MAX_RANK];
  int64_t dims[WH_MAX_RANK], stride[WH_MAX_RANK];
} reduce_dims;

static reduce_dims dims_of(const cpu_operand *x, const wh_attr *axes) {
  reduce_dims r = {.rank = 0};
  unsigned mask = 0;
  int64_t stride = 1;
  for (size_t i = 0; i < axes->n; i++) mask |= 1u << axes->ints[i];
  for (int d = 0; d < x->rank; d++) {
    const bool reduced = mask >> d & 1;
    if (x->dims[d] == 1) continue;
    if (r.rank && r.reduced[r.rank - 1] == reduced) {
      r.dims[r.rank - 1] *= x->dims[d];
      continue;
    }
    r.reduced[r.rank] = reduced;
    r.dims[r.rank++] = x->dims[d];
  }
  for (int d = r.rank - 1; d >= 0; d--) {
    r.stride[d] = stride;
    stride *= r.dims[d];
  }
  return r;
}

/* A walk over the dims of one fate, but for the last `but` of all. */
static wh_nd walk_of(const reduce_dims *r, bool reduced, int but) {
  wh_nd nd = {.n_operands = 1};
  for (int d = 0; d < r->rank - but; d++)
    if (r->reduced[d] == reduced) {
      nd.dims[nd.rank] = r->dims[d];
      nd.stride[0][nd.rank++] = r->stride[d];
    }
  wh_nd_collapse(&nd);
  return nd;
}

static void run_reduce(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0], *y = in->out;
  const reduce_dims r = dims_of(x, wh_node_attr(in->kernel->node, WH_ATTR_AXES));
  const size_t size = wh_dtype_get(x->dtype)->block_bytes;
  if (wh_cpu_elements(y) == 0) return;
  const bool rows = r.rank && r.reduced[r.rank - 1];
  const int64_t last = r.rank ? r.dims[r.rank - 1] : 1;
  const wh_nd reduced = walk_of(&r, true, 1), kept = walk_of(&r, false, 1);
  const int64_t n_runs = wh_nd_elements(&reduced);
  const int64_t width = rows ? 1 : WH_REDUCE_COLUMNS, per_place = rows ? 1 : ceil_div(last, width);
  int64_t begin, end;
  wh_worker_range(worker, wh_nd_elements(&kept) * per_place, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const wh_nd_at at = wh_nd_seek(&kept, i / per_place);
    const int64_t column = i % per_place * width;
    const int64_t out = rows ? i : i / per_place * last + column;
    const wh_reduce_run run = {.walk = &reduced,
                               .n_runs = n_runs,
                               .n = rows ? last : min_i64(width, last - column),
                               .x = (const char *)x->data + (size_t)(at.offset[0] + column) * size,
                               .y = (char *)y->data + (size_t)out * size};
    (rows ? in->kernel->reduction.rows : in->kernel->reduction.columns)(&run);
  }
}

wh_status wh_cpu_compile_reduce(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k) {
  (void)args;
  wh_reduce reduce;
  switch (k->node->op) {
#define CASE(op, name)         \
  case WH_OP_REDUCE_##op:      \
    reduce = WH_REDUCE_##name; \
    break;
    CASE(SUM, sum)
    CASE(PROD, prod)
    CASE(MAX, max)
    CASE(MIN, min)
    CASE(SUM_SQUARE, sum_square)
    CASE(L1, l1)
#undef CASE
    default:
      return WH_FAIL(ERR_INTERNAL, "node '%s' is no reduction", k->node->name);
  }
  const wh_dtype dtype = g->values[k->node->inputs[0]].shape.dtype;
  if (!wh_reduce_select(d->features, reduce, dtype, &k->reduction))
    return WH_FAIL(ERR_UNSUPPORTED, "node '%s' has no reduction of %s", k->node->name, wh_dtype_name(dtype));
  k->name = k->reduction.name;
  k->run = run_reduce;
  return WH_OK;
}

/* ---- along one axis ---- */

static const wh_line_fns *lines_of(wh_dtype d) {
  switch (d) {
#define CASE(dtype, t)   \
  case WH_DTYPE_##dtype: \
    return &wh_lines_##t;
    CASE(F32, f32)
    CASE(F64, f64)
    CASE(I8, i8)
    CASE(I16, i16)
    CASE(I32, i32)
    CASE(I64, i64)
    CASE(U8, u8)
    CASE(U16, u16)
    CASE(U32, u32)
    CASE(U64, u64)
#undef CASE
    default:
      return NULL;
  }
}

/* Lines are numbered by what stands before and behind the axis. */
typedef struct line_walk {
  const wh_line_fns *fns;
  size_t size;
  int64_t inner, begin, end; /* this worker's lines */
  wh_line line;
} line_walk;

static line_walk walk_lines(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0];
  const int axis = (int)wh_node_i(in->kernel->node, WH_ATTR_AXIS);
  line_walk w = {.fns = lines_of(x->dtype), .size = wh_dtype_get(x->dtype)->block_bytes, .inner = 1};
  int64_t outer = 1;
  for (int d = 0; d < axis; d++) outer *= x->dims[d];
  for (int d = axis + 1; d < x->rank; d++) w.inner *= x->dims[d];
  w.line = (wh_line){.n = x->dims[axis], .stride = w.inner};
  wh_worker_range(worker, outer * w.inner, &w.begin, &w.end);
  return w;
}

/* The first element of line i, where the axis has n. */
static int64_t line_start(const line_walk *w, int64_t i, int64_t n) {
  return i / w->inner * w->inner * n + i % w->inner;
}

static void run_arg(const cpu_instr *in, const wh_worker *worker) {
  line_walk w = walk_lines(in, worker);
  const bool largest = in->kernel->node->op == WH_OP_ARG_MAX,
             last = wh_node_i(in->kernel->node, WH_ATTR_LAST) != 0;
  for (int64_t i = w.begin; i < w.end; i++) {
    w.line.x = (const char *)in->in[0].data + (size_t)line_start(&w, i, w.line.n) * w.size;
    ((int64_t *)in->out->data)[i] = w.fns->arg(&w.line, largest, last);
  }
}

static void run_topk(const cpu_instr *in, const wh_worker *worker) {
  line_walk w = walk_lines(in, worker);
  const int64_t k = wh_node_i(in->kernel->node, WH_ATTR_K);
  const bool largest = wh_node_i(in->kernel->node, WH_ATTR_LARGEST) != 0;
  for (int64_t i = w.begin; i < w.end; i++) {
    const int64_t to = line_start(&w, i, k);
    w.line.x = (const char *)in->in[0].data + (size_t)line_start(&w, i, w.line.n) * w.size;
    w.fns->topk(&w.line, largest, k, (char *)in->out[0].data + (size_t)to * w.size,
                (int64_t *)in->out[1].data + to, w.inner);
  }
}

static void run_cumsum(const cpu_instr *in, const wh_worker *worker) {
  line_walk w = walk_lines(in, worker);
  const bool exclusive = wh_node_i(in->kernel->node, WH_ATTR_EXCLUSIVE) != 0,
             reverse = wh_node_i(in->kernel->node, WH_ATTR_REVERSE) != 0;
  for (int64_t i = w.begin; i < w.end; i++) {
    const size_t at = (size_t)line_start(&w, i, w.line.n) * w.size;
    w.line.x = (const char *)in->in[0].data + at;
    w.fns->cumsum(&w.line, exclusive, reverse, (char *)in->out->data + at);
  }
}

wh_status wh_cpu_compile_lines(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k) {
  (void)d, (void)args;
  if (!lines_of(g->values[k->node->inputs[0]].shape.dtype))
    return WH_FAIL(ERR_UNSUPPORTED, "node '%s' has no kernel for its type", k->node->name);
  const wh_op op = k->node->op;
  k->run = op == WH_OP_TOPK ? run_topk : op == WH_OP_CUMSUM ? run_cumsum : run_arg;
  k->name = op == WH_OP_TOPK ? "topk__ref" : op == WH_OP_CUMSUM ? "cumsum__ref" : "arg__ref";
  return WH_OK;
}
