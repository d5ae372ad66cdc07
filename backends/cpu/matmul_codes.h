/* matmul_codes.h - products of 8-bit codes in register tiles. Both operands are copied into words of 32 bits
 * that hold neighbours along k: four codes, of a unsigned and of b signed, whose zero points are accounted
 * for by sums of rows and columns; or two differences of a code and its zero point in 16 bits. Sums are exact
 * modulo 2^32, so their order is free. */
#ifndef WH_CPU_MATMUL_CODES_H
#define WH_CPU_MATMUL_CODES_H

#include "backends/cpu/matmul.h"

#define WH_CODES_COLS 32 /* of a panel */

/* y[r][32] = the dots of a's rows, [rows][groups] words, with a panel of b, [groups][32] words. */
typedef struct wh_codes_tile {
  int64_t rows, groups;
  const uint32_t *a, *b;
  uint32_t *y;
} wh_codes_tile;

typedef struct wh_codes_isa {
  int per_word;      /* codes in a word: 4 or 2 */
  int64_t tile_rows; /* most rows of a tile */
  void (*tile)(const wh_codes_tile *t);
  const char *name;
} wh_codes_isa;

/* NULL: the mask has no vectors. */
const wh_codes_isa *wh_codes_isa_select(uint64_t features);

/* Scratch of one worker; false on overflow. */
bool wh_matmul_codes_scratch(const wh_codes_isa *isa, int64_t n, int64_t k, size_t *out);
/* Columns of b that are copied at a time, a multiple of 32. */
int64_t wh_matmul_codes_width(const wh_codes_isa *isa, int64_t n, int64_t k);
/* One part, no wider than that. Scratch is aligned to 64 bytes. */
void wh_matmul_codes_run(const wh_codes_isa *isa, const wh_matmul_part *p, bool a_signed, bool b_signed,
                         void *scratch);

#define WH_MATMUL_CODES_KERNEL(isa, needs) void wh_k_matmul_codes_tile__##isa(const wh_codes_tile *t);
#include "backends/cpu/kernels_matmul_codes.def"

#endif
