/* args_index.c - gathers and scatters: elements of any size by indices, which are looked at before they are
 * used. The first worker reports the first that lies outside. */
#include <string.h>

#include "backends/cpu/cpu_internal.h"
#include "backends/cpu/move.h"
#include "backends/cpu/whole.h"

#define PIECE_BYTES 4096

static size_t element_bytes(const cpu_operand *o) { return wh_dtype_get(o->dtype)->block_bytes; }

static int64_t index_at(const cpu_operand *o, int64_t i) {
  return o->dtype == WH_DTYPE_I32 ? ((const int32_t *)o->data)[i] : ((const int64_t *)o->data)[i];
}

/* Index i of an axis of n; negative ones count from the end. -1: outside. */
static int64_t resolved(const cpu_operand *ids, int64_t i, int64_t n) {
  int64_t k = index_at(ids, i);
  if (k < 0 && k >= -n) k += n;
  return k >= 0 && k < n ? k : -1;
}

/* Of all indices, which are of one axis. */
static void report_first(const cpu_instr *in, const cpu_operand *ids, int64_t n, const wh_worker *worker) {
  if (worker->index != 0) return;
  const int64_t count = wh_cpu_elements(ids);
  for (int64_t i = 0; i < count; i++)
    if (resolved(ids, i, n) < 0) {
      wh_cpu_report_index(in, index_at(ids, i));
      return;
    }
}

/* Of tuples, whose entry d is an index of axis d of `dims`. */
static void report_first_tuple(const cpu_instr *in, const cpu_operand *ids, const int64_t *dims,
                               int64_t length, const wh_worker *worker) {
  if (worker->index != 0) return;
  const int64_t count = wh_cpu_elements(ids);
  for (int64_t i = 0; i < count; i++)
    if (resolved(ids, i, dims[i % length]) < 0) {
      wh_cpu_report_index(in, index_at(ids, i));
      return;
    }
}

/* Whether there is nothing to compute: products of the sizes of what has elements do not overflow. */
static bool is_empty(const cpu_instr *in) { return wh_cpu_elements(in->out) == 0; }

static int64_t product(const int64_t *dims, int n) {
  int64_t p = 1;
  for (int d = 0; d < n; d++) p *= dims[d];
  return p;
}

/* This worker's part of n rows of so many bytes. */
static void share(const wh_worker *worker, int64_t n, size_t bytes, int64_t *begin, int64_t *end) {
  const int64_t piece = bytes >= PIECE_BYTES ? 1 : PIECE_BYTES / (int64_t)(bytes ? bytes : 1);
  wh_worker_range(worker, ceil_div(n, piece), begin, end);
  *begin *= piece;
  *end = min_i64(*end * piece, n);
}

/* Single elements are of sizes that the compiler knows. */
static inline void copy_or_clear(char *to, const char *from, size_t bytes) {
  if (!from)
    memset(to, 0, bytes);
  else if (bytes == 4)
    memcpy(to, from, 4);
  else if (bytes == 8)
    memcpy(to, from, 8);
  else
    memcpy(to, from, bytes);
}

/* ---- gathers ---- */

/* What indices [begin, end) choose of the n pieces at `from`. */
static void gather_row(const cpu_operand *ids, int64_t begin, int64_t end, int64_t n, const char *from,
                       size_t bytes, char *to) {
  for (int64_t i = begin; i < end; i++, to += bytes) {
    const int64_t k = resolved(ids, i, n);
    const char *piece = k < 0 ? NULL : from + (size_t)k * bytes;
    copy_or_clear(to, piece, bytes);
  }
}

#define TABLE 1024 /* places of a row's indices that are found once for many rows */

/* The places of all indices; false: there are too many, or one is outside. */
static bool find_places(const cpu_operand *ids, int64_t count, int64_t n, int32_t *places) {
  if (count > TABLE || n > INT32_MAX) return false;
  for (int64_t i = 0; i < count; i++) {
    const int64_t k = resolved(ids, i, n);
    if (k < 0) return false;
    places[i] = (int32_t)k;
  }
  return true;
}

/* Elements of 4 or 8 bytes, as nearest resizing along the last axis has them. */
static void gather_places(const int32_t *places, int64_t count, const char *from, size_t bytes, char *to) {
  if (bytes == 4)
    for (int64_t i = 0; i < count; i++) memcpy(to + 4 * i, from + 4 * (int64_t)places[i], 4);
  else
    for (int64_t i = 0; i < count; i++) memcpy(to + 8 * i, from + 8 * (int64_t)places[i], 8);
}

static void run_gather(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0], *ids = &in->in[1];
  const int axis = (int)wh_node_i(in->kernel->node, WH_ATTR_AXIS);
  const int64_t n = x->dims[axis], count = wh_cpu_elements(ids);
  int64_t begin, end;
  report_first(in, ids, n, worker);
  if (is_empty(in)) return;
  const size_t bytes = (size_t)product(x->dims + axis + 1, x->rank - axis - 1) * element_bytes(x);
  share(worker, product(x->dims, axis) * count, bytes, &begin, &end);
  int32_t places[TABLE];
  const bool found =
      (bytes == 4 || bytes == 8) && end - begin > 2 * count && find_places(ids, count, n, places);
  for (int64_t i = begin, some; i < end; i += some) {
    const int64_t first = i % count;
    const char *from = (const char *)x->data + (size_t)(i / count * n) * bytes;
    char *to = (char *)in->out->data + (size_t)i * bytes;
    some = count - first < end - i ? count - first : end - i;
    if (found)
      gather_places(places + first, some, from, bytes, to);
    else
      gather_row(ids, first, first + some, n, from, bytes, to);
  }
}

/* Lines along the axis of indices: offsets of their beginnings in them and in `x`, in elements. */
typedef struct lines {
  wh_nd nd;          /* operand 0: indices, 1: x */
  int64_t step[2];   /* along a line */
  int64_t length, n; /* of a line; of the axis in x */
} lines;

static lines lines_of(const cpu_operand *ids, const cpu_operand *x, int axis) {
  lines l = {.nd = {.n_operands = 2}, .length = ids->dims[axis], .n = x->dims[axis]};
  int64_t stride[2] = {1, 1};
  l.nd.rank = ids->rank;
  for (int d = ids->rank - 1; d >= 0; d--) {
    l.nd.dims[d] = d == axis ? 1 : ids->dims[d];
    for (int o = 0; o < 2; o++) {
      l.nd.stride[o][d] = stride[o];
      if (d == axis) l.step[o] = stride[o];
      stride[o] *= o ? x->dims[d] : ids->dims[d];
    }
  }
  wh_nd_collapse(&l.nd);
  return l;
}

static void run_gather_elements(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0], *ids = &in->in[1];
  const int axis = (int)wh_node_i(in->kernel->node, WH_ATTR_AXIS);
  const size_t size = element_bytes(x);
  int64_t begin, end;
  report_first(in, ids, x->dims[axis], worker);
  if (is_empty(in)) return;
  const lines l = lines_of(ids, x, axis);
  share(worker, wh_nd_elements(&l.nd), (size_t)l.length * size, &begin, &end);
  if (begin >= end) return;
  wh_nd_at at = wh_nd_seek(&l.nd, begin);
  for (int64_t i = begin; i < end; i++, wh_nd_advance(&l.nd, &at, 1))
    for (int64_t j = 0; j < l.length; j++) {
      const int64_t to = at.offset[0] + j * l.step[0], k = resolved(ids, to, l.n);
      copy_or_clear((char *)in->out->data + (size_t)to * size,
                    k < 0 ? NULL : (const char *)x->data + (size_t)(at.offset[1] + k * l.step[1]) * size,
                    size);
    }
}

/* The place that tuple t names among the blocks behind the axes of `dims`; -1: none. */
static int64_t tuple_place(const cpu_operand *ids, int64_t t, const int64_t *dims, int64_t length) {
  int64_t place = 0;
  for (int64_t d = 0; d < length; d++) {
    const int64_t k = resolved(ids, t * length + d, dims[d]);
    if (k < 0) return -1;
    place = place * dims[d] + k;
  }
  return place;
}

static void run_gather_nd(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0], *ids = &in->in[1];
  const int batch = (int)wh_node_i(in->kernel->node, WH_ATTR_BATCH_DIMS);
  const int64_t length = ids->dims[ids->rank - 1], tuples = wh_cpu_rows(ids);
  int64_t begin, end;
  if (length) report_first_tuple(in, ids, x->dims + batch, length, worker);
  if (is_empty(in)) return;
  const int64_t batches = product(x->dims, batch), per_batch = batches ? tuples / batches : 0;
  const int64_t places = product(x->dims + batch, (int)length); /* of a batch */
  const size_t bytes =
      (size_t)product(x->dims + batch + length, x->rank - batch - (int)length) * element_bytes(x);
  share(worker, tuples, bytes, &begin, &end);
  for (int64_t t = begin; t < end; t++) {
    const int64_t place = tuple_place(ids, t, x->dims + batch, length);
    copy_or_clear((char *)in->out->data + (size_t)t * bytes,
                  place < 0 ? NULL : (const char *)x->data + (size_t)(t / per_batch * places + place) * bytes,
                  bytes);
  }
}

/* ---- scatters ---- */

static void copy_all(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *x = &in->in[0];
  const size_t size = element_bytes(x);
  wh_move m = {.size = size, .to = in->out->data, .from = x->data};
  m.nd.rank = 1;
  m.nd.dims[0] = wh_cpu_elements(x);
  m.nd.stride[WH_MOVE_TO][0] = m.nd.stride[WH_MOVE_FROM][0] = (int64_t)size;
  wh_move_run(&m, worker);
  wh_team_barrier(worker);
}

/* to[0..n-1] becomes what the reduction makes of it and `from`, elements of `size` bytes. */
static void combine(const cpu_kernel *k, size_t size, char *to, const char *from, int64_t n) {
  char old[1024];
  if (!k->map) {
    memcpy(to, from, (size_t)n * size);
    return;
  }
  const int64_t most = (int64_t)(sizeof old / size);
  for (int64_t i = 0, count; i < n; i += count) {
    count = min_i64(most, n - i);
    memcpy(old, to + (size_t)i * size, (size_t)count * size);
    const wh_map_run r = {
        .n = count, .in = {old, from + (size_t)i * size}, .step = {1, 1}, .out = to + (size_t)i * size};
    k->map(&r);
  }
}

/* Elements that may meet lie in one line, and a line has one worker: it takes its updates in order. */
static void run_scatter_elements(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *ids = &in->in[1];
  const int axis = (int)wh_node_i(in->kernel->node, WH_ATTR_AXIS);
  const size_t size = element_bytes(in->out);
  int64_t begin, end;
  report_first(in, ids, in->out->dims[axis], worker);
  if (is_empty(in)) return;
  const lines l = lines_of(ids, in->out, axis);
  copy_all(in, worker);
  share(worker, wh_nd_elements(&l.nd), (size_t)l.length * size, &begin, &end);
  if (begin >= end) return;
  wh_nd_at at = wh_nd_seek(&l.nd, begin);
  for (int64_t i = begin; i < end; i++, wh_nd_advance(&l.nd, &at, 1))
    for (int64_t j = 0; j < l.length; j++) {
      const int64_t from = at.offset[0] + j * l.step[0], k = resolved(ids, from, l.n);
      if (k < 0) continue;
      combine(in->kernel, size, (char *)in->out->data + (size_t)(at.offset[1] + k * l.step[1]) * size,
              (const char *)in->in[2].data + (size_t)from * size, 1);
    }
}

/* Every worker walks all tuples, in order, and has its part of each block. */
static void run_scatter_nd(const cpu_instr *in, const wh_worker *worker) {
  const cpu_operand *ids = &in->in[1], *y = in->out;
  const int64_t length = ids->dims[ids->rank - 1], tuples = wh_cpu_rows(ids);
  const size_t size = element_bytes(y);
  int64_t begin, end;
  if (length) report_first_tuple(in, ids, y->dims, length, worker);
  if (is_empty(in)) return;
  const int64_t block = product(y->dims + length, y->rank - (int)length);
  copy_all(in, worker);
  share(worker, block, size, &begin, &end);
  for (int64_t t = 0; t < tuples && begin < end; t++) {
    const int64_t place = tuple_place(ids, t, y->dims, length);
    if (place < 0) continue;
    combine(in->kernel, size, (char *)y->data + (size_t)(place * block + begin) * size,
            (const char *)in->in[2].data + (size_t)(t * block + begin) * size, end - begin);
  }
}

static wh_status choose_reduction(const cpu_device *d, const wh_graph *g, cpu_kernel *k) {
  static const wh_map maps[] = {WH_MAP_COUNT, WH_MAP_add, WH_MAP_mul, WH_MAP_min, WH_MAP_max};
  const wh_map map = maps[wh_node_i(k->node, WH_ATTR_REDUCTION)];
  const wh_dtype dtype = g->values[k->node->inputs[0]].shape.dtype;
  if (map == WH_MAP_COUNT) return WH_OK;
  k->map = wh_map_select(d->features, map, dtype, NULL);
  return k->map ? WH_OK : WH_FAIL(ERR_INTERNAL, "node '%s' has no loop for its reduction", k->node->name);
}

/* Its elements are moved as bytes. */
wh_status wh_cpu_claim_gather(const cpu_device *d, const wh_graph *g, const wh_node_info *node,
                              const int64_t *dims, wh_claim *c) {
  (void)d, (void)g, (void)node, (void)dims;
  c->any_address = 1;
  c->no_scratch = true;
  return WH_OK;
}

wh_status wh_cpu_compile_index(const cpu_device *d, const wh_graph *g, const wh_arg *args, cpu_kernel *k) {
  (void)args;
  switch (k->node->op) {
#define CASE(op, op_name)   \
  case WH_OP_##op:          \
    k->run = run_##op_name; \
    k->name = #op_name;     \
    break;
    CASE(GATHER, gather)
    CASE(GATHER_ELEMENTS, gather_elements)
    CASE(GATHER_ND, gather_nd)
    CASE(SCATTER_ELEMENTS, scatter_elements)
    CASE(SCATTER_ND, scatter_nd)
#undef CASE
    default:
      return WH_FAIL(ERR_INTERNAL, "node '%s' takes no indices", k->node->name);
  }
  return wh_node_attr(k->node, WH_ATTR_REDUCTION) ? choose_reduction(d, g, k) : WH_OK;
}
