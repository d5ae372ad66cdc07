/* walks.c - see walks.h. */
#include "backends/gpu/walks.h"

#include <string.h>

gpu_divisor gpu_divisor_of(int64_t n) {
  gpu_divisor d = {.n = n, .shift = 32};
  if (n < 1 || n > INT32_MAX) return d;
  d.shift = 0;
  while (((int64_t)1 << d.shift) < n) d.shift++;
  /* below 2^32, as 2^shift < 2 n */
  d.multiplier =
      (uint32_t)((((uint64_t)1 << 32) * (((uint64_t)1 << d.shift) - (uint64_t)n)) / (uint64_t)n + 1);
  return d;
}

_Static_assert(WH_ND_MAX_RANK <= GPU_WALK_MAX_RANK, "every walk fits");

gpu_walk gpu_walk_of(const wh_nd *nd) {
  gpu_walk w = {.rank = nd->rank};
  for (int d = 0; d < nd->rank; d++) {
    w.dims[d] = gpu_divisor_of(nd->dims[d]);
    for (int o = 0; o < nd->n_operands && o < GPU_WALK_OPERANDS; o++) w.stride[o][d] = nd->stride[o][d];
  }
  return w;
}

wh_nd gpu_broadcast(const gpu_operand *in, int n_in, const gpu_operand *out) {
  wh_nd nd = {.rank = out->rank, .n_operands = n_in};
  for (int d = 0; d < out->rank; d++) nd.dims[d] = out->dims[d];
  for (int o = 0; o < n_in; o++) {
    int64_t stride = 1;
    for (int d = in[o].rank - 1, to = out->rank - 1; d >= 0; d--, to--) {
      nd.stride[o][to] = in[o].dims[d] == 1 ? 0 : stride;
      stride *= in[o].dims[d];
    }
  }
  wh_nd_collapse(&nd);
  return nd;
}

#define BLOCK 256
#define MOST_THREADS 1024 /* of a block */
#define WARP 32

gpu_grid gpu_flat_grid(int64_t n) {
  const int64_t threads = n >= BLOCK ? BLOCK : gpu_ceil_div(n, WARP) * WARP;
  return (gpu_grid){
      .x = threads ? (uint32_t)gpu_ceil_div(n, threads) : 0, .y = 1, .z = 1, .threads = (uint32_t)threads};
}

gpu_type gpu_type_of(wh_dtype d) {
  switch (d) {
    case WH_DTYPE_I8:
      return GPU_I8;
    case WH_DTYPE_I16:
      return GPU_I16;
    case WH_DTYPE_I32:
      return GPU_I32;
    case WH_DTYPE_I64:
      return GPU_I64;
    case WH_DTYPE_U8:
    case WH_DTYPE_BOOL:
      return GPU_U8;
    case WH_DTYPE_U16:
      return GPU_U16;
    case WH_DTYPE_U32:
      return GPU_U32;
    case WH_DTYPE_U64:
      return GPU_U64;
    case WH_DTYPE_F32:
      return GPU_F32;
    case WH_DTYPE_F64:
      return GPU_F64;
    case WH_DTYPE_I4:
      return GPU_I4;
    case WH_DTYPE_U4:
      return GPU_U4;
    case WH_DTYPE_F16:
    case WH_DTYPE_BF16:
      return GPU_SMALL2;
    default:
      return wh_dtype_is_float(d) ? GPU_SMALL1 : GPU_NO_TYPE;
  }
}

int64_t gpu_element_bytes(wh_dtype d) { return wh_dtype_get(d)->block_bytes; }

uint32_t gpu_log2(int64_t size) {
  uint32_t log2 = 0;
  while (((int64_t)1 << log2) < size) log2++;
  return log2;
}

void gpu_strides(const gpu_operand *o, int64_t unit, int64_t stride[WH_MAX_RANK]) {
  for (int d = o->rank - 1; d >= 0; d--) {
    stride[d] = unit;
    unit *= o->dims[d];
  }
}

int64_t gpu_product(const int64_t *dims, int n) {
  int64_t p = 1;
  for (int d = 0; d < n; d++) p *= dims[d];
  return p;
}

/* ---- faults ---- */

_Static_assert(WH_MAX_RANK <= GPU_INDEX_MAX_PERIOD, "a tuple has an index per axis at most");

wh_status gpu_check_indices(gpu_emit *e, const gpu_step *s, const gpu_operand *indices, int period,
                            const int64_t *least, const int64_t *most) {
  gpu_check_args a = {.indices = indices->address,
                      .fault = s->fault,
                      .n = gpu_elements(indices),
                      .type = gpu_type_of(indices->dtype),
                      .period = (uint32_t)period,
                      .node = s->index,
                      .code = WH_FAULT_INDEX};
  if (!s->fault || a.n == 0) return WH_OK;
  memcpy(a.least, least, (size_t)period * sizeof *least);
  memcpy(a.most, most, (size_t)period * sizeof *most);
  const int64_t threads = a.n < MOST_THREADS ? gpu_ceil_div(a.n, WARP) * WARP : MOST_THREADS;
  const gpu_grid grid = {1, 1, 1, (uint32_t)threads, 0};
  return gpu_launch(e, GPU_K_check_indices, grid, &a, sizeof a);
}

wh_status gpu_check_axis(gpu_emit *e, const gpu_step *s, const gpu_operand *indices, int64_t n) {
  const int64_t least = -n, most = n - 1;
  return gpu_check_indices(e, s, indices, 1, &least, &most);
}
