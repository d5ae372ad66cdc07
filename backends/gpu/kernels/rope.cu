// rope.cu - rope_table (docs/NUMERICS.md).
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
