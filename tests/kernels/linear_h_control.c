/* linear_h_control.c - the AVX2 kernel of 16-bit weights with its fused multiply-add split into a product and
 * a sum: what test_linear_h.c must catch. */
#include "backends/cpu/avx2/linear_q_vec_avx2.h"

ALWAYS_INLINE vflt vflt_split_fma(vflt a, vflt b, vflt c) { return _mm256_add_ps(_mm256_mul_ps(a, b), c); }
#define vflt_fma vflt_split_fma

#include "backends/cpu/linear_h_tile.h"

void wh_k_linear_h__control(const wh_linear_q_args *args, const wh_worker *worker);
WH_LINEAR_H_TILE(control)
