/* linear_q_unpack.c - a row out of its panel again (linear_q_format.h says how it got there): what lets an
 * embedding that is also the output matrix be kept once, packed. A token's row is a few thousand values. */
#include <math.h>
#include <string.h>

#include "backends/cpu/linear_q.h"
#include "backends/cpu/linear_q_format.h"
#include "core/base/exact_math.h"

#define COLS ((size_t)WH_LINEAR_Q_COLS)

/* What place_scales of linear_q_pack.c wrote for column c. */
static void take_scales(const wh_quant_format *f, const uint8_t *src, int blocks, size_t c,
                        wh_quant_group *g) {
  const uint8_t *mins =
      src + wh_linear_q_scale_bytes(*f, blocks) + (size_t)blocks * wh_linear_q_code_bytes(*f);
  if (f->scale == WH_SCALE_F16 || f->scale == WH_SCALE_E8M0) {
    for (size_t b = 0; b < (size_t)blocks; b++) {
      if (f->scale == WH_SCALE_E8M0)
        g->scale[b] = src[b * COLS + c];
      else
        memcpy(&g->scale[b], src + (b * COLS + c) * 2, 2);
      if (f->min == WH_MIN_F16) memcpy(&g->min[b], src + (((size_t)blocks + b) * COLS + c) * 2, 2);
    }
    return;
  }
  const bool has_min = f->min != WH_MIN_NONE;
  memcpy(&g->d, src + c * 2, 2);
  if (has_min) memcpy(&g->dmin, src + 64 + c * 2, 2);
  const uint8_t *sub = src + (has_min ? 128 : 64);
  for (size_t i = 0; i < 16; i++) {
    if (f->scale == WH_SCALE_SUB16_U4)
      g->sub_scale[i] = sub[i / 2 * COLS + c] >> (i % 2 * 4) & 15;
    else if (f->scale == WH_SCALE_SUB16 || i < 8)
      g->sub_scale[i] = (int8_t)sub[i * COLS + c];
  }
  for (size_t i = 0; i < 8 && has_min; i++) {
    const uint8_t m = mins[(i / 2 * COLS + c) * 2 + i % 2];
    g->sub_min[i] = f->min == WH_MIN_SUB16 ? m & 15 : m;
    g->sub_min[8 + i] = m >> 4;
  }
}

static uint32_t load32(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, sizeof v);
  return v;
}

/* The codes of column c in one block's record: four of them, a quad, are adjacent in each plane. */
static void join_planes(int bits, const uint8_t *record, size_t c, uint8_t *code) {
  uint32_t quad[8] = {0};
  const uint8_t *plane = record + c * 4;
  int low = 0;
  if (bits == 8) {
    for (size_t q = 0; q < 8; q++) quad[q] = load32(plane + q * 128);
    low = 8;
  } else if (bits >= 4) {
    for (size_t q = 0; q < 8; q++) quad[q] = load32(plane + q / 2 * 128) >> (q % 2 * 4) & 0x0f0f0f0fu;
    plane += 512;
    low = 4;
  }
  if (bits - low >= 2) {
    for (size_t q = 0; q < 8; q++)
      quad[q] |= (load32(plane + q / 4 * 128) >> (q % 4 * 2) & 0x03030303u) << low;
    plane += 256;
    low += 2;
  }
  if (bits - low == 1)
    for (size_t q = 0; q < 8; q++) quad[q] |= (load32(plane) >> q & 0x01010101u) << low;
  memcpy(code, quad, sizeof quad);
}

/* docs/NUMERICS.md, "gather_rows". */
static void dequantize(const wh_quant_format *f, const wh_quant_group *g, int blocks, float *y) {
  int8_t q[256];
  wh_quant_values(f, g, blocks, q);
  const float d = wh_f32_from_f16(g->d), dmin = wh_f32_from_f16(g->dmin);
  for (int h = 0; h < blocks * 2; h++) { /* half blocks */
    const int b = h / 2;
    float s, min = 0.0f;
    if (f->scale == WH_SCALE_F16)
      s = wh_f32_from_f16(g->scale[b]);
    else if (f->scale == WH_SCALE_E8M0)
      s = wh_quant_power_of_two(g->scale[b]);
    else
      s = d * (float)g->sub_scale[f->scale == WH_SCALE_SUB32 ? b : h];
    if (f->min == WH_MIN_F16) min = wh_f32_from_f16(g->min[b]);
    if (f->min >= WH_MIN_SUB32) min = -(dmin * (float)g->sub_min[f->min == WH_MIN_SUB32 ? b : h]);
    for (int i = h * 16; i < h * 16 + 16; i++)
      y[i] = f->min == WH_MIN_NONE ? s * (float)q[i] : fmaf(s, (float)q[i], min);
  }
}

void wh_linear_q_unpack_row(const wh_linear_layout *l, const void *packed, int64_t row, float *y) {
  const wh_quant_format *f = wh_quant_format_get(l->dtype);
  const uint8_t *src = (const uint8_t *)packed + (size_t)(row / WH_LINEAR_Q_COLS) * l->panel_bytes;
  const size_t c = (size_t)(row % WH_LINEAR_Q_COLS);
  wh_quant_group g = {0};
  for (int64_t left = l->k / WH_LINEAR_Q_BLOCK; left > 0; left -= WH_LINEAR_Q_GROUP_BLOCKS) {
    const int blocks = left < WH_LINEAR_Q_GROUP_BLOCKS ? (int)left : WH_LINEAR_Q_GROUP_BLOCKS;
    const uint8_t *records = src + wh_linear_q_scale_bytes(*f, blocks);
    take_scales(f, src, blocks, c, &g);
    for (int b = 0; b < blocks; b++)
      join_planes(f->bits, records + (size_t)b * wh_linear_q_code_bytes(*f), c, g.code + b * 32);
    dequantize(f, &g, blocks, y);
    src += wh_linear_q_group_bytes(*f, blocks);
    y += blocks * WH_LINEAR_Q_BLOCK;
  }
}
