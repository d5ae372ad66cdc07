// hopper.cu - products of a warpgroup as sm_90a has them, right and with planted bugs: y = a b', 64 x 16, codes from a ring
// that bulk copies fill, or from shared memory that threads have written.
#include <stdint.h>

#define STAGE 512 // bytes of 16 tokens by 16 k: [half of k][2][8 tokens][16 bytes]

enum bug { RIGHT, NO_WGMMA_WAIT, NO_WGMMA_FENCE, EARLY_RELEASE, NO_FULL_WAIT, NO_EXPECT, NO_WARP_SYNC, NO_PROXY_FENCE, LONE_WARP };

__device__ __forceinline__ uint32_t shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void init(uint64_t *bar, uint32_t n) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(bar)), "r"(n) : "memory");
}
__device__ __forceinline__ void arrive(uint64_t *bar) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(bar)) : "memory");
}
__device__ __forceinline__ void expect(uint64_t *bar, uint32_t n) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(bar)), "r"(n) : "memory");
}
__device__ __forceinline__ void wait(uint64_t *bar, uint32_t parity) {
  uint32_t over;
  do
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                 : "=r"(over)
                 : "r"(shared_address(bar)), "r"(parity)
                 : "memory");
  while (!over);
}
__device__ __forceinline__ void bulk_copy(void *to, const void *from, uint32_t n, uint64_t *bar) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(to)),
               "l"(from), "r"(n), "r"(shared_address(bar))
               : "memory");
}
__device__ __forceinline__ void fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void wait_products() { asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory"); }
__device__ __forceinline__ void fence_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
// No swizzle: 256 bytes between halves of k, 128 between groups of 8 rows.
__device__ __forceinline__ uint64_t matrix(const void *p, uint32_t leading) {
  return (uint64_t)(shared_address(p) >> 4 & 0x3fff) | (uint64_t)(leading >> 4) << 16 | (uint64_t)(128 >> 4) << 32;
}

#define D(c) "+" c(d[0]), "+" c(d[1]), "+" c(d[2]), "+" c(d[3]), "+" c(d[4]), "+" c(d[5]), "+" c(d[6]), "+" c(d[7])
#define HEAD(shape) "{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\nwgmma.mma_async.sync.aligned." shape " {%0,%1,%2,%3,%4,%5,%6,%7}, "

__device__ __forceinline__ void product(float (&d)[8], const uint32_t a[4], uint64_t b) {
  asm volatile(HEAD("m64n16k16.f32.f16.f16") "{%8,%9,%10,%11}, %12, p, 1, 1, 0;\n}"
               : D("f")
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}
__device__ __forceinline__ void product(float (&d)[8], uint64_t a, uint64_t b) {
  asm volatile(HEAD("m64n16k16.f32.f16.f16") "%8, %9, p, 1, 1, 0, 0;\n}" : D("f") : "l"(a), "l"(b));
}
__device__ __forceinline__ void product(int32_t (&d)[8], uint64_t a, uint64_t b) {
  asm volatile(HEAD("m64n16k32.s32.s8.s8") "%8, %9, p;\n}" : D("r") : "l"(a), "l"(b));
}

// Results are used after the wait only.
__device__ __forceinline__ void pin(float (&d)[8]) { asm volatile("" : D("f")::"memory"); }
__device__ __forceinline__ void pin(int32_t (&d)[8]) { asm volatile("" : D("r")::"memory"); }

template <typename T>
__device__ __forceinline__ void store(T *y, const T (&d)[8]) {
  const uint32_t lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane / 4;
  for (int i = 0; i < 8; i++) y[(row + 8 * (i / 2 % 2)) * 16 + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
}

// A warpgroup computes, a fifth warp fetches.
template <bug BUG>
__device__ __forceinline__ void ring(float *y, const uint32_t *a, const uint8_t *b, int steps) {
  __shared__ __align__(128) uint8_t stage[2][STAGE];
  __shared__ uint64_t full[2], empty[2];
  const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; i++) init(&full[i], 1), init(&empty[i], 4);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    fence_proxy();
  }
  __syncthreads();
  if (warp == 4) {
    if (lane == 0)
      for (int s = 0; s < steps; s++) {
        wait(&empty[s % 2], (s / 2 & 1) ^ 1);
        if (BUG != NO_EXPECT) expect(&full[s % 2], STAGE);
        bulk_copy(stage[s % 2], b + s * STAGE, STAGE, &full[s % 2]);
      }
    __syncwarp();
    return;
  }
  float d[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  const uint32_t *mine = a + (warp * 16 + lane / 4) * steps * 8 + lane % 4;
#pragma unroll 1
  for (int s = 0; s < steps; s++) {
    if (BUG != NO_FULL_WAIT) wait(&full[s % 2], s / 2 & 1);
    uint32_t x[4];
    for (int r = 0; r < 4; r++) x[r] = mine[r % 2 * 8 * steps * 8 + s * 8 + r / 2 * 4];
    if (BUG != NO_WGMMA_FENCE) fence();
    if (BUG != LONE_WARP || warp != 2) product(d, x, matrix(stage[s % 2], 256));
    commit();
    if (BUG == EARLY_RELEASE && lane == 0) arrive(&empty[s % 2]);
    if (BUG == NO_WGMMA_WAIT && s + 1 == steps) store(y, d);
    wait_products();
    pin(d);
    __syncwarp();
    if (BUG != EARLY_RELEASE && lane == 0) arrive(&empty[s % 2]);
  }
  if (BUG != NO_WGMMA_WAIT) store(y, d);
}
#define RING(name, bug) \
  extern "C" __global__ void name(float *y, const uint32_t *a, const uint8_t *b, int steps) { ring<bug>(y, a, b, steps); }
RING(hopper_ring, RIGHT)
RING(no_wgmma_wait, NO_WGMMA_WAIT)
RING(no_wgmma_fence, NO_WGMMA_FENCE)
RING(early_release, EARLY_RELEASE)
RING(no_full_wait, NO_FULL_WAIT)
RING(no_expect, NO_EXPECT)
RING(lone_warp, LONE_WARP)

// Both operands from shared memory, where threads put them: a is 64 rows and b 16 of 32 bytes, in the same order.
template <typename T, bug BUG>
__device__ __forceinline__ void from_shared(T *y, const uint4 *a, const uint4 *b) {
  __shared__ __align__(128) uint4 left[128], right[32];
  left[threadIdx.x] = a[threadIdx.x];
  if (threadIdx.x < 32) right[threadIdx.x] = b[threadIdx.x];
  if (BUG != NO_PROXY_FENCE) fence_proxy();
  __syncthreads();
  T d[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  fence();
  product(d, matrix(left, 1024), matrix(right, 256));
  commit();
  wait_products();
  pin(d);
  store(y, d);
}
extern "C" __global__ void hopper_shared_f16(float *y, const uint4 *a, const uint4 *b) { from_shared<float, RIGHT>(y, a, b); }
extern "C" __global__ void hopper_shared_s8(int32_t *y, const uint4 *a, const uint4 *b) { from_shared<int32_t, RIGHT>(y, a, b); }
extern "C" __global__ void no_proxy_fence(float *y, const uint4 *a, const uint4 *b) { from_shared<float, NO_PROXY_FENCE>(y, a, b); }

// What lanes wrote is read by another warp after one lane's arrival, which the others' writes are not ordered before.
template <bug BUG>
__device__ __forceinline__ void hand_over(float *y) {
  __shared__ float box[32];
  __shared__ uint64_t bar;
  if (threadIdx.x == 0) init(&bar, 1);
  __syncthreads();
  if (threadIdx.x < 32) {
    box[threadIdx.x] = threadIdx.x;
    if (BUG != NO_WARP_SYNC) __syncwarp();
    if (threadIdx.x == 0) arrive(&bar);
  } else {
    wait(&bar, 0);
    y[threadIdx.x - 32] = *(volatile float *)&box[threadIdx.x - 32];
  }
}
extern "C" __global__ void hopper_hand_over(float *y) { hand_over<RIGHT>(y); }
extern "C" __global__ void no_warp_sync(float *y) { hand_over<NO_WARP_SYNC>(y); }
