/* rowops_norm.h - row reductions that the row ops of one instruction set share, over vectors (vec.h). */
#ifndef WH_CPU_ROWOPS_NORM_H
#define WH_CPU_ROWOPS_NORM_H

#include "backends/cpu/vec_math.h"

#define SUM_VECS (64 / VF_LANES)

/* lane += x^2 for the first `left` lanes; the others keep their value: fma(0, 0, lane) = lane. */
static inline vf add_square(vf lane, const float *x, int64_t left) {
  const vf v = vf_load_left(x, left);
  return vf_fma(v, v, lane);
}

static inline float sum64_squares(const float *x, int64_t n) {
  vf s[SUM_VECS];
  int64_t j = 0;
  UNROLL
  for (int v = 0; v < SUM_VECS; v++) s[v] = vf_zero();
  for (; j + 64 <= n; j += 64) UNROLL
  for (int v = 0; v < SUM_VECS; v++) s[v] = add_square(s[v], x + j + v * VF_LANES, VF_LANES);
  UNROLL
  for (int v = 0; v < SUM_VECS; v++, j += VF_LANES)
    if (j < n) s[v] = add_square(s[v], x + j, n - j);
  return vf_sum64_tree(s);
}

/* lane += (x - mean)^2, the square rounded first; lanes behind `left` get +0. */
static inline vf add_deviation(vf lane, const float *x, int64_t left, vf mean) {
  vf d = vf_sub(vf_load_left(x, left), mean);
  if (left < VF_LANES) d = vf_keep_first(left, d);
  return vf_add(lane, vf_mul(d, d));
}

static inline float sum64_deviations(const float *x, int64_t n, float mean_value) {
  const vf mean = vf_set1(mean_value);
  vf s[SUM_VECS];
  int64_t j = 0;
  UNROLL
  for (int v = 0; v < SUM_VECS; v++) s[v] = vf_zero();
  for (; j + 64 <= n; j += 64) UNROLL
  for (int v = 0; v < SUM_VECS; v++) s[v] = add_deviation(s[v], x + j + v * VF_LANES, VF_LANES, mean);
  UNROLL
  for (int v = 0; v < SUM_VECS; v++, j += VF_LANES)
    if (j < n) s[v] = add_deviation(s[v], x + j, n - j, mean);
  return vf_sum64_tree(s);
}

/* Adding +0 to the lanes past the end changes none: a lane that starts at +0 never becomes -0. */
static inline float sum64(const float *x, int64_t n) {
  vf s[SUM_VECS];
  int64_t j = 0;
  UNROLL
  for (int v = 0; v < SUM_VECS; v++) s[v] = vf_zero();
  for (; j + 64 <= n; j += 64) UNROLL
  for (int v = 0; v < SUM_VECS; v++) s[v] = vf_add(s[v], vf_load(x + j + v * VF_LANES));
  UNROLL
  for (int v = 0; v < SUM_VECS; v++, j += VF_LANES)
    if (j < n) s[v] = vf_add(s[v], vf_load_left(x + j, n - j));
  return vf_sum64_tree(s);
}

static inline float rms_factor(const float *x, int64_t n, float eps) {
  return 1.0f / sqrtf(sum64_squares(x, n) / (float)n + eps);
}

/* y[0..n) = (x * r) * w, or x * r without weights. */
static inline void rms_apply(float *y, const float *x, const float *weight, float r, int64_t n) {
  for (int64_t j = 0; j < n; j += VF_LANES) {
    vf v = vf_mul(vf_load_left(x + j, n - j), vf_set1(r));
    if (weight) v = vf_mul(v, vf_load_left(weight + j, n - j));
    vf_store_left(y + j, n - j, v);
  }
}

#endif
