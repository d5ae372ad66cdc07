/* matmul_codes_tiles.h - the register tiles of products of codes, over one vector type. The includer defines
 * vi, a vector of VI_LANES words, vi_zero, vi_set1, vi_load, vi_store, and vi_dot(acc, a, b): acc plus the
 * products of each word's codes; and LEVEL and TILE_ROWS, for VECS = 2 vectors across. */
#ifndef WH_CPU_MATMUL_CODES_TILES_H
#define WH_CPU_MATMUL_CODES_TILES_H

#include <string.h>

#include "backends/cpu/matmul_codes.h"
#include "backends/cpu/unroll.h"

#define VECS 2
#define JOIN_(name, level) wh_k_matmul_codes_##name##__##level
#define JOIN(name, level) JOIN_(name, level)

INLINE void tile_body(const int rows, const wh_codes_tile *t, int64_t col) {
  vi acc[TILE_ROWS][VECS];
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int i = 0; i < VECS; i++)
    acc[r][i] = t->goes_on ? vi_load(t->y + r * WH_CODES_COLS + col + i * VI_LANES) : vi_zero();
  const uint32_t *from = t->a, *panel = t->b + col;
  for (int64_t g = 0; g < t->groups; g++, from += TILE_ROWS, panel += WH_CODES_COLS) {
    vi b[VECS];
    UNROLL
    for (int i = 0; i < VECS; i++) b[i] = vi_load(panel + i * VI_LANES);
    UNROLL
    for (int r = 0; r < rows; r++) {
      const vi a = vi_set1(from[r]);
      UNROLL
      for (int i = 0; i < VECS; i++) acc[r][i] = vi_dot(acc[r][i], a, b[i]);
    }
  }
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int i = 0; i < VECS; i++) vi_store(t->y + r * WH_CODES_COLS + col + i * VI_LANES, acc[r][i]);
}

void JOIN(tile, LEVEL)(const wh_codes_tile *t) {
  for (int64_t col = 0; col < WH_CODES_COLS; col += VECS * VI_LANES) switch (t->rows) {
#define CASE(n)           \
  case n:                 \
    tile_body(n, t, col); \
    break;
      CASES_1_TO_6(CASE)
#if TILE_ROWS > 6
      CASES_7_TO_12(CASE)
#endif
#undef CASE
    }
}

/* In plain C, of which compilers make vectors. */
void JOIN(finish, LEVEL)(const wh_codes_finish *f) {
  for (int64_t r = 0; r < f->rows; r++) {
    const uint32_t zero = f->row_zeros[r], rest = f->row_rests[r], *dots = f->dots + r * WH_CODES_COLS;
    uint32_t y[WH_CODES_COLS];
    for (int i = 0; i < WH_CODES_COLS; i++)
      y[i] = dots[i] - zero * f->column_sums[i] + f->column_zeros[i] * rest;
    memcpy(f->y + r * f->ldy, y, (size_t)f->cols * sizeof *y);
  }
}

#endif
