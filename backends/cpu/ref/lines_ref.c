/* ref/lines_ref.c - ops along one axis, for all types. */
#include "backends/cpu/lines.h"

/* Whether a line has x before z: NaN is above all numbers, the zeros are equal; of equal ones the first comes
 * first. The heap of the k best so far has the worst at its root: indices stand in `indices`, `s` apart. */
#define LINES(t, type, is_above, sum)                                                                        \
  static bool above_##t(type x, type z) { return (is_above); }                                               \
  static bool before_##t(const wh_line *l, bool largest, int64_t i, int64_t k) {                             \
    const type x = ((const type *)l->x)[i * l->stride], z = ((const type *)l->x)[k * l->stride];             \
    if (above_##t(x, z)) return largest;                                                                     \
    if (above_##t(z, x)) return !largest;                                                                    \
    return i < k;                                                                                            \
  }                                                                                                          \
  static void sift_##t(const wh_line *l, bool largest, int64_t *heap, int64_t s, int64_t n, int64_t at) {    \
    const int64_t item = heap[at * s];                                                                       \
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {                                              \
      if (child + 1 < n && before_##t(l, largest, heap[child * s], heap[(child + 1) * s])) child++;          \
      if (!before_##t(l, largest, item, heap[child * s])) break;                                             \
      heap[at * s] = heap[child * s];                                                                        \
    }                                                                                                        \
    heap[at * s] = item;                                                                                     \
  }                                                                                                          \
  static void topk_##t(const wh_line *l, bool largest, int64_t k, void *values, int64_t *heap, int64_t s) {  \
    if (k == 0) return;                                                                                      \
    for (int64_t i = 0; i < k; i++) heap[i * s] = i;                                                         \
    for (int64_t i = k / 2; i-- > 0;) sift_##t(l, largest, heap, s, k, i);                                   \
    for (int64_t i = k; i < l->n; i++) {                                                                     \
      if (!before_##t(l, largest, i, heap[0])) continue;                                                     \
      heap[0] = i;                                                                                           \
      sift_##t(l, largest, heap, s, k, 0);                                                                   \
    }                                                                                                        \
    for (int64_t n = k - 1; n > 0; n--) { /* the worst goes to the end */                                    \
      const int64_t worst = heap[0];                                                                         \
      heap[0] = heap[n * s];                                                                                 \
      heap[n * s] = worst;                                                                                   \
      sift_##t(l, largest, heap, s, n, 0);                                                                   \
    }                                                                                                        \
    for (int64_t i = 0; i < k; i++) ((type *)values)[i * s] = ((const type *)l->x)[heap[i * s] * l->stride]; \
  }                                                                                                          \
  static int64_t arg_##t(const wh_line *l, bool largest, bool last) {                                        \
    int64_t best = 0;                                                                                        \
    for (int64_t i = 1; i < l->n; i++) {                                                                     \
      const type x = ((const type *)l->x)[i * l->stride], z = ((const type *)l->x)[best * l->stride];        \
      if (z != z && !(last && x != x)) continue; /* a NaN is what is looked for */                           \
      const bool better = x != x || (largest ? x > z : x < z);                                               \
      if (better || (last && x == z)) best = i;                                                              \
    }                                                                                                        \
    return best;                                                                                             \
  }                                                                                                          \
  static void cumsum_##t(const wh_line *l, bool exclusive, bool reverse, void *y) {                          \
    type a = 0;                                                                                              \
    for (int64_t i = 0; i < l->n; i++) {                                                                     \
      const int64_t at = (reverse ? l->n - 1 - i : i) * l->stride;                                           \
      const type x = ((const type *)l->x)[at], before = a;                                                   \
      a = (type)(sum);                                                                                       \
      ((type *)y)[at] = exclusive ? before : a;                                                              \
    }                                                                                                        \
  }                                                                                                          \
  const wh_line_fns wh_lines_##t = {arg_##t, topk_##t, cumsum_##t};

#define FLOAT_LINES(t, type) LINES(t, type, x > z || (x != x && z == z), a + x)
#define INTEGER_LINES(t, type) LINES(t, type, x > z, (uint64_t)a + (uint64_t)x)
FLOAT_LINES(f32, float)
FLOAT_LINES(f64, double)
INTEGER_LINES(i8, int8_t)
INTEGER_LINES(i16, int16_t)
INTEGER_LINES(i32, int32_t)
INTEGER_LINES(i64, int64_t)
INTEGER_LINES(u8, uint8_t)
INTEGER_LINES(u16, uint16_t)
INTEGER_LINES(u32, uint32_t)
INTEGER_LINES(u64, uint64_t)
