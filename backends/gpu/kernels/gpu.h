/* gpu.h - the one place where kernels meet a vendor: nvcc, hipcc, or g++ (simt). Kernels use what is declared here
 * and no builtin, inline assembly or vendor spelling of their own. */
#ifndef WH_GPU_H
#define WH_GPU_H

#include <stdint.h>

#include "core/base/exact_math.h"

/* A kernel has one parameter: its struct, by value, of <family>_args.h, which hosts (C17) include as well. */
#define GPU_KERNEL_FN(name, args_type) extern "C" __global__ void name(const args_type a)
#define GPU_FN static __device__ __forceinline__

#define GPU_WARP 32

/* Addresses in argument structs are uint64_t. */
template <typename T>
GPU_FN T *gpu_at(uint64_t address) {
  return (T *)address;
}

GPU_FN uint32_t gpu_lane() { return threadIdx.x & (GPU_WARP - 1); }
GPU_FN uint32_t gpu_warp() { return threadIdx.x / GPU_WARP; }
GPU_FN void gpu_barrier() { __syncthreads(); }

/* All lanes of the warp take part. */
template <typename T>
GPU_FN T gpu_shfl_xor(T v, uint32_t mask) {
  return __shfl_xor_sync(0xffffffffu, v, (int)mask);
}
template <typename T>
GPU_FN T gpu_shfl(T v, uint32_t lane) {
  return __shfl_sync(0xffffffffu, v, (int)lane);
}

/* 4 products of int8 added to c. */
GPU_FN int32_t gpu_dp4a(int32_t a, int32_t b, int32_t c) { return __dp4a(a, b, c); }

/* ---- faults (core/backend_abi.h, wh_fault) ---- */

struct gpu_fault {
  uint32_t node_plus_1, code;
  int64_t value;
};
#define GPU_FAULT_INDEX 1u

/* The first fault of the lowest node stays. Called by one thread of a launch at most: launches of a queue follow each
 * other. `fault` 0: nobody asks. */
GPU_FN void gpu_report(uint64_t fault, uint32_t node, uint32_t code, int64_t value) {
  gpu_fault *f = gpu_at<gpu_fault>(fault);
  if (!f || (f->node_plus_1 && f->node_plus_1 <= node + 1)) return;
  f->code = code;
  f->value = value;
  f->node_plus_1 = node + 1;
}

/* The least of all threads' values, for all of them; every thread of a block of whole warps takes part. `room` has a
 * word per warp of shared memory. So one block finds the first bad index in order: each thread looks at every
 * blockDim.x-th and gives the least place it found, thread 0 reports. */
GPU_FN uint64_t gpu_least_of_block(uint64_t v, uint64_t *room) {
  for (uint32_t m = GPU_WARP / 2; m; m /= 2) {
    const uint64_t other = gpu_shfl_xor(v, m);
    v = other < v ? other : v;
  }
  gpu_barrier();
  if (gpu_lane() == 0) room[gpu_warp()] = v;
  gpu_barrier();
  for (uint32_t w = 0; w < blockDim.x / GPU_WARP; w++) v = room[w] < v ? room[w] : v;
  return v;
}

GPU_FN float gpu_f16_to_f32(uint16_t bits) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(bits));
  return y;
}
GPU_FN uint16_t gpu_f32_to_f16(float x) {
  uint16_t y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
  return y;
}

#endif
