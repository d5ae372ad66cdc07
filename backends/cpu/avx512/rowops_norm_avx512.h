/* avx512/rowops_norm_avx512.h - masks and row reductions that the AVX-512 row-op files share. Static inline
 * only. */
#ifndef WH_CPU_ROWOPS_NORM_AVX512_H
#define WH_CPU_ROWOPS_NORM_AVX512_H

#include "backends/cpu/avx512/math_avx512.h"

/* The first `left` of 16 lanes; left may be negative or more than 16. */
static inline __mmask16 wh_lanes_avx512(int64_t left) {
  return left >= 16 ? (__mmask16)0xffff : left <= 0 ? (__mmask16)0 : (__mmask16)((1u << left) - 1u);
}

/* lane += (x - mean)^2; lanes outside the mask keep their value, since fma(0, 0, lane) = lane. */
static inline __m512 wh_add_square_avx512(__m512 lane, __mmask16 m, const float *x, __m512 mean) {
  __m512 d = _mm512_maskz_sub_ps(m, _mm512_maskz_loadu_ps(m, x), mean);
  return _mm512_fmadd_ps(d, d, lane);
}

static inline float wh_sum64_squares_avx512(const float *x, int64_t n, float mean_value) {
  __m512 s[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
  const __m512 mean = _mm512_set1_ps(mean_value);
  int64_t j = 0;
  for (; j + 64 <= n; j += 64) {
    s[0] = wh_add_square_avx512(s[0], 0xffff, x + j, mean);
    s[1] = wh_add_square_avx512(s[1], 0xffff, x + j + 16, mean);
    s[2] = wh_add_square_avx512(s[2], 0xffff, x + j + 32, mean);
    s[3] = wh_add_square_avx512(s[3], 0xffff, x + j + 48, mean);
  }
  s[0] = wh_add_square_avx512(s[0], wh_lanes_avx512(n - j), x + j, mean);
  s[1] = wh_add_square_avx512(s[1], wh_lanes_avx512(n - j - 16), x + j + 16, mean);
  s[2] = wh_add_square_avx512(s[2], wh_lanes_avx512(n - j - 32), x + j + 32, mean);
  s[3] = wh_add_square_avx512(s[3], wh_lanes_avx512(n - j - 48), x + j + 48, mean);
  return wh_sum64_tree_avx512(s);
}

/* Adding +0 to the lanes past the end changes none: a lane that starts at +0 never becomes -0. */
static inline float wh_sum64_avx512(const float *x, int64_t n) {
  __m512 s[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
  for (int64_t j = 0; j < n; j += 64) {
    s[0] = _mm512_add_ps(s[0], _mm512_maskz_loadu_ps(wh_lanes_avx512(n - j), x + j));
    s[1] = _mm512_add_ps(s[1], _mm512_maskz_loadu_ps(wh_lanes_avx512(n - j - 16), x + j + 16));
    s[2] = _mm512_add_ps(s[2], _mm512_maskz_loadu_ps(wh_lanes_avx512(n - j - 32), x + j + 32));
    s[3] = _mm512_add_ps(s[3], _mm512_maskz_loadu_ps(wh_lanes_avx512(n - j - 48), x + j + 48));
  }
  return wh_sum64_tree_avx512(s);
}

static inline float wh_rms_factor_avx512(const float *x, int64_t n, float eps) {
  return 1.0f / sqrtf(wh_sum64_squares_avx512(x, n, 0.0f) / (float)n + eps);
}

/* y[0..n) = (x * r) * w, or x * r without weights. */
static inline void wh_rms_apply_avx512(float *y, const float *x, const float *weight, float r_value,
                                       int64_t n) {
  const __m512 r = _mm512_set1_ps(r_value);
  for (int64_t j = 0; j < n; j += 16) {
    __mmask16 m = wh_lanes_avx512(n - j);
    __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + j), r);
    if (weight) v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(m, weight + j));
    _mm512_mask_storeu_ps(y + j, m, v);
  }
}

#endif
