/* linear_f_neon.c - products with float weights, 128-bit vectors. */
#include <arm_neon.h>
#include <stdint.h>

typedef float32x4_t vf;
typedef int64_t vf_mask; /* how many lanes */
#define VF_LANES 4
#define TILE_ROWS 6
#define TALL_ROWS 6
#define TILE_VECS 4
#define WIDE_ROWS 2
#define WIDE_VECS 8
#define vf_zero() vdupq_n_f32(0.0f)
#define vf_set1(x) vdupq_n_f32(x)
#define vf_load(p) vld1q_f32(p)
#define vf_store(p, x) vst1q_f32(p, x)
#define vf_first(n) (n)
#define vf_add(a, b) vaddq_f32(a, b)
#define vf_fma(a, b, c) vfmaq_f32(c, a, b)

static inline vf vf_load_some(vf_mask n, const float *p) {
  float some[VF_LANES] = {0.0f};
  for (int64_t i = 0; i < n; i++) some[i] = p[i];
  return vld1q_f32(some);
}
static inline void vf_store_some(vf_mask n, float *p, vf x) {
  float some[VF_LANES];
  vst1q_f32(some, x);
  for (int64_t i = 0; i < n; i++) p[i] = some[i];
}

#include "backends/cpu/linear_f_tiles.h"

void wh_k_linear_f_neon(const wh_linear_f_args *args, const wh_worker *worker) {
  wh_linear_f_run(args, worker, &steps);
}

const wh_linear_f_isa *wh_k_linear_f_steps_neon(void) { return &steps; }
