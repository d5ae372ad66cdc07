/* linear_f.c - layouts and packing of float weights, and the choice of their kernel. */
#include "backends/cpu/linear_f.h"

#include <string.h>

#include "backends/cpu/linear_f_kernels.h"
#include "backends/cpu/whole.h"
#include "core/base/allocator.h"

#define DIM_MAX (INT64_C(1) << 31)
/* Values of a row that are moved at a time: 32 rows of them fit a first-level cache. */
#define PACK_STEP 64

#define ELEM_BYTES sizeof(float)

wh_status wh_linear_f_layout(uint64_t features, wh_dtype dtype, int64_t n, int64_t k, wh_linear_layout *out) {
  if (dtype != WH_DTYPE_F32)
    return WH_FAIL(ERR_UNSUPPORTED, "no float product for weights of type %s", wh_dtype_name(dtype));
  if (n < 1 || k < 1 || n >= DIM_MAX || k >= DIM_MAX)
    return WH_FAIL(ERR_LIMIT, "weights of %lld x %lld: each dimension must be 1 to 2^31 - 1", (long long)n,
                   (long long)k);
  wh_linear_layout l = {.dtype = dtype, .n = n, .k = k, .panel_cols = WH_LINEAR_F_COLS};
  l.id = features & WH_CPU_VECTORS ? WH_LINEAR_F_PANELS : WH_LINEAR_F_FILE;
  l.n_panels = (n + WH_LINEAR_F_COLS - 1) / WH_LINEAR_F_COLS;
  size_t row_bytes = (size_t)k * ELEM_BYTES; /* below 2^33 */
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

/* Vectors as the compilers of GNU C know them, for any processor. */
typedef uint32_t u32x4 __attribute__((vector_size(16)));

#define EXPONENT 0x7f800000u /* all set: NaN or infinity */

/* dst[k][width], 4 columns x 4 values, from rows `row_bytes` apart. Two rounds of interleaving row i with row
 * i + 2 transpose. Returns what is not zero where a value is not finite. */
static u32x4 transpose(const uint8_t *src, size_t row_bytes, uint8_t *dst, size_t width) {
  const u32x4 exponent = (u32x4){0} + EXPONENT;
  u32x4 a[4], b[4], bad = {0};
  for (int i = 0; i < 4; i++) {
    memcpy(&a[i], src + (size_t)i * row_bytes, 16);
    bad |= (u32x4)((a[i] & exponent) == exponent);
  }
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < 2; i++) {
      b[2 * i] = __builtin_shufflevector(a[i], a[i + 2], 0, 4, 1, 5);
      b[2 * i + 1] = __builtin_shufflevector(a[i], a[i + 2], 2, 6, 3, 7);
    }
    memcpy(a, b, sizeof a);
  }
  for (int i = 0; i < 4; i++) memcpy(dst + (size_t)i * width * 4, &a[i], 16);
  return bad;
}

static bool is_finite(const uint8_t *value) {
  uint32_t bits;
  memcpy(&bits, value, sizeof bits);
  return (bits & EXPONENT) != EXPONENT;
}

/* Values [k, k_end) of columns [c, c_end), one by one. */
static bool move_values(const wh_linear_layout *l, const uint8_t *src, int64_t c, int64_t c_end, int64_t k,
                        int64_t k_end, int64_t width, uint8_t *dst) {
  const size_t e = ELEM_BYTES;
  bool finite = true;
  for (; c < c_end; c++)
    for (int64_t i = k; i < k_end; i++) {
      const uint8_t *from = src + (size_t)(c * l->k + i) * e;
      finite &= is_finite(from);
      memcpy(dst + (size_t)(i * width + c) * e, from, e);
    }
  return finite;
}

/* Values [k, k + PACK_STEP) of `cols` columns, a multiple of 8. The rows are as many streams as a panel has
 * columns, too many for the processor to foresee, and what comes next is asked for. */
static bool move_step(const wh_linear_layout *l, const uint8_t *src, int64_t cols, int64_t k, int64_t width,
                      uint8_t *dst) {
  const size_t e = ELEM_BYTES, row_bytes = (size_t)l->k * e, w = (size_t)width;
  u32x4 bad = {0};
  for (int64_t c = 0; c < cols; c += 4)
    for (int64_t i = k; i < k + PACK_STEP; i += 4) {
      const uint8_t *from = src + (size_t)c * row_bytes + (size_t)i * e;
      uint8_t *to = dst + ((size_t)i * w + (size_t)c) * e;
      for (size_t r = 0; r < 4 && i % 16 == 0; r++)
        __builtin_prefetch(from + r * row_bytes + PACK_STEP * e, 0, 3);
      bad |= transpose(from, row_bytes, to, w);
    }
  return (bad[0] | bad[1] | bad[2] | bad[3]) == 0;
}

/* dst[k][width] from `cols` rows of k values; the columns left are zero. */
static bool pack_panel(const wh_linear_layout *l, const uint8_t *src, int64_t cols, int64_t width,
                       uint8_t *dst) {
  const int64_t whole_cols = cols / 8 * 8, whole_k = l->k / PACK_STEP * PACK_STEP;
  bool finite = true;
  if (cols < width) memset(dst, 0, (size_t)l->k * ELEM_BYTES * (size_t)width);
  for (int64_t k = 0; k < whole_k; k += PACK_STEP) {
    finite &= move_step(l, src, whole_cols, k, width, dst);
    finite &= move_values(l, src, whole_cols, cols, k, k + PACK_STEP, width, dst);
  }
  return finite & move_values(l, src, 0, cols, whole_k, l->k, width, dst);
}

/* Rows in the file's layout. */
static bool copy_file_rows(const wh_linear_layout *l, const uint8_t *src, int64_t rows, uint8_t *dst) {
  bool finite = true;
  const size_t e = ELEM_BYTES, n = (size_t)(rows * l->k);
  for (size_t i = 0; i < n; i++) finite &= is_finite(src + i * e);
  if (dst != src) memcpy(dst, src, n * e);
  return finite;
}

bool wh_linear_f_pack(const wh_linear_layout *l, const void *src, void *dst, int64_t panel_begin,
                      int64_t panel_end) {
  const size_t row_bytes = (size_t)l->k * ELEM_BYTES;
  bool finite = true;
  for (int64_t p = panel_begin; p < panel_end; p++) {
    int64_t col = p * WH_LINEAR_F_COLS, left = l->n - col,
            cols = left < WH_LINEAR_F_COLS ? left : WH_LINEAR_F_COLS;
    const uint8_t *from = (const uint8_t *)src + (size_t)col * row_bytes;
    uint8_t *to = (uint8_t *)dst + (size_t)p * l->panel_bytes;
    if (l->id == WH_LINEAR_F_WHOLE)
      finite &= pack_panel(l, from, cols, wh_linear_f_width(l, p), to);
    else if (l->id == WH_LINEAR_F_PANELS)
      for (int64_t c = 0; c < cols; c += WH_LINEAR_F_HALF)
        finite &= pack_panel(l, from + (size_t)c * row_bytes, min_i64(cols - c, WH_LINEAR_F_HALF),
                             WH_LINEAR_F_HALF, to + (size_t)c * row_bytes);
    else
      finite &= copy_file_rows(l, from, cols, to);
  }
  return finite;
}

void wh_linear_f_unpack_row(const wh_linear_layout *l, const void *packed, int64_t row, float *y) {
  const int64_t half = row / WH_LINEAR_F_HALF; /* they follow each other */
  const float *from =
      (const float *)packed + (size_t)(half * WH_LINEAR_F_HALF * l->k) + row % WH_LINEAR_F_HALF;
  for (int64_t i = 0; i < l->k; i++) y[i] = from[i * WH_LINEAR_F_HALF];
}

wh_linear_f_fn wh_linear_f_select(uint64_t features, wh_dtype dtype, const char **name) {
  wh_linear_f_fn fn = NULL;
  if (dtype != WH_DTYPE_F32) return NULL;
#define WH_LINEAR_F_KERNEL(isa, needs)                       \
  if ((features & (uint64_t)(needs)) == (uint64_t)(needs)) { \
    fn = wh_k_linear_f_##isa;                                \
    if (name) *name = "linear_f_" #isa;                      \
  }
#include "backends/cpu/kernels_linear_f.def"
#undef WH_LINEAR_F_KERNEL
  return fn;
}

const wh_linear_f_isa *wh_linear_f_steps(uint64_t features) {
  const wh_linear_f_isa *steps = NULL;
#define WH_LINEAR_F_KERNEL(isa, needs) \
  if ((features & (uint64_t)(needs)) == (uint64_t)(needs)) steps = wh_k_linear_f_steps_##isa();
#include "backends/cpu/kernels_linear_f.def"
#undef WH_LINEAR_F_KERNEL
  return steps;
}

size_t wh_linear_f_scratch_bytes(uint64_t features, const wh_linear_layout *layout, int64_t m_max) {
  size_t bytes;
  if (!(features & WH_CPU_VECTORS)) return 0;
  return wh_linear_f_run_scratch(layout, m_max, &bytes) ? bytes : SIZE_MAX;
}
