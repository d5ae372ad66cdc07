/* linear_warpgroup_split_32.cu - for sm_90a: products of at most 64 rows, K shared out, with weights of types
 * whose blocks are 32 values. */
#include "backends/gpu/kernels/linear_warpgroup_q.h"

WARPGROUP_QUANT_SPLIT(q4_0)
WARPGROUP_QUANT_SPLIT(q4_1)
WARPGROUP_QUANT_SPLIT(q5_0)
WARPGROUP_QUANT_SPLIT(q5_1)
WARPGROUP_QUANT_SPLIT(q8_0)
WARPGROUP_QUANT_SPLIT(iq4_nl)
WARPGROUP_QUANT_SPLIT(mxfp4)
