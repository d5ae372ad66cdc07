/* rowops_norm_neon.h - row reductions that the NEON row-op files share. Static inline only. */
#ifndef WH_CPU_ROWOPS_NORM_NEON_H
#define WH_CPU_ROWOPS_NORM_NEON_H

#include "backends/cpu/neon/math_neon.h"

/* lane += (x - mean)^2 for the first `left` lanes; the others keep their value: fma(0, 0, lane) = lane. */
static inline float32x4_t wh_add_square_neon(float32x4_t lane, const float *x, int64_t left,
                                             float32x4_t mean) {
  static const int32_t lanes[4] = {0, 1, 2, 3};
  float32x4_t d = vsubq_f32(wh_load_neon(x, left), mean);
  if (left < 4) d = wh_keep_neon(vcltq_s32(vld1q_s32(lanes), vdupq_n_s32((int32_t)left)), d);
  return wh_fma_neon(d, d, lane);
}

static inline float wh_sum64_squares_neon(const float *x, int64_t n, float mean_value) {
  float32x4_t s[16];
  const float32x4_t mean = vdupq_n_f32(mean_value);
  for (int v = 0; v < 16; v++) s[v] = vdupq_n_f32(0.0f);
  int64_t j = 0;
  for (; j + 64 <= n; j += 64)
    for (int v = 0; v < 16; v++) s[v] = wh_add_square_neon(s[v], x + j + v * 4, 4, mean);
  for (int v = 0; j < n; v++, j += 4) s[v] = wh_add_square_neon(s[v], x + j, n - j, mean);
  return wh_sum64_tree_neon(s);
}

/* Adding +0 to the lanes past the end changes none: a lane that starts at +0 never becomes -0. */
static inline float wh_sum64_neon(const float *x, int64_t n) {
  float32x4_t s[16];
  for (int v = 0; v < 16; v++) s[v] = vdupq_n_f32(0.0f);
  int64_t j = 0;
  for (; j + 64 <= n; j += 64)
    for (int v = 0; v < 16; v++) s[v] = vaddq_f32(s[v], vld1q_f32(x + j + v * 4));
  for (int v = 0; j < n; v++, j += 4) s[v] = vaddq_f32(s[v], wh_load_neon(x + j, n - j));
  return wh_sum64_tree_neon(s);
}

static inline float wh_rms_factor_neon(const float *x, int64_t n, float eps) {
  return 1.0f / sqrtf(wh_sum64_squares_neon(x, n, 0.0f) / (float)n + eps);
}

/* y[0..n) = (x * r) * w, or x * r without weights. */
static inline void wh_rms_apply_neon(float *y, const float *x, const float *weight, float r, int64_t n) {
  for (int64_t j = 0; j < n; j += 4) {
    float32x4_t v = vmulq_n_f32(wh_load_neon(x + j, n - j), r);
    if (weight) v = vmulq_f32(v, wh_load_neon(weight + j, n - j));
    wh_store_neon(y + j, n - j, v);
  }
}

#endif
