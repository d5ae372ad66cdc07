/* linear_h.c - layouts and packing of 16-bit weights, and the choice of their kernel. */
#include "backends/cpu/linear_h.h"

#include <string.h>

#include "backends/cpu/linear_h_pack.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

#define DIM_MAX (INT64_C(1) << 31)

/* ---- packing ---- */

WH_LINEAR_H_PACK(any, NULL)

static wh_linear_pack_panel_fn choose_pack(uint64_t features) {
#if defined(__x86_64__)
  if ((features & WH_CPU_AVX2) && (features & WH_CPU_AVX512)) return wh_k_linear_h_pack__avx512;
  if (features & WH_CPU_AVX2) return wh_k_linear_h_pack__avx2;
#endif
  (void)features;
  return wh_k_linear_h_pack__any;
}

/* ---- layouts ---- */

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
    l.pack_panel = choose_pack(features);
  }
  if (!fits)
    return WH_FAIL(ERR_LIMIT, "weights of %lld x %lld do not fit the address space", (long long)n,
                   (long long)k);
  *out = l;
  return WH_OK;
}

/* Rows in the file's layout, as many as a panel has. */
static bool copy_file_panel(const wh_linear_layout *l, const void *from, int64_t panel, uint8_t *dst) {
  const int64_t col = panel * WH_LINEAR_H_COLS, rows = min_i64(WH_LINEAR_H_COLS, l->n - col);
  const uint8_t *src = (const uint8_t *)from + (size_t)(col * l->k) * 2;
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
    uint8_t *to = (uint8_t *)dst + (size_t)p * l->panel_bytes;
    finite &= l->pack_panel ? l->pack_panel(l, src, p, to) : copy_file_panel(l, src, p, to);
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
