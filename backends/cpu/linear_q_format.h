/* linear_q_format.h - what the quantised weight types have in common, and the panel layout that the SIMD
 * kernels read.
 *
 * A type is a few choices: how many bits a code has, what is added to a value to make its unsigned code,
 * where scales and minima come from. Everything below the file decoder (packing, reference and SIMD kernels)
 * is written against these choices, not against types. */
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

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/dtype.h"

#define WH_LINEAR_Q_COLS 32        /* outputs of a panel */
#define WH_LINEAR_Q_BLOCK 32       /* values of a block */
#define WH_LINEAR_Q_GROUP_BLOCKS 8 /* blocks of a group of 256 */

typedef enum wh_linear_q_codebook { WH_CODEBOOK_NONE, WH_CODEBOOK_IQ4, WH_CODEBOOK_FP4 } wh_linear_q_codebook;
typedef enum wh_linear_q_scale {
  WH_SCALE_F16,     /* one fp16 per block */
  WH_SCALE_E8M0,    /* one power of two per block */
  WH_SCALE_SUB32,   /* fp16 per 256 times an integer per block */
  WH_SCALE_SUB16,   /* fp16 per 256 times an int8 per half block */
  WH_SCALE_SUB16_U4 /* the same with 4-bit integers */
} wh_linear_q_scale;
typedef enum wh_linear_q_min { WH_MIN_NONE, WH_MIN_F16, WH_MIN_SUB32, WH_MIN_SUB16 } wh_linear_q_min;

/* value = code - 2^bias_log2 (or just the code when bias_log2 is -1). With a codebook the code is an index,
 * and 2^bias_log2 is what makes every entry of the codebook unsigned. */
typedef struct wh_linear_q_format {
  wh_dtype dtype;
  int bits, bias_log2;
  wh_linear_q_codebook codebook;
  wh_linear_q_scale scale;
  wh_linear_q_min min;
} wh_linear_q_format;

/* type, lower-case name, bits, bias_log2, codebook, scale, min */
#define WH_LINEAR_Q_FORMATS(X)                \
  X(Q4_0, q4_0, 4, 3, NONE, F16, NONE)        \
  X(Q4_1, q4_1, 4, -1, NONE, F16, F16)        \
  X(Q5_0, q5_0, 5, 4, NONE, F16, NONE)        \
  X(Q5_1, q5_1, 5, -1, NONE, F16, F16)        \
  X(Q8_0, q8_0, 8, 7, NONE, F16, NONE)        \
  X(Q2_K, q2_k, 2, -1, NONE, SUB16_U4, SUB16) \
  X(Q3_K, q3_k, 3, 2, NONE, SUB16, NONE)      \
  X(Q4_K, q4_k, 4, -1, NONE, SUB32, SUB32)    \
  X(Q5_K, q5_k, 5, -1, NONE, SUB32, SUB32)    \
  X(Q6_K, q6_k, 6, 5, NONE, SUB16, NONE)      \
  X(IQ4_NL, iq4_nl, 4, 7, IQ4, F16, NONE)     \
  X(IQ4_XS, iq4_xs, 4, 7, IQ4, SUB32, NONE)   \
  X(MXFP4, mxfp4, 4, 4, FP4, E8M0, NONE)

/* wh_linear_q_format_<name>: constants that a template can fold. */
#define WH_LINEAR_Q_FORMAT_CONST(type, lower, bits_, bias_, codebook_, scale_, min_) \
  static const wh_linear_q_format wh_linear_q_format_##lower = {                     \
      WH_DTYPE_##type, bits_, bias_, WH_CODEBOOK_##codebook_, WH_SCALE_##scale_, WH_MIN_##min_};
WH_LINEAR_Q_FORMATS(WH_LINEAR_Q_FORMAT_CONST)
#undef WH_LINEAR_Q_FORMAT_CONST

/* Entries of the 16-entry codebooks: IQ4_NL and IQ4_XS; MXFP4 (e2m1, doubled). */
#define WH_CODEBOOK_IQ4_VALUES -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
#define WH_CODEBOOK_FP4_VALUES 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12

/* Sizes of the parts of a packed group with `blocks` blocks. */
static inline size_t wh_linear_q_scale_bytes(wh_linear_q_format f, int blocks) {
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
static inline size_t wh_linear_q_code_bytes(wh_linear_q_format f) { return (size_t)f.bits * 128; }
static inline size_t wh_linear_q_min_bytes(wh_linear_q_format f) { return f.min >= WH_MIN_SUB32 ? 256 : 0; }
static inline size_t wh_linear_q_group_bytes(wh_linear_q_format f, int blocks) {
  return wh_linear_q_scale_bytes(f, blocks) + (size_t)blocks * wh_linear_q_code_bytes(f) +
         wh_linear_q_min_bytes(f);
}

/* NULL when there are no kernels for the type. */
const wh_linear_q_format *wh_linear_q_format_get(wh_dtype dtype);

#endif
