// map_long.cu - elementwise ops on f32 whose elements are sequences of operations (core/base/exact_math.h), and the rests
// of division of f32 and f64. A thread has one element: arithmetic bounds these.
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/map_args.h"

GPU_FN float map_long(const gpu_map_args &a, float x) {
  switch (a.map) {
    case GPU_MAP_SOFTCAP:
      return wh_tanh_f32(x / a.alpha) * a.alpha;
    case GPU_MAP_SILU:
      return wh_silu_f32(x);
    case GPU_MAP_GELU:
      return wh_gelu_tanh_f32(x);
    case GPU_MAP_GELU_ERF:
      return wh_gelu_erf_f32(x);
    case GPU_MAP_EXP:
      return wh_exp_f32(x);
    case GPU_MAP_TANH:
      return wh_tanh_f32(x);
    case GPU_MAP_SIGMOID:
      return wh_sigmoid_f32(x);
    default:
      return wh_erf_f32(x);
  }
}
GPU_KERNEL_FN(map_long_f32, gpu_map_args) {
  const int64_t i = gpu_thread();
  if (i < a.n) gpu_at<float>(a.out)[i] = map_long(a, gpu_at<const float>(a.in[0])[i]);
}

GPU_KERNEL_FN(map_mod_f32, gpu_map_args) {
  const int64_t i = gpu_thread();
  int64_t offset[2];
  if (i >= a.n) return;
  gpu_walk_at<2>(a.walk, (uint64_t)i, offset);
  const float x = gpu_at<const float>(a.in[0])[offset[0]], z = gpu_at<const float>(a.in[1])[offset[1]];
  const float r = fmodf(x, z);
  gpu_at<float>(a.out)[i] = a.map == GPU_MAP_REM ? r : wh_mod_of_f32(r, z);
}
GPU_KERNEL_FN(map_mod_f64, gpu_map_args) {
  const int64_t i = gpu_thread();
  int64_t offset[2];
  if (i >= a.n) return;
  gpu_walk_at<2>(a.walk, (uint64_t)i, offset);
  const double x = gpu_at<const double>(a.in[0])[offset[0]], z = gpu_at<const double>(a.in[1])[offset[1]];
  const double r = fmod(x, z);
  gpu_at<double>(a.out)[i] = a.map == GPU_MAP_REM ? r : wh_mod_of_f64(r, z);
}
