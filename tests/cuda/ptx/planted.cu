// planted.cu - kernels with one bug each. The emulator has to report every one; do not repair them.
#include <cstdint>

extern "C" __global__ void missing_barrier(float *y, const float *x) {
  __shared__ float s[64];
  s[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = s[63 - threadIdx.x];
}

// The array is written again while slow warps still read it.
extern "C" __global__ void missing_second_barrier(float *y, const float *x, int n) {
  __shared__ float s[64];
  float sum = 0;
  for (int i = 0; i < n; i++) {
    s[threadIdx.x] = x[i * 64 + threadIdx.x];
    __syncthreads();
    sum += s[63 - threadIdx.x];
  }
  y[threadIdx.x] = sum;
}

extern "C" __global__ void missing_warp_sync(float *y, const float *x) {
  __shared__ float s[32];
  volatile float *v = s;
  v[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = v[31 - threadIdx.x];
}

extern "C" __global__ void out_of_bounds(float *y, const float *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i <= n) y[i] = x[i % n];
}

extern "C" __global__ void out_of_shared(float *y, int at) {
  extern __shared__ float d[];
  d[threadIdx.x + at] = threadIdx.x;
  __syncthreads();
  y[threadIdx.x] = d[threadIdx.x];
}

extern "C" __global__ void missing_wait(float *y, const float *x) {
  __shared__ float s[32];
  unsigned to = (unsigned)__cvta_generic_to_shared(&s[threadIdx.x]);
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(x + threadIdx.x));
  asm volatile("cp.async.commit_group;");
  y[threadIdx.x] = *(volatile float *)&s[threadIdx.x];
}

// What one thread copied is read by another that has only waited for its own copies.
extern "C" __global__ void wait_without_barrier(float *y, const float *x) {
  __shared__ float s[64];
  unsigned to = (unsigned)__cvta_generic_to_shared(&s[threadIdx.x]);
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(x + threadIdx.x));
  asm volatile("cp.async.wait_all;" ::: "memory");
  y[threadIdx.x] = *(volatile float *)&s[63 - threadIdx.x];
}

// The consumer waits at a barrier that nobody arrives at.
extern "C" __global__ void wrong_pairing(int *y) {
  __shared__ int box[32];
  if (threadIdx.x >= 32) {
    box[threadIdx.x - 32] = threadIdx.x;
    asm volatile("bar.arrive 1, 64;" ::: "memory");
  } else {
    asm volatile("bar.sync 2, 64;" ::: "memory");
    y[threadIdx.x] = box[threadIdx.x];
  }
}

extern "C" __global__ void divergent_barrier(int *y) {
  if (threadIdx.x % 2) {
    y[threadIdx.x] = 1;
    asm volatile("bar.sync 0;" ::: "memory");
    y[threadIdx.x] += 1;
  } else {
    y[threadIdx.x] = 2;
    asm volatile("bar.sync 0;" ::: "memory");
    y[threadIdx.x] += 2;
  }
}

extern "C" __global__ void uninitialised_shared(float *y) {
  __shared__ float s[64];
  if (threadIdx.x < 63) s[threadIdx.x] = threadIdx.x;
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}

extern "C" __global__ void race_between_blocks(int *y) {
  if (threadIdx.x == 0) y[0] = y[0] + blockIdx.x;
}

extern "C" __global__ void misaligned(float4 *y, const char *x) { y[threadIdx.x] = *(const float4 *)(x + 4 + threadIdx.x * 16); }

extern "C" __global__ void shuffle_from_absent(int *y) {
  int v = threadIdx.x;
  if (threadIdx.x < 16) v = __shfl_sync(0x0000ffffu, v, 20, 32);
  y[threadIdx.x] = v;
}

extern "C" __global__ void sync_of_too_few(int *y) {
  if (threadIdx.x < 16) y[threadIdx.x] = __any_sync(0xffffffffu, threadIdx.x == 3);
}
