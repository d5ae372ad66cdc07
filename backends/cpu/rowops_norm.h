/* rowops_norm.h - row reductions that the row ops of one instruction set share, over vectors (vec.h). */
#ifndef WH_CPU_ROWOPS_NORM_H
#define WH_CPU_ROWOPS_NORM_H

#include "backends/cpu/vec_math.h"

#define SUM_VECS (64 / VF_LANES)

/* What a sum adds to a lane of the first `left` elements at x; other lanes keep their value. */
typedef vf (*sum_step)(vf lane, const float *x, int64_t left, vf mean);

static inline __attribute__((always_inline)) float sum64_by(const sum_step step, const float *x, int64_t n,
                                                            float mean_value) {
  const vf mean = vf_set1(mean_value);
  vf s[SUM_VECS];
  int64_t j = 0;
  UNROLL
  for (int v = 0; v < SUM_VECS; v++) s[v] = vf_zero();
  for (; j + 64 <= n; j += 64) UNROLL
  for (int v = 0; v < SUM_VECS; v++) s[v] = step(s[v], x + j + v * VF_LANES, VF_LANES, mean);
  UNROLL
  for (int v = 0; v < SUM_VECS; v++, j += VF_LANES)
    if (j < n) s[v] = step(s[v], x + j, n - j, mean);
  return vf_sum64_tree(s);
}

/* Adding +0 changes none: a lane that starts at +0 never becomes -0; and fma(0, 0, lane) = lane. */
static inline vf add_element(vf lane, const float *x, int64_t left, vf mean) {
  (void)mean;
  return vf_add(lane, vf_load_left(x, left));
}
static inline vf add_square(vf lane, const float *x, int64_t left, vf mean) {
  const vf v = vf_load_left(x, left);
  (void)mean;
  return vf_fma(v, v, lane);
}
/* (x - mean)^2, rounded before it is added. */
static inline vf add_deviation(vf lane, const float *x, int64_t left, vf mean) {
  vf d = vf_sub(vf_load_left(x, left), mean);
  if (left < VF_LANES) d = vf_keep_first(left, d);
  return vf_add(lane, vf_mul(d, d));
}

static inline float sum64(const float *x, int64_t n) { return sum64_by(add_element, x, n, 0.0f); }
static inline float sum64_squares(const float *x, int64_t n) { return sum64_by(add_square, x, n, 0.0f); }
static inline float sum64_deviations(const float *x, int64_t n, float mean) {
  return sum64_by(add_deviation, x, n, mean);
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
