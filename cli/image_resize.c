/* image_resize.c - see image_resize.h. */
#include "cli/image_resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One axis: `n` results from `at` on show the source from `begin` on, `step` of it each. */
typedef struct axis {
  uint32_t source, at, n;
  double begin, step;
} axis;

/* The source's elements [*first, return value) that result i is made of. */
static uint32_t range_of(const axis *a, uint32_t i, uint32_t *first) {
  const double center = a->begin + (i + 0.5) * a->step, reach = fmax(a->step, 1);
  const double low = fmax(floor(center - reach + 0.5), 0), high = floor(center + reach + 0.5);
  *first = (uint32_t)fmin(low, a->source - 1);
  uint32_t end = high < a->source ? (uint32_t)fmax(high, 0) : a->source;
  return end > *first ? end : *first + 1;
}

/* The weights of those elements; their sum is 1. */
static void weigh(const axis *a, uint32_t i, uint32_t first, uint32_t end, float *weights) {
  const double center = a->begin + (i + 0.5) * a->step, reach = fmax(a->step, 1);
  double sum = 0;
  for (uint32_t k = first; k < end; k++) sum += fmax(0, 1 - fabs(k + 0.5 - center) / reach);
  for (uint32_t k = first; k < end; k++)
    weights[k - first] =
        sum > 0 ? (float)(fmax(0, 1 - fabs(k + 0.5 - center) / reach) / sum) : 1.0F / (float)(end - first);
}

static void plan(const cli_image *image, cli_fit fit, uint32_t width, uint32_t height, axis *x, axis *y) {
  *x = (axis){image->width, 0, width, 0, (double)image->width / width};
  *y = (axis){image->height, 0, height, 0, (double)image->height / height};
  if (fit == CLI_FIT_CROP) {
    x->step = y->step = fmin(x->step, y->step);
    x->begin = (image->width - x->step * width) / 2;
    y->begin = (image->height - y->step * height) / 2;
  } else if (fit == CLI_FIT_LETTERBOX) {
    const double step = fmax(x->step, y->step);
    x->n = (uint32_t)fmin(fmax(round(image->width / step), 1), width);
    y->n = (uint32_t)fmin(fmax(round(image->height / step), 1), height);
    x->step = (double)image->width / x->n;
    y->step = (double)image->height / y->n;
    x->at = (width - x->n) / 2;
    y->at = (height - y->n) / 2;
  }
}

/* row[source width][3]: the source's rows that result row i is made of, weighted. */
static void mix_rows(const cli_image *image, const axis *y, uint32_t i, float *weights, float *row) {
  const size_t n = (size_t)image->width * 3;
  uint32_t first;
  const uint32_t end = range_of(y, i, &first);
  weigh(y, i, first, end, weights);
  memset(row, 0, n * sizeof *row);
  for (uint32_t k = first; k < end; k++) {
    const uint8_t *from = image->rgb + k * n;
    const float w = weights[k - first];
    for (size_t c = 0; c < n; c++) row[c] += w * from[c];
  }
}

static void mix_columns(const float *row, const axis *x, const float *weights, uint32_t stride, float *out) {
  for (uint32_t i = 0; i < x->n; i++) {
    uint32_t first;
    const uint32_t end = range_of(x, i, &first);
    const float *w = weights + (size_t)i * stride;
    float sum[3] = {0};
    for (uint32_t k = first; k < end; k++)
      for (int c = 0; c < 3; c++) sum[c] += w[k - first] * row[3 * (size_t)k + c];
    memcpy(out + 3 * (size_t)i, sum, sizeof sum);
  }
}

bool cli_image_resize(const cli_image *image, cli_fit fit, float pad, uint32_t width, uint32_t height,
                      float *out) {
  axis x, y;
  plan(image, fit, width, height, &x, &y);
  const uint32_t stride = (uint32_t)(2 * fmax(x.step, 1)) + 3;
  float *row = malloc((size_t)image->width * 3 * sizeof *row);
  float *down = malloc(((size_t)(2 * fmax(y.step, 1)) + 3) * sizeof *down);
  float *across = malloc((size_t)x.n * stride * sizeof *across);
  const bool good = row && down && across;
  for (uint32_t i = 0; good && i < x.n; i++) {
    uint32_t first;
    const uint32_t end = range_of(&x, i, &first);
    weigh(&x, i, first, end, across + (size_t)i * stride);
  }
  if (good)
    for (size_t i = 0; i < (size_t)width * height * 3; i++) out[i] = pad;
  for (uint32_t i = 0; good && i < y.n; i++) {
    mix_rows(image, &y, i, down, row);
    mix_columns(row, &x, across, stride, out + ((size_t)(y.at + i) * width + x.at) * 3);
  }
  free(row);
  free(down);
  free(across);
  return good;
}
