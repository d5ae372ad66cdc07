/* amx/conv_codes_amxint8.c - tiles of convolutions of codes: 32 outputs times 32 places, four tile registers
 * of sums. Weights are rows, signed; words of places are columns as they lie. */
#include <immintrin.h>

#include "backends/cpu/amx/amx_tile.h"
#include "backends/cpu/conv_codes.h"

#define HIGH WH_CONV_CODES_MOST_ROWS
#define WIDE WH_CONV_CODES_PLACES
#define X_BYTES (WIDE * 4) /* of a row of words */
#define PART (AMX_ROWS * AMX_ROW_BYTES)

void wh_k_codes_tiles_take__amxint8(void) {
  static const amx_shapes shapes = AMX_SHAPES(64);
  amx_take(&shapes);
}
void wh_k_codes_tiles_release__amxint8(void) { amx_release(); }

static inline int is_zero(const uint32_t *start) {
  const __m512i all = _mm512_or_si512(_mm512_loadu_si512(start), _mm512_loadu_si512(start + 16));
  return _mm512_test_epi32_mask(all, all) == 0;
}

/* One or two tile registers of outputs times as many of places. */
static inline __attribute__((always_inline)) void tile_body(const int down, const int across,
                                                            const wh_conv_codes_tile *t) {
  uint32_t *c = t->c;
  const ptrdiff_t ldc = t->ldc * 4;
  const char *w = (const char *)t->w, *x = (const char *)t->x;
  if (t->start && is_zero(t->start)) {
    AMX_ZERO(0);
    if (across > 1) AMX_ZERO(1);
    if (down > 1) AMX_ZERO(2);
    if (down * across > 2) AMX_ZERO(3);
  } else {
    for (int r = 0; t->start && r < down * AMX_ROWS; r++) {
      const __m512i start = _mm512_set1_epi32((int)t->start[r]);
      _mm512_storeu_si512(c + r * t->ldc, start);
      if (across > 1) _mm512_storeu_si512(c + r * t->ldc + AMX_COLS, start);
    }
    AMX_LOAD(0, c, ldc);
    if (across > 1) AMX_LOAD(1, c + AMX_COLS, ldc);
    if (down > 1) AMX_LOAD(2, c + AMX_ROWS * t->ldc, ldc);
    if (down * across > 2) AMX_LOAD(3, c + AMX_ROWS * t->ldc + AMX_COLS, ldc);
  }
  for (int64_t k = 0; k < t->words; k += WH_CONV_CODES_STEP) {
    AMX_LOAD(4, w, AMX_ROW_BYTES);
    AMX_LOAD(6, x, X_BYTES);
    AMX_DOT_SU(0, 4, 6);
    if (across > 1) {
      AMX_LOAD(7, x + AMX_ROW_BYTES, X_BYTES);
      AMX_DOT_SU(1, 4, 7);
    }
    if (down > 1) {
      AMX_LOAD(5, w + PART, AMX_ROW_BYTES);
      AMX_DOT_SU(2, 5, 6);
      if (across > 1) AMX_DOT_SU(3, 5, 7);
    }
    w += HIGH * AMX_ROW_BYTES;
    x += WH_CONV_CODES_STEP * X_BYTES;
  }
  AMX_STORE(0, c, ldc);
  if (across > 1) AMX_STORE(1, c + AMX_COLS, ldc);
  if (down > 1) AMX_STORE(2, c + AMX_ROWS * t->ldc, ldc);
  if (down * across > 2) AMX_STORE(3, c + AMX_ROWS * t->ldc + AMX_COLS, ldc);
}

void wh_k_conv_codes_tile__amxint8(const wh_conv_codes_tile *t) {
  const int few = t->rows <= AMX_ROWS;
  if (few && t->half)
    tile_body(1, 1, t);
  else if (few)
    tile_body(1, 2, t);
  else if (t->half)
    tile_body(2, 1, t);
  else
    tile_body(2, 2, t);
}
