/* vec_neon.h - 128-bit vectors of floats: the words of vec.h. AArch64 only: its vectors are IEEE 754 with
 * subnormals, those of ARMv7 are not. */
#ifndef WH_CPU_VEC_NEON_H
#define WH_CPU_VEC_NEON_H

#include <arm_neon.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef float32x4_t vf;
typedef uint32x4_t vf_bool;
typedef uint32_t vf_mask; /* a bit per lane */
#define VF_LANES 4
#define vf_zero() vdupq_n_f32(0.0f)
#define vf_set1(x) vdupq_n_f32(x)
#define vf_load(p) vld1q_f32(p)
#define vf_store(p, x) vst1q_f32(p, x)
static inline vf_mask vf_first(int64_t n) { return n >= VF_LANES ? 15u : n <= 0 ? 0u : (1u << n) - 1u; }
#define vf_between(begin, end) (vf_first(end) & ~vf_first(begin))
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
#define vf_store_first(n, p, x) vf_store_some(vf_first(n), p, x)
static inline vf vf_keep_first(int64_t n, vf x) {
  static const int32_t lanes[VF_LANES] = {0, 1, 2, 3};
  const uint32x4_t in = vcltq_s32(vld1q_s32(lanes), vdupq_n_s32((int32_t)n));
  return vreinterpretq_f32_u32(vandq_u32(in, vreinterpretq_u32_f32(x)));
}

#define vf_add(a, b) vaddq_f32(a, b)
#define vf_sub(a, b) vsubq_f32(a, b)
#define vf_mul(a, b) vmulq_f32(a, b)
#define vf_div(a, b) vdivq_f32(a, b)
#define vf_max(a, b) vmaxq_f32(a, b)
#define vf_minimum(a, b) vminq_f32(a, b)
#define vf_maximum(a, b) vmaxq_f32(a, b)
#define vf_at_most(x, c) vminq_f32(x, c)
#define vf_at_least(x, c) vmaxq_f32(x, c)
#define vf_relu(x) vmaxq_f32(x, vf_zero())
#define vf_fma(a, b, c) vfmaq_f32(c, a, b)
#define vf_accumulate(sum, a, b) ((sum) = vfmaq_f32(sum, a, b))
#define vf_fms(a, b, c) vfmaq_f32(vnegq_f32(c), a, b)
#define vf_neg(x) vnegq_f32(x)
#define vf_abs(x) vabsq_f32(x)
#define vf_rint(x) vrndnq_f32(x)
#define vf_copysign(magnitude, sign) vbslq_f32(vdupq_n_u32(0x80000000u), sign, magnitude)
static inline vf vf_ldexp(vf x, vf n) {
  const int32x4_t i = vcvtq_s32_f32(n), half = vshrq_n_s32(i, 1), rest = vsubq_s32(i, half);
  const int32x4_t bias = vdupq_n_s32(127);
  x = vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23)));
  return vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(rest, bias), 23)));
}
#define VF_LDEXP_IN_STEPS 1
#define vf_ldexp_normal(x, n) \
  vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x), vshlq_n_s32(vcvtq_s32_f32(n), 23)))

#define vf_less(a, b) vcltq_f32(a, b)
#define vf_not_less(a, b) vmvnq_u32(vcltq_f32(a, b))
#define vf_is_number(x) vceqq_f32(x, x)
#define vf_choose(is, yes, no) vbslq_f32(is, yes, no)
#define vf_keep(is, x) vreinterpretq_f32_u32(vandq_u32(is, vreinterpretq_u32_f32(x)))
#define vf_all(is) (vminvq_u32(is) != 0)

static inline float vf_sum_halves(vf x) {
  const float32x2_t two = vadd_f32(vget_low_f32(x), vget_high_f32(x));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
#define vf_max_halves(x) vmaxvq_f32(x)

#define vf_even(a, b) vuzp1q_f32(a, b)
#define vf_odd(a, b) vuzp2q_f32(a, b)

#define vf_in_order_of_pairs(x) (x)
static inline void vf_split_pairs(vf p, vf q, vf *even, vf *odd) {
  *even = vf_even(p, q);
  *odd = vf_odd(p, q);
}
static inline void vf_join_pairs(vf even, vf odd, vf *p, vf *q) {
  *p = vzip1q_f32(even, odd);
  *q = vzip2q_f32(even, odd);
}

static inline void vf_turn(vf k, vf s, vf c, vf *sin_out, vf *cos_out) {
  const uint32x4_t q = vreinterpretq_u32_s32(vcvtq_s32_f32(k)), one = vdupq_n_u32(1), two = vdupq_n_u32(2);
  const uint32x4_t swap = vtstq_u32(q, one), neg_sin = vshlq_n_u32(vandq_u32(q, two), 30);
  const uint32x4_t neg_cos = vshlq_n_u32(vandq_u32(vaddq_u32(q, one), two), 30);
  *sin_out = vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(vbslq_f32(swap, c, s)), neg_sin));
  *cos_out = vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(vbslq_f32(swap, s, c)), neg_cos));
}

#define vf_from_f16(p) vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16((const uint16_t *)(const void *)(p))))
static inline vf vf_from_s8(const void *p) {
  int32_t four;
  memcpy(&four, p, sizeof four);
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four))))));
}
static inline vf vf_from_u8(const void *p) {
  uint32_t four;
  memcpy(&four, p, sizeof four);
  return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four))))));
}
#define vf_from_i32(p) vcvtq_f32_s32(vld1q_s32(p))
/* A NaN is the least, also a signalling one, which vmaxnmq would keep. */
static inline void vf_store_codes(uint8_t *p, vf x, bool is_signed) {
  const vf low = vdupq_n_f32(is_signed ? -128.0f : 0.0f), high = vdupq_n_f32(is_signed ? 127.0f : 255.0f);
  const vf up = vbslq_f32(vcltq_f32(low, x), x, low);
  const int16x4_t h = vmovn_s32(vcvtnq_s32_f32(vminq_f32(up, high)));
  const int8x8_t b = vmovn_s16(vcombine_s16(h, h));
  const uint32_t four = vget_lane_u32(vreinterpret_u32_s8(b), 0);
  memcpy(p, &four, sizeof four);
}
static inline void vf_from_nibbles(const void *p, vf *low, vf *high) {
  uint32_t four;
  memcpy(&four, p, sizeof four);
  const uint32x4_t bytes = vmovl_u16(vget_low_u16(vmovl_u8(vreinterpret_u8_u32(vdup_n_u32(four)))));
  *low = vcvtq_f32_u32(vandq_u32(bytes, vdupq_n_u32(15)));
  *high = vcvtq_f32_u32(vshrq_n_u32(bytes, 4));
}

#include "backends/cpu/vec.h"

#endif
