/* quant_blocks.h - reads the blocks of a GGUF file: the only code of the products that knows the byte layout
 * of each quantised type. Packing for every backend and the reference kernels are written on top of it. */
#ifndef WH_BASE_QUANT_BLOCKS_H
#define WH_BASE_QUANT_BLOCKS_H

#include "core/base/dtype.h"
#include "core/base/exact_math.h"
#include "core/base/quant_format.h"

/* quant_format.h says what the choices mean. */
typedef struct wh_quant_format {
  wh_dtype dtype;
  int bits, bias_log2;
  wh_quant_codebook codebook;
  wh_quant_scale scale;
  wh_quant_min min;
} wh_quant_format;

/* wh_quant_format_<name>: constants that a template can fold. */
#define WH_QUANT_FORMAT_CONST(type, lower, bits_, bias_, codebook_, scale_, min_) \
  static const wh_quant_format wh_quant_format_##lower = {                        \
      WH_DTYPE_##type, bits_, bias_, WH_CODEBOOK_##codebook_, WH_SCALE_##scale_, WH_MIN_##min_};
WH_QUANT_FORMATS(WH_QUANT_FORMAT_CONST)
#undef WH_QUANT_FORMAT_CONST

/* NULL for a type that has no blocks. */
const wh_quant_format *wh_quant_format_get(wh_dtype dtype);

/* Up to 256 consecutive values of one output, as the file states them. Which members are set follows from the
 * format's `scale` and `min`. */
typedef struct wh_quant_group {
  uint8_t code[256];    /* unsigned codes; Q8_0 plus 128 */
  uint16_t scale[8];    /* per block: fp16 bits (F16) or the exponent (E8M0) */
  uint16_t min[8];      /* per block: fp16 bits */
  uint16_t d, dmin;     /* fp16 bits */
  int8_t sub_scale[16]; /* SUB32: 8 of them; SUB16: 16 */
  uint8_t sub_min[16];
} wh_quant_group;

/* Reads `blocks` (1..8) blocks of 32 from `src`, the first byte of a group of a row; always 8 for types with
 * blocks of 256. False when a scale or minimum is not finite. */
bool wh_quant_read_group(const wh_quant_format *format, const uint8_t *src, int blocks, wh_quant_group *out);

/* The factor of an E8M0 scale, 2^(e - 128): half of OCP MX's, as the FP4 codebook is doubled. */
static inline float wh_quant_power_of_two(uint16_t e) {
  return (e ? wh_f32_from_bits((uint32_t)e << 23) : 0x1p-127f) * 0.5f;
}

/* The 256 (or fewer) codes as values. */
void wh_quant_values(const wh_quant_format *format, const wh_quant_group *group, int blocks, int8_t *out);

#endif
