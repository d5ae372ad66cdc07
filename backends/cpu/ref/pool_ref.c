/* ref/pool_ref.c - docs/NUMERICS.md, "Pools", in plain C. */
#include <math.h>
#include <string.h>

#include "backends/cpu/nn_kernels.h"
#include "core/base/exact_pow.h"

/* The taps of a window that lie inside its plane, in order. */
typedef struct window_walk {
  const wh_window *w;
  int64_t start[3], tap[3]; /* element of tap 0; the tap that comes next */
  int64_t padded;           /* taps so far that lie in the plane or its padding */
} window_walk;

static window_walk walk_begin(const wh_window *w, int64_t output) {
  window_walk at = {.w = w};
  for (int i = WH_WINDOW_AXES - 1; i >= 0; i--) {
    at.start[i] = output % w->out[i] * w->stride[i] - w->pad[i];
    output /= w->out[i];
  }
  return at;
}

/* The element of the next tap inside and its place on the axes; false at the end. */
static bool walk_next(window_walk *at, int64_t *element, int64_t place[3]) {
  const wh_window *w = at->w;
  while (at->tap[0] < w->kernel[0]) {
    bool inside = true, padded = true;
    *element = 0;
    for (int i = 0; i < WH_WINDOW_AXES; i++) {
      place[i] = at->start[i] + at->tap[i] * w->dilation[i];
      inside &= place[i] >= 0 && place[i] < w->in[i];
      padded &= place[i] < w->in[i] + w->pad_end[i];
      *element = *element * w->in[i] + place[i];
    }
    int i = WH_WINDOW_AXES - 1;
    while (++at->tap[i] == w->kernel[i] && i > 0) at->tap[i--] = 0;
    at->padded += padded;
    if (inside) return true;
  }
  return false;
}

/* IEEE 754-2019's maximum: a NaN is above all, +0 above -0. */
static bool above_f(double v, double top) {
  return v > top || (isnan(v) && !isnan(top)) || (v == top && signbit(top) && !signbit(v));
}

#define LARGEST(name, type, lowest, above)                                                              \
  static type name(const wh_pool_args *a, const type *x, int64_t output, int64_t *at) {                 \
    window_walk walk = walk_begin(&a->win, output);                                                     \
    int64_t element, place[3];                                                                          \
    type top = (lowest);                                                                                \
    *at = -1;                                                                                           \
    while (walk_next(&walk, &element, place)) {                                                         \
      if (*at >= 0 && !(above)) continue;                                                               \
      top = x[element];                                                                                 \
      *at = a->column_major ? (place[2] * a->win.in[1] + place[1]) * a->win.in[0] + place[0] : element; \
    }                                                                                                   \
    return top;                                                                                         \
  }
LARGEST(largest_f32, float, -INFINITY, above_f((double)x[element], (double)top))
LARGEST(largest_f64, double, (double)-INFINITY, above_f(x[element], top))
LARGEST(largest_i8, int8_t, INT8_MIN, x[element] > top)
LARGEST(largest_u8, uint8_t, 0, x[element] > top)

/* out: the values, or NULL; index: where they are, or NULL */
static void largest(const wh_pool_args *a, const wh_worker *worker, void *out, int64_t *index) {
  const int64_t in = wh_window_volume(a->win.in), n_out = wh_window_volume(a->win.out);
  int64_t begin, end;
  wh_worker_range(worker, a->planes * n_out, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const int64_t plane = i / n_out;
    int64_t at = -1;
    switch (a->dtype) {
#define CASE(dtype, type, name)                                                \
  case WH_DTYPE_##dtype: {                                                     \
    const type top = name(a, (const type *)a->x + plane * in, i % n_out, &at); \
    if (out) ((type *)out)[i] = top;                                           \
    break;                                                                     \
  }
      CASE(F32, float, largest_f32)
      CASE(F64, double, largest_f64)
      CASE(I8, int8_t, largest_i8)
      CASE(U8, uint8_t, largest_u8)
#undef CASE
      default:
        break;
    }
    if (index) index[i] = at < 0 ? -1 : plane * in + at;
  }
}

void wh_k_max_pool__ref(const wh_pool_args *a, const wh_worker *worker) { largest(a, worker, a->y, NULL); }
void wh_k_max_pool_index__ref(const wh_pool_args *a, const wh_worker *worker) {
  largest(a, worker, NULL, a->y);
}

void wh_k_average_pool__ref(const wh_pool_args *a, const wh_worker *worker) {
  const int64_t in = wh_window_volume(a->win.in), out = wh_window_volume(a->win.out);
  int64_t begin, end;
  wh_worker_range(worker, a->planes * out, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = (const float *)a->x + i / out * in;
    window_walk walk = walk_begin(&a->win, i % out);
    int64_t element, place[3], count = 0;
    float sum = 0.0f;
    for (; walk_next(&walk, &element, place); count++) sum = sum + x[element];
    ((float *)a->y)[i] = sum / (float)(a->count_pads ? walk.padded : count);
  }
}

/* |x|^p by p - 1 products */
static float power(float x, int64_t p) {
  float y = x;
  for (int64_t i = 1; i < p; i++) y = y * x;
  return y;
}

static float root(float x, int64_t p) {
  if (p == 1) return x;
  if (p == 2) return sqrtf(x);
  return wh_pow_positive_f32(x, 1.0 / (double)p);
}

void wh_k_lp_pool__ref(const wh_pool_args *a, const wh_worker *worker) {
  const int64_t in = wh_window_volume(a->win.in), out = wh_window_volume(a->win.out);
  int64_t begin, end;
  wh_worker_range(worker, a->planes * out, &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const float *x = (const float *)a->x + i / out * in;
    window_walk walk = walk_begin(&a->win, i % out);
    int64_t element, place[3];
    float sum = 0.0f;
    while (walk_next(&walk, &element, place)) sum = sum + power(fabsf(x[element]), a->p);
    ((float *)a->y)[i] = root(sum, a->p);
  }
}
