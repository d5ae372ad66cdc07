/* linear_warpgroup_32.cu - for sm_90a: products of many rows with weights of types whose blocks are 32
 * values. */
#include "backends/gpu/kernels/linear_warpgroup.h"

WARPGROUP_KERNEL(q4_0)
WARPGROUP_KERNEL(q5_0)
WARPGROUP_KERNEL(q8_0)
WARPGROUP_KERNEL(iq4_nl)
WARPGROUP_KERNEL(mxfp4)
