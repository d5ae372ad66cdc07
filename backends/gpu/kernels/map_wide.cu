// map_wide.cu - the elementary functions that are sequences of binary64 operations (core/base/exact_math_wide.h), of
// f64, and of f32 with a rounding at the end; and powers.
#include "backends/gpu/kernels/map.h"

GPU_FN double wide(uint32_t map, double x) {
  switch (map) {
    case GPU_MAP_LOG:
      return wh_wide_log(x);
    case GPU_MAP_SIN:
      return wh_wide_sin(x);
    case GPU_MAP_COS:
      return wh_wide_cos(x);
    case GPU_MAP_TAN:
      return wh_wide_tan(x);
    case GPU_MAP_ASIN:
      return wh_wide_asin(x);
    case GPU_MAP_ACOS:
      return wh_wide_acos(x);
    case GPU_MAP_ATAN:
      return wh_wide_atan(x);
    case GPU_MAP_SINH:
      return wh_wide_sinh(x);
    case GPU_MAP_COSH:
      return wh_wide_cosh(x);
    case GPU_MAP_ASINH:
      return wh_wide_asinh(x);
    case GPU_MAP_ACOSH:
      return wh_wide_acosh(x);
    case GPU_MAP_ATANH:
      return wh_wide_atanh(x);
    case GPU_MAP_SOFTPLUS:
      return wh_wide_softplus(x);
    case GPU_MAP_EXP:
      return wh_wide_exp(x);
    case GPU_MAP_TANH:
      return wh_wide_tanh(x);
    case GPU_MAP_SIGMOID:
      return wh_wide_sigmoid(x);
    default:
      return wh_wide_erf(x);
  }
}

GPU_FN double load_float(uint32_t type, uint64_t address, int64_t i) {
  return type == GPU_F32 ? (double)gpu_at<const float>(address)[i] : gpu_at<const double>(address)[i];
}
GPU_FN void store_float(uint32_t type, uint64_t address, int64_t i, double y) {
  if (type == GPU_F32)
    gpu_at<float>(address)[i] = (float)y;
  else
    gpu_at<double>(address)[i] = y;
}

/* One element: these are bound by arithmetic. */
GPU_KERNEL_FN(map_wide, gpu_map_args) {
  const int64_t i = gpu_thread();
  if (i < a.n) store_float(a.type, a.out, i, wide(a.map, load_float(a.type, a.in[0], i)));
}

GPU_FN wh_exponent exponent_at(const gpu_map_args &a, int64_t i) {
  if (a.exponent >= GPU_F32) return wh_exponent_f64(load_float(a.exponent, a.in[1], i));
  const uint64_t u = gpu_load_integer(a.exponent, a.in[1], i);
  return gpu_is_unsigned(a.exponent) ? wh_exponent_u64(u) : wh_exponent_i64((int64_t)u);
}

GPU_KERNEL_FN(map_pow, gpu_map_args) {
  const int64_t i = gpu_thread();
  int64_t offset[2];
  if (i >= a.n) return;
  gpu_walk_at<2>(a.walk, (uint64_t)i, offset);
  const wh_exponent e = exponent_at(a, offset[1]);
  if (a.type >= GPU_F32) {
    store_float(a.type, a.out, i, wh_float_power(load_float(a.type, a.in[0], offset[0]), e.value));
    return;
  }
  const bool is_unsigned = gpu_is_unsigned(a.type);
  const uint64_t x = gpu_load_integer(a.type, a.in[0], offset[0]);
  uint64_t y;
  if (e.is_whole) {
    y = wh_whole_power(x, x == 1, !is_unsigned && x == ~(uint64_t)0, e.whole);
  } else {
    const double p = wh_wide_pow(is_unsigned ? (double)x : (double)(int64_t)x, e.value);
    y = is_unsigned ? wh_f64_to_u64(p, (uint64_t)gpu_most(a.type))
                    : (uint64_t)wh_f64_to_i64(p, gpu_least(a.type), gpu_most(a.type));
  }
  gpu_store_integer(a.type, a.out, i, y);
}
