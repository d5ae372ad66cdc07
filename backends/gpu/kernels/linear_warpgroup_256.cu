/* linear_warpgroup_256.cu - for sm_90a: products of many rows with weights of types whose blocks are 256
 * values. */
#include "backends/gpu/kernels/linear_warpgroup.h"

WARPGROUP_KERNEL(q3_k)
WARPGROUP_KERNEL(q4_k)
WARPGROUP_KERNEL(q5_k)
WARPGROUP_KERNEL(q6_k)
WARPGROUP_KERNEL(iq4_xs)
