/* quantize.c - see quantize.h. */
#include "formats/quantize/quantize.h"

#include <string.h>

#include "formats/quantize/blocks.h"

static const wh_encode_fn encoders[] = {
    [WH_DTYPE_Q4_0] = wh_encode_q4_0,     [WH_DTYPE_Q4_1] = wh_encode_q4_1,
    [WH_DTYPE_Q5_0] = wh_encode_q5_0,     [WH_DTYPE_Q5_1] = wh_encode_q5_1,
    [WH_DTYPE_Q8_0] = wh_encode_q8_0,     [WH_DTYPE_Q2_K] = wh_encode_q2_k,
    [WH_DTYPE_Q3_K] = wh_encode_q3_k,     [WH_DTYPE_Q4_K] = wh_encode_q4_k,
    [WH_DTYPE_Q5_K] = wh_encode_q5_k,     [WH_DTYPE_Q6_K] = wh_encode_q6_k,
    [WH_DTYPE_IQ4_NL] = wh_encode_iq4_nl, [WH_DTYPE_IQ4_XS] = wh_encode_iq4_xs,
    [WH_DTYPE_MXFP4] = wh_encode_mxfp4,
};
#define N_ENCODERS (sizeof encoders / sizeof encoders[0])

bool wh_can_quantize(wh_dtype to) {
  return to == WH_DTYPE_F32 || to == WH_DTYPE_F16 || to == WH_DTYPE_BF16 ||
         ((size_t)to < N_ENCODERS && encoders[to]);
}

/* Round to nearest even. */
static uint16_t bf16_of(float f) {
  const uint32_t u = wh_f32_bits(f);
  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static void round_row(wh_dtype to, const float *x, int64_t n, uint8_t *dst) {
  if (to == WH_DTYPE_F32) memcpy(dst, x, (size_t)n * sizeof *x);
  for (int64_t i = 0; to != WH_DTYPE_F32 && i < n; i++) {
    const uint16_t h = to == WH_DTYPE_F16 ? wh_f16_from_f32(x[i]) : bf16_of(x[i]);
    dst[2 * i] = (uint8_t)h;
    dst[2 * i + 1] = (uint8_t)(h >> 8);
  }
}

void wh_quantize_row(wh_dtype to, const float *x, const float *importance, int64_t n, void *dst) {
  const wh_dtype_info *t = wh_dtype_get(to);
  float same[256], weights[256];
  uint8_t *b = dst;
  if ((size_t)to >= N_ENCODERS || !encoders[to]) {
    round_row(to, x, n, b);
    return;
  }
  for (int i = 0; i < 256; i++) same[i] = 1;
  for (int64_t i = 0; i < n; i += t->block_elems, b += t->block_bytes) {
    float sum = 0;
    for (int j = 0; importance && j < t->block_elems; j++) sum += weights[j] = importance[i + j];
    encoders[to](x + i, sum > 0 ? weights : same, b);
  }
}
