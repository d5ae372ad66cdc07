/* super_blocks.c - the types of 256 elements: sub-blocks whose scales are integers times one or two scales of
 * all. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "formats/quantize/blocks.h"

#define N 256
#define SUBS_MAX 16
#define N_PASSES 2 /* from the scales of all to those of the sub-blocks and back */

typedef struct super_block {
  float d, dmin;                        /* as stored */
  int scales[SUBS_MAX], mins[SUBS_MAX]; /* of sub-blocks */
  float q[N];                           /* values of the grid */
} super_block;

typedef struct layout {
  int sub; /* elements of a sub-block */
  wh_fit_grid grid;
  int scale_lo, scale_hi; /* of a sub-block; mins go from 0 to scale_hi */
} layout;

static float stored(float v) { return wh_f32_from_f16(wh_f16_from_f32(v)); }

static int clamp(float v, int lo, int hi) {
  return v <= (float)lo ? lo : v >= (float)hi ? hi : (int)nearbyintf(v);
}

/* ---- x is nearly d * scale * q ---- */

/* The best scale of a sub-block near `wanted`, and its codes; gives the error. */
static float choose_scale(const layout *l, const float *x, const float *w, float d, float wanted, int *scale,
                          float *q) {
  const int middle = clamp(wanted, l->scale_lo, l->scale_hi);
  float best = -1, tried[WH_FIT_MAX];
  for (int s = middle - 1; s <= middle + 1; s++) {
    if (s < l->scale_lo || s > l->scale_hi) continue;
    wh_fit_nearest(&l->grid, x, wh_inverse(d * (float)s), l->sub, tried);
    const float error = wh_fit_error(x, w, tried, d * (float)s, 0, l->sub);
    if (best >= 0 && error >= best) continue;
    best = error;
    *scale = s;
    memcpy(q, tried, (size_t)l->sub * sizeof *q);
  }
  return best;
}

/* The scale of all that fits codes and scales best. */
static float solve_symmetric(const layout *l, const super_block *b, const float *x, const float *w) {
  double xq = 0, qq = 0;
  for (int i = 0; i < N; i++) {
    const float q = (float)b->scales[i / l->sub] * b->q[i];
    xq += (double)(w[i] * x[i]) * q;
    qq += (double)(w[i] * q) * q;
  }
  return qq > 0 ? stored((float)(xq / qq)) : 0;
}

static void fit_symmetric(const layout *l, const float *x, const float *w, super_block *out) {
  float wanted[SUBS_MAX], largest = 0, best = -1;
  const int n = N / l->sub;
  for (int i = 0; i < n; i++) {
    wanted[i] = wh_fit_scale(&l->grid, x + i * l->sub, w + i * l->sub, l->sub);
    if (fabsf(wanted[i]) > fabsf(largest)) largest = wanted[i];
  }
  super_block b = {.d = stored(largest / (float)l->scale_lo)};
  for (int pass = 0; pass <= N_PASSES; pass++) {
    float error = 0;
    for (int i = 0; i < n; i++)
      error += choose_scale(l, x + i * l->sub, w + i * l->sub, b.d, wanted[i] * wh_inverse(b.d), &b.scales[i],
                            b.q + i * l->sub);
    if (best >= 0 && error >= best) return;
    best = error;
    *out = b;
    b.d = solve_symmetric(l, &b, x, w);
  }
}

/* ---- x is nearly d * scale * q - dmin * min ---- */

static float choose_affine(const layout *l, const float *x, const float *w, const super_block *b,
                           float scale_wanted, float min_wanted, int *scale, int *min, float *q) {
  const int s0 = clamp(scale_wanted, 0, l->scale_hi), m0 = clamp(min_wanted, 0, l->scale_hi);
  float best = -1, tried[WH_FIT_MAX], moved[WH_FIT_MAX];
  for (int m = m0 - 1; m <= m0 + 1; m++) {
    if (m < 0 || m > l->scale_hi) continue;
    for (int j = 0; j < l->sub; j++) moved[j] = x[j] + b->dmin * (float)m;
    for (int s = s0 - 1; s <= s0 + 1; s++) {
      if (s < 0 || s > l->scale_hi) continue;
      wh_fit_nearest(&l->grid, moved, wh_inverse(b->d * (float)s), l->sub, tried);
      const float error = wh_fit_error(x, w, tried, b->d * (float)s, b->dmin * (float)m, l->sub);
      if (best >= 0 && error >= best) continue;
      best = error;
      *scale = s;
      *min = m;
      memcpy(q, tried, (size_t)l->sub * sizeof *q);
    }
  }
  return best;
}

static void solve_affine(const layout *l, super_block *b, const float *x, const float *w) {
  double aa = 0, ab = 0, bb = 0, xa = 0, xb = 0;
  for (int i = 0; i < N; i++) {
    const double p = (double)b->scales[i / l->sub] * (double)b->q[i], m = -(double)b->mins[i / l->sub];
    aa += (double)w[i] * p * p;
    ab += (double)w[i] * p * m;
    bb += (double)w[i] * m * m;
    xa += (double)w[i] * (double)x[i] * p;
    xb += (double)w[i] * (double)x[i] * m;
  }
  const double det = aa * bb - ab * ab;
  if (det > 1e-9 * aa * bb) {
    const float d = (float)((bb * xa - ab * xb) / det), dmin = (float)((aa * xb - ab * xa) / det);
    if (d >= 0 && dmin >= 0) {
      b->d = stored(d);
      b->dmin = stored(dmin);
    }
  } else if (aa > 0 && bb == 0 && xa > 0) {
    b->d = stored((float)(xa / aa));
  }
}

static void fit_affine(const layout *l, const float *x, const float *w, super_block *out) {
  float scales[SUBS_MAX], mins[SUBS_MAX], largest = 0, largest_min = 0, best = -1;
  const int n = N / l->sub;
  for (int i = 0; i < n; i++) {
    wh_fit_affine(l->grid.hi, true, x + i * l->sub, w + i * l->sub, l->sub, &scales[i], &mins[i]);
    if (scales[i] > largest) largest = scales[i];
    if (mins[i] > largest_min) largest_min = mins[i];
  }
  super_block b = {.d = stored(largest / (float)l->scale_hi),
                   .dmin = stored(largest_min / (float)l->scale_hi)};
  for (int pass = 0; pass <= N_PASSES; pass++) {
    float error = 0;
    for (int i = 0; i < n; i++)
      error += choose_affine(l, x + i * l->sub, w + i * l->sub, &b, scales[i] * wh_inverse(b.d),
                             mins[i] * wh_inverse(b.dmin), &b.scales[i], &b.mins[i], b.q + i * l->sub);
    if (best >= 0 && error >= best) return;
    best = error;
    *out = b;
    solve_affine(l, &b, x, w);
  }
}

/* ---- bytes ---- */

/* Two bits of element e, from bit `shift` of its code: byte e % 32 of its half, at 2 * (e % 128 / 32). */
static void put_two_bits(const super_block *b, int zero, int shift, uint8_t *out) {
  memset(out, 0, N / 4);
  for (int e = 0; e < N; e++)
    out[e / 128 * 32 + e % 32] |= (uint8_t)((((int)b->q[e] + zero) >> shift & 3) << (e % 128 / 32 * 2));
}

/* The low nibbles of sub-blocks 2c and 2c + 1 of 32 elements share 32 bytes. */
static void put_nibbles_k(const super_block *b, uint8_t *out) {
  for (int e = 0; e < N; e++) {
    uint8_t *byte = &out[e / 64 * 32 + e % 32];
    const int code = (int)b->q[e] & 15;
    *byte = (uint8_t)(e / 32 % 2 ? *byte | code << 4 : code);
  }
}

/* Eight six-bit scales and mins in twelve bytes. */
static void put_scale_mins(const super_block *b, uint8_t *p) {
  memset(p, 0, 12);
  for (int i = 0; i < 8; i++) {
    const int s = b->scales[i], m = b->mins[i];
    if (i < 4) {
      p[i] |= (uint8_t)s;
      p[i + 4] |= (uint8_t)m;
    } else {
      p[i + 4] = (uint8_t)((s & 15) | (m & 15) << 4);
      p[i - 4] |= (uint8_t)(s >> 4 << 6);
      p[i] |= (uint8_t)(m >> 4 << 6);
    }
  }
}

void wh_encode_q2_k(const float *x, const float *w,
                    uint8_t *b) { /* u8 scale|min<<4 [16]; u8 qs[64]; f16 d, dmin */
  static const layout l = {16, {0, 3, NULL}, 0, 15};
  super_block s;
  fit_affine(&l, x, w, &s);
  for (int i = 0; i < 16; i++) b[i] = (uint8_t)(s.scales[i] | s.mins[i] << 4);
  put_two_bits(&s, 0, 0, b + 16);
  (void)wh_put_f16(b + 80, s.d);
  (void)wh_put_f16(b + 82, s.dmin);
}

void wh_encode_q3_k(const float *x, const float *w,
                    uint8_t *b) { /* third bits[32]; qs[64]; scales[12]; f16 d */
  static const layout l = {16, {-4, 3, NULL}, -32, 31};
  super_block s;
  fit_symmetric(&l, x, w, &s);
  memset(b, 0, 32);
  for (int e = 0; e < N; e++) b[e % 32] |= (uint8_t)((((int)s.q[e] + 4) >> 2 & 1) << (e / 32));
  put_two_bits(&s, 4, 0, b + 32);
  memset(b + 96, 0, 12);
  for (int i = 0; i < 16; i++) {
    const int scale = s.scales[i] + 32;
    b[96 + i % 8] |= (uint8_t)((scale & 15) << (i / 8 * 4));
    b[104 + i % 4] |= (uint8_t)((scale >> 4) << (i / 4 * 2));
  }
  (void)wh_put_f16(b + 108, s.d);
}

void wh_encode_q4_k(const float *x, const float *w, uint8_t *b) { /* f16 d, dmin; scales[12]; qs[128] */
  static const layout l = {32, {0, 15, NULL}, 0, 63};
  super_block s;
  fit_affine(&l, x, w, &s);
  (void)wh_put_f16(b, s.d);
  (void)wh_put_f16(b + 2, s.dmin);
  put_scale_mins(&s, b + 4);
  put_nibbles_k(&s, b + 16);
}

void wh_encode_q5_k(const float *x, const float *w,
                    uint8_t *b) { /* f16 d, dmin; scales[12]; qh[32]; qs[128] */
  static const layout l = {32, {0, 31, NULL}, 0, 63};
  super_block s;
  fit_affine(&l, x, w, &s);
  (void)wh_put_f16(b, s.d);
  (void)wh_put_f16(b + 2, s.dmin);
  put_scale_mins(&s, b + 4);
  memset(b + 16, 0, 32);
  for (int e = 0; e < N; e++) b[16 + e % 32] |= (uint8_t)(((int)s.q[e] >> 4 & 1) << (e / 32));
  put_nibbles_k(&s, b + 48);
}

void wh_encode_q6_k(const float *x, const float *w, uint8_t *b) { /* ql[128]; qh[64]; i8 scales[16]; f16 d */
  static const layout l = {16, {-32, 31, NULL}, -128, 127};
  super_block s;
  fit_symmetric(&l, x, w, &s);
  memset(b, 0, 128);
  for (int e = 0; e < N; e++)
    b[e / 128 * 64 + e % 64] |= (uint8_t)((((int)s.q[e] + 32) & 15) << (e / 64 % 2 * 4));
  put_two_bits(&s, 32, 4, b + 128);
  for (int i = 0; i < 16; i++) b[192 + i] = (uint8_t)(int8_t)s.scales[i];
  (void)wh_put_f16(b + 208, s.d);
}

void wh_encode_iq4_xs(const float *x, const float *w, uint8_t *b) { /* f16 d; u16 highs; lows[4]; qs[128] */
  static const layout l = {32, {-127, 113, wh_iq4_values}, -32, 31};
  super_block s;
  unsigned highs = 0;
  fit_symmetric(&l, x, w, &s);
  (void)wh_put_f16(b, s.d);
  memset(b + 4, 0, 4);
  for (int i = 0; i < 8; i++) {
    const int scale = s.scales[i] + 32;
    b[4 + i / 2] |= (uint8_t)((scale & 15) << (i % 2 * 4));
    highs |= (unsigned)(scale >> 4) << 2 * i;
    for (int j = 0; j < 16; j++)
      b[8 + i * 16 + j] = (uint8_t)(wh_iq4_code(s.q[i * 32 + j]) | wh_iq4_code(s.q[i * 32 + j + 16]) << 4);
  }
  b[2] = (uint8_t)highs;
  b[3] = (uint8_t)(highs >> 8);
}
