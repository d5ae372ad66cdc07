/* attention_q8.h - how the CPU backend lays out keys and values stored as q8 (dtype q8_0; docs/NUMERICS.md,
 * "attention").
 *
 * A tile of 64 positions of one head is D / 32 of the blocks below, one for each 32 dimensions: what a kernel
 * reads together lies together, and a tile is one run of bytes. */
#ifndef WH_CPU_ATTENTION_Q8_H
#define WH_CPU_ATTENTION_Q8_H

#include "backends/cpu/attention.h"
#include "core/base/exact_math.h"

#define WH_KV_BLOCK 32 /* dimensions that share a scale */
#define WH_KV_KEY_BIAS \
  128 /* key codes are stored as bytes code + 128: integer dots multiply them as unsigned */

typedef struct wh_kv_q8_block {
  uint16_t scale[WH_ATTENTION_CHUNK]; /* f16, by position */
  /* keys: [8][64][4]: dimension d of position j is [d / 4][j][d % 4]; values: [64][32], by position */
  uint8_t codes[WH_ATTENTION_CHUNK * WH_KV_BLOCK];
} wh_kv_q8_block;

static inline int64_t wh_kv_key_code(int64_t dim, int64_t position) {
  return (dim / 4 * WH_ATTENTION_CHUNK + position) * 4 + dim % 4;
}
static inline int64_t wh_kv_value_code(int64_t dim, int64_t position) { return position * WH_KV_BLOCK + dim; }

/* The largest magnitude of n values. Magnitudes compare as integers: a NaN is the largest. */
static inline float wh_kv_top(const float *x, int n) {
  uint32_t top = 0;
  for (int i = 0; i < n; i++) {
    uint32_t u = wh_f32_bits(x[i]) & 0x7fffffffu;
    top = u > top ? u : top;
  }
  return wh_f32_from_bits(top);
}

/* What code 1 stands for in a block whose largest magnitude is `top`: f16 in the cache, and the factor that
 * makes codes of values; 0: all codes are 0. A scale that f16 does not hold is NaN. */
static inline uint16_t wh_kv_scale(float top, float *factor) {
  const uint16_t scale = wh_f16_from_f32(top / 127.0f); /* not negative */
  const bool finite = scale < 0x7c00u;
  *factor = finite && scale ? 1.0f / wh_f32_from_f16(scale) : 0.0f;
  return finite ? scale : 0x7e00u;
}

/* The same for a block of a query. */
static inline float wh_kv_query_scale(float top, float *factor) {
  const bool zero = top < 0x1p-100f, finite = top < INFINITY;
  *factor = zero || !finite ? 0.0f : 127.0f / top;
  return zero ? 0.0f : finite ? top / 127.0f : NAN;
}

/* First block of a tile; n_dim is that of the cache (keys' or values'). */
static inline const wh_kv_q8_block *wh_kv_q8_tile(const void *cache, int64_t n_dim, int64_t tile) {
  return (const wh_kv_q8_block *)cache + tile * (n_dim / WH_KV_BLOCK);
}

#endif
