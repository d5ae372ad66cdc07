/* linear_q_blocks.h - reads the blocks of a GGUF file: the only code of the CPU backend's products that knows
 * the byte layout of each quantised type. The reference kernels and packing are both written on top of it. */
#ifndef WH_CPU_LINEAR_Q_BLOCKS_H
#define WH_CPU_LINEAR_Q_BLOCKS_H

#include "backends/cpu/linear_q_format.h"
#include "core/base/exact_math.h"

/* Up to 256 consecutive values of one output, as the file states them. Which members are set follows from the
 * format's `scale` and `min`. */
typedef struct wh_linear_q_group {
  uint8_t code[256];    /* unsigned codes; Q8_0 plus 128 */
  uint16_t scale[8];    /* per block: fp16 bits (F16) or the exponent (E8M0) */
  uint16_t min[8];      /* per block: fp16 bits */
  uint16_t d, dmin;     /* fp16 bits */
  int8_t sub_scale[16]; /* SUB32: 8 of them; SUB16: 16 */
  uint8_t sub_min[16];
} wh_linear_q_group;

/* Reads `blocks` (1..8) blocks of 32 from `src`, the first byte of a group of a row; always 8 for types with
 * blocks of 256. False when a scale or minimum is not finite. */
bool wh_linear_q_read_group(const wh_linear_q_format *format, const uint8_t *src, int blocks,
                            wh_linear_q_group *out);

/* The factor of an E8M0 scale, 2^(e - 128): half of OCP MX's, as the FP4 codebook is doubled. */
static inline float wh_linear_q_power_of_two(uint16_t e) {
  return (e ? wh_f32_from_bits((uint32_t)e << 23) : 0x1p-127f) * 0.5f;
}

/* The 256 (or fewer) codes as values. */
void wh_linear_q_values(const wh_linear_q_format *format, const wh_linear_q_group *group, int blocks,
                        int8_t *out);

#endif
