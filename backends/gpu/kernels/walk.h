/* walk.h - how a kernel finds its place in operands of any rank: division by numbers that the host knows, and
 * walks whose dims the host has joined (core/base/nd.h). For hosts and kernels. */
#ifndef WH_GPU_WALK_H
#define WH_GPU_WALK_H

#include <stdint.h>

#include "backends/gpu/kernels/activations.h"

#define GPU_WALK_MAX_RANK 16 /* a tile has two dims for each of a tensor's */
#define GPU_WALK_OPERANDS 3

/* Division by n: numbers below 2^31 by a product and a shift (Granlund and Montgomery 1994), where n is below
 * 2^31 too; others divide. */
typedef struct gpu_divisor {
  int64_t n;
  uint32_t multiplier, shift; /* shift 32: n is too large */
} gpu_divisor;

/* i / n */
GPU_BOTH uint64_t gpu_quotient(const gpu_divisor *d, uint64_t i) {
  if (d->shift < 32 && !(i >> 31)) {
    const uint32_t x = (uint32_t)i;
    return ((uint32_t)(((uint64_t)x * d->multiplier) >> 32) + x) >> d->shift;
  }
  return i / (uint64_t)d->n;
}

/* Element i of the walk, in row-major order of dims, lies at the sum of its indices times an operand's
 * strides. */
typedef struct gpu_walk {
  int32_t rank; /* at least 1 */
  uint32_t reserved;
  gpu_divisor dims[GPU_WALK_MAX_RANK];
  int64_t stride[GPU_WALK_OPERANDS][GPU_WALK_MAX_RANK];
} gpu_walk;

#ifdef WH_GPU_H /* a kernel: gpu.h comes first */

GPU_FN uint64_t gpu_divide(const gpu_divisor &d, uint64_t i) { return gpu_quotient(&d, i); }
/* i becomes the quotient; the rest is returned. */
GPU_FN int64_t gpu_split(const gpu_divisor &d, uint64_t *i) {
  const uint64_t q = gpu_divide(d, *i), r = *i - q * (uint64_t)d.n;
  *i = q;
  return (int64_t)r;
}

/* The offsets of N operands at element i. */
template <int N>
GPU_FN void gpu_walk_at(const gpu_walk &w, uint64_t i, int64_t *offset) {
  for (int o = 0; o < N; o++) offset[o] = 0;
  GPU_ROLLED
  for (int d = w.rank - 1; d > 0; d--) {
    const int64_t index = gpu_split(w.dims[d], &i);
    for (int o = 0; o < N; o++) offset[o] += index * w.stride[o][d];
  }
  for (int o = 0; o < N; o++) offset[o] += (int64_t)i * w.stride[o][0];
}

/* The number of this thread in a grid of one dimension. */
GPU_FN int64_t gpu_thread() { return (int64_t)blockIdx.x * blockDim.x + threadIdx.x; }

#endif
#endif
