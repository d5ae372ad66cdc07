/* linear_warpgroup_32.cu - for sm_90a: products of many rows with weights of types whose blocks are 32
 * values. */
#include "backends/gpu/kernels/linear_warpgroup_q.h"

WARPGROUP_QUANT(q4_0)
WARPGROUP_QUANT(q4_1)
WARPGROUP_QUANT(q5_0)
WARPGROUP_QUANT(q5_1)
WARPGROUP_QUANT(q8_0)
WARPGROUP_QUANT(iq4_nl)
WARPGROUP_QUANT(mxfp4)
