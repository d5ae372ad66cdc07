/* read_value.c - values in the row-major form of docs/NUMERICS.md, "Values in row-major form", which is the
 * same on every backend and level. For reports: one thread, element by element. */
#include <string.h>

#include "backends/cpu/attention_q8.h"
#include "backends/cpu/cpu_internal.h"

/* ---- quantised activations ---- */

/* A row is its codes, a shift for each block of 32, and a scale for each group of 256. */
static void read_q8a(char *q8a, int64_t m, int64_t k, char *out) {
  const int64_t n_blocks = k / 32, n_groups = (n_blocks + 7) / 8;
  for (int64_t row = 0; row < m; row++, out += k + n_blocks + n_groups * 4) {
    const wh_q8a_tile t = wh_q8a_tile_at(q8a, m, k, row / WH_Q8A_TILE);
    const int64_t r = row % WH_Q8A_TILE;
    for (int64_t b = 0; b < n_blocks; b++) {
      memcpy(out + b * 32, t.q + (b * t.rows + r) * 32, 32);
      out[k + b] = (char)t.t[b * t.rows + r];
    }
    for (int64_t g = 0; g < n_groups; g++) memcpy(out + k + n_blocks + g * 4, &t.scale[g * t.rows + r], 4);
  }
}

/* A row is its codes, and a scale for each block of 128. */
static void read_q13a(char *q13a, int64_t m, int64_t k, char *out) {
  const int64_t n_blocks = (int64_t)wh_q13a_blocks(k);
  for (int64_t row = 0; row < m; row++) {
    const wh_q13a_tile t = wh_q13a_tile_at(q13a, m, k, row / WH_Q13A_TILE);
    char *scales = out + k * 2;
    for (int64_t b = 0; b < n_blocks; b++, scales += sizeof(float)) {
      const int64_t at = b * t.rows + row % WH_Q13A_TILE, left = k - b * WH_Q13A_BLOCK;
      const int64_t n = left < WH_Q13A_BLOCK ? left : WH_Q13A_BLOCK;
      memcpy(out + b * WH_Q13A_BLOCK * 2, t.q + at * WH_Q13A_BLOCK, (size_t)n * 2);
      memcpy(scales, &t.scale[at], sizeof t.scale[at]);
    }
    out = scales;
  }
}

/* ---- keys and values ---- */

/* Keys lie transposed in their tiles: whoever writes or reads a state says which of the two it holds. */
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

typedef struct cache_shape {
  wh_dtype dtype;
  int64_t pages, heads, n_dim;
  bool keys;
} cache_shape;

/* One row of a head as GGUF's q8_0 blocks: f16 scale, then 32 codes. */
static void read_q8_row(const cache_shape *c, const void *cache, int64_t tile, int64_t pos, char *out) {
  const wh_kv_q8_block *block = wh_kv_q8_tile(cache, c->n_dim, tile);
  for (int64_t b = 0; b < c->n_dim / WH_KV_BLOCK; b++, block++, out += 2 + WH_KV_BLOCK) {
    memcpy(out, &block->scale[pos], 2);
    for (int64_t d = 0; d < WH_KV_BLOCK; d++) {
      /* no code of a key is -128: a byte of zero was never written */
      const uint8_t key = block->codes[wh_kv_key_code(d, pos)];
      out[2 + d] = (char)(!c->keys ? block->codes[wh_kv_value_code(d, pos)] : key ? key - WH_KV_KEY_BIAS : 0);
    }
  }
}

static void read_float_row(const cache_shape *c, const char *cache, int64_t tile, int64_t pos, char *out) {
  const int64_t elem = c->dtype == WH_DTYPE_F16 ? 2 : 4, chunk = WH_ATTENTION_CHUNK;
  const char *from = cache + tile * chunk * c->n_dim * elem;
  for (int64_t d = 0; d < c->n_dim; d++) {
    const int64_t at = c->keys ? d * chunk + pos : pos * c->n_dim + d;
    memcpy(out + d * elem, from + at * elem, (size_t)elem);
  }
}

static void read_cache(const cache_shape *c, const char *cache, size_t row_bytes, char *out) {
  for (int64_t tile = 0; tile < c->pages * c->heads; tile++)
    for (int64_t pos = 0; pos < WH_ATTENTION_CHUNK; pos++, out += row_bytes) {
      if (c->dtype == WH_DTYPE_Q8_0)
        read_q8_row(c, cache, tile, pos, out);
      else
        read_float_row(c, cache, tile, pos, out);
    }
}

/* ---- all ---- */

wh_status wh_cpu_read_value(void *dev, const wh_graph *g, wh_value v, const int64_t *dims, wh_buffer *buffer,
                            uint64_t offset, void *row_major) {
  const wh_shape *s = &g->values[v].shape;
  uint64_t held;
  size_t n_bytes;
  WH_TRY(wh_cpu_value_bytes(dev, g, v, dims, &held));
  if (!wh_value_row_major_bytes(g, v, dims, &n_bytes))
    return WH_FAIL(ERR_LIMIT, "'%s' is too large to be addressed", g->values[v].name);
  if (offset > buffer->n_bytes || held > buffer->n_bytes - offset)
    return WH_FAIL(ERR_INTERNAL, "'%s' lies outside its buffer", g->values[v].name);
  char *data = buffer->data + offset;
  if (wh_dtype_is(s->dtype, WH_CLASS_OPAQUE)) {
    int64_t m = 1;
    for (int i = 0; i + 1 < s->rank; i++) m *= dims[s->dims[i]];
    (s->dtype == WH_DTYPE_Q8A ? read_q8a : read_q13a)(data, m, dims[s->dims[s->rank - 1]], row_major);
  } else if (wh_cpu_is_state(g, v)) {
    const cache_shape c = {s->dtype, dims[s->dims[0]], dims[s->dims[1]], dims[s->dims[3]], holds_keys(g, v)};
    size_t row_bytes = 0;
    (void)wh_dtype_row_bytes(c.dtype, (uint64_t)c.n_dim, &row_bytes); /* as n_bytes, it is defined */
    read_cache(&c, data, row_bytes, row_major);
  } else if (n_bytes) {
    memcpy(row_major, data, n_bytes);
  }
  return WH_OK;
}
