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

/* What fmod gives, exactly: the rest of whole numbers, 11 bits of the quotient at a time. */
GPU_FN double rest_of(double x, double z) {
  const double ax = fabs(x), az = fabs(z);
  if (!(ax < (double)INFINITY) || !(az > 0.0)) return (double)NAN;
  if (ax < az) return x;
  int64_t ex = (int64_t)(wh_f64_bits(ax) >> 52), ez = (int64_t)(wh_f64_bits(az) >> 52);
  const uint64_t fraction = ((uint64_t)1 << 52) - 1, one = (uint64_t)1 << 52;
  uint64_t mx = wh_f64_bits(ax) & fraction, mz = wh_f64_bits(az) & fraction;
  if (ex) mx |= one;
  if (ez) mz |= one;
  ex = ex ? ex : 1; /* of numbers without a leading one */
  ez = ez ? ez : 1;
  uint64_t r = mx % mz;
  for (int64_t left = ex - ez; left > 0 && r; left -= 11) r = (r << (left < 11 ? left : 11)) % mz;
  /* r times 2^(ez - 1075), which is no smaller than the least number */
  const double y = (double)r * wh_exp2i_f64((ez < 53 ? 53 : ez) - 1075) * (ez < 53 ? wh_exp2i_f64(ez - 53) : 1.0);
  return signbit(x) ? -y : y;
}

GPU_FN void map_mod_place(const gpu_map_args &a, int64_t *offset) {
  gpu_walk_at<2>(a.walk, (uint64_t)gpu_thread(), offset);
}
GPU_KERNEL_FN(map_mod_f32, gpu_map_args) {
  int64_t offset[2];
  if (gpu_thread() >= a.n) return;
  map_mod_place(a, offset);
  const float x = gpu_at<const float>(a.in[0])[offset[0]], z = gpu_at<const float>(a.in[1])[offset[1]];
  const float r = (float)rest_of((double)x, (double)z);
  gpu_at<float>(a.out)[gpu_thread()] = a.map == GPU_MAP_REM ? r : wh_mod_of_f32(r, z);
}
GPU_KERNEL_FN(map_mod_f64, gpu_map_args) {
  int64_t offset[2];
  if (gpu_thread() >= a.n) return;
  map_mod_place(a, offset);
  const double x = gpu_at<const double>(a.in[0])[offset[0]], z = gpu_at<const double>(a.in[1])[offset[1]];
  const double r = rest_of(x, z);
  gpu_at<double>(a.out)[gpu_thread()] = a.map == GPU_MAP_REM ? r : wh_mod_of_f64(r, z);
}
