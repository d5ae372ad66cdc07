/* conv_codes_tiles.h - the register tiles of convolutions of codes, over one vector type. The includer
 * defines vi, a vector of VI_LANES words, vi_zero, vi_set1, vi_load, vi_store, vi_add, and vi_dot(acc, x, w):
 * acc plus the products of each word's codes, unsigned and signed; and LEVEL. Where sums of two such products
 * saturate at 16 bits, it defines vi_even, vi_odd (w) and vi_even_unsigned, vi_odd_unsigned (x), every other
 * code as 16 bits, and vi_pairs(acc, x, w), the products of these. */
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
  const uint32_t *w = t->w, *at = t->order;
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int i = 0; i < vecs; i++) acc[r][i] = t->start ? vi_set1(t->start[r]) : vi_zero();
  for (int64_t k = 0; k < t->narrow; k++, w += ROWS) {
    const uint32_t *from = t->x + (size_t)at[k] * PLACES;
    vi x[VECS];
    UNROLL
    for (int i = 0; i < vecs; i++) x[i] = vi_load(from + i * VI_LANES);
    UNROLL
    for (int r = 0; r < rows; r++) {
      const vi b = vi_set1(w[r]);
      UNROLL
      for (int i = 0; i < vecs; i++) acc[r][i] = vi_dot(acc[r][i], x[i], b);
    }
  }
#ifdef vi_pairs
  for (int64_t k = t->narrow; k < t->words; k++, w += ROWS) {
    const uint32_t *from = t->x + (size_t)at[k] * PLACES;
    for (int odd = 0; odd < 2; odd++) {
      vi x[VECS];
      UNROLL
      for (int i = 0; i < vecs; i++) {
        x[i] = vi_load(from + i * VI_LANES);
        x[i] = odd ? vi_odd_unsigned(x[i]) : vi_even_unsigned(x[i]);
      }
      UNROLL
      for (int r = 0; r < rows; r++) {
        const vi codes = vi_set1(w[r]), b = odd ? vi_odd(codes) : vi_even(codes);
        UNROLL
        for (int i = 0; i < vecs; i++) acc[r][i] = vi_pairs(acc[r][i], x[i], b);
      }
    }
  }
#endif
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int i = 0; i < vecs; i++) {
    uint32_t *c = t->c + r * t->ldc + i * VI_LANES;
    vi_store(c, t->start ? acc[r][i] : vi_add(vi_load(c), acc[r][i]));
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
