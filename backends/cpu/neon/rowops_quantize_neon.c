/* neon/rowops_quantize_neon.c - how a group of 256 is quantised. The
 * rules are spelled out in ref/rowops_quantize_ref.c; what there is one of for each block is computed in
 * scalars. */
#include "backends/cpu/neon/vec_neon.h"

#include "backends/cpu/rowops_kernels.h"
#include "backends/cpu/rowops_norm.h"
#include "backends/cpu/rowops_units.h"

/* max |x| of a block, as bits: magnitudes compare as integers, a NaN is the largest. */
static inline uint32_t block_max(const float *x) {
  uint32x4_t top = vdupq_n_u32(0);
  for (int i = 0; i < 32; i += 4)
    top = vmaxq_u32(top, vandq_u32(vreinterpretq_u32_f32(vld1q_f32(x + i)), vdupq_n_u32(0x7fffffffu)));
  return vmaxvq_u32(top);
}

static inline int16x8_t round_8(const float *x, float factor) {
  const int16x4_t low = vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x), factor)));
  return vmovn_high_s32(low, vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4), factor)));
}

/* Codes of 16 values to q, minus their sums in pairs (q8a.h) to npair; their sum. */
static inline int32_t quantize_16(const float *x, float factor, int8_t *q, int16_t *npair) {
  const int8x16_t codes = vmovn_high_s16(vmovn_s16(round_8(x, factor)), round_8(x + 8, factor));
  vst1q_s8(q, codes);
  int16x8_t pairs = vpaddlq_s8(codes);
  pairs = vaddq_s16(pairs, vextq_s16(pairs, pairs, 4));
  pairs = vnegq_s16(vaddq_s16(pairs, vextq_s16(pairs, pairs, 2)));
  npair[0] = vgetq_lane_s16(pairs, 0);
  npair[1] = vgetq_lane_s16(pairs, 1);
  return -npair[0] - npair[1];
}

/* Quantises x[0..255]; a short group is padded with zeros. */
static inline void quantize_256(const float *x, wh_q8a_group *g) {
  uint32_t block_top[8], top_bits = 0;
  for (int b = 0; b < 8; b++) {
    block_top[b] = block_max(x + b * 32);
    top_bits = block_top[b] > top_bits ? block_top[b] : top_bits;
  }
  const float top = wh_f32_from_bits(top_bits), factor = 127.0f / top;
  const bool zero = top < 0x1p-100f, finite = top < INFINITY;
  for (int b = 0; b < 8; b++) {
    int k = 0, half[2] = {0, 0};
    while (k < 3 && wh_f32_from_bits(block_top[b]) * (float)(2 << k) <= top) k++;
    if (zero || !finite) {
      memset(g->q + b * 32, 0, 32);
      for (int h = 0; h < 2; h++) memset(g->npair[h] + b * 2, 0, 2 * sizeof(int16_t));
      k = zero ? 0 : k;
    } else {
      for (int h = 0; h < 2; h++)
        half[h] = quantize_16(x + b * 32 + h * 16, factor * (float)(1 << k), g->q + b * 32 + h * 16,
                              g->npair[h] + b * 2);
    }
    const int32_t t = 3 - k, unit = 1 << t, sum = half[0] + half[1];
    g->t[b] = t;
    g->nbsum[b] = -sum;
    g->fbsum[b] = (float)(sum * unit);
    g->jsum[b] = (int16_t)(sum * unit);
    for (int h = 0; h < 2; h++) {
      g->nbsum16[b * 2 + h] = -half[h];
      g->jsum16[b * 2 + h] = (int16_t)(half[h] * unit);
    }
  }
  g->scale = zero ? 0.0f : fmaf(top, 0.0f, (top / 127.0f) * 0.125f); /* NaN when top is infinite, too */
}

#define KERNEL(op) wh_k_##op##__neon
#include "backends/cpu/rowops_quantize_vec.h"
