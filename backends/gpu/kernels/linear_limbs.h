/* linear_limbs.h - docs/NUMERICS.md, "linear, 16-bit weights", on fragments of the matrix unit: codes of 13
 * bits as two limbs of int8. */
#ifndef WH_GPU_LINEAR_LIMBS_H
#define WH_GPU_LINEAR_LIMBS_H

#include "backends/gpu/kernels/gpu.h"

/* 16 rows by 8 tokens: idot of codes of two limbs each (docs/NUMERICS.md, "linear, 16-bit weights"). */
struct limb_dots {
  int32_t high[4], mixed[4], low[4];
};
GPU_FN void limb_step(limb_dots *d, const uint32_t high[4], const uint32_t low[4], const uint32_t x_high[2],
                      const uint32_t x_low[2]) {
  gpu_mma_s8(d->high, high, x_high);
  gpu_mma_s8(d->mixed, high, x_low);
  gpu_mma_s8(d->mixed, low, x_high);
  gpu_mma_s8(d->low, low, x_low);
}
GPU_FN float limb_sum(const limb_dots &d, int e) {
  return (float)(int32_t)(((uint32_t)d.high[e] << 14) + ((uint32_t)d.mixed[e] << 7) + (uint32_t)d.low[e]);
}

#endif
