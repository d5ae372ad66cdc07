/* q13a.h - how the CPU backend lays out activations for products with 16-bit weights (dtype q13a;
 * docs/NUMERICS.md, "quantize_wide").
 *
 * Rows are cut into tiles of WH_Q13A_TILE rows; the last tile may be short and is laid out for its own row
 * count. Inside a tile of r rows everything is [block][row][...]: a kernel that walks K touches each array
 * front to back. nb = ceil(K / 128) blocks. A short last block is filled up with zeros. */
#ifndef WH_CPU_Q13A_H
#define WH_CPU_Q13A_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/quantize_wide.h"

#define WH_Q13A_TILE 64

/* Pointers into one tile. */
typedef struct wh_q13a_tile {
  int64_t rows; /* 1..WH_Q13A_TILE */
  int16_t *q;   /* [nb][rows][128] codes, 64-byte aligned */
  float *scale; /* [nb][rows] S */
} wh_q13a_tile;

static inline size_t wh_q13a_blocks(int64_t k) { return ((size_t)k + WH_Q13A_BLOCK - 1) / WH_Q13A_BLOCK; }

/* Bytes of a tile with `rows` rows. */
static inline size_t wh_q13a_tile_bytes(int64_t rows, int64_t k) {
  const size_t n = wh_q13a_blocks(k) * (size_t)rows;
  return n * WH_Q13A_BLOCK * sizeof(int16_t) + (n * sizeof(float) + 63) / 64 * 64;
}

/* Bytes of m rows; callers have bounded m and k (each below 2^31). */
static inline size_t wh_q13a_bytes(int64_t m, int64_t k) {
  const int64_t rest = m % WH_Q13A_TILE;
  const size_t full = (size_t)(m / WH_Q13A_TILE) * wh_q13a_tile_bytes(WH_Q13A_TILE, k);
  return full + (rest ? wh_q13a_tile_bytes(rest, k) : 0);
}

/* Tile `index` of a q13a buffer with m rows. */
static inline wh_q13a_tile wh_q13a_tile_at(void *base, int64_t m, int64_t k, int64_t index) {
  const int64_t left = m - index * WH_Q13A_TILE, rows = left < WH_Q13A_TILE ? left : WH_Q13A_TILE;
  char *p = (char *)base + (size_t)index * wh_q13a_tile_bytes(WH_Q13A_TILE, k);
  const size_t codes = wh_q13a_blocks(k) * (size_t)rows * WH_Q13A_BLOCK * sizeof(int16_t);
  return (wh_q13a_tile){rows, (int16_t *)(void *)p, (float *)(void *)(p + codes)};
}

#endif
