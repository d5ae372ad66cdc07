/* args_move.c - ops that move elements: each as a walk with strides (move.h), or a row of the output at a
 * time.
 */
#include <string.h>

#include "backends/cpu/cpu_internal.h"
#include "backends/cpu/move.h"
#include "backends/cpu/whole.h"

static size_t element_bytes(const cpu_operand *o) { return wh_dtype_get(o->dtype)->block_bytes; }

/* Whether there is nothing to move: strides of what has elements do not overflow. */
static bool is_empty(const cpu_instr *in) { return wh_cpu_elements(in->out) == 0; }

/* Of a value in row-major order, in bytes. */
static void strides_of(const cpu_operand *o, int64_t stride[WH_MAX_RANK]) {
  int64_t bytes = (int64_t)element_bytes(o);
  for (int d = o->rank - 1; d >= 0; d--) {
    stride[d] = bytes;
    bytes *= o->dims[d];
  }
}

/* To the whole output, in its order. */
static wh_move move_to(const cpu_operand *y, const cpu_operand *x) {
  wh_move m = {.size = element_bytes(y), .to = y->data, .from = x->data};
  m.nd.rank = y->rank;
  for (int d = 0; d < y->rank; d++) m.nd.dims[d] = y->dims[d];
  strides_of(y, m.nd.stride[WH_MOVE_TO]);
  return m;
}

static void run_transpose(const cpu_instr *in, const wh_worker *worker) {
  if (is_empty(in)) return;
  const int64_t *perm = wh_node_attr(in->kernel->node, WH_ATTR_PERM)->ints;
  int64_t stride[WH_MAX_RANK];
  wh_move m = move_to(in->out, &in->in[0]);
  strides_of(&in->in[0], stride);
  for (int d = 0; d < in->out->rank; d++) m.nd.stride[WH_MOVE_FROM][d] = stride[perm[d]];
  wh_move_run(&m, worker);
}

static void run_slice(const cpu_instr *in, const wh_worker *worker) {
  if (is_empty(in)) return;
  const int64_t *starts = wh_node_attr(in->kernel->node, WH_ATTR_STARTS)->ints,
                *steps = wh_node_attr(in->kernel->node, WH_ATTR_STEPS)->ints;
  int64_t stride[WH_MAX_RANK];
  wh_move m = move_to(in->out, &in->in[0]);
  strides_of(&in->in[0], stride);
  for (int d = 0; d < in->out->rank; d++) {
    m.from += starts[d] * stride[d];
    m.nd.stride[WH_MOVE_FROM][d] = in->out->dims[d] > 1 ? steps[d] * stride[d] : 0;
  }
  wh_move_run(&m, worker);
}

static void run_expand(const cpu_instr *in, const wh_worker *worker) {
  if (is_empty(in)) return;
  const cpu_operand *x = &in->in[0], *y = in->out;
  int64_t stride[WH_MAX_RANK];
  wh_move m = move_to(y, x);
  strides_of(x, stride);
  for (int d = 0; d < x->rank; d++)
    m.nd.stride[WH_MOVE_FROM][d + y->rank - x->rank] = x->dims[d] == 1 ? 0 : stride[d];
  wh_move_run(&m, worker);
}

/* Two dims for each: which repetition, and where in it. */
static void run_tile(const cpu_instr *in, const wh_worker *worker) {
  if (is_empty(in)) return;
  const cpu_operand *x = &in->in[0];
  const int64_t *repeats = wh_node_attr(in->kernel->node, WH_ATTR_REPEATS)->ints;
  int64_t from[WH_MAX_RANK], to[WH_MAX_RANK];
  wh_move m = {.size = element_bytes(x), .to = in->out->data, .from = x->data};
  strides_of(x, from);
  strides_of(in->out, to);
  for (int d = 0; d < x->rank; d++) {
    m.nd.dims[2 * d] = repeats[d];
    m.nd.stride[WH_MOVE_TO][2 * d] = x->dims[d] * to[d];
    m.nd.dims[2 * d + 1] = x->dims[d];
    m.nd.stride[WH_MOVE_TO][2 * d + 1] = to[d];
    m.nd.stride[WH_MOVE_FROM][2 * d + 1] = from[d];
  }
  m.nd.rank = 2 * x->rank;
  wh_move_run(&m, worker);
}

static void run_concat(const cpu_instr *in, const wh_worker *worker) {
  if (is_empty(in)) return;
  const int axis = (int)wh_node_i(in->kernel->node, WH_ATTR_AXIS);
  int64_t to[WH_MAX_RANK];
  char *dst = in->out->data;
  strides_of(in->out, to);
  for (unsigned i = 0; i < in->kernel->node->n_inputs; i++) {
    const cpu_operand *x = &in->in[i];
    wh_move m = {.size = element_bytes(x), .to = dst, .from = x->data};
    m.nd.rank = x->rank;
    for (int d = 0; d < x->rank; d++) {
      m.nd.dims[d] = x->dims[d];
      m.nd.stride[WH_MOVE_TO][d] = to[d];
    }
    strides_of(x, m.nd.stride[WH_MOVE_FROM]);
    if (m.from != m.to) wh_move_run(&m, worker); /* else it was made there: core/plan/parts.h */
    dst += x->dims[axis] * to[axis];
  }
}

/* ---- pad ---- */

enum { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP };

/* Where index i, which may lie outside 0..n-1, is taken from; -1: nowhere. */
static int64_t padded_index(int64_t mode, int64_t i, int64_t n) {
  if (i >= 0 && i < n) return i;
  if (mode == PAD_CONSTANT) return -1;
  if (mode == PAD_EDGE) return i < 0 ? 0 : n - 1;
  const int64_t period = mode == PAD_WRAP ? n : n > 1 ? 2 * (n - 1) : 1;
  int64_t k = i % period;
  if (k < 0) k += period;
  return k < n ? k : period - k;
}

typedef struct pad_row {
  const cpu_operand *x, *y;
  const int64_t *pads;
  int64_t mode;
  size_t size;
  const char *value; /* one element */
} pad_row;

/* A row of the output: what comes before, the row itself, what comes after. from NULL: all is the value. */
static void pad_one(const pad_row *p, const char *from, char *to) {
  const int last = p->x->rank - 1;
  const int64_t n = p->x->dims[last], before = p->pads[last], length = p->y->dims[last];
  if (!from) {
    wh_move_elements(p->size, length, to, (int64_t)p->size, p->value, 0);
    return;
  }
  for (int64_t i = 0; i < length; i++) {
    if (i == before && n > 0) {
      memcpy(to + (size_t)i * p->size, from, (size_t)n * p->size);
      i += n - 1;
      continue;
    }
    const int64_t k = padded_index(p->mode, i - before, n);
    memcpy(to + (size_t)i * p->size, k < 0 ? p->value : from + (size_t)k * p->size, p->size);
  }
}

static void run_pad(const cpu_instr *in, const wh_worker *worker) {
  static const char zero[16] = {0};
  const cpu_operand *x = &in->in[0], *y = in->out;
  const pad_row p = {.x = x,
                     .y = y,
                     .pads = wh_node_attr(in->kernel->node, WH_ATTR_PADS)->ints,
                     .mode = wh_node_i(in->kernel->node, WH_ATTR_MODE),
                     .size = element_bytes(x),
                     .value = in->in[1].data ? in->in[1].data : zero};
  const int64_t length = wh_cpu_row_length(y);
  int64_t begin, end, stride[WH_MAX_RANK];
  if (is_empty(in)) return;
  if (x->rank == 0) {
    if (worker->index == 0) memcpy(y->data, x->data, p.size);
    return;
  }
  strides_of(x, stride);
  wh_worker_range(worker, wh_cpu_rows(y), &begin, &end);
  for (int64_t row = begin; row < end; row++) {
    const char *from = x->data;
    int64_t rest = row;
    for (int d = y->rank - 2; d >= 0; d--) {
      const int64_t k = padded_index(p.mode, rest % y->dims[d] - p.pads[d], x->dims[d]);
      rest /= y->dims[d];
      from = from && k >= 0 ? from + k * stride[d] : NULL;
    }
    pad_one(&p, from, (char *)y->data + (size_t)(row * length) * p.size);
  }
}

/* ---- triangles, reversed sequences ---- */

static void run_trilu(const cpu_instr *in, const wh_worker *worker) {
  if (is_empty(in)) return;
  const cpu_operand *x = &in->in[0];
  const bool upper = wh_node_i(in->kernel->node, WH_ATTR_UPPER) != 0;
  const int64_t k = wh_node_i(in->kernel->node, WH_ATTR_K), n = wh_cpu_row_length(x),
                rows = x->dims[x->rank - 2];
  const size_t size = element_bytes(x);
  int64_t begin, end;
  wh_worker_range(worker, wh_cpu_rows(x), &begin, &end);
  for (int64_t i = begin; i < end && n; i++) {
    const char *from = (const char *)x->data + (size_t)(i * n) * size;
    char *to = (char *)in->out->data + (size_t)(i * n) * size;
    /* the first column of the upper part; below the diagonal one more stays */
    int64_t first;
    if (__builtin_add_overflow(i % rows, k, &first)) first = n;
    if (!upper && first < n) first++;
    first = first < 0 ? 0 : first > n ? n : first;
    const size_t split = (size_t)first * size, all = (size_t)n * size;
    if (upper) {
      memset(to, 0, split);
      memcpy(to + split, from + split, all - split);
    } else {
      memcpy(to, from, split);
      memset(to + split, 0, all - split);
    }
  }
}

static int64_t index_at(const cpu_operand *o, int64_t i) {
  return o->dtype == WH_DTYPE_I32 ? ((const int32_t *)o->data)[i] : ((const int64_t *)o->data)[i];
}

static void run_reverse_sequence(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0], *lengths = &in->in[1];
  const int time = (int)wh_node_i(in->kernel->node, WH_ATTR_AXIS),
            batch = (int)wh_node_i(in->kernel->node, WH_ATTR_BATCH_AXIS), inner = time > batch ? time : batch;
  const int64_t steps = x->dims[time];
  int64_t stride[WH_MAX_RANK], blocks = 1, begin, end;
  if (is_empty(in)) return;
  strides_of(x, stride);
  for (int d = 0; d <= inner; d++) blocks *= x->dims[d];
  for (int64_t i = 0; i < lengths->dims[0] && worker->index == 0; i++)
    if (index_at(lengths, i) < 0 || index_at(lengths, i) > steps) {
      wh_cpu_report_index(in, index_at(lengths, i));
      break;
    }
  wh_worker_range(worker, blocks, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    int64_t rest = i, t = 0, b = 0;
    for (int d = inner; d >= 0; d--) {
      if (d == time) t = rest % x->dims[d];
      if (d == batch) b = rest % x->dims[d];
      rest /= x->dims[d];
    }
    const int64_t length = index_at(lengths, b);
    const int64_t from =
        length <= steps && t < length ? i + (length - 1 - 2 * t) * (stride[time] / stride[inner]) : i;
    memcpy((char *)in->out->data + i * stride[inner], (const char *)x->data + from * stride[inner],
           (size_t)stride[inner]);
  }
}

wh_status wh_cpu_compile_move(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k) {
  (void)d, (void)g, (void)args;
  switch (k->node->op) {
#define CASE(op, op_name)   \
  case WH_OP_##op:          \
    k->run = run_##op_name; \
    k->name = #op_name;     \
    return WH_OK;
    CASE(TRANSPOSE, transpose)
    CASE(SLICE, slice)
    CASE(CONCAT, concat)
    CASE(PAD, pad)
    CASE(EXPAND, expand)
    CASE(TILE, tile)
    CASE(TRILU, trilu)
    CASE(REVERSE_SEQUENCE, reverse_sequence)
#undef CASE
    default:
      return WH_FAIL(ERR_INTERNAL, "node '%s' moves nothing", k->node->name);
  }
}
