// exact_math.cu - the elementary functions of the numerics contract as device code: the host's header, the host's bits.
#include <math.h>
#include <stdint.h>
#include <string.h>
#define inline __device__ inline
#include "core/base/exact_math.h"
#undef inline

extern "C" __global__ void exact_math(float *y, const float *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float v = x[i], s, c;
  y[i] = wh_exp_f32(v);
  y[n + i] = wh_tanh_f32(v);
  y[2 * n + i] = wh_sigmoid_f32(v);
  y[3 * n + i] = wh_silu_f32(v);
  y[4 * n + i] = wh_gelu_tanh_f32(v);
  y[5 * n + i] = wh_erf_f32(v);
  y[6 * n + i] = wh_gelu_erf_f32(v);
  wh_sincos_f32(fabsf(v) < 4194304.0f ? v : 0.0f, &s, &c);
  y[7 * n + i] = s;
  y[8 * n + i] = c;
}

extern "C" __global__ void exact_math_f64(double *y, const double *x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  y[i] = wh_log_f64(fabs(x[i]));
  y[n + i] = wh_exp_f64(x[i]);
}
