/* matmul_codes.h - products of 8-bit codes in register tiles. Both operands are copied into words of 32 bits
 * that hold neighbours along k: four codes, of a unsigned and of b signed, or two in 16 bits. Zero points are
 * accounted for by sums of rows and columns. Sums are exact modulo 2^32, so their order is free.
 *
 * A panel is 32 columns of b: [groups][32] words, then the 32 columns' sums. A constant b is kept in panels.
 */
#ifndef WH_CPU_MATMUL_CODES_H
#define WH_CPU_MATMUL_CODES_H

#include "backends/cpu/codes_end.h"
#include "backends/cpu/conv_codes.h"
#include "backends/cpu/matmul.h"

#define WH_CODES_COLS 32 /* of a panel */

/* Constant weights on levels that sum two products in 16 bits: the product is a convolution of one place per
 * row of a, whose sums of WH_CODES_PLACES places and WH_CODES_TURNED outputs at most are turned:
 * y[place][output] = sums[output][place], less what zero points add to them. */
#define WH_CODES_PLACES 16
#define WH_CODES_TURNED 48
typedef struct wh_codes_turn {
  const uint32_t *sums;                       /* [48][16] */
  const uint32_t *row_zeros, *row_rests;      /* [16], as below */
  const uint32_t *column_zeros, *column_sums; /* [48] */
  int32_t *y;                                 /* [16][48] */
} wh_codes_turn;

/* y[r][32] = the dots of a's rows, [groups][tile_rows] words, with [groups][32] words of a panel of b, or
 * what y holds and these. */
typedef struct wh_codes_tile {
  int64_t rows, groups;
  bool goes_on;
  const uint32_t *a, *b;
  uint32_t *y;
} wh_codes_tile;

/* y[r][i] = the dots, less what zero points add to them; rows are 32 dots. */
typedef struct wh_codes_finish {
  int64_t rows, cols, ldy;
  const uint32_t *dots;
  const uint32_t *row_zeros, *row_rests; /* [rows] a's zero point; k times that, less the sum of a's codes */
  const uint32_t *column_zeros, *column_sums; /* [32] */
  int32_t *y;
} wh_codes_finish;

/* With AMX: y[r][32] = start plus the dots of k codes of rows of a, which lie as they are or, where rows or k
 * are not whole tile registers, with zeros behind, and of a panel of b. */
typedef struct wh_codes_product {
  int64_t rows, k, lda; /* at most 32 rows */
  const void *a;
  bool a_signed;
  const uint32_t *b;
  const uint32_t *start; /* [32] */
  uint32_t *y;           /* [32][32] */
} wh_codes_product;

typedef struct wh_codes_isa {
  int per_word;      /* codes in a word: 4 or 2 */
  int64_t tile_rows; /* most rows of a tile */
  void (*tile)(const wh_codes_tile *t);
  void (*finish)(const wh_codes_finish *f);
  const char *name, *packed_name;
  /* or NULL: constant weights are as others */
  void (*turned)(const wh_conv_codes_tile *t);
  void (*turn)(const wh_codes_turn *t);
  /* or NULL: with AMX, and what a worker needs for it */
  void (*product)(const wh_codes_product *p);
  void (*take)(void), (*release)(void);
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

/* A constant b[k, n] in panels; WH_CODES_PANELS + the codes in a word. */
#define WH_CODES_PANELS 32u
bool wh_matmul_codes_layout(const wh_codes_isa *isa, wh_dtype dtype, int64_t n, int64_t k,
                            wh_linear_layout *out);
void wh_matmul_codes_pack(const wh_linear_layout *l, const void *src, void *dst, int64_t panel_begin,
                          int64_t panel_end);
/* From row to row of what the end of a product by panels gets. */
int64_t wh_matmul_codes_ld(const wh_codes_isa *isa);
bool wh_matmul_codes_packed_scratch(const wh_codes_isa *isa, int64_t k, size_t *out);
/* The whole product with such panels in place of b; the sums go through `chain`, or to y. Scratch: of each
 * worker. */
void wh_matmul_codes_run_packed(const wh_codes_isa *isa, const wh_matmul_part *p, bool a_signed,
                                bool b_signed, const void *panels, char *scratch, size_t worker_scratch,
                                wh_codes_end *chain, const wh_worker *worker);

/* The same for a level that turns them: matmul_codes_turned.c. */
void wh_matmul_codes_run_turned(const wh_codes_isa *isa, const wh_matmul_part *p, bool a_signed,
                                bool b_signed, const void *panels, uint32_t *words, wh_codes_end *chain,
                                const wh_worker *worker);
/* Rows of a as tiles have them, [tile][groups][high] words of `per_word` codes; sums of their codes. */
void wh_matmul_codes_copy(int per_word, int64_t high, bool a_signed, const wh_matmul_part *p, int64_t row,
                          int64_t rows, uint32_t *dst, uint32_t *sums);
void wh_k_matmul_codes_turn__avx2(const wh_codes_turn *t);
void wh_k_matmul_codes_product__amxint8(const wh_codes_product *p);

#define WH_MATMUL_CODES_KERNEL(isa, needs)                    \
  void wh_k_matmul_codes_tile__##isa(const wh_codes_tile *t); \
  void wh_k_matmul_codes_finish__##isa(const wh_codes_finish *f);
#include "backends/cpu/kernels_matmul_codes.def"

#endif
