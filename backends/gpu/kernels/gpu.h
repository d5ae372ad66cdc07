/* gpu.h - the one place where kernels meet a vendor: nvcc, hipcc, or g++ (../simt). Kernels use what is
 * declared here, threadIdx and its kin, fmaf and the exact functions, and no builtin, inline assembly or
 * vendor spelling of their own.
 *
 * A warp is 32 lanes everywhere: on hardware with waves of 64, two of them share one. */
#ifndef WH_GPU_H
#define WH_GPU_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__CUDACC__)
#define GPU_FN static __device__ __forceinline__
#elif defined(__HIPCC__)
#include <hip/hip_runtime.h>
#define GPU_FN static __device__ __forceinline__
#else
#include "backends/gpu/simt/simt.h"
#define GPU_FN static inline
#define GPU_MEMBER inline
#endif

/* Of a struct that lives in registers. */
#if defined(__CUDACC__) || defined(__HIPCC__)
#define GPU_METHOD __device__ __forceinline__
#else
#define GPU_METHOD inline
#endif

/* The exact functions are the host's headers. */
#if defined(__CUDACC__) || defined(__HIPCC__)
#define GPU_MEMBER __device__ __forceinline__ /* of a struct */
#define inline __device__ inline
#endif
#include "core/base/exact_activation.h"
#include "core/base/exact_elements.h"
#include "core/base/exact_math.h"
#include "core/base/exact_math_wide.h"
#include "core/base/exact_pow.h"
#include "core/base/exact_sampling.h"
#undef inline

/* Of the loop that follows: unrolled, or as it stands. */
#if defined(__CUDACC__) || defined(__HIPCC__)
#define GPU_UNROLL _Pragma("unroll")
#define GPU_ROLLED _Pragma("unroll 1")
#else
#define GPU_UNROLL
#define GPU_ROLLED
#endif

#define GPU_WARP 32

/* Devices of compute capability 9.0 and more start a kernel before the one in front of it has ended, and here
 * it waits for that, before it touches memory; the next one may then start to do so. PTX for other devices
 * has no such instruction: the line is a comment, which the provider opens (backends/cuda/cuda_driver.c). */
#if defined(__CUDACC__)
GPU_FN void gpu_follow() {
  asm volatile("// griddepcontrol.wait;" ::: "memory");
  asm volatile("// griddepcontrol.launch_dependents;" ::: "memory");
}
#endif

/* A kernel has one parameter: its struct, by value, of <family>_args.h, which hosts (C17) include as well. */
#if defined(__CUDACC__)
#define GPU_BOUNDED_KERNEL(name, args_type, bounds)           \
  GPU_FN void name##_of(const args_type &a);                  \
  extern "C" __global__ void bounds name(const args_type a) { \
    gpu_follow();                                             \
    name##_of(a);                                             \
  }                                                           \
  GPU_FN void name##_of(const args_type &a)
#define GPU_KERNEL_FN(name, args_type) GPU_BOUNDED_KERNEL(name, args_type, )
/* A kernel whose blocks have at most so many threads, of which so many blocks are to fit a processor. */
#define GPU_BOUNDED_KERNEL_FN(name, args_type, threads, blocks) \
  GPU_BOUNDED_KERNEL(name, args_type, __launch_bounds__(threads, blocks))
#elif defined(__HIPCC__)
#define GPU_KERNEL_FN(name, args_type) extern "C" __global__ void name(const args_type a)
#define GPU_BOUNDED_KERNEL_FN(name, args_type, threads, blocks) \
  extern "C" __global__ void __launch_bounds__(threads) name(const args_type a)
#else
#define GPU_KERNEL_FN(name, args_type)                                            \
  static void name(const args_type a);                                            \
  static void name##_call(const void *p) {                                        \
    args_type a;                                                                  \
    memcpy(&a, p, sizeof a);                                                      \
    name(a);                                                                      \
  }                                                                               \
  static const simt::kernel name##_kernel(#name, name##_call, sizeof(args_type)); \
  static void name(const args_type a)
#define GPU_BOUNDED_KERNEL_FN(name, args_type, threads, blocks) GPU_KERNEL_FN(name, args_type)
#endif

/* All dynamic shared memory of the block, aligned to 16 bytes. */
#if defined(__CUDACC__) || defined(__HIPCC__)
#define GPU_DYNAMIC_SHARED(type, name)                               \
  extern __shared__ __align__(16) unsigned char gpu_dynamic_bytes[]; \
  type *name = (type *)(void *)gpu_dynamic_bytes
#else
#define GPU_DYNAMIC_SHARED(type, name) type *name = (type *)simt::dynamic_shared
#endif

/* Addresses in argument structs are uint64_t. */
template <typename T>
GPU_FN T *gpu_at(uint64_t address) {
  return (T *)address;
}

GPU_FN uint32_t gpu_lane() { return threadIdx.x & (GPU_WARP - 1); }
GPU_FN uint32_t gpu_warp() { return threadIdx.x / GPU_WARP; }
#if defined(__CUDACC__) || defined(__HIPCC__)
GPU_FN void gpu_barrier() { __syncthreads(); }
#else /* which compilers copy, so it is known by its line */
GPU_FN void gpu_barrier(uint32_t line = __builtin_LINE()) { simt::barrier(line); }
#endif

/* 16 bytes at once; the address is a multiple of 16. */
typedef struct __attribute__((aligned(16))) gpu_u128 {
  uint32_t w[4];
} gpu_u128;
GPU_FN gpu_u128 gpu_load128(const void *p) { return *(const gpu_u128 *)p; }

/* ---- the warp: all its lanes take part in everything here ---- */

#if defined(__CUDACC__)
template <typename T>
GPU_FN T gpu_shfl_xor(T v, uint32_t mask) {
  return __shfl_xor_sync(0xffffffffu, v, (int)mask);
}
template <typename T>
GPU_FN T gpu_shfl(T v, uint32_t lane) {
  return __shfl_sync(0xffffffffu, v, (int)lane);
}
GPU_FN uint32_t gpu_ballot(bool p) { return __ballot_sync(0xffffffffu, p); }
/* Orders the warp's accesses to memory. */
GPU_FN void gpu_warp_sync() { __syncwarp(); }
GPU_FN uint32_t gpu_ones(uint32_t bits) { return (uint32_t)__popc(bits); }
#else
template <typename T>
GPU_FN T gpu_shfl_xor(T v, uint32_t mask) {
  return __shfl_xor(v, (int)mask, GPU_WARP);
}
template <typename T>
GPU_FN T gpu_shfl(T v, uint32_t lane) {
  return __shfl(v, (int)lane, GPU_WARP);
}
GPU_FN uint32_t gpu_ones(uint32_t bits) { return (uint32_t)__builtin_popcount(bits); }
GPU_FN uint32_t gpu_ballot(bool p) { return (uint32_t)(__ballot(p) >> (__lane_id() & GPU_WARP)); }
#if defined(__HIPCC__)
GPU_FN void gpu_warp_sync() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
  __builtin_amdgcn_wave_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}
#else
GPU_FN void gpu_warp_sync() { (void)gpu_shfl_xor(0u, 0u); }
#endif
#endif

/* ---- numbers ---- */

/* 2^23 + 2^22: an integer v below 2^22 in magnitude, added to its bits, makes the bits of 12582912 + v. */
#define SHIFTER_BITS 0x4b400000
#define SHIFTER 12582912.0f

/* 4 products of int8 added to c. */
GPU_FN int32_t gpu_dp4a(int32_t x, int32_t y, int32_t c) {
#if defined(__CUDACC__)
  return __dp4a(x, y, c);
#elif defined(__gfx90a__) || defined(__gfx1030__)
  return __builtin_amdgcn_sdot4(x, y, c, false);
#else
  for (int i = 0; i < 32; i += 8)
    c += (int8_t)(uint8_t)((uint32_t)x >> i) * (int8_t)(uint8_t)((uint32_t)y >> i);
  return c;
#endif
}

/* Byte i of the result: byte (selector >> 4 i & 7) of x (0..3) and y (4..7); bits 3 of the selector are 0. */
GPU_FN uint32_t gpu_pick_bytes(uint32_t x, uint32_t y, uint32_t selector) {
#if defined(__CUDACC__)
  return __byte_perm(x, y, selector);
#else
  const uint64_t both = (uint64_t)y << 32 | x;
  uint32_t r = 0;
  for (uint32_t i = 0; i < 4; i++) r |= ((uint32_t)(both >> (selector >> (4 * i) & 7) * 8) & 255u) << (8 * i);
  return r;
#endif
}

/* ---- faults (core/backend_abi.h, wh_fault) ---- */

struct gpu_fault {
  uint32_t node_plus_1, code;
  int64_t value;
};
#define GPU_FAULT_INDEX 1u

/* The first fault of the lowest node stays. Called by one thread of a launch at most: launches of a queue
 * follow each other. `fault` 0: nobody asks. */
GPU_FN void gpu_report(uint64_t fault, uint32_t node, uint32_t code, int64_t value) {
  gpu_fault *f = gpu_at<gpu_fault>(fault);
  if (!f || (f->node_plus_1 && f->node_plus_1 <= node + 1)) return;
  f->code = code;
  f->value = value;
  f->node_plus_1 = node + 1;
}

/* The least of all threads' values, for all of them; every thread of a block of whole warps takes part.
 * `room` has a word per warp of shared memory. So one block finds the first bad index in order: each thread
 * looks at every blockDim.x-th and gives the least place it found, thread 0 reports. */
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
#if defined(__CUDACC__)
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(bits));
  return y;
#else
  _Float16 h;
  memcpy(&h, &bits, sizeof h);
  return (float)h;
#endif
}
GPU_FN uint16_t gpu_f32_to_f16(float x) {
  uint16_t y;
#if defined(__CUDACC__)
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
#else
  const _Float16 h = (_Float16)x;
  memcpy(&y, &h, sizeof y);
#endif
  return y;
}

/* (x & mask) ^ bits. One instruction, which is asked for: the assembler makes two of constants. */
GPU_FN uint32_t gpu_masked_xor(uint32_t x, uint32_t mask, uint32_t bits) {
#if defined(__CUDACC__)
  uint32_t r;
  asm("lop3.b32 %0, %1, %2, %3, 0x6a;" : "=r"(r) : "r"(x), "r"(mask), "r"(bits));
  return r;
#else
  return (x & mask) ^ bits;
#endif
}

/* Two fp16 in a register, each rounded once. */
GPU_FN uint32_t gpu_fma_f16x2(uint32_t x, uint32_t y, uint32_t z) {
  uint32_t r;
#if defined(__CUDACC__)
  asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(x), "r"(y), "r"(z));
#else
  _Float16 u[2], v[2], w[2];
  memcpy(u, &x, 4), memcpy(v, &y, 4), memcpy(w, &z, 4);
  for (int i = 0; i < 2; i++) w[i] = (_Float16)((float)u[i] * (float)v[i] + (float)w[i]); /* exact before */
  memcpy(&r, w, 4);
#endif
  return r;
}
GPU_FN uint32_t gpu_add_f16x2(uint32_t x, uint32_t y) {
#if defined(__CUDACC__)
  uint32_t r;
  asm("add.f16x2 %0, %1, %2;" : "=r"(r) : "r"(x), "r"(y));
  return r;
#else
  return gpu_fma_f16x2(x, 0x3c003c00u /* 1 */, y);
#endif
}
/* Bytes h and h + 2 of a register, of int8, as fp16. */
GPU_FN uint32_t gpu_f16x2_of_bytes(uint32_t v, uint32_t h) { /* 0x6400: 1024 */
  return gpu_add_f16x2(gpu_masked_xor(v >> (8 * h), 0x00ff00ffu, 0x64806480u), 0xe480e480u /* -1152 */);
}

/* Adds to a counter in shared memory, or in the device's; what it was. */
GPU_FN uint32_t gpu_count(uint32_t *at, uint32_t v) { return atomicAdd(at, v); }
/* *at becomes the greater of itself and v, whatever the order of those that come. */
GPU_FN void gpu_raise(uint32_t *at, uint32_t v) { (void)atomicMax(at, v); }

/* ---- copies to shared memory that go on while the block computes: 16 bytes, both addresses multiples of 16
 * ---- */

#if defined(__CUDACC__)
GPU_FN uint32_t gpu_shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
/* The same for 4 or 8 bytes. */
template <int N>
GPU_FN void gpu_copy_async(void *to_shared, const void *from) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(gpu_shared_address(to_shared)), "l"(from),
               "n"(N)
               : "memory");
}
GPU_FN void gpu_copy_async16(void *to_shared, const void *from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(gpu_shared_address(to_shared)), "l"(from)
               : "memory");
}
/* Ends a group of copies; gpu_copy_wait<n>: all groups but the last n are there, for this thread. */
GPU_FN void gpu_copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
GPU_FN void gpu_copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
#else
template <int N>
GPU_FN void gpu_copy_async(void *to_shared, const void *from) {
  memcpy(to_shared, from, N);
}
GPU_FN void gpu_copy_async16(void *to_shared, const void *from) {
  *(gpu_u128 *)to_shared = *(const gpu_u128 *)from;
}
GPU_FN void gpu_copy_commit() {}
template <int N>
GPU_FN void gpu_copy_wait() {}
#endif

/* ---- matrix units ----
 * Fragments as PTX has them: g = lane / 4, t = lane % 4. */

/* Four 8 x 8 matrices of 16-bit elements from shared memory: lane l gives the address of row l % 8 of matrix
 * l / 8, and gets of matrix m in r[m] the elements 2 t, 2 t + 1 of row g. */
GPU_FN void gpu_load_matrices(uint32_t r[4], const void *row) {
#if defined(__CUDACC__)
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(gpu_shared_address(row))
               : "memory");
#else
  const uint64_t at = (uint64_t)row;
  for (uint32_t m = 0; m < 4; m++) {
    const uint32_t *p = (const uint32_t *)gpu_shfl(at, 8 * m + gpu_lane() / 4);
    r[m] = p[gpu_lane() % 4];
  }
  gpu_warp_sync();
#endif
}

/* c += a b of int8, m16n8k32, exact in int32. a[r] holds row g + 8 (r % 2), k = 4 t + 16 (r / 2) ..+3; b[r]
 * column g, k = 4 t + 16 r ..+3; c[r] row g + 8 (r / 2), column 2 t + r % 2. */
GPU_FN void gpu_mma_s8(int32_t c[4], const uint32_t x[4], const uint32_t y[2]) {
#if defined(__CUDACC__)
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]), "r"(y[0]), "r"(y[1]));
#else /* the same sums from what the lanes hold */
  const uint32_t row = gpu_lane() & ~3u, column = gpu_lane() % 4 * 8;
  for (uint32_t s = 0; s < 4; s++) {
    uint32_t xs[4], y0[2], y1[2];
    for (uint32_t r = 0; r < 4; r++) xs[r] = gpu_shfl(x[r], row + s);
    for (uint32_t r = 0; r < 2; r++) {
      y0[r] = gpu_shfl(y[r], column + s);
      y1[r] = gpu_shfl(y[r], column + 4 + s);
    }
    for (uint32_t r = 0; r < 2; r++) {
      c[0] = gpu_dp4a((int32_t)xs[2 * r], (int32_t)y0[r], c[0]);
      c[1] = gpu_dp4a((int32_t)xs[2 * r], (int32_t)y1[r], c[1]);
      c[2] = gpu_dp4a((int32_t)xs[2 * r + 1], (int32_t)y0[r], c[2]);
      c[3] = gpu_dp4a((int32_t)xs[2 * r + 1], (int32_t)y1[r], c[3]);
    }
  }
#endif
}

#endif
