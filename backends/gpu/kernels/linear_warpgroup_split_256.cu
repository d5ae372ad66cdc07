/* linear_warpgroup_split_256.cu - for sm_90a: products of at most 64 rows, K shared out, with weights of
 * types whose blocks are 256 values. */
#include "backends/gpu/kernels/linear_warpgroup_q.h"

WARPGROUP_QUANT_SPLIT(q2_k)
WARPGROUP_QUANT_SPLIT(q3_k)
WARPGROUP_QUANT_SPLIT(q4_k)
WARPGROUP_QUANT_SPLIT(q5_k)
WARPGROUP_QUANT_SPLIT(q6_k)
WARPGROUP_QUANT_SPLIT(iq4_xs)
