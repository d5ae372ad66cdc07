/* numbers.h - the arithmetic of PTX on bit patterns: formats, directed roundings, flushing, NaN and
 * saturation rules.
 *
 * The processor rounds to nearest when any of these is called. A NaN result of binary32 is 0x7fffffff, as the
 * hardware gives. Functions of a mode take ROUND_NONE for "to nearest". */
#ifndef PTXEMU_NUMBERS_H
#define PTXEMU_NUMBERS_H

#include <string.h>

#include "backends/cuda/ptxemu/ptx.h"

static inline float num_f32(uint64_t u) {
  const uint32_t v = (uint32_t)u;
  float f;
  memcpy(&f, &v, sizeof f);
  return f;
}
static inline double num_f64(uint64_t u) {
  double f;
  memcpy(&f, &u, sizeof f);
  return f;
}
static inline uint64_t num_bits_f64(double f) {
  uint64_t u;
  memcpy(&u, &f, sizeof u);
  return u;
}
static inline uint64_t num_bits_f32(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  return f != f ? 0x7fffffffu : u;
}
static inline float num_flush(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  if (!(u & 0x7f800000u)) u &= 0x80000000u;
  memcpy(&f, &u, sizeof f);
  return f;
}

float num_from_f16(uint16_t h);
/* Of any value that binary64 holds, rounded once: 5 exponent and 10 fraction bits, or 8 and 7. */
uint16_t num_to_f16(double v, ptx_round r);
uint16_t num_to_bf16(double v, ptx_round r);
float num_to_f32(double v, ptx_round r);

/* The value of a register as type t, widened without loss, and back with one rounding. */
double num_load(uint64_t bits, ptx_type t);
uint64_t num_store(double v, ptx_type t, ptx_round r);

/* add, sub, mul, div, fma, sqrt in binary32 and binary64 with any rounding. */
uint64_t num_arithmetic(ptx_op op, ptx_type t, ptx_round r, uint64_t a, uint64_t b, uint64_t c);
/* the same of f16 and bf16, by one rounding of the exact result */
uint16_t num_half(ptx_op op, ptx_type t, ptx_round r, uint16_t a, uint16_t b, uint16_t c);

uint64_t num_min_max(bool max, bool nan, ptx_type t, uint64_t a, uint64_t b);
bool num_compare(ptx_compare c, ptx_type t, uint64_t a, uint64_t b);

/* The bits that a type has of a register. */
static inline uint64_t num_mask(ptx_type t) {
  const unsigned bytes = ptx_type_bytes(t);
  return t == PTX_PRED ? 1 : bytes - 1 >= 7 ? ~(uint64_t)0 : ((uint64_t)1 << 8 * bytes) - 1; /* none: all */
}
static inline uint64_t num_truncate(uint64_t v, ptx_type t) { return v & num_mask(t); }

/* Sign- or zero-extended from the bits of an integer type. */
static inline int64_t num_signed(uint64_t v, ptx_type t) {
  const unsigned unused = ptx_is_signed(t) ? 64 - 8 * ptx_type_bytes(t) : 0;
  return (int64_t)(v << unused) >> unused;
}
static inline uint64_t num_extend(uint64_t v, ptx_type t) {
  return ptx_is_signed(t) ? (uint64_t)num_signed(v, t) : num_truncate(v, t);
}

/* The whole of cvt for one source. */
uint64_t num_convert(const ptx_instruction *i, uint64_t v);

#endif
