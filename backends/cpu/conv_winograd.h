/* conv_winograd.h - 3x3 convolutions by minimal filtering (docs/NUMERICS.md, "conv"): how they are cut, the
 * memory that they take, and their weights. A pure function of sizes, as conv_plan.h.
 *
 * Of the tiles of a band (of 2x2 outputs each), some rows of them or a piece of one, the transformed elements
 * of all channels lie at [position][channel][tile]. Each position is a product of weights [outputs][channels]
 * with them, in tiles of registers, whose lanes are tiles, or outputs (with vectors of 16); of some outputs
 * the 16 products wait in a cache until they become outputs. */
#ifndef WH_CPU_CONV_WINOGRAD_H
#define WH_CPU_CONV_WINOGRAD_H

#include <stddef.h>

#include "backends/cpu/linear_q.h"
#include "backends/cpu/nn.h"

#define WH_WINOGRAD_POSITIONS 16
/* Outputs whose weights lie side by side, [panel][position][channel][outputs]: where lanes are tiles; where
 * they are outputs, which needs vectors of as many. */
#define WH_WINOGRAD_PANEL 4
#define WH_WINOGRAD_WIDE 16
#define WH_WINOGRAD_TILES 128  /* most of a band */
#define WH_WINOGRAD_PLACES 256 /* most outputs of a row that become results at a time */

/* Whether lanes are outputs: where vectors have as many and few of them would be empty. */
static inline bool wh_winograd_is_wide(int64_t m, int64_t lanes) {
  return lanes == WH_WINOGRAD_WIDE &&
         (m + WH_WINOGRAD_WIDE - 1) / WH_WINOGRAD_WIDE * WH_WINOGRAD_WIDE <= m + m / 8;
}

typedef struct wh_winograd_plan {
  int64_t rows, cols;           /* tiles of the plane */
  int64_t band_rows, band_cols; /* of a band */
  int64_t row_bands, col_bands;
  bool even;      /* bands have about equally many rows; else all but the last have band_rows */
  int64_t panel;  /* WH_WINOGRAD_PANEL, or _WIDE: lanes are outputs */
  bool shared;    /* workers have outputs of their own of each band; else bands of their own */
  bool together;  /* they make a band's elements together; else each makes all that it reads */
  int64_t panels; /* whose products wait together */
  int64_t ld;     /* floats from channel to channel; where lanes are tiles from product to product, too */
  int64_t step, m_step; /* from position to position: of elements; of products */
  int64_t stage;        /* a row of a channel's elements: floats of the even ones, and of the odd ones */
  int64_t sums;         /* floats of an output's row while it becomes a result */
  size_t shared_bytes, element_bytes, product_bytes, stage_bytes, sum_bytes, weight_bytes, worker_bytes;
} wh_winograd_plan;

/* `packed`: weights are panels; `lanes`: of a level's vectors. False when the bytes overflow. */
bool wh_winograd_make_plan(const wh_window *win, int64_t n, int64_t group, int64_t c, int64_t m, int workers,
                           bool packed, int64_t lanes, wh_winograd_plan *out);

/* Of weights w[m][c][3][3]: panels of so many outputs. */
WH_NODISCARD wh_status wh_winograd_layout(int64_t m, int64_t c, int64_t panel, wh_linear_layout *out);
void wh_winograd_pack(const wh_linear_layout *layout, const void *src, void *dst, int64_t panel_begin,
                      int64_t panel_end);
/* One panel u[16][c][panel] of up to as many rows w[c][3][3] that follow each other; those that are missing
 * are zeros. */
void wh_winograd_weights(const float *w, int64_t rows, int64_t c, int64_t panel, float *u);

#endif
