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

/* Output i with its sum: bias, residual, chain. */
static void finish_output(const wh_conv_args *a, int64_t i, float y, wh_team *team) {
  const int64_t out = wh_window_volume(a->win.out), m = i / out % (a->group * a->m);
  if (a->bias) y = y + a->bias[m];
  if (a->residual) y = a->residual[i] + y;
  a->y[i] = y;
  if (a->chain) wh_conv_run_chain(a, i / out / (a->group * a->m), m, i % out, 1, team);
}

/* ---- 3x3 kernels by minimal filtering ---- */

/* Four numbers that lie `step` apart, in place. */
static void transform_elements(float *d, int64_t step) {
  const float d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
  d[0] = d0 - d2;
  d[step] = d1 + d2;
  d[2 * step] = d2 - d1;
  d[3 * step] = d1 - d3;
}

/* Three to four. */
static void transform_weights(const float *g, float *u, int64_t step) {
  const float g0 = g[0], g1 = g[step], g2 = g[2 * step], s = g0 + g2;
  u[0] = g0;
  u[step] = 0.5f * (s + g1);
  u[2 * step] = 0.5f * (s - g1);
  u[3 * step] = g2;
}

/* Four to two. */
static void transform_sums(const float *m, float *z, int64_t step) {
  const float z0 = (m[0] + m[step]) + m[2 * step], z1 = (m[step] - m[2 * step]) - m[3 * step];
  z[0] = z0;
  z[step] = z1;
}

/* The 2x2 outputs from row 2 * i and column 2 * j on: x of the group's channels, w of one output. */
static void winograd_tile(const wh_conv_args *a, const float *x, const float *w, int64_t i, int64_t j,
                          float y[2][2]) {
  const wh_window *win = &a->win;
  const int64_t plane = wh_window_volume(win->in);
  float sums[4][4] = {{0}}, parts[4][4] = {{0}};
  for (int64_t c = 0; c < a->c; c++, x += plane, w += 9) {
    float v[4][4], u[4][4] = {{0}};
    for (int64_t r = 0; r < 4; r++)
      for (int64_t k = 0; k < 4; k++) {
        const int64_t row = 2 * i - win->pad[1] + r, col = 2 * j - win->pad[2] + k;
        const bool inside = row >= 0 && row < win->in[1] && col >= 0 && col < win->in[2];
        v[r][k] = inside ? x[row * win->in[2] + col] : 0.0f;
      }
    for (int64_t k = 0; k < 4; k++) transform_elements(&v[0][k], 4);
    for (int64_t r = 0; r < 4; r++) transform_elements(v[r], 1);
    for (int64_t r = 0; r < 3; r++) memcpy(u[r], w + 3 * r, 3 * sizeof *w);
    for (int64_t k = 0; k < 3; k++) transform_weights(&u[0][k], &u[0][k], 4);
    for (int64_t r = 0; r < 4; r++) transform_weights(u[r], u[r], 1);
    const bool ends = c % CHUNK == CHUNK - 1 || c == a->c - 1;
    for (int64_t r = 0; r < 4; r++)
      for (int64_t k = 0; k < 4; k++) {
        parts[r][k] = fmaf(v[r][k], u[r][k], parts[r][k]);
        if (!ends) continue;
        sums[r][k] = sums[r][k] + parts[r][k];
        parts[r][k] = 0.0f;
      }
  }
  for (int64_t k = 0; k < 4; k++) transform_sums(&sums[0][k], &sums[0][k], 4);
  for (int64_t r = 0; r < 2; r++) transform_sums(sums[r], y[r], 1);
}

static void winograd_ref(const wh_conv_args *a, const wh_worker *worker) {
  const int64_t in = wh_window_volume(a->win.in), high = a->win.out[1], wide = a->win.out[2];
  const int64_t down = ceil_div(high, 2), across = ceil_div(wide, 2), outputs = a->group * a->m;
  int64_t begin, end;
  wh_worker_range(worker, a->n * outputs * down * across, &begin, &end);
  for (int64_t t = begin; t < end; t++) {
    const int64_t j = t % across, i = t / across % down, m = t / across / down % outputs,
                  n = t / across / down / outputs;
    float y[2][2];
    winograd_tile(a, a->x + (n * a->group + m / a->m) * a->c * in, a->w + m * a->c * 9, i, j, y);
    for (int64_t r = 2 * i; r < min_i64(2 * i + 2, high); r++)
      for (int64_t k = 2 * j; k < min_i64(2 * j + 2, wide); k++)
        finish_output(a, ((n * outputs + m) * high + r) * wide + k, y[r % 2][k % 2], worker->team);
  }
}

void wh_k_conv__ref(const wh_conv_args *a, const wh_worker *worker) {
  if (a->winograd) {
    winograd_ref(a, worker);
    return;
  }
  const int64_t in = wh_window_volume(a->win.in), out = wh_window_volume(a->win.out);
  const int64_t n_k = a->c * wh_window_volume(a->win.kernel), outputs = a->group * a->m;
  int64_t begin, end;
  wh_worker_range(worker, a->n * outputs * out, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const int64_t m = i / out % outputs, n = i / out / outputs;
    int64_t o[3];
    split_index(a->win.out, i % out, o);
    finish_output(a, i, conv_output(a, a->x + (n * a->group + m / a->m) * a->c * in, a->w + m * n_k, o),
                  worker->team);
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
