/* quant_blocks.c - the byte layouts of the quantised types of GGUF (ggml-common.h names the same fields).
 */
#include "core/base/quant_blocks.h"

#include <string.h>

#define F16_BYTES 2

const wh_quant_format *wh_quant_format_get(wh_dtype dtype) {
  switch (dtype) {
#define FORMAT_CASE(type, lower, ...) \
  case WH_DTYPE_##type:               \
    return &wh_quant_format_##lower;
    WH_QUANT_FORMATS(FORMAT_CASE)
#undef FORMAT_CASE
    default:
      return NULL;
  }
}

static uint16_t load_u16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static bool f16_is_finite(uint16_t h) { return (h & 0x7c00u) != 0x7c00u; }

/* 16 bytes: low nibbles are values 0-15, high nibbles values 16-31. */
static void read_nibbles(const uint8_t *restrict qs, uint8_t *restrict code) {
  for (int i = 0; i < 16; i++) {
    code[i] = qs[i] & 15;
    code[16 + i] = qs[i] >> 4;
  }
}

/* int8 as unsigned codes. (restrict, here and in the others: these loops are half of a start, and vectorise
 * with it.) */
static void read_bytes(const uint8_t *restrict qs, uint8_t *restrict code) {
  for (int i = 0; i < 32; i++) code[i] = qs[i] ^ 0x80;
}

/* 32 bits, little-endian: bit i is bit `position` of value i. */
static void add_high_bits(const uint8_t *restrict qh, int position, uint8_t *restrict code) {
  for (int i = 0; i < 32; i++) code[i] |= (uint8_t)((qh[i / 8] >> (i % 8) & 1) << position);
}

/* Types with blocks of 32: [scale][fp16 minimum][high bits][codes]. */
static bool read_simple(const wh_quant_format *f, const uint8_t *src, int blocks, wh_quant_group *out) {
  bool finite = true;
  for (int b = 0; b < blocks; b++) {
    uint8_t *code = out->code + b * 32;
    if (f->scale == WH_SCALE_E8M0) {
      out->scale[b] = *src++;
      finite &= out->scale[b] != 255; /* NaN in OCP MX */
    } else {
      out->scale[b] = load_u16(src);
      finite &= f16_is_finite(out->scale[b]);
      src += F16_BYTES;
    }
    if (f->min == WH_MIN_F16) {
      out->min[b] = load_u16(src);
      finite &= f16_is_finite(out->min[b]);
      src += F16_BYTES;
    }
    if (f->bits == 8) {
      read_bytes(src, code);
      src += 32;
      continue;
    }
    const uint8_t *high = src;
    if (f->bits == 5) src += 4;
    read_nibbles(src, code);
    if (f->bits == 5) add_high_bits(high, 4, code);
    src += 16;
  }
  return finite;
}

/* Q2_K and Q3_K: two halves of 128; four 2-bit fields of each of 32 bytes are four blocks. */
static void read_2bit(const uint8_t *restrict qs, uint8_t *restrict code) {
  for (int b = 0; b < 8; b++)
    for (int i = 0; i < 32; i++) code[b * 32 + i] = qs[b / 4 * 32 + i] >> (b % 4 * 2) & 3;
}

/* Q4_K and Q5_K: two blocks share 32 bytes. */
static void read_4bit_pairs(const uint8_t *restrict qs, uint8_t *restrict code) {
  for (int b = 0; b < 8; b++)
    for (int i = 0; i < 32; i++) code[b * 32 + i] = qs[b / 2 * 32 + i] >> (b % 2 * 4) & 15;
}

/* 32 bytes; bit b of byte i is bit `position` of value i of block b. */
static void add_bit_plane(const uint8_t *restrict plane, int position, uint8_t *restrict code) {
  for (int b = 0; b < 8; b++)
    for (int i = 0; i < 32; i++) code[b * 32 + i] |= (uint8_t)((plane[i] >> b & 1) << position);
}

/* 12 bytes hold eight 6-bit scales and eight 6-bit minima. */
static void read_scale_min_6bit(const uint8_t *p, wh_quant_group *out) {
  for (int i = 0; i < 4; i++) {
    out->sub_scale[i] = p[i] & 63;
    out->sub_min[i] = p[4 + i] & 63;
    out->sub_scale[4 + i] = (int8_t)((p[8 + i] & 15) | p[i] >> 6 << 4);
    out->sub_min[4 + i] = (uint8_t)(p[8 + i] >> 4 | p[4 + i] >> 6 << 4);
  }
}

static void read_q2_k(const uint8_t *src, wh_quant_group *out) {
  for (int i = 0; i < 16; i++) {
    out->sub_scale[i] = src[i] & 15;
    out->sub_min[i] = src[i] >> 4;
  }
  read_2bit(src + 16, out->code);
  out->d = load_u16(src + 80);
  out->dmin = load_u16(src + 82);
}

static void read_q3_k(const uint8_t *src, wh_quant_group *out) {
  const uint8_t *high = src, *scales = src + 96;
  read_2bit(src + 32, out->code);
  add_bit_plane(high, 2, out->code);
  for (int i = 0; i < 16; i++) {
    int low = i < 8 ? scales[i] & 15 : scales[i - 8] >> 4;
    int top = scales[8 + i % 4] >> (i / 4 * 2) & 3;
    out->sub_scale[i] = (int8_t)((low | top << 4) - 32);
  }
  out->d = load_u16(src + 108);
}

static void read_q4_k(const uint8_t *src, wh_quant_group *out) {
  out->d = load_u16(src);
  out->dmin = load_u16(src + 2);
  read_scale_min_6bit(src + 4, out);
  read_4bit_pairs(src + 16, out->code);
}

static void read_q5_k(const uint8_t *src, wh_quant_group *out) {
  out->d = load_u16(src);
  out->dmin = load_u16(src + 2);
  read_scale_min_6bit(src + 4, out);
  read_4bit_pairs(src + 48, out->code);
  add_bit_plane(src + 16, 4, out->code);
}

/* Of each 128 values, 64 bytes hold the low nibbles (two rows of 32 bytes: blocks 0 and 1, then 2 and 3 in
 * the high nibbles) and 32 bytes the upper two bits. */
static void read_q6_k(const uint8_t *src, wh_quant_group *out) {
  for (int b = 0; b < 8; b++) {
    const uint8_t *low = src + b / 4 * 64 + b % 2 * 32, *high = src + 128 + b / 4 * 32;
    for (int i = 0; i < 32; i++)
      out->code[b * 32 + i] = (uint8_t)((low[i] >> (b % 4 / 2 * 4) & 15) | (high[i] >> (b % 4 * 2) & 3) << 4);
  }
  memcpy(out->sub_scale, src + 192, 16);
  out->d = load_u16(src + 208);
}

static void read_iq4_xs(const uint8_t *src, wh_quant_group *out) {
  out->d = load_u16(src);
  unsigned high = load_u16(src + 2);
  const uint8_t *low = src + 4;
  for (int b = 0; b < 8; b++) {
    unsigned s = (low[b / 2] >> (b % 2 * 4) & 15u) | (high >> (2 * b) & 3u) << 4;
    out->sub_scale[b] = (int8_t)((int)s - 32);
    read_nibbles(src + 8 + b * 16, out->code + b * 32);
  }
}

bool wh_quant_read_group(const wh_quant_format *f, const uint8_t *src, int blocks, wh_quant_group *out) {
  switch (f->dtype) {
    case WH_DTYPE_Q2_K:
      read_q2_k(src, out);
      break;
    case WH_DTYPE_Q3_K:
      read_q3_k(src, out);
      break;
    case WH_DTYPE_Q4_K:
      read_q4_k(src, out);
      break;
    case WH_DTYPE_Q5_K:
      read_q5_k(src, out);
      break;
    case WH_DTYPE_Q6_K:
      read_q6_k(src, out);
      break;
    case WH_DTYPE_IQ4_XS:
      read_iq4_xs(src, out);
      break;
    default:
      return read_simple(f, src, blocks, out);
  }
  return f16_is_finite(out->d) && (f->min == WH_MIN_NONE || f16_is_finite(out->dmin));
}

void wh_quant_values(const wh_quant_format *f, const wh_quant_group *group, int blocks, int8_t *out) {
  static const int8_t iq4[16] = {WH_CODEBOOK_IQ4_VALUES}, fp4[16] = {WH_CODEBOOK_FP4_VALUES};
  int n = blocks * 32;
  if (f->codebook != WH_CODEBOOK_NONE) {
    const int8_t *book = f->codebook == WH_CODEBOOK_IQ4 ? iq4 : fp4;
    for (int i = 0; i < n; i++) out[i] = book[group->code[i]];
  } else {
    int bias = f->bias_log2 < 0 ? 0 : 1 << f->bias_log2;
    for (int i = 0; i < n; i++) out[i] = (int8_t)(group->code[i] - bias);
  }
}
