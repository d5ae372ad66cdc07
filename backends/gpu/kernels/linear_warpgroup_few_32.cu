/* linear_warpgroup_few_32.cu - for sm_90a: products of at most 64 rows with weights of types whose blocks are 32
 * values. */
#include "backends/gpu/kernels/linear_warpgroup_q.h"

WARPGROUP_QUANT_FEW(q4_0)
WARPGROUP_QUANT_FEW(q4_1)
WARPGROUP_QUANT_FEW(q5_0)
WARPGROUP_QUANT_FEW(q5_1)
WARPGROUP_QUANT_FEW(q8_0)
WARPGROUP_QUANT_FEW(iq4_nl)
WARPGROUP_QUANT_FEW(mxfp4)
