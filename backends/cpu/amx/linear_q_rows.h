/* linear_q_rows.h - the activations of products with quantised weights as the tile unit takes them: tiles of
 * 16 rows, K padded to whole groups and rows to whole tiles with zeros. The team makes them before a product.
 */
#ifndef WH_CPU_LINEAR_Q_ROWS_H
#define WH_CPU_LINEAR_Q_ROWS_H

#include <stddef.h>
#include <stdint.h>

#define WH_LINEAR_Q_AMX_ROWS 16       /* of a tile */
#define WH_LINEAR_Q_AMX_ROWS_MIN 16   /* fewer are left to the vectors: all types gain from here on */
#define WH_LINEAR_Q_AMX_CALL_ROWS 256 /* of a panel call, at most */

typedef struct wh_linear_q_row_tile {
  uint16_t *codes; /* [blocks][16][32] bf16: codes times 2^t, of each four 0, 2, 1, 3 */
  uint16_t *sums;  /* [groups][16][32] bf16: the sums that minima of sub-blocks meet, times 2^t, in two parts:
                      multiples of 256 of all, then what is left of all; zeros */
  float *bsum;     /* [blocks][16] sums of blocks, times 2^t */
  float *scale;    /* [groups][16] S */
} wh_linear_q_row_tile;

static inline int64_t wh_linear_q_groups(int64_t k) { return (k + 255) / 256; }

static inline size_t wh_linear_q_row_tile_bytes(int64_t k) {
  return (size_t)wh_linear_q_groups(k) * (8 * (1024 + 64) + 1024 + 64);
}

static inline wh_linear_q_row_tile wh_linear_q_row_tile_at(const void *base, int64_t k, int64_t index) {
  const size_t groups = (size_t)wh_linear_q_groups(k);
  char *p = (char *)(uintptr_t)base + (size_t)index * wh_linear_q_row_tile_bytes(k);
  wh_linear_q_row_tile t;
  t.codes = (uint16_t *)(void *)p, p += groups * 8 * 1024;
  t.sums = (uint16_t *)(void *)p, p += groups * 1024;
  t.bsum = (float *)(void *)p, p += groups * 8 * 64;
  t.scale = (float *)(void *)p;
  return t;
}

#endif
