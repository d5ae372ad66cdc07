// pool.cu - docs/NUMERICS.md, "Pools": a thread for each output, which walks its window's taps in order.
#include "backends/gpu/kernels/gpu.h"

#include "backends/gpu/kernels/nn_args.h"

/* The window of one output. */
typedef struct window {
  int64_t start[GPU_WINDOW_AXES];
  int64_t plane; /* of the input: its number */
} window;
GPU_FN window window_of(const gpu_pool_args &a, int64_t output) {
  window w;
  uint64_t plane = (uint64_t)output;
  uint64_t rest = (uint64_t)gpu_split(a.by_space_out, &plane);
  w.plane = (int64_t)plane;
  for (int i = GPU_WINDOW_AXES - 1; i >= 0; i--)
    w.start[i] = gpu_split(a.win.out[i], &rest) * a.win.stride[i] - a.win.pad[i];
  return w;
}

/* Calls f(element, place) for every tap inside the plane, in order; returns how many taps lie in it or its padding. */
template <typename F>
GPU_FN int64_t each_tap(const gpu_pool_args &a, const window &w, F f) {
  const gpu_window &g = a.win;
  int64_t p[GPU_WINDOW_AXES], padded = 0;
  for (int64_t i = 0; i < g.kernel[0].n; i++)
    for (int64_t j = 0; j < g.kernel[1].n; j++)
      for (int64_t k = 0; k < g.kernel[2].n; k++) {
        p[0] = w.start[0] + i * g.dilation[0];
        p[1] = w.start[1] + j * g.dilation[1];
        p[2] = w.start[2] + k * g.dilation[2];
        bool inside = true, in_padding = true;
        for (int d = 0; d < GPU_WINDOW_AXES; d++) {
          inside &= (uint64_t)p[d] < (uint64_t)g.in[d];
          in_padding &= p[d] < g.in[d] + g.pad_end[d];
        }
        padded += in_padding;
        if (inside) f((p[0] * g.in[1] + p[1]) * g.in[2] + p[2], p);
      }
  return padded;
}

/* Any of the types, exactly. */
GPU_FN double load_number(uint32_t type, uint64_t x, int64_t i) {
  if (type == GPU_F32) return (double)gpu_at<const float>(x)[i];
  if (type == GPU_F64) return gpu_at<const double>(x)[i];
  return (double)(int64_t)gpu_load_integer(type, x, i);
}
GPU_FN void store_number(uint32_t type, uint64_t y, int64_t i, double v) {
  if (type == GPU_F32)
    gpu_at<float>(y)[i] = (float)v;
  else if (type == GPU_F64)
    gpu_at<double>(y)[i] = v;
  else
    gpu_store_integer(type, y, i, (uint64_t)(int64_t)v);
}

/* IEEE 754-2019's maximum: a NaN is above all, +0 above -0. */
GPU_FN bool above(double v, double top) {
  return v > top || (v != v && top == top) || (v == top && signbit(top) && !signbit(v));
}

/* max_pool and max_pool_index. */
GPU_KERNEL_FN(pool_largest, gpu_pool_args) {
  const int64_t output = gpu_thread();
  if (output >= a.n) return;
  const window w = window_of(a, output);
  const int64_t plane = w.plane * a.space_in;
  double top = a.type < GPU_F32 ? (double)gpu_least(a.type) : -(double)INFINITY;
  int64_t at = -1;
  each_tap(a, w, [&](int64_t element, const int64_t *p) {
    const double v = load_number(a.type, a.x, plane + element);
    if (at >= 0 && !above(v, top)) return;
    top = v;
    at = a.column_major ? (p[2] * a.win.in[1] + p[1]) * a.win.in[0] + p[0] : element;
  });
  if (a.pool == GPU_POOL_MAX)
    store_number(a.type, a.y, output, top);
  else
    gpu_at<int64_t>(a.y)[output] = at < 0 ? -1 : plane + at;
}

GPU_KERNEL_FN(pool_average, gpu_pool_args) {
  const int64_t output = gpu_thread();
  if (output >= a.n) return;
  const window w = window_of(a, output);
  const float *x = gpu_at<const float>(a.x) + w.plane * a.space_in;
  int64_t count = 0;
  float sum = 0.0f;
  const int64_t padded = each_tap(a, w, [&](int64_t element, const int64_t *) {
    sum = sum + x[element];
    count++;
  });
  gpu_at<float>(a.y)[output] = sum / (float)(a.count_pads ? padded : count);
}

GPU_FN float power(float x, int64_t p) { /* by p - 1 products */
  float y = x;
  for (int64_t i = 1; i < p; i++) y = y * x;
  return y;
}
GPU_KERNEL_FN(pool_lp, gpu_pool_args) {
  const int64_t output = gpu_thread();
  if (output >= a.n) return;
  const window w = window_of(a, output);
  const float *x = gpu_at<const float>(a.x) + w.plane * a.space_in;
  float sum = 0.0f;
  each_tap(a, w, [&](int64_t element, const int64_t *) { sum = sum + power(fabsf(x[element]), a.p); });
  gpu_at<float>(a.y)[output] = a.p == 1   ? sum
                               : a.p == 2 ? sqrtf(sum)
                                          : wh_pow_positive_f32(sum, 1.0 / (double)a.p);
}
