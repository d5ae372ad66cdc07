/* linear_warpgroup_wide.cu - for sm_90a: products of many rows with 16-bit weights. */
#include "backends/gpu/kernels/linear_warpgroup_limbs.h"

WARPGROUP_KERNEL(wide, warpgroup_limbs)
