/* amx/matmul_codes_amxint8.c - products of codes in four tile registers of sums: rows of a as they lie, which
 * are signed or not, times a panel of b in words of four. */
#include <string.h>

#include "backends/cpu/amx/amx_tile.h"
#include "backends/cpu/matmul_codes.h"
#include "backends/cpu/unroll.h"

#define B_BYTES (WH_CODES_COLS * 4) /* of a row of words */
#define STEP_BYTES (AMX_ROWS * B_BYTES)

#define DOT(sum, a, b)  \
  if (is_signed)        \
    AMX_DOT(sum, a, b); \
  else                  \
    AMX_DOT_US(sum, a, b)

INLINE void step(const int down, const bool is_signed, const char *a, int64_t lda, const char *b) {
  AMX_LOAD(4, a, lda);
  AMX_LOAD(6, b, B_BYTES);
  DOT(0, 4, 6);
  AMX_LOAD(7, b + AMX_ROW_BYTES, B_BYTES);
  DOT(1, 4, 7);
  if (down == 1) return;
  AMX_LOAD(5, a + AMX_ROWS * lda, lda);
  DOT(2, 5, 6);
  DOT(3, 5, 7);
}

INLINE void product_body(const int down, const bool is_signed, const wh_codes_product *p) {
  const char *a = p->a, *b = (const char *)p->b;
  const int64_t whole = p->k / AMX_ROW_BYTES, left = (p->k % AMX_ROW_BYTES + 3) / 4;
  AMX_LOAD(0, p->start, 0);
  AMX_LOAD(1, p->start + AMX_COLS, 0);
  if (down > 1) AMX_LOAD(2, p->start, 0);
  if (down > 1) AMX_LOAD(3, p->start + AMX_COLS, 0);
  for (int64_t i = 0; i < whole; i++)
    step(down, is_signed, a + i * AMX_ROW_BYTES, p->lda, b + i * STEP_BYTES);
  if (left) { /* what lies behind a panel's words meets zeros, if it is there */
    _Alignas(64) char rest[STEP_BYTES] = {0};
    memcpy(rest, b + whole * STEP_BYTES, (size_t)left * B_BYTES);
    step(down, is_signed, a + whole * AMX_ROW_BYTES, p->lda, rest);
  }
  AMX_STORE(0, p->y, B_BYTES);
  AMX_STORE(1, p->y + AMX_COLS, B_BYTES);
  if (down > 1) AMX_STORE(2, p->y + AMX_ROWS * WH_CODES_COLS, B_BYTES);
  if (down > 1) AMX_STORE(3, p->y + AMX_ROWS * WH_CODES_COLS + AMX_COLS, B_BYTES);
}

void wh_k_matmul_codes_product__amxint8(const wh_codes_product *p) {
  const bool few = p->rows <= AMX_ROWS;
  if (p->a_signed && few)
    product_body(1, true, p);
  else if (p->a_signed)
    product_body(2, true, p);
  else if (few)
    product_body(1, false, p);
  else
    product_body(2, false, p);
}
