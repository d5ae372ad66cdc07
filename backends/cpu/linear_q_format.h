/* linear_q_format.h - the panel layout that the SIMD kernels of quantised weights read, written against the
 * choices of core/base/quant_format.h. */
#ifndef WH_CPU_LINEAR_Q_FORMAT_H
#define WH_CPU_LINEAR_Q_FORMAT_H

// clang-format off
/* Panel: 32 outputs (columns). K runs in groups of 256 (the last may hold fewer blocks of 32), and a group's
 * bytes lie in the order in which a kernel touches them, without gaps, so that one product is one forward stream:
 *
 *   scales   F16:          [blocks][32] fp16; with minima F16 another [blocks][32] fp16
 *            E8M0:         [blocks][32] u8, rounded up to 64 bytes
 *            SUB32, SUB16: d [32] fp16; dmin [32] fp16 when there are minima; then the integer sub-scales as int8,
 *                          [8][32] or [16][32]
 *            SUB16_U4:     the same with u4 sub-scales: [8][32] bytes, low nibble the first half of the block
 *   codes    [blocks] records (below)
 *   minima   SUB32:        u8 [4][32][2], pairs of adjacent blocks
 *            SUB16:        u4 [4][32][2], low nibble pairs of halves 0-7, high nibble pairs of halves 8-15
 *
 * Code record of one block: think of the codes as E[8][32][4] (quad of k, column, k within the quad), j = the 128
 * bytes [column][k]. Every plane splits bytes over quads, so that it widens with shifts and masks alone:
 *
 *   8 bits   E itself
 *   4 bits   [4][128], low nibble quad 2i, high nibble quad 2i + 1
 *   2 bits   [2][128], bits 2i.. of byte (h, j) belong to quad 4h + i
 *   1 bit    [128], bit i belongs to quad i
 *   5 bits   4 then 1;  6 bits: 4 then 2;  3 bits: 2 then 1 */
// clang-format on

#include <stddef.h>
#include <stdint.h>

#include "core/base/quant_blocks.h"

#define WH_LINEAR_Q_COLS 32        /* outputs of a panel */
#define WH_LINEAR_Q_BLOCK 32       /* values of a block */
#define WH_LINEAR_Q_GROUP_BLOCKS 8 /* blocks of a group of 256 */

/* Sizes of the parts of a packed group with `blocks` blocks. */
static inline size_t wh_linear_q_scale_bytes(wh_quant_format f, int blocks) {
  size_t b = (size_t)blocks;
  switch (f.scale) {
    case WH_SCALE_F16:
      return b * 64 * (f.min == WH_MIN_F16 ? 2 : 1);
    case WH_SCALE_E8M0:
      return (b * 32 + 63) / 64 * 64;
    case WH_SCALE_SUB32:
    case WH_SCALE_SUB16_U4:
      return 64 + (f.min != WH_MIN_NONE ? 64 : 0) + b * 32;
    case WH_SCALE_SUB16:
      return 64 + b * 64;
  }
  return 0;
}
static inline size_t wh_linear_q_code_bytes(wh_quant_format f) { return (size_t)f.bits * 128; }
static inline size_t wh_linear_q_min_bytes(wh_quant_format f) { return f.min >= WH_MIN_SUB32 ? 256 : 0; }
static inline size_t wh_linear_q_group_bytes(wh_quant_format f, int blocks) {
  return wh_linear_q_scale_bytes(f, blocks) + (size_t)blocks * wh_linear_q_code_bytes(f) +
         wh_linear_q_min_bytes(f);
}

#endif
