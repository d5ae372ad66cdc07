/* simt.h - kernels as host code: the vocabulary of HIP that kernels/gpu.h builds on, over fibers.
 *
 * Every thread of a block is a fiber that runs until it waits: at a barrier of the block, or at a meeting of
 * its warp, where 32 lanes show each other a value. Blocks run one after another. A second executor beside
 * the PTX emulator: it sees the C++ that hipcc sees, not what nvcc made of it, it runs in a debugger and
 * under the host's sanitizers, and waves may have 64 lanes. It does not look for races; the emulator does. */
#ifndef WH_SIMT_H
#define WH_SIMT_H

#include <cmath>
#include <cstdint>
#include <cstring>

#define SIMT_WARP 32 /* lanes that meet */

namespace simt {

struct index {
  uint32_t x, y, z;
};

/* Of the running thread, and of what it runs in. */
extern index thread, block, block_size, grid_size;
extern void *dynamic_shared;
uint32_t linear_thread();

void barrier();

#define SIMT_SLOT 16 /* bytes that a lane can show */
/* Shows the warp's lanes `value`, and gives what they show; valid until the lane's next meeting but one.
 * Lanes that have ended show nothing. */
const uint8_t (*meet(const void *value, size_t n_bytes))[SIMT_SLOT];

template <typename T>
T from_lane(T value, uint32_t lane) {
  static_assert(sizeof(T) <= SIMT_SLOT, "more than a lane can show");
  const uint8_t(*shown)[SIMT_SLOT] = meet(&value, sizeof value);
  T v;
  memcpy(&v, shown[lane % SIMT_WARP], sizeof v);
  return v;
}

/* A kernel of the program: its name, and how it is called with a copy of its arguments. */
struct kernel {
  kernel(const char *name, void (*call)(const void *args), size_t arg_bytes);
  const char *name;
  void (*call)(const void *args);
  size_t arg_bytes;
  kernel *next;
};
const kernel *find(const char *name); /* NULL: there is none */

/* Runs all blocks. `seed` is an order of blocks and threads; 0: ascending. NULL when all ended, else one
 * sentence. */
const char *launch(const kernel *k, index grid, index size, size_t shared_bytes, uint64_t seed,
                   const void *args);

}  // namespace simt

/* ---- HIP's names ---- */
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define threadIdx (simt::thread)
#define blockIdx (simt::block)
#define blockDim (simt::block_size)
#define gridDim (simt::grid_size)

static inline void __syncthreads() { simt::barrier(); }
template <typename T>
static inline T __shfl_xor(T v, int mask, int) {
  return simt::from_lane(v, (simt::linear_thread() ^ (uint32_t)mask) % SIMT_WARP);
}
template <typename T>
static inline T __shfl(T v, int lane, int) {
  return simt::from_lane(v, (uint32_t)lane);
}

struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) int4 {
  int32_t x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};

/* Fibers give way only where they wait, so a plain operation is atomic. */
template <typename T>
static inline T atomicMin(T *at, T v) {
  const T old = *at;
  if (v < old) *at = v;
  return old;
}
template <typename T>
static inline T atomicMax(T *at, T v) {
  const T old = *at;
  if (v > old) *at = v;
  return old;
}
template <typename T>
static inline T atomicAdd(T *at, T v) {
  const T old = *at;
  *at = old + v;
  return old;
}
template <typename T>
static inline T atomicCAS(T *at, T expected, T v) {
  const T old = *at;
  if (old == expected) *at = v;
  return old;
}

#endif
