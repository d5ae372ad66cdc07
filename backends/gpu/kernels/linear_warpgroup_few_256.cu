/* linear_warpgroup_few_256.cu - for sm_90a: products of at most 64 rows with weights of types whose blocks are 256
 * values. */
#include "backends/gpu/kernels/linear_warpgroup_q.h"

WARPGROUP_QUANT_FEW(q2_k)
WARPGROUP_QUANT_FEW(q3_k)
WARPGROUP_QUANT_FEW(q4_k)
WARPGROUP_QUANT_FEW(q5_k)
WARPGROUP_QUANT_FEW(q6_k)
WARPGROUP_QUANT_FEW(iq4_xs)
