/* attention_vec_neon.h - the 128-bit vector operations that attention_tiles.h is written in. A kernel file of
 * a higher level defines WH_ATTENTION_DOTPROD (dots of four signed bytes) or WH_ATTENTION_I8MM (products of
 * matrices of 2 x 8 bytes) before it. All static: nothing compiled here can be linked elsewhere. */
#ifndef WH_CPU_ATTENTION_VEC_NEON_H
#define WH_CPU_ATTENTION_VEC_NEON_H

#include <stdbool.h>

#include "backends/cpu/neon/vec_neon.h"

#include "backends/cpu/vec_math.h"

#define TILE 6
#define TILE_VECS(r) 4
#define IN_REGISTER(x) __asm__("" : "+w"(x))
#define vf_store_f16(p, x) vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x)))

/* One operation over the lanes of each of 4 rows, by halves: lanes 0, 1 with 2, 3, then 0 with 1; lane i of
 * the result is that of row i. Two rows share the vector at each step. */
#define VF_REDUCE_ROWS(op, t)                                                      \
  vf a[2];                                                                         \
  for (int i = 0; i < 2; i++)                                                      \
    a[i] = op(vcombine_f32(vget_low_f32(t[2 * i]), vget_low_f32(t[2 * i + 1])),    \
              vcombine_f32(vget_high_f32(t[2 * i]), vget_high_f32(t[2 * i + 1]))); \
  return op(vuzp1q_f32(a[0], a[1]), vuzp2q_f32(a[0], a[1]))

static inline vf vf_max_of_rows(const vf t[VF_LANES]) { VF_REDUCE_ROWS(vmaxq_f32, t); }
static inline vf vf_sum_of_rows(const vf t[VF_LANES]) { VF_REDUCE_ROWS(vaddq_f32, t); }

/* Lane i if j0 <= first + i < j1, else -inf. */
static inline vf vf_visible(vf x, int first, int j0, int j1) {
  static const int32_t lanes[VF_LANES] = {0, 1, 2, 3};
  const int32x4_t j = vaddq_s32(vdupq_n_s32(first), vld1q_s32(lanes));
  const uint32x4_t in = vandq_u32(vcgeq_s32(j, vdupq_n_s32(j0)), vcltq_s32(j, vdupq_n_s32(j1)));
  return vbslq_f32(in, x, vdupq_n_f32(-INFINITY));
}

/* c where not `on` */
static inline vf vf_fma_if(bool on, vf a, vf b, vf c) {
  return vbslq_f32(vdupq_n_u32(-(uint32_t)on), vfmaq_f32(c, a, b), c);
}

/* Integer codes of the q8 cache. */
typedef int32x4_t vi;
#define vi_load(p) vreinterpretq_s32_u8(vld1q_u8(p))
#define vi_set32(x) vdupq_n_s32(x)
#define vi_add32(a, b) vaddq_s32(a, b)
#define vf_from_int(x) vcvtq_f32_s32(x)
/* rounded to nearest even; at most 127 by saturation */
static inline void vf_store_s8(int8_t *p, vf x) {
  const int16x4_t halves = vqmovn_s32(vcvtnq_s32_f32(x));
  const int32_t four = vget_lane_s32(vreinterpret_s32_s8(vqmovn_s16(vcombine_s16(halves, halves))), 0);
  memcpy(p, &four, sizeof four);
}
#define DOT_VECS(r) ((r) <= 2 ? 4 : (r) == 3 ? 3 : 2) /* twice r * DOT_VECS sums at a time */
#define VI_BYTES(x) vreinterpretq_s8_s32(x)
#if defined(WH_ATTENTION_I8MM)
#define DOT_BIAS WH_KV_KEY_BIAS /* keys are multiplied as the biased bytes they are */
#define vi_key(x) (x)
#define vi_dot(acc, key, query) vusdotq_s32(acc, vreinterpretq_u8_s32(key), VI_BYTES(query))
/* Positions come in pairs, eight dimensions of each: vi_pairs_low makes them of four dimensions of positions
 * 0 to 3 and the next four; a product with two queries is position 0 by both, then position 1. */
#define DOTS_IN_PAIRS 1
#define vi_pairs_low(a, b) vzip1q_s32(a, b)
#define vi_pairs_high(a, b) vzip2q_s32(a, b)
#define vi_dot_pairs(acc, keys, queries) vusmmlaq_s32(acc, vreinterpretq_u8_s32(keys), VI_BYTES(queries))
#define vi_load_pair(first, second) vreinterpretq_s32_s8(vcombine_s8(vld1_s8(first), vld1_s8(second)))
#define vi_even(a, b) vuzp1q_s32(a, b) /* of the first query */
#define vi_odd(a, b) vuzp2q_s32(a, b)
#else
#define DOT_BIAS 0
#define vi_key(x) vreinterpretq_s32_u8(veorq_u8(vreinterpretq_u8_s32(x), vdupq_n_u8(128)))
static inline vi vi_dot(vi acc, vi key, vi query) {
#ifdef WH_ATTENTION_DOTPROD
  return vdotq_s32(acc, VI_BYTES(key), VI_BYTES(query));
#else
  /* Codes are within -127..127: two products fit 16 bits. */
  const int16x8_t low = vmull_s8(vget_low_s8(VI_BYTES(key)), vget_low_s8(VI_BYTES(query)));
  return vpadalq_s16(acc, vpaddq_s16(low, vmull_high_s8(VI_BYTES(key), VI_BYTES(query))));
#endif
}
#endif

#endif
