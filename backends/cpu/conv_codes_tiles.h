/* conv_codes_tiles.h - the register tiles of convolutions of codes, over one vector type. The includer
 * defines vi, a vector of VI_LANES words, vi_zero, vi_set1, vi_load, vi_store, vi_add, and vi_dot(acc, a, b):
 * acc plus the products of each word's two codes; and LEVEL. */
#ifndef WH_CPU_CONV_CODES_TILES_H
#define WH_CPU_CONV_CODES_TILES_H

#include "backends/cpu/conv_codes.h"
#include "backends/cpu/unroll.h"

#define ROWS WH_CONV_CODES_ROWS
#define VECS 2
#define PLACES (VECS * VI_LANES)
#define JOIN_(name, level) wh_k_conv_codes_##name##__##level
#define JOIN(name, level) JOIN_(name, level)

INLINE void tile_body(const int rows, const int vecs, const wh_conv_codes_tile *t) {
  vi acc[ROWS][VECS];
  const uint32_t *w = t->w, *from = t->x;
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int i = 0; i < vecs; i++) acc[r][i] = vi_zero();
  for (int64_t k = 0; k < t->words; k++, w += ROWS, from += PLACES) {
    vi x[VECS];
    UNROLL
    for (int i = 0; i < vecs; i++) x[i] = vi_load(from + i * VI_LANES);
    UNROLL
    for (int r = 0; r < rows; r++) {
      const vi b = vi_set1(w[r]);
      UNROLL
      for (int i = 0; i < vecs; i++) acc[r][i] = vi_dot(acc[r][i], b, x[i]);
    }
  }
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int i = 0; i < vecs; i++) {
    uint32_t *c = t->c + r * t->ldc + i * VI_LANES;
    vi_store(c, t->first ? acc[r][i] : vi_add(vi_load(c), acc[r][i]));
  }
}

void JOIN(tile, LEVEL)(const wh_conv_codes_tile *t) {
  switch (2 * t->rows + t->half) {
#define CASE(n)         \
  case 2 * n:           \
    tile_body(n, 2, t); \
    break;              \
  case 2 * n + 1:       \
    tile_body(n, 1, t); \
    break;
    CASE(1)
    CASE(2)
    CASE(3)
    CASE(4)
    CASE(5)
    CASE(6)
#undef CASE
  }
}

#endif
