/* linear_h.h - products of quantised activations (q13a) with F16 and BF16 weights: packing and kernels.
 * Arithmetic: docs/NUMERICS.md, "linear, 16-bit weights". Kernels take the arguments of linear_q.h, with q13a
 * rows as x. */
#ifndef WH_CPU_LINEAR_H_H
#define WH_CPU_LINEAR_H_H

#include "backends/cpu/linear_q.h"
#include "backends/cpu/q13a.h"

/* Whether products with this type's weights are these. */
static inline bool wh_linear_h_has(wh_dtype dtype) { return dtype == WH_DTYPE_F16 || dtype == WH_DTYPE_BF16; }

/* As wh_linear_q_layout; any k. */
WH_NODISCARD wh_status wh_linear_h_layout(uint64_t features, wh_dtype dtype, int64_t n, int64_t k,
                                          wh_linear_layout *out);

/* As wh_linear_q_pack; false when a weight is not finite. */
bool wh_linear_h_pack(const wh_linear_layout *layout, const void *src, void *dst, int64_t panel_begin,
                      int64_t panel_end);

/* What kernels for up to m_max rows need as scratch; 0 at most levels. m_max and k are below 2^31. */
size_t wh_linear_h_scratch_bytes(uint64_t features, const wh_linear_layout *layout, int64_t m_max);

/* As wh_linear_q_select. */
wh_linear_q_fn wh_linear_h_select(uint64_t features, wh_dtype dtype, const char **name);

#endif
