/* neon/rowops_quantize_neon.c - quantize_act and the ops that end in it, one group of 256 at a time. The
 * rules are spelled out in ref/rowops_quantize_ref.c; what there is one of for each block is computed in
 * scalars. */
#include "backends/cpu/neon/rowops_norm_neon.h"
#include "backends/cpu/rowops_kernels.h"
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

/* Codes of 16 values to q; their sum. */
static inline int32_t quantize_16(const float *x, float factor, int8_t *q) {
  const int8x16_t codes = vmovn_high_s16(vmovn_s16(round_8(x, factor)), round_8(x + 8, factor));
  vst1q_s8(q, codes);
  return vaddlvq_s8(codes);
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
      k = zero ? 0 : k;
    } else {
      for (int h = 0; h < 2; h++)
        half[h] = quantize_16(x + b * 32 + h * 16, factor * (float)(1 << k), g->q + b * 32 + h * 16);
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

/* Zeros from y[n] to the end of the group. */
static inline void pad_group(float y[WH_UNIT], int64_t n) {
  for (int64_t j = n; j < WH_UNIT; j++) y[j] = 0.0f;
}

void wh_k_quantize_act__neon(const wh_quantize_act_args *a, const wh_worker *w) {
  wh_q8a_group g;
  float padded[WH_UNIT];
  for (wh_unit u = wh_unit_first(w, a->rows, a->k); wh_unit_valid(&u); wh_unit_advance(&u)) {
    const float *x = a->x + u.row * a->ldx + u.column;
    if (u.count < WH_UNIT) {
      memcpy(padded, x, (size_t)u.count * sizeof *x);
      pad_group(padded, u.count);
      x = padded;
    }
    quantize_256(x, &g);
    wh_q8a_group_store(&g, a->q8a, a->rows, &u);
  }
}

void wh_k_rms_norm_q8a__neon(const wh_norm_args *a, const wh_worker *w) {
  wh_q8a_group g;
  float y[WH_UNIT], r = 0.0f;
  int64_t r_row = -1; /* the row that r belongs to: workers that share a row each sum it, without a barrier */
  for (wh_unit u = wh_unit_first(w, a->rows, a->n); wh_unit_valid(&u); wh_unit_advance(&u)) {
    const float *x = a->x + u.row * a->ldx;
    if (u.row != r_row) r = wh_rms_factor_neon(x, a->n, a->eps);
    r_row = u.row;
    wh_rms_apply_neon(y, x + u.column, a->w ? a->w + u.column : NULL, r, u.count);
    pad_group(y, u.count);
    quantize_256(y, &g);
    wh_q8a_group_store(&g, a->q8a, a->rows, &u);
  }
}

#define NEON_GATED_Q8A(op, activation)                                                              \
  void wh_k_##op##__neon(const wh_gated_args *a, const wh_worker *w) {                              \
    wh_q8a_group g;                                                                                 \
    float y[WH_UNIT];                                                                               \
    for (wh_unit u = wh_unit_first(w, a->rows, a->n); wh_unit_valid(&u); wh_unit_advance(&u)) {     \
      const float *gate = a->a + u.row * a->lda + u.column, *up = a->b + u.row * a->ldb + u.column; \
      for (int64_t j = 0; j < u.count; j += 4)                                                      \
        vst1q_f32(y + j, vmulq_f32(activation(vld1q_f32(gate + j)), vld1q_f32(up + j)));            \
      pad_group(y, u.count);                                                                        \
      quantize_256(y, &g);                                                                          \
      wh_q8a_group_store(&g, a->q8a, a->rows, &u);                                                  \
    }                                                                                               \
  }
NEON_GATED_Q8A(swiglu_q8a, wh_silu_neon)
NEON_GATED_Q8A(geglu_q8a, wh_gelu_tanh_neon)
