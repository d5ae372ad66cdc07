// kernels.cu - small kernels whose PTX the emulator's tests run. regenerate.sh compiles them.
#include <cstdint>

extern "C" __global__ void vector_add(float *y, const float *a, const float *b, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a[i] + b[i];
}

// One block per row: lane sums by shuffles, warps by shared memory.
extern "C" __global__ void rms_norm(float *y, const float *x, const float *w, int n, float eps) {
  __shared__ float sums[32];
  const float *row = x + (size_t)blockIdx.x * n;
  float s = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) s = fmaf(row[i], row[i], s);
  for (int d = 16; d; d >>= 1) s += __shfl_xor_sync(0xffffffffu, s, d);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = s;
  __syncthreads();
  s = 0;
  for (int i = 0; i < blockDim.x / 32; i++) s += sums[i];
  float scale = 1.0f / sqrtf(s / n + eps);
  for (int i = threadIdx.x; i < n; i += blockDim.x) y[(size_t)blockIdx.x * n + i] = row[i] * scale * w[i];
}

// A warp per row of 32-value blocks: y[row] = sum of scale * dot over blocks.
extern "C" __global__ void gemv_q8(float *y, const int *codes, const float *scales, const int *x, const float *xs,
                                   int k) {
  int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32, blocks = k / 32;
  const int4 *w = (const int4 *)(codes + (size_t)row * (k / 4));
  const int4 *v = (const int4 *)x;
  float s = 0;
  for (int b = lane; b < blocks; b += 32) {
    int dot = 0;
    for (int h = 0; h < 2; h++) {
      int4 p = w[2 * b + h], q = v[2 * b + h];
      dot = __dp4a(p.x, q.x, dot);
      dot = __dp4a(p.y, q.y, dot);
      dot = __dp4a(p.z, q.z, dot);
      dot = __dp4a(p.w, q.w, dot);
    }
    s = fmaf(scales[row * blocks + b] * xs[b], (float)dot, s);
  }
  for (int d = 16; d; d >>= 1) s += __shfl_xor_sync(0xffffffffu, s, d);
  if (lane == 0) y[row] = s;
}

// One warp: C[16][8] = A[16][k] * B[8][k]', 8-bit.
extern "C" __global__ void mma_s8(int *c, const int *a, const int *b, int k) {
  int g = threadIdx.x / 4, t = threadIdx.x % 4, kw = k / 4;
  int d0 = 0, d1 = 0, d2 = 0, d3 = 0;
  for (int i = 0; i < kw; i += 8) {
    int a0 = a[g * kw + i + t], a1 = a[(g + 8) * kw + i + t], a2 = a[g * kw + i + 4 + t], a3 = a[(g + 8) * kw + i + 4 + t];
    int b0 = b[g * kw + i + t], b1 = b[g * kw + i + 4 + t];
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
                 : "+r"(d0), "+r"(d1), "+r"(d2), "+r"(d3)
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  }
  c[g * 8 + 2 * t] = d0;
  c[g * 8 + 2 * t + 1] = d1;
  c[(g + 8) * 8 + 2 * t] = d2;
  c[(g + 8) * 8 + 2 * t + 1] = d3;
}

// One warp: C[16][8] = A[16][k] * B[k][8] in f16 with two stages of cp.async; ldmatrix, the second transposed.
extern "C" __global__ void pipeline_f16(float *c, const uint16_t *a, const uint16_t *b, int k) {
  __shared__ __align__(16) uint16_t sa[2][16][16];
  __shared__ __align__(16) uint16_t sb[2][16][8];
  int lane = threadIdx.x, steps = k / 16;
  float d0 = 0, d1 = 0, d2 = 0, d3 = 0;
  auto fetch = [&](int s, int stage) {
    unsigned to = (unsigned)__cvta_generic_to_shared(&sa[stage][lane / 2][lane % 2 * 8]);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(a + (lane / 2) * k + s * 16 + lane % 2 * 8));
    if (lane < 16) {
      to = (unsigned)__cvta_generic_to_shared(&sb[stage][lane][0]);
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(b + (s * 16 + lane) * 8));
    }
  };
  fetch(0, 0);
  asm volatile("cp.async.commit_group;");
  for (int s = 0; s < steps; s++) {
    if (s + 1 < steps) fetch(s + 1, (s + 1) & 1);
    asm volatile("cp.async.commit_group;");
    asm volatile("cp.async.wait_group 1;");
    __syncthreads();
    unsigned pa = (unsigned)__cvta_generic_to_shared(&sa[s & 1][lane % 16][lane / 16 * 8]);
    unsigned pb = (unsigned)__cvta_generic_to_shared(&sb[s & 1][lane % 16][0]);
    unsigned a0, a1, a2, a3, b0, b1;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(a0), "=r"(a1), "=r"(a2), "=r"(a3) : "r"(pa));
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];" : "=r"(b0), "=r"(b1) : "r"(pb));
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
                 : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3)
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
    __syncthreads();
  }
  int g = lane / 4, t = lane % 4;
  c[g * 8 + 2 * t] = d0;
  c[g * 8 + 2 * t + 1] = d1;
  c[(g + 8) * 8 + 2 * t] = d2;
  c[(g + 8) * 8 + 2 * t + 1] = d3;
}

// A histogram by atomics in shared and global memory, votes and integer reductions.
extern "C" __global__ void histogram(unsigned *counts, unsigned *largest, unsigned *odd, const uint8_t *x, int n) {
  __shared__ unsigned local[16];
  if (threadIdx.x < 16) local[threadIdx.x] = 0;
  __syncthreads();
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned v = i < n ? x[i] : 0;
  if (i < n) atomicAdd(&local[v % 16], 1);
  unsigned top = __reduce_max_sync(0xffffffffu, v), ballot = __ballot_sync(0xffffffffu, v & 1);
  if (threadIdx.x % 32 == 0) {
    atomicMax(largest, top);
    atomicAdd(odd, __popc(ballot));
  }
  __syncthreads();
  if (threadIdx.x < 16) atomicAdd(&counts[threadIdx.x], local[threadIdx.x]);
}

// Calls, private arrays, and branches that lanes leave at different times.
__device__ __noinline__ int collatz(int v) {
  int steps = 0;
  while (v != 1) {
    v = v % 2 ? 3 * v + 1 : v / 2;
    steps++;
  }
  return steps;
}

extern "C" __global__ void divergent(int *y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, ring[8];
  for (int j = 0; j < 8; j++) ring[j] = j * i;
  for (int j = 0; j < i % 5; j++) ring[(j + i) % 8] += collatz(i + 1 + j);
  int s = 0;
  for (int j = 0; j < 8; j++) s += ring[(i * 3 + j) % 8];
  if (i < n) y[i] = s + collatz(i + 1);
}

// Named barriers: the second warp produces, the first consumes.
extern "C" __global__ void handover(int *y, int rounds) {
  __shared__ int box[32];
  int lane = threadIdx.x % 32, s = 0;
  for (int r = 0; r < rounds; r++) {
    if (threadIdx.x >= 32) {
      box[lane] = r * 32 + lane;
      asm volatile("bar.arrive 1, 64;" ::: "memory");
      asm volatile("bar.sync 2, 64;" ::: "memory");
    } else {
      asm volatile("bar.sync 1, 64;" ::: "memory");
      s += box[31 - lane];
      asm volatile("bar.arrive 2, 64;" ::: "memory");
    }
  }
  if (threadIdx.x < 32) y[lane] = s;
}

// Every warp reads what all of them wrote, and then it is written again: two stages, two barriers a turn.
extern "C" __global__ void rotate(int *y, int turns) {
  __shared__ int s[2][128];
  int sum = 0;
  s[0][threadIdx.x] = threadIdx.x;
  for (int t = 0; t < turns; t++) {
    s[(t + 1) & 1][threadIdx.x] = (t + 1) * 1000 + threadIdx.x;
    __syncthreads();
    for (int k = 0; k < 4; k++) sum += s[t & 1][(threadIdx.x + 32 * k + t) % 128];
    __syncwarp();
    sum += s[t & 1][threadIdx.x];
    __syncthreads();
  }
  y[threadIdx.x] = sum;
}
