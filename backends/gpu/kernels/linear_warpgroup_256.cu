/* linear_warpgroup_256.cu - for sm_90a: products of many rows with weights of types whose blocks are 256
 * values. */
#include "backends/gpu/kernels/linear_warpgroup_q.h"

WARPGROUP_QUANT(q2_k)
WARPGROUP_QUANT(q3_k)
WARPGROUP_QUANT(q4_k)
WARPGROUP_QUANT(q5_k)
WARPGROUP_QUANT(q6_k)
WARPGROUP_QUANT(iq4_xs)
