// experts.cu - which experts a token has, with what weights, and their sum (docs/NUMERICS.md, "mixture of experts").
#include "backends/gpu/kernels/gpu.h"
#include "backends/gpu/kernels/lm_args.h"

/* A score as it is compared, and its index; highest first, of equal scores the lower index. */
struct choice {
  float score;
  uint32_t index;
};
GPU_FN bool before(const choice &x, const choice &y) {
  return x.score > y.score || (x.score == y.score && x.index < y.index);
}

/* A warp per row: in each round the first of those behind the last round's. */
GPU_KERNEL_FN(expert_select, gpu_expert_select_args) {
  const uint32_t row = blockIdx.x * (blockDim.x / GPU_WARP) + gpu_warp();
  if (row >= a.rows) return;
  const float *scores = gpu_at<const float>(a.scores) + (uint64_t)row * a.n;
  int32_t *selected = gpu_at<int32_t>(a.selected) + (uint64_t)row * a.used;
  choice last = {INFINITY, 0};
  for (uint32_t k = 0; k < a.used; k++) {
    choice best = {-INFINITY, a.n};
    for (uint32_t j = gpu_lane(); j < a.n; j += GPU_WARP) {
      const float s = scores[j];
      const choice here = {s == s ? s : -INFINITY, j}; /* nothing is below a NaN */
      if ((k == 0 || before(last, here)) && before(here, best)) best = here;
    }
    for (uint32_t m = GPU_WARP / 2; m; m /= 2) {
      const choice other = {gpu_shfl_xor(best.score, m), gpu_shfl_xor(best.index, m)};
      if (before(other, best)) best = other;
    }
    if (gpu_lane() == 0) selected[k] = (int32_t)best.index;
    last = best;
  }
}

/* A thread per row. */
GPU_KERNEL_FN(expert_weights, gpu_expert_weights_args) {
  const uint32_t row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= a.rows) return;
  const float *p = gpu_at<const float>(a.p) + (uint64_t)row * a.n;
  const int32_t *selected = gpu_at<const int32_t>(a.selected) + (uint64_t)row * a.used;
  float *y = gpu_at<float>(a.y) + (uint64_t)row * a.used, sum = p[selected[0]];
  for (uint32_t i = 1; i < a.used; i++) sum = sum + p[selected[i]];
  for (uint32_t i = 0; i < a.used; i++) {
    const float v = p[selected[i]];
    y[i] = (a.normalise ? v / sum : v) * a.scale;
  }
}

/* A thread per element of y. */
GPU_KERNEL_FN(expert_sum, gpu_expert_sum_args) {
  const uint32_t j = blockIdx.y * blockDim.x + threadIdx.x;
  if (j >= a.n) return;
  const uint64_t row = blockIdx.x;
  const float *x = gpu_at<const float>(a.x) + row * a.slots * a.n + j;
  const float *weights = gpu_at<const float>(a.weights) + row * a.slots;
  const float *residual = gpu_at<const float>(a.residual);
  float sum = weights[0] * x[0];
  for (uint32_t i = 1; i < a.slots; i++) sum = fmaf(weights[i], x[(uint64_t)i * a.n], sum);
  gpu_at<float>(a.y)[row * a.n + j] = residual ? residual[row * a.n + j] + sum : sum;
}
