/* linear_h_store.h - what the vector kernels for 16-bit weights do with a result. Included after a vector
 * header. */
#ifndef WH_CPU_LINEAR_H_STORE_H
#define WH_CPU_LINEAR_H_STORE_H

#include "backends/cpu/linear_h_format.h"

#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#define COLS WH_LINEAR_H_COLS

/* The panel's columns [c, c + LANES) of row r of the result: v, its bias and its residual. */
ALWAYS_INLINE void store_cols(const wh_linear_h_panel *p, int64_t r, const int c, vflt v) {
  const int left = (int)p->n_cols - c, n = left < LANES ? left : LANES;
  if (left <= 0) return;
  if (p->bias) v = vflt_add(v, vflt_load_n(p->bias + c, n));
  if (p->residual) v = vflt_add(vflt_load_n(p->residual + r * p->ldr + c, n), v);
  if (n == LANES)
    vflt_store(p->y + r * p->ldy + c, v); /* a store by a mask is microcode on some processors */
  else
    vflt_store_n(p->y + r * p->ldy + c, v, n);
}

#endif
