/* conv_codes_tiles.h - the register tiles of convolutions of codes, over one vector type. The includer
 * defines vi, a vector of VI_LANES words, vi_zero, vi_set1, vi_load, vi_store, vi_add, and vi_dot(acc, x, w):
 * acc plus the products of each word's codes, unsigned and signed; and LEVEL. Where sums of two such products
 * saturate at 16 bits, it defines vi_and and vi_dot_low(acc, x, w, y, v): acc plus the products of the lower
 * halves of words of x and w and of y and v, whose sum does not saturate. */
#ifndef WH_CPU_CONV_CODES_TILES_H
#define WH_CPU_CONV_CODES_TILES_H

#include "backends/cpu/conv_codes.h"
#include "backends/cpu/unroll.h"

#define ROWS WH_CONV_CODES_ROWS
#define VECS 2
#define PLACES (VECS * VI_LANES)
/* Where a rest's x lies, in bytes. */
#define REST_AT(rest) (PLACES == 16 ? (rest) >> 16 : ((rest) >> 22) * (PLACES * 4) + ((rest) >> 16 & 2))
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
/* Of each output its rests, of which two at a time are one sum of 16 bits, in the lower half of a word. */
INLINE void add_rests(const int vecs, const wh_conv_codes_tile *t) {
  const int64_t n = *t->rests;
  const uint32_t *rest = t->rests + 1;
  for (int64_t r = 0; r < t->rows && n; r++) {
    uint32_t *c = t->c + r * t->ldc;
    vi acc[VECS];
    UNROLL
    for (int i = 0; i < vecs; i++) acc[i] = vi_load(c + i * VI_LANES);
    for (const uint32_t *end = rest + n; rest < end; rest += 2) {
      const char *x = (const char *)t->x + REST_AT(rest[0]), *y = (const char *)t->x + REST_AT(rest[1]);
      const vi a = vi_set1(rest[0]), b = vi_set1(rest[1]);
      UNROLL
      for (int i = 0; i < vecs; i++)
        acc[i] = vi_dot_low(acc[i], vi_load(x + i * sizeof(vi)), a, vi_load(y + i * sizeof(vi)), b);
    }
    UNROLL
    for (int i = 0; i < vecs; i++) vi_store(c + i * VI_LANES, acc[i]);
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
  if (*t->rests == WH_CONV_CODES_TWICE) return;
  if (t->half)
    add_rests(1, t);
  else
    add_rests(VECS, t);
#endif
}

#endif
