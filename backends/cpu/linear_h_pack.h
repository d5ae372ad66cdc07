/* linear_h_pack.h - packing a panel of 16-bit weights: plain C, written so that compilers make vectors of it,
 * once for each instruction set that has a file for it (linear_h_pack_<isa>.c). All give the same bytes. */
#ifndef WH_CPU_LINEAR_H_PACK_H
#define WH_CPU_LINEAR_H_PACK_H

#include <string.h>

#include "backends/cpu/linear_h_format.h"
#include "backends/cpu/whole.h"
#include "core/base/quantize_wide.h"

bool wh_k_linear_h_pack__any(const wh_linear_layout *l, const void *src, int64_t panel, void *dst);
bool wh_k_linear_h_pack__avx2(const wh_linear_layout *l, const void *src, int64_t panel, void *dst);
bool wh_k_linear_h_pack__avx512(const wh_linear_layout *l, const void *src, int64_t panel, void *dst);

/* n weights as fp32: as wh_f32_from_f16 and wh_f32_from_bf16 have them where they are finite, and not finite
 * elsewhere. An f16's exponent and fraction, moved to their places in an fp32, are 2^112 too small. */
static inline void widen(wh_dtype dtype, const uint8_t *src, int64_t n, float *x) {
  uint16_t half[WH_Q13A_BLOCK];
  memcpy(half, src, (size_t)n * 2);
  if (dtype == WH_DTYPE_BF16) {
    for (int64_t i = 0; i < n; i++) x[i] = wh_f32_from_bits((uint32_t)half[i] << 16);
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    const uint32_t h = half[i], magnitude = (h & 0x7fffu) << 13;
    const uint32_t bits = wh_f32_bits(wh_f32_from_bits(magnitude) * 0x1p112f);
    const uint32_t special = magnitude >= 0x0f800000u ? 0x7f800000u : 0;
    x[i] = wh_f32_from_bits(bits | special | (h & 0x8000u) << 16);
  }
}

/* Vectors as the compilers of GNU C know them, for any processor. */
typedef uint32_t u32x4 __attribute__((vector_size(16)));

/* dst[pair][32 columns] from codes[column][pair]: 4 x 4 at a time. */
static inline void transpose(int16_t codes[WH_LINEAR_H_COLS][WH_Q13A_BLOCK], int64_t pairs, uint8_t *dst) {
  for (int64_t c = 0; c < WH_LINEAR_H_COLS; c += 4)
    for (int64_t i = 0; i < pairs; i += 4) {
      u32x4 a[4], b[4];
      for (int r = 0; r < 4; r++) memcpy(&a[r], &codes[c + r][2 * i], 16);
      b[0] = __builtin_shufflevector(a[0], a[2], 0, 4, 1, 5);
      b[1] = __builtin_shufflevector(a[0], a[2], 2, 6, 3, 7);
      b[2] = __builtin_shufflevector(a[1], a[3], 0, 4, 1, 5);
      b[3] = __builtin_shufflevector(a[1], a[3], 2, 6, 3, 7);
      a[0] = __builtin_shufflevector(b[0], b[2], 0, 4, 1, 5);
      a[1] = __builtin_shufflevector(b[0], b[2], 2, 6, 3, 7);
      a[2] = __builtin_shufflevector(b[1], b[3], 0, 4, 1, 5);
      a[3] = __builtin_shufflevector(b[1], b[3], 2, 6, 3, 7);
      for (int r = 0; r < 4; r++) memcpy(dst + (i + r) * WH_LINEAR_H_PAIR_BYTES + c * 4, &a[r], 16);
    }
}

/* The rows are as many streams as a panel has columns, too many for the processor to foresee: the block after
 * this one of a row, and after its last one the first of the next panel's row. */
static inline void prefetch_block(const uint8_t *from) {
  for (int i = 0; i < WH_Q13A_BLOCK * 2; i += 64) __builtin_prefetch(from + i, 0, 3);
}

/* One block of a panel, of n weights in each of the rows at `src`; `ahead` bytes behind them is what a row's
 * next block comes from. */
typedef struct linear_h_block {
  wh_dtype dtype;
  const uint8_t *src;
  size_t row_bytes, ahead;
  int64_t cols, n, pairs;
} linear_h_block;

static inline bool pack_block(const linear_h_block *b, uint8_t *dst) {
  _Alignas(64) int16_t codes[WH_LINEAR_H_COLS][WH_Q13A_BLOCK];
  float x[WH_Q13A_BLOCK], scales[WH_LINEAR_H_COLS] = {0};
  bool finite = true;
  for (int64_t c = 0; c < b->cols; c++) {
    const uint8_t *from = b->src + (size_t)c * b->row_bytes;
    prefetch_block(from + b->ahead);
    if (b->n == WH_Q13A_BLOCK) { /* loops of a known length */
      widen(b->dtype, from, WH_Q13A_BLOCK, x);
      finite &= wh_q13a_quantize_block(x, WH_Q13A_BLOCK, codes[c], &scales[c]);
      continue;
    }
    widen(b->dtype, from, b->n, x);
    finite &= wh_q13a_quantize_block(x, b->n, codes[c], &scales[c]);
    memset(&codes[c][b->n], 0, (size_t)(WH_Q13A_BLOCK - b->n) * sizeof codes[c][0]);
  }
  memset(codes[b->cols], 0, (size_t)(WH_LINEAR_H_COLS - b->cols) * sizeof codes[0]);
  memcpy(dst, scales, sizeof scales);
  transpose(codes, b->pairs, dst + WH_LINEAR_H_SCALE_BYTES);
  return finite;
}

/* A block of 128 weights in 32 rows; false: it has to be packed as others are. */
typedef bool (*linear_h_whole_fn)(const linear_h_block *b, uint8_t *dst);

static inline bool pack_panel(const wh_linear_layout *l, const void *weights, int64_t panel, uint8_t *dst,
                              linear_h_whole_fn whole) {
  const int64_t col = panel * WH_LINEAR_H_COLS;
  linear_h_block b = {.dtype = l->dtype,
                      .src = (const uint8_t *)weights + (size_t)(col * l->k) * 2,
                      .row_bytes = (size_t)l->k * 2,
                      .cols = min_i64(WH_LINEAR_H_COLS, l->n - col)};
  bool finite = true;
  for (int64_t k = 0; k < l->k; k += WH_Q13A_BLOCK, b.src += WH_Q13A_BLOCK * 2) {
    const bool is_last = k + WH_Q13A_BLOCK >= l->k;
    b.ahead = is_last ? WH_LINEAR_H_COLS * b.row_bytes - (size_t)k * 2 : WH_Q13A_BLOCK * 2;
    b.n = min_i64(WH_Q13A_BLOCK, l->k - k);
    b.pairs = wh_linear_h_pairs(l->k, k);
    if (!whole || b.n < WH_Q13A_BLOCK || b.cols < WH_LINEAR_H_COLS || !whole(&b, dst))
      finite &= pack_block(&b, dst);
    dst += WH_LINEAR_H_SCALE_BYTES + b.pairs * WH_LINEAR_H_PAIR_BYTES;
  }
  return finite;
}

#define WH_LINEAR_H_PACK(isa, whole)                                                                     \
  bool wh_k_linear_h_pack__##isa(const wh_linear_layout *l, const void *src, int64_t panel, void *dst) { \
    return pack_panel(l, src, panel, dst, whole);                                                        \
  }

#endif
