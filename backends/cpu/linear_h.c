/* linear_h.c - layouts and packing of 16-bit weights, and the choice of their kernel. Plain C, written so
 * that compilers make vectors of it: packing runs once per model, at the speed of reading the file. */
#include "backends/cpu/linear_h.h"

#include <string.h>

#include "backends/cpu/linear_h_format.h"
#include "backends/cpu/q13a_block.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

#define DIM_MAX (INT64_C(1) << 31)

wh_status wh_linear_h_layout(uint64_t features, wh_dtype dtype, int64_t n, int64_t k, wh_linear_layout *out) {
  if (!wh_linear_h_has(dtype))
    return WH_FAIL(ERR_UNSUPPORTED, "no 16-bit product for weights of type %s", wh_dtype_name(dtype));
  if (n < 1 || k < 1 || n >= DIM_MAX || k >= DIM_MAX)
    return WH_FAIL(ERR_LIMIT, "weights of %lld x %lld: each dimension must be 1 to 2^31 - 1", (long long)n,
                   (long long)k);
  wh_linear_layout l = {.dtype = dtype, .n = n, .k = k, .panel_cols = WH_LINEAR_H_COLS};
  l.id = features & WH_CPU_VECTORS ? WH_LINEAR_H_PANELS : WH_LINEAR_H_FILE;
  l.n_panels = ceil_div(n, WH_LINEAR_H_COLS);
  bool fits;
  if (l.id == WH_LINEAR_H_FILE) {
    l.panel_bytes = (size_t)k * 2 * WH_LINEAR_H_COLS;
    fits = wh_mul_size((size_t)n, (size_t)k * 2, &l.n_bytes);
  } else {
    const int64_t whole = k / WH_Q13A_BLOCK, rest = k % WH_Q13A_BLOCK, at = whole * WH_Q13A_BLOCK;
    const size_t pairs = (size_t)whole * (WH_Q13A_BLOCK / 2) + (rest ? (size_t)wh_linear_h_pairs(k, at) : 0);
    l.panel_bytes =
        (size_t)ceil_div(k, WH_Q13A_BLOCK) * WH_LINEAR_H_SCALE_BYTES + pairs * WH_LINEAR_H_PAIR_BYTES;
    fits = wh_mul_size((size_t)l.n_panels, l.panel_bytes, &l.n_bytes);
  }
  if (!fits)
    return WH_FAIL(ERR_LIMIT, "weights of %lld x %lld do not fit the address space", (long long)n,
                   (long long)k);
  *out = l;
  return WH_OK;
}

/* ---- packing ---- */

/* n weights as fp32: as wh_f32_from_f16 and wh_f32_from_bf16 have them where they are finite, and not finite
 * elsewhere. An f16's exponent and fraction, moved to their places in an fp32, are 2^112 too small. */
static void widen(wh_dtype dtype, const uint8_t *src, int64_t n, float *x) {
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
static void transpose(int16_t codes[WH_LINEAR_H_COLS][WH_Q13A_BLOCK], int64_t pairs, uint8_t *dst) {
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

/* The rows are as many streams as a panel has columns, too many for the processor to foresee. */
static void prefetch_block(const uint8_t *from) {
  for (int i = 0; i < WH_Q13A_BLOCK * 2; i += 64) __builtin_prefetch(from + i, 0, 3);
}

static bool pack_panel(const wh_linear_layout *l, const uint8_t *src, int64_t cols, uint8_t *dst) {
  const size_t row_bytes = (size_t)l->k * 2;
  _Alignas(64) int16_t codes[WH_LINEAR_H_COLS][WH_Q13A_BLOCK];
  float x[WH_Q13A_BLOCK], scales[WH_LINEAR_H_COLS] = {0};
  bool finite = true;
  memset(codes, 0, sizeof codes);
  for (int64_t k = 0; k < l->k; k += WH_Q13A_BLOCK) {
    const int64_t n = min_i64(WH_Q13A_BLOCK, l->k - k), pairs = wh_linear_h_pairs(l->k, k);
    for (int64_t c = 0; c < cols; c++) {
      const uint8_t *from = src + (size_t)c * row_bytes + (size_t)k * 2;
      prefetch_block(from + WH_Q13A_BLOCK * 2);
      widen(l->dtype, from, n, x);
      finite &= wh_q13a_quantize_block(x, n, codes[c], &scales[c]);
      if (n < WH_Q13A_BLOCK) memset(&codes[c][n], 0, (size_t)(WH_Q13A_BLOCK - n) * sizeof codes[c][0]);
    }
    memcpy(dst, scales, sizeof scales);
    transpose(codes, pairs, dst + WH_LINEAR_H_SCALE_BYTES);
    dst += WH_LINEAR_H_SCALE_BYTES + pairs * WH_LINEAR_H_PAIR_BYTES;
  }
  return finite;
}

/* Rows in the file's layout. */
static bool copy_file_rows(const wh_linear_layout *l, const uint8_t *src, int64_t rows, uint8_t *dst) {
  const uint32_t exponent = l->dtype == WH_DTYPE_F16 ? 0x7c00u : 0x7f80u;
  const size_t n = (size_t)(rows * l->k);
  bool finite = true;
  for (size_t i = 0; i < n; i++) {
    uint16_t half;
    memcpy(&half, src + i * 2, sizeof half);
    finite &= (half & exponent) != exponent;
  }
  if (dst != src) memcpy(dst, src, n * 2);
  return finite;
}

bool wh_linear_h_pack(const wh_linear_layout *l, const void *src, void *dst, int64_t panel_begin,
                      int64_t panel_end) {
  bool finite = true;
  for (int64_t p = panel_begin; p < panel_end; p++) {
    const int64_t col = p * WH_LINEAR_H_COLS, cols = min_i64(WH_LINEAR_H_COLS, l->n - col);
    const uint8_t *from = (const uint8_t *)src + (size_t)(col * l->k) * 2;
    uint8_t *to = (uint8_t *)dst + (size_t)p * l->panel_bytes;
    finite &= l->id == WH_LINEAR_H_PANELS ? pack_panel(l, from, cols, to) : copy_file_rows(l, from, cols, to);
  }
  return finite;
}

/* ---- kernels ---- */

wh_linear_q_fn wh_linear_h_select(uint64_t features, wh_dtype dtype, const char **name) {
  wh_linear_q_fn fn = NULL;
  if (!wh_linear_h_has(dtype)) return NULL;
#define WH_LINEAR_H_KERNEL(isa, needs)                       \
  if ((features & (uint64_t)(needs)) == (uint64_t)(needs)) { \
    fn = wh_k_linear_h__##isa;                               \
    if (name) *name = "linear_h__" #isa;                     \
  }
#include "backends/cpu/kernels_linear_h.def"
#undef WH_LINEAR_H_KERNEL
  return fn;
}

size_t wh_linear_h_scratch_bytes(uint64_t features, const wh_linear_layout *l, int64_t m_max) {
  if (!(features & WH_CPU_AMX) || m_max <= 0) return 0;
  return (size_t)m_max * wh_q13a_blocks(l->k) * WH_LINEAR_H_LIMB_BYTES;
}
