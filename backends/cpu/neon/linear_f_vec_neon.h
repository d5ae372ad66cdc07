/* linear_f_vec_neon.h - 128-bit vectors of floats for register tiles, and how tall and wide these are
 * (linear_f_tiles.h). */
#ifndef WH_CPU_LINEAR_F_VEC_NEON_H
#define WH_CPU_LINEAR_F_VEC_NEON_H

#include <arm_neon.h>
#include <stdint.h>

typedef float32x4_t vf;
typedef uint32_t vf_mask; /* a bit per lane */
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
#define vf_first(n) ((1u << (n)) - 1u)
#define vf_between(begin, end) (vf_first(end) & ~vf_first(begin))
#define vf_add(a, b) vaddq_f32(a, b)
#define vf_fma(a, b, c) vfmaq_f32(c, a, b)
#define vf_sub(a, b) vsubq_f32(a, b)
#define vf_mul(a, b) vmulq_f32(a, b)
#define vf_div(a, b) vdivq_f32(a, b)
#define vf_min(a, b) vminq_f32(a, b) /* NaN when one is, -0 below +0 */
#define vf_max(a, b) vmaxq_f32(a, b)
#define vf_relu(a) vmaxq_f32(a, vf_zero())
#define vf_neg(a) vnegq_f32(a)
#define vf_abs(a) vabsq_f32(a)
/* elements 0, 2, 4 ... and 1, 3, 5 ... of a and b behind it */
#define vf_even(a, b) vuzp1q_f32(a, b)
#define vf_odd(a, b) vuzp2q_f32(a, b)

static inline vf vf_load_some(vf_mask mask, const float *p) {
  float some[VF_LANES] = {0.0f};
  for (int i = 0; i < VF_LANES; i++)
    if (mask >> i & 1) some[i] = p[i];
  return vld1q_f32(some);
}
static inline void vf_store_some(vf_mask mask, float *p, vf x) {
  float some[VF_LANES];
  vst1q_f32(some, x);
  for (int i = 0; i < VF_LANES; i++)
    if (mask >> i & 1) p[i] = some[i];
}

#endif
