/* linear_q_fixture.c - see linear_q_fixture.h. */
#include "tests/kernels/linear_q_fixture.h"

#include <math.h>
#include <string.h>

uint32_t fixture_random(fixture_rng *rng) { /* xorshift64 (Marsaglia 2003) */
  rng->state ^= rng->state << 13;
  rng->state ^= rng->state >> 7;
  rng->state ^= rng->state << 17;
  return (uint32_t)(rng->state >> 16);
}

float fixture_random_unit(fixture_rng *rng) {
  return (float)(int32_t)(fixture_random(rng) & 0xffffffu) * 0x1p-23f - 1.0f;
}

size_t fixture_weight_bytes(wh_dtype dtype, int64_t n, int64_t k) {
  const wh_dtype_info *info = wh_dtype_get(dtype);
  return (size_t)n * (size_t)(k / info->block_elems) * info->block_bytes;
}

static uint16_t random_f16(fixture_rng *rng, bool wild) {
  uint32_t r = fixture_random(rng);
  uint16_t sign = (uint16_t)(r >> 3 & 0x8000u), tame = (uint16_t)(0x1c00u + (r & 0xfffu));
  if (!wild) return tame;
  switch (r >> 28) {
    case 0:
      return sign; /* +-0 */
    case 1:
      return (uint16_t)(sign | (r & 0x3ffu)); /* subnormal */
    case 2:
      return (uint16_t)(sign | 0x7bffu); /* the largest */
    case 3:
      return (uint16_t)(sign | (r & 0x7bffu)); /* any finite */
    default:
      return (uint16_t)(sign | tame);
  }
}

static void put_f16(fixture_rng *rng, bool wild, uint8_t *p) {
  uint16_t h = random_f16(rng, wild);
  p[0] = (uint8_t)h;
  p[1] = (uint8_t)(h >> 8);
}

/* Where a block holds fp16 values. */
static int f16_offsets(wh_dtype dtype, int at[2]) {
  at[0] = 0;
  at[1] = 2;
  switch (dtype) {
    case WH_DTYPE_Q4_1:
    case WH_DTYPE_Q5_1:
    case WH_DTYPE_Q4_K:
    case WH_DTYPE_Q5_K:
      return 2;
    case WH_DTYPE_Q2_K:
      at[0] = 80, at[1] = 82;
      return 2;
    case WH_DTYPE_Q3_K:
      at[0] = 108;
      return 1;
    case WH_DTYPE_Q6_K:
      at[0] = 208;
      return 1;
    case WH_DTYPE_MXFP4:
      return 0;
    default:
      return 1;
  }
}

void fixture_weights(fixture_rng *rng, wh_dtype dtype, int64_t n, int64_t k, bool wild, uint8_t *dst) {
  const wh_dtype_info *info = wh_dtype_get(dtype);
  int64_t blocks = n * (k / info->block_elems);
  int at[2], n_f16 = f16_offsets(dtype, at);
  for (int64_t b = 0; b < blocks; b++, dst += info->block_bytes) {
    uint32_t style = fixture_random(rng) % 16;
    for (int i = 0; i < info->block_bytes; i++) {
      uint8_t byte = (uint8_t)fixture_random(rng);
      if (wild && style == 0) byte = 0x00;
      if (wild && style == 1) byte = 0xff;
      if (wild && style == 2) byte = 0x80;
      if (wild && style == 3) byte = 0x7f;
      dst[i] = byte;
    }
    for (int i = 0; i < n_f16; i++) put_f16(rng, wild, dst + at[i]);
    if (dtype == WH_DTYPE_MXFP4) dst[0] = wild && style == 4 ? dst[0] & 3 : (uint8_t)(96 + dst[0] % 64);
  }
}

/* One group of one row. */
static void quantize_group(const float *x, const wh_q8a_tile *t, int64_t r, int64_t b0, int blocks) {
  int64_t group = b0 / 8, rows = t->rows;
  float top = 0.0f;
  for (int i = 0; i < blocks * 32; i++) top = fmaxf(top, fabsf(x[i]));
  bool tiny = top < 0x1p-100f;
  t->scale[group * rows + r] = tiny ? 0.0f : (top / 127.0f) * 0.125f;
  int16_t *jsum = t->jsum + (group * rows + r) * 8, *jsum16 = t->jsum16 + (group * rows + r) * 16;
  memset(jsum, 0, 8 * sizeof *jsum);
  memset(jsum16, 0, 16 * sizeof *jsum16);
  for (int b = 0; b < blocks; b++, x += 32) {
    float a = 0.0f;
    for (int i = 0; i < 32; i++) a = fmaxf(a, fabsf(x[i]));
    int k = 0;
    while (k < 3 && a * (float)(2 << k) <= top) k++;
    if (tiny) k = 0;
    int64_t at = (b0 + b) * rows + r;
    int32_t half[2] = {0, 0}, pair[2][2] = {{0}}, shift = 1 << (3 - k);
    for (int i = 0; i < 32; i++) {
      int8_t q = tiny ? 0 : (int8_t)rintf(x[i] * ((127.0f / top) * (float)(1 << k)));
      t->q[at * 32 + i] = q;
      half[i / 16] += q;
      pair[i / 16][i % 4 / 2] += q;
    }
    t->t[at] = 3 - k;
    t->nbsum[at] = -(half[0] + half[1]);
    t->nbsum16[2 * at] = -half[0];
    t->nbsum16[2 * at + 1] = -half[1];
    for (int i = 0; i < 4; i++) t->npair[i / 2][2 * at + i % 2] = (int16_t)-pair[i / 2][i % 2];
    t->fbsum[at] = (float)((half[0] + half[1]) * shift);
    jsum[b] = (int16_t)((half[0] + half[1]) * shift);
    jsum16[2 * b] = (int16_t)(half[0] * shift);
    jsum16[2 * b + 1] = (int16_t)(half[1] * shift);
  }
}

void fixture_quantize(const float *x, int64_t m, int64_t k, void *q8a) {
  for (int64_t row = 0; row < m; row++) {
    wh_q8a_tile t = wh_q8a_tile_at(q8a, m, k, row / WH_Q8A_TILE);
    for (int64_t b0 = 0; b0 < k / 32; b0 += 8)
      quantize_group(x + row * k + b0 * 32, &t, row % WH_Q8A_TILE, b0,
                     k / 32 - b0 < 8 ? (int)(k / 32 - b0) : 8);
  }
}
