/* linear_f_tiles.h - the register tiles of products with float weights, written over one vector type.
 *
 * Included once by each linear_f_<isa>.c, which first defines the vector type `vf` of VF_LANES floats, its
 * operations vf_zero, vf_set1, vf_load, vf_store, vf_add, vf_fma (a * b + c), vf_from_f16 and vf_from_bf16
 * (load VF_LANES), vf_load_some and vf_store_some (the lanes of a vf_mask, of which vf_first(n) sets n), and
 *   TILE_ROWS, TILE_VECS      the tallest tile: rows x vectors of outputs, all in registers
 *   WIDE_ROWS, WIDE_VECS      a tile as wide as a panel, for at most WIDE_ROWS rows: reads the weights in one
 *                             pass
 *   TALL_ROWS                 a tile for half a panel: as tall as the registers allow */
#ifndef WH_CPU_LINEAR_F_TILES_H
#define WH_CPU_LINEAR_F_TILES_H

#include "backends/cpu/linear_f_kernels.h"

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

#define MOST_VECS (WIDE_VECS > 4 ? WIDE_VECS : 4)

INLINE vf load_weights(const wh_dtype dtype, const void *w, int64_t i) {
  if (dtype == WH_DTYPE_F32) return vf_load((const float *)w + i);
  if (dtype == WH_DTYPE_F16) return vf_from_f16((const uint16_t *)w + i);
  return vf_from_bf16((const uint16_t *)w + i);
}

/* c[rows][vecs] of the columns from `col`: lanes are outputs, each one chain over k. */
INLINE void tile_body(const wh_dtype dtype, const int rows, const int vecs, const int64_t width,
                      const wh_linear_f_tile *t, int64_t col) {
  vf acc[TALL_ROWS][MOST_VECS], w[MOST_VECS];
  const char *x[TALL_ROWS / 3]; /* of each third row; the two that follow are in reach of an address */
  const int64_t ldx = t->ldx * (int64_t)sizeof(float);
  UNROLL
  for (int r = 0; r < rows; r += 3) x[r / 3] = (const char *)t->x + r * ldx;
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int i = 0; i < vecs; i++) acc[r][i] = vf_zero();
  for (int64_t k = 0; k < t->k; k++) {
    __builtin_prefetch(t->ahead + k * t->ahead_step);
    __builtin_prefetch(t->ahead + k * t->ahead_step + 64);
    UNROLL
    for (int i = 0; i < vecs; i++) w[i] = load_weights(dtype, t->w, k * width + col + i * VF_LANES);
    UNROLL
    for (int r = 0; r < rows; r++) {
      vf b = vf_set1(*(const float *)(const void *)(x[r / 3] + r % 3 * ldx));
      UNROLL
      for (int i = 0; i < vecs; i++) acc[r][i] = vf_fma(b, w[i], acc[r][i]);
    }
    UNROLL
    for (int r = 0; r < rows; r += 3) {
      x[r / 3] += sizeof(float);
      __asm__("" : "+r"(x[r / 3])); /* not a pointer per row: too many for the registers */
    }
  }
  UNROLL
  for (int r = 0; r < rows; r++) UNROLL
  for (int i = 0; i < vecs; i++) {
    float *c = t->c + r * WH_LINEAR_F_COLS + col + i * VF_LANES;
    vf_store(c, vf_add(t->first ? vf_zero() : vf_load(c), acc[r][i]));
  }
}

/* All columns of a panel, in passes of `vecs` vectors. */
INLINE void tile_rows(const wh_dtype dtype, const int rows, const wh_linear_f_tile *t) {
  if (t->width == WH_LINEAR_F_HALF) {
    tile_body(dtype, rows, WH_LINEAR_F_HALF / VF_LANES, WH_LINEAR_F_HALF, t, 0);
    return;
  }
  if (rows <= WIDE_ROWS) {
    tile_body(dtype, rows, WIDE_VECS, WH_LINEAR_F_COLS, t, 0);
    return;
  }
  for (int64_t col = 0; col < WH_LINEAR_F_COLS; col += TILE_VECS * VF_LANES)
    tile_body(dtype, rows, TILE_VECS, WH_LINEAR_F_COLS, t, col);
}

INLINE void tile_dtype(const wh_dtype dtype, const wh_linear_f_tile *t) {
  switch (t->rows) {
    case 1:
      tile_rows(dtype, 1, t);
      return;
    case 2:
      tile_rows(dtype, 2, t);
      return;
    case 3:
      tile_rows(dtype, 3, t);
      return;
    case 4:
      tile_rows(dtype, 4, t);
      return;
    case 5:
      tile_rows(dtype, 5, t);
      return;
    case 6:
      tile_rows(dtype, 6, t);
      return;
#if TILE_ROWS > 6
    case 7:
      tile_rows(dtype, 7, t);
      return;
    case 8:
      tile_rows(dtype, 8, t);
      return;
    case 9:
      tile_rows(dtype, 9, t);
      return;
    case 10:
      tile_rows(dtype, 10, t);
      return;
    case 11:
      tile_rows(dtype, 11, t);
      return;
    case 12:
      tile_rows(dtype, 12, t);
      return;
    case TALL_ROWS:
      tile_body(dtype, TALL_ROWS, 1, WH_LINEAR_F_HALF, t, 0);
      return;
#endif
  }
}

static void tile_f32(const wh_linear_f_tile *t) { tile_dtype(WH_DTYPE_F32, t); }
static void tile_f16(const wh_linear_f_tile *t) { tile_dtype(WH_DTYPE_F16, t); }
static void tile_bf16(const wh_linear_f_tile *t) { tile_dtype(WH_DTYPE_BF16, t); }

static void tile(const wh_linear_f_tile *t) {
  if (t->dtype == WH_DTYPE_F32)
    tile_f32(t);
  else if (t->dtype == WH_DTYPE_F16)
    tile_f16(t);
  else
    tile_bf16(t);
}

static void unpack(wh_dtype dtype, const void *src, float *dst, int64_t n) {
  if (dtype == WH_DTYPE_F16)
    for (int64_t i = 0; i < n; i += VF_LANES) vf_store(dst + i, vf_from_f16((const uint16_t *)src + i));
  else
    for (int64_t i = 0; i < n; i += VF_LANES) vf_store(dst + i, vf_from_bf16((const uint16_t *)src + i));
}

static void finish(const wh_linear_f_finish *f) {
  for (int64_t r = 0; r < f->rows; r++) {
    const float *c = f->c + r * WH_LINEAR_F_COLS, *residual = f->residual ? f->residual + r * f->ldr : NULL;
    float *y = f->y + r * f->ldy;
    int64_t i = 0;
    for (; i + VF_LANES <= f->cols; i += VF_LANES) {
      vf v = vf_load(c + i);
      if (f->bias) v = vf_add(v, vf_load(f->bias + i));
      if (residual) v = vf_add(vf_load(residual + i), v);
      vf_store(y + i, v);
    }
    if (i < f->cols) {
      const vf_mask rest = vf_first(f->cols - i);
      vf v = vf_load(c + i);
      if (f->bias) v = vf_add(v, vf_load_some(rest, f->bias + i));
      if (residual) v = vf_add(vf_load_some(rest, residual + i), v);
      vf_store_some(rest, y + i, v);
    }
  }
}

static const wh_linear_f_isa steps = {TILE_ROWS, TALL_ROWS, tile, unpack, finish};

#endif
