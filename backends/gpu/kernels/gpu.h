/* gpu.h - the one place where kernels meet a vendor: nvcc, hipcc, or g++ (simt). Kernels use what is declared here
 * and no builtin, inline assembly or vendor spelling of their own. */
#ifndef WH_GPU_H
#define WH_GPU_H

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The contract's functions, as device code. */
#define inline __device__ __forceinline__
#include "core/base/exact_activation.h"
#include "core/base/exact_elements.h"
#include "core/base/exact_math.h"
#include "core/base/exact_math_wide.h"
#include "core/base/exact_pow.h"
#undef inline

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
