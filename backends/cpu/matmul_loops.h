/* matmul_loops.h - products in plain C, for the compiler to make vectors of: an output is one chain along k,
 * and neighbouring outputs of a row are lanes. The includer defines LEVEL. */
#ifndef WH_CPU_MATMUL_LOOPS_H
#define WH_CPU_MATMUL_LOOPS_H

#include <math.h>

#include "backends/cpu/matmul_kernels.h"

#define COLUMNS 64
#define CHUNK 512
#define JOIN_(t, level) wh_k_matmul_##t##__##level
#define JOIN(t, level) JOIN_(t, level)

#define MATMUL_FLOAT(t, type, fused)                                                                   \
  static void columns_##t(const wh_matmul_part *p, const type *a, const type *b, type *y, int64_t n) { \
    type sum[COLUMNS] = {0};                                                                           \
    for (int64_t k0 = 0; k0 < p->k; k0 += CHUNK) {                                                     \
      const int64_t k1 = p->k - k0 < CHUNK ? p->k : k0 + CHUNK;                                        \
      type lane[COLUMNS] = {0};                                                                        \
      if (n == COLUMNS) {                                                                              \
        for (int64_t k = k0; k < k1; k++)                                                              \
          for (int c = 0; c < COLUMNS; c++) lane[c] = fused(a[k], b[k * p->ldb + c], lane[c]);         \
      } else {                                                                                         \
        for (int64_t k = k0; k < k1; k++)                                                              \
          for (int64_t c = 0; c < n; c++) lane[c] = fused(a[k], b[k * p->ldb + c], lane[c]);           \
      }                                                                                                \
      for (int c = 0; c < COLUMNS; c++) sum[c] = sum[c] + lane[c];                                     \
    }                                                                                                  \
    for (int64_t c = 0; c < n; c++) y[c] = sum[c];                                                     \
  }                                                                                                    \
  void JOIN(t, LEVEL)(const wh_matmul_part *p) {                                                       \
    for (int64_t c = 0; c < p->n; c += COLUMNS)                                                        \
      for (int64_t r = 0; r < p->m; r++)                                                               \
        columns_##t(p, (const type *)p->a + r * p->lda, (const type *)p->b + c,                        \
                    (type *)p->y + r * p->ldy + c, p->n - c < COLUMNS ? p->n - c : COLUMNS);           \
  }
MATMUL_FLOAT(f32, float, fmaf)
MATMUL_FLOAT(f64, double, fma)

/* Sums wrap around; their order is free. */
#define MATMUL_CODES(t, a_type, b_type)                                                              \
  static void columns_##t(const wh_matmul_part *p, const a_type *a, int32_t a_zero, const b_type *b, \
                          int64_t c0, int32_t *y, int64_t n) {                                       \
    uint32_t sum[COLUMNS] = {0};                                                                     \
    int32_t zero[COLUMNS] = {0};                                                                     \
    const b_type *zeros = p->b_zero;                                                                 \
    for (int64_t c = 0; c < n && zeros; c++) zero[c] = zeros[(c0 + c) * p->b_zero_step];             \
    for (int64_t k = 0; k < p->k; k++) {                                                             \
      const int32_t x = a[k] - a_zero;                                                               \
      for (int64_t c = 0; c < n; c++) sum[c] += (uint32_t)(x * (b[k * p->ldb + c] - zero[c]));       \
    }                                                                                                \
    for (int64_t c = 0; c < n; c++) y[c] = (int32_t)sum[c];                                          \
  }                                                                                                  \
  void JOIN(t, LEVEL)(const wh_matmul_part *p) {                                                     \
    const a_type *zeros = p->a_zero;                                                                 \
    for (int64_t c = 0; c < p->n; c += COLUMNS)                                                      \
      for (int64_t r = 0; r < p->m; r++)                                                             \
        columns_##t(p, (const a_type *)p->a + r * p->lda, zeros ? zeros[r * p->a_zero_step] : 0,     \
                    (const b_type *)p->b + c, c, (int32_t *)p->y + r * p->ldy + c,                   \
                    p->n - c < COLUMNS ? p->n - c : COLUMNS);                                        \
  }
MATMUL_CODES(i8i8, int8_t, int8_t)
MATMUL_CODES(i8u8, int8_t, uint8_t)
MATMUL_CODES(u8i8, uint8_t, int8_t)
MATMUL_CODES(u8u8, uint8_t, uint8_t)

#endif
