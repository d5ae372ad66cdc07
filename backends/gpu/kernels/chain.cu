// chain.cu - several elementwise ops in one pass over memory: each step is its op, rounded as that is. A thread's values
// stand in a column of shared memory, as the steps say which they want.
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/map_args.h"

GPU_FN float step(uint32_t map, float x, float z) {
  switch (map) {
    case GPU_MAP_ADD:
      return x + z;
    case GPU_MAP_SUB:
      return x - z;
    case GPU_MAP_MUL:
      return x * z;
    case GPU_MAP_DIV:
      return x / z;
    case GPU_MAP_MIN:
      return wh_min_f32(x, z);
    case GPU_MAP_MAX:
      return wh_max_f32(x, z);
    case GPU_MAP_RELU:
      return x <= 0.0f ? 0.0f : x;
    case GPU_MAP_NEG:
      return -x;
    case GPU_MAP_ABS:
      return fabsf(x);
    case GPU_MAP_SIGN:
      return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x;
    case GPU_MAP_FLOOR:
      return floorf(x);
    case GPU_MAP_CEIL:
      return ceilf(x);
    case GPU_MAP_ROUND:
      return rintf(x);
    case GPU_MAP_ERF:
      return wh_erf_f32(x);
    case GPU_MAP_EXP:
      return wh_exp_f32(x);
    case GPU_MAP_TANH:
      return wh_tanh_f32(x);
    case GPU_MAP_SIGMOID:
      return wh_sigmoid_f32(x);
    case GPU_MAP_SILU:
      return wh_silu_f32(x);
    case GPU_MAP_GELU:
      return wh_gelu_tanh_f32(x);
    default:
      return wh_gelu_erf_f32(x);
  }
}

GPU_KERNEL_FN(chain, gpu_chain_args) {
  __shared__ float value[GPU_CHAIN_INPUTS + GPU_CHAIN_STEPS][GPU_MAP_THREADS];
  const uint32_t t = threadIdx.x;
  for (int j = 0; j < GPU_MAP_PER_THREAD; j++) {
    const int64_t i = ((int64_t)blockIdx.x * GPU_MAP_PER_THREAD + j) * blockDim.x + t;
    int64_t offset[GPU_CHAIN_INPUTS];
    if (i >= a.n) return;
    gpu_walk_at<GPU_CHAIN_INPUTS>(a.walk, (uint64_t)i, offset);
    GPU_UNROLL
    for (uint32_t o = 0; o < GPU_CHAIN_INPUTS; o++)
      if (o < a.n_inputs) value[o][t] = gpu_at<const float>(a.in[o])[offset[o]];
    float y = 0.0f;
    for (uint32_t s = 0; s < a.n_steps; s++) {
      y = step(a.steps[s].map, value[a.steps[s].in[0]][t], value[a.steps[s].in[1]][t]);
      value[a.n_inputs + s][t] = y;
    }
    gpu_at<float>(a.out)[i] = y;
  }
}
