// norm.cu - rms_norm, layer_norm, softmax (docs/NUMERICS.md), and rms_norm that ends in quantize_act. A block per
// row: all threads bring the row, one warp takes the sums, whose 64 lanes are the definition's, all threads write.
#include "backends/gpu/kernels/lm_args.h"
#include "backends/gpu/kernels/rows.h"

/* The block's row: in shared memory where it has room there, else where it is. It is read N floats at a time, of which it
 * has a multiple. */
template <int N>
GPU_FN const float *bring_row(const gpu_norm_args &a, float *room) {
  struct alignas(4 * N) piece {
    float v[N];
  };
  const float *x = gpu_at<const float>(a.x) + (uint64_t)blockIdx.x * a.n;
  if (!a.staged) return x;
  for (uint32_t j = threadIdx.x; j < a.n / N; j += blockDim.x) ((piece *)(void *)room)[j] = ((const piece *)(const void *)x)[j];
  gpu_barrier();
  return room;
}

/* `of_first_warp` is what the first warp of the block makes, for all its threads. */
template <typename F>
GPU_FN float for_all(float *room, F of_first_warp) {
  if (gpu_warp() == 0) {
    const float v = of_first_warp();
    if (gpu_lane() == 0) *room = v;
  }
  gpu_barrier();
  const float v = *room;
  gpu_barrier();
  return v;
}

GPU_FN float rms_factor(const float *x, uint32_t n, float eps, float *room) {
  return for_all(room, [&] {
    const float ss = gpu_sum64(n, [&](float lane, uint64_t j) { return fmaf(x[j], x[j], lane); });
    return 1.0f / sqrtf(ss / (float)n + eps);
  });
}

GPU_KERNEL_FN(rms_norm, gpu_norm_args) {
  GPU_DYNAMIC_SHARED(float, staged);
  __shared__ float room;
  const float *x = bring_row<1>(a, staged), *w = gpu_at<const float>(a.w);
  float *y = gpu_at<float>(a.y) + (uint64_t)blockIdx.x * a.n;
  const float r = rms_factor(x, a.n, a.eps, &room);
  for (uint32_t j = threadIdx.x; j < a.n; j += blockDim.x) y[j] = w ? (x[j] * r) * w[j] : x[j] * r;
}

GPU_KERNEL_FN(rms_norm_q8a, gpu_norm_args) {
  GPU_DYNAMIC_SHARED(float, staged);
  __shared__ float room;
  const float *x = bring_row<4>(a, staged), *w = gpu_at<const float>(a.w);
  const float r = rms_factor(x, a.n, a.eps, &room);
  for (uint32_t group = gpu_warp(); group * GPU_Q8A_GROUP < a.n; group += blockDim.x / GPU_WARP) {
    const uint32_t at = group * GPU_Q8A_GROUP + gpu_lane() * 8, left = a.n - group * GPU_Q8A_GROUP;
    float v[8] = {0}, weight[8];
    if (at < a.n) { /* whole blocks of 32 */
      gpu_load_floats<8>(x + at, v);
      if (w) gpu_load_floats<8>(w + at, weight);
#pragma unroll
      for (int i = 0; i < 8; i++) v[i] = w ? (v[i] * r) * weight[i] : v[i] * r;
    }
    gpu_quantize_group(v, left, gpu_q8a_group_at(a.y, a.form, blockIdx.x, group));
  }
}

GPU_KERNEL_FN(layer_norm, gpu_norm_args) {
  GPU_DYNAMIC_SHARED(float, staged);
  __shared__ float room;
  const float *x = bring_row<1>(a, staged), *w = gpu_at<const float>(a.w), *b = gpu_at<const float>(a.b);
  float *y = gpu_at<float>(a.y) + (uint64_t)blockIdx.x * a.n;
  const float mean = for_all(&room, [&] {
    return gpu_sum64(a.n, [&](float lane, uint64_t j) { return lane + x[j]; }) / (float)a.n;
  });
  const float root = for_all(&room, [&] {
    const float ss = gpu_sum64(a.n, [&](float lane, uint64_t j) {
      const float d = x[j] - mean;
      return lane + d * d;
    });
    return sqrtf(ss / (float)a.n + a.eps);
  });
  for (uint32_t j = threadIdx.x; j < a.n; j += blockDim.x) {
    float v = (x[j] - mean) / root;
    if (w) v = v * w[j];
    y[j] = b ? v + b[j] : v;
  }
}

/* The largest is any order's; a NaN that the search does not see makes the sum NaN. */
GPU_KERNEL_FN(softmax, gpu_norm_args) {
  GPU_DYNAMIC_SHARED(float, staged);
  __shared__ float room, tops[32];
  const float *x = gpu_at<const float>(a.x) + (uint64_t)blockIdx.x * a.n;
  float *y = gpu_at<float>(a.y) + (uint64_t)blockIdx.x * a.n, *p = a.staged ? staged : y;
  float top = -INFINITY;
  for (uint32_t j = threadIdx.x; j < a.n; j += blockDim.x) top = x[j] > top ? x[j] : top;
  for (uint32_t m = GPU_WARP / 2; m; m /= 2) top = fmaxf(top, gpu_shfl_xor(top, m));
  if (gpu_lane() == 0) tops[gpu_warp()] = top;
  gpu_barrier();
  for (uint32_t i = 0; i < blockDim.x / GPU_WARP; i++) top = fmaxf(top, tops[i]);
  for (uint32_t j = threadIdx.x; j < a.n; j += blockDim.x) p[j] = wh_exp_f32(x[j] - top);
  gpu_barrier();
  const float sum = for_all(&room, [&] {
    return gpu_sum64(a.n, [&](float lane, uint64_t j) { return lane + p[j]; });
  });
  for (uint32_t j = threadIdx.x; j < a.n; j += blockDim.x) y[j] = p[j] / sum;
}
