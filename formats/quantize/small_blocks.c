/* small_blocks.c - the types of 32 elements. Element j is the low nibble of byte j, element j + 16 its high
 * one. */
#include <math.h>
#include <string.h>

#include "formats/quantize/blocks.h"

#define N 32

const int8_t wh_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static void put_nibbles(const int *codes, uint8_t *b) {
  for (int j = 0; j < N / 2; j++) b[j] = (uint8_t)((codes[j] & 15) | (codes[j + N / 2] & 15) << 4);
}

static void put_fifth_bits(const int *codes, uint8_t *b) {
  uint32_t bits = 0;
  for (int j = 0; j < N; j++) bits |= (uint32_t)(codes[j] >> 4 & 1) << j;
  for (int k = 0; k < 4; k++) b[k] = (uint8_t)(bits >> 8 * k);
}

/* The codes 0 .. of d * (code - zero). */
static void symmetric(const float *x, const float *w, int zero, uint8_t *d_at, int *codes) {
  const wh_fit_grid g = {(float)-zero, (float)(zero - 1), NULL};
  float q[N];
  const float d = wh_put_f16(d_at, wh_fit_scale(&g, x, w, N));
  wh_fit_nearest(&g, x, wh_inverse(d), N, q);
  for (int j = 0; j < N; j++) codes[j] = (int)q[j] + zero;
}

static void affine(const float *x, const float *w, int hi, uint8_t *b, int *codes) {
  const wh_fit_grid g = {0, (float)hi, NULL};
  float q[N], moved[N], scale, min;
  wh_fit_affine((float)hi, false, x, w, N, &scale, &min);
  const float d = wh_put_f16(b, scale), m = wh_put_f16(b + 2, -min);
  for (int j = 0; j < N; j++) moved[j] = x[j] - m;
  wh_fit_nearest(&g, moved, wh_inverse(d), N, q);
  for (int j = 0; j < N; j++) codes[j] = (int)q[j];
}

void wh_encode_q4_0(const float *x, const float *w, uint8_t *b) {
  int codes[N];
  symmetric(x, w, 8, b, codes);
  put_nibbles(codes, b + 2);
}

void wh_encode_q5_0(const float *x, const float *w, uint8_t *b) {
  int codes[N];
  symmetric(x, w, 16, b, codes);
  put_fifth_bits(codes, b + 2);
  put_nibbles(codes, b + 6);
}

void wh_encode_q4_1(const float *x, const float *w, uint8_t *b) {
  int codes[N];
  affine(x, w, 15, b, codes);
  put_nibbles(codes, b + 4);
}

void wh_encode_q5_1(const float *x, const float *w, uint8_t *b) {
  int codes[N];
  affine(x, w, 31, b, codes);
  put_fifth_bits(codes, b + 4);
  put_nibbles(codes, b + 8);
}

void wh_encode_q8_0(const float *x, const float *w, uint8_t *b) {
  static const wh_fit_grid g = {-127, 127, NULL};
  float q[N], largest = 0;
  (void)w; /* rounding is all of the error: nothing is to be weighed */
  for (int j = 0; j < N; j++)
    if (fabsf(x[j]) > largest) largest = fabsf(x[j]);
  const float d = wh_put_f16(b, largest / 127);
  wh_fit_nearest(&g, x, wh_inverse(d), N, q);
  for (int j = 0; j < N; j++) b[2 + j] = (uint8_t)(int8_t)q[j];
}

void wh_encode_iq4_nl(const float *x, const float *w, uint8_t *b) {
  static const wh_fit_grid g = {-127, 113, wh_iq4_values};
  float q[N];
  int codes[N];
  const float d = wh_put_f16(b, wh_fit_scale(&g, x, w, N));
  wh_fit_nearest(&g, x, wh_inverse(d), N, q);
  for (int j = 0; j < N; j++) codes[j] = wh_iq4_code(q[j]);
  put_nibbles(codes, b + 2);
}

/* The scale is a power of two, 2^(e - 128) for doubled values: the few that come into question are tried. */
void wh_encode_mxfp4(const float *x, const float *w, uint8_t *b) {
  static const int8_t values[16] = {-12, -8, -6, -4, -3, -2, -1, 0, 0, 1, 2, 3, 4, 6, 8, 12};
  static const uint8_t codes_of[16] = {15, 14, 13, 12, 11, 10, 9, 0, 0, 1, 2, 3, 4, 5, 6, 7};
  static const wh_fit_grid g = {-12, 12, values};
  float q[N], largest = 0, best = -1;
  int exponent, codes[N], e = 0;
  for (int j = 0; j < N; j++)
    if (fabsf(x[j]) > largest) largest = fabsf(x[j]);
  (void)frexpf(largest / 12, &exponent); /* largest <= 12 * 2^exponent */
  for (int try = exponent - 1; try <= exponent + 1 && largest > 0; try++) {
    if (try + 128 < 0 || try + 128 > 254) continue;
    wh_fit_nearest(&g, x, ldexpf(1, -try), N, q);
    const float error = wh_fit_error(x, w, q, ldexpf(1, try), 0, N);
    if (best >= 0 && error >= best) continue;
    best = error;
    e = try + 128;
  }
  b[0] = (uint8_t)e;
  memset(codes, 0, sizeof codes);
  if (best >= 0) wh_fit_nearest(&g, x, ldexpf(1, 128 - e), N, q);
  for (int j = 0; best >= 0 && j < N; j++)
    for (int k = 0; k < 16; k++)
      if ((float)values[k] == q[j]) codes[j] = codes_of[k];
  put_nibbles(codes, b + 1);
}
