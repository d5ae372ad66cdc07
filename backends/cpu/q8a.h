/* q8a.h - how the CPU backend lays out quantised activations (dtype q8a; docs/NUMERICS.md, "quantize_act").
 *
 * Rows are cut into tiles of WH_Q8A_TILE rows; the last tile may be short and is laid out for its own row
 * count, so that one decode row is plain contiguous data. Inside a tile of r rows everything is [block or
 * group][row][...]: a kernel that walks K touches each array front to back, and no two rows share a cache set
 * by stride. nb = K / 32 blocks, ng = ceil(K / 256) groups. Unused block slots of a short last group hold
 * zeros in bsum arrays. */
#ifndef WH_CPU_Q8A_H
#define WH_CPU_Q8A_H

#include <stddef.h>
#include <stdint.h>

#define WH_Q8A_TILE 64

/* Pointers into one tile. */
typedef struct wh_q8a_tile {
  int64_t rows;      /* 1..WH_Q8A_TILE */
  int8_t *q;         /* [nb][rows][32] codes, 64-byte aligned */
  int32_t *t;        /* [nb][rows] shift 0..3 */
  int32_t *nbsum;    /* [nb][rows] minus the sum of the block's codes (not shifted) */
  int32_t *nbsum16;  /* [nb][rows][2] the same for each half */
  int16_t *npair[2]; /* each half's [nb][rows][2]: minus the sums of its codes 4i and 4i + 1, of the others */
  float *fbsum;      /* [nb][rows] (float)(bsum << t) */
  int16_t *jsum;     /* [ng][rows][8] bsum << t */
  int16_t *jsum16;   /* [ng][rows][16] half sums << t */
  float *scale;      /* [ng][rows] S */
} wh_q8a_tile;

static inline size_t wh_q8a_round(size_t n) { return (n + 63) & ~(size_t)63; }

/* Bytes of a tile with `rows` rows. k % 32 == 0. */
static inline size_t wh_q8a_tile_bytes(int64_t rows, int64_t k) {
  size_t r = (size_t)rows, nb = (size_t)k / 32, ng = (nb + 7) / 8;
  return wh_q8a_round(nb * r * 32) + 5 * wh_q8a_round(nb * r * 4) + wh_q8a_round(nb * r * 8) +
         wh_q8a_round(ng * r * 16) + wh_q8a_round(ng * r * 32) + wh_q8a_round(ng * r * 4);
}

/* Bytes of m rows; callers have bounded m and k (each below 2^31). */
static inline size_t wh_q8a_bytes(int64_t m, int64_t k) {
  size_t full = (size_t)(m / WH_Q8A_TILE) * wh_q8a_tile_bytes(WH_Q8A_TILE, k);
  return full + (m % WH_Q8A_TILE ? wh_q8a_tile_bytes(m % WH_Q8A_TILE, k) : 0);
}

/* Tile `index` of a q8a buffer with m rows. */
static inline wh_q8a_tile wh_q8a_tile_at(void *base, int64_t m, int64_t k, int64_t index) {
  int64_t rows = m - index * WH_Q8A_TILE < WH_Q8A_TILE ? m - index * WH_Q8A_TILE : WH_Q8A_TILE;
  size_t r = (size_t)rows, nb = (size_t)k / 32, ng = (nb + 7) / 8;
  char *p = (char *)base + (size_t)index * wh_q8a_tile_bytes(WH_Q8A_TILE, k);
  wh_q8a_tile t = {.rows = rows};
  t.q = (int8_t *)p, p += wh_q8a_round(nb * r * 32);
  t.t = (int32_t *)(void *)p, p += wh_q8a_round(nb * r * 4);
  t.nbsum = (int32_t *)(void *)p, p += wh_q8a_round(nb * r * 4);
  t.fbsum = (float *)(void *)p, p += wh_q8a_round(nb * r * 4);
  t.nbsum16 = (int32_t *)(void *)p, p += wh_q8a_round(nb * r * 8);
  for (int h = 0; h < 2; h++) t.npair[h] = (int16_t *)(void *)p, p += wh_q8a_round(nb * r * 4);
  t.jsum = (int16_t *)(void *)p, p += wh_q8a_round(ng * r * 16);
  t.jsum16 = (int16_t *)(void *)p, p += wh_q8a_round(ng * r * 32);
  t.scale = (float *)(void *)p;
  return t;
}

#endif
