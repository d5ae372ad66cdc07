/* dequantize.c - from a file's blocks to fp32, one plain decoder per storage type (docs/NUMERICS.md,
 * "gather_rows").
 *
 * It shares no code with the packers and kernels of the products: it is what they are checked against, and
 * what gather_rows runs. Layouts are GGUF's, little-endian. Knows nothing about rows or tensors. */
#include "backends/cpu/rowops.h"
#include "core/base/exact_math.h"

static uint32_t load_le16(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static uint32_t load_le32(const uint8_t *p) { return load_le16(p) | load_le16(p + 2) << 16; }
static float load_f16(const uint8_t *p) { return wh_f32_from_f16((uint16_t)load_le16(p)); }

/* One block of `b` to y[0..block_elems). */
typedef void (*decode_fn)(const uint8_t *b, float *y);

static void decode_f32(const uint8_t *b, float *y) { *y = wh_f32_from_bits(load_le32(b)); }
static void decode_f16(const uint8_t *b, float *y) { *y = load_f16(b); }
static void decode_bf16(const uint8_t *b, float *y) { *y = wh_f32_from_bf16((uint16_t)load_le16(b)); }

/* The 32-element types keep element j in the low nibble of byte j and element j + 16 in its high nibble. */
static int nibble(const uint8_t *qs, int j) { return j < 16 ? qs[j] & 15 : qs[j - 16] >> 4; }

static void decode_q4_0(const uint8_t *b, float *y) { /* f16 d; u8 qs[16] */
  float d = load_f16(b);
  for (int j = 0; j < 32; j++) y[j] = d * (float)(nibble(b + 2, j) - 8);
}

static void decode_q4_1(const uint8_t *b, float *y) { /* f16 d, m; u8 qs[16] */
  float d = load_f16(b), m = load_f16(b + 2);
  for (int j = 0; j < 32; j++) y[j] = fmaf(d, (float)nibble(b + 4, j), m);
}

static int code5(const uint8_t *qh, const uint8_t *qs, int j) {
  return nibble(qs, j) | (int)(load_le32(qh) >> j & 1u) << 4;
}

static void decode_q5_0(const uint8_t *b, float *y) { /* f16 d; u32 fifth bits; u8 qs[16] */
  float d = load_f16(b);
  for (int j = 0; j < 32; j++) y[j] = d * (float)(code5(b + 2, b + 6, j) - 16);
}

static void decode_q5_1(const uint8_t *b, float *y) { /* f16 d, m; u32 fifth bits; u8 qs[16] */
  float d = load_f16(b), m = load_f16(b + 2);
  for (int j = 0; j < 32; j++) y[j] = fmaf(d, (float)code5(b + 4, b + 8, j), m);
}

static void decode_q8_0(const uint8_t *b, float *y) { /* f16 d; i8 qs[32] */
  float d = load_f16(b);
  for (int j = 0; j < 32; j++) y[j] = d * (float)(int8_t)b[2 + j];
}

/* Types of 256: element e is in half e/128; inside a half, two bits of byte e%32 at shift 2 * (e%128 / 32).
 */
static int code2(const uint8_t *qs, int e) { return qs[e / 128 * 32 + e % 32] >> (e % 128 / 32 * 2) & 3; }

static void decode_q2_k(const uint8_t *b, float *y) { /* u8 scale|min<<4 [16]; u8 qs[64]; f16 d, dmin */
  float d = load_f16(b + 80), dmin = load_f16(b + 82);
  for (int e = 0; e < 256; e++) {
    uint8_t s = b[e / 16];
    y[e] = fmaf(d * (float)(s & 15), (float)code2(b + 16, e), -(dmin * (float)(s >> 4)));
  }
}

static void decode_q3_k(const uint8_t *b, float *y) { /* u8 third bits[32]; u8 qs[64]; u8 scales[12]; f16 d */
  const uint8_t *hmask = b, *qs = b + 32, *packed = b + 96;
  float d = load_f16(b + 108);
  for (int e = 0; e < 256; e++) {
    int i = e / 16; /* six-bit scale: low four bits in bytes 0..7, high two in bytes 8..11 */
    int low = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4;
    int scale = (low | (packed[8 + i % 4] >> (i / 4 * 2) & 3) << 4) - 32;
    int code = (code2(qs, e) | (hmask[e % 32] >> (e / 32) & 1) << 2) - 4;
    y[e] = d * (float)scale * (float)code;
  }
}

/* Q4_K and Q5_K: eight six-bit scales and minima in twelve bytes. */
static void scale_min_k(const uint8_t *p, int i, float *scale, float *min) {
  if (i < 4) {
    *scale = (float)(p[i] & 63);
    *min = (float)(p[i + 4] & 63);
  } else {
    *scale = (float)((p[i + 4] & 15) | p[i - 4] >> 6 << 4);
    *min = (float)(p[i + 4] >> 4 | p[i] >> 6 << 4);
  }
}

/* Element e of block i = e/32: a nibble of byte e%32 of the 32 bytes that blocks 2c and 2c + 1 share. */
static int nibble_k(const uint8_t *qs, int e) {
  uint8_t byte = qs[e / 64 * 32 + e % 32];
  return e / 32 % 2 ? byte >> 4 : byte & 15;
}

static void decode_q4_k(const uint8_t *b, float *y) { /* f16 d, dmin; u8 scales[12]; u8 qs[128] */
  float d = load_f16(b), dmin = load_f16(b + 2), scale, min;
  for (int e = 0; e < 256; e++) {
    scale_min_k(b + 4, e / 32, &scale, &min);
    y[e] = fmaf(d * scale, (float)nibble_k(b + 16, e), -(dmin * min));
  }
}

static void decode_q5_k(const uint8_t *b, float *y) { /* f16 d, dmin; u8 scales[12]; u8 qh[32]; u8 qs[128] */
  float d = load_f16(b), dmin = load_f16(b + 2), scale, min;
  for (int e = 0; e < 256; e++) {
    scale_min_k(b + 4, e / 32, &scale, &min);
    int code = nibble_k(b + 48, e) | (b[16 + e % 32] >> (e / 32) & 1) << 4;
    y[e] = fmaf(d * scale, (float)code, -(dmin * min));
  }
}

static void decode_q6_k(const uint8_t *b, float *y) { /* u8 ql[128]; u8 qh[64]; i8 scales[16]; f16 d */
  float d = load_f16(b + 208);
  for (int e = 0; e < 256; e++) {
    uint8_t low = b[e / 128 * 64 + e % 64];
    int code = (e / 64 % 2 ? low >> 4 : low & 15) | code2(b + 128, e) << 4;
    y[e] = d * (float)(int8_t)b[192 + e / 16] * (float)(code - 32);
  }
}

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

static void decode_iq4_nl(const uint8_t *b, float *y) { /* f16 d; u8 qs[16] */
  float d = load_f16(b);
  for (int j = 0; j < 32; j++) y[j] = d * (float)iq4_values[nibble(b + 2, j)];
}

static void decode_iq4_xs(const uint8_t *b,
                          float *y) { /* f16 d; u16 scale highs; u8 scale lows[4]; u8 qs[128] */
  float d = load_f16(b);
  for (int i = 0; i < 8; i++) {
    int low = b[4 + i / 2] >> (i % 2 * 4) & 15, high = (int)(load_le16(b + 2) >> (2 * i) & 3u);
    float s = d * (float)((low | high << 4) - 32);
    for (int j = 0; j < 32; j++) y[i * 32 + j] = s * (float)iq4_values[nibble(b + 8 + i * 16, j)];
  }
}

static void decode_mxfp4(const uint8_t *b, float *y) { /* u8 e; u8 qs[16] */
  static const int8_t doubled[8] = {0, 1, 2, 3, 4, 6, 8, 12};
  uint32_t e = b[0]; /* s = 2^(e - 128); the two smallest are subnormal */
  float s = wh_f32_from_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23);
  for (int j = 0; j < 32; j++) {
    int code = nibble(b + 1, j), magnitude = doubled[code & 7];
    y[j] = s * (float)(code & 8 ? -magnitude : magnitude);
  }
}

static const decode_fn decoders[] = {
    [WH_DTYPE_F32] = decode_f32,     [WH_DTYPE_F16] = decode_f16,       [WH_DTYPE_BF16] = decode_bf16,
    [WH_DTYPE_Q4_0] = decode_q4_0,   [WH_DTYPE_Q4_1] = decode_q4_1,     [WH_DTYPE_Q5_0] = decode_q5_0,
    [WH_DTYPE_Q5_1] = decode_q5_1,   [WH_DTYPE_Q8_0] = decode_q8_0,     [WH_DTYPE_Q2_K] = decode_q2_k,
    [WH_DTYPE_Q3_K] = decode_q3_k,   [WH_DTYPE_Q4_K] = decode_q4_k,     [WH_DTYPE_Q5_K] = decode_q5_k,
    [WH_DTYPE_Q6_K] = decode_q6_k,   [WH_DTYPE_IQ4_NL] = decode_iq4_nl, [WH_DTYPE_IQ4_XS] = decode_iq4_xs,
    [WH_DTYPE_MXFP4] = decode_mxfp4,
};

bool wh_dequantize_row(wh_dtype dtype, const void *src, float *dst, int64_t n) {
  if ((size_t)dtype >= sizeof decoders / sizeof decoders[0] || !decoders[dtype]) return false;
  const wh_dtype_info *info = wh_dtype_get(dtype);
  const uint8_t *block = src;
  for (int64_t i = 0; i < n; i += info->block_elems, block += info->block_bytes)
    decoders[dtype](block, dst + i);
  return true;
}
