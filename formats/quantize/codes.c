/* codes.c - see codes.h. */
#include "formats/quantize/codes.h"

#include <math.h>

#define BLOCK WH_CODES_4BIT_BLOCK

static void count(wh_code_error *e, float x, float y) {
  const double d = (double)y - (double)x;
  e->error += d * d;
  e->square += (double)x * (double)x;
}

void wh_codes_i8(const float *x, int64_t outer, int64_t channels, int64_t inner, int8_t *codes, float *scales,
                 wh_code_error *e) {
  for (int64_t c = 0; c < channels; c++) scales[c] = 0;
  for (int64_t o = 0; o < outer; o++)
    for (int64_t c = 0; c < channels; c++)
      for (int64_t i = 0; i < inner; i++)
        scales[c] = fmaxf(scales[c], fabsf(x[(o * channels + c) * inner + i]));
  for (int64_t c = 0; c < channels; c++) {
    scales[c] /= 127;
    if (scales[c] < 0x1p-126F) scales[c] = 1; /* nothing but zeros, or next to */
  }
  for (int64_t o = 0; o < outer; o++)
    for (int64_t c = 0; c < channels; c++)
      for (int64_t i = 0; i < inner; i++) {
        const int64_t at = (o * channels + c) * inner + i;
        const float code = fminf(fmaxf(rintf(x[at] / scales[c]), -127), 127);
        codes[at] = (int8_t)code;
        count(e, x[at], code * scales[c]);
      }
}

static float code_of(float x, float scale) { return fminf(fmaxf(rintf(x / scale), -8), 7); }

static double error_of(const float *x, int64_t n, float scale) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    const double d = (double)(code_of(x[i], scale) * scale) - (double)x[i];
    sum += d * d;
  }
  return sum;
}

/* The element of the largest magnitude is -8 scales; a little more or less than that may suit the others
 * better. */
static float fit(const float *x, int64_t n) {
  float top = 0, best = 1;
  double least = INFINITY;
  for (int64_t i = 0; i < n; i++)
    if (fabsf(x[i]) > fabsf(top)) top = x[i];
  if (fabsf(top) < 0x1p-120F) return 1;
  for (int step = -6; step <= 4; step++) {
    const float scale = top / (-8 + 0.2F * (float)step);
    const double error = error_of(x, n, scale);
    if (error < least) least = error, best = scale;
  }
  return best;
}

void wh_codes_4bit(const float *x, int64_t n, uint8_t *codes, float *scales, wh_code_error *e) {
  for (int64_t b = 0; b * BLOCK < n; b++) {
    const int64_t begin = b * BLOCK, k = n - begin < BLOCK ? n - begin : BLOCK;
    uint8_t wide[BLOCK];
    scales[b] = fit(x + begin, k);
    for (int64_t i = 0; i < BLOCK; i++) {
      const float code = i < k ? code_of(x[begin + i], scales[b]) : 0;
      wide[i] = (uint8_t)(code + 8);
      if (i < k) count(e, x[begin + i], code * scales[b]);
    }
    for (int64_t i = 0; i < BLOCK / 2; i++)
      codes[begin / 2 + i] = (uint8_t)(wide[2 * i] | wide[2 * i + 1] << 4);
  }
}
