/* conv_codes_winograd.h - convolutions of 8-bit codes with windows of 3 x 3 that move by one, by minimal
 * filtering F(2 x 2, 3 x 3) in integers (Winograd 1980; Lavin and Gray 2016): 16 products for 4 outputs where
 * the sum takes 36. With A, B and G as there, 2 G w (2 G)^T and B^T x B are integers of 16 bits, and so is
 * their result four times the sums of the definition, exactly.
 *
 * Packed weights: panels of 6 outputs. A panel holds the sums of the outputs' codes, then for each of the 16
 * places of a tile [words][6] words of two channels' weights. */
#ifndef WH_CPU_CONV_CODES_WINOGRAD_H
#define WH_CPU_CONV_CODES_WINOGRAD_H

#include "backends/cpu/conv_codes.h"

#define WH_CONV_CODES_WINOGRAD 46u  /* layout id */
#define WH_CODES_WINOGRAD_TILES 16  /* of 2 x 2 outputs, that are computed together */
#define WH_CODES_WINOGRAD_PLACES 16 /* of 4 x 4 */

/* c[6][16] = the dots of words of w, [words][6], and of x, [words][16]: two numbers of 16 bits each. `half`:
 * of the first 8 tiles; `ahead`: what is asked for meanwhile, as many words as w has. */
typedef void (*wh_codes_winograd_dots_fn)(bool half, int64_t words, const uint32_t *w, const uint32_t *ahead,
                                          const uint32_t *x, uint32_t *c);
/* The 16 places of 8 tiles beside each other, of a word: rows[4][2]: even and odd columns; `apart`: from
 * place to place of the result. */
typedef void (*wh_codes_winograd_input_fn)(const uint32_t *const rows[4][2], int64_t apart, uint32_t *to);
/* Of sums[16][6][16] the outputs y[2][6][32]: of both rows of the tiles. */
typedef void (*wh_codes_winograd_output_fn)(const uint32_t *sums, const uint32_t *start, int32_t *y);

typedef struct wh_codes_winograd_isa {
  wh_codes_winograd_dots_fn dots;
  wh_codes_winograd_input_fn input;
  wh_codes_winograd_output_fn output;
} wh_codes_winograd_isa;

/* NULL: the mask has none. */
const wh_codes_winograd_isa *wh_codes_winograd_isa_select(uint64_t features);

/* Of w[m][c][3][3]. False: too many channels for exact sums, too few for it to pay, or too large. */
bool wh_codes_winograd_layout(wh_dtype dtype, int64_t m, int64_t c, wh_linear_layout *out);
void wh_codes_winograd_pack(const wh_linear_layout *l, const void *src, void *dst, int64_t panel_begin,
                            int64_t panel_end);
/* Of all workers; false: too much. */
bool wh_codes_winograd_scratch(const wh_window *win, int64_t c, int64_t m, int workers, size_t *out);
/* As wh_conv_codes_run; weights have no zero points. */
void wh_codes_winograd_run(const wh_codes_winograd_isa *isa, const wh_conv_integer_args *a,
                           const void *panels, void *scratch, uint32_t step, const wh_worker *worker);

void wh_k_codes_winograd_dots__avx2(bool half, int64_t words, const uint32_t *w, const uint32_t *ahead,
                                    const uint32_t *x, uint32_t *c);
void wh_k_codes_winograd_input__avx2(const uint32_t *const rows[4][2], int64_t apart, uint32_t *to);
void wh_k_codes_winograd_output__avx2(const uint32_t *sums, const uint32_t *start, int32_t *y);

#endif
