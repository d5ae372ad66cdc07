/* q8_code.h - codes of blocks of 32 in keys, values and queries: a warp's lanes hold the block
 * (docs/NUMERICS.md, "attention"). */
#ifndef WH_GPU_Q8_CODE_H
#define WH_GPU_Q8_CODE_H

#include "backends/gpu/kernels/rows.h"

/* The largest magnitude of the lanes' values; a NaN is the largest. */
GPU_FN float gpu_q8_top(float x) {
  uint32_t top = gpu_magnitude(x);
#pragma unroll
  for (uint32_t m = 1; m < GPU_WARP; m *= 2) top = gpu_larger(top, gpu_shfl_xor(top, m));
  return wh_f32_from_bits(top);
}

/* Kept within -127..127; a NaN gives 0. */
GPU_FN int32_t gpu_q8_code(float v) {
  if (!(v > -127.0f)) return v <= -127.0f ? -127 : 0;
  return v < 127.0f ? (int32_t)rintf(v) : 127;
}

#endif
