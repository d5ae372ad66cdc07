/* formats/quantize/codes.h - weights as plain codes and scales, as ONNX's operators read them. */
#ifndef WH_FORMATS_QUANTIZE_CODES_H
#define WH_FORMATS_QUANTIZE_CODES_H

#include <stdint.h>

/* Squares, for the relative error of what was coded. */
typedef struct wh_code_error {
  double error, square;
} wh_code_error;

/* x[outer][channels][inner] (finite) as codes of -127..127: x is about codes * scales[channel]. */
void wh_codes_i8(const float *x, int64_t outer, int64_t channels, int64_t inner, int8_t *codes, float *scales,
                 wh_code_error *e);

/* A row of n (finite) as codes of 0..15 in blocks of 32, the first of two in the low half of a byte: x is
 * about (code - 8) * scale of its block. codes[16 per block], the last block filled up with 8;
 * scales[blocks]. */
#define WH_CODES_4BIT_BLOCK 32
void wh_codes_4bit(const float *x, int64_t n, uint8_t *codes, float *scales, wh_code_error *e);

#endif
