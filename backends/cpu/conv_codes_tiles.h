/* conv_codes_tiles.h - the register tiles of convolutions of codes, over one vector type. The includer
 * defines vi, a vector of VI_LANES words, vi_zero, vi_set1, vi_load, vi_store, vi_add, IN_REGISTER(x), and
 * vi_dot(acc, x, w): acc plus the products of each word's codes, unsigned and signed; and LEVEL. Where sums
 * of two such products saturate at 16 bits, it defines vi_and and vi_halves(x, y): lower halves of words of
 * x, upper ones of y. */
#ifndef WH_CPU_CONV_CODES_TILES_H
#define WH_CPU_CONV_CODES_TILES_H

#include <string.h>

#include "backends/cpu/conv_codes.h"
#include "backends/cpu/unroll.h"

#define ROWS WH_CONV_CODES_ROWS
#define VECS 2
#define AHEAD 512 /* words of w between what is multiplied and what is asked for */
#define PLACES (VECS * VI_LANES)
/* Where a rest's x lies, in bytes. */
#define REST_AT(at) (PLACES == 16 ? (at) : ((at) >> 6) * (PLACES * 4) + ((at)&2))
#define JOIN_(name, level) wh_k_conv_codes_##name##__##level
#define JOIN(name, level) JOIN_(name, level)

/* acc[rows][vecs] += the dots of all words, with those codes of w that the mask has. */
INLINE void add_dots(const int rows, const int vecs, const wh_conv_codes_tile *t, const uint32_t mask,
                     vi *acc) {
  const uint32_t *w = t->w, *from = t->x, *end = from + t->words * PLACES;
#define WORD(k) /* the k-th that follows */                                          \
  {                                                                                  \
    vi x[VECS];                                                                      \
    UNROLL                                                                           \
    for (int i = 0; i < vecs; i++) x[i] = vi_load(from + (k)*PLACES + i * VI_LANES); \
    UNROLL                                                                           \
    for (int r = 0; r < rows; r++) {                                                 \
      const vi b = MASKED(vi_set1(w[(k)*ROWS + r]));                                 \
      UNROLL                                                                         \
      for (int i = 0; i < vecs; i++) {                                               \
        acc[r * vecs + i] = vi_dot(acc[r * vecs + i], x[i], b);                      \
        IN_REGISTER(acc[r * vecs + i]);                                              \
      }                                                                              \
    }                                                                                \
  }
#ifdef vi_and
#define MASKED(b) (mask == UINT32_MAX ? (b) : vi_and(b, vi_set1(mask)))
#else
#define MASKED(b) (b)
  (void)mask;
#endif
  for (; mask == UINT32_MAX && end - from >= 4 * PLACES; from += 4 * PLACES, w += 4 * ROWS) {
    WORD(0)
    __builtin_prefetch(w + AHEAD, 0, 3);
    WORD(1) WORD(2) __builtin_prefetch(w + AHEAD + 16, 0, 3);
    WORD(3)
  }
  for (; from != end; from += PLACES, w += ROWS) WORD(0)
#undef WORD
#undef MASKED
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
/* Of each output its rests, two of them with one multiplication. */
INLINE void add_rests(const int vecs, const wh_conv_codes_tile *t) {
  const uint32_t *rest = t->rests + ROWS;
  uint32_t *c = t->c;
  for (int64_t r = 0; r < t->rows; r++, c += t->ldc) {
    const uint32_t *end = rest + t->rests[r];
    if (rest == end) continue;
    vi acc[VECS];
    UNROLL
    for (int i = 0; i < vecs; i++) acc[i] = vi_load(c + i * VI_LANES);
    for (; rest != end; rest += 2) {
      uint16_t at[2];
      memcpy(at, rest + 1, sizeof at);
      const char *x = (const char *)t->x + REST_AT(at[0]), *y = (const char *)t->x + REST_AT(at[1]) - 2;
      const vi w = vi_set1(*rest);
      UNROLL
      for (int i = 0; i < vecs; i++)
        acc[i] = vi_dot(acc[i], vi_halves(vi_load(x + i * sizeof(vi)), vi_load(y + i * sizeof(vi))), w);
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
