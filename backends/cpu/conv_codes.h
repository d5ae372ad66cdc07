/* conv_codes.h - convolutions of 8-bit codes in register tiles: `conv_integer` of one group with constant
 * weights. Codes of four channels at one place are a word of 32 bits, of x unsigned and of w signed; k is
 * (four channels, tap). A tile holds some outputs x some places, and sums are exact modulo 2^32, so their
 * order is free. Zero points are accounted for by the sums of the weights' codes and of the places'.
 *
 * Packed weights: panels of 6 outputs; missing outputs and channels have zeros. A panel holds the outputs'
 * sums, then for each block of k its words, [words][6]. Processors without VNNI sum two products in 16 bits,
 * and where two codes of a word could be too large for that, whatever x holds, the second of them is packed
 * smaller, and what it lacks is a rest. Two rests of an output are a word of their codes, in bytes 1 and 3,
 * and one of two 16-bit numbers: how many bytes behind the block's first, in words of 16 places, the half of
 * a word lies in whose upper byte their x is. Behind a block's words lie six even numbers, one per output,
 * and so many words of rests of each. A block with more rests than there is room for has its words as they
 * are, and is gone through twice, with every other code.
 *
 * With AMX a panel is of 32 outputs: their sums, then [words / 16][32][16] words, two tile registers for each
 * sixteen words; missing words have zeros.
 */
#ifndef WH_CPU_CONV_CODES_H
#define WH_CPU_CONV_CODES_H

#include "backends/cpu/linear_q.h"
#include "backends/cpu/nn.h"

/* A code of either type. */
static inline int32_t wh_code_at(const void *p, int64_t i, bool is_signed) {
  return is_signed ? ((const int8_t *)p)[i] : ((const uint8_t *)p)[i];
}

#define WH_CONV_CODES_PANELS 42u  /* layout ids: this, and 1 more without rests */
#define WH_CONV_CODES_COLUMNS 44u /* with rests, and of b[k, n]: an output is a column */
#define WH_CONV_CODES_TILES 45u   /* of AMX */
#define WH_CONV_CODES_ROWS 6
#define WH_CONV_CODES_MOST_ROWS 32 /* of a panel of any level */
#define WH_CONV_CODES_STEP 16      /* words that a tile register has of an output or a place */
#define WH_CONV_CODES_BLOCK 256    /* words: with the weights of six rows in a half of a first-level cache */
#define WH_CONV_CODES_PLACES 32    /* of the widest tile of any level */
#define WH_CONV_CODES_TWICE UINT32_MAX

/* c[6][ldc] = start, or what it holds, plus the dots of words of w, [words][6], and of x, [words][places].
 * `half`: of half of the places. With AMX c[16][ldc], or c[32][ldc] of more rows than 16, of 32 places or
 * half of them, and words up to a multiple of 16. */
typedef struct wh_conv_codes_tile {
  int64_t rows, words;
  bool half;
  const uint32_t *start; /* one per output; NULL: goes on */
  const uint32_t *w, *x,
      *rests; /* rests: how many, or WH_CONV_CODES_TWICE, and they; 2 bytes behind x may be read */
  uint32_t *c;
  int64_t ldc;
} wh_conv_codes_tile;

typedef struct wh_conv_codes_isa {
  int64_t places;  /* of a tile */
  uint32_t layout; /* id */
  void (*tile)(const wh_conv_codes_tile *t);
  void (*take)(void), (*release)(void); /* what a worker needs for tiles; or NULL */
  const char *name;
} wh_conv_codes_isa;

/* NULL: the mask has no tiles. */
const wh_conv_codes_isa *wh_conv_codes_isa_select(uint64_t features);

/* Of w[m][c][taps]; its k is c. False: too large to be packed. */
bool wh_conv_codes_layout(const wh_conv_codes_isa *isa, wh_dtype dtype, int64_t m, int64_t c, int64_t taps,
                          wh_linear_layout *out);
bool wh_conv_codes_columns(wh_dtype dtype, int64_t n, int64_t k, wh_linear_layout *out);
/* Of a layout: outputs of a panel; whether blocks have rests. */
int64_t wh_conv_codes_rows(uint32_t layout);
bool wh_conv_codes_has_rests(uint32_t layout);
/* Words of 32 bits: of a panel, which begins with its sums, and before its block that begins with word k. */
int64_t wh_conv_codes_panel_size(uint32_t layout, int64_t words);
int64_t wh_conv_codes_block_at(uint32_t layout, int64_t k);
void wh_conv_codes_pack(const wh_linear_layout *l, const void *src, void *dst, int64_t panel_begin,
                        int64_t panel_end);

/* Of all workers; false: too much. A pure function of sizes, at any level. */
bool wh_conv_codes_scratch(const wh_window *win, int64_t c, int64_t m, int workers, size_t *out);
/* a->w is not read: `panels` are the weights. */
void wh_conv_codes_run(const wh_conv_codes_isa *isa, const wh_conv_integer_args *a, const void *panels,
                       void *scratch, uint32_t step, const wh_worker *worker);

/* x's zero point of codes that are unsigned. */
int32_t wh_conv_codes_x_zero(const wh_conv_integer_args *a);
/* How a chain's operands lie over the rows of an image's outputs; `width`: from row to row of the sums. */
struct wh_codes_end;
void wh_conv_codes_begin_end(const wh_conv_integer_args *a, int64_t image, int64_t places, int64_t width,
                             wh_team *team, struct wh_codes_end *e);

void wh_k_codes_tiles_take__amxint8(void), wh_k_codes_tiles_release__amxint8(void);
#define WH_CONV_CODES_KERNEL(isa, needs) void wh_k_conv_codes_tile__##isa(const wh_conv_codes_tile *t);
#include "backends/cpu/kernels_conv_codes.def"

#endif
