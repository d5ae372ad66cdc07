/* avx2/rowops_norm_avx2.h - masks and row reductions that the AVX2 row-op files share. Static inline only. */
#ifndef WH_CPU_ROWOPS_NORM_AVX2_H
#define WH_CPU_ROWOPS_NORM_AVX2_H

#include "backends/cpu/avx2/math_avx2.h"

/* The first `left` of 8 lanes; left may be negative or more than 8. */
static inline __m256i wh_lanes_avx2(int64_t left) {
  int32_t n = left > 8 ? 8 : left < 0 ? 0 : (int32_t)left;
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* Eight elements from x, zeros from lane `left` on; nothing is read past them. */
static inline __m256 wh_load_avx2(const float *x, int64_t left) {
  return left >= 8 ? _mm256_loadu_ps(x) : _mm256_maskload_ps(x, wh_lanes_avx2(left));
}
static inline void wh_store_avx2(float *y, int64_t left, __m256 v) {
  if (left >= 8)
    _mm256_storeu_ps(y, v);
  else
    _mm256_maskstore_ps(y, wh_lanes_avx2(left), v);
}

/* lane += (x - mean)^2 for the first `left` lanes; the others keep their value, since fma(0, 0, lane) = lane.
 */
static inline __m256 wh_add_square_avx2(__m256 lane, const float *x, int64_t left, __m256 mean) {
  __m256 d = _mm256_sub_ps(wh_load_avx2(x, left), mean);
  if (left < 8) d = _mm256_and_ps(d, _mm256_castsi256_ps(wh_lanes_avx2(left)));
  return _mm256_fmadd_ps(d, d, lane);
}

static inline float wh_sum64_squares_avx2(const float *x, int64_t n, float mean_value) {
  __m256 s[8];
  const __m256 mean = _mm256_set1_ps(mean_value);
  for (int v = 0; v < 8; v++) s[v] = _mm256_setzero_ps();
  int64_t j = 0;
  for (; j + 64 <= n; j += 64) {
    s[0] = wh_add_square_avx2(s[0], x + j, 8, mean);
    s[1] = wh_add_square_avx2(s[1], x + j + 8, 8, mean);
    s[2] = wh_add_square_avx2(s[2], x + j + 16, 8, mean);
    s[3] = wh_add_square_avx2(s[3], x + j + 24, 8, mean);
    s[4] = wh_add_square_avx2(s[4], x + j + 32, 8, mean);
    s[5] = wh_add_square_avx2(s[5], x + j + 40, 8, mean);
    s[6] = wh_add_square_avx2(s[6], x + j + 48, 8, mean);
    s[7] = wh_add_square_avx2(s[7], x + j + 56, 8, mean);
  }
  for (int v = 0; j < n; v++, j += 8) s[v] = wh_add_square_avx2(s[v], x + j, n - j, mean);
  return wh_sum64_tree_avx2(s);
}

/* Adding +0 to the lanes past the end changes none: a lane that starts at +0 never becomes -0. */
static inline float wh_sum64_avx2(const float *x, int64_t n) {
  __m256 s[8];
  for (int v = 0; v < 8; v++) s[v] = _mm256_setzero_ps();
  int64_t j = 0;
  for (; j + 64 <= n; j += 64) {
    s[0] = _mm256_add_ps(s[0], _mm256_loadu_ps(x + j));
    s[1] = _mm256_add_ps(s[1], _mm256_loadu_ps(x + j + 8));
    s[2] = _mm256_add_ps(s[2], _mm256_loadu_ps(x + j + 16));
    s[3] = _mm256_add_ps(s[3], _mm256_loadu_ps(x + j + 24));
    s[4] = _mm256_add_ps(s[4], _mm256_loadu_ps(x + j + 32));
    s[5] = _mm256_add_ps(s[5], _mm256_loadu_ps(x + j + 40));
    s[6] = _mm256_add_ps(s[6], _mm256_loadu_ps(x + j + 48));
    s[7] = _mm256_add_ps(s[7], _mm256_loadu_ps(x + j + 56));
  }
  for (int v = 0; j < n; v++, j += 8) s[v] = _mm256_add_ps(s[v], wh_load_avx2(x + j, n - j));
  return wh_sum64_tree_avx2(s);
}

static inline float wh_rms_factor_avx2(const float *x, int64_t n, float eps) {
  return 1.0f / sqrtf(wh_sum64_squares_avx2(x, n, 0.0f) / (float)n + eps);
}

/* y[0..n) = (x * r) * w, or x * r without weights. */
static inline void wh_rms_apply_avx2(float *y, const float *x, const float *weight, float r_value,
                                     int64_t n) {
  const __m256 r = _mm256_set1_ps(r_value);
  for (int64_t j = 0; j < n; j += 8) {
    __m256 v = _mm256_mul_ps(wh_load_avx2(x + j, n - j), r);
    if (weight) v = _mm256_mul_ps(v, wh_load_avx2(weight + j, n - j));
    wh_store_avx2(y + j, n - j, v);
  }
}

#endif
