/* simt.h - kernels as host code: the vocabulary of HIP that kernels/gpu.h builds on, over fibers.
 *
 * Every thread of a block is a fiber that runs until it waits: at a barrier of the block, or at a meeting of
 * its wave, where lanes show each other a value. Blocks run one after another. A second executor beside the
 * PTX emulator: it sees the C++ that hipcc sees, not what nvcc made of it, it runs in a debugger and under
 * the host's sanitizers. It does not look for races; the emulator does.
 *
 * A wave has 32 lanes (RDNA) or 64 (CDNA). Kernels know warps of 32; a wave of 64 has two of them, of which
 * hardware runs both when they are at one instruction, and else one after the other. So a meeting is of the
 * warps that stand at the same place of the program, and the others show nothing. What kernels may not do
 * there ends the launch: read a lane that shows nothing, or wait for the block at two places in one wave,
 * which is one wait to the hardware. */
#ifndef WH_SIMT_H
#define WH_SIMT_H

#include <cmath>
#include <cstdint>
#include <cstring>

#define SIMT_WARP 32 /* lanes that are always together */

namespace simt {

struct index {
  uint32_t x, y, z;
};

/* Of the running thread, and of what it runs in. */
extern index thread, block, block_size, grid_size;
extern void *dynamic_shared;
extern uint32_t wave; /* lanes of a wave: 32 or 64 */
uint32_t linear_thread();
inline uint32_t lane() { return linear_thread() % wave; }

/* `place` is the caller's own in the program. */
void barrier(uintptr_t place);

#define SIMT_SLOT 16 /* bytes that a lane can show */
#define SIMT_MOST_LANES 64

/* What the lanes of a wave showed each other; bit l: lane l took part. */
struct meeting {
  uint64_t lanes;
  uint8_t shown[SIMT_MOST_LANES][SIMT_SLOT];
};
/* Valid until the lane's next one. */
const meeting &meet(const void *value, size_t n_bytes);
/* Ends the launch: a lane read of one that shows nothing. */
void read_absent_lane();

template <typename T>
T from_lane(T value, uint32_t from) {
  static_assert(sizeof(T) <= SIMT_SLOT, "more than a lane can show");
  const meeting &m = meet(&value, sizeof value);
  T v;
  if (!(m.lanes >> from & 1)) read_absent_lane();
  memcpy(&v, m.shown[from], sizeof v);
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

/* Runs all blocks in waves of so many lanes. `seed` is an order of blocks and threads; 0: ascending. NULL
 * when all ended, else one sentence. */
const char *launch(const kernel *k, index grid, index size, size_t shared_bytes, uint32_t wave_lanes,
                   uint64_t seed, const void *args);

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

static inline uint32_t __lane_id() { return simt::lane(); }
/* Within `width` lanes: of another group the lane's own value. */
template <typename T>
static inline T __shfl_xor(T v, int mask, int width) {
  const uint32_t self = simt::lane(), from = self ^ (uint32_t)mask;
  return simt::from_lane(v, from / (uint32_t)width > self / (uint32_t)width ? self : from);
}
template <typename T>
static inline T __shfl(T v, int lane, int width) {
  const uint32_t first = simt::lane() / (uint32_t)width * (uint32_t)width;
  return simt::from_lane(v, first + (uint32_t)lane % (uint32_t)width);
}
static inline unsigned long long __ballot(int p) {
  const uint8_t mine = p != 0;
  const simt::meeting &m = simt::meet(&mine, 1);
  unsigned long long bits = 0;
  for (uint32_t l = 0; l < simt::wave; l++)
    bits |= (unsigned long long)(m.lanes >> l & m.shown[l][0] & 1) << l;
  return bits;
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
