/* ref/conv_ref.c - docs/NUMERICS.md, "conv", "conv_transpose" and "conv_integer", in plain C. */
#include <math.h>
#include <string.h>

#include "backends/cpu/nn_kernels.h"
#include "backends/cpu/whole.h"

#define CHUNK 512 /* of the contract: linear, float weights */

/* Element of one plane that tap k of output o reads; -1: it lies outside. */
static int64_t tap_element(const wh_window *w, const int64_t o[3], const int64_t k[3]) {
  int64_t at = 0;
  for (int i = 0; i < WH_WINDOW_AXES; i++) {
    const int64_t p = o[i] * w->stride[i] + k[i] * w->dilation[i] - w->pad[i];
    if (p < 0 || p >= w->in[i]) return -1;
    at = at * w->in[i] + p;
  }
  return at;
}

/* Of a transposed window: the element whose tap k reaches output o; -1: there is none. */
static int64_t reached_from(const wh_window *w, const int64_t o[3], const int64_t k[3]) {
  int64_t at = 0;
  for (int i = 0; i < WH_WINDOW_AXES; i++) {
    const int64_t p = o[i] + w->pad[i] - k[i] * w->dilation[i];
    if (p < 0 || p % w->stride[i] || p / w->stride[i] >= w->in[i]) return -1;
    at = at * w->in[i] + p / w->stride[i];
  }
  return at;
}

static void split_index(const int64_t size[3], int64_t index, int64_t out[3]) {
  for (int i = WH_WINDOW_AXES - 1; i >= 0; i--) {
    out[i] = index % size[i];
    index /= size[i];
  }
}

/* The chain over channels and taps of one output. */
static float conv_output(const wh_conv_args *a, const float *x, const float *w, const int64_t o[3]) {
  const int64_t plane = wh_window_volume(a->win.in), taps = wh_window_volume(a->win.kernel);
  const int64_t n_k = a->c * taps;
  float y = 0.0f;
  for (int64_t k0 = 0; k0 < n_k; k0 += CHUNK) {
    float sum = 0.0f;
    for (int64_t k = k0; k < min_i64(k0 + CHUNK, n_k); k++) {
      int64_t tap[3];
      split_index(a->win.kernel, k % taps, tap);
      const int64_t at = tap_element(&a->win, o, tap);
      sum = fmaf(at < 0 ? 0.0f : x[k / taps * plane + at], w[k], sum);
    }
    y = y + sum;
  }
  return y;
}

void wh_k_conv__ref(const wh_conv_args *a, const wh_worker *worker) {
  const int64_t in = wh_window_volume(a->win.in), out = wh_window_volume(a->win.out);
  const int64_t n_k = a->c * wh_window_volume(a->win.kernel), outputs = a->group * a->m;
  int64_t begin, end;
  wh_worker_range(worker, a->n * outputs * out, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const int64_t m = i / out % outputs, n = i / out / outputs;
    int64_t o[3];
    split_index(a->win.out, i % out, o);
    float y = conv_output(a, a->x + (n * a->group + m / a->m) * a->c * in, a->w + m * n_k, o);
    if (a->bias) y = y + a->bias[m];
    if (a->residual) y = a->residual[i] + y;
    a->y[i] = y;
    if (a->chain) wh_conv_run_chain(a, n, m, i % out, 1, worker->team);
  }
}

/* A tap's product over the channels of the group. */
static float transpose_product(const wh_conv_args *a, const float *x, const float *w) {
  const int64_t in = wh_window_volume(a->win.in), step = a->m * wh_window_volume(a->win.kernel);
  float y = 0.0f;
  for (int64_t c0 = 0; c0 < a->c; c0 += CHUNK) {
    float sum = 0.0f;
    for (int64_t c = c0; c < min_i64(c0 + CHUNK, a->c); c++) sum = fmaf(x[c * in], w[c * step], sum);
    y = y + sum;
  }
  return y;
}

void wh_k_conv_transpose__ref(const wh_conv_transpose_args *a, const wh_worker *worker) {
  const int64_t in = wh_window_volume(a->win.in), out = wh_window_volume(a->win.out);
  const int64_t taps = wh_window_volume(a->win.kernel), outputs = a->group * a->m;
  int64_t begin, end;
  wh_worker_range(worker, a->n * outputs * out, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const int64_t m = i / out % outputs, g = m / a->m, n = i / out / outputs;
    const float *x = a->x + (n * a->group + g) * a->c * in;
    const float *w = a->w + (g * a->c * a->m + m % a->m) * taps;
    int64_t o[3];
    float y = 0.0f;
    split_index(a->win.out, i % out, o);
    for (int64_t k = 0; k < taps; k++) {
      int64_t tap[3];
      split_index(a->win.kernel, k, tap);
      const int64_t at = reached_from(&a->win, o, tap);
      if (at >= 0) y = y + transpose_product(a, x + at, w + k);
    }
    if (a->bias) y = y + a->bias[m];
    a->y[i] = y;
  }
}

/* ---- integers ---- */

static int32_t code(wh_dtype dtype, const void *p, int64_t i) {
  return dtype == WH_DTYPE_I8 ? ((const int8_t *)p)[i] : ((const uint8_t *)p)[i];
}

void wh_k_conv_integer__ref(const wh_conv_integer_args *a, const wh_worker *worker) {
  const int64_t in = wh_window_volume(a->win.in), out = wh_window_volume(a->win.out);
  const int64_t taps = wh_window_volume(a->win.kernel), n_k = a->c * taps, outputs = a->group * a->m;
  const int32_t x_zero = a->x_zero ? code(a->x_dtype, a->x_zero, 0) : 0;
  int64_t begin, end;
  wh_worker_range(worker, a->n * outputs * out, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const int64_t m = i / out % outputs, n = i / out / outputs, x0 = (n * a->group + m / a->m) * a->c * in;
    const int32_t w_zero = a->w_zero ? code(a->w_dtype, a->w_zero, a->w_zero_per_output ? m : 0) : 0;
    int64_t o[3];
    uint32_t sum = 0; /* wraps */
    split_index(a->win.out, i % out, o);
    for (int64_t k = 0; k < n_k; k++) {
      int64_t tap[3];
      split_index(a->win.kernel, k % taps, tap);
      const int64_t at = tap_element(&a->win, o, tap);
      if (at < 0) continue;
      const int32_t x = code(a->x_dtype, a->x, x0 + k / taps * in + at) - x_zero;
      sum += (uint32_t)(x * (code(a->w_dtype, a->w, m * n_k + k) - w_zero));
    }
    memcpy(&a->y[i], &sum, sizeof sum);
  }
}
