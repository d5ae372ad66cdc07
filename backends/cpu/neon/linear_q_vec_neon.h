/* linear_q_vec_neon.h - the 128-bit vector operations that linear_q_dots.h and its users are written in. A
 * kernel file of a higher level defines one of WH_LINEAR_Q_DOTPROD   dots of four signed bytes
 *   WH_LINEAR_Q_I8MM      dots of four unsigned by signed bytes, and products of matrices of 2 x 8 bytes
 * before it. All static: nothing compiled here can be linked elsewhere. */
#ifndef WH_CPU_LINEAR_Q_VEC_NEON_H
#define WH_CPU_LINEAR_Q_VEC_NEON_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#define ALWAYS_INLINE static inline __attribute__((always_inline))

#define LANES 4
typedef int32x4_t vint;
typedef float32x4_t vflt;

#if defined(WH_LINEAR_Q_I8MM)
#define DOTS_ARE_WHOLE 1
#define DOTS_IN_PAIRS 1
#elif defined(WH_LINEAR_Q_DOTPROD)
#define DOTS_ARE_WHOLE 1
#define CODES_ARE_SIGNED 1
#else
#define CODES_ARE_SIGNED 1
#define PRODUCTS_PER_SUM 1 /* of each quad, in an int16 lane */
#endif
#ifdef DOTS_ARE_WHOLE
#define VECS 4 /* 32 registers hold the sums of 4 rows */
#else
#define VECS 2 /* a vector's products are two */
#endif

ALWAYS_INLINE uint8x16_t vec_u8(vint a) { return vreinterpretq_u8_s32(a); }
ALWAYS_INLINE int8x16_t vec_s8(vint a) { return vreinterpretq_s8_s32(a); }
ALWAYS_INLINE uint16x8_t vec_u16(vint a) { return vreinterpretq_u16_s32(a); }
ALWAYS_INLINE int16x8_t vec_s16(vint a) { return vreinterpretq_s16_s32(a); }

ALWAYS_INLINE vint vint_load(const void *p) { return vreinterpretq_s32_u8(vld1q_u8(p)); }
ALWAYS_INLINE void vint_store(void *p, vint v) { vst1q_u8(p, vec_u8(v)); }
ALWAYS_INLINE vint vint_zero(void) { return vdupq_n_s32(0); }
ALWAYS_INLINE vint vint_set8(int v) { return vreinterpretq_s32_s8(vdupq_n_s8((int8_t)v)); }
ALWAYS_INLINE vint vint_set16(int v) { return vreinterpretq_s32_s16(vdupq_n_s16((int16_t)v)); }
ALWAYS_INLINE vint vint_set32(int v) { return vdupq_n_s32(v); }
ALWAYS_INLINE vint vint_bcast32(const void *p) {
  int32_t v;
  memcpy(&v, p, 4);
  return vdupq_n_s32(v);
}
ALWAYS_INLINE vint vint_bcast128(const void *p) { return vint_load(p); }
ALWAYS_INLINE vint vint_add8(vint a, vint b) { return vreinterpretq_s32_u8(vaddq_u8(vec_u8(a), vec_u8(b))); }
ALWAYS_INLINE vint vint_sub16(vint a, vint b) {
  return vreinterpretq_s32_s16(vsubq_s16(vec_s16(a), vec_s16(b)));
}
ALWAYS_INLINE vint vint_and(vint a, vint b) { return vandq_s32(a, b); }
ALWAYS_INLINE vint vint_xor(vint a, vint b) { return veorq_s32(a, b); }
/* a | (b & mask) */
ALWAYS_INLINE vint vint_or_and(vint a, vint b, vint mask) { return vorrq_s32(a, vandq_s32(b, mask)); }
/* n is a constant where these are used, which the intrinsics with immediates cannot see */
ALWAYS_INLINE vint vint_shr16(vint a, int n) { return vreinterpretq_s32_u16(vec_u16(a) >> n); }
ALWAYS_INLINE vint vint_shl16(vint a, int n) { return vreinterpretq_s32_u16(vec_u16(a) << n); }
ALWAYS_INLINE vint vint_shl32(vint a, int n) { return vshlq_s32(a, vdupq_n_s32(n)); }
ALWAYS_INLINE vint vint_shlv32(vint a, vint n) { return vshlq_s32(a, n); }
ALWAYS_INLINE vint vint_add32(vint a, vint b) { return vaddq_s32(a, b); }
ALWAYS_INLINE vint vint_lookup(vint table, vint index) {
  return vreinterpretq_s32_u8(vqtbl1q_u8(vec_u8(table), vec_u8(index)));
}
ALWAYS_INLINE vint vint_from_u8_16(const void *p) { /* 8 bytes to 16-bit lanes */
  return vreinterpretq_s32_u16(vmovl_u8(vld1_u8(p)));
}
/* sum of the products of adjacent 16-bit lanes */
ALWAYS_INLINE vint vint_dot16(vint acc, vint a, vint b) {
  const int32x4_t low = vmull_s16(vget_low_s16(vec_s16(a)), vget_low_s16(vec_s16(b)));
  return vaddq_s32(acc, vpaddq_s32(low, vmull_high_s16(vec_s16(a), vec_s16(b))));
}
/* A running sum of such products: of the lower and the upper columns, even and odd k apart. */
typedef struct vdot16 {
  int32x4_t low, high;
} vdot16;
ALWAYS_INLINE vdot16 vdot16_zero(void) { return (vdot16){vdupq_n_s32(0), vdupq_n_s32(0)}; }
ALWAYS_INLINE void vdot16_add(vdot16 *sum, vint a, vint b) {
  sum->low = vmlal_s16(sum->low, vget_low_s16(vec_s16(a)), vget_low_s16(vec_s16(b)));
  sum->high = vmlal_high_s16(sum->high, vec_s16(a), vec_s16(b));
}
ALWAYS_INLINE vint vint_from_dot16(vdot16 sum) { return vpaddq_s32(sum.low, sum.high); }
#if defined(WH_LINEAR_Q_I8MM)
ALWAYS_INLINE vint vint_dot8(vint acc, vint u, vint s) { return vusdotq_s32(acc, vec_u8(u), vec_s8(s)); }
/* Two columns of 8 k by two rows of 8 k: column 0 by rows 0 and 1, then column 1. */
ALWAYS_INLINE vint vint_dot8_pairs(vint acc, vint u, vint s) {
  return vusmmlaq_s32(acc, vec_u8(u), vec_s8(s));
}
/* Quads of 4 columns, k and k + 4: columns 0 and 1 with 8 k each; columns 2 and 3. */
ALWAYS_INLINE vint vint_join_low(vint a, vint b) { return vzip1q_s32(a, b); }
ALWAYS_INLINE vint vint_join_high(vint a, vint b) { return vzip2q_s32(a, b); }
/* Row 0 or row 1 of two results of vint_dot8_pairs. */
ALWAYS_INLINE vint vint_even(vint a, vint b) { return vuzp1q_s32(a, b); }
ALWAYS_INLINE vint vint_odd(vint a, vint b) { return vuzp2q_s32(a, b); }
ALWAYS_INLINE vint vint_load_pair(const void *first, const void *second) {
  return vreinterpretq_s32_u8(vcombine_u8(vld1_u8(first), vld1_u8(second)));
}
#elif defined(WH_LINEAR_Q_DOTPROD)
ALWAYS_INLINE vint vint_dot8(vint acc, vint a, vint b) { return vdotq_s32(acc, vec_s8(a), vec_s8(b)); }
#else
/* Products of bytes, in 16 bits: two vectors of them. */
typedef struct vsum {
  int16x8_t low, high;
} vsum;
ALWAYS_INLINE vsum vsum_products(vint a, vint b) {
  return (vsum){vmull_s8(vget_low_s8(vec_s8(a)), vget_low_s8(vec_s8(b))),
                vmull_high_s8(vec_s8(a), vec_s8(b))};
}
ALWAYS_INLINE vsum vsum_add_products(vsum sum, vint a, vint b) {
  return (vsum){vmlal_s8(sum.low, vget_low_s8(vec_s8(a)), vget_low_s8(vec_s8(b))),
                vmlal_high_s8(sum.high, vec_s8(a), vec_s8(b))};
}
/* factor times the sum of the four products of a lane */
ALWAYS_INLINE vint vint_from_sums(vsum sum, vint factor) {
  (void)factor; /* 1: nothing is split here */
  return vpaddq_s32(vpaddlq_s16(sum.low), vpaddlq_s16(sum.high));
}
#endif

ALWAYS_INLINE vflt vflt_zero(void) { return vdupq_n_f32(0.0f); }
ALWAYS_INLINE vflt vflt_load(const float *p) { return vld1q_f32(p); }
ALWAYS_INLINE void vflt_store(float *p, vflt v) { vst1q_f32(p, v); }
ALWAYS_INLINE vflt vflt_bcast(const float *p) { return vld1q_dup_f32(p); }
ALWAYS_INLINE vflt vflt_from_int(vint v) { return vcvtq_f32_s32(v); }
ALWAYS_INLINE vflt vflt_from_f16(const void *p) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))); }
ALWAYS_INLINE uint8x8_t vec_load4(const void *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return vreinterpret_u8_u32(vdup_n_u32(v));
}
ALWAYS_INLINE vflt vflt_from_s8(const void *p) {
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(vec_load4(p))))));
}
/* low or high nibbles of 4 bytes */
ALWAYS_INLINE vflt vflt_from_u4(const void *p, int high) {
  const uint8x8_t v = vec_load4(p), nibbles = high ? vshr_n_u8(v, 4) : vand_u8(v, vdup_n_u8(15));
  return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(nibbles))));
}
/* 2^(e - 128): exponent 0 stands for 2^-127 before the exact halving */
ALWAYS_INLINE vflt vflt_from_e8m0(const void *p) {
  const uint32x4_t e = vshlq_n_u32(vmovl_u16(vget_low_u16(vmovl_u8(vec_load4(p)))), 23);
  return vmulq_f32(vreinterpretq_f32_u32(vmaxq_u32(e, vdupq_n_u32(0x400000))), vdupq_n_f32(0.5f));
}
ALWAYS_INLINE vflt vflt_mul(vflt a, vflt b) { return vmulq_f32(a, b); }
ALWAYS_INLINE vflt vflt_add(vflt a, vflt b) { return vaddq_f32(a, b); }
ALWAYS_INLINE vflt vflt_fma(vflt a, vflt b, vflt c) { return vfmaq_f32(c, a, b); }
ALWAYS_INLINE vflt vflt_fnma(vflt a, vflt b, vflt c) { return vfmsq_f32(c, a, b); }

/* The first n (1..LANES) elements; the rest are zero, or left alone. */
ALWAYS_INLINE vflt vflt_load_n(const float *p, int n) {
  float some[LANES] = {0.0f};
  if (n == LANES) return vld1q_f32(p);
  for (int i = 0; i < n; i++) some[i] = p[i];
  return vld1q_f32(some);
}
ALWAYS_INLINE void vflt_store_n(float *p, vflt v, int n) {
  float some[LANES];
  if (n == LANES) {
    vst1q_f32(p, v);
    return;
  }
  vst1q_f32(some, v);
  for (int i = 0; i < n; i++) p[i] = some[i];
}

#endif
