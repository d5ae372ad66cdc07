/* conv_winograd.h - 3x3 convolutions by minimal filtering (docs/NUMERICS.md, "conv"): how they are cut, the
 * memory that they take, and their weights. A pure function of sizes, as conv_plan.h.
 *
 * Lanes are tiles of 2x2 outputs. Of the tiles of a band, some rows of them or a piece of one, the
 * transformed elements of all channels lie at [position][channel][tile]. Each position is a product of
 * weights [outputs][channels] with them, in tiles of registers; of some outputs the 16 products wait in a
 * cache until they become outputs. */
#ifndef WH_CPU_CONV_WINOGRAD_H
#define WH_CPU_CONV_WINOGRAD_H

#include <stddef.h>

#include "backends/cpu/linear_q.h"
#include "backends/cpu/nn.h"

#define WH_WINOGRAD_POSITIONS 16
#define WH_WINOGRAD_PANEL 4    /* outputs whose weights lie side by side: [panel][position][channel][4] */
#define WH_WINOGRAD_PLACES 256 /* most outputs of a row that become results at a time */

typedef struct wh_winograd_plan {
  int64_t rows, cols;           /* tiles of the plane */
  int64_t band_rows, band_cols; /* of a band */
  int64_t row_bands, col_bands;
  bool shared; /* workers make a band's elements together, then outputs of their own; else bands of their own
                */
  int64_t panels;       /* whose products wait together */
  int64_t ld;           /* floats from channel to channel, and from output to output of products */
  int64_t step, m_step; /* from position to position: of elements; of products */
  int64_t stage;        /* a row of a channel's elements: floats of the even ones, and of the odd ones */
  int64_t sums;         /* floats of an output's row while it becomes a result */
  size_t shared_bytes, element_bytes, product_bytes, stage_bytes, sum_bytes, weight_bytes, worker_bytes;
} wh_winograd_plan;

/* `packed`: weights are panels. False when the bytes overflow. */
bool wh_winograd_make_plan(const wh_window *win, int64_t n, int64_t group, int64_t c, int64_t m, int workers,
                           bool packed, wh_winograd_plan *out);

/* Of weights w[m][c][3][3]: panels. */
WH_NODISCARD wh_status wh_winograd_layout(int64_t m, int64_t c, wh_linear_layout *out);
void wh_winograd_pack(const wh_linear_layout *layout, const void *src, void *dst, int64_t panel_begin,
                      int64_t panel_end);
/* One panel u[16][c][4] of up to 4 rows w[c][3][3] that follow each other; those that are missing are zeros.
 */
void wh_winograd_weights(const float *w, int64_t rows, int64_t c, float *u);

#endif
