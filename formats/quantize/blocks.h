/* formats/quantize/blocks.h - one block each: x[32] or x[256] with weights w to bytes. For files of this
 * folder only. */
#ifndef WH_FORMATS_QUANTIZE_BLOCKS_H
#define WH_FORMATS_QUANTIZE_BLOCKS_H

#include "core/base/exact_math.h"
#include "formats/quantize/fit.h"

typedef void (*wh_encode_fn)(const float *x, const float *w, uint8_t *b);

/* Of 32 elements: small_blocks.c */
void wh_encode_q4_0(const float *x, const float *w, uint8_t *b);
void wh_encode_q4_1(const float *x, const float *w, uint8_t *b);
void wh_encode_q5_0(const float *x, const float *w, uint8_t *b);
void wh_encode_q5_1(const float *x, const float *w, uint8_t *b);
void wh_encode_q8_0(const float *x, const float *w, uint8_t *b);
void wh_encode_iq4_nl(const float *x, const float *w, uint8_t *b);
void wh_encode_mxfp4(const float *x, const float *w, uint8_t *b);
/* Of 256: super_blocks.c */
void wh_encode_q2_k(const float *x, const float *w, uint8_t *b);
void wh_encode_q3_k(const float *x, const float *w, uint8_t *b);
void wh_encode_q4_k(const float *x, const float *w, uint8_t *b);
void wh_encode_q5_k(const float *x, const float *w, uint8_t *b);
void wh_encode_q6_k(const float *x, const float *w, uint8_t *b);
void wh_encode_iq4_xs(const float *x, const float *w, uint8_t *b);

extern const int8_t wh_iq4_values[16];

/* Stored as f16; gives back what was stored. */
static inline float wh_put_f16(uint8_t *b, float v) {
  const uint16_t h = wh_f16_from_f32(v);
  b[0] = (uint8_t)h;
  b[1] = (uint8_t)(h >> 8);
  return wh_f32_from_f16(h);
}
static inline float wh_inverse(float d) { return d != 0 ? 1 / d : 0; }
static inline int wh_iq4_code(float value) {
  int c = 0;
  while (c < 15 && (float)wh_iq4_values[c] < value) c++;
  return c;
}

#endif
