/* conv_codes.h - convolutions of 8-bit codes in register tiles: `conv_integer` of one group with constant
 * weights. Codes less their zero point fit 16 bits, and those of two channels at one place are a word of 32
 * bits; k is (pair of channels, tap). A tile holds some outputs x some places, and sums are exact modulo 2^32,
 * so their order is free.
 *
 * Packed weights: panels of 6 outputs, [words][6]; missing outputs, and a last channel's partner, have zeros. A
 * zero point of the weights is accounted for by the sums of the places' codes. */
#ifndef WH_CPU_CONV_CODES_H
#define WH_CPU_CONV_CODES_H

#include "backends/cpu/linear_q.h"
#include "backends/cpu/nn.h"

#define WH_CONV_CODES_PANELS 41u /* layout id */
#define WH_CONV_CODES_ROWS 6
#define WH_CONV_CODES_PLACES 32 /* of the widest tile of any level */

/* c[6][ldc] (+)= the dots of `words` words of w, [words][6], and of x, [words][places]. `half`: of half of
 * the places. */
typedef struct wh_conv_codes_tile {
  int64_t rows, words;
  bool half, first;
  const uint32_t *w, *x;
  uint32_t *c;
  int64_t ldc;
} wh_conv_codes_tile;

typedef struct wh_conv_codes_isa {
  int64_t places; /* of a tile */
  void (*tile)(const wh_conv_codes_tile *t);
  const char *name;
} wh_conv_codes_isa;

/* NULL: the mask has no tiles. */
const wh_conv_codes_isa *wh_conv_codes_isa_select(uint64_t features);

/* Of w[m][c][taps]; its k is c. False: too large to be packed. */
bool wh_conv_codes_layout(wh_dtype dtype, int64_t m, int64_t c, int64_t taps, wh_linear_layout *out);
void wh_conv_codes_pack(const wh_linear_layout *l, const void *src, void *dst, int64_t panel_begin,
                        int64_t panel_end);

/* Of all workers; false: too much. A pure function of sizes, at any level. */
bool wh_conv_codes_scratch(const wh_window *win, int64_t c, int64_t m, int workers, size_t *out);
/* a->w is not read: `panels` are the weights. */
void wh_conv_codes_run(const wh_conv_codes_isa *isa, const wh_conv_integer_args *a, const void *panels,
                       void *scratch, uint32_t step, const wh_worker *worker);

#define WH_CONV_CODES_KERNEL(isa, needs) void wh_k_conv_codes_tile__##isa(const wh_conv_codes_tile *t);
#include "backends/cpu/kernels_conv_codes.def"

#endif
