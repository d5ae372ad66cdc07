/* reduce_loops.h - reductions in plain C, for the compiler to make vectors of their lanes. The includer
 * defines LEVEL, and REDUCE_ALL for all types. */
#ifndef WH_CPU_REDUCE_LOOPS_H
#define WH_CPU_REDUCE_LOOPS_H

#include <math.h>

#include "backends/cpu/reduce_kernels.h"

#define LANES 64
#define JOIN_(name, t, part, level) wh_k_reduce_##name##_##t##_##part##__##level
#define JOIN(name, t, part, level) JOIN_(name, t, part, level)

/* `step`: a lane `a` takes an element x; `join`: two lanes a and b become one. Lanes that take nothing hold
 * what changes none, and are left out. */
#define REDUCE_STEPS(name, t, type, step, join)                                 \
  static inline type name##_##t##_step(type a, type x) { return (type)(step); } \
  static inline type name##_##t##_join(type a, type b) { return (type)(join); }
#define REDUCE_ROWS(head, name, t, type, first)                                                           \
  head(const wh_reduce_run *r) {                                                                          \
    type lanes[LANES];                                                                                    \
    int64_t lane = 0;                                                                                     \
    wh_nd_at at = wh_nd_seek(r->walk, 0);                                                                 \
    const int used = r->n_runs * r->n < LANES ? (int)(r->n_runs * r->n) : LANES;                          \
    for (int l = 0; l < LANES; l++) lanes[l] = (type)(first);                                             \
    for (int64_t k = 0; k < r->n_runs; k++, wh_nd_advance(r->walk, &at, 1)) {                             \
      const type *x = (const type *)r->x + at.offset[0];                                                  \
      int64_t i = 0;                                                                                      \
      for (; lane && i < r->n; i++, lane = (lane + 1) % LANES)                                            \
        lanes[lane] = name##_##t##_step(lanes[lane], x[i]);                                               \
      for (; i + LANES <= r->n; i += LANES)                                                               \
        for (int l = 0; l < LANES; l++) lanes[l] = name##_##t##_step(lanes[l], x[i + l]);                 \
      for (; i < r->n; i++, lane++) lanes[lane] = name##_##t##_step(lanes[lane], x[i]);                   \
      lane %= LANES;                                                                                      \
    }                                                                                                     \
    if (used == LANES)                                                                                    \
      for (int h = LANES / 2; h > 0; h /= 2)                                                              \
        for (int l = 0; l < h; l++) lanes[l] = name##_##t##_join(lanes[l], lanes[l + h]);                 \
    else                                                                                                  \
      for (int h = LANES / 2; h > 0; h /= 2)                                                              \
        for (int l = 0; l < h && l + h < used; l++) lanes[l] = name##_##t##_join(lanes[l], lanes[l + h]); \
    *(type *)r->y = lanes[0];                                                                             \
  }
#define REDUCE_COLUMNS(name, t, type, first)                                                              \
  void JOIN(name, t, columns, LEVEL)(const wh_reduce_run *r) {                                            \
    type lanes[LANES][WH_REDUCE_COLUMNS];                                                                 \
    const int used = r->n_runs < LANES ? (int)r->n_runs : LANES;                                          \
    type *y = r->y;                                                                                       \
    wh_nd_at at = wh_nd_seek(r->walk, 0);                                                                 \
    for (int l = 0; l < used; l++)                                                                        \
      for (int64_t c = 0; c < r->n; c++) lanes[l][c] = (type)(first);                                     \
    for (int64_t k = 0; k < r->n_runs; k++, wh_nd_advance(r->walk, &at, 1)) {                             \
      const type *x = (const type *)r->x + at.offset[0];                                                  \
      type *a = lanes[k % LANES];                                                                         \
      for (int64_t c = 0; c < r->n; c++) a[c] = name##_##t##_step(a[c], x[c]);                            \
    }                                                                                                     \
    for (int h = LANES / 2; h > 0; h /= 2)                                                                \
      for (int l = 0; l < h && l + h < used; l++)                                                         \
        for (int64_t c = 0; c < r->n; c++) lanes[l][c] = name##_##t##_join(lanes[l][c], lanes[l + h][c]); \
    for (int64_t c = 0; c < r->n; c++) y[c] = used ? lanes[0][c] : (type)(first);                         \
  }
#define REDUCE(name, t, type, first, step, join)                     \
  REDUCE_STEPS(name, t, type, step, join)                            \
  REDUCE_ROWS(void JOIN(name, t, rows, LEVEL), name, t, type, first) \
  REDUCE_COLUMNS(name, t, type, first)

/* IEEE 754-2019's maximum and minimum */
#define MAXIMUM(x, z) ((x) > (z) ? (x) : (z) > (x) ? (z) : (x) == (z) ? (signbit(x) ? (z) : (x)) : (x) + (z))
#define MINIMUM(x, z) ((x) < (z) ? (x) : (z) < (x) ? (z) : (x) == (z) ? (signbit(x) ? (x) : (z)) : (x) + (z))

#define REDUCE_FLOAT(t, type, fused, magnitude)         \
  REDUCE(prod, t, type, 1, a *x, a *b)                  \
  REDUCE(sum_square, t, type, 0, fused(x, x, a), a + b) \
  REDUCE(l1, t, type, 0, a + magnitude(x), a + b)

REDUCE_FLOAT(f32, float, fmaf, fabsf)

#ifdef VF_LANES
#define SUM_VECS (LANES / VF_LANES)
REDUCE_STEPS(sum, f32, float, a + x, a + b)
REDUCE_ROWS(static void sum_runs, sum, f32, float, 0)
REDUCE_COLUMNS(sum, f32, float, 0)
/* Of one run all lanes are vectors: those that take nothing hold +0, which no sum differs by, as none is -0.
 */
void JOIN(sum, f32, rows, LEVEL)(const wh_reduce_run *r) {
  const float *x = r->x;
  vf lanes[SUM_VECS];
  int64_t i = 0;
  if (r->n_runs != 1) {
    sum_runs(r);
    return;
  }
  UNROLL for (int v = 0; v < SUM_VECS; v++) lanes[v] = vf_zero();
  for (; i + LANES <= r->n; i += LANES) UNROLL
  for (int v = 0; v < SUM_VECS; v++) lanes[v] = vf_add(lanes[v], vf_load(x + i + v * VF_LANES));
  UNROLL for (int v = 0; v < SUM_VECS; v++) {
    const int64_t at = i + v * VF_LANES;
    if (at < r->n) lanes[v] = vf_add(lanes[v], vf_load_left(x + at, r->n - at));
  }
  UNROLL for (int h = SUM_VECS / 2; h > 0; h /= 2) UNROLL for (int v = 0; v < h; v++) lanes[v] =
      vf_add(lanes[v], lanes[v + h]);
  *(float *)r->y = vf_sum_halves(lanes[0]);
}

/* The order of a maximum is free, and compilers make no vectors of its comparisons. */
#define EXTREME_VECS 4
#define EXTREME_ROWS(name, first, vector)                                                                \
  void JOIN(name, f32, rows, LEVEL)(const wh_reduce_run *r) {                                            \
    vf lanes[EXTREME_VECS];                                                                              \
    float all[VF_LANES], y = first;                                                                      \
    wh_nd_at at = wh_nd_seek(r->walk, 0);                                                                \
    for (int v = 0; v < EXTREME_VECS; v++) lanes[v] = vf_set1(first);                                    \
    for (int64_t k = 0; k < r->n_runs; k++, wh_nd_advance(r->walk, &at, 1)) {                            \
      const float *x = (const float *)r->x + at.offset[0];                                               \
      int64_t i = 0;                                                                                     \
      for (; i + EXTREME_VECS * VF_LANES <= r->n; i += EXTREME_VECS * VF_LANES) UNROLL                   \
      for (int v = 0; v < EXTREME_VECS; v++) lanes[v] = vector(lanes[v], vf_load(x + i + v * VF_LANES)); \
      for (; i + VF_LANES <= r->n; i += VF_LANES) lanes[0] = vector(lanes[0], vf_load(x + i));           \
      for (; i < r->n; i++) y = name##_f32_step(y, x[i]);                                                \
    }                                                                                                    \
    for (int v = 1; v < EXTREME_VECS; v++) lanes[0] = vector(lanes[0], lanes[v]);                        \
    vf_store(all, lanes[0]);                                                                             \
    for (int l = 0; l < VF_LANES; l++) y = name##_f32_join(y, all[l]);                                   \
    *(float *)r->y = y;                                                                                  \
  }
REDUCE_STEPS(max, f32, float, MAXIMUM(a, x), MAXIMUM(a, b))
EXTREME_ROWS(max, -INFINITY, vf_maximum)
REDUCE_COLUMNS(max, f32, float, -INFINITY)
REDUCE_STEPS(min, f32, float, MINIMUM(a, x), MINIMUM(a, b))
EXTREME_ROWS(min, INFINITY, vf_minimum)
REDUCE_COLUMNS(min, f32, float, INFINITY)
#else
REDUCE(sum, f32, float, 0, a + x, a + b)
REDUCE(max, f32, float, -INFINITY, MAXIMUM(a, x), MAXIMUM(a, b))
REDUCE(min, f32, float, INFINITY, MINIMUM(a, x), MINIMUM(a, b))
#endif

#ifdef REDUCE_ALL
REDUCE(max, f64, double, -INFINITY, MAXIMUM(a, x), MAXIMUM(a, b))
REDUCE(min, f64, double, INFINITY, MINIMUM(a, x), MINIMUM(a, b))
REDUCE(sum, f64, double, 0, a + x, a + b)
REDUCE_FLOAT(f64, double, fma, fabs)

/* Integers wrap around. */
#define SIGNED_MAGNITUDE(x) ((x) < 0 ? 0 - (uint64_t)(x) : (uint64_t)(x))
#define UNSIGNED_MAGNITUDE(x) ((uint64_t)(x))
#define REDUCE_INTEGER(t, type, least, most, magnitude)                                              \
  REDUCE(sum, t, type, 0, (uint64_t)a + (uint64_t)x, (uint64_t)a + (uint64_t)b)                      \
  REDUCE(prod, t, type, 1, (uint64_t)a *(uint64_t)x, (uint64_t)a *(uint64_t)b)                       \
  REDUCE(max, t, type, least, a > x ? a : x, a > b ? a : b)                                          \
  REDUCE(min, t, type, most, a < x ? a : x, a < b ? a : b)                                           \
  REDUCE(sum_square, t, type, 0, (uint64_t)a + (uint64_t)x * (uint64_t)x, (uint64_t)a + (uint64_t)b) \
  REDUCE(l1, t, type, 0, (uint64_t)a + magnitude(x), (uint64_t)a + (uint64_t)b)
REDUCE_INTEGER(i8, int8_t, INT8_MIN, INT8_MAX, SIGNED_MAGNITUDE)
REDUCE_INTEGER(i16, int16_t, INT16_MIN, INT16_MAX, SIGNED_MAGNITUDE)
REDUCE_INTEGER(i32, int32_t, INT32_MIN, INT32_MAX, SIGNED_MAGNITUDE)
REDUCE_INTEGER(i64, int64_t, INT64_MIN, INT64_MAX, SIGNED_MAGNITUDE)
REDUCE_INTEGER(u8, uint8_t, 0, UINT8_MAX, UNSIGNED_MAGNITUDE)
REDUCE_INTEGER(u16, uint16_t, 0, UINT16_MAX, UNSIGNED_MAGNITUDE)
REDUCE_INTEGER(u32, uint32_t, 0, UINT32_MAX, UNSIGNED_MAGNITUDE)
REDUCE_INTEGER(u64, uint64_t, 0, UINT64_MAX, UNSIGNED_MAGNITUDE)
#endif

#endif
