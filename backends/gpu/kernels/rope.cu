// rope.cu - rope_table and rope (docs/NUMERICS.md).
#include "backends/gpu/kernels/gpu.h"
#include "backends/gpu/kernels/lm_args.h"

GPU_KERNEL_FN(rope_table, gpu_rope_table_args) {
  const uint32_t j = blockIdx.y * blockDim.x + threadIdx.x, row = blockIdx.x;
  if (j >= a.n) return;
  float s, c;
  wh_sincos_f32((float)gpu_at<const int32_t>(a.positions)[row] *
                    gpu_at<const float>(a.frequencies)[(uint64_t)row * a.stride + j],
                &s, &c);
  float *y = gpu_at<float>(a.y) + (uint64_t)row * 2 * a.n;
  y[j] = c * a.mscale;
  y[a.n + j] = s * a.mscale;
}

/* A head is n pairs, and the dim - 2 n elements that pass through. */
GPU_KERNEL_FN(rope, gpu_rope_args) {
  const uint32_t i = blockIdx.y * blockDim.x + threadIdx.x, per_head = a.dim - a.n;
  const uint32_t head = i / per_head, j = i % per_head;
  if (head >= a.heads) return;
  const uint64_t at = ((uint64_t)blockIdx.x * a.heads + head) * a.dim;
  const float *x = gpu_at<const float>(a.x) + at;
  float *y = gpu_at<float>(a.y) + at;
  if (j >= a.n) {
    y[a.n + j] = x[a.n + j];
    return;
  }
  const float *table = gpu_at<const float>(a.table) + (uint64_t)blockIdx.x * 2 * a.n;
  const uint32_t p0 = a.neox ? j : 2 * j, p1 = a.neox ? j + a.n : 2 * j + 1;
  const float x0 = x[p0], x1 = x[p1], c = table[j], s = table[a.n + j];
  y[p0] = fmaf(x0, c, -(x1 * s));
  y[p1] = fmaf(x0, s, x1 * c);
}
