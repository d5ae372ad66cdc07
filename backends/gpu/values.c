/* values.c - the device's form of values, and from there the row-major one of docs/NUMERICS.md. */
#include <string.h>

#include "backends/gpu/device.h"
#include "backends/gpu/kernels/cache.h"

static bool rows_of(const wh_shape *s, const int64_t *dims, uint64_t *rows, uint64_t *k) {
  int64_t n = 1;
  for (int i = 0; i + 1 < s->rank; i++)
    if (__builtin_mul_overflow(n, dims[s->dims[i]], &n)) return false;
  *rows = (uint64_t)n;
  *k = (uint64_t)dims[s->dims[s->rank - 1]];
  return n < INT32_MAX && *k < INT32_MAX;
}

static bool is_state(const wh_graph *g, wh_value v) {
  const wh_value_info *info = &g->values[v];
  return info->kind == WH_VALUE_STATE ||
         (info->kind == WH_VALUE_NODE && wh_op_has(g->nodes[info->producer].op, WH_TRAIT_WRITES));
}

/* Keys and values lie differently in their tiles: whoever writes or reads a state says which of the two it
 * holds. */
static bool holds_keys(const wh_graph *g, wh_value state) {
  const wh_value_info *info = &g->values[state];
  if (info->kind == WH_VALUE_NODE) state = g->nodes[info->producer].inputs[0];
  for (size_t n = 0; n < g->n_nodes; n++) {
    const wh_node_info *node = &g->nodes[n];
    if (node->dead) continue;
    if (node->op == WH_OP_KV_APPEND && node->inputs[0] == state) return wh_node_i(node, WH_ATTR_KEY) != 0;
    if (node->op == WH_OP_ATTENTION && node->inputs[1] == state) return true;
  }
  return false;
}

/* A state [pages, heads, 64, dim] on this device. */
static bool state_bytes(const wh_graph *g, wh_value v, const int64_t *dims, uint64_t *out) {
  const wh_shape *s = &g->values[v].shape;
  uint64_t bytes = (uint64_t)dims[s->dims[3]];
  if (bytes >= INT32_MAX) return false;
  bytes = gpu_cache_tile_bytes(s->dtype, holds_keys(g, v), bytes);
  for (int i = 0; i < 2; i++)
    if (__builtin_mul_overflow(bytes, (uint64_t)dims[s->dims[i]], &bytes)) return false;
  *out = bytes;
  return true;
}

wh_status gpu_value_bytes(void *dev, const wh_graph *g, wh_value v, const int64_t *dims, uint64_t *out) {
  (void)dev;
  const wh_shape *s = &g->values[v].shape;
  size_t bytes = 0;
  uint64_t rows = 0, k = 0;
  bool ok;
  if (wh_dtype_is(s->dtype, WH_CLASS_OPAQUE)) {
    ok = rows_of(s, dims, &rows, &k);
    *out = s->dtype == WH_DTYPE_Q8A ? gpu_q8a_of(rows, k).n_bytes : gpu_q13a_of(rows, k).n_bytes;
  } else if (is_state(g, v)) {
    ok = state_bytes(g, v, dims, out);
  } else {
    ok = wh_value_row_major_bytes(g, v, dims, &bytes);
    *out = bytes;
  }
  return ok ? WH_OK : WH_FAIL(ERR_LIMIT, "'%s' is too large to be addressed", g->values[v].name);
}

/* ---- row-major ---- */

/* A row is its codes, a shift for each block of 32, and a scale for each group of 256. */
static void read_q8a(const char *q8a, uint64_t rows, uint64_t k, char *out) {
  const gpu_q8a f = gpu_q8a_of(rows, k);
  const uint64_t n_blocks = k / GPU_Q8A_BLOCK, n_groups = f.padded / GPU_Q8A_GROUP;
  for (uint64_t row = 0; row < rows; row++) {
    memcpy(out, q8a + row * f.padded, k);
    memcpy(out + k, q8a + f.shifts + row * (f.padded / GPU_Q8A_BLOCK), n_blocks);
    memcpy(out + k + n_blocks, q8a + f.scales + row * n_groups * 4, n_groups * 4);
    out += k + n_blocks + n_groups * 4;
  }
}

/* A row is its codes as int16, and a scale for each block of 128. */
static void read_q13a(const char *q13a, uint64_t rows, uint64_t k, char *out) {
  const gpu_q13a f = gpu_q13a_of(rows, k);
  const uint64_t n_blocks = f.padded / GPU_Q13A_BLOCK;
  for (uint64_t row = 0; row < rows; row++) {
    for (uint64_t i = 0; i < k; i++, out += 2) {
      const int8_t high = (int8_t)q13a[row * f.padded + i], low = (int8_t)q13a[f.low + row * f.padded + i];
      const int16_t code = (int16_t)(high * 128 + low);
      memcpy(out, &code, sizeof code);
    }
    memcpy(out, q13a + f.scales + row * n_blocks * 4, n_blocks * 4);
    out += n_blocks * 4;
  }
}

/* Positions of f32 and f16 as they are, of q8_0 as GGUF's blocks: an f16 scale, then 32 codes. */
static void read_state(const wh_shape *s, bool keys, const int64_t *dims, const char *state, char *out) {
  const uint64_t tiles = (uint64_t)dims[s->dims[0]] * (uint64_t)dims[s->dims[1]],
                 dim = (uint64_t)dims[s->dims[3]],
                 size = s->dtype == WH_DTYPE_Q8_0 ? 1 : 16 / gpu_key_unit(s->dtype);
  for (uint64_t t = 0; t < tiles; t++, state += gpu_cache_tile_bytes(s->dtype, keys, dim))
    for (uint64_t j = 0; j < GPU_KV_CHUNK; j++)
      for (uint64_t d = 0; d < dim; d++, out += size) {
        if (s->dtype == WH_DTYPE_Q8_0 && d % GPU_KV_BLOCK == 0) {
          memcpy(out, state + d / GPU_KV_BLOCK * GPU_KV_BLOCK_BYTES + j * 2, 2);
          out += 2;
        }
        memcpy(out, state + gpu_cache_offset(s->dtype, keys, dim, j, d), size);
      }
}

wh_status gpu_row_major(const wh_graph *g, wh_value v, const int64_t *dims, const void *bytes,
                        void *row_major) {
  const wh_shape *s = &g->values[v].shape;
  size_t n_bytes = 0;
  uint64_t rows = 0, k = 0;
  if (!wh_value_row_major_bytes(g, v, dims, &n_bytes))
    return WH_FAIL(ERR_LIMIT, "'%s' is too large to be addressed", g->values[v].name);
  if (!n_bytes) return WH_OK;
  if (is_state(g, v)) {
    read_state(s, holds_keys(g, v), dims, bytes, row_major);
    return WH_OK;
  }
  if (!wh_dtype_is(s->dtype, WH_CLASS_OPAQUE)) {
    memcpy(row_major, bytes, n_bytes);
    return WH_OK;
  }
  (void)rows_of(s, dims, &rows, &k); /* as n_bytes, it is defined */
  (s->dtype == WH_DTYPE_Q8A ? read_q8a : read_q13a)(bytes, rows, k, row_major);
  return WH_OK;
}

wh_status gpu_read_value(void *dev, const wh_graph *g, wh_value v, const int64_t *dims, wh_buffer *buffer,
                         uint64_t offset, void *row_major) {
  const gpu_device *d = dev;
  uint64_t held = 0;
  WH_TRY(gpu_value_bytes(dev, g, v, dims, &held));
  WH_TRY(gpu_range(buffer, offset, held));
  WH_TRY(gpu_enter(d));
  if (held > SIZE_MAX) return WH_FAIL(ERR_LIMIT, "'%s' is too large to be addressed", g->values[v].name);
  void *bytes = wh_alloc_uninit(d->alloc, (size_t)held, WH_ALIGN_SIMD);
  if (!bytes) return WH_OOM("a value that is read");
  gpu_result r =
      held ? d->api->download(bytes, buffer->address + offset, (size_t)held, d->stream) : GPU_SUCCESS;
  if (r == GPU_SUCCESS) r = d->api->stream_synchronize(d->stream);
  wh_status st = gpu_check(d->api, r, "reading a value");
  if (st == WH_OK) st = gpu_row_major(g, v, dims, bytes, row_major);
  wh_free(d->alloc, bytes);
  return st;
}
