/* conv_codes_tiles.h - the register tiles of convolutions of codes, over one vector type. The includer
 * defines vi, a vector of VI_LANES words, vi_zero, vi_set1, vi_load, vi_store, vi_add, and vi_dot(acc, x, w):
 * acc plus the products of each word's codes, unsigned and signed; and LEVEL. Where sums of two such products
 * saturate at 16 bits, it defines vi_and. */
#ifndef WH_CPU_CONV_CODES_TILES_H
#define WH_CPU_CONV_CODES_TILES_H

#include "backends/cpu/conv_codes.h"
#include "backends/cpu/unroll.h"

#define ROWS WH_CONV_CODES_ROWS
#define VECS 2
#define PLACES (VECS * VI_LANES)
#define JOIN_(name, level) wh_k_conv_codes_##name##__##level
#define JOIN(name, level) JOIN_(name, level)

/* acc[rows][vecs] += the dots of all words, with those codes of w that the mask has. */
INLINE void add_dots(const int rows, const int vecs, const wh_conv_codes_tile *t, const uint32_t mask,
                     vi *acc) {
  const uint32_t *w = t->w, *from = t->x;
  for (const uint32_t *end = from + t->words * PLACES; from != end; from += PLACES, w += ROWS) {
    vi x[VECS];
    UNROLL
    for (int i = 0; i < vecs; i++) x[i] = vi_load(from + i * VI_LANES);
    UNROLL
    for (int r = 0; r < rows; r++) {
#ifdef vi_and
      const vi b = mask == UINT32_MAX ? vi_set1(w[r]) : vi_and(vi_set1(w[r]), vi_set1(mask));
#else
      const vi b = vi_set1(w[r]);
      (void)mask;
#endif
      UNROLL
      for (int i = 0; i < vecs; i++) acc[r * vecs + i] = vi_dot(acc[r * vecs + i], x[i], b);
    }
  }
}

INLINE void tile_body(const int rows, const int vecs, const wh_conv_codes_tile *t) {
  vi acc[ROWS * VECS];
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int i = 0; i < vecs; i++) acc[r * vecs + i] = t->start ? vi_set1(t->start[r]) : vi_zero();
#ifdef vi_and
  if (*t->rests == WH_CONV_CODES_TWICE) {
    add_dots(rows, vecs, t, 0x00ff00ff, acc);
    add_dots(rows, vecs, t, 0xff00ff00, acc);
  } else
#endif
    add_dots(rows, vecs, t, UINT32_MAX, acc);
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int i = 0; i < vecs; i++) {
    uint32_t *c = t->c + r * t->ldc + i * VI_LANES;
    vi_store(c, t->start ? acc[r * vecs + i] : vi_add(vi_load(c), acc[r * vecs + i]));
  }
}

#ifdef vi_and
/* In memory, as few outputs have one. */
static void add_rests(const wh_conv_codes_tile *t) {
  const uint32_t *const words = t->x, *rest = t->rests + 1;
  uint32_t *const sums = t->c;
  const int64_t ldc = t->ldc, vecs = t->half ? 1 : VECS;
  for (const uint32_t *end = rest + *t->rests; rest < end; rest++) {
    const uint32_t *x = words + (*rest & 0xff) * PLACES;
    uint32_t *c = sums + (*rest >> 16 & 0xff) * ldc;
    const vi b = vi_and(vi_set1(*rest), vi_set1(0xff00ff00));
    vi_store(c, vi_dot(vi_load(c), vi_load(x), b));
    if (vecs > 1) vi_store(c + VI_LANES, vi_dot(vi_load(c + VI_LANES), vi_load(x + VI_LANES), b));
  }
}
#endif

void JOIN(tile, LEVEL)(const wh_conv_codes_tile *t) {
  switch (2 * t->rows + t->half) {
#define CASE(n)         \
  case 2 * n:           \
    tile_body(n, 2, t); \
    break;              \
  case 2 * n + 1:       \
    tile_body(n, 1, t); \
    break;
    CASES_1_TO_6(CASE)
#undef CASE
  }
#ifdef vi_and
  if (*t->rests != WH_CONV_CODES_TWICE) add_rests(t);
#endif
}

#endif
