/* nn_rows.h - windows row by row: the template of the kernels for pools, integer convolutions and transposed
 * convolutions, which compilers make vectors of. Included once by each nn_rows_<isa>.c, which defines NN_ISA.
 * Lanes are outputs that follow each other in a row: a tap adds to all of them before the next one does, in
 * the order of docs/NUMERICS.md. */
#ifndef WH_CPU_NN_ROWS_H
#define WH_CPU_NN_ROWS_H

#include <math.h>
#include <string.h>

#include "backends/cpu/nn_kernels.h"
#include "backends/cpu/whole.h"
#include "core/base/exact_math.h"

#define NN_BLOCK 256   /* outputs of a row at a time */
#define NN_COLUMNS 576 /* elements of a row that they read, of strides up to 2 */
#define NN_INLINE static inline __attribute__((always_inline))
#define NN_NAME_(name, isa) wh_k_##name##__##isa
#define NN_NAME(name, isa) NN_NAME_(name, isa)

/* The outputs [begin, end) of a block whose tap lies inside the row, and the element of the first. */
typedef struct nn_span {
  int64_t begin, end, element;
} nn_span;

static nn_span nn_tap_span(const wh_window *w, int axis, int64_t tap, int64_t first, int64_t n) {
  const int64_t s = w->stride[axis], shift = tap * w->dilation[axis] - w->pad[axis], size = w->in[axis];
  const int64_t from = shift < 0 ? ceil_div(-shift, s) : 0, to = size > shift ? ceil_div(size - shift, s) : 0;
  nn_span r = {from > first ? from - first : 0, min_i64(to - first, n), 0};
  if (r.begin > n) r.begin = n;
  if (r.end < r.begin) r.end = r.begin;
  r.element = (first + r.begin) * s + shift;
  return r;
}

/* A row of outputs: where its taps lie on the two outer axes. */
typedef struct nn_row {
  int64_t plane, d, h;
} nn_row;

static nn_row nn_row_at(const wh_window *w, int64_t i) {
  return (nn_row){i / w->out[1] / w->out[0], i / w->out[1] % w->out[0], i % w->out[1]};
}

/* The row of the input that outer taps (d, h) read; -1: none. */
static int64_t nn_input_row(const wh_window *w, const nn_row *r, int64_t d, int64_t h) {
  const int64_t id = r->d * w->stride[0] + d * w->dilation[0] - w->pad[0];
  const int64_t ih = r->h * w->stride[1] + h * w->dilation[1] - w->pad[1];
  return id < 0 || id >= w->in[0] || ih < 0 || ih >= w->in[1] ? -1 : id * w->in[1] + ih;
}

/* Loops of constant strides are what compilers make vectors of. */
#define NN_BY_STRIDE(call, s) \
  do {                        \
    if ((s) == 1)             \
      call(1);                \
    else if ((s) == 2)        \
      call(2);                \
    else                      \
      call(s);                \
  } while (0)

/* ---- max_pool ---- */

NN_INLINE float nn_max_f32(float v, float top) {
  float m = v > top ? v : top;
  if (v == top) m = wh_f32_from_bits(wh_f32_bits(v) & wh_f32_bits(top)); /* +0 is above -0 */
  return v != v ? v : m;
}
NN_INLINE double nn_max_f64(double v, double top) {
  if (v == 0.0 && top == 0.0) return signbit(v) ? top : v;
  return v != v || v > top ? v : top;
}
NN_INLINE int8_t nn_max_i8(int8_t v, int8_t top) { return v > top ? v : top; }
NN_INLINE uint8_t nn_max_u8(uint8_t v, uint8_t top) { return v > top ? v : top; }

/* Elements of a row that the windows of `n` outputs reach over. */
static int64_t nn_reach(const wh_window *w, int64_t n) {
  return (n - 1) * w->stride[2] + (w->kernel[2] - 1) * w->dilation[2] + 1;
}
#define NN_WHOLE(n) (((n) + 7) / 8 * 8)

/* The largest down the columns of a block first, as long as they have room, then across: an element is read
 * once for each of its rows' windows, and in order. Beside the row stands what is below all, and loops go on
 * to whole vectors, of elements that no output has. */
#define NN_MAX_ROW(name, type, lowest)                                                                   \
  NN_INLINE void name##_tap(const type *x, int64_t s, int64_t n, type *restrict top) {                   \
    for (int64_t i = 0; i < n; i++) top[i] = nn_##name(x[i * s], top[i]);                                \
  }                                                                                                      \
  NN_INLINE void name##_across(const type *x, int64_t s, int64_t n, type *top) {                         \
    if (s == 1)                                                                                          \
      name##_tap(x, 1, n, top);                                                                          \
    else if (s == 2)                                                                                     \
      name##_tap(x, 2, n, top);                                                                          \
    else                                                                                                 \
      name##_tap(x, s, n, top);                                                                          \
  }                                                                                                      \
  static void name##_row(const wh_window *w, const nn_row *r, int64_t first, int64_t n, const type *x,   \
                         type *y) {                                                                      \
    type top[NN_BLOCK], down[NN_COLUMNS];                                                                \
    const int64_t whole = NN_WHOLE(n), at = first * w->stride[2] - w->pad[2],                            \
                  begin = min_i64(at < 0 ? 0 : at, w->in[2]), reach = nn_reach(w, n),                    \
                  end = min_i64(at + reach < begin ? begin : at + reach, w->in[2]);                      \
    const int64_t room = nn_reach(w, whole);                                                             \
    for (int64_t i = 0; i < whole; i++) top[i] = (lowest);                                               \
    for (int64_t i = 0; room <= NN_COLUMNS && i < room; i++) down[i] = (lowest);                         \
    for (int64_t d = 0; d < w->kernel[0]; d++)                                                           \
      for (int64_t h = 0; h < w->kernel[1]; h++) {                                                       \
        const int64_t row = nn_input_row(w, r, d, h), from = row * w->in[2] + begin;                     \
        if (row < 0 || begin == end) continue;                                                           \
        if (room <= NN_COLUMNS) {                                                                        \
          const int64_t some = NN_WHOLE(end - begin);                                                    \
          const bool fits = from + some <= wh_window_volume(w->in) && begin - at + some <= room;         \
          name##_tap(x + from, 1, fits ? some : end - begin, down + (begin - at));                       \
          continue;                                                                                      \
        }                                                                                                \
        for (int64_t k = 0; k < w->kernel[2]; k++) {                                                     \
          const nn_span s = nn_tap_span(w, 2, k, first, n);                                              \
          if (s.begin == s.end) continue;                                                                \
          name##_across(x + (row * w->in[2] + s.element), w->stride[2], s.end - s.begin, top + s.begin); \
        }                                                                                                \
      }                                                                                                  \
    if (room <= NN_COLUMNS) {                                                                            \
      for (int64_t i = begin == end ? 0 : end - at; i < room; i++) down[i] = (lowest);                   \
      for (int64_t k = 0; k < w->kernel[2]; k++)                                                         \
        name##_across(down + k * w->dilation[2], w->stride[2], whole, top);                              \
    }                                                                                                    \
    memcpy(y, top, (size_t)n * sizeof *y);                                                               \
  }
NN_MAX_ROW(max_f32, float, -INFINITY)
NN_MAX_ROW(max_f64, double, (double)-INFINITY)
NN_MAX_ROW(max_i8, int8_t, INT8_MIN)
NN_MAX_ROW(max_u8, uint8_t, 0)

void NN_NAME(max_pool, NN_ISA)(const wh_pool_args *a, const wh_worker *worker) {
  const wh_window *w = &a->win;
  const int64_t in = wh_window_volume(w->in), width = w->out[2];
  int64_t begin, end;
  wh_worker_range(worker, a->planes * w->out[0] * w->out[1], &begin, &end);
  for (int64_t i = begin; i < end; i++)
    for (int64_t o = 0; o < width; o += NN_BLOCK) {
      const nn_row r = nn_row_at(w, i);
      const int64_t n = min_i64(NN_BLOCK, width - o), from = r.plane * in, to = i * width + o;
      if (a->dtype == WH_DTYPE_F32) max_f32_row(w, &r, o, n, (const float *)a->x + from, (float *)a->y + to);
      if (a->dtype == WH_DTYPE_F64)
        max_f64_row(w, &r, o, n, (const double *)a->x + from, (double *)a->y + to);
      if (a->dtype == WH_DTYPE_I8) max_i8_row(w, &r, o, n, (const int8_t *)a->x + from, (int8_t *)a->y + to);
      if (a->dtype == WH_DTYPE_U8)
        max_u8_row(w, &r, o, n, (const uint8_t *)a->x + from, (uint8_t *)a->y + to);
    }
}

/* ---- average_pool ---- */

NN_INLINE void nn_add_tap(const float *x, int64_t s, int64_t n, float *restrict sum) {
  for (int64_t i = 0; i < n; i++) sum[i] = sum[i] + x[i * s];
}

/* Taps of an outer axis that lie inside, or inside or in the padding. */
static int64_t nn_outer_taps(const wh_window *w, int axis, int64_t output, bool pads) {
  int64_t n = 0;
  for (int64_t k = 0; k < w->kernel[axis]; k++) {
    const int64_t p = output * w->stride[axis] + k * w->dilation[axis] - w->pad[axis];
    n += pads ? p < w->in[axis] + w->pad_end[axis] : p >= 0 && p < w->in[axis];
  }
  return n;
}

static void nn_average_row(const wh_pool_args *a, const nn_row *r, int64_t first, int64_t n, const float *x,
                           float *y) {
  const wh_window *w = &a->win;
  float sum[NN_BLOCK] = {0};
  for (int64_t d = 0; d < w->kernel[0]; d++)
    for (int64_t h = 0; h < w->kernel[1]; h++) {
      const int64_t row = nn_input_row(w, r, d, h);
      for (int64_t k = 0; row >= 0 && k < w->kernel[2]; k++) {
        const nn_span s = nn_tap_span(w, 2, k, first, n);
        const float *from = x + row * w->in[2] + s.element;
        if (s.begin == s.end) continue;
        if (w->stride[2] == 1)
          nn_add_tap(from, 1, s.end - s.begin, sum + s.begin);
        else if (w->stride[2] == 2)
          nn_add_tap(from, 2, s.end - s.begin, sum + s.begin);
        else
          nn_add_tap(from, w->stride[2], s.end - s.begin, sum + s.begin);
      }
    }
  const bool pads = a->count_pads;
  const int64_t outer = nn_outer_taps(w, 0, r->d, pads) * nn_outer_taps(w, 1, r->h, pads);
  for (int64_t i = 0; i < n; i++) y[i] = sum[i] / (float)(outer * nn_outer_taps(w, 2, first + i, pads));
}

void NN_NAME(average_pool, NN_ISA)(const wh_pool_args *a, const wh_worker *worker) {
  const wh_window *w = &a->win;
  const int64_t in = wh_window_volume(w->in), width = w->out[2];
  int64_t begin, end;
  wh_worker_range(worker, a->planes * w->out[0] * w->out[1], &begin, &end);
  for (int64_t i = begin; i < end; i++)
    for (int64_t o = 0; o < width; o += NN_BLOCK) {
      const nn_row r = nn_row_at(w, i);
      nn_average_row(a, &r, o, min_i64(NN_BLOCK, width - o), (const float *)a->x + r.plane * in,
                     (float *)a->y + i * width + o);
    }
}

/* ---- conv_integer ---- */

#define NN_INTEGER_TAP(name, type)                                                        \
  NN_INLINE void name(const type *x, int64_t s, int64_t n, int32_t zero, int32_t w,       \
                      uint32_t *restrict sum) {                                           \
    for (int64_t i = 0; i < n; i++) sum[i] += (uint32_t)(((int32_t)x[i * s] - zero) * w); \
  }
NN_INTEGER_TAP(nn_i8_tap, int8_t)
NN_INTEGER_TAP(nn_u8_tap, uint8_t)

static int32_t nn_code(wh_dtype dtype, const void *p, int64_t i) {
  return dtype == WH_DTYPE_I8 ? ((const int8_t *)p)[i] : ((const uint8_t *)p)[i];
}

/* One channel's taps. */
static void nn_integer_channel(const wh_conv_integer_args *a, const nn_row *r, int64_t first, int64_t n,
                               int64_t x, int64_t w_at, int32_t x_zero, int32_t w_zero, uint32_t *sum) {
  const wh_window *w = &a->win;
  for (int64_t d = 0; d < w->kernel[0]; d++)
    for (int64_t h = 0; h < w->kernel[1]; h++) {
      const int64_t row = nn_input_row(w, r, d, h), tap = (d * w->kernel[1] + h) * w->kernel[2];
      for (int64_t k = 0; row >= 0 && k < w->kernel[2]; k++) {
        const nn_span s = nn_tap_span(w, 2, k, first, n);
        const int32_t f = nn_code(a->w_dtype, a->w, w_at + tap + k) - w_zero;
        const int64_t from = x + row * w->in[2] + s.element, count = s.end - s.begin;
        if (count == 0 || f == 0) continue;
        uint32_t *to = sum + s.begin;
        if (a->x_dtype == WH_DTYPE_I8) {
#define CALL(stride) nn_i8_tap((const int8_t *)a->x + from, stride, count, x_zero, f, to)
          NN_BY_STRIDE(CALL, w->stride[2]);
#undef CALL
        } else {
#define CALL(stride) nn_u8_tap((const uint8_t *)a->x + from, stride, count, x_zero, f, to)
          NN_BY_STRIDE(CALL, w->stride[2]);
#undef CALL
        }
      }
    }
}

void NN_NAME(conv_integer, NN_ISA)(const wh_conv_integer_args *a, const wh_worker *worker) {
  const wh_window *w = &a->win;
  const int64_t in = wh_window_volume(w->in), taps = wh_window_volume(w->kernel), width = w->out[2];
  const int64_t outputs = a->group * a->m;
  const int32_t x_zero = a->x_zero ? nn_code(a->x_dtype, a->x_zero, 0) : 0;
  int64_t begin, end;
  wh_worker_range(worker, a->n * outputs * w->out[0] * w->out[1], &begin, &end);
  for (int64_t i = begin; i < end; i++)
    for (int64_t o = 0; o < width; o += NN_BLOCK) {
      const nn_row r = nn_row_at(w, i);
      const int64_t m = r.plane % outputs, image = r.plane / outputs, n = min_i64(NN_BLOCK, width - o);
      const int64_t x = (image * a->group + m / a->m) * a->c * in;
      const int32_t w_zero = a->w_zero ? nn_code(a->w_dtype, a->w_zero, a->w_zero_per_output ? m : 0) : 0;
      uint32_t sum[NN_BLOCK] = {0};
      for (int64_t c = 0; c < a->c; c++)
        nn_integer_channel(a, &r, o, n, x + c * in, (m * a->c + c) * taps, x_zero, w_zero, sum);
      memcpy(a->y + i * width + o, sum, (size_t)n * sizeof sum[0]);
    }
}

/* ---- conv_transpose ---- */

#define NN_CHUNK 512 /* of the contract: linear, float weights */

NN_INLINE void nn_fma_row(const float *x, float w, int64_t n, float *restrict sum) {
  for (int64_t i = 0; i < n; i++) sum[i] = fmaf(x[i], w, sum[i]);
}

/* The chains over the channels for inputs [from, from + n) of a row. */
static void nn_transpose_chain(const wh_conv_args *a, const float *x, const float *w, int64_t n, float *y) {
  const int64_t in = wh_window_volume(a->win.in), step = a->m * wh_window_volume(a->win.kernel);
  for (int64_t i = 0; i < n; i++) y[i] = 0.0f;
  for (int64_t c0 = 0; c0 < a->c; c0 += NN_CHUNK) {
    float sum[NN_BLOCK] = {0};
    for (int64_t c = c0; c < min_i64(c0 + NN_CHUNK, a->c); c++) nn_fma_row(x + c * in, w[c * step], n, sum);
    for (int64_t i = 0; i < n; i++) y[i] = y[i] + sum[i];
  }
}

/* The row of the input from which outer taps (d, h) reach a row of the output; -1: none. */
static int64_t nn_source_row(const wh_window *w, const nn_row *r, int64_t d, int64_t h) {
  const int64_t k[2] = {d, h}, o[2] = {r->d, r->h};
  int64_t at = 0;
  for (int i = 0; i < 2; i++) {
    const int64_t p = o[i] + w->pad[i] - k[i] * w->dilation[i];
    if (p < 0 || p % w->stride[i] || p / w->stride[i] >= w->in[i]) return -1;
    at = at * w->in[i] + p / w->stride[i];
  }
  return at;
}

static void nn_transpose_row(const wh_conv_args *a, const nn_row *r, const float *x, const float *w,
                             float *y) {
  const wh_window *win = &a->win;
  const int64_t s = win->stride[2];
  for (int64_t i = 0; i < win->out[2]; i++) y[i] = 0.0f;
  for (int64_t d = 0; d < win->kernel[0]; d++)
    for (int64_t h = 0; h < win->kernel[1]; h++) {
      const int64_t row = nn_source_row(win, r, d, h), tap = (d * win->kernel[1] + h) * win->kernel[2];
      for (int64_t k = 0; row >= 0 && k < win->kernel[2]; k++) {
        const int64_t shift = k * win->dilation[2] - win->pad[2]; /* output i * s + shift */
        const int64_t from = shift < 0 ? ceil_div(-shift, s) : 0;
        const int64_t to = win->out[2] > shift ? min_i64(win->in[2], ceil_div(win->out[2] - shift, s)) : 0;
        for (int64_t i = from; i < to; i += NN_BLOCK) {
          float p[NN_BLOCK];
          const int64_t n = min_i64(NN_BLOCK, to - i);
          nn_transpose_chain(a, x + row * win->in[2] + i, w + tap + k, n, p);
          float *out = y + i * s + shift;
          for (int64_t j = 0; j < n; j++) out[j * s] = out[j * s] + p[j];
        }
      }
    }
}

void NN_NAME(conv_transpose, NN_ISA)(const wh_conv_transpose_args *a, const wh_worker *worker) {
  const wh_window *w = &a->win;
  const int64_t in = wh_window_volume(w->in), taps = wh_window_volume(w->kernel), outputs = a->group * a->m;
  int64_t begin, end;
  wh_worker_range(worker, a->n * outputs * w->out[0] * w->out[1], &begin, &end);
  for (int64_t i = begin; i < end; i++) {
    const nn_row r = nn_row_at(w, i);
    const int64_t m = r.plane % outputs, g = m / a->m, image = r.plane / outputs;
    float *y = a->y + i * w->out[2];
    nn_transpose_row(a, &r, a->x + (image * a->group + g) * a->c * in,
                     a->w + (g * a->c * a->m + m % a->m) * taps, y);
    if (a->bias)
      for (int64_t o = 0; o < w->out[2]; o++) y[o] = y[o] + a->bias[m];
  }
}

#endif
