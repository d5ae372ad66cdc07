/* rowops_wide.h - quantize_wide: the template of all its kernels, which compilers make vectors of. */
#ifndef WH_CPU_ROWOPS_WIDE_H
#define WH_CPU_ROWOPS_WIDE_H

#include <string.h>

#include "backends/cpu/rowops_kernels.h"
#include "backends/cpu/rowops_units.h"
#include "core/base/quantize_wide.h"

/* Block `block` of a row that is x[k] long. */
static inline void wh_quantize_wide_block(const wh_quantize_wide_args *a, int64_t row, int64_t block) {
  const wh_q13a_tile t = wh_q13a_tile_at(a->q13a, a->rows, a->k, row / WH_Q13A_TILE);
  const int64_t at = block * t.rows + row % WH_Q13A_TILE, left = a->k - block * WH_Q13A_BLOCK;
  const float *x = a->x + row * a->ldx + block * WH_Q13A_BLOCK;
  int16_t *q = t.q + at * WH_Q13A_BLOCK;
  if (left >= WH_Q13A_BLOCK) {
    (void)wh_q13a_quantize_block(x, WH_Q13A_BLOCK, q, &t.scale[at]);
  } else {
    memset(q + left, 0, (size_t)(WH_Q13A_BLOCK - left) * sizeof *q);
    (void)wh_q13a_quantize_block(x, left, q, &t.scale[at]);
  }
}

/* A unit is two blocks. */
#define WH_QUANTIZE_WIDE(isa)                                                                 \
  void wh_k_quantize_wide__##isa(const wh_quantize_wide_args *a, const wh_worker *w) {        \
    for (wh_unit u = wh_unit_first(w, a->rows, a->k); wh_unit_valid(&u); wh_unit_advance(&u)) \
      for (int64_t at = 0; at < u.count; at += WH_Q13A_BLOCK)                                 \
        wh_quantize_wide_block(a, u.row, (u.column + at) / WH_Q13A_BLOCK);                    \
  }

#endif
