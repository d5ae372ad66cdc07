/* linear_f.c - layouts and packing of float weights, and the choice of their kernel. */
#include "backends/cpu/linear_f.h"

#include <string.h>

#include "backends/cpu/linear_f_kernels.h"
#include "core/base/allocator.h"

#define DIM_MAX (INT64_C(1) << 31)
/* Values of a row that are moved at a time: 32 rows of them fit a first-level cache. */
#define PACK_STEP 64

static size_t elem_bytes(wh_dtype dtype) { return dtype == WH_DTYPE_F32 ? 4 : 2; }

static bool has_kernel(wh_dtype dtype) {
  return dtype == WH_DTYPE_F32 || dtype == WH_DTYPE_F16 || dtype == WH_DTYPE_BF16;
}

wh_status wh_linear_f_layout(uint64_t features, wh_dtype dtype, int64_t n, int64_t k, wh_linear_layout *out) {
  if (!has_kernel(dtype))
    return WH_FAIL(ERR_UNSUPPORTED, "no float product for weights of type %s", wh_dtype_name(dtype));
  if (n < 1 || k < 1 || n >= DIM_MAX || k >= DIM_MAX)
    return WH_FAIL(ERR_LIMIT, "weights of %lld x %lld: each dimension must be 1 to 2^31 - 1", (long long)n,
                   (long long)k);
  wh_linear_layout l = {.dtype = dtype, .n = n, .k = k, .panel_cols = WH_LINEAR_F_COLS};
  l.id = features & WH_CPU_AVX2 ? WH_LINEAR_F_PANELS : WH_LINEAR_F_FILE;
  l.n_panels = (n + WH_LINEAR_F_COLS - 1) / WH_LINEAR_F_COLS;
  size_t row_bytes = (size_t)k * elem_bytes(dtype); /* below 2^33 */
  size_t rows = (size_t)n;
  if (l.id == WH_LINEAR_F_PANELS)
    rows = (size_t)(l.n_panels - 1) * WH_LINEAR_F_COLS + (size_t)wh_linear_f_width(&l, l.n_panels - 1);
  l.panel_bytes = row_bytes * WH_LINEAR_F_COLS;
  if (!wh_mul_size(rows, row_bytes, &l.n_bytes))
    return WH_FAIL(ERR_LIMIT, "weights of %lld x %lld do not fit the address space", (long long)n,
                   (long long)k);
  *out = l;
  return WH_OK;
}

/* The exponent's bits of an element type: all set means NaN or infinity. */
static bool finite16(const uint8_t *src, int64_t n, uint16_t exponent) {
  bool finite = true;
  for (int64_t i = 0; i < n; i++) {
    uint16_t u;
    memcpy(&u, src + i * 2, sizeof u);
    finite &= (u & exponent) != exponent;
  }
  return finite;
}

static bool finite32(const uint8_t *src, int64_t n) {
  bool finite = true;
  for (int64_t i = 0; i < n; i++) {
    uint32_t u;
    memcpy(&u, src + i * 4, sizeof u);
    finite &= (u & 0x7f800000u) != 0x7f800000u;
  }
  return finite;
}

static bool row_is_finite(wh_dtype dtype, const uint8_t *src, int64_t n) {
  if (dtype == WH_DTYPE_F32) return finite32(src, n);
  return finite16(src, n, dtype == WH_DTYPE_F16 ? 0x7c00 : 0x7f80);
}

/* dst[k][width] from `cols` rows of k values; the columns left are zero. */
static void pack_panel(const wh_linear_layout *l, const uint8_t *src, int64_t cols, int64_t width,
                       uint8_t *dst) {
  const size_t e = elem_bytes(l->dtype), row_bytes = (size_t)l->k * e;
  if (cols < width) memset(dst, 0, row_bytes * (size_t)width);
  for (int64_t k0 = 0; k0 < l->k; k0 += PACK_STEP) {
    int64_t end = k0 + PACK_STEP < l->k ? k0 + PACK_STEP : l->k;
    for (int64_t c = 0; c < cols; c++) {
      const uint8_t *from = src + (size_t)c * row_bytes;
      uint8_t *to = dst + (size_t)c * e;
      if (e == 4)
        for (int64_t k = k0; k < end; k++) memcpy(to + k * width * 4, from + k * 4, 4);
      else
        for (int64_t k = k0; k < end; k++) memcpy(to + k * width * 2, from + k * 2, 2);
    }
  }
}

bool wh_linear_f_pack(const wh_linear_layout *l, const void *src, void *dst, int64_t panel_begin,
                      int64_t panel_end) {
  const size_t row_bytes = (size_t)l->k * elem_bytes(l->dtype);
  bool finite = true;
  for (int64_t p = panel_begin; p < panel_end; p++) {
    int64_t col = p * WH_LINEAR_F_COLS, left = l->n - col,
            cols = left < WH_LINEAR_F_COLS ? left : WH_LINEAR_F_COLS;
    const uint8_t *from = (const uint8_t *)src + (size_t)col * row_bytes;
    uint8_t *to = (uint8_t *)dst + (size_t)p * l->panel_bytes;
    for (int64_t c = 0; c < cols; c++) finite &= row_is_finite(l->dtype, from + (size_t)c * row_bytes, l->k);
    if (l->id == WH_LINEAR_F_PANELS)
      pack_panel(l, from, cols, wh_linear_f_width(l, p), to);
    else if (to != from)
      memcpy(to, from, (size_t)cols * row_bytes);
  }
  return finite;
}

wh_linear_f_fn wh_linear_f_select(uint64_t features, wh_dtype dtype, const char **name) {
  wh_linear_f_fn fn = NULL;
  if (!has_kernel(dtype)) return NULL;
#define WH_LINEAR_F_KERNEL(isa, needs)                       \
  if ((features & (uint64_t)(needs)) == (uint64_t)(needs)) { \
    fn = wh_k_linear_f_##isa;                                \
    if (name) *name = "linear_f_" #isa;                      \
  }
#include "backends/cpu/kernels_linear_f.def"
#undef WH_LINEAR_F_KERNEL
  return fn;
}

size_t wh_linear_f_scratch_bytes(uint64_t features, const wh_linear_layout *layout, int64_t m_max) {
  size_t bytes;
  if (!(features & WH_CPU_AVX2)) return 0;
  return wh_linear_f_run_scratch(layout, m_max, &bytes) ? bytes : SIZE_MAX;
}
