/* linear_q_control.c - the AVX2 or NEON kernel of Q4_1 with its fused multiply-add split into a product and a
 * sum: what test_linear_q.c must catch. */
#if defined(__aarch64__)
#include "backends/cpu/neon/linear_q_vec_neon.h"
#else
#include "backends/cpu/avx2/linear_q_vec_avx2.h"
#endif

ALWAYS_INLINE vflt vflt_split_fma(vflt a, vflt b, vflt c) { return vflt_add(vflt_mul(a, b), c); }
#define vflt_fma vflt_split_fma

#include "backends/cpu/linear_q_tile.h"

void wh_k_linear_q4_1__control(const wh_linear_q_args *args, const wh_worker *worker);
WH_LINEAR_Q_TILE(q4_1, control)
