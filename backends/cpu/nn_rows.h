/* nn_rows.h - windows row by row: the template of the kernels for pools and integer convolutions, which
 * compilers make vectors of. Included once by each nn_rows_<isa>.c, which defines NN_ISA.
 * Lanes are outputs that follow each other in a row: a tap adds to all of them before the next one does, in
 * the order of docs/NUMERICS.md. */
#ifndef WH_CPU_NN_ROWS_H
#define WH_CPU_NN_ROWS_H

#include <math.h>
#include <string.h>

#include "backends/cpu/nn_kernels.h"
#include "backends/cpu/whole.h"
#include "core/base/exact_math.h"

#define NN_BLOCK 256 /* outputs of a row at a time */
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

/* Elements are compared as keys, integers that rise with them: -0 is below +0, and a NaN above all. */
NN_INLINE int32_t nn_key_f32(float v) {
  const int32_t bits = (int32_t)wh_f32_bits(v);
  return v != v ? INT32_MAX : bits ^ (bits >> 31 & INT32_MAX);
}
NN_INLINE float nn_of_key_f32(int32_t k) { return wh_f32_from_bits((uint32_t)(k ^ (k >> 31 & INT32_MAX))); }
NN_INLINE int64_t nn_key_f64(double v) {
  int64_t bits;
  memcpy(&bits, &v, sizeof bits);
  return v != v ? INT64_MAX : bits ^ (bits >> 63 & INT64_MAX);
}
NN_INLINE double nn_of_key_f64(int64_t k) {
  double v;
  k ^= k >> 63 & INT64_MAX;
  memcpy(&v, &k, sizeof v);
  return v;
}
NN_INLINE int8_t nn_key_i8(int8_t v) { return v; }
NN_INLINE int8_t nn_of_key_i8(int8_t k) { return k; }
NN_INLINE uint8_t nn_key_u8(uint8_t v) { return v; }
NN_INLINE uint8_t nn_of_key_u8(uint8_t k) { return k; }

#define NN_KEYS 8192 /* bytes of a block of keys: several are in a first-level cache */
#define NN_WHOLE(n) (((n) + 7) / 8 * 8)

/* Some outputs of a plane, `rows` x `n`, and the elements that they reach over: rows of a `pitch` of keys, at
 * the end some that no output has. `keys` 0: a block has no room for a window, and there is one row. */
typedef struct nn_pool_block {
  int64_t d, h, rows, first, n, pitch, keys;
} nn_pool_block;

/* As many rows, up to h_end, as `room` keys are enough for, and columns at a time. */
static nn_pool_block nn_pool_cut(const wh_window *w, const nn_row *r, int64_t h_end, int64_t room) {
  nn_pool_block b = {.d = r->d, .h = r->h, .rows = 1, .n = min_i64(NN_BLOCK, w->out[2])};
  for (int axis = 1; axis < WH_WINDOW_AXES; axis++)
    if (w->kernel[axis] > room || w->dilation[axis] > room || w->stride[axis] > room) return b;
  const int64_t high = (w->kernel[1] - 1) * w->dilation[1] + 1,
                wide = (w->kernel[2] - 1) * w->dilation[2] + 1;
  if (high > room || wide > room) return b;
  int64_t n = b.n;
  while (b.pitch = NN_WHOLE((n - 1) * w->stride[2] + wide), b.pitch * high > room) {
    if (n == 1) return b;
    n = (n + 1) / 2;
  }
  b.n = n;
  b.rows = min_i64(h_end - b.h, (room / b.pitch - high) / w->stride[1] + 1);
  b.keys = ((b.rows - 1) * w->stride[1] + high) * b.pitch;
  return b;
}

/* Down the columns for all rows together, then along them: a window of twice the taps is two windows beside
 * each other, or over each other. */
#define NN_MAX(name, type, key, lowest)                                                                     \
  /* keys of a block's elements at a depth, or the larger of these and those that are there */              \
  NN_INLINE void name##_fill(const wh_window *w, const nn_pool_block *b, int64_t depth, const bool more,    \
                             const type *x, key *restrict to) {                                             \
    const int64_t top = b->h * w->stride[1] - w->pad[1], left = b->first * w->stride[2] - w->pad[2];        \
    const int64_t from = min_i64(left < 0 ? -left : 0, b->pitch),                                           \
                  to_right = min_i64(w->in[2] - left, b->pitch), until = to_right < from ? from : to_right; \
    for (int64_t r = 0; r < b->keys / b->pitch; r++, to += b->pitch) {                                      \
      const bool inside = top + r >= 0 && top + r < w->in[1];                                               \
      const int64_t at = (depth * w->in[1] + top + r) * w->in[2] + left;                                    \
      for (int64_t i = 0; !more && i < (inside ? from : b->pitch); i++) to[i] = (lowest);                   \
      for (int64_t i = from; inside && i < until; i++) {                                                    \
        const key k = nn_key_##name(x[at + i]);                                                             \
        to[i] = more && to[i] > k ? to[i] : k;                                                              \
      }                                                                                                     \
      for (int64_t i = until; !more && i < b->pitch; i++) to[i] = (lowest);                                 \
    }                                                                                                       \
  }                                                                                                         \
  /* v[n] becomes the largest of `taps` elements that are `step` apart, there or in the other buffer */     \
  static key *name##_windows(key *v, key *other, int64_t n, int64_t taps, int64_t step) {                   \
    for (int64_t have = 1, more; have < taps; have += more) {                                               \
      key *restrict to = other;                                                                             \
      more = min_i64(have, taps - have);                                                                    \
      n -= more * step;                                                                                     \
      for (int64_t i = 0; i < n; i++) to[i] = v[i] > v[i + more * step] ? v[i] : v[i + more * step];        \
      other = v;                                                                                            \
      v = to;                                                                                               \
    }                                                                                                       \
    return v;                                                                                               \
  }                                                                                                         \
  NN_INLINE void name##_write(const key *v, int64_t s, int64_t n, type *restrict y) {                       \
    for (int64_t i = 0; i < n; i++) y[i] = nn_of_key_##name(v[i * s]);                                      \
  }                                                                                                         \
  static void name##_block(const wh_window *w, const nn_pool_block *b, const type *x, type *y) {            \
    key v[NN_KEYS / sizeof(key)], spare[NN_KEYS / sizeof(key)];                                             \
    bool more = false;                                                                                      \
    for (int64_t k = 0; k < w->kernel[0]; k++) {                                                            \
      const int64_t depth = b->d * w->stride[0] + k * w->dilation[0] - w->pad[0];                           \
      if (depth < 0 || depth >= w->in[0]) continue;                                                         \
      if (more)                                                                                             \
        name##_fill(w, b, depth, true, x, v);                                                               \
      else                                                                                                  \
        name##_fill(w, b, depth, false, x, v);                                                              \
      more = true;                                                                                          \
    }                                                                                                       \
    for (int64_t i = 0; !more && i < b->keys; i++) v[i] = (lowest);                                         \
    const bool flat = w->stride[1] == 1; /* rows follow each other */                                       \
    key *down = name##_windows(v, spare, b->keys, w->kernel[1], w->dilation[1] * b->pitch),                 \
        *other = down == v ? spare : v;                                                                     \
    const key *all =                                                                                        \
        flat ? name##_windows(down, other, b->rows * b->pitch, w->kernel[2], w->dilation[2]) : NULL;        \
    for (int64_t r = 0; r < b->rows; r++, y += w->out[2]) {                                                 \
      const int64_t at = r * w->stride[1] * b->pitch;                                                       \
      const key *row =                                                                                      \
          flat ? all + at : name##_windows(down + at, other + at, b->pitch, w->kernel[2], w->dilation[2]);  \
      if (w->stride[2] == 1)                                                                                \
        name##_write(row, 1, b->n, y);                                                                      \
      else if (w->stride[2] == 2)                                                                           \
        name##_write(row, 2, b->n, y);                                                                      \
      else                                                                                                  \
        name##_write(row, w->stride[2], b->n, y);                                                           \
    }                                                                                                       \
  }                                                                                                         \
  /* tap by tap */                                                                                          \
  static void name##_taps(const wh_window *w, const nn_pool_block *b, const type *x, type *y) {             \
    const nn_row r = {0, b->d, b->h};                                                                       \
    key top[NN_BLOCK];                                                                                      \
    for (int64_t i = 0; i < b->n; i++) top[i] = (lowest);                                                   \
    for (int64_t d = 0; d < w->kernel[0]; d++)                                                              \
      for (int64_t h = 0; h < w->kernel[1]; h++) {                                                          \
        const int64_t row = nn_input_row(w, &r, d, h);                                                      \
        for (int64_t k = 0; row >= 0 && k < w->kernel[2]; k++) {                                            \
          const nn_span s = nn_tap_span(w, 2, k, b->first, b->n);                                           \
          const type *from = x + (row * w->in[2] + s.element);                                              \
          for (int64_t i = s.begin; i < s.end; i++, from += w->stride[2]) {                                 \
            const key v = nn_key_##name(*from);                                                             \
            top[i] = top[i] > v ? top[i] : v;                                                               \
          }                                                                                                 \
        }                                                                                                   \
      }                                                                                                     \
    name##_write(top, 1, b->n, y);                                                                          \
  }                                                                                                         \
  static void name##_rows(const wh_window *w, int64_t plane, const nn_pool_block *b, const void *x,         \
                          void *y) {                                                                        \
    const type *from = (const type *)x + plane * wh_window_volume(w->in);                                   \
    type *to = (type *)y + ((plane * w->out[0] + b->d) * w->out[1] + b->h) * w->out[2] + b->first;          \
    if (b->keys)                                                                                            \
      name##_block(w, b, from, to);                                                                         \
    else                                                                                                    \
      name##_taps(w, b, from, to);                                                                          \
  }
NN_MAX(f32, float, int32_t, INT32_MIN | 0x007fffff)
NN_MAX(f64, double, int64_t, INT64_MIN | INT64_C(0x000fffffffffffff))
NN_MAX(i8, int8_t, int8_t, INT8_MIN)
NN_MAX(u8, uint8_t, uint8_t, 0)

void NN_NAME(max_pool, NN_ISA)(const wh_pool_args *a, const wh_worker *worker) {
  const wh_window *w = &a->win;
  const int64_t bytes = a->dtype == WH_DTYPE_F64 ? 8 : a->dtype == WH_DTYPE_F32 ? 4 : 1;
  int64_t begin, end;
  if (!w->out[2]) return;
  wh_worker_range(worker, a->planes * w->out[0] * w->out[1], &begin, &end);
  for (int64_t i = begin, rows; i < end; i += rows) {
    const nn_row r = nn_row_at(w, i);
    nn_pool_block b = nn_pool_cut(w, &r, min_i64(w->out[1], r.h + end - i), NN_KEYS / bytes);
    rows = b.rows;
    for (const int64_t n = b.n; b.first < w->out[2]; b.first += n) {
      b.n = min_i64(n, w->out[2] - b.first);
      if (a->dtype == WH_DTYPE_F32) f32_rows(w, r.plane, &b, a->x, a->y);
      if (a->dtype == WH_DTYPE_F64) f64_rows(w, r.plane, &b, a->x, a->y);
      if (a->dtype == WH_DTYPE_I8) i8_rows(w, r.plane, &b, a->x, a->y);
      if (a->dtype == WH_DTYPE_U8) u8_rows(w, r.plane, &b, a->x, a->y);
    }
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

#endif
