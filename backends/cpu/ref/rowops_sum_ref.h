/* ref/rowops_sum_ref.h - the reductions of docs/NUMERICS.md, "Row reductions", in plain C. */
#ifndef WH_CPU_REF_ROWOPS_SUM_REF_H
#define WH_CPU_REF_ROWOPS_SUM_REF_H

#include <stdint.h>

#include "core/base/exact_math.h"

static inline float wh_ref_sum_tree(float lane[64]) {
  for (int h = 32; h >= 1; h /= 2)
    for (int i = 0; i < h; i++) lane[i] = lane[i] + lane[i + h];
  return lane[0];
}

static inline float wh_ref_sum64(const float *x, int64_t n) {
  float lane[64] = {0};
  for (int64_t j = 0; j < n; j++) lane[j % 64] = lane[j % 64] + x[j];
  return wh_ref_sum_tree(lane);
}

static inline float wh_ref_sum64_squares(const float *x, int64_t n) {
  float lane[64] = {0};
  for (int64_t j = 0; j < n; j++) lane[j % 64] = fmaf(x[j], x[j], lane[j % 64]);
  return wh_ref_sum_tree(lane);
}

/* Of (x - mean)^2, which is rounded before it is added. */
static inline float wh_ref_sum64_deviations(const float *x, int64_t n, float mean) {
  float lane[64] = {0};
  for (int64_t j = 0; j < n; j++) {
    const float d = x[j] - mean, square = d * d;
    lane[j % 64] = lane[j % 64] + square;
  }
  return wh_ref_sum_tree(lane);
}

static inline float wh_ref_rms_factor(const float *x, int64_t n, float eps) {
  return 1.0f / sqrtf(wh_ref_sum64_squares(x, n) / (float)n + eps);
}

#endif
